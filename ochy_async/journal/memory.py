"""A journal in memory: the contract without durability.

Invariant: the entries live as long as the object, also after it is closed; a simulation opens the same object again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Self

from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled

from ..errors import JournalBusy, JournalUnusable
from ..policy.clip_states import State
from .contract import Entry, HistoryEntry, JournalTotals, StoredResults
from .transitions import history_entry, next_version

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Stores entries in memory. They are lost with the process, but survive closing and opening again."""

    def __init__(self) -> None:
        self._open = False
        self._entries: dict[str, Entry] = {}
        """In the order of their creation: a changed value keeps its place in a dict."""
        self._results: dict[str, StoredResults] = {}
        self._history: dict[str, list[HistoryEntry]] = {}
        self._notes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<MemoryJournal of {len(self._entries)} entries>"

    async def __aenter__(self) -> Self:
        if self._open:
            raise JournalBusy("The journal in memory is already open. End that batch, or use another journal.")
        await checkpoint()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    async def get(self, key: str) -> Entry | None:
        await self._checkpoint()
        return self._entries.get(key)

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        self._require_open()
        await checkpoint_if_cancelled()
        stored = next_version(self._entries.get(entry.key), entry)
        self._store(stored)
        if results is not None:
            self._results[entry.key] = results
        await cancel_shielded_checkpoint()
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        self._require_open()
        await checkpoint_if_cancelled()
        for stored in [next_version(self._entries.get(entry.key), entry) for entry in entries]:
            self._store(stored)
        await cancel_shielded_checkpoint()

    def _store(self, stored: Entry) -> None:
        self._entries[stored.key] = stored
        self._history.setdefault(stored.key, []).append(history_entry(stored))

    async def results(self, key: str) -> StoredResults | None:
        await self._checkpoint()
        return self._results.get(key)

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await self._checkpoint()
        for key in list(self._entries):
            entry = self._entries[key]
            if not states or entry.state in states:
                yield entry

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        await self._checkpoint()
        return tuple(self._history.get(key, ()))

    async def totals(self) -> JournalTotals:
        await self._checkpoint()
        entries = self._entries.values()
        return JournalTotals(
            entries=dict(Counter(entry.state for entry in entries)), credits=sum(entry.credits for entry in entries)
        )

    async def analysis_ids(self) -> frozenset[str]:
        await self._checkpoint()
        changes = (change for history in self._history.values() for change in history)
        return frozenset(change.analysis_id for change in changes if change.analysis_id is not None)

    async def notes(self, prefix: str) -> Mapping[str, str]:
        await self._checkpoint()
        return {name: value for name, value in sorted(self._notes.items()) if name.startswith(prefix)}

    async def set_note(self, name: str, value: str) -> None:
        self._require_open()
        await checkpoint_if_cancelled()
        self._notes[name] = value
        await cancel_shielded_checkpoint()

    async def _checkpoint(self) -> None:
        """Lets other tasks run, as every journal on a disk does."""
        self._require_open()
        await checkpoint()

    def _require_open(self) -> None:
        if not self._open:
            raise JournalUnusable("The journal in memory is not open. Use it inside `async with journal:`.")
