"""A journal in memory: the contract without its durability.

Invariant: it lives as long as the object. For batches that may be forgotten, and for simulations,
which close it and open the same object again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Self

from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled

from ..errors import JournalBusy, JournalUnusable
from ..policy.clip_states import State
from .contract import Entry, Kept, Past, Tally
from .transitions import changed, past

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Forgets everything with the process. What it holds survives closing and opening again."""

    def __init__(self) -> None:
        self._open = False
        self._entries: dict[str, Entry] = {}
        """In the order in which they came: a changed value keeps its place in a dict."""
        self._kept: dict[str, Kept] = {}
        self._history: dict[str, list[Past]] = {}
        self._notes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<MemoryJournal of {len(self._entries)} entries>"

    async def __aenter__(self) -> Self:
        if self._open:
            raise JournalBusy("The journal in memory is open already: end that batch, or give this one its own.")
        await checkpoint()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    async def get(self, key: str) -> Entry | None:
        await self._turn()
        return self._entries.get(key)

    async def put(self, entry: Entry, kept: Kept | None = None) -> Entry:
        self._must_be_open()
        await checkpoint_if_cancelled()
        stored = changed(self._entries.get(entry.key), entry)
        self._store(stored)
        if kept is not None:
            self._kept[entry.key] = kept
        await cancel_shielded_checkpoint()
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        self._must_be_open()
        await checkpoint_if_cancelled()
        for stored in [changed(self._entries.get(entry.key), entry) for entry in entries]:
            self._store(stored)
        await cancel_shielded_checkpoint()

    def _store(self, stored: Entry) -> None:
        self._entries[stored.key] = stored
        self._history.setdefault(stored.key, []).append(past(stored))

    async def kept(self, key: str) -> Kept | None:
        await self._turn()
        return self._kept.get(key)

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await self._turn()
        for key in list(self._entries):
            entry = self._entries[key]
            if not states or entry.state in states:
                yield entry

    async def history(self, key: str) -> tuple[Past, ...]:
        await self._turn()
        return tuple(self._history.get(key, ()))

    async def tally(self) -> Tally:
        await self._turn()
        entries = self._entries.values()
        return Tally(
            entries=dict(Counter(entry.state for entry in entries)), credits=sum(entry.credits for entry in entries)
        )

    async def analysis_ids(self) -> frozenset[str]:
        await self._turn()
        lines = (line for lines in self._history.values() for line in lines)
        return frozenset(line.analysis_id for line in lines if line.analysis_id is not None)

    async def notes(self, prefix: str) -> Mapping[str, str]:
        await self._turn()
        return {name: value for name, value in sorted(self._notes.items()) if name.startswith(prefix)}

    async def set_note(self, name: str, value: str) -> None:
        self._must_be_open()
        await checkpoint_if_cancelled()
        self._notes[name] = value
        await cancel_shielded_checkpoint()

    async def _turn(self) -> None:
        """Gives the others their turn, as any journal on a disk does."""
        self._must_be_open()
        await checkpoint()

    def _must_be_open(self) -> None:
        if not self._open:
            raise JournalUnusable("The journal in memory is not open: use it inside of `async with journal:`.")
