"""A manifest: a CSV file that names clips, each with a request of its own.

Law of this room: it is read whole or not at all. Every bad row is told at once, with its line, before
anything is sent.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from ..errors import InvalidRequest, Problem
from ..protocol.back_view import BackView
from ..protocol.request import AnalysisRequest
from ..protocol.side_view import SideView

__all__ = ["COLUMNS", "read_manifest"]

Row = tuple[Path, AnalysisRequest[Any, Any]]

MOST_BYTES: Final = 50_000_000
DELIMITERS: Final = (",", ";", "\t")
"""What spreadsheets write, by the language that they are set to. The header decides."""
VIEWS: Final[Mapping[str, type[SideView | BackView]]] = {
    "side": SideView,
    "side_view": SideView,
    "back": BackView,
    "back_view": BackView,
}
WORDS: Final = {
    **dict.fromkeys(("true", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "no", "n", "0"), False),
}


def _number(cell: str) -> float:
    # Where the comma divides decimals, spreadsheets write it; both signs together are two numbers or none.
    return float(cell if "." in cell else cell.replace(",", ".", 1))


def _view(cell: str) -> str:
    return VIEWS[cell.lower()].view


READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "view": (_view, "must be side or back"),
    "height": (_number, "must be a number of metres, such as 1.75"),
    "weight": (_number, "must be a number of kilograms, such as 68.5"),
    "pace": (str, ""),
    "treadmill": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
    "language": (str, ""),
    "full_body": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
    "subject_id": (str, ""),
    "notify_via_webhook": (lambda cell: WORDS[cell.lower()], "must be yes or no"),
}
"""Each column but `file` → how a cell is read, and what is said of one that cannot be."""
OTHER_NAMES: Final = {"subject": "subject_id"}
COLUMNS: Final = ("file", *READERS)
"""The columns of a manifest; `file` alone must be there. `subject` is another name of `subject_id`."""


def read_manifest(path: str | os.PathLike[str], **defaults: Any) -> tuple[Row, ...]:
    """The clips of a manifest with their requests, for `Batch.run`; empty cells and columns take `defaults`.

    `defaults` are fields of a request, and `view` as `side` or `back`. Files are found relative to the
    manifest. UTF-8, with or without a byte order mark; commas, semicolons or tabs between the cells.
    Raises `InvalidRequest`, whose `problems` tell every bad row by `line N, column`.
    """
    manifest, problems = Path(path), list[Problem]()
    rows = tuple(_Reading(manifest.parent, defaults, problems).rows(_text(manifest, problems)))
    if not rows and not problems:
        problems.append(Problem("manifest", "names no clip: below the header there is no row"))
    if problems:
        raise InvalidRequest.of(f"The manifest {str(manifest)!r}", tuple(problems))
    return rows


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
class _Line:
    number: int
    """In the file, from 1; of a row over several lines the first."""
    cells: Sequence[str]


@define(eq=False)
class _Reading:
    folder: Path
    defaults: Mapping[str, Any]
    problems: list[Problem]
    columns: tuple[str, ...] = field(default=(), init=False)

    def rows(self, text: str) -> Iterator[Row]:
        """The good rows; the others are problems."""
        lines = self._lines(text)
        header = next(lines, None)
        if header is None or not self._headed(header):
            return
        for line in lines:
            row = self._row(line)
            if row is not None:
                yield row

    def _lines(self, text: str) -> Iterator[_Line]:
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
                yield _Line(number, cells)

    def _headed(self, header: _Line) -> bool:
        """Whether the header can be used; what is wrong with it is told whole."""
        names = [_column(cell) for cell in header.cells]
        where = f"line {header.number}"
        known = ", ".join(COLUMNS)
        before = len(self.problems)
        for name, count in Counter(names).items():
            if name not in COLUMNS:
                told = f"{name!r} is no column" if name else "a column has no name"
                self.problems.append(Problem(where, f"{told}; there are {known}"))
            elif count > 1:
                self.problems.append(Problem(f"{where}, {name}", "is there twice"))
        if "file" not in names:
            self.problems.append(Problem(where, f"the column 'file' is missing; there are {known}"))
        self.columns = tuple(names)
        return len(self.problems) == before

    def _row(self, line: _Line) -> Row | None:
        where, before = f"line {line.number}", len(self.problems)
        if len(line.cells) != len(self.columns):
            told = f"has {len(line.cells)} cells where the header names {len(self.columns)}; quote cells with commas"
            self.problems.append(Problem(where, told))
            return None
        cells = {name: cell for name, cell in zip(self.columns, line.cells, strict=True) if cell}
        path = self._file(where, cells.pop("file", ""))
        request = self._request(where, cells)
        return (path, request) if request is not None and len(self.problems) == before else None

    def _file(self, where: str, cell: str) -> Path:
        path = self.folder / cell
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
        return self._made(where, VIEWS[view], given)

    def _made(
        self, where: str, kind: type[SideView | BackView], given: dict[str, Any]
    ) -> AnalysisRequest[Any, Any] | None:
        usual = {name: value for name, value in self.defaults.items() if name != "view" and value is not None}
        if kind is SideView:
            usual.pop("full_body", None)
            if given.pop("full_body", None) is not None:
                self.problems.append(Problem(f"{where}, full_body", "is for the back view only"))
        try:
            return kind(**{**usual, **given})
        except InvalidRequest as refused:
            self.problems += [Problem(f"{where}, {each.field}", each.message) for each in refused.problems]
            return None


def _column(cell: str) -> str:
    name = "_".join(cell.lower().replace("-", " ").split())
    return OTHER_NAMES.get(name, name)


def _unusable(path: Path) -> str:
    """Why there is no clip at this path; empty where there is one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as trouble:
        return f"{str(path)!r} cannot be opened: {getattr(trouble, 'strerror', None) or 'not a usable path'}"
    return "" if stat.S_ISREG(mode) else f"{str(path)!r} is not a regular file"
