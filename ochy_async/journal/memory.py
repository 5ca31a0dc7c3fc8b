"""A journal in memory: the contract without durability.

Invariant: the entries live as long as their store, also after the journal is closed; a simulation opens the same object
again, or several journals on one store, each of which is a worker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import uuid4

from anyio import Event, current_time, move_on_after
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled
from attrs import define, evolve, field

from ..errors import JournalBusy, JournalConflict, JournalUnusable
from ..policy.clip_states import State
from .contract import LEASE, Ceilings, Entry, HistoryEntry, JournalTotals, StoredResults
from .transitions import (
    HOLDS_SUBJECT,
    analysis_conflict,
    check_limit,
    history_entry,
    next_version,
    subject_conflict,
    with_analysis,
)

__all__ = ["MemoryJournal", "MemoryStore"]


@define(eq=False, repr=False)
class MemoryStore:
    """What several journals in memory share: the entries, and which worker holds what."""

    ceilings: Ceilings = field(factory=Ceilings, kw_only=True)
    clock: Callable[[], float] = field(default=current_time, kw_only=True)
    """The seconds that all workers go by."""
    time_of_day: Callable[[], datetime] | None = field(default=None, kw_only=True)
    """The clock of the server that this stands for, if it stands for one."""
    failover: bool = field(default=False, kw_only=True)
    shared: bool = field(default=True, kw_only=True)
    entries: dict[str, Entry] = field(factory=dict, init=False)
    """In the order of their creation: a changed value keeps its place in a dict."""
    results: dict[str, StoredResults] = field(factory=dict, init=False)
    history: dict[str, list[HistoryEntry]] = field(factory=dict, init=False)
    owners: dict[str, str] = field(factory=dict, init=False)
    """The key of the entry that has or had an analysis, by the analysis."""
    notes: dict[str, str] = field(factory=dict, init=False)
    subjects: dict[str, bool] = field(factory=dict, init=False)
    digests: dict[str, str] = field(factory=dict, init=False)
    leases: dict[str, float] = field(factory=dict, init=False)
    """Until when each worker counts as alive."""
    claims: dict[str, str] = field(factory=dict, init=False)
    left: dict[str, Event] = field(factory=dict, init=False)
    """Set when the claim of a name ends; only of names that somebody waits for."""
    paused_until: float = field(default=0.0, init=False)
    reserved: dict[str, float] = field(factory=dict, init=False)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self.entries)} entries>"

    def live_holder(self, name: str) -> str | None:
        """The live worker that holds a name."""
        worker = self.claims.get(name)
        return worker if worker is not None and self.leases.get(worker, 0.0) > self.clock() else None

    def committed(self) -> int:
        """The credits that may be spent: see `JournalTotals.committed`."""
        return sum(map(self._committed, self.entries.values()))

    def _committed(self, entry: Entry) -> int:
        return entry.credits if self.shared or self.live_holder(entry.key) is not None else entry.committed

    def checked(self, entry: Entry, most: int | None) -> Entry:
        """The next version of an entry that may be stored."""
        before = self.entries.get(entry.key)
        stored = next_version(before, entry)
        if stored.analysis_id is not None and self.owners.get(stored.analysis_id, stored.key) != stored.key:
            raise analysis_conflict(stored)
        if stored.state in HOLDS_SUBJECT and stored.subject_id in self.subjects and self._is_used(stored):
            raise subject_conflict(stored)
        if most is not None:
            check_limit(self.committed() - (self._committed(before) if before else 0) + stored.credits, most)
        return stored

    def _is_used(self, entry: Entry) -> bool:
        """Whether a tagging subject is retired, or tags another start that is not resolved."""
        is_retired = not self.subjects[entry.subject_id or ""]
        return (is_retired and entry.state is State.INTENDED) or any(
            each.subject_id == entry.subject_id and each.state in HOLDS_SUBJECT and each.key != entry.key
            for each in self.entries.values()
        )

    def store(self, stored: Entry, change: HistoryEntry | None = None) -> None:
        """Stores the next version of an entry."""
        change = change or history_entry(stored)
        self.entries[stored.key] = stored
        self.history.setdefault(stored.key, []).append(change)
        if change.analysis_id is not None:
            self.owners[change.analysis_id] = stored.key

    def beat(self, worker: str) -> None:
        """Extends the lease of a worker."""
        self.leases[worker] = self.clock() + LEASE

    def store_all(self, entries: Sequence[Entry]) -> None:
        """Stores the next versions of entries, or of none: each is checked against what those before it have stored."""
        before, done = (self.entries.copy(), self.owners.copy()), Counter[str]()
        try:
            for entry in entries:
                self.store(self.checked(entry, None))
                done[entry.key] += 1
        except JournalConflict:
            self.entries, self.owners = before
            for key, count in done.items():
                del self.history[key][-count:]
            raise

    def leave(self, name: str) -> None:
        """Ends a claim and wakes who waits for that."""
        del self.claims[name]
        if (left := self.left.pop(name, None)) is not None:
            left.set()


class MemoryJournal:
    """Stores entries in memory. They are lost with the process, but survive closing and opening again."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        """Several journals share what is in one `store`; a journal without one is opened once at a time."""
        self._store = store or MemoryStore(shared=False)
        self._worker: str | None = None

    def __repr__(self) -> str:
        return f"<MemoryJournal of {len(self._store.entries)} entries>"

    @property
    def shared(self) -> bool:
        return self._store.shared

    @property
    def ceilings(self) -> Ceilings:
        return self._store.ceilings

    @property
    def failover(self) -> bool:
        return self._store.failover

    async def __aenter__(self) -> Self:
        await checkpoint()  # nothing may interrupt what follows
        if self._worker is not None:
            raise JournalBusy("The journal in memory is already open. End that batch, or use another journal.")
        self._worker = uuid4().hex
        self._store.beat(self._worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (worker := self._worker) is not None:
            self._worker = None
            for name in [name for name, holder in self._store.claims.items() if holder == worker]:
                self._store.leave(name)
            del self._store.leases[worker]

    # --- entries ------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        await self._checkpoint()
        return self._store.entries.get(key)

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        await self._begin()
        stored = self._store.checked(entry, most)
        self._store.store(stored)
        if results is not None:
            self._store.results[entry.key] = results
        await cancel_shielded_checkpoint()
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        await self._begin()
        self._store.store_all(entries)
        await cancel_shielded_checkpoint()

    async def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        await self._begin()
        entry, owner = self._store.entries[key], self._store.owners.get(analysis_id)
        if owner is None:
            entry, change = with_analysis(entry, analysis_id, reason)
            self._store.store(entry, change)
        elif owner != key:
            raise analysis_conflict(evolve(entry, analysis_id=analysis_id))
        await cancel_shielded_checkpoint()
        return entry

    async def results(self, key: str) -> StoredResults | None:
        await self._checkpoint()
        return self._store.results.get(key)

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await self._checkpoint()
        for key in list(self._store.entries):
            entry = self._store.entries[key]
            if not states or entry.state in states:
                yield entry

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        await self._checkpoint()
        return tuple(self._store.history.get(key, ()))

    async def totals(self) -> JournalTotals:
        await self._checkpoint()
        entries = self._store.entries.values()
        return JournalTotals(
            entries=dict(Counter(entry.state for entry in entries)),
            credits=sum(entry.credits for entry in entries),
            committed=self._store.committed(),
            analyses=len(self._store.owners),
        )

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        await self._checkpoint()
        return frozenset(analysis_ids) & self._store.owners.keys()

    # --- notes, tagging subjects, digests -------------------------------------------------------------

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        await self._checkpoint()
        notes = self._store.notes
        return {name: notes[name] for name in sorted(notes) if name.startswith(prefix) and name >= since}

    async def set_note(self, name: str, value: str) -> None:
        await self._begin()
        self._store.notes[name] = value
        await cancel_shielded_checkpoint()

    async def swap_note(self, name: str, before: str | None, value: str) -> bool:
        await self._begin()
        if swapped := self._store.notes.get(name) == before:
            self._store.notes[name] = value
        await cancel_shielded_checkpoint()
        return swapped

    async def tagging_subjects(self) -> Mapping[str, bool]:
        await self._checkpoint()
        return dict(self._store.subjects)

    async def add_tagging_subject(self, subject_id: str) -> None:
        await self._begin()
        self._store.subjects[subject_id] = True
        await cancel_shielded_checkpoint()

    async def retire_tagging_subject(self, subject_id: str) -> None:
        await self._begin()
        if subject_id in self._store.subjects:
            self._store.subjects[subject_id] = False
        await cancel_shielded_checkpoint()

    async def remembered_digest(self, source: str) -> str | None:
        await self._checkpoint()
        return self._store.digests.get(source)

    async def remember_digest(self, source: str, digest: str) -> None:
        await self._begin()
        self._store.digests[source] = digest
        await cancel_shielded_checkpoint()

    # --- workers ------------------------------------------------------------------------------------

    async def take(self, *names: str) -> str | None:
        worker = await self._begin()
        taken = next((name for name in names if self._store.live_holder(name) in (None, worker)), None)
        if taken is not None:
            self._store.claims[taken] = worker
        await cancel_shielded_checkpoint()
        return taken

    async def leave(self, name: str) -> None:
        worker = await self._begin()
        if self._store.claims.get(name) == worker:
            self._store.leave(name)
        await cancel_shielded_checkpoint()

    async def holder(self, name: str) -> str | None:
        await self._checkpoint()
        worker = self._store.live_holder(name)
        return None if worker is None else f"worker {worker[:8]}"

    async def changed(self, name: str, seconds: float) -> None:
        await self._checkpoint()
        if (worker := self._store.live_holder(name)) is not None:
            ends = self._store.leases[worker] - self._store.clock()
            with move_on_after(min(seconds, ends)):
                await self._store.left.setdefault(name, Event()).wait()

    async def beat(self) -> float:
        worker = await self._begin()
        self._store.beat(worker)
        await cancel_shielded_checkpoint()
        return max(0.0, self._store.paused_until - self._store.clock())

    async def now(self) -> datetime | None:
        self._require_open()
        return None if self._store.time_of_day is None else self._store.time_of_day()

    async def pause(self, seconds: float) -> None:
        await self._begin()
        self._store.paused_until = self._store.clock() + seconds
        await cancel_shielded_checkpoint()

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        await self._begin()
        now = self._store.clock()
        first = max(now, self._store.reserved.get(name, now))
        self._store.reserved[name] = first + count / per_second
        await cancel_shielded_checkpoint()
        return first - now

    async def end_failover(self) -> None:
        await self._begin()
        self._store.failover = False
        await cancel_shielded_checkpoint()

    async def _begin(self) -> str:
        """Begins a change, unless the caller is cancelled already. Returns the name of this worker."""
        worker = self._require_open()
        await checkpoint_if_cancelled()
        return worker

    async def _checkpoint(self) -> None:
        """Lets other tasks run, as every journal on a disk does."""
        self._require_open()
        await checkpoint()

    def _require_open(self) -> str:
        if self._worker is None:
            raise JournalUnusable("The journal in memory is not open. Use it inside `async with journal:`.")
        return self._worker
