"""All recordings of a folder in one file, with one row for each landmark of each frame: Parquet or CSV.

Invariant: one or two recordings are in memory at a time, and a file is complete or absent.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from ..batch.output.columns import BOM, csv_cell, csv_line, csv_lines
from ..batch.output.folder import output_errors
from ..durable_files import private_file, write_all
from ..extras import install_hint
from ..protocol.landmarks import Landmarks
from ..protocol.table_columns import UNKNOWN_UNIT, Column, category_names
from ..protocol.tabular import Tabular
from ..protocol.text_summary import count_of
from .exported import Exported
from .recordings import RecordingFile

__all__ = ["write_long_csv", "write_parquet"]

COORDINATES: Final = ("x", "y", "z", "score")
"""The coordinates that every file has. Null where a recording has none of that name."""


@frozen
class RecordingTable(Tabular):
    """The rows of one recording."""

    recording: RecordingFile
    landmarks: Landmarks

    def table_columns(self) -> Iterator[Column]:
        frame, time, landmark, *_ = self.landmarks.table_columns()
        rows = len(frame.values)
        yield _constant("analysis", self.recording.analysis_id, rows)
        yield _constant("subject", self.recording.subject, rows)
        yield from (frame, time, landmark)
        for name in COORDINATES:
            grid = self.landmarks.coordinates.get(name)
            values = array("d", [math.nan]) * rows if grid is None else grid.values
            yield Column(name, "number", values, UNKNOWN_UNIT)

    def csv_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows as cells of CSV, with None for what is missing."""
        return zip(*map(_cells, self.table_columns()), strict=True)


def _constant(name: str, value: str | None, rows: int) -> Column:
    codes = array("i", [-1 if value is None else 0]) * rows
    return Column(name, "category", codes, categories=() if value is None else category_names([value]))


def _cells(column: Column) -> Iterator[Any]:
    if column.kind == "category":
        names = (*map(csv_cell, column.categories), None)  # a missing name has the code -1
        return (names[code] for code in column.values)
    return (None if value != value else value for value in column.values)  # NaN alone differs from itself


def write_parquet(recordings: Sequence[RecordingFile], path: Path) -> Exported:
    """Writes all recordings to one Parquet file, with a row group for each. Needs the extra `parquet`.

    Raises `OutputError` if the file cannot be written. Blocks.
    """
    with install_hint("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    exported = Exported([path])
    schema = pa.table(_EMPTY).schema
    with output_errors(path), private_file(path) as file:
        whole = BufferedWriter(file)  # pyarrow does not see that an unbuffered file may take less than all
        with pq.ParquetWriter(whole, schema, compression="zstd") as writer:
            for table in _tables(recordings, exported):
                writer.write_table(pa.table(table))
        whole.detach()
    return exported


def write_long_csv(recordings: Sequence[RecordingFile], path: Path) -> Exported:
    """Writes all recordings to one CSV file, which needs no extra. Errors and blocking as with `write_parquet`."""
    exported = Exported([path])
    with output_errors(path), private_file(path) as file:
        write_all(file, (BOM + csv_line(each.name for each in _EMPTY.table_columns())).encode())
        for table in _tables(recordings, exported):
            write_all(file, csv_lines(table.csv_rows()).encode())
    return exported


def _tables(recordings: Iterable[RecordingFile], exported: Exported) -> Iterator[RecordingTable]:
    """The tables of all recordings that can be read, one at a time."""
    others: dict[str, int] = {}
    for recording, landmarks in exported.loaded(recordings):
        yield RecordingTable(recording, landmarks)
        for name in landmarks.coordinates.keys() - COORDINATES:
            others[name] = others.get(name, 0) + 1
    exported.notes += [
        f"The coordinate {name!r} of {count_of(count, 'recording')} has no column."
        for name, count in sorted(others.items())
    ]


_EMPTY: Final = RecordingTable(RecordingFile(path=Path(), analysis_id=""), Landmarks((), (), {}))
