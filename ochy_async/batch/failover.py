"""What a batch does before it buys anything from a journal that another database server has taken over.

Invariant: that server may have lost the latest changes, so a start that was only intended may have been sent. While
`Journal.failover` is true, no start is admitted and no intent is opened. It ends once each of these starts was looked
up.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Final

from anyio import CancelScope, CapacityLimiter, create_task_group, current_time
from attrs import define, evolve, field

from ..errors import JournalConflict, JournalError
from ..journal.contract import LEASE, Entry
from ..policy.clip_states import UNRESOLVED, UNSENT, State
from ..protocol.video_limits import MAX_BYTES
from .context import BatchContext
from .reconcile import look_up_once
from .recorder import note_of_release
from .workers import LONGEST_WAIT

__all__ = ["look_up_after_failover", "look_up_later"]

_DOUBTFUL: Final = UNRESOLVED | UNSENT
_REASON: Final = (
    "Another server of the journal's database has taken over, which may have lost the latest changes. "
    "So what happened to the start is not known."
)


async def look_up_after_failover(context: BatchContext) -> None:
    """Looks up every start whose fate may be lost, and ends the failover once each lookup got an answer.

    As many starts are looked up at the same time as a run processes clips. Gives up half a minute after the last answer
    at most, if other workers keep their claims or the server cannot be reached. Then the failover goes on, and the next
    call tries again. Raises `JournalError`.
    """
    async with context.failover_lock:
        if not context.journal.failover:
            return
        doubtful = [entry async for entry in context.journal.entries(*_DOUBTFUL)]
        await _distrust_lists(context, doubtful)
        lookups = _Lookups(context, {entry.key for entry in doubtful})
        await lookups.run()
        while lookups.keys:
            if lookups.over:
                return
            await context.wait_or_stop(LONGEST_WAIT)
            await lookups.run()
        await context.journal.end_failover()


async def look_up_later(context: BatchContext) -> None:
    """Tries it again every half minute, until the failover has ended or the batch is stopped."""
    while context.journal.failover and not context.stopping.is_set():
        await context.wait_or_stop(LEASE)
        with suppress(JournalError):
            await look_up_after_failover(context)


@define(eq=False)
class _Lookups:
    """The lookups that must get an answer before the failover ends."""

    context: BatchContext
    keys: set[str]
    """Keys of the entries whose lookups got no answer so far."""
    _ends: float = field(init=False)
    """When to give up, on the clock of the event loop."""

    def __attrs_post_init__(self) -> None:
        self._answered()

    @property
    def over(self) -> bool:
        """Whether to give up."""
        return current_time() >= self._ends or self.context.stopping.is_set()

    async def run(self) -> None:
        """Looks up all starts whose lookups got no answer so far, once each. Raises `JournalError`."""
        errors = list[Exception]()
        with self.context.clip_limiter() as limiter:
            async with create_task_group() as group:
                for key in tuple(self.keys):
                    group.start_soon(self._look_up, key, limiter, errors, group.cancel_scope)
        if errors:  # raised here, because a task group would raise an exception group
            raise errors[0]

    async def _look_up(self, key: str, limiter: CapacityLimiter, errors: list[Exception], scope: CancelScope) -> None:
        async with limiter:
            if self.over:
                return
            try:
                if await _is_looked_up(self.context, key):
                    self.keys.discard(key)
                    self._answered()
            except Exception as error:  # noqa: BLE001 - `run` raises it
                errors.append(error)
                scope.cancel()

    def _answered(self) -> None:
        self._ends = current_time() + LEASE + LONGEST_WAIT


async def _distrust_lists(context: BatchContext, doubtful: list[Entry]) -> None:
    """Stores that starts of which nothing is known may be in the vendor's lists: no lookup takes one for another.

    They were made after the last change that is known, and may be linked to any tagging subject.
    """
    now = context.now()
    earliest = min((entry.earliest or entry.at for entry in doubtful), default=now)
    await context.journal.set_note(*note_of_release(f"failover:{now.isoformat()}", min(earliest, now), now, "", None))
    await context.subject_pool.retire_all()


async def _is_looked_up(context: BatchContext, key: str) -> bool:
    """Looks a start up once, unless it is resolved by now. Returns False if that must be tried again."""
    entry = await context.journal.get(key)
    if entry is not None and entry.state not in _DOUBTFUL:
        return True  # whoever holds it: a worker that waits for an analysis holds its clip for long
    async with context.workers.claimed(key) as claimed:
        entry = await context.journal.get(key) if claimed else None
        if entry is None:
            return False
        try:
            if entry.state in _DOUBTFUL - {State.UNCERTAIN}:
                entry = await context.journal.put(await _uncertain(context, entry))
            return entry.state is not State.UNCERTAIN or await look_up_once(context, entry)
        except JournalConflict:
            return False


async def _uncertain(context: BatchContext, entry: Entry) -> Entry:
    """The start was over at its deadline at the latest, which is that of the largest clip.

    Its tagging subject may have tagged later starts that were lost, so it proves nothing any more.
    """
    now, subject_id, reason = context.now(), entry.subject_id, _REASON
    if await context.subject_pool.tags(subject_id):
        await context.subject_pool.retire(subject_id)
        subject_id, reason = None, f"{_REASON} Its analysis, if there is one, has the subject {entry.subject_id}."
    over = (entry.earliest or entry.at) + timedelta(seconds=context.core.limits.transfer(MAX_BYTES))
    return evolve(entry, state=State.UNCERTAIN, subject_id=subject_id, latest=min(now, over), reason=reason, at=now)
