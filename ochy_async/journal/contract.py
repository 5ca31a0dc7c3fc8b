"""The contract of a journal, and the values that it keeps.

Invariant: an entry holds neither key nor signed URL nor measures of a runner. The results that
were paid for lie apart, where only who asks for them by name sees them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from attrs import field, frozen

from ..policy.clip_states import State

__all__ = ["Entry", "Journal", "Kept", "Past", "Tally"]


@frozen(kw_only=True)
class Entry:
    """What is known of one clip. Changed by `Journal.put(evolve(entry, …))`."""

    key: str
    """The identity of the clip: content, request, account and base URL in one digest."""
    state: State
    version: int = 0
    """How often it was changed: 0 before the first time. What `put` compares."""
    credits: int = 0
    """How many credits it may have cost so far: starts intended, less those that surely did not happen."""
    clip: str = ""
    """What the user calls the clip, such as its path."""
    name: str = ""
    """The file name that was sent with it."""
    view: str = ""
    """`side_view` or `back_view`."""
    subject_id: str | None = None
    """The subject of the latest start, the user's own or that of an upload lane."""
    earliest: datetime | None = None
    """UTC. When the latest start was intended: the server cannot have taken it sooner."""
    latest: datetime | None = None
    """UTC. When nobody listened for the answer to it any more; None while that is not known."""
    analysis_id: str | None = None
    started_at: datetime | None = None
    """UTC, by our clock, when the server's answer came."""
    reason: str = ""
    """Why it is as it is, in words for people."""
    at: datetime
    """UTC. When it was changed last."""


@frozen(kw_only=True)
class Kept:
    """What was paid for: JSON as the server sent it, without its signed URLs. Health data."""

    results: bytes = field(repr=False)
    calculated: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Past:
    """One change in the history of an entry."""

    version: int
    state: State
    at: datetime
    analysis_id: str | None = None
    reason: str = ""


@frozen(kw_only=True)
class Tally:
    """The sum of a journal."""

    entries: Mapping[State, int]
    """How many entries are in each state; states without entries are left out."""
    credits: int
    """How many credits all of them may have cost."""


class Journal(Protocol):
    """Keeps entries; used as `async with journal:`. Every method raises `JournalError` and its kinds only.

    Cancelling a call never leaves it half done: `put`, `put_all` and `set_note` are shielded once they have begun.
    Against a task's own `cancel()` no shield holds; then the change is whole or not there, and only the journal knows
    which.
    """

    async def __aenter__(self) -> Self:
        """Opens it for this process alone, and makes sure that it can be read and written."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        ...

    async def put(self, entry: Entry, kept: Kept | None = None) -> Entry:
        """Stores a changed entry, with what it brought along, in one durable step; gives it its next version.

        Only if the stored entry still has the version of `entry` (0: there is none); else `JournalConflict`.
        Only along `policy.clip_states.TRANSITIONS`; else `JournalConflict` too. `kept` None leaves what is kept.
        """
        ...

    async def put_all(self, entries: Sequence[Entry]) -> None:
        """Stores changed entries in one durable step: all of them as `put` does, or, where one is a conflict, none."""
        ...

    async def kept(self, key: str) -> Kept | None:
        """What was kept for an entry, or None."""
        ...

    def entries(self, *states: State) -> AsyncGenerator[Entry]:
        """All entries in these states (all, if none is named), in the order in which they came, in bounded memory.

        Changes made meanwhile may or may not be seen; none is seen twice.
        """
        ...

    async def history(self, key: str) -> tuple[Past, ...]:
        """Every change of an entry, oldest first. Append-only."""
        ...

    async def tally(self) -> Tally:
        """Counts and credits of all entries."""
        ...

    async def analysis_ids(self) -> frozenset[str]:
        """The ids of all analyses that any entry has or ever had."""
        ...

    async def notes(self, prefix: str) -> Mapping[str, str]:
        """The small facts about the journal itself whose names begin so."""
        ...

    async def set_note(self, name: str, value: str) -> None:
        """Stores a small fact, durably; in place of the former one of that name."""
        ...
