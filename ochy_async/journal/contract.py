"""The contract of a journal, and the values that it stores.

Invariant: an entry holds no API key, no signed URL and no measurement of a runner. Paid results are stored apart from
the entries and are read only by `Journal.results`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from attrs import field, frozen

from ..policy.clip_states import State

__all__ = ["Entry", "HistoryEntry", "Journal", "JournalTotals", "StoredResults"]


@frozen(kw_only=True)
class Entry:
    """What the journal knows about one clip. Change it with `Journal.put(evolve(entry, …))`."""

    key: str
    """The identity of the clip: a digest of content, request, account and base URL."""
    state: State
    version: int = 0
    """How often the entry was stored; 0 before the first time. `Journal.put` compares it."""
    credits: int = 0
    """How many credits the clip may have cost so far: intended starts minus those that surely did not happen."""
    clip: str = ""
    """The user's name for the clip, such as its path."""
    name: str = ""
    """The file name that was sent with the clip."""
    view: str = ""
    """`side_view` or `back_view`."""
    subject_id: str | None = None
    """The subject of the latest start: the user's own, or one that tags the start."""
    earliest: datetime | None = None
    """UTC. When the latest start was intended: the server cannot have accepted it earlier."""
    latest: datetime | None = None
    """UTC. When the client stopped waiting for the answer to the latest start; None while that is not known."""
    analysis_id: str | None = None
    started_at: datetime | None = None
    """UTC, by the client's clock. When the server's answer arrived."""
    reason: str = ""
    """Why the entry is in its state, as a text for people."""
    at: datetime
    """UTC. When the entry was last changed."""


@frozen(kw_only=True)
class StoredResults:
    """The paid results: JSON as the server sent it, without its signed URLs. Health data."""

    results: bytes = field(repr=False)
    calculated: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class HistoryEntry:
    """One change of an entry."""

    version: int
    state: State
    at: datetime
    analysis_id: str | None = None
    reason: str = ""


@frozen(kw_only=True)
class JournalTotals:
    """The totals over all entries of a journal."""

    entries: Mapping[State, int]
    """The number of entries by state; states without entries are left out."""
    credits: int
    """How many credits all entries together may have cost."""


class Journal(Protocol):
    """Stores entries; used as `async with journal:`. Methods raise `JournalError` and its subclasses, nothing else.

    A cancelled call never leaves a change half done: `put`, `put_all` and `set_note` are shielded once they have begun.
    `Task.cancel()` goes through a shield; then the change is stored completely or not at all, and the caller does not
    learn which.
    """

    async def __aenter__(self) -> Self:
        """Opens the journal for this process alone and verifies that it can be read and written."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def get(self, key: str) -> Entry | None:
        """Returns the entry, or None."""
        ...

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        """Stores a changed entry, and its results if given, in one durable step. Returns it with its next version.

        Raises `JournalConflict` unless the stored entry still has the version of `entry` (0: no entry is stored), and
        unless `policy.clip_states.TRANSITIONS` allows the change of state. Without `results`, stored ones stay.
        """
        ...

    async def put_all(self, entries: Sequence[Entry]) -> None:
        """Stores changed entries as `put` does, in one durable step: all of them, or none if one is a conflict."""
        ...

    async def results(self, key: str) -> StoredResults | None:
        """Returns the stored results of an entry, or None."""
        ...

    def entries(self, *states: State) -> AsyncGenerator[Entry]:
        """Yields the entries in these states (all, if none is named) in the order of their creation.

        Uses bounded memory. Changes made meanwhile may or may not be seen; no entry is yielded twice.
        """
        ...

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        """Returns every change of an entry, oldest first. The history is append-only."""
        ...

    async def totals(self) -> JournalTotals:
        """Returns the totals over all entries."""
        ...

    async def analysis_ids(self) -> frozenset[str]:
        """Returns the ids of all analyses that any entry has or ever had."""
        ...

    async def notes(self, prefix: str) -> Mapping[str, str]:
        """Returns the notes whose names begin with `prefix`. A note is a small text about the journal itself."""
        ...

    async def set_note(self, name: str, value: str) -> None:
        """Stores a note durably and replaces the former note of that name."""
        ...
