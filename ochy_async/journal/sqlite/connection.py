"""One connection to the file of a journal: its settings, and how it is closed.

Invariant: the write-ahead log stays beside the file however a connection ends, unless `discard_log_on_close` was called
before. By default SQLite merges and deletes the log when a connection is closed or garbage-collected; then a complete
journal could not be told from one whose latest changes are lost.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from .errors import unusable_error
from .files import file_size, sibling

__all__ = ["DURABLE", "Connection", "make_durable", "pragma"]

DURABLE: Final[Mapping[str, tuple[str, object]]] = {
    # Before the first access: then the lock is held to the end, and no shared memory file is needed.
    "locking_mode": ("EXCLUSIVE", "exclusive"),
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "fullfsync": ("ON", 1),  # macOS: through the cache of the disk, too
    "checkpoint_fullfsync": ("ON", 1),
    "cell_size_check": ("ON", 1),
    "trusted_schema": ("OFF", 0),
}
"""The settings that a journal depends on: the value that is set, and the value that SQLite must then report."""


class Connection(sqlite3.Connection):
    """A connection to an existing file. It commits only on COMMIT and never waits for a lock."""

    _log: Path | None = None
    """The log that stays when the connection ends; None when SQLite may delete it."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        super().__init__(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)
        # A flipped byte in a text must reach its checksum instead of failing while it is decoded.
        self.text_factory: Callable[[bytes], str] = lambda text: text.decode("utf-8", "replace")
        self._log = sibling(path, "-wal")
        self._keep_log(True)
        _CONNECTIONS.add(self)

    def copy_to(self, path: Path) -> None:
        """Copies the database, as this connection sees it, into an empty file."""
        with closing(sqlite3.connect(path)) as target:
            self.backup(target)

    def discard_log_on_close(self) -> None:
        """Lets SQLite delete the log on closing: the file holds every change and says that it was closed."""
        self._log = None
        self._keep_log(False)

    def close(self) -> None:
        """Closes the connection but not its log. An empty log holds nothing and is deleted."""
        if self._log is not None and not file_size(self._log):
            self.discard_log_on_close()
        log, self._log = self._log, None
        self._close(log)

    if sys.version_info >= (3, 12):

        def _keep_log(self, keep: bool) -> None:
            self.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)

        def _close(self, log: Path | None) -> None:  # noqa: ARG002 - SQLite was configured by `_keep_log`
            super().close()

    else:  # Python 3.11 cannot configure SQLite, so the log has a second name until SQLite has deleted the first

        def _keep_log(self, keep: bool) -> None:
            pass

        def _close(self, log: Path | None) -> None:
            other = None if log is None else _link_log(log)
            super().close()
            if log is not None and other is not None:
                other.unlink() if log.exists() else other.replace(log)

        def __del__(self) -> None:
            if self._log is not None:
                self.close()


def _link_log(log: Path) -> Path | None:
    """Gives a log a second name. None where there are no hard links; then `ochy journal repair` remains."""
    other = sibling(log, ".kept")
    try:
        other.unlink(missing_ok=True)
        os.link(log, other)
    except OSError:
        return None
    return other


def make_durable(connection: sqlite3.Connection, path: Path) -> None:
    """Applies `DURABLE`. Raises `JournalUnusable` if SQLite does not accept a setting."""
    for name, (value, expected) in DURABLE.items():
        pragma(connection, f"{name} = {value}")
        if pragma(connection, name) != expected:
            why = f"is in a place where SQLite cannot store it durably: {name} is not {value}"
            raise unusable_error(path, why, "Choose another place")


def pragma(connection: sqlite3.Connection, text: str) -> Any:
    """Runs a PRAGMA and returns its value; None for one without a value."""
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


# --- after a fork -----------------------------------------------------------------------------------

_CONNECTIONS: Final[WeakSet[Connection]] = WeakSet()


def _never_close_in_child() -> None:
    """Keeps a forked child from closing the connections of its parent.

    Closing one would merge and delete a log that the parent still writes, because the child does not hold the
    parent's locks. An object with one extra reference is never garbage-collected.
    """
    import ctypes

    for connection in _CONNECTIONS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_never_close_in_child)
