"""Errors of SQLite and of the operating system as journal errors that say what to do next.

Invariant: pure. No error of another library leaves the journal, not even as a cause.
"""

from __future__ import annotations

import errno
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from ...errors import JournalBusy, JournalDamaged, JournalError, JournalFull, JournalUnusable

__all__ = ["SQLITE_ERRORS", "damaged_error", "from_os_error", "from_sqlite_error", "unusable_error"]

_RESTORE: Final = "Restore a copy of it. Nothing is bought from a journal that cannot be trusted"
_BUSY: Final = "is open elsewhere. Wait for that batch, end it, or give this batch its own journal"
_FULL: Final = "cannot grow: the disk is full. Free some space and run again; stored entries are intact"

_MEANINGS: Final[Mapping[str, tuple[type[JournalError], str]]] = {
    "SQLITE_BUSY": (JournalBusy, _BUSY),
    "SQLITE_LOCKED": (JournalBusy, _BUSY),
    "SQLITE_FULL": (JournalFull, _FULL),
    "SQLITE_READONLY": (
        JournalUnusable,
        "is read-only. Make the file and its folder writable, or choose another place",
    ),
    "SQLITE_PERM": (JournalUnusable, "cannot be accessed. Check the permissions of file and folder"),
    "SQLITE_AUTH": (JournalUnusable, "cannot be accessed. Check the permissions of file and folder"),
    "SQLITE_CANTOPEN": (
        JournalUnusable,
        "cannot be opened for writing. Check the permissions of file and folder: SQLite also writes files beside it",
    ),
    "SQLITE_NOTADB": (
        JournalUnusable,
        "is not an SQLite database, so it is not a journal. Choose another file; if it was a journal, restore a copy",
    ),
    "SQLITE_CORRUPT": (JournalDamaged, f"is damaged. {_RESTORE}"),
    "SQLITE_CONSTRAINT": (JournalDamaged, f"is damaged: its rows contradict each other. {_RESTORE}"),
    "SQLITE_FORMAT": (JournalDamaged, f"is damaged. {_RESTORE}"),
    "SQLITE_ERROR": (JournalDamaged, f"is damaged: a part of it is missing. {_RESTORE}"),
    "SQLITE_IOERR_LOCK": (
        JournalUnusable,
        "cannot be locked: it is read-only, or its file system has no locks. Make it writable, or choose another place",
    ),
    "SQLITE_IOERR": (JournalError, "cannot be read or written. Check the disk and its quota, then run again"),
    "": (JournalError, "cannot be used. Run again; if that does not help, restore a copy of it"),
}
"""SQLite's error name, in full or without what follows its second word → the error class and what to do."""

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""Everything that SQLite raises. The second occurs when the text of the first quotes a damaged part of the file."""

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def from_sqlite_error(error: sqlite3.Error | UnicodeDecodeError, path: PurePath) -> JournalError:
    """Returns the journal error for one of SQLite's. It names SQLite's error code and never quotes SQLite's text."""
    if isinstance(error, UnicodeDecodeError):
        return damaged_error(path, "it holds text that is not valid UTF-8")
    name: str = getattr(error, "sqlite_errorname", None) or ""
    kind, what = _MEANINGS.get(name) or _MEANINGS.get("_".join(name.split("_")[:2]), _MEANINGS[""])
    text = f"The journal {str(path)!r} {what} ({name or type(error).__name__})."
    return kind(f"{text} {_repair_hint(path)}" if kind is JournalDamaged else text)


def from_os_error(error: OSError | ValueError, path: PurePath) -> JournalError:
    """Returns the journal error for one of the operating system's."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return JournalFull(f"The journal {str(path)!r} {_FULL}.")
    why = (isinstance(error, OSError) and error.strerror) or "the path is not valid"
    return unusable_error(path, f"cannot be opened: {why}", "Correct the path, or choose another place")


def unusable_error(path: PurePath, what: str, remedy: str) -> JournalUnusable:
    """Returns the error for a file that cannot serve as a journal."""
    return JournalUnusable(f"The journal {str(path)!r} {what}. {remedy}.")


def damaged_error(path: PurePath, what: str, remedy: str = _RESTORE) -> JournalDamaged:
    """Returns the error for a file whose content is not what was written."""
    return JournalDamaged(f"The journal {str(path)!r} is damaged: {what}. {remedy}. {_repair_hint(path)}")


def _repair_hint(path: PurePath) -> str:
    return f"`ochy journal repair {shlex.quote(str(path))}` shows what can be verified in it."
