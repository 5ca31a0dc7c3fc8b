"""The SQL of a journal: one connection, used by one thread at a time.

Invariant: every row is verified whenever it is read, and nothing that a run needs grows with what is finished. All rows
are verified when a small journal is opened. Errors of SQLite pass through; the caller of the store translates them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from ...errors import JournalConflict
from ...policy.clip_states import UNSENT, State
from ..contract import Entry, HistoryEntry, JournalTotals, StoredResults
from ..transitions import (
    HOLDS_SUBJECT,
    analysis_conflict,
    check_limit,
    history_entry,
    next_version,
    subject_conflict,
    with_analysis,
)
from . import rows
from .connection import Connection, make_durable, pragma
from .errors import SQLITE_ERRORS, damaged_error, from_sqlite_error, unusable_error
from .files import FileId, file_id, file_size, find_or_create, location_warning, sibling
from .rows import ANALYSES, ENTRIES, HISTORY, MARKS, NOTES, RESULTS, SEALED, TABLES, Row, Summary, Table, Values

__all__ = ["PAGE", "SCHEMA", "Store", "lock_store", "open_store", "write_empty"]

logger: logging.Logger = logging.getLogger("ochy_async")

APPLICATION: Final = 0x4F636879
"""`Ochy` in ASCII, in the header of the file: distinguishes a journal from other databases."""
SCHEMA: Final = 3
"""Increases when older versions of this library would misread the file; a new state is enough.

