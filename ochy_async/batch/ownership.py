"""The account and the server that a journal belongs to.

Invariant: an API key or a base URL that the journal does not know is refused until the user says that it leads to the
same account or server. Under another identity every clip would be bought again.
"""

from __future__ import annotations

from typing import Final

from ..errors import InvalidSettings, JournalUnusable
from ..journal.contract import Journal
from ..policy.base_urls import normalized

__all__ = ["account_of", "origins_of"]

ACCOUNT: Final = "account:"
ORIGIN: Final = "origin:"
FIRST: Final = "first "
"""The prefix of the note by which several workers agree on the first name of a kind."""


async def account_of(journal: Journal, digest: str, *, same: bool) -> str:
    """The account that the identities in the journal contain: the digest of its first API key.

    Raises `JournalUnusable` if the journal knows other keys only, unless `same` says that they belong to the same
    account.
    """
    if not digest:
        raise InvalidSettings("The transport's `account` is empty; return a stable identifier of the account.")
    await _begin(journal, ACCOUNT, digest)
    if await _is_new(journal, ACCOUNT + digest) and not same:
        raise JournalUnusable(
            "The journal belongs to another API key, so its clips could be bought twice. Nothing was sent. If the key "
            "was rotated and the account is the same, pass same_account=True (--same-account); otherwise use another "
            "journal."
        )
    return await _first(journal, ACCOUNT, digest)


async def origins_of(journal: Journal, origin: str, spelling: str, *, same: bool) -> tuple[str, ...]:
    """The base URLs under which the journal may know clips; new clips are stored under the first.

    `spelling` is the base URL as it was given; the identities in older journals contain it. Raises `JournalUnusable` if
    the journal knows other base URLs only, unless `same` says that they lead to the same server.
    """
    server = normalized(origin)
    older = not await journal.notes(ORIGIN) and bool((await journal.totals()).entries)
    await _begin(journal, ORIGIN, server)
    if await _is_new(journal, ORIGIN + server) and not same:
        known = ", ".join(sorted(name.removeprefix(ORIGIN) for name in await journal.notes(ORIGIN)))
        raise JournalUnusable(
            f"The journal belongs to another base URL ({known}) than {server}, so its clips could be bought twice. "
            "Nothing was sent. If both lead to the same server, pass same_origin=True (--same-origin); "
            "otherwise use another journal."
        )
    first = await _first(journal, ORIGIN, server)
    if older and spelling != server:
        await journal.set_note(ORIGIN + spelling, first)
    known_as = {name.removeprefix(ORIGIN) for name in await journal.notes(ORIGIN)}
    return first, *sorted(known_as - {first})


async def _begin(journal: Journal, kind: str, name: str) -> None:
    """Gives a new journal its first name of a kind. Of several workers that open it at once, one decides."""
    if journal.shared and not await journal.notes(kind):
        await journal.swap_note(FIRST + kind, None, name)
        first = (await journal.notes(FIRST + kind))[FIRST + kind]
        await journal.set_note(kind + first, first)


async def _is_new(journal: Journal, name: str) -> bool:
    """Whether the journal has other notes of this kind, but not this one."""
    known = await journal.notes(name[: name.index(":") + 1])
    return bool(known) and name not in known


async def _first(journal: Journal, kind: str, name: str) -> str:
    """The first name of its kind that the journal stored, which is the one that identities contain."""
    known = await journal.notes(kind)
    if kind + name not in known:
        await journal.set_note(kind + name, next(iter(sorted(known.values())), name))
    return (await journal.notes(kind))[kind + name]
