"""What SQLite and the operating system complain of, in words that tell what to do next.

Invariant: pure translation. No error of another library goes on, as a cause neither.
"""

from __future__ import annotations

import errno
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from ...errors import JournalBusy, JournalDamaged, JournalError, JournalFull, JournalUnusable

__all__ = ["SQLITE_ERRORS", "damaged", "of_sqlite", "of_system", "unusable"]

_RESTORE: Final = "Restore a copy of it; nothing is bought on a guess"
_BUSY: Final = "is open elsewhere. Wait for that batch, end it, or give this one its own journal"

_SAID: Final[Mapping[str, tuple[type[JournalError], str]]] = {
    "SQLITE_BUSY": (JournalBusy, _BUSY),
    "SQLITE_LOCKED": (JournalBusy, _BUSY),
    "SQLITE_FULL": (JournalFull, "has no room on its disk. Make some, then run again: what was stored is safe"),
    "SQLITE_READONLY": (JournalUnusable, "cannot be written. Make file and folder writable, or choose another place"),
    "SQLITE_PERM": (JournalUnusable, "may not be used. Check the permissions of file and folder"),
    "SQLITE_AUTH": (JournalUnusable, "may not be used. Check the permissions of file and folder"),
    "SQLITE_CANTOPEN": (
        JournalUnusable,
        "cannot be opened for writing. Check the permissions of file and folder: SQLite writes beside it, too",
    ),
    "SQLITE_NOTADB": (
        JournalUnusable,
        "is not a journal: no SQLite database. Choose another file; if it was a journal, restore a copy",
    ),
    "SQLITE_CORRUPT": (JournalDamaged, f"is damaged. {_RESTORE}"),
    "SQLITE_CONSTRAINT": (JournalDamaged, f"contradicts itself. {_RESTORE}"),
    "SQLITE_FORMAT": (JournalDamaged, f"is damaged. {_RESTORE}"),
    "SQLITE_ERROR": (JournalDamaged, f"lacks a part of itself. {_RESTORE}"),
    "SQLITE_IOERR_LOCK": (
        JournalUnusable,
        "cannot be locked: it is read-only, or its file system has no locks. Make it writable, or choose another place",
    ),
    "SQLITE_IOERR": (JournalError, "cannot be read or written. Check the disk and its quota, then run again"),
    "": (JournalError, "cannot be used. Run again; if that does not help, restore a copy of it"),
}
"""SQLite's name for a trouble, in full or without what follows the second word → the error and what to do."""

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""All that SQLite raises. The second comes when the text of the first quotes a damaged part of the file."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def of_sqlite(error: sqlite3.Error | UnicodeDecodeError, path: PurePath) -> JournalError:
    """The error that stands for one of SQLite's. It names SQLite's own code, never its text."""
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "it holds text that is none")
    name: str = getattr(error, "sqlite_errorname", None) or ""
    kind, what = _SAID.get(name) or _SAID.get("_".join(name.split("_")[:2]), _SAID[""])
    said = f"The journal {str(path)!r} {what} ({name or type(error).__name__})."
    return kind(f"{said} {_shown(path)}" if kind is JournalDamaged else said)


def of_system(error: OSError | ValueError, path: PurePath) -> JournalError:
    """The error that stands for one of the operating system's."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return JournalFull(f"The journal {str(path)!r} {_SAID['SQLITE_FULL'][1]}.")
    why = (isinstance(error, OSError) and error.strerror) or "not a usable path"
    return unusable(path, f"cannot be opened: {why}", "Choose another place, or mend this one")


def unusable(path: PurePath, what: str, then: str) -> JournalUnusable:
    """It cannot serve as a journal."""
    return JournalUnusable(f"The journal {str(path)!r} {what}. {then}.")


def damaged(path: PurePath, what: str, then: str = _RESTORE) -> JournalDamaged:
    """Its content is not what was written."""
    return JournalDamaged(f"The journal {str(path)!r} is damaged: {what}. {then}. {_shown(path)}")


def _shown(path: PurePath) -> str:
    """Where a person with a damaged journal goes from here."""
    return f"`ochy journal repair {shlex.quote(str(path))}` shows what can be proven of it."
