"""The SQL of a journal: one connection, used by one thread at a time.

Invariant: every row is checked whenever it is read, and all of them before the first one counts.
What SQLite raises passes through; only who holds the store translates it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ...errors import JournalConflict
from ...policy.clip_states import State
from ..contract import Entry, Kept, Past, Tally
from ..transitions import changed, past
from . import rows
from .connection import Connection, make_durable, pragma
from .errors import SQLITE_ERRORS, damaged, of_sqlite, unusable
from .files import Identity, beside, doubt_about, find_or_make, identity, size_of
from .rows import ENTRIES, HISTORY, MARKS, NOTES, RESULTS, SEALED, TABLES, Row, Seal, Table, Values

__all__ = ["PAGE", "SCHEMA", "Store", "claimed", "open_store", "write_empty"]

logger = logging.getLogger("ochy_async")

APPLICATION: Final = 0x4F636879
"""`Ochy`, in the header of the file: what tells a journal from other databases."""
SCHEMA: Final = 1
"""Goes up when older versions of this library could no longer read the file rightly: a new state is enough."""
PAGE: Final = 200
"""Rows that are in memory at once."""
BEFORE_ALL: Final = -(2**63)
"""A place before that of any row."""

_SEALS: Final = "seals"
_OPEN: Final = "open"


def open_store(path: Path) -> Store:
    """Opens the journal for this process alone, making it if it is new; checks all rows; writes a first line."""
    real = find_or_make(path, write_empty)
    if doubt := doubt_about(path):
        logger.warning("%s", doubt)
    store = claimed(real, path)
    try:
        store.check()
        store.mark_open()
        store.watch(path.absolute(), beside(real, "-wal"))
    except BaseException:
        store.connection.close()
        raise
    return store


def claimed(real: Path, path: Path) -> Store:
    """The journal in an existing file, for this process alone; nothing of it is checked. `path`: what it is called."""
    latest = size_of(beside(real, "-wal"))
    connection = Connection(real)
    try:
        _claim(connection, path)
    except BaseException:
        connection.close()
        raise
    return Store(connection, path, logged=latest > 0)


def _claim(connection: Connection, path: Path) -> None:
    """Makes sure that it is a journal of ours, and keeps other processes out of it."""
    pragma(connection, "locking_mode = EXCLUSIVE")  # before anything is read: nobody else may change it from here on
    if pragma(connection, "application_id") != APPLICATION:
        raise unusable(path, "is the database of another program", "Choose another file")
    version = pragma(connection, "user_version")
    if version > SCHEMA:
        raise unusable(path, f"was made by a newer ochy_async (schema {version})", "Update ochy_async")
    if version != SCHEMA:
        raise damaged(path, f"there is no schema {version}")
    make_durable(connection, path)
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def write_empty(path: Path) -> None:
    """Writes an empty journal into an empty file."""
    connection = Connection(path)
    try:
        make_durable(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        for table in TABLES:
            connection.execute(_schema(table))
        store = Store(connection, path)
        store.set_mark(_SEALS, rows.seals_text({table.name: Seal() for table in SEALED}))
        store.set_mark(_OPEN, "no")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.release()
    finally:
        connection.close()


def _schema(table: Table) -> str:
    # Columns without a type keep a value as it is given; with one, SQLite may convert it.
    columns = ", ".join(("seq INTEGER PRIMARY KEY", *table.columns, "checksum"))
    return f"CREATE TABLE {table.name} ({columns}, UNIQUE ({', '.join(table.unique)}))"


class Store:
    """What a journal does, in SQL. A change is a function of the store that `commit` calls."""

    def __init__(self, connection: Connection, path: Path, *, logged: bool = False) -> None:
        self.connection = connection
        self._path = path
        self._logged = logged
        """Whether its write-ahead log was found beside it."""
        self._places: dict[Path, Identity | None] = {}
        """Where it must still be found: its name and that of its log, each with the file that they led to."""
        self._seals: dict[str, Seal] = {}
        self._ids: set[str] = set()
        """The analyses in the history up to the place `_ids_to`."""
        self._ids_to = BEFORE_ALL

    # --- opening and closing ------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `JournalDamaged` unless the file is what was written, and its latest changes are there."""
        if self.lacks_log():
            why = f"it was not closed, and the latest changes, in {self._path.name}-wal beside it, are gone"
            raise damaged(self._path, why, "Put that file back, or restore a copy of both")
        self.prove()

    def lacks_log(self) -> bool:
        """Whether it was not closed and its write-ahead log is gone: then the latest changes may be missing."""
        problem = self.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise damaged(self._path, "its pages contradict each other")
        return self._mark(_OPEN) == "yes" and not self._logged

    def seals(self) -> dict[str, Seal]:
        """What all rows of each table come to, as the journal notes it about itself."""
        return rows.seals_of(self._mark(_SEALS))

    def prove(self) -> None:
        """Raises `JournalDamaged` unless every row has its checksum, and every table its seal."""
        self._seals = self.seals()
        for table in SEALED:
            if self._seal_of(table) != self._seals.get(table.name):
                raise damaged(self._path, f"rows of {table.name} are missing or older than they should be")

    def mark_open(self) -> None:
        """Makes sure that it can be written, and that its write-ahead log would be missed from now on."""
        self.commit([lambda store: store.set_mark(_OPEN, "yes")])
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def watch(self, *places: Path) -> None:
        """From now on `check_places` makes sure that these names lead to the files that they lead to now."""
        self._places = {place: identity(place) for place in places}

    def check_places(self) -> None:
        """Raises `JournalUnusable` where the file, or its log, was deleted, moved or replaced since it was opened."""
        if any(identity(place) != first for place, first in self._places.items()):
            raise unusable(
                self._path,
                "was deleted, moved or replaced while it was open, so another run may be buying the same clips",
                "End that run, put this file back with its -wal, and run again; what is paid is still collected",
            )

    def close(self) -> None:
        """Gives the file back, with all changes in it; what cannot be tidied up stays in the write-ahead log."""
        try:
            # All is merged before: then the log begins anew, and a full disk has room for the mark.
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self.commit([lambda store: store.set_mark(_OPEN, "no")])
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.connection.release()
        except SQLITE_ERRORS as error:
            logger.warning(
                "%s It was not closed in order; nothing is lost as long as %s-wal stays beside it.",
                of_sqlite(error, self._path),
                self._path.name,
            )
        finally:
            self.connection.close()

    def _seal_of(self, table: Table) -> Seal:
        seal = Seal()
        for row in self._all(table):
            seal = seal.replaced(None, row.checksum)
        return seal

    # --- changes ------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Callable[[Store], Any]]) -> list[Any]:
        """Makes changes in one durable step. What one of them raises is its answer, and leaves no trace."""
        seals = dict(self._seals)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            answers = [self._tried(change) for change in changes]
            if self._seals != seals:
                self.set_mark(_SEALS, rows.seals_text(self._seals))
            self.connection.execute("COMMIT")
        except BaseException:
            self._seals = seals
            with suppress(*SQLITE_ERRORS):  # SQLite may have rolled back already
                self.connection.execute("ROLLBACK")
            raise
        return answers

    def _tried(self, change: Callable[[Store], Any]) -> Any:
        seals = dict(self._seals)
        self.connection.execute("SAVEPOINT change")
        try:
            answer = change(self)
        except SQLITE_ERRORS:
            raise
        except Exception as refused:  # noqa: BLE001 - it is given to whoever asked for the change
            self.connection.execute("ROLLBACK TO change")
            self._seals = seals
            answer = refused
        self.connection.execute("RELEASE change")
        return answer

    def put(self, entry: Entry, kept: Kept | None) -> Entry:
        """A change: see `Journal.put`. Nothing is intended in a file that nobody else would find."""
        if entry.state is State.INTENDED:
            self.check_places()
        found = self._found(ENTRIES, rows.plain(entry.key))
        stored = changed(None if found is None else rows.entry_of(found.values), entry)
        self._store(ENTRIES, found, rows.entry_row(stored))
        self._store(HISTORY, None, rows.past_row(stored.key, past(stored)))
        if kept is not None:
            self._set(RESULTS, rows.kept_row(stored.key, kept))
        return stored

    def put_all(self, entries: Sequence[Entry]) -> None:
        """A change: see `Journal.put_all`."""
        for entry in entries:
            self.put(entry, None)

    def set_note(self, name: str, value: str) -> None:
        """A change: see `Journal.set_note`."""
        self._set(NOTES, rows.note_row(name, value))

    def set_mark(self, name: str, value: str) -> None:
        """A change: what the journal notes about itself."""
        self._set(MARKS, rows.note_row(name, value))

    def _set(self, table: Table, values: Values) -> None:
        self._store(table, self._found(table, values[0]), values)

    def _store(self, table: Table, found: Row | None, values: Values) -> None:
        """Adds a row, or sets it in place of the one that was found: only if that is still the same."""
        checksum = table.checksum(values)
        names = (*table.columns, "checksum")
        if found is None:
            places = ", ".join("?" * len(names))
            sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of ours
            self.connection.execute(sql, (*values, checksum))
        else:
            sql = f"UPDATE {table.name} SET {' = ?, '.join(names)} = ? WHERE seq = ? AND checksum = ?"  # noqa: S608
            done = self.connection.execute(sql, (*values, checksum, found.seq, found.checksum))
            if done.rowcount != 1:
                raise JournalConflict(f"A row of {table.name} was changed by somebody else meanwhile. Run again.")
        if table in SEALED:
            before = None if found is None else found.checksum
            self._seals[table.name] = self._seals[table.name].replaced(before, checksum)

    # --- reading ------------------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """See `Journal.get`."""
        found = self._found(ENTRIES, rows.plain(key))
        return None if found is None else rows.entry_of(found.values)

    def kept(self, key: str) -> Kept | None:
        """See `Journal.kept`."""
        found = self._found(RESULTS, rows.plain(key))
        return None if found is None else rows.kept_of(found.values)

    def entries(self, states: tuple[State, ...], after: int) -> list[tuple[int, Entry]]:
        """A page of entries in these states (all, if none is named) behind a place, each with its own."""
        asked = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
        page = self._read(ENTRIES, f"WHERE seq > ? {asked} ORDER BY seq LIMIT {PAGE}", (after, *states))
        return [(row.seq, rows.entry_of(row.values)) for row in page]

    def history(self, key: str) -> tuple[Past, ...]:
        """See `Journal.history`."""
        lines = self._read(HISTORY, "WHERE key = ? ORDER BY version", (rows.plain(key),))
        return tuple(rows.past_of(row.values) for row in lines)

    def tally(self) -> Tally:
        """See `Journal.tally`."""
        entries: dict[State, int] = {}
        credits_ = 0
        for row in self._all(ENTRIES):
            state = State(row.values[1])
            entries[state] = entries.get(state, 0) + 1
            credits_ += row.values[3]
        return Tally(entries=entries, credits=credits_)

    def analysis_ids(self) -> frozenset[str]:
        """See `Journal.analysis_ids`."""
        # Each lookup asks, and history is only ever added to: what was read, and checked, is not read again.
        for row in self._all(HISTORY, self._ids_to):
            self._ids_to, analysis_id = row.seq, rows.past_of(row.values).analysis_id
            self._ids |= {analysis_id} if analysis_id is not None else set()
        return frozenset(self._ids)

    def notes(self, prefix: str) -> Mapping[str, str]:
        """See `Journal.notes`."""
        start = rows.plain(prefix)
        # All text is ASCII, so every name that begins so sorts before the same beginning and more than ASCII.
        page = self._read(NOTES, "WHERE name >= ? AND name < ? ORDER BY name", (start, f"{start}\x80"))
        return dict(rows.note_of(row.values) for row in page)

    def _mark(self, name: str) -> str:
        found = self._found(MARKS, name)
        if found is None:
            raise damaged(self._path, f"it does not say {name!r} about itself")
        return rows.note_of(found.values)[1]

    def _found(self, table: Table, name: str) -> Row | None:
        return next(iter(self._read(table, f"WHERE {table.unique[0]} = ?", (name,))), None)

    def _all(self, table: Table, after: int = BEFORE_ALL) -> Iterator[Row]:
        """All rows behind a place, in bounded memory."""
        while page := self._read(table, f"WHERE seq > ? ORDER BY seq LIMIT {PAGE}", (after,)):
            yield from page
            after = page[-1].seq

    def unchecked(self, table: Table, which: str = "", values: Values = ()) -> Iterator[Row]:
        """Rows as they were found, which need not be what was written."""
        sql = f"SELECT seq, {', '.join(table.columns)}, checksum FROM {table.name} {which}"  # noqa: S608 - ours
        for row in self.connection.execute(sql, values):
            yield Row(row[0], row[1:-1], row[-1])

    def _read(self, table: Table, which: str, values: Values) -> list[Row]:
        """Rows that were checked. Raises `JournalDamaged` for the first that is not what was written."""
        found = list(self.unchecked(table, which, values))
        for row in found:
            if not table.proves(row):
                raise damaged(self._path, f"a row of {table.name} does not match its checksum")
        return found
