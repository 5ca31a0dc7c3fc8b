"""The tables of a run: `results.jsonl`, with one record a line, and `results.csv`, which is made from it.

Invariant: the tables are in the order of the input, complete or absent, and up to date within seconds while a run goes
on, also after a power cut. A run that ends early adds to the tables in the folder and removes nothing; only a complete
run replaces them.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from anyio import CancelScope, to_thread
from attrs import define, field

from ...durable_files import draft_path, open_private, publish, write_all
from ...errors import OutputError
from .columns import CsvColumns
from .folder import output_errors

__all__ = ["JSONL", "SCHEMA", "Tables", "json_line", "open_tables"]

logger: logging.Logger = logging.getLogger("ochy_async")

SCHEMA: Final = 1
"""The version of a record. It increases when a field is removed or changes its meaning, not when one is added."""
JSONL: Final = "results.jsonl"
CSV: Final = "results.csv"
MIN_INTERVAL: Final = 5.0
"""Seconds between two updates of the tables while a run goes on, at least."""
INTERVAL_FACTOR: Final = 20
"""The interval is at least this many times as long as the last update took."""
READ_SIZE: Final = 1024 * 1024
"""Bytes that are read at a time."""

Record = Mapping[str, Any]


class _RecordPosition(NamedTuple):
    """Where a record is stored. Sorts like the input; records of an earlier run follow those of this run."""

    row: float
    earlier: bool
    """Whether it is stored in the table of an earlier run, and not in the file of this run."""
    offset: int
    size: int
    line: bytes = b""
    """The line itself, if it is stored in no file."""


@define(eq=False)
class Tables:
    """The tables of one run; nothing without a folder. A record that cannot be written costs no outcome.

    Memory: nothing while records are added; less than 1 kB for each record while the tables are written.
    """

    folder: Path | None
    clock: Callable[[], float] = time.monotonic
    _error: OutputError | None = field(default=None, init=False)
    """Why the tables are incomplete."""
    _finished: bool = field(default=False, init=False)
    _spool: FileIO | None = field(default=None, init=False)
    _next_write: float = field(default=0.0, init=False)

    async def add(self, record: Callable[[], Record]) -> None:
        """Adds a record, unless an earlier one failed. `record` is called in a worker thread."""
        if self._error is None:
            await self._in_thread(lambda: self._add(record()))

    async def finish(self, *, complete: bool = True) -> None:
        """Writes the tables. Raises the first error of this run, an `OutputError`.

        The tables of a complete run replace those in the folder; other records are added to them.
        """
        if self._error is None:
            self._finished = True
            await self._in_thread(lambda: self._finish(complete=complete))
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Adds all records to the tables in the folder if `finish` was not called, and frees the disk space."""
        if self._spool is None:
            return
        if self._error is None and not self._finished:
            await self._in_thread(lambda: self._finish(complete=False))
        await self._in_thread(self._close)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Runs `work` if there is a folder, and remembers its first error."""
        if self.folder is None:
            return
        try:
            await to_thread.run_sync(work)
        except OutputError as error:
            self._error = self._error or error
            logger.error("the tables are incomplete: %s", error)  # noqa: TRY400 - the text says everything

    # --- in a worker thread -------------------------------------------------------------------------

    def open(self) -> None:
        """Opens a nameless file for the records: a killed process leaves nothing behind. Raises `OutputError`."""
        if self.folder is not None:
            with output_errors(self.folder / JSONL):
                self._spool = tempfile.TemporaryFile(buffering=0, dir=self.folder)  # noqa: SIM115

    def _add(self, record: Record) -> None:
        with output_errors(self._path(JSONL)):
            self._records.seek(0, os.SEEK_END)
            write_all(self._records, f"{json_line(record)}\n".encode())
        started = self.clock()
        if started < self._next_write:
            return
        try:
            self._write(complete=False)
        except OutputError as error:  # retried later; `finish` reports a lasting error
            logger.warning("the tables are not up to date: %s", error)
        self._next_write = self.clock() + max(MIN_INTERVAL, INTERVAL_FACTOR * (self.clock() - started))

    def _finish(self, *, complete: bool) -> None:
        if complete or self._records.seek(0, os.SEEK_END):
            self._write(complete=complete)

    def _close(self) -> None:
        with output_errors(self._path(JSONL)):
            self._records.close()

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise LookupError("there is no folder for the tables")
        return self.folder / name

    @property
    def _records(self) -> FileIO:
        if self._spool is None:
            raise LookupError("the tables are not open")
        return self._spool

    def _write(self, *, complete: bool) -> None:
        """Writes both tables, each completely or not at all."""
        with ExitStack() as files:
            earlier = None
            if not complete:
                if self._is_foreign():
                    return
                earlier = self._earlier(files)
            with output_errors(self._path(JSONL)):
                lines = self._draft(JSONL, files)
                _write_lines(lines, self._positions(earlier), self._records, earlier)
            with output_errors(self._path(CSV)):
                table = self._draft(CSV, files)
                _write_csv(table, lines)
            for file, name in ((lines, JSONL), (table, CSV)):
                if earlier is not None:
                    earlier.close()  # Windows replaces no open file
                with output_errors(self._path(name)):
                    publish(file, Path(file.name), self._path(name))

    def _draft(self, name: str, files: ExitStack) -> FileIO:
        path = draft_path(self._path(name))
        files.callback(path.unlink, missing_ok=True)
        return files.enter_context(open_private(path, "x+b"))

    def _earlier(self, files: ExitStack) -> FileIO | None:
        """The records of an earlier run."""
        path = self._path(JSONL)
        with output_errors(path):
            return files.enter_context(path.open("rb", buffering=0)) if path.is_file() else None

    def _is_foreign(self) -> bool:
        """Whether the tables in the folder cannot be added to. Then they stay until a complete run replaces them."""
        with output_errors(self._path(JSONL)), ExitStack() as files:
            earlier = self._earlier(files)
            if earlier is None:
                return self._path(CSV).exists()
            return any(record.get("schema") != SCHEMA for _, record in _read_records(earlier))

    def _positions(self, earlier: FileIO | None) -> list[_RecordPosition]:
        """The positions of all records of the tables, in order. A record of this run replaces an earlier one."""
        with output_errors(self._path(JSONL)):
            if earlier is None:
                return sorted(position for position, _ in _read_records(self._records))
            index = _RunIndex()
            for position, record in _read_records(self._records):
                index.add(position, record)
            return sorted([*self._merged(earlier, index), *index.remaining])

    def _merged(self, earlier: FileIO, index: _RunIndex) -> Iterator[_RecordPosition]:
        """The earlier records that this run does not replace, and those that it completes."""
        for position, record in _read_records(earlier):
            partial = index.partial.get(record["analysis_id"])
            if partial is not None:
                index.completed.add(partial)
                yield position._replace(earlier=False, line=_completed(record, _record_at(self._records, partial)))
            elif not index.replaces(record):
                yield position._replace(earlier=True)


def json_line(record: Record) -> str:
    """Returns a record as one line of JSON in plain ASCII, without a line break."""
    return json.dumps(record)


@asynccontextmanager
async def open_tables(folder: Path | None) -> AsyncGenerator[Tables]:
    """The tables of one run, written however the block ends. Raises `OutputError` if they cannot be opened."""
    tables = Tables(folder)
    try:
        if folder is not None:
            await to_thread.run_sync(tables.open)
        yield tables
    finally:
        with CancelScope(shield=True):
            await tables.close()


@define(eq=False)
class _RunIndex:
    """Finds the records of this run that an earlier record belongs to."""

    positions: list[_RecordPosition] = field(factory=list)
    keys: set[int] = field(factory=set)
    """Hashes of journal key and clip name: copies of a clip have one line each."""
    names: set[int] = field(factory=set)
    """Hashes of clip names and of analysis ids."""
    partial: dict[str, _RecordPosition] = field(factory=dict)
    """Records that belong to no clip of an input, by the id of their analysis."""
    completed: set[_RecordPosition] = field(factory=set)
    """Partial records whose clip an earlier record names."""

    def add(self, position: _RecordPosition, record: Record) -> None:
        """Adds a record of this run."""
        self.positions.append(position)
        if record["index"] is None and record["analysis_id"]:
            self.partial[record["analysis_id"]] = position
        if record["clip"] is None:
            return
        self.names.update(hash(each) for each in (record["clip"], record["analysis_id"]) if each)
        if record["key"]:
            self.keys.add(hash((record["key"], record["clip"])))

    def replaces(self, record: Record) -> bool:
        """Whether this run has a newer record in place of an earlier one."""
        if record["key"]:
            return hash((record["key"], record["clip"])) in self.keys
        return hash(record["clip"] or record["analysis_id"]) in self.names

    @property
    def remaining(self) -> list[_RecordPosition]:
        """The records of this run that complete no earlier one."""
        return [position for position in self.positions if position not in self.completed]


def _completed(earlier: Record, partial: Record) -> bytes:
    """The line of a partial record, with what the earlier record says about the clip."""
    empty = [name for name, value in partial.items() if value in (None, [], {})]
    about_clip = {name: earlier[name] for name in empty if earlier.get(name)}
    same = {"clip": earlier["clip"] or partial["clip"], "index": earlier["index"]}
    record = {**partial, **about_clip, **same, "error": partial["error"]}
    return f"{json_line(record)}\n".encode()


def _read_records(file: FileIO) -> Iterator[tuple[_RecordPosition, dict[str, Any]]]:
    """Yields each record of a file with its position. A last line that was cut short is left out."""
    offset = 0
    for line in _lines(file):
        if line.endswith(b"\n"):
            record = _parsed(line)
            index = record.get("index")
            yield _RecordPosition(float("inf") if index is None else index, False, offset, len(line)), record
        offset += len(line)


def _parsed(line: bytes) -> dict[str, Any]:
    for parse in (orjson.loads, json.loads):  # orjson rejects half a surrogate pair, which file names may hold
        with suppress(ValueError):
            record = parse(line)
            return record if isinstance(record, dict) else {}
    return {}


def _lines(file: FileIO) -> Iterator[bytes]:
    """Yields the lines of an unbuffered file, whose position may change between two of them."""
    rest, position = b"", 0
    while True:
        file.seek(position)
        piece = file.read(READ_SIZE)
        position += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if not piece:
            yield rest
            return


def _record_at(file: FileIO, position: _RecordPosition) -> dict[str, Any]:
    return _parsed(_line_at(file, position))


def _line_at(file: FileIO, position: _RecordPosition) -> bytes:
    file.seek(position.offset)
    line = b""
    while len(line) < position.size and (piece := file.read(position.size - len(line))):
        line += piece
    return line


def _write_lines(lines: FileIO, positions: Iterable[_RecordPosition], records: FileIO, earlier: FileIO | None) -> None:
    for position in positions:
        source = earlier if position.earlier and earlier is not None else records
        write_all(lines, position.line or _line_at(source, position))


def _write_csv(table: FileIO, lines: FileIO) -> None:
    columns = CsvColumns.of(record for _, record in _read_records(lines))
    _write_text(table, columns.header())
    for _, record in _read_records(lines):
        _write_text(table, columns.line(record))


def _write_text(file: FileIO, text: str) -> None:
    # Half a surrogate pair, from a file name that could not be decoded, has no UTF-8 form and is escaped.
    write_all(file, text.encode(errors="backslashreplace"))
