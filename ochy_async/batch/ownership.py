"""Whose journal it is: the account and the server whose analyses it remembers.

Invariant: a key or an address that the journal does not know is refused until the user says that it is the same
one. With other identities every clip would be bought again.
"""

from __future__ import annotations

from typing import Final

from ..errors import InvalidSettings, JournalUnusable
from ..journal.contract import Journal
from ..policy.origins import normalized

__all__ = ["account_of", "origins_of"]

ACCOUNT: Final = "account:"
ORIGIN: Final = "origin:"


async def account_of(journal: Journal, digest: str, *, same: bool) -> str:
    """The account that the journal is kept for, as identities spell it: the digest of its first key.

    Raises `JournalUnusable` where the journal knows another key only, unless `same` says that the new key
    is one of the same account.
    """
    if not digest:
        raise InvalidSettings("The transport does not tell accounts apart; give it an `account`.")
    if await _is_new(journal, ACCOUNT + digest) and not same:
        raise JournalUnusable(
            "The journal was kept with another API key, so its clips could be bought twice. If that key was rotated "
            "and the account is the same, say so with same_account=True (--same-account); otherwise take another "
            "journal."
        )
    return await _first(journal, ACCOUNT, digest)


async def origins_of(journal: Journal, origin: str, spelling: str, *, same: bool) -> tuple[str, ...]:
    """The base URLs under which clips may lie in the journal; what is new goes under the first of them.

    `spelling` is the base URL as it was given: identities were once made of it. Raises `JournalUnusable` where the
    journal knows other base URLs only, unless `same` says that this one leads to the same server.
    """
    server = normalized(origin)
    if await _is_new(journal, ORIGIN + server) and not same:
        known = ", ".join(sorted(name.removeprefix(ORIGIN) for name in await journal.notes(ORIGIN)))
        raise JournalUnusable(
            f"The journal was kept for another base URL ({known}) than {server}, so its clips could be bought twice. "
            "Nothing was sent. If both lead to the same server, say so with same_origin=True (--same-origin); "
            "otherwise take another journal."
        )
    older = not await journal.notes(ORIGIN) and bool((await journal.totals()).entries)
    first = await _first(journal, ORIGIN, server)
    if older and spelling != server:
        await journal.set_note(ORIGIN + spelling, first)
    known_as = {name.removeprefix(ORIGIN) for name in await journal.notes(ORIGIN)}
    return first, *sorted(known_as - {first})


async def _is_new(journal: Journal, name: str) -> bool:
    """Whether the journal knows others of this kind, and not this one."""
    known = await journal.notes(name[: name.index(":") + 1])
    return bool(known) and name not in known


async def _first(journal: Journal, kind: str, name: str) -> str:
    """What identities call this one: the first of its kind that the journal has known."""
    known = await journal.notes(kind)
    if kind + name not in known:
        await journal.set_note(kind + name, next(iter(sorted(known.values())), name))
    return (await journal.notes(kind))[kind + name]
