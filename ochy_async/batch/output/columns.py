"""Records as a CSV table: which columns there are, and what stands in them.

Invariant: pure. Units stand in the names, a cell is one line and never a formula, a row never holds a link; what
is not known is an empty cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from .measures import MEASURE_NAMES
from .records import ASKED

__all__ = ["BOM", "COLUMNS", "CsvColumns"]

BOM: Final = "\ufeff"
"""At the beginning of a CSV file: tells Excel that it is UTF-8."""

_BEFORE: Final = ("index", "file", "view", "outcome", "analysis_id", *ASKED)
_BEHIND: Final = ("reason",)
COLUMNS: Final = (*_BEFORE, *MEASURE_NAMES, *_BEHIND)
"""The columns that every table has, in order. Further numbers come before `reason`, the input's own columns last."""
_SOURCES: Final = {"file": "clip"}
"""Columns that a record calls otherwise."""

Cell = str | float | int | None


@frozen
class CsvColumns:
    """The columns of one table: those that all have, and what its records bring."""

    further: tuple[str, ...] = ()
    """Measures that are not known by name, by name."""
    extra: tuple[str, ...] = ()
    """The columns of the input, in the order in which they came."""
    _headings: tuple[str, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        ours = (*_BEFORE, *MEASURE_NAMES, *self.further, *_BEHIND)
        object.__setattr__(self, "_headings", (*ours, *_told_apart(self.extra, ours)))

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> CsvColumns:
        """The columns that the records need."""
        further, extra = set[str](), dict[str, None]()
        for record in records:
            further.update(record["measures"].keys() - MEASURE_NAMES)
            extra.update(dict.fromkeys(record["extra"]))
        return cls(tuple(sorted(further)), tuple(extra))

    def header(self) -> str:
        """The first line, with what tells Excel the encoding."""
        return BOM + _line(self._headings)

    def line(self, record: Mapping[str, Any]) -> str:
        """The line of a record."""
        measures, extra = record["measures"], record["extra"]
        return _line(
            (
                *(record[_SOURCES.get(name, name)] for name in _BEFORE),
                *(measures.get(name) for name in (*MEASURE_NAMES, *self.further)),
                *(record[name] for name in _BEHIND),
                *(extra.get(name) for name in self.extra),
            )
        )


def _told_apart(names: Iterable[str], taken: Iterable[str]) -> tuple[str, ...]:
    """The input's columns by the names that it gives them, but none that another column has."""
    used, found = {name.casefold() for name in taken}, list[str]()
    for name in names:
        while name.casefold() in used:
            name = f"input_{name}"
        used.add(name.casefold())
        found.append(name)
    return tuple(found)


def _line(cells: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(map(_cell, cells))
    return out.getvalue()


def _cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return str(value).lower()
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """A text on one line that no spreadsheet runs as a formula, wherever it may split it."""
    plain = _CONTROL.sub(" ", text)
    return plain if _NUMBER.fullmatch(plain) else _FORMULA.sub(r"\1'\2", plain)


_CONTROL: Final = re.compile(r"\r\n|[\x00-\x1f\x7f\x85\u2028\u2029]")
"""What ends a line or a cell, or cannot stand in a table."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?")
"""A number is no formula: measurements of one's own stay what they are."""
_FORMULA: Final = re.compile(r"(^\s*|;[\s\"]*)([=+\-@＝＋－＠])")
"""What begins a formula, also behind a semicolon, where Excel divides cells in many countries."""
