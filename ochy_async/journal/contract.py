"""The contract of a journal, and the values that it stores.

Invariant: an entry holds no API key, no signed URL and no measurement of a runner. Paid results are stored apart from
the entries and are read only by `Journal.results`.

Several workers may share a journal. Each open journal is one worker. What keeps a clip from being bought twice is the
version of its entry, which every change compares. Claims and leases only tell when others may look.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

from attrs import field, frozen

from ..policy.clip_states import UNSENT, State

__all__ = ["BEAT", "LEASE", "Ceilings", "Entry", "HistoryEntry", "Journal", "JournalTotals", "StoredResults"]

LEASE: Final = 30.0
"""Seconds for which a worker counts as alive after its last `Journal.beat`, by the journal's clock."""
BEAT: Final = 10.0
"""Seconds between two beats of a worker."""


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
    token: str | None = None
    """Random, and new for each attempt of a start: which attempt made the entry `SENDING`; None if none did, or if that
    attempt certainly did not happen and is repeated. So a process recognizes a change of its own whose outcome it did
    not learn, and an entry that is about another attempt by now. No request holds it."""
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

    @property
    def committed(self) -> int:
        """The `credits`, without that of a start that was not sent completely when its process ended."""
        return self.credits - (self.state in UNSENT and self.credits > 0)


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
    committed: int
    """The credits that `put(…, most=)` counts. In a journal that is not shared, these are the `credits` without those
    of intents that nobody holds: such a start was not sent completely. In a shared journal, the worker of such an
    intent may only be paused. So each counts until somebody has opened the entry, which fences that worker."""
    analyses: int
    """The number of analyses that any entry has or ever had."""


@frozen(kw_only=True)
class Ceilings:
    """What all workers of a journal together may do. None is no ceiling."""

    polls_per_second: float | None = None
    uploads: int | None = None
    """Uploads at the same time."""


class Journal(Protocol):
    """Stores entries; used as `async with journal:`. Methods raise `JournalError` and its subclasses, nothing else.

    A cancelled call never leaves a change half done: calls that change something are shielded once they have begun.
    `Task.cancel()` goes through a shield; then the change is stored completely or not at all, and the caller learns
    which only from a later `get`.
    """

    @property
    def shared(self) -> bool:
        """Whether several workers may have it open at the same time."""
        ...

    @property
    def ceilings(self) -> Ceilings:
        """What all workers together may do. A journal that is not shared has no ceilings."""
        ...

    @property
    def failover(self) -> bool:
        """Whether another server has taken over, which may have lost the latest changes. Nothing may be bought, and
        each intended start counts as one that may have been sent, until `end_failover`. True only after opening."""
        ...

    async def __aenter__(self) -> Self:
        """Opens the journal as a new worker and verifies that it can be read and written.

        A journal that is not shared is opened for this process alone.
        """
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the journal. The worker leaves everything that it holds."""
        ...

    # --- entries ------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        """Returns the entry, or None."""
        ...

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        """Stores a changed entry, and its results if given, in one durable step. Returns it with its next version.

        Raises `JournalConflict` unless the stored entry still has the version of `entry` (0: no entry is stored),
        unless `policy.clip_states.TRANSITIONS` allows the change of state, if another entry has or had its analysis,
        if another start that is not resolved has the same tagging subject, and if a start is intended whose tagging
        subject is retired. Raises `LimitReached` if all entries together would then have committed more than `most`
        credits. Without `results`, stored ones stay.
        """
        ...

    async def put_all(self, entries: Sequence[Entry]) -> None:
        """Stores changed entries as `put` does, in one durable step: all of them, or none if one is a conflict."""
        ...

    async def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        """Stores that a start of the clip became this analysis, although its entry has moved on since.

        The analysis joins the history, and its credit counts; the state of the entry stays. Does nothing if the entry
        has or had the analysis. Returns the entry, which must exist.
        """
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

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        """Returns which of these analyses any entry has or ever had."""
        ...

    # --- notes, tagging subjects, digests -------------------------------------------------------------

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        """Returns the notes whose names begin with `prefix`, in their order, without those before the name `since`.

        A note is a small text about the journal itself.
        """
        ...

    async def set_note(self, name: str, value: str) -> None:
        """Stores a note durably and replaces the former note of that name."""
        ...

    async def swap_note(self, name: str, before: str | None, value: str) -> bool:
        """Stores a note durably if its value still is `before` (None: there is none). Returns whether it did."""
        ...

    async def tagging_subjects(self) -> Mapping[str, bool]:
        """Returns the ids of all tagging subjects, and whether each may still be used."""
        ...

    async def add_tagging_subject(self, subject_id: str) -> None:
        """Stores durably that a subject tags starts."""
        ...

    async def retire_tagging_subject(self, subject_id: str) -> None:
        """Stores durably that a subject tags no start any more. Does nothing for other subjects."""
        ...

    async def remembered_digest(self, source: str) -> str | None:
        """Returns the SHA-256, in hex, of the content that was read from a source, or None.

        The name of a source must change whenever its content may have changed.
        """
        ...

    async def remember_digest(self, source: str, digest: str) -> None:
        """Stores the digest of a source. It saves reading the source again and may be lost."""
        ...

    # --- workers ------------------------------------------------------------------------------------

    async def take(self, *names: str) -> str | None:
        """Claims the first of these names that no other live worker holds, and returns it; None if there is none.

        The key of an entry is such a name; others are up to the caller. A worker may take again what it holds.
        """
        ...

    async def leave(self, name: str) -> None:
        """Gives up a claim, if this worker still has it."""
        ...

    async def holder(self, name: str) -> str | None:
        """Returns which live worker holds a name, as a text for people, or None."""
        ...

    async def changed(self, name: str, seconds: float) -> None:
        """Waits until the claim of a name may have ended, at most so many seconds."""
        ...

    async def beat(self) -> float:
        """Extends the lease of this worker. Returns for how many more seconds starts are paused: see `pause`."""
        ...

    async def now(self) -> datetime | None:
        """Returns the time of day, UTC, by the clock of the journal's server; None if it has no server."""
        ...

    async def pause(self, seconds: float) -> None:
        """Asks all workers to start nothing for so many seconds; 0 ends a pause."""
        ...

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        """Reserves the next `count` moments of a rate that all workers share. Returns the seconds until the first."""
        ...

    async def end_failover(self) -> None:
        """Stores that every start that another server may have forgotten was looked up."""
        ...
