"""Where a command remembers what is paid for if nobody says where: one journal for each account and base URL.

Invariant: a key that is new here has no journal before the user has said whose it is, since with an empty one every
clip of a rotated key's account would be bought again.
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
from ..errors import JournalError, JournalUnusable
from ..journal.sqlite.journal import SqliteJournal

__all__ = ["DIRECTORY", "explained", "journals", "make_folder", "state_journal"]

DIRECTORY: Final = "OCHY_STATE_DIR"
"""Names another folder than the one that is usual on the system."""
DIGITS: Final = 12
WAYS: Final = (
    f"This journal remembers what your commands have paid for. Keep it elsewhere with --journal PATH, --out FOLDER or "
    f"{DIRECTORY}; or do without with --no-journal: then the same command buys its clips again."
)


def folder() -> Path:
    """The folder of the user's journals, which need not exist."""
    given = os.environ.get(DIRECTORY)
    return Path(given) if given else user_state_path("ochy", appauthor=False)


def make_folder(journal: Path) -> None:
    """Makes the folder for a journal, for its owner alone. Raises `JournalUnusable`, before anything is bought."""
    try:
        journal.parent.parent.mkdir(parents=True, exist_ok=True)
        journal.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as trouble:
        why = trouble.strerror
    else:
        return
    raise JournalUnusable(f"The folder {str(journal.parent)!r} cannot be made: {why}. {WAYS}")


def explained(trouble: JournalError) -> JournalError:
    """The same error, with the ways out that there are for a journal that nobody named."""
    return type(trouble)(f"{trouble} {WAYS}")


def journals() -> list[Path]:
    """All journals in the folder. Raises `JournalUnusable` where it cannot be read."""
    return _found("*.journal")


async def state_journal(account: str, origin: str, *, same: bool | None, same_origin: bool = False) -> Path:
    """The journal of an account (the digest of its key) at a base URL; it need not exist yet.

    `same` says whether a key that is new here belongs to an account that has a journal already; None: nobody has said.
    `same_origin` says that the account has a journal already, under another base URL. Raises `JournalUnusable` where
    either must be known.
    """
    site = re.sub(r"[^A-Za-z0-9.-]+", "-", urlsplit(origin).netloc)[:100]
    place = hashlib.sha256(origin.encode()).hexdigest()[:DIGITS]
    own = folder() / f"{site}-{account[:DIGITS]}-{place}.journal"
    others = _found(f"{site}-*-{place}.journal")
    if own in others:
        return own
    if same_origin:
        return _under_another_origin(account)
    for other in others:
        if await _knows(other, account):
            return other
    if not others or same is False:
        return own
    if same and len(others) == 1:
        return others[0]
    raise JournalUnusable(_new_key(others, several=bool(same)))


def _under_another_origin(account: str) -> Path:
    found = _found(f"*-{account[:DIGITS]}-*.journal")
    if len(found) == 1:
        return found[0]
    names = ", ".join(repr(str(each)) for each in found)
    why = f"There are several journals of this key: {names}." if found else "There is no journal of this key."
    raise JournalUnusable(f"{why} Nothing was sent or charged. Name the journal that is meant with --journal PATH.")


def _new_key(others: Sequence[Path], *, several: bool) -> str:
    names = ", ".join(repr(str(each)) for each in others)
    if several:
        return f"There are several journals of other keys: {names}. Name one with --journal PATH and --same-account."
    return (
        f"This API key is new here, and there is a journal of another key: {names}. Nothing was sent or charged. If "
        "the key was rotated and the account is the same, say so with --same-account: its clips are not bought again. "
        "If it is another account, say --other-account: it gets a journal of its own."
    )


async def _knows(path: Path, account: str) -> bool:
    async with SqliteJournal(path) as journal:
        return bool(await journal.notes(ACCOUNT + account))


def _found(pattern: str) -> list[Path]:
    try:
        return sorted(folder().glob(pattern))
    except OSError as trouble:
        why = trouble.strerror
    raise JournalUnusable(f"The folder {str(folder())!r} cannot be read: {why}. {WAYS}")