Schema 1 has no `SENDING`: an intent in it may have been sent completely. Schema 2 has no `ANALYSES`,
no totals and no index of states.
"""
PAGE: Final = 200
"""Rows that are held in memory at once."""
BEFORE_ALL: Final = -(2**63)
"""A position before that of any row."""

VERIFIED_ROWS: Final = 3_500
"""A journal with more rows is not verified completely when it is opened, so that opening does not grow with it: a row
takes 10 µs."""
_BY_STATE: Final = "entries_by_state"
_INDEX: Final = f"CREATE INDEX {_BY_STATE} ON {ENTRIES.name} (state)"  # the position `seq` is part of every index

_SENT_BY_SCHEMA_1: Final = "Intended by an older version, which did not record whether the complete clip was sent."
_SEALS: Final = "seals"
_OPEN: Final = "open"
_SUBJECT: Final = "lane:"
"""The prefix of a note about a tagging subject, which ends with its id."""
_RETIRED: Final = "retired"
"""The value of that note when the subject tags no start any more."""
_DIGEST: Final = "digest:"
"""The prefix of a note with the digest of a source, whose name it ends with."""


def open_store(path: Path) -> Store:
    """Opens the journal for this process alone, creates it if needed, verifies it, and marks it as open."""
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
    if version < 1:
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
        connection.execute(_INDEX)
        store = Store(connection, path)
        store.set_mark(_SEALS, rows.summary_text(Summary()))
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


def _committed(entry: Entry, held: Container[str]) -> int:
    """The credits of an entry that count as spent: see `JournalTotals.committed`."""
    return entry.credits if entry.key in held else entry.committed


class Store:
    """The operations of a journal in SQL. A change is a function that `commit` calls with the store."""

    def __init__(self, connection: Connection, path: Path, *, log_found: bool = False) -> None:
        self.connection = connection
        self._path = path
        self._log_found = log_found
        """Whether a write-ahead log was found beside the file."""
        self._file_ids: dict[Path, FileId | None] = {}
        """The paths of the file and of its log, each with the id of the file there when the journal was opened."""
        self._summary = Summary()

    # --- opening and closing ------------------------------------------------------------------------

    def verify(self) -> None:
        """Raises `JournalDamaged` unless the latest changes are there and, in a small journal, every row is unchanged.

        A journal of an older version is verified completely, whatever its size.
        """
        self.verify_log()
        self._summary = self.recorded_summary()
        if self._summary.rows <= VERIFIED_ROWS or self._schema() < SCHEMA:
            self.verify_all()

    def verify_log(self) -> None:
        """Raises `JournalDamaged` if the latest changes may be missing."""
        if self.log_is_missing():
            why = f"it was not closed, and {self._path.name}-wal with the latest changes is gone"
            raise damaged_error(self._path, why, "Put that file back beside the journal, or restore a copy of both")

    def log_is_missing(self) -> bool:
        """Whether the journal was not closed and its write-ahead log is gone: the latest changes may be missing."""
        return self._mark(_OPEN) == "yes" and not self._log_found

    def recorded_summary(self) -> Summary:
        """Returns the summary of all rows, as the journal recorded it."""
        return rows.summary_of(self._mark(_SEALS))

    def sealed(self) -> tuple[Table, ...]:
        """Returns the tables of the file that have a seal."""
        return SEALED if self._schema() >= 3 else tuple(table for table in SEALED if table is not ANALYSES)

    def _schema(self) -> int:
        return int(pragma(self.connection, "user_version"))

    def verify_pages(self) -> None:
        """Raises `JournalDamaged` if the database itself is corrupt."""
        problem = self.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise damaged_error(self._path, "its pages contradict each other")

    def verify_all(self) -> Summary:
        """Returns the summary of all rows, or raises `JournalDamaged` if one does not match what was recorded."""
        self.verify_pages()
        recorded, found = self.recorded_summary(), Summary()
        for table in self.sealed():
            for row in self._all_rows(table):
                found = found.replaced(table, None, row)
            if found.seal(table) != recorded.seal(table):
                raise damaged_error(self._path, f"rows of {table.name} are missing or older than they should be")
        if self._schema() >= 3 and (found.states, found.credits) != (recorded.states, recorded.credits):
            raise damaged_error(self._path, "its totals are not those of its entries")
        self._summary = found
        return found

    def mark_open(self) -> None:
        """Marks the journal as open, which verifies that it can be written. From now on a lost log is noticed.

        In the same step, a journal of an older version becomes one of this version, which older versions refuse.
        """
        for result in self.commit([Store.upgrade, lambda store: store.set_mark(_OPEN, "yes")]):
            if isinstance(result, Exception):
                raise result
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def upgrade(self, recover: Callable[[Store], Any] | None = None) -> None:
        """A change: makes the journal one of this version, with `recover` as soon as it has all tables.

        Whatever schema 1 intended may have been sent completely, so it becomes `SENDING`.
        """
        schema = self._schema()
        if schema < 3:
            self._add_analyses()
        if recover is not None:
            recover(self)
        while schema < 2 and (page := self.entries((State.INTENDED,), BEFORE_ALL)):  # until none is left
            for _, entry in page:
                self.put(evolve(entry, state=State.SENDING, reason=_SENT_BY_SCHEMA_1), None)
        if schema != SCHEMA:
            self.connection.execute(f"PRAGMA user_version = {SCHEMA}")
            self.set_mark(_SEALS, rows.summary_text(self._summary))  # with the totals, even if no row was added

    def _add_analyses(self) -> None:
        self.connection.execute(_schema(ANALYSES))
        self.connection.execute(_INDEX)
        for row in self._all_rows(HISTORY):
            analysis_id, key = rows.history_of(row.values).analysis_id, rows.history_key(row.values)
            if analysis_id is not None and self._owner(analysis_id) is None:
                self._write_row(ANALYSES, None, rows.analysis_row(analysis_id, key))

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

    # --- changes ------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Callable[[Store], Any]]) -> list[Any]:
        """Makes changes in one durable step and returns the result of each.

        The result of a change that raises is its exception; such a change is rolled back alone.
        """
        summary = self._summary
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            results = [self._attempt(change) for change in changes]
            if self._summary != summary:
                self.set_mark(_SEALS, rows.summary_text(self._summary))
            self.connection.execute("COMMIT")
        except BaseException:
            self._summary = summary
            with suppress(*SQLITE_ERRORS):  # SQLite may have rolled back already
                self.connection.execute("ROLLBACK")
            raise
        return results

    def _attempt(self, change: Callable[[Store], Any]) -> Any:
        summary = self._summary
        self.connection.execute("SAVEPOINT change")
        try:
            result = change(self)
        except SQLITE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the caller of this change raises it
            self.connection.execute("ROLLBACK TO change")
            self._summary = summary
            result = error
        self.connection.execute("RELEASE change")
        return result

    def put(
        self, entry: Entry, results: StoredResults | None, *, most: int | None = None, held: Container[str] = ()
    ) -> Entry:
        """A change: see `Journal.put`; `held` are the keys that a live worker holds.

        No start is intended or sent in a file that the next run would not find.
        """
        if entry.state in (State.INTENDED, State.SENDING):
            self.check_files()
        found = self._find(ENTRIES, rows.to_ascii(entry.key))
        before = None if found is None else rows.entry_of(found.values)
        stored = next_version(before, entry)
        if self._belongs_to_another(stored, before):
            raise analysis_conflict(stored)
        if stored.state in HOLDS_SUBJECT and self._is_used(stored):
            raise subject_conflict(stored)
        if most is not None:
            earlier = 0 if before is None else _committed(before, held)
            check_limit(self.totals(held).committed - earlier + stored.credits, most)
        self._write_entry(found, stored, history_entry(stored))
        if results is not None:
            self._upsert(RESULTS, rows.results_row(stored.key, results))
        return stored

    def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        """A change: see `Journal.add_analysis`."""
        found = self._find(ENTRIES, rows.to_ascii(key))
        if found is None:
            raise KeyError(key)
        entry, owner = rows.entry_of(found.values), self._owner(analysis_id)
        if owner is None:
            entry, change = with_analysis(entry, analysis_id, reason)
            self._write_entry(found, entry, change)
        elif owner != key:
            raise analysis_conflict(evolve(entry, analysis_id=analysis_id))
        return entry

    def _write_entry(self, found: Row | None, stored: Entry, change: HistoryEntry) -> None:
        self._write_row(ENTRIES, found, rows.entry_row(stored))
        self._write_row(HISTORY, None, rows.history_row(stored.key, change))
        if change.analysis_id is not None and self._owner(change.analysis_id) is None:
            self._write_row(ANALYSES, None, rows.analysis_row(change.analysis_id, stored.key))

    def _owner(self, analysis_id: str) -> str | None:
        """The key of the entry that has or had an analysis."""
        found = self._find(ANALYSES, rows.to_ascii(analysis_id))
        return None if found is None else rows.analysis_of(found.values)[1]

    def _belongs_to_another(self, stored: Entry, before: Entry | None) -> bool:
        """Whether another entry has or had the analysis of one that had not the same before."""
        if stored.analysis_id is None or (before is not None and before.analysis_id == stored.analysis_id):
            return False
        return self._owner(stored.analysis_id) not in (None, stored.key)

    def _is_used(self, entry: Entry) -> bool:
        """Whether the tagging subject of a start is retired, or tags another one that is not resolved."""
        note = None if entry.subject_id is None else self._note(_SUBJECT + entry.subject_id)
        if note == _RETIRED and entry.state is State.INTENDED:
            return True
        return note is not None and any(
            each.subject_id == entry.subject_id and each.key != entry.key for each in self.all_entries(*HOLDS_SUBJECT)
        )

    def put_all(self, entries: Sequence[Entry]) -> None:
        """A change: see `Journal.put_all`."""
        for entry in entries:
            self.put(entry, None)

    def set_note(self, name: str, value: str) -> None:
        """A change: see `Journal.set_note`."""
        self._upsert(NOTES, rows.note_row(name, value))

    def swap_note(self, name: str, before: str | None, value: str) -> bool:
        """A change: see `Journal.swap_note`."""
        if self._note(name) != before:
            return False
        self.set_note(name, value)
        return True

    def add_tagging_subject(self, subject_id: str) -> None:
        """A change: see `Journal.add_tagging_subject`."""
        self.set_note(_SUBJECT + subject_id, "")

    def retire_tagging_subject(self, subject_id: str) -> None:
        """A change: see `Journal.retire_tagging_subject`."""
        if self._note(_SUBJECT + subject_id) is not None:
            self.set_note(_SUBJECT + subject_id, _RETIRED)

    def remember_digest(self, source: str, digest: str) -> None:
        """A change: see `Journal.remember_digest`."""
        self.set_note(_DIGEST + source, digest)

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
            self._summary = self._summary.replaced(table, found, Row(0, values, checksum))

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
        place = f"seq > ? ORDER BY seq LIMIT {PAGE}"
        if not states:
            found = self._read_rows(ENTRIES, f"WHERE {place}", (after,))
        else:  # one query a state: SQLite reads the index of several states completely before it sorts them
            by_state = f"INDEXED BY {_BY_STATE} WHERE state = ? AND {place}"
            found = [row for state in states for row in self._read_rows(ENTRIES, by_state, (state, after))]
            found = sorted(found, key=lambda row: row.seq)[:PAGE]
        return [(row.seq, rows.entry_of(row.values)) for row in found]

    def history(self, key: str) -> tuple[HistoryEntry, ...]:
        """See `Journal.history`."""
        changes = self._read_rows(HISTORY, "WHERE key = ? ORDER BY version", (rows.to_ascii(key),))
        return tuple(rows.history_of(row.values) for row in changes)

    def totals(self, held: Container[str] = ()) -> JournalTotals:
        """See `Journal.totals`; `held` are the keys that a live worker holds."""
        summary, unsent = self._summary, self.all_entries(*UNSENT) if UNSENT else ()
        return JournalTotals(
            entries=summary.states,
            credits=summary.credits,
            committed=summary.credits - sum(entry.credits - _committed(entry, held) for entry in unsent),
            analyses=summary.seal(ANALYSES).rows,
        )

    def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        """See `Journal.known`."""
        return frozenset(each for each in analysis_ids if self._owner(each) is not None)

    def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        """See `Journal.notes`."""
        start = rows.to_ascii(prefix)
        first = max(start, rows.to_ascii(since))
        # All text is ASCII, so every name with this prefix sorts before the prefix followed by a higher character.
        page = self._read_rows(NOTES, "WHERE name >= ? AND name < ? ORDER BY name", (first, f"{start}\x80"))
        return dict(rows.note_of(row.values) for row in page)

    def tagging_subjects(self) -> Mapping[str, bool]:
        """See `Journal.tagging_subjects`."""
        notes = self.notes(_SUBJECT).items()
        return {name.removeprefix(_SUBJECT): value != _RETIRED for name, value in notes}

    def remembered_digest(self, source: str) -> str | None:
        """See `Journal.remembered_digest`."""
        return self._note(_DIGEST + source)

    def _note(self, name: str) -> str | None:
        found = self._find(NOTES, rows.to_ascii(name))
        return None if found is None else rows.note_of(found.values)[1]

    def _mark(self, name: str) -> str:
        found = self._find(MARKS, name)
        if found is None:
            raise damaged_error(self._path, f"its own mark {name!r} is missing")
        return rows.note_of(found.values)[1]

    def _find(self, table: Table, name: str) -> Row | None:
        return next(iter(self._read_rows(table, f"WHERE {table.unique[0]} = ?", (name,))), None)

    def all_entries(self, *states: State) -> Iterator[Entry]:
        """Yields all entries in these states (all, if none is named), in bounded memory."""
        after = BEFORE_ALL
        while page := self.entries(states, after):
            yield from (entry for _, entry in page)
            after = page[-1][0]

    def _all_rows(self, table: Table) -> Iterator[Row]:
        """Yields all rows, in bounded memory."""
        after = BEFORE_ALL
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
