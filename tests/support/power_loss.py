"""A disk that notes what SQLite writes and syncs, and all that could be on it after the power went.

Only the promises of a disk count: what was synced is there; of what was written since, any part may be, in sectors.
The SQL and its order are the project's own, run by apsw, since only there a file system can be put in between.
"""

# apsw brings no types that the checkers could read without it.
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
"""Bytes that a disk writes whole or not at all."""
VFS: Final = "recorded"


# --- what happened ----------------------------------------------------------------------------------


@frozen
class Write:
    """Bytes that were handed to the disk."""

    file: str
    offset: int
    data: bytes


@frozen
class Truncate:
    """A file that was cut."""

    file: str
    size: int


@frozen
class Sync:
    """What was written to a file before is on the disk, its name too."""

    file: str


@frozen
class Delete:
    """A name that was taken away."""

    file: str


@frozen
class Mark:
    """Something that happened beside the disk, and from then on must not be forgotten."""

    what: Any


Happened = Write | Truncate | Sync | Delete | Mark


@define
class Record:
    """All that happened, in its order."""

    happened: list[Happened] = field(factory=list)

    def mark(self, what: Any) -> None:
        """Notes what must not be forgotten from now on."""
        self.happened.append(Mark(what))


# --- the disk ---------------------------------------------------------------------------------------


class Disk(apsw.VFS):
    """The file system of the machine, with a record of what is done to it."""

    def __init__(self, record: Record) -> None:
        super().__init__(VFS, "")
        self.record = record

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        """A file that notes what is written."""
        return _File(name, flags, self.record)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Takes a name away."""
        super().xDelete(filename, syncdir)
        self.record.happened.append(Delete(Path(filename).name))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], record: Record) -> None:
        super().__init__("", name, flags)
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.name, self.record = Path(text).name, record

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.record.happened.append(Write(self.name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self.record.happened.append(Truncate(self.name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self.record.happened.append(Sync(self.name))


class RecordedConnection:
    """The project's connection, over the recorded disk: as much of it as a store uses."""

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
class Left:
    """What is on the disk for sure, and what may be."""

    files: Files
    pending: list[Change] = field(factory=list)
    """Changes since the last sync of their file."""

    def happen(self, what: Happened) -> None:
        """Goes on by one step."""
        match what:
            case Mark():
                pass
            case Sync(file):
                mine = [each for each in self.pending if each.file == file]
                self.pending = [each for each in self.pending if each.file != file]
                self.files.setdefault(file, b"")
                _make(self.files, mine)
            case change:
                self.pending.append(change)

    def after_a_cut(self, chance: random.Random, variants: int) -> Iterator[Files]:
        """What a user may find once the power is back: all of it, none of what is not sure, and parts of that."""
        for chosen in (self.pending, [], *(_some(self.pending, chance) for _ in range(variants))):
            files = dict(self.files)
            _make(files, chosen)
            yield files


def _some(changes: Sequence[Change], chance: random.Random) -> list[Change]:
    """A part of the changes, some of them torn."""
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
