"""What the file of a journal proves, and a journal without its write-ahead log made usable again.

Invariant: a file in which a row lacks its checksum or a table its seal is never changed; any other is copied first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from ...errors import JournalDamaged
from ..contract import Entry
from . import rows
from .errors import SQLITE_ERRORS, of_sqlite
from .files import find, sync, sync_folder
from .rows import ENTRIES, HISTORY, SEALED, Row, Seal, Table
from .store import Store, claimed

__all__ = ["Evidence", "TableEvidence", "examine", "repair"]

T = TypeVar("T")


@frozen(kw_only=True)
class TableEvidence:
    """What a table proves."""

    name: str
    written: int | None
    """Rows that were written, by the seal; None where the seal is lost, too."""
    found: int
    """Rows that can be read."""
    proven: int
    """Rows of those that have their checksum."""
    sealed: bool
    """Whether it holds all that was written, and nothing else."""


@frozen(kw_only=True)
class Evidence:
    """What the file of a journal proves."""

    logged: bool | None
    """Whether its latest changes are there; None where it cannot even say whether it was closed."""
    tables: tuple[TableEvidence, ...]
    entries: tuple[Entry, ...]
    """Those that are what was written."""
    analysis_ids: tuple[str, ...]
    """Of all paid analyses that the file proves."""

    @property
    def proven(self) -> bool:
        """Whether everything in the file is what was written. Later changes may be missing all the same."""
        return self.logged is not None and all(each.sealed for each in self.tables)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: such a journal needs no repair."""
        return self.proven and self.logged is True

    @property
    def latest(self) -> datetime | None:
        """UTC. The latest change that the file holds."""
        return max((each.at for each in self.entries), default=None)


def examine(path: Path) -> Evidence:
    """Reads the journal and changes nothing. Raises `JournalError` where it cannot be read, or is none."""
    return _with(path, lambda store, _: _evidence(store))


def repair(path: Path, change: Callable[[Store], Any]) -> Path:
    """Makes a journal usable that lost its write-ahead log, with a change in the same step; gives the copy of before.

    Raises `JournalDamaged` unless everything that it holds is what was written.
    """

    def work(store: Store, real: Path) -> Path:
        store.lacks_log()
        store.prove()
        copy = _copied(store, real)
        (answer,) = store.commit([change])
        if isinstance(answer, Exception):
            raise answer
        return copy

    return _with(path, work, close=Store.close)


def _with(path: Path, work: Callable[[Store, Path], T], close: Callable[[Store], None] | None = None) -> T:
    """What work gives with the store; `close` ends it in order, else only the connection is ended."""
    try:
        real = find(path)
        store = claimed(real, path)
        with closing(store.connection):
            answer = work(store, real)
            if close is not None:
                close(store)
        return answer
    except SQLITE_ERRORS as error:
        trouble = of_sqlite(error, path)
    raise trouble


def _copied(store: Store, real: Path) -> Path:
    """A copy beside it of all that the file holds, on the disk."""
    copy = _free_name(real)
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    store.connection.copy_to(copy)
    sync(copy)
    sync_folder(copy.parent)
    return copy


def _free_name(real: Path) -> Path:
    numbers = iter(range(1, 10_000))
    return next(each for n in numbers if not (each := real.with_name(f"{real.name}.before-repair-{n}")).exists())


# --- evidence ---------------------------------------------------------------------------------------


def _evidence(store: Store) -> Evidence:
    seals, entries, ids = _seals(store), list[Entry](), list[str]()

    def of_table(table: Table) -> TableEvidence:
        seal, found, proven = Seal(), 0, 0
        for row in _readable(store, table):
            found += 1
            if table.proves(row):
                proven += 1
                seal = seal.replaced(None, row.checksum)
                _noted(table, row, entries, ids)
        whole = seals.get(table.name)
        written = None if whole is None else whole.rows
        return TableEvidence(
            name=table.name, written=written, found=found, proven=proven, sealed=found == proven and seal == whole
        )

    tables = tuple(of_table(table) for table in SEALED)
    return Evidence(
        logged=_logged(store),
        tables=tables,
        entries=tuple(entries),
        analysis_ids=tuple(dict.fromkeys(ids)),
    )


def _noted(table: Table, row: Row, entries: list[Entry], ids: list[str]) -> None:
    if table is ENTRIES:
        entries.append(rows.entry_of(row.values))
    elif table is HISTORY and (analysis_id := rows.past_of(row.values).analysis_id) is not None:
        ids.append(analysis_id)


def _readable(store: Store, table: Table) -> list[Row]:
    """The rows up to the first place that cannot be read."""
    found: list[Row] = []
    try:
        found.extend(store.unchecked(table, "ORDER BY seq"))
    except SQLITE_ERRORS:
        return found
    return found


def _seals(store: Store) -> dict[str, Seal]:
    try:
        return store.seals()
    except (JournalDamaged, *SQLITE_ERRORS):
        return {}


def _logged(store: Store) -> bool | None:
    try:
        return not store.lacks_log()
    except (JournalDamaged, *SQLITE_ERRORS):
        return None
