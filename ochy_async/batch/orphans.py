"""Starts that a worker left behind before it had sent them completely: whoever finds one opens its entry again.

Invariant: opening an entry gives its credit back and fences the worker that intended the start, which may only be
paused: its last chunk needs a change of the version that it knows.
"""

from __future__ import annotations

from typing import Final

from anyio import current_time
from attrs import evolve

from ..errors import JournalConflict
from ..journal.contract import LEASE, Entry
from ..policy.clip_states import UNSENT, State
from .context import BatchContext

__all__ = ["LEFT_UNSENT", "count_committed", "credits_given_back", "open_orphan", "open_orphans"]

LEFT_UNSENT: Final = "The process ended before the complete clip was sent, so the start did not happen."


async def credits_given_back(context: BatchContext) -> bool:
    """Opens what dead workers left unsent, and counts anew what all workers have committed.

    Returns whether a credit may be spent. Does that once in a while only, and not in a journal of one worker, where
    what was left behind never counts. Raises `JournalError`.
    """
    journal, guard = context.journal, context.guard
    if not journal.shared or guard.stopped is not None:
        return False
    async with context.orphans_lock:
        if current_time() >= context.orphans_opened + LEASE:
            await open_orphans(context)
            await count_committed(context)
            context.orphans_opened = current_time()
    return guard.remaining != 0


async def count_committed(context: BatchContext) -> None:
    """Counts anew what all workers of a shared journal have committed. Raises `JournalError`."""
    context.guard.spent_earlier = (await context.journal.totals()).committed - context.guard.spent


async def open_orphans(context: BatchContext) -> None:
    """Opens every start that was left unsent and that no live worker has claimed; none after a failover."""
    if context.journal.failover:
        return
    async for found in context.journal.entries(*UNSENT):
        async with context.workers.claimed(found.key) as claimed:
            entry = await context.journal.get(found.key) if claimed else None
            if entry is not None and entry.state in UNSENT:
                await open_orphan(context, entry)


async def open_orphan(context: BatchContext, entry: Entry) -> None:
    """Opens a start that was left unsent, unless its entry has changed meanwhile. Raises `JournalError`."""
    opened = evolve(entry, state=State.OPEN, credits=entry.credits - 1, reason=LEFT_UNSENT, at=context.now())
    try:
        await context.journal.put(opened)
    except JournalConflict:
        return  # its worker goes on, or another one was faster
