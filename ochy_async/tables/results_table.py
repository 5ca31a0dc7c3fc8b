"""A batch's table: the rows and columns of `results.csv`, with types.

Invariant: the type of a column does not depend on the rows, and results and calculated data are not kept, so that a
table of many analyses stays small.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import frozen

from ..batch.outcomes import Outcome
from ..batch.output.columns import COLUMNS, FIELDS, CsvColumns
from ..batch.output.measures import MEASURE_NAMES
from ..batch.output.tables import JSONL
from ..batch.records import OutcomeRecord
from ..protocol.table_columns import Column, Kind, as_number, distinct_names, well_formed
from ..protocol.tabular import Tabular
from ..protocol.text_summary import count_of, printable
from ..result_loaders import load_records

__all__ = ["ResultsTable", "results_table"]

_KINDS: Final[Mapping[str, Kind]] = {"boolean": "boolean", "integer": "integer", "number": "number", "string": "text"}
"""The kinds of columns by the types of JSON Schema."""
_UNITS: Final = {
    "_steps_per_min": "steps/min",
    "_m_per_s": "m/s",
    "_m": "m",
    "_kg": "kg",
    "_ms": "ms",
    "_deg": "deg",
}
"""The units of numbers by the ends of their names."""
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


@frozen(repr=False)
class ResultsTable(Tabular):
    """One row for each clip, with the columns of `results.csv`; docs/reference/tables.md describes them.

    What is missing is null, and so is a value whose type is not that of its column.
    """

    _columns: tuple[Column, ...]

    def table_columns(self) -> tuple[Column, ...]:
        """The columns, in the order of `results.csv`."""
        return self._columns

    def __len__(self) -> int:
        return len(self._columns[0].values)

    def __repr__(self) -> str:
        return f"<ResultsTable: {count_of(len(self), 'row')} of {count_of(len(self._columns), 'column')}>"

    def __rich_repr__(self) -> Iterator[str]:
        # Without this method rich prints the fields of attrs classes instead of their `repr`.
        yield repr(self)


def results_table(source: str | os.PathLike[str] | Iterable[Outcome[Any, Any]]) -> ResultsTable:
    """Returns the table of a batch: of the folder that it filled, or of its outcomes, in their order.

    Raises `OutputError` if the `results.jsonl` of a folder cannot be read, and `UnreadableAnswer` if it holds something
    else. Blocks.
    """
    if isinstance(source, str | os.PathLike):
        records = (each.raw for each in load_records(Path(source, JSONL)))
    else:
        records = (OutcomeRecord.of(outcome).to_json() for outcome in source)
    return ResultsTable(tuple(_columns([_small(record) for record in records])))


_KEPT: Final = tuple(FIELDS.get(name, name) for name in COLUMNS if name not in MEASURE_NAMES)
"""The fields of a record that are columns themselves."""


def _small(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the columns need of a record, which may be of another program and lack fields."""
    nested = {name: each if isinstance(each := record.get(name), dict) else {} for name in ("measures", "extra")}
    return {name: record.get(name) for name in _KEPT} | nested


def _columns(records: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    columns = CsvColumns.of(records)
    names = distinct_names(map(printable, columns.names), (), "input_")
    ours = len(names) - len(columns.extra)
    known = _documented_kinds()
    cells = zip(*map(columns.values, records), strict=True) if records else [()] * len(names)
    for place, (name, values) in enumerate(zip(names, cells, strict=True)):
        yield _column(name, known.get(name, "number") if place < ours else "text", values)


@cache
def _documented_kinds() -> Mapping[str, Kind]:
    """The kind of each column that every table has, from the schema of records."""
    schema = orjson.loads(files("ochy_async.batch").joinpath("results.schema.json").read_bytes())["properties"]
    documented = {**schema, **schema["measures"]["properties"]}
    return {name: _kind(documented[FIELDS.get(name, name)]) for name in COLUMNS}


def _kind(documented: Mapping[str, Any]) -> Kind:
    """The kind for a type of JSON Schema such as `["number", "null"]`; a list of allowed words is text."""
    types = documented.get("type", "string")
    return _KINDS[types if isinstance(types, str) else types[0]]


def _column(name: str, kind: Kind, values: Iterable[Any]) -> Column:
    match kind:
        case "number":
            unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)
            return Column(name, kind, array("d", map(as_number, values)), unit)
        case "integer":
            return Column(name, kind, [each if _is_integer(each) else None for each in values])
        case "boolean":
            return Column(name, kind, [each if isinstance(each, bool) else None for each in values])
        case _:
            return Column(name, kind, [None if each is None else well_formed(str(each)) for each in values])


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and _LEAST_INTEGER <= value <= _MOST_INTEGER
