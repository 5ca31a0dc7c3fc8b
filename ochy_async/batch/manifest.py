"""A manifest: a CSV file that names clips, each with a request of its own.

Invariant: a manifest is read completely or not at all. One error lists every invalid row with its line, before anything
is sent.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ..errors import InvalidRequest, Problem
from ..protocol.request import AnalysisRequest
from ..protocol.views import BY_WORD, VIEW_WORDS, AnalysisView
from . import unit_parsing
from .csv_table import CsvLine, csv_lines, csv_text
from .sources import BatchItem

__all__ = ["COLUMNS", "known_column", "read_manifest"]

MAX_BYTES: Final = 50_000_000
BOOLEANS: Final = {**dict.fromkeys(("true", "yes", "y", "1"), True), **dict.fromkeys(("false", "no", "n", "0"), False)}


def _view(cell: str) -> str:
    return BY_WORD[cell.lower()].name


READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "view": (_view, f"must be {' or '.join(VIEW_WORDS)}"),
    "height": (unit_parsing.height, "must be a number of meters"),
    "weight": (unit_parsing.weight, "must be a number of kilograms"),
    "pace": (unit_parsing.pace, "must be minutes and seconds per km"),
    "treadmill": (lambda cell: BOOLEANS[cell.lower()], "must be yes or no"),
    "language": (str, ""),
    "full_body": (lambda cell: BOOLEANS[cell.lower()], "must be yes or no"),
    "subject_id": (str, ""),
    "notify_via_webhook": (lambda cell: BOOLEANS[cell.lower()], "must be yes or no"),
}
"""Each column but `file` → how a cell is read, and the problem if that fails."""
ALIASES: Final = {"subject": "subject_id"}
COLUMNS: Final = ("file", *READERS)
"""The columns that are read. `subject` is an alias of `subject_id`. Only `file` is required."""

SIMILARITY: Final = 0.82
"""From this ratio on, a name counts as misspelled. It catches two swapped letters in `height` and accepts `race`, which
is similar to `pace`."""
SYNONYMS: Final = {
    **dict.fromkeys(("stature", "bodyheight", "grösse", "groesse", "höhe", "taille", "altura", "altezza"), "height"),
    **dict.fromkeys(("mass", "bodyweight", "bodymass", "gewicht", "poids", "peso"), "weight"),
}
"""Other words for columns that are read. A column that is overlooked leads to a wrong analysis."""
UNITS: Final = frozenset("m cm mm kg g lb lbs ft in meters metres min km per mi".split())  # noqa: SIM905 - reads better


def read_manifest(
    path: str | os.PathLike[str], *, extra_columns: Collection[str] = (), **defaults: Any
) -> tuple[BatchItem, ...]:
    """Returns the clips of a manifest with their requests, for `Batch.run`.

    `defaults` are fields of a request, and `view` as `side` or `back`; they apply to missing columns and empty cells.
    File names are relative to the manifest. The file is UTF-8, with or without a byte order mark, and separates cells
    by commas, semicolons or tabs.

    `BatchItem.extra` holds any other column as text under its own name. A column that looks like a misspelled one is a
    problem unless `extra_columns` names it: a height that is not read leads to a wrong analysis. Raises
    `InvalidRequest`, whose `problems` name every invalid cell as `line N, column`.
    """
    manifest, problems = Path(path), list[Problem]()
    reader = _ManifestReader(manifest, defaults, frozenset(extra_columns), problems)
    rows = tuple(reader.rows(csv_text(manifest, "manifest", MAX_BYTES, problems)))
    if not rows and not problems:
        problems.append(Problem("manifest", "names no clip: there is no row below the header"))
    if problems:
        raise InvalidRequest.of(
            f"The manifest {str(manifest)!r}", tuple(map(unit_parsing.with_accepted_forms, problems))
        )
    return rows


def known_column(heading: str) -> str | None:
    """Returns the column that a heading probably means: misspelled, with a unit, or another word for it. Else None."""
    words = [each for each in re.split(r"[\W_]+", unicodedata.normalize("NFC", heading).casefold()) if each]
    if len(words) > 1 and words[-1] in UNITS:
        words = [each for each in words if each not in UNITS]
    name = "_".join(words)
    synonym = SYNONYMS.get(name.replace("_", ""))
    similar = get_close_matches(name, (*COLUMNS, *ALIASES), n=1, cutoff=SIMILARITY)
    return synonym or next(iter(similar), None)


@define(eq=False)
class _ManifestReader:
    manifest: Path
    defaults: Mapping[str, Any]
    extra: frozenset[str]
    problems: list[Problem]
    columns: tuple[str, ...] = field(default=(), init=False)
    """Names of `COLUMNS`; any other column as it is written."""

    def rows(self, text: str) -> Iterator[BatchItem]:
        """Yields the valid rows and adds a problem for each other row."""
        lines = csv_lines(text, self.problems)
        header = next(lines, None)
        if header is None or not self._header_is_valid(header):
            return
        for line in lines:
            row = self._row(line)
            if row is not None:
                yield row

    def _header_is_valid(self, header: CsvLine) -> bool:
        """Sets `columns` and returns whether they can be used. Adds every problem of the header."""
        names = [cell if cell in self.extra else _canonical_column(cell) for cell in header.cells]
        where = f"line {header.number}"
        before = len(self.problems)
        for name, count in Counter(names).items():
            if not name:
                self.problems.append(Problem(where, "a column has no name"))
            elif count > 1:
                self.problems.append(Problem(f"{where}, {name}", "appears twice"))
            elif name not in COLUMNS and name not in self.extra:
                self.problems += self._misspelled(where, name)
        if "file" not in names:
            self.problems.append(Problem(where, f"the column 'file' is missing. Known columns: {', '.join(COLUMNS)}"))
        self.columns = tuple(names)
        return len(self.problems) == before

    def _misspelled(self, where: str, name: str) -> Iterator[Problem]:
        known = known_column(name)
        if known is not None:
            own = f"if it is a column of your own, name it with --extra-column {name!r} (extra_columns=…)"
            yield Problem(where, f"the column {name!r} looks like {known!r}: rename it, or {own}")

    def _row(self, line: CsvLine) -> BatchItem | None:
        where, before = f"line {line.number}", len(self.problems)
        if len(line.cells) != len(self.columns):
            counts = f"has {len(line.cells)} cells where the header names {len(self.columns)}"
            self.problems.append(Problem(where, f"{counts}. Quote cells that contain commas"))
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
        why = "is empty" if not cell else _file_problem(path)
        if why:
            self.problems.append(Problem(f"{where}, file", why))
        return path

    def _request(self, where: str, cells: Mapping[str, str]) -> AnalysisRequest[Any, Any] | None:
        given: dict[str, Any] = {}
        for name, cell in cells.items():
            read, expected = READERS[name]
            try:
                given[name] = read(cell)
            except (ValueError, KeyError):
                # The cell may hold health data, so the problem does not quote it.
                self.problems.append(Problem(f"{where}, {name}", expected))
        view = given.pop("view", self.defaults.get("view"))
        if view is None:
            if "view" not in cells:
                self.problems.append(Problem(f"{where}, view", "is missing. Add it here, or for all rows (--view)"))
            return None
        return self._built_request(where, BY_WORD[view], given)

    def _built_request(self, where: str, view: AnalysisView, given: dict[str, Any]) -> AnalysisRequest[Any, Any] | None:
        for name, views in view.foreign(given).items():
            self.problems.append(Problem(f"{where}, {name}", f"is for the {views} view only"))
        defaults = {name: value for name, value in self.defaults.items() if name != "view" and value is not None}
        fields = {**defaults, **given}
        for name in view.foreign(fields):
            del fields[name]
        try:
            return view.request(**fields)
        except InvalidRequest as error:
            self.problems += [Problem(f"{where}, {each.field}", each.message) for each in error.problems]
            return None


def _canonical_column(cell: str) -> str:
    """Returns the name of a column that is read, in any spelling of case and spaces; any other heading unchanged."""
    name = "_".join(cell.lower().replace("-", " ").split())
    name = ALIASES.get(name, name)
    return name if name in COLUMNS else cell


def _file_problem(path: Path) -> str:
    """Returns why the file cannot be a clip; empty if it can."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        return f"{str(path)!r} cannot be opened: {getattr(error, 'strerror', None) or 'the path is not valid'}"
    return "" if stat.S_ISREG(mode) else f"{str(path)!r} is not a regular file"
