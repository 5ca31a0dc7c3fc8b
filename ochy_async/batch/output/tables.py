"""The tables over many outcomes: `results.jsonl`, one record a line, and `results.csv`, which is made of it.

Invariant: the tables are in the order of the input, whole or not there, and stand as far as a run has come, also
after a power cut. A run that ends early adds to the tables that stand there and takes nothing away; only a whole run
replaces them. All of it is work for a worker thread.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
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

from ...errors import OutputError
from .columns import CsvColumns
from .folder import output_errors, publish, write_all
from .records import SCHEMA, json_line

__all__ = ["TableWriter", "Tables", "tabled"]

logger = logging.getLogger("ochy_async")

LINES: Final = "results.jsonl"
TABLE: Final = "results.csv"
OFTEN: Final = 5.0
"""Seconds for which the tables are left alone while a run goes on, at least."""
PIECE: Final = 1024 * 1024
"""Bytes that are read at a time."""
SHARE: Final = 20
"""How many times as long as it took to make the tables they are left alone."""

Record = Mapping[str, Any]


class _RecordPosition(NamedTuple):
    """Where a line is, sorted as the input is; those of an earlier run come behind those of this one."""

    rank: float
    old: bool
    offset: int
    size: int
    line: bytes = b""
    """The line itself, where it stands in no file."""


@define(eq=False)
class TableWriter:
    """The tables of one run. Each method raises `OutputError`.

    Memory: nothing while records come; while the tables are made, less than 1 kB for each record.
    """

    folder: Path
    clock: Callable[[], float] = time.monotonic
    _spool: FileIO | None = field(default=None, init=False)
    _due: float = field(default=0.0, init=False)

    def begin(self) -> None:
        """Finds room for the records: a file without a name, so that nothing of it is left by whoever is killed."""
        with output_errors(self.folder / LINES):
            self._spool = tempfile.TemporaryFile(buffering=0, dir=self.folder)  # noqa: SIM115

    def add(self, record: Record) -> None:
        """Adds a record, and makes the tables if that is due."""
        with output_errors(self.folder / LINES):
            self._opened.seek(0, os.SEEK_END)
            write_all(self._opened, f"{json_line(record)}\n".encode())
        began = self.clock()
        if began < self._due:
            return
        try:
            self._make(whole=False)
        except OutputError as trouble:  # tried again later; what is wrong for good is told at the end
            logger.warning("the tables are not up to date: %s", trouble)
        self._due = self.clock() + max(OFTEN, SHARE * (self.clock() - began))

    def finish(self, *, whole: bool) -> None:
        """Makes the tables. Those of a whole run replace what stands there; others are added to it."""
        if whole or self._opened.seek(0, os.SEEK_END):
            self._make(whole=whole)

    def close(self) -> None:
        """Gives the room back."""
        if self._spool is not None:
            with output_errors(self.folder):
                self._spool.close()

    @property
    def _opened(self) -> FileIO:
        if self._spool is None:
            raise LookupError("the tables were not begun")
        return self._spool

    def _make(self, *, whole: bool) -> None:
        """Both tables, each whole or not at all."""
        with ExitStack() as files:
            standing = None
            if not whole:
                if self._foreign():
                    return
                standing = self._standing(files)
            with output_errors(self.folder / LINES):
                lines = self._draft(LINES, files)
                _write_lines(lines, self._places(standing), self._opened, standing)
            with output_errors(self.folder / TABLE):
                table = self._draft(TABLE, files)
                _write_table(table, lines)
            for file, name in ((lines, LINES), (table, TABLE)):
                if standing is not None:
                    standing.close()  # Windows replaces no file that is open
                with output_errors(self.folder / name):
                    publish(file, Path(file.name), self.folder / name)

    def _draft(self, name: str, files: ExitStack) -> FileIO:
        path = self.folder / f".{name}.{secrets.token_hex(8)}.tmp"
        files.callback(path.unlink, missing_ok=True)
        return files.enter_context(path.open("w+b", buffering=0))

    def _standing(self, files: ExitStack) -> FileIO | None:
        """The records of an earlier run."""
        path = self.folder / LINES
        with output_errors(path):
            return files.enter_context(path.open("rb", buffering=0)) if path.is_file() else None

    def _foreign(self) -> bool:
        """Whether tables stand there that cannot be added to: then they stay until a whole run replaces them."""
        with output_errors(self.folder / LINES), ExitStack() as files:
            standing = self._standing(files)
            if standing is None:
                return (self.folder / TABLE).exists()
            return any(record.get("schema") != SCHEMA for _, record in _records(standing))

    def _places(self, standing: FileIO | None) -> list[_RecordPosition]:
        """Every record that the tables hold, by its place, in order. What is known twice is taken from this run."""
        with output_errors(self.folder / LINES):
            if standing is None:
                return sorted(place for place, _ in _records(self._opened))
            known = _RunIndex()
            for place, record in _records(self._opened):
                known.add(place, record)
            return sorted([*self._kept(standing, known), *known.places_left])

    def _kept(self, standing: FileIO, known: _RunIndex) -> Iterator[_RecordPosition]:
        """The records of an earlier run that this one does not replace, and those that it completes."""
        for place, record in _records(standing):
            bare = known.bare.get(record["analysis_id"])
            if bare is not None:
                known.completed.add(bare)
                yield place._replace(old=False, line=_completed(record, _read(self._opened, bare)))
            elif not known.has(record):
                yield place._replace(old=True)


@define(eq=False)
class _RunIndex:
    """What a run has told so far."""

    places: list[_RecordPosition] = field(factory=list)
    keys: set[int] = field(factory=set)
    """Hashes of each identity in the journal with the name of the clip: copies of a clip have a line each."""
    named: set[int] = field(factory=set)
    """Hashes of clips and of ids of analyses."""
    bare: dict[str, _RecordPosition] = field(factory=dict)
    """By the id of the analysis, what tells nothing else of its clip."""
    completed: set[_RecordPosition] = field(factory=set)

    def add(self, place: _RecordPosition, record: Record) -> None:
        """Takes note of a record."""
        self.places.append(place)
        if record["clip"] is None:
            self.bare[record["analysis_id"]] = place
            return
        self.named.update(hash(each) for each in (record["clip"], record["analysis_id"]) if each)
        if record["key"]:
            self.keys.add(hash((record["key"], record["clip"])))

    def has(self, record: Record) -> bool:
        """Whether a record of an earlier run is one of these by now."""
        if record["key"]:
            return hash((record["key"], record["clip"])) in self.keys
        return hash(record["clip"] or record["analysis_id"]) in self.named

    @property
    def places_left(self) -> list[_RecordPosition]:
        """Those that complete no record of an earlier run."""
        return [place for place in self.places if place not in self.completed]


def _completed(old: Record, new: Record) -> bytes:
    """The new record, with what the old one says of the clip."""
    told = {name: old[name] for name, value in new.items() if value in (None, [], {}) and old.get(name)}
    return f"{json_line({**new, **told, 'index': old['index'], 'error': new['error']})}\n".encode()


def _records(file: FileIO) -> Iterator[tuple[_RecordPosition, dict[str, Any]]]:
    """Each record of a file with its place. A last line that was cut short is none."""
    offset = 0
    for line in _lines(file):
        if line.endswith(b"\n"):
            record = _loaded(line)
            index = record.get("index")
            yield _RecordPosition(float("inf") if index is None else index, False, offset, len(line)), record
        offset += len(line)


def _loaded(line: bytes) -> dict[str, Any]:
    for read in (orjson.loads, json.loads):  # the former takes no half of a surrogate pair, which file names do have
        with suppress(ValueError):
            told = read(line)
            return told if isinstance(told, dict) else {}
    return {}


def _lines(file: FileIO) -> Iterator[bytes]:
    """The lines of an unbuffered file, which may be read elsewhere between two of them."""
    rest, position = b"", 0
    while True:
        file.seek(position)
        piece = file.read(PIECE)
        position += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if not piece:
            yield rest
            return


def _read(file: FileIO, place: _RecordPosition) -> dict[str, Any]:
    return _loaded(_line_at(file, place))


def _line_at(file: FileIO, place: _RecordPosition) -> bytes:
    file.seek(place.offset)
    line = b""
    while len(line) < place.size and (piece := file.read(place.size - len(line))):
        line += piece
    return line


def _write_lines(lines: FileIO, places: Iterable[_RecordPosition], spool: FileIO, standing: FileIO | None) -> None:
    for place in places:
        source = standing if place.old and standing is not None else spool
        write_all(lines, place.line or _line_at(source, place))


def _write_table(table: FileIO, lines: FileIO) -> None:
    columns = CsvColumns.of(record for _, record in _records(lines))
    _spell(table, columns.header())
    for _, record in _records(lines):
        _spell(table, columns.line(record))


def _spell(file: FileIO, text: str) -> None:
    # What UTF-8 cannot spell (half a surrogate pair, from an undecodable file name) is escaped.
    write_all(file, text.encode(errors="backslashreplace"))


# --- on the event loop ----------------------------------------------------------------------------


@define(eq=False)
class Tables:
    """The tables of one run; without a folder there are none. A record that cannot be written costs no outcome."""

    tables: TableWriter | None
    trouble: OutputError | None = field(default=None, init=False)
    """Why the tables are not complete."""
    whole: bool = field(default=False, init=False)
    """Whether they were finished."""

    async def begin(self) -> None:
        """Opens them. Raises `OutputError`."""
        if self.tables is not None:
            await to_thread.run_sync(self.tables.begin)

    async def add(self, record: Callable[[], Record]) -> None:
        """Adds a record, as long as there was no trouble."""
        if self.tables is not None and self.trouble is None:
            await self._tried(lambda tables: tables.add(record()))

    async def finish(self, *, whole: bool = True) -> None:
        """Makes them the tables of the folder. Raises the first trouble that there was with them."""
        if self.trouble is None and self.tables is not None:
            self.whole = True
            await self._tried(lambda tables: tables.finish(whole=whole))
        if self.trouble is not None:
            raise self.trouble

    async def close(self) -> None:
        """Makes them of what there is, if they were not finished."""
        if self.tables is None:
            return
        if self.trouble is None and not self.whole:
            await self._tried(lambda tables: tables.finish(whole=False))
        await self._tried(lambda tables: tables.close())

    async def _tried(self, what: Callable[[TableWriter], None]) -> None:
        if self.tables is None:
            return
        try:
            await to_thread.run_sync(what, self.tables)
        except OutputError as trouble:
            self.trouble = self.trouble or trouble
            logger.error("the tables stay incomplete: %s", trouble)  # noqa: TRY400 - the text says it all


@asynccontextmanager
async def tabled(folder: Path | None) -> AsyncGenerator[Tables]:
    """The tables of one run, made and closed whatever happens. Raises `OutputError` where they cannot be begun."""
    tables = Tables(None if folder is None else TableWriter(folder))
    try:
        await tables.begin()
        yield tables
    finally:
        with CancelScope(shield=True):
            await tables.close()
