"""The SQL of a journal: one connection, used by one thread at a time.

Invariant: every row is verified whenever it is read, and all rows are verified when the journal is opened. Errors of
SQLite pass through; the caller of the store translates them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ...errors import JournalConflict
from ...policy.clip_states import State
from ..contract import Entry, HistoryEntry, JournalTotals, StoredResults
from ..transitions import history_entry, next_version
from . import rows
from .connection import Connection, make_durable, pragma
from .errors import SQLITE_ERRORS, damaged_error, from_sqlite_error, unusable_error
from .files import FileId, file_id, file_size, find_or_create, location_warning, sibling
from .rows import ENTRIES, HISTORY, MARKS, NOTES, RESULTS, SEALED, TABLES, Row, Seal, Table, Values

__all__ = ["PAGE", "SCHEMA", "Store", "lock_store", "open_store", "write_empty"]

logger = logging.getLogger("ochy_async")

APPLICATION: Final = 0x4F636879
"""`Ochy` in ASCII, in the header of the file: distinguishes a journal from other databases."""
SCHEMA: Final = 1
"""Increases when older versions of this library would misread the file; a new state is enough."""
PAGE: Final = 200
"""Rows that are held in memory at once."""
BEFORE_ALL: Final = -(2**63)
"""A position before that of any row."""

_SEALS: Final = "seals"
_OPEN: Final = "open"


def open_store(path: Path) -> Store:
    """Opens the journal for this process alone, creates it if needed, verifies all rows, and marks it as open."""
    real = find_or_create(path, write_empty)
    if warning := location_warning(path):
        logger.warning("%s", warning)
    store = lock_store(real, path)
    try:
        store.verify()
        store.mark_open()
        store.remember_files(path.absolute(), sibling(real, "-wal"))
    except BaseException:
        store.connection.close()
        raise
    return store


def lock_store(real: Path, path: Path) -> Store:
    """Opens an existing journal for this process alone without verifying its rows. Error texts name it `path`."""
    log_found = file_size(sibling(real, "-wal")) > 0
    connection = Connection(real)
    try:
        _lock(connection, path)
    except BaseException:
        connection.close()
        raise
    return Store(connection, path, log_found=log_found)


def _lock(connection: Connection, path: Path) -> None:
    """Verifies that the file is a journal of this library, and locks out other processes."""
    pragma(connection, "locking_mode = EXCLUSIVE")  # before the first read: from here on no other process can change it
    if pragma(connection, "application_id") != APPLICATION:
        raise unusable_error(path, "is the database of another program", "Choose another file")
    version = pragma(connection, "user_version")
    if version > SCHEMA:
        raise unusable_error(path, f"was made by a newer ochy_async (schema {version})", "Update ochy_async")
    if version != SCHEMA:
        raise damaged_error(path, f"its schema version {version} is unknown")
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
        connection.discard_log_on_close()
    finally:
        connection.close()


def _schema(table: Table) -> str:
    # Columns without a type store a value unchanged; with a type, SQLite may convert it.
    columns = ", ".join(("seq INTEGER PRIMARY KEY", *table.columns, "checksum"))
    return f"CREATE TABLE {table.name} ({columns}, UNIQUE ({', '.join(table.unique)}))"


class Store:
    """The operations of a journal in SQL. A change is a function that `commit` calls with the store."""

    def __init__(self, connection: Connection, path: Path, *, log_found: bool = False) -> None:
        self.connection = connection
        self._path = path
        self._log_found = log_found
        """Whether a write-ahead log was found beside the file."""
        self._file_ids: dict[Path, FileId | None] = {}
        """The paths of the file and of its log, each with the id of the file there when the journal was opened."""
        self._seals: dict[str, Seal] = {}
        self._ids: set[str] = set()
        """The ids of the analyses in the history up to the row `_ids_to`."""
        self._ids_to = BEFORE_ALL

    # --- opening and closing ------------------------------------------------------------------------

    def verify(self) -> None:
        """Raises `JournalDamaged` unless every row is unchanged and the latest changes are there."""
        if self.log_is_missing():
            why = f"it was not closed, and {self._path.name}-wal with the latest changes is gone"
            raise damaged_error(self._path, why, "Put that file back beside the journal, or restore a copy of both")
        self.verify_rows()

    def log_is_missing(self) -> bool:
        """Whether the journal was not closed and its write-ahead log is gone: the latest changes may be missing.

        Raises `JournalDamaged` if the database itself is corrupt.
        """
        problem = self.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise damaged_error(self._path, "its pages contradict each other")
        return self._mark(_OPEN) == "yes" and not self._log_found

    def seals(self) -> dict[str, Seal]:
        """Returns the seal of each table, as the journal recorded it."""
        return rows.seals_of(self._mark(_SEALS))

    def verify_rows(self) -> None:
        """Raises `JournalDamaged` unless every row matches its checksum and every table its seal."""
        self._seals = self.seals()
        for table in SEALED:
            if self._computed_seal(table) != self._seals.get(table.name):
                raise damaged_error(self._path, f"rows of {table.name} are missing or older than they should be")

    def mark_open(self) -> None:
        """Marks the journal as open, which verifies that it can be written. From now on a lost log is noticed."""
        self.commit([lambda store: store.set_mark(_OPEN, "yes")])
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def remember_files(self, *paths: Path) -> None:
        """Remembers the files at these paths for `check_files`."""
        self._file_ids = {path: file_id(path) for path in paths}

    def check_files(self) -> None:
        """Raises `JournalUnusable` if the file or its log was deleted, moved or replaced since it was opened."""
        if any(file_id(path) != opened for path, opened in self._file_ids.items()):
            raise unusable_error(
                self._path,
                "was deleted, moved or replaced while it was open, so another run may be buying the same clips",
                "End that run, put this file back with its -wal, and run again; paid analyses are still collected",
            )

    def close(self) -> None:
        """Merges the log into the file and closes it. What cannot be merged stays in the write-ahead log."""
        try:
            # Merging first lets the log start over, so that a full disk still has room for the mark.
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self.commit([lambda store: store.set_mark(_OPEN, "no")])
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.connection.discard_log_on_close()
        except SQLITE_ERRORS as error:
            logger.warning(
                "%s The journal was not closed cleanly. Nothing is lost as long as %s-wal stays beside it.",
                from_sqlite_error(error, self._path),
                self._path.name,
            )
        finally:
            self.connection.close()

    def _computed_seal(self, table: Table) -> Seal:
        seal = Seal()
        for row in self._all_rows(table):
            seal = seal.replaced(None, row.checksum)
        return seal

    # --- changes ------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Callable[[Store], Any]]) -> list[Any]:
        """Makes changes in one durable step and returns the result of each.

        The result of a change that raises is its exception; such a change is rolled back alone.
        """
        seals = dict(self._seals)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            results = [self._attempt(change) for change in changes]
            if self._seals != seals:
                self.set_mark(_SEALS, rows.seals_text(self._seals))
            self.connection.execute("COMMIT")
        except BaseException:
            self._seals = seals
            with suppress(*SQLITE_ERRORS):  # SQLite may have rolled back already
                self.connection.execute("ROLLBACK")
            raise
        return results

    def _attempt(self, change: Callable[[Store], Any]) -> Any:
        seals = dict(self._seals)
        self.connection.execute("SAVEPOINT change")
        try:
            result = change(self)
        except SQLITE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the caller of this change raises it
            self.connection.execute("ROLLBACK TO change")
            self._seals = seals
            result = error
        self.connection.execute("RELEASE change")
        return result

    def put(self, entry: Entry, results: StoredResults | None) -> Entry:
        """A change: see `Journal.put`. No start is intended in a file that the next run would not find."""
        if entry.state is State.INTENDED:
            self.check_files()
        found = self._find(ENTRIES, rows.to_ascii(entry.key))
        stored = next_version(None if found is None else rows.entry_of(found.values), entry)
        self._write_row(ENTRIES, found, rows.entry_row(stored))
        self._write_row(HISTORY, None, rows.history_row(stored.key, history_entry(stored)))
        if results is not None:
            self._upsert(RESULTS, rows.results_row(stored.key, results))
        return stored

    def put_all(self, entries: Sequence[Entry]) -> None:
        """A change: see `Journal.put_all`."""
        for entry in entries:
            self.put(entry, None)

    def set_note(self, name: str, value: str) -> None:
        """A change: see `Journal.set_note`."""
        self._upsert(NOTES, rows.note_row(name, value))

    def set_mark(self, name: str, value: str) -> None:
        """A change: stores what the journal records about itself."""
        self._upsert(MARKS, rows.note_row(name, value))

    def _upsert(self, table: Table, values: Values) -> None:
        self._write_row(table, self._find(table, values[0]), values)

    def _write_row(self, table: Table, found: Row | None, values: Values) -> None:
        """Adds a row, or replaces the one that was found if that is still unchanged."""
        checksum = table.checksum(values)
        names = (*table.columns, "checksum")
        if found is None:
            places = ", ".join("?" * len(names))
            sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names from `rows`
            self.connection.execute(sql, (*values, checksum))
        else:
            sql = f"UPDATE {table.name} SET {' = ?, '.join(names)} = ? WHERE seq = ? AND checksum = ?"  # noqa: S608
            done = self.connection.execute(sql, (*values, checksum, found.seq, found.checksum))
            if done.rowcount != 1:
                raise JournalConflict(f"A journal row of {table.name} was changed by somebody else. Run again.")
        if table in SEALED:
            before = None if found is None else found.checksum
            self._seals[table.name] = self._seals[table.name].replaced(before, checksum)

    # --- reading ------------------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """See `Journal.get`."""
        found = self._find(ENTRIES, rows.to_ascii(key))
        return None if found is None else rows.entry_of(found.values)

    def results(self, key: str) -> StoredResults | None:
        """See `Journal.results`."""
        found = self._find(RESULTS, rows.to_ascii(key))
        return None if found is None else rows.results_of(found.values)

    def entries(self, states: tuple[State, ...], after: int) -> list[tuple[int, Entry]]:
        """Returns a page of entries in these states (all, if none is named) after a position, each with its own."""
        condition = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
        page = self._read_rows(ENTRIES, f"WHERE seq > ? {condition} ORDER BY seq LIMIT {PAGE}", (after, *states))
        return [(row.seq, rows.entry_of(row.values)) for row in page]

    def history(self, key: str) -> tuple[HistoryEntry, ...]:
        """See `Journal.history`."""
        changes = self._read_rows(HISTORY, "WHERE key = ? ORDER BY version", (rows.to_ascii(key),))
        return tuple(rows.history_of(row.values) for row in changes)

    def totals(self) -> JournalTotals:
        """See `Journal.totals`."""
        entries: dict[State, int] = {}
        credits_ = 0
        for row in self._all_rows(ENTRIES):
            state = State(row.values[1])
            entries[state] = entries.get(state, 0) + 1
            credits_ += row.values[3]
        return JournalTotals(entries=entries, credits=credits_)

    def analysis_ids(self) -> frozenset[str]:
        """See `Journal.analysis_ids`."""
        # Every lookup asks for the ids, and history only grows: rows that were read and verified are not read again.
        for row in self._all_rows(HISTORY, self._ids_to):
            self._ids_to, analysis_id = row.seq, rows.history_of(row.values).analysis_id
            self._ids |= {analysis_id} if analysis_id is not None else set()
        return frozenset(self._ids)

    def notes(self, prefix: str) -> Mapping[str, str]:
        """See `Journal.notes`."""
        start = rows.to_ascii(prefix)
        # All text is ASCII, so every name with this prefix sorts before the prefix followed by a higher character.
        page = self._read_rows(NOTES, "WHERE name >= ? AND name < ? ORDER BY name", (start, f"{start}\x80"))
        return dict(rows.note_of(row.values) for row in page)

    def _mark(self, name: str) -> str:
        found = self._find(MARKS, name)
        if found is None:
            raise damaged_error(self._path, f"its own mark {name!r} is missing")
        return rows.note_of(found.values)[1]

    def _find(self, table: Table, name: str) -> Row | None:
        return next(iter(self._read_rows(table, f"WHERE {table.unique[0]} = ?", (name,))), None)

    def _all_rows(self, table: Table, after: int = BEFORE_ALL) -> Iterator[Row]:
        """Yields all rows after a position, in bounded memory."""
        while page := self._read_rows(table, f"WHERE seq > ? ORDER BY seq LIMIT {PAGE}", (after,)):
            yield from page
            after = page[-1].seq

    def unverified_rows(self, table: Table, condition: str = "", values: Values = ()) -> Iterator[Row]:
        """Yields rows without comparing their checksums."""
        sql = f"SELECT seq, {', '.join(table.columns)}, checksum FROM {table.name} {condition}"  # noqa: S608 - names from `rows`
        for row in self.connection.execute(sql, values):
            yield Row(row[0], row[1:-1], row[-1])

    def _read_rows(self, table: Table, condition: str, values: Values) -> list[Row]:
        """Returns verified rows. Raises `JournalDamaged` for the first that does not match its checksum."""
        found = list(self.unverified_rows(table, condition, values))
        for row in found:
            if not table.matches(row):
                raise damaged_error(self._path, f"a row of {table.name} does not match its checksum")
        return found
