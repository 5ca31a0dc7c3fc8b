"""The journal that a command uses if none is named: one per account and base URL, in the user's state folder.

Invariant: a new key gets a journal only after the user has said whose it is. With an empty journal, every clip of an
account whose key was rotated would be bought again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from platformdirs import user_state_path

from ..batch.ownership import ACCOUNT
from ..durable_files import private_folder
from ..errors import JournalError, JournalUnusable
from ..journal.sqlite.journal import SqliteJournal

__all__ = ["DIRECTORY", "add_alternatives", "create_folder", "find_state_journal", "state_journals"]

DIRECTORY: Final = "OCHY_STATE_DIR"
"""The environment variable that names another state folder."""
DIGITS: Final = 12
ALTERNATIVES: Final = (
    "This journal records what your commands have paid for. To keep it elsewhere, use --journal PATH, --out FOLDER or "
    f"{DIRECTORY}. To use none, add --no-journal: the same command then buys its clips again."
)


def state_folder() -> Path:
    """The folder of the user's journals, which need not exist."""
    given = os.environ.get(DIRECTORY)
    return Path(given) if given else user_state_path("ochy", appauthor=False)


def create_folder(journal: Path) -> None:
    """Creates the folder for a journal, accessible to its owner only. Raises `JournalUnusable`."""
    try:
        private_folder(journal.parent)
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise JournalUnusable(f"The folder {str(journal.parent)!r} cannot be created: {reason}. {ALTERNATIVES}")


def add_alternatives(error: JournalError) -> JournalError:
    """The same error with the alternatives to the default journal in its text."""
    return type(error)(f"{error} {ALTERNATIVES}")


def state_journals() -> list[Path]:
    """All journals in the state folder. Raises `JournalUnusable` if it cannot be read."""
    return _find("*.journal")


async def find_state_journal(
    account: str, origin: str, *, same_account: bool | None, same_origin: bool = False
) -> Path:
    """The path of the journal of an account (the digest of its key) at a base URL; the file need not exist yet.

    `same_account` says whether a key without a journal belongs to an account that has one; None: the user has not said.
    `same_origin` says that the account has a journal under another base URL. Raises `JournalUnusable` if the user has
    to say either, or to name the journal.
    """
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", urlsplit(origin).netloc)[:100]
    site = hashlib.sha256(origin.encode()).hexdigest()[:DIGITS]
    own = state_folder() / f"{host}-{account[:DIGITS]}-{site}.journal"
    existing = _find(f"{host}-*-{site}.journal")
    if own in existing:
        return own
    if same_origin:
        return _under_another_origin(account)
    for journal in existing:
        if await _belongs_to(journal, account):
            return journal
    if not existing or same_account is False:
        return own
    if same_account and len(existing) == 1:
        return existing[0]
    raise JournalUnusable(_several_journals(existing) if same_account else _new_key(existing))


def _under_another_origin(account: str) -> Path:
    found = _find(f"*-{account[:DIGITS]}-*.journal")
    if len(found) == 1:
        return found[0]
    reason = (
        f"There are several journals of this key: {_names(found)}." if found else "There is no journal of this key."
    )
    raise JournalUnusable(f"{reason} Nothing was sent or charged. Name the journal with --journal PATH.")


def _several_journals(existing: Sequence[Path]) -> str:
    return (
        f"There are several journals of other keys: {_names(existing)}. Nothing was sent or charged. Name one with "
        "--journal PATH and --same-account."
    )


def _new_key(existing: Sequence[Path]) -> str:
    return (
        f"This API key has no journal, but another key has: {_names(existing)}. Nothing was sent or charged. If the "
        "key was rotated and the account is the same, add --same-account: clips that are paid for are then not bought "
        "again. If it is another account, add --other-account: it gets a journal of its own."
    )


def _names(journals: Sequence[Path]) -> str:
    return ", ".join(repr(str(each)) for each in journals)


async def _belongs_to(path: Path, account: str) -> bool:
    async with SqliteJournal(path) as journal:
        return bool(await journal.notes(ACCOUNT + account))


def _find(pattern: str) -> list[Path]:
    try:
        return sorted(state_folder().glob(pattern))
    except OSError as error:
        reason = error.strerror
    raise JournalUnusable(f"The folder {str(state_folder())!r} cannot be read: {reason}. {ALTERNATIVES}")
