"""Records as a CSV table: its columns and its cells.

Invariant: pure. Column names hold the unit. A cell is one line and never a formula; no cell holds a link; an unknown
value is an empty cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from ...protocol.table_columns import distinct_names
from .measures import MEASURE_NAMES

__all__ = ["BOM", "COLUMNS", "FIELDS", "REQUEST_COLUMNS", "CsvColumns", "csv_cell", "csv_line", "csv_lines"]

BOM: Final = "\ufeff"
"""Begins a CSV file: Excel then reads it as UTF-8."""

REQUEST_COLUMNS: Final = ("subject", "subject_id", "height_m", "weight_kg", "requested_pace_per_km", "treadmill")
"""The columns about the request."""
_FIRST: Final = ("index", "file", "view", "outcome", "analysis_id", *REQUEST_COLUMNS)
_LAST: Final = ("reason",)
COLUMNS: Final = (*_FIRST, *MEASURE_NAMES, *_LAST)
"""The columns of every table, in order. Other numbers come before `reason`, the input's own columns last."""
FIELDS: Final = {"file": "clip"}
"""Columns that have another name than their field in a record."""

Cell = str | float | int | None


@frozen
class CsvColumns:
    """The columns of one table: those of every table, and those that its records add."""

    other_measures: tuple[str, ...] = ()
    """Measures outside `MEASURE_NAMES`, sorted by name."""
    extra: tuple[str, ...] = ()
    """The input's own columns, in its order."""
    names: tuple[str, ...] = field(init=False)
    """All columns in order; those of the input stand last."""

    def __attrs_post_init__(self) -> None:
        ours = (*_FIRST, *MEASURE_NAMES, *self.other_measures, *_LAST)
        object.__setattr__(self, "names", (*ours, *distinct_names(self.extra, ours, "input_")))

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> CsvColumns:
        """The columns that the records need."""
        other, extra = set[str](), dict[str, None]()
        for record in records:
            other.update(record["measures"].keys() - MEASURE_NAMES)
            extra.update(dict.fromkeys(record["extra"]))
        return cls(tuple(sorted(other)), tuple(extra))

    def header(self) -> str:
        """The header line, after the byte order mark."""
        return BOM + csv_line(self.names)

    def line(self, record: Mapping[str, Any]) -> str:
        """The line for a record."""
        return csv_line(self.values(record))

    def values(self, record: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of a record, one for each of `names`; None for what is missing."""
        measures, extra = record["measures"], record["extra"]
        return (
            *(record[FIELDS.get(name, name)] for name in _FIRST),
            *(measures.get(name) for name in (*MEASURE_NAMES, *self.other_measures)),
            *(record[name] for name in _LAST),
            *(extra.get(name) for name in self.extra),
        )


def csv_line(cells: Iterable[Any]) -> str:
    """One line of CSV, in which no cell has a line break or is a formula."""
    return csv_lines([map(csv_cell, cells)])


def csv_lines(rows: Iterable[Iterable[Cell]]) -> str:
    """A line of CSV for each row. Its texts come from `csv_cell`."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def csv_cell(value: Any) -> Cell:
    """The value as a cell that has no line break and is no formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return _safe_text(value) if isinstance(value, str) else value


def _safe_text(text: str) -> str:
    """Returns the text on one line, changed so that no spreadsheet takes it for a formula, even one that splits the
    cell."""
    plain = _CONTROL.sub(" ", text)
    return plain if _NUMBER.fullmatch(plain) else _FORMULA.sub(r"\1'\2", plain)


_CONTROL: Final = re.compile(r"\r\n|[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Line ends and control characters."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?")
"""A number is not a formula: the user's own measurements stay unchanged."""
_FORMULA: Final = re.compile(r"(^\s*|;[\s\"]*)([=+\-@＝＋－＠])")
"""The start of a formula, also after a semicolon, at which Excel splits cells in many countries."""
