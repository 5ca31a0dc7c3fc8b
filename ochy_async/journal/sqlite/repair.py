"""What can be verified in the file of a journal, and the repair of a journal that lost its write-ahead log.

Invariant: a file in which a row does not match its checksum, or a table its seal, is never changed. Any other file is
copied before it is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from ...durable_files import sync_file, sync_folder
from ...errors import JournalDamaged
from ..contract import Entry
from . import rows
from .errors import SQLITE_ERRORS, from_sqlite_error
from .files import find_existing
from .rows import ENTRIES, HISTORY, Row, Seal, Summary, Table
from .store import Store, lock_store

__all__ = ["Inspection", "TableInspection", "inspect", "repair", "verify"]

T = TypeVar("T")


@frozen(kw_only=True)
class TableInspection:
    """What can be verified in one table."""

    name: str
    expected: int | None
    """Rows that were written, by the seal; None if the seal is lost, too."""
    found: int
    """Rows that can be read."""
    verified: int
    """Rows that match their checksum."""
    complete: bool
    """Whether the table holds every row that was written, and no other."""


@frozen(kw_only=True)
class Inspection:
    """What can be verified in the file of a journal."""

    log_present: bool | None
    """Whether the latest changes are there; None if the file does not even say whether it was closed."""
    tables: tuple[TableInspection, ...]
    entries: tuple[Entry, ...]
    """The verified entries."""
    analysis_ids: tuple[str, ...]
    """The ids of all paid analyses in verified rows."""

    @property
    def verified(self) -> bool:
        """Whether everything in the file is what was written. Later changes may still be missing."""
        return self.log_present is not None and all(each.complete for each in self.tables)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing: such a journal needs no repair."""
        return self.verified and self.log_present is True

    @property
    def latest(self) -> datetime | None:
        """UTC. The latest change that the file holds."""
        return max((each.at for each in self.entries), default=None)


def verify(path: Path) -> Summary:
    """Verifies every row of a journal without changing it, and returns their summary.

    Raises `JournalDamaged` unless everything is there and is what was written.
    """

    def work(store: Store, _: Path) -> Summary:
        store.verify_log()
        return store.verify_all()

    return _with_store(path, work)


def inspect(path: Path) -> Inspection:
    """Reads a journal without changing it. Raises `JournalError` if it cannot be read, or is not a journal."""
    return _with_store(path, lambda store, _: _inspection(store))


def repair(path: Path, change: Callable[[Store], Any]) -> Path:
    """Makes a journal usable that lost its write-ahead log, and applies a change in the same step.

    Returns the path of a copy of the file before the repair. Raises `JournalDamaged` unless everything in the file is
    what was written.
    """

    def work(store: Store, real: Path) -> Path:
        store.verify_all()
        backup = _back_up(store, real)
        (result,) = store.commit([lambda store: store.upgrade(change)])
        if isinstance(result, Exception):
            raise result
        return backup

    return _with_store(path, work, close=Store.close)


def _with_store(path: Path, work: Callable[[Store, Path], T], close: Callable[[Store], None] | None = None) -> T:
    """Returns the result of `work`. With `close` the journal is closed cleanly, otherwise only the connection."""
    try:
        real = find_existing(path)
        store = lock_store(real, path)
        with closing(store.connection):
            result = work(store, real)
            if close is not None:
                close(store)
        return result
    except SQLITE_ERRORS as error:
        failure = from_sqlite_error(error, path)
    raise failure


def _back_up(store: Store, real: Path) -> Path:
    """Copies everything in the file to a new file beside it, durably."""
    backup = _free_name(real)
    os.close(os.open(backup, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    store.connection.copy_to(backup)
    sync_file(backup)
    sync_folder(backup.parent)
    return backup


def _free_name(real: Path) -> Path:
    numbers = iter(range(1, 10_000))
    return next(each for n in numbers if not (each := real.with_name(f"{real.name}.before-repair-{n}")).exists())


# --- inspection -------------------------------------------------------------------------------------


def _inspection(store: Store) -> Inspection:
    summary, entries, ids = _readable_summary(store), list[Entry](), list[str]()

    def of_table(table: Table) -> TableInspection:
        seal, found, verified, written = Seal(), 0, 0, summary and summary.seal(table)
        for row in _readable_rows(store, table):
            found += 1
            if table.matches(row):
                verified += 1
                seal = seal.replaced(None, row.checksum)
                _collect(table, row, entries, ids)
        return TableInspection(
            name=table.name,
            expected=None if written is None else written.rows,
            found=found,
            verified=verified,
            complete=found == verified and seal == written,
        )

    tables = tuple(of_table(table) for table in store.sealed())
    return Inspection(
        log_present=_log_present(store), tables=tables, entries=tuple(entries), analysis_ids=tuple(dict.fromkeys(ids))
    )


def _collect(table: Table, row: Row, entries: list[Entry], ids: list[str]) -> None:
    if table is ENTRIES:
        entries.append(rows.entry_of(row.values))
    elif table is HISTORY and (analysis_id := rows.history_of(row.values).analysis_id) is not None:
        ids.append(analysis_id)


def _readable_rows(store: Store, table: Table) -> list[Row]:
    """The rows before the first place in the file that cannot be read."""
    found: list[Row] = []
    with suppress(*SQLITE_ERRORS):
        found.extend(store.unverified_rows(table, "ORDER BY seq"))
    return found


def _readable_summary(store: Store) -> Summary | None:
    try:
        return store.recorded_summary()
    except (JournalDamaged, *SQLITE_ERRORS):
        return None


def _log_present(store: Store) -> bool | None:
    try:
        store.verify_pages()
        return not store.log_is_missing()
    except (JournalDamaged, *SQLITE_ERRORS):
        return None
