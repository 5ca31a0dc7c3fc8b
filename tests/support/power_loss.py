"""A disk that records what SQLite writes and syncs, and the states in which a power loss could leave it.

Only synced data are certain. Of data written after the last sync any part may be there, in sectors. The SQL and its
order are the project's own; apsw runs them, since only apsw can put a file system in between.
"""

# apsw has no types that type checkers can read if it is not installed.
# mypy: disable-error-code="misc"

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field, frozen

apsw: Any = pytest.importorskip("apsw", reason="needs the extra dev: apsw records what SQLite writes")

SECTOR: Final = 512
"""Bytes that a disk writes completely or not at all."""
VFS: Final = "recorded"


# --- what happened ----------------------------------------------------------------------------------


@frozen
class Write:
    """Bytes that were written."""

    file: str
    offset: int
    data: bytes


@frozen
class Truncate:
    """A file that was truncated."""

    file: str
    size: int


@frozen
class Sync:
    """Everything written to a file so far is on the disk, including its name."""

    file: str


@frozen
class Delete:
    """A file that was deleted."""

    file: str


@frozen
class Mark:
    """Something that happened outside the disk and must survive from then on."""

    value: Any


DiskEvent = Write | Truncate | Sync | Delete | Mark


@define
class DiskLog:
    """All events in order."""

    events: list[DiskEvent] = field(factory=list)

    def mark(self, value: Any) -> None:
        """Records something that must survive from now on."""
        self.events.append(Mark(value))


# --- the disk ---------------------------------------------------------------------------------------


class Disk(apsw.VFS):
    """The file system of the machine, with a log of the changes to it."""

    def __init__(self, record: DiskLog) -> None:
        super().__init__(VFS, "")
        self.record = record

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        """Opens a file that records what is written."""
        return _File(name, flags, self.record)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Deletes a file."""
        super().xDelete(filename, syncdir)
        self.record.events.append(Delete(Path(filename).name))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], record: DiskLog) -> None:
        super().__init__("", name, flags)
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.name, self.record = Path(text).name, record

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.record.events.append(Write(self.name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self.record.events.append(Truncate(self.name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self.record.events.append(Sync(self.name))


class RecordedConnection:
    """The part of the project's connection that a store uses, on the recorded disk."""

    def __init__(self, path: Path) -> None:
        self._database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
        self._keep_log(True)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Answer:
        rows = list(self._database.execute(sql, values))
        return _Answer(rows, self._database.changes())

    def discard_log_on_close(self) -> None:
        self._keep_log(False)

    def close(self) -> None:
        self._database.close()

    def _keep_log(self, keeps: bool) -> None:
        self._database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(keeps))


@define
class _Answer:
    rows: list[tuple[Any, ...]]
    rowcount: int

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows[0] if self.rows else None


# --- what may be left -------------------------------------------------------------------------------

Change = Write | Truncate | Delete
Files = dict[str, bytes]


@define
class DiskState:
    """The certain content of the disk, and the changes that may be on it."""

    files: Files
    pending: list[Change] = field(factory=list)
    """Changes since the last sync of their file."""

    def apply(self, event: DiskEvent) -> None:
        """Applies one event."""
        match event:
            case Mark():
                pass
            case Sync(file):
                mine = [each for each in self.pending if each.file == file]
                self.pending = [each for each in self.pending if each.file != file]
                self.files.setdefault(file, b"")
                _make(self.files, mine)
            case change:
                self.pending.append(change)

    def after_power_loss(self, chance: random.Random, variants: int) -> Iterator[Files]:
        """The files once the power is back: with all pending changes, with none, and with parts of them."""
        for chosen in (self.pending, [], *(_some(self.pending, chance) for _ in range(variants))):
            files = dict(self.files)
            _make(files, chosen)
            yield files


def _some(changes: Sequence[Change], chance: random.Random) -> list[Change]:
    """A random part of the changes, some of them incomplete."""
    share = chance.random()
    chosen = [each for each in changes if chance.random() < share]
    return [piece for each in chosen for piece in _torn(each, chance)]


def _torn(change: Change, chance: random.Random) -> list[Change]:
    if not isinstance(change, Write) or chance.random() < 0.5:
        return [change]
    first = -change.offset % SECTOR
    cuts = [0, *range(first or SECTOR, len(change.data), SECTOR), len(change.data)]
    kept = [(a, b) for a, b in pairwise(cuts) if chance.random() < 0.5]
    return [Write(change.file, change.offset + a, change.data[a:b]) for a, b in kept]


def _make(files: Files, changes: Sequence[Change]) -> None:
    for change in changes:
        match change:
            case Delete(file):
                files.pop(file, None)
            case Truncate(file, size):
                files[file] = files.get(file, b"")[:size]
            case Write(file, offset, data):
                before = files.get(file, b"").ljust(offset, b"\x00")
                files[file] = before[:offset] + data + before[offset + len(data) :]
