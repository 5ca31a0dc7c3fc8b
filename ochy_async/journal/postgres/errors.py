"""Errors of Postgres and of the connection to it as journal errors that say what to do next.

Invariant: no text of asyncpg or of the server is quoted, because it may hold the user or the password. Errors name the
host, the port and the database, and the code of the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import JournalBusy, JournalDamaged, JournalError, JournalFull, JournalUnusable

__all__ = ["error_code", "is_transient", "journal_error", "unusable_error"]

_POOLER: Final = (
    JournalUnusable,
    "cannot be used through this pooler. Put it into session mode and let it accept startup parameters, or name the "
    "server itself",
)
_MEANINGS: Final[Mapping[str, tuple[type[JournalError], str]]] = {
    "08P01": _POOLER,
    "26000": _POOLER,
    "42P05": _POOLER,
    "28": (JournalUnusable, "refused the user or the password. Correct the address"),
    "3D": (JournalUnusable, "has no such database. Create it, or correct the address"),
    "42501": (
        JournalUnusable,
        "does not let this user do that. The user needs its own schema, or CREATE on the database",
    ),
    "42": (
        JournalUnusable,
        "holds other tables than this version knows. Use the latest version of ochy-async everywhere",
    ),
    "25006": (JournalUnusable, "is read-only. Name the primary server"),
    "53100": (JournalFull, "cannot grow: the disk is full. Free some space and run again; stored entries are intact"),
    "53": (JournalBusy, "has no free connection. End other programs, or raise max_connections"),
    "57014": (JournalError, "took too long and stored nothing. Look for what blocks it, then run again"),
    "XX000": (JournalError, "has met an error of its own. See the log of the server, then run again"),
    "XX": (JournalDamaged, "is damaged. Restore a copy of it. Nothing is bought from a journal that cannot be trusted"),
    "": (JournalError, "cannot be used. See the log of the server, then run again"),
}
"""The beginning of Postgres's error code → the error class and what to do; the first that fits counts."""

_TRANSIENT: Final = ("08", "23505", "40", "53300", "57P")
"""Codes after which the same statement may be sent again: no connection, another worker that stored the same row at the
same moment, a deadlock, no free connection, a server that starts or stops."""


def error_code(error: Exception) -> str:
    """The code of an error of the server; empty for other errors."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def is_transient(error: Exception) -> bool:
    """Whether the same statement, on a new connection, may succeed."""
    import asyncpg

    lost = isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)
    code = error_code(error)
    return code.startswith(_TRANSIENT) and code != "08P01" if code else lost


def journal_error(error: Exception, place: str) -> JournalError:
    """Returns the journal error for one of asyncpg's."""
    code = error_code(error)
    if not code or (is_transient(error) and not code.startswith("53")):
        text = f"The connection to the journal in Postgres ({place}) failed: {type(error).__name__}."
        return JournalError(f"{text} Check that the server runs and can be reached, then run again.")
    kind, what = next(meaning for begin, meaning in _MEANINGS.items() if code.startswith(begin))
    return kind(f"The journal in Postgres ({place}) {what} ({code} {type(error).__name__}).")


def unusable_error(place: str, what: str, remedy: str) -> JournalUnusable:
    """Returns the error for a server or a schema that cannot serve as a journal."""
    return JournalUnusable(f"The journal in Postgres ({place}) {what}. {remedy}.")
