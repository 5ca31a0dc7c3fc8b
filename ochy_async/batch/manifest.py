"""A manifest: a CSV file that names clips, each with a request of its own.

Invariant: it is read whole or not at all. Every bad row is told at once, with its line, before
anything is sent.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from ..errors import InvalidRequest, Problem
from ..protocol.request import AnalysisRequest
from ..protocol.views import BY_WORD, VIEW_WORDS, AnalysisView
from . import quantities
from .sources import BatchItem

__all__ = ["COLUMNS", "known_column", "read_manifest"]

MOST_BYTES: Final = 50_000_000
DELIMITERS: Final = (",", ";", "\t")
"""What spreadsheets write, by the language that they are set to. The header decides."""
WORDS: Final = {
    **dict.fromkeys(("true", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "no", "n", "0"), False),
}


def _view(cell: str) -> str:
    return BY_WORD[cell.lower()].name


READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "view": (_view, f"must be {' or '.join(VIEW_WORDS)}"),
    "height": (quantities.height, "must be a number of meters"),
    "weight": (quantities.weight, "must be a number of kilograms"),
    "pace": (quantities.pace, "must be minutes and seconds per km"),
    "treadmill": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
    "language": (str, ""),
    "full_body": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
    "subject_id": (str, ""),
    "notify_via_webhook": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
}
"""Each column but `file` → how a cell is read, and what is said of one that cannot be."""
OTHER_NAMES: Final = {"subject": "subject_id"}
COLUMNS: Final = ("file", *READERS)
"""The columns that are read. `subject` is another name of `subject_id`; `file` alone must be there."""

CLOSE: Final = 0.82
"""From here on a name is taken for a misspelt one: it catches two letters that changed places in `height`, and leaves
`race` alone beside `pace`."""
OTHER_WORDS: Final = {
    **dict.fromkeys(("stature", "bodyheight", "grösse", "groesse", "höhe", "taille", "altura", "altezza"), "height"),
    **dict.fromkeys(("mass", "bodyweight", "bodymass", "gewicht", "poids", "peso"), "weight"),
}
"""What people call a column that would be read under its own name; each that is overlooked is a wrong analysis."""
UNITS: Final = frozenset("m cm mm kg g lb lbs ft in meters meters min km per mi".split())  # noqa: SIM905 - reads better


def read_manifest(
    path: str | os.PathLike[str], *, extra_columns: Collection[str] = (), **defaults: Any
) -> tuple[BatchItem, ...]:
    """The clips of a manifest with their requests, for `Batch.run`; empty cells and columns take `defaults`.

    `defaults` are fields of a request, and `view` as `side` or `back`. Files are found relative to the
    manifest. UTF-8, with or without a byte order mark; commas, semicolons or tabs between the cells.

    Any further column is kept as text in `BatchItem.extra` under the name that it has there. One that looks like a
    misspelt column is a problem, unless `extra_columns` names it: a height that nobody reads costs a wrong analysis.
    Raises `InvalidRequest`, whose `problems` tell every bad row by `line N, column`.
    """
    manifest, problems = Path(path), list[Problem]()
    reading = _ManifestReader(manifest, defaults, frozenset(extra_columns), problems)
    rows = tuple(reading.rows(_text(manifest, problems)))
    if not rows and not problems:
        problems.append(Problem("manifest", "names no clip: below the header there is no row"))
    if problems:
        raise InvalidRequest.of(f"The manifest {str(manifest)!r}", tuple(map(quantities.with_accepted_forms, problems)))
    return rows


def known_column(heading: str) -> str | None:
    """The column that an unknown heading looks like: misspelt, with a unit, or in other words. None: like no other."""
    words = [each for each in re.split(r"[\W_]+", unicodedata.normalize("NFC", heading).casefold()) if each]
    if len(words) > 1 and words[-1] in UNITS:
        words = [each for each in words if each not in UNITS]
    name = "_".join(words)
    other = OTHER_WORDS.get(name.replace("_", ""))
    close = get_close_matches(name, (*COLUMNS, *OTHER_NAMES), n=1, cutoff=CLOSE)
    return other or next(iter(close), None)


def _text(manifest: Path, problems: list[Problem]) -> str:
    """The content; what keeps it from being read is a problem and leaves nothing."""
    try:
        with manifest.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            problems.append(Problem("manifest", f"is larger than {MOST_BYTES:,} bytes; is it a CSV file?"))
        elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
            problems.append(Problem("manifest", "is UTF-16; save it as CSV in UTF-8"))
        elif not content.strip(b"\xef\xbb\xbf \r\n\t"):
            problems.append(Problem("manifest", "is empty; its first line must name the columns"))
        else:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = wrong.object[: wrong.start].count(b"\n") + 1
        problems.append(Problem(f"line {line}", "is not UTF-8; save the manifest as CSV in UTF-8"))
    except (OSError, ValueError) as trouble:
        problems.append(Problem("manifest", f"cannot be read: {getattr(trouble, 'strerror', None) or trouble}"))
    return ""


@frozen
class _CsvLine:
    number: int
    """In the file, from 1; of a row over several lines the first."""
    cells: Sequence[str]


@define(eq=False)
class _ManifestReader:
    manifest: Path
    defaults: Mapping[str, Any]
    extra: frozenset[str]
    problems: list[Problem]
    columns: tuple[str, ...] = field(default=(), init=False)
    """By the names of `COLUMNS`, any other as it is written."""

    def rows(self, text: str) -> Iterator[BatchItem]:
        """The good rows; the others are problems."""
        lines = self._lines(text)
        header = next(lines, None)
        if header is None or not self._headed(header):
            return
        for line in lines:
            row = self._row(line)
            if row is not None:
                yield row

    def _lines(self, text: str) -> Iterator[_CsvLine]:
        """The lines that say anything."""
        first = next((line for line in text.splitlines() if line.strip()), "")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=max(DELIMITERS, key=first.count))
        while True:
            number = reader.line_num + 1
            try:
                cells = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error as wrong:
                why = f"its quotes make no sense ({wrong}); what follows was not read"
                self.problems.append(Problem(f"line {number}", why))
                return
            if any(cells):
                yield _CsvLine(number, cells)

    def _headed(self, header: _CsvLine) -> bool:
        """Whether the header can be used; what is wrong with it is told whole."""
        names = [cell if cell in self.extra else _column(cell) for cell in header.cells]
        where = f"line {header.number}"
        before = len(self.problems)
        for name, count in Counter(names).items():
            if not name:
                self.problems.append(Problem(where, "a column has no name"))
            elif count > 1:
                self.problems.append(Problem(f"{where}, {name}", "is there twice"))
            elif name not in COLUMNS and name not in self.extra:
                self.problems += self._misspelt(where, name)
        if "file" not in names:
            self.problems.append(Problem(where, f"the column 'file' is missing; there are {', '.join(COLUMNS)}"))
        self.columns = tuple(names)
        return len(self.problems) == before

    def _misspelt(self, where: str, name: str) -> Iterator[Problem]:
        known = known_column(name)
        if known is not None:
            way = f"if it is a column of your own, name it with --extra-column {name!r} (extra_columns=…)"
            yield Problem(where, f"the column {name!r} looks like {known!r}: rename it, or {way}")

    def _row(self, line: _CsvLine) -> BatchItem | None:
        where, before = f"line {line.number}", len(self.problems)
        if len(line.cells) != len(self.columns):
            told = f"has {len(line.cells)} cells where the header names {len(self.columns)}; quote cells with commas"
            self.problems.append(Problem(where, told))
            return None
        cells = dict(zip(self.columns, line.cells, strict=True))
        extra = {name: cells.pop(name) for name in self.columns if name not in COLUMNS or name in self.extra}
        given = {name: cell for name, cell in cells.items() if cell}
        path = self._file(where, given.pop("file", ""))
        request = self._request(where, given)
        if request is None or len(self.problems) > before:
            return None
        return BatchItem(path, request, extra=extra, where=f"{self.manifest.name}, {where}")

    def _file(self, where: str, cell: str) -> Path:
        path = self.manifest.parent / cell
        why = "is empty" if not cell else _unusable(path)
        if why:
            self.problems.append(Problem(f"{where}, file", why))
        return path

    def _request(self, where: str, cells: Mapping[str, str]) -> AnalysisRequest[Any, Any] | None:
        given: dict[str, Any] = {}
        for name, cell in cells.items():
            read, wanted = READERS[name]
            try:
                given[name] = read(cell)
            except (ValueError, KeyError):
                # What stands there may be health data: it is not repeated.
                self.problems.append(Problem(f"{where}, {name}", wanted))
        view = given.pop("view", self.defaults.get("view"))
        if view is None:
            if "view" not in cells:
                self.problems.append(Problem(f"{where}, view", "is missing; give it here or for all (--view)"))
            return None
        return self._made(where, BY_WORD[view], given)

    def _made(self, where: str, view: AnalysisView, given: dict[str, Any]) -> AnalysisRequest[Any, Any] | None:
        for name, views in view.foreign(given).items():
            self.problems.append(Problem(f"{where}, {name}", f"is for the {views} view only"))
        usual = {name: value for name, value in self.defaults.items() if name != "view" and value is not None}
        fields = {**usual, **given}
        for name in view.foreign(fields):
            del fields[name]
        try:
            return view.request(**fields)
        except InvalidRequest as refused:
            self.problems += [Problem(f"{where}, {each.field}", each.message) for each in refused.problems]
            return None


def _column(cell: str) -> str:
    """The name of a column that is read, however it is written; any other as it is."""
    name = "_".join(cell.lower().replace("-", " ").split())
    name = OTHER_NAMES.get(name, name)
    return name if name in COLUMNS else cell


def _unusable(path: Path) -> str:
    """Why there is no clip at this path; empty where there is one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as trouble:
        return f"{str(path)!r} cannot be opened: {getattr(trouble, 'strerror', None) or 'not a usable path'}"
    return "" if stat.S_ISREG(mode) else f"{str(path)!r} is not a regular file"
