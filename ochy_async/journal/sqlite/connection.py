"""One connection to the file of a journal: what is set on it, and how it ends.

Invariant: however a connection ends, its write-ahead log stays beside the file, unless `release` was called
before. SQLite alone merges and deletes the log when a connection is closed, also one that nobody closes; then
nobody could tell a journal that lost nothing from one whose latest changes are gone.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from .errors import unusable
from .files import beside, size_of

__all__ = ["DURABLE", "Connection", "make_durable", "pragma"]

DURABLE: Final[Mapping[str, tuple[str, object]]] = {
    # Before the first access: then the lock is kept to the end, and no shared memory file is needed.
    "locking_mode": ("EXCLUSIVE", "exclusive"),
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "fullfsync": ("ON", 1),  # macOS: through the cache of the disk, too
    "checkpoint_fullfsync": ("ON", 1),
    "cell_size_check": ("ON", 1),
    "trusted_schema": ("OFF", 0),
}
"""What a journal depends on: what is set, and what SQLite then says that it is."""


class Connection(sqlite3.Connection):
    """A connection to an existing file. Commits are ours to make, and a lock is never waited for."""

    _log: Path | None = None
    """What stays when it ends."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        super().__init__(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)
        # A flipped byte in a text must reach its checksum, not stop at the decoding.
        self.text_factory = lambda text: text.decode("utf-8", "replace")
        self._log = beside(path, "-wal")
        self._keeps_log(True)
        _ALIVE.add(self)

    def copy_to(self, path: Path) -> None:
        """Writes all that it sees into an empty file."""
        with closing(sqlite3.connect(path)) as target:
            self.backup(target)

    def release(self) -> None:
        """Lets the log go with the connection: the file itself says that it was closed, and holds all of it."""
        self._log = None
        self._keeps_log(False)

    def close(self) -> None:
        """Ends the connection, not its log; an empty one holds nothing and goes as well."""
        if self._log is not None and not size_of(self._log):
            self.release()
        log, self._log = self._log, None
        self._end(log)

    if sys.version_info >= (3, 12):

        def _keeps_log(self, keeps: bool) -> None:
            self.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps)

        def _end(self, log: Path | None) -> None:  # noqa: ARG002 - SQLite knows by now
            super().close()

    else:  # this Python cannot tell SQLite, so the log has a second name until SQLite has deleted the first

        def _keeps_log(self, keeps: bool) -> None:
            pass

        def _end(self, log: Path | None) -> None:
            other = None if log is None else _second_name(log)
            super().close()
            if log is not None and other is not None:
                other.unlink() if log.exists() else other.replace(log)

        def __del__(self) -> None:
            if self._log is not None:
                self.close()


def _second_name(log: Path) -> Path | None:
    """Another name of a log; None without hard links, where `ochy journal repair` remains."""
    other = beside(log, ".kept")
    try:
        other.unlink(missing_ok=True)
        os.link(log, other)
    except OSError:
        return None
    return other


def make_durable(connection: sqlite3.Connection, path: Path) -> None:
    """Sets what `DURABLE` says. Raises `JournalUnusable` where SQLite answers that it is not so."""
    for name, (value, answer) in DURABLE.items():
        pragma(connection, f"{name} = {value}")
        if pragma(connection, name) != answer:
            why = f"lies where SQLite cannot keep it: {name} is not {value}"
            raise unusable(path, why, "Choose another place")


def pragma(connection: sqlite3.Connection, text: str) -> Any:
    """What SQLite answers to a PRAGMA; None for one without an answer."""
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


# --- after a fork -----------------------------------------------------------------------------------

_ALIVE: Final[WeakSet[Connection]] = WeakSet()


def _abandon() -> None:
    """Keeps a child process from ever ending the connections of its parent.

    To end one is to merge and delete a log that the parent goes on to write, on the word of locks that the child
    does not have. An object with one reference too many is never ended.
    """
    import ctypes

    for connection in _ALIVE:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon)
