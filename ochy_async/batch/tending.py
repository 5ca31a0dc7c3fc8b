"""Finishes what other workers or earlier runs have left in the journal, without the clips.

Invariant: nothing is started: there is no content that could be sent. A start that may have been charged is looked up,
and stays uncertain if that does not resolve it. What a live worker is processing is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from attrs import define, frozen

from ..clips import Clip
from ..errors import ClipUnusable, JournalConflict, JournalError
from ..journal.contract import Entry
from ..policy.clip_states import UNRESOLVED, UNSENT, State, Step
from ..protocol.views import VIEWS
from .clip_job import ClipJob
from .orphans import count_committed, open_orphan
from .outcomes import Outcome, Unfinished
from .pipeline import HANDED_OVER, Pipeline, Stages
from .reconcile import reconcile_start
from .recorder import MAX_CONFLICTS
from .sources import Item
from .watch import watch

__all__ = ["Tending"]

_STAGES: Final[Stages] = {Step.RECONCILE: reconcile_start, Step.WATCH: watch}
_CHARGED: Final = UNRESOLVED | {State.STARTED}
"""The start was charged, or may have been, and the clip is not finished."""


@frozen
class _EntryItem(Item):
    """A clip of which only the journal's entry is known."""

    key: str = ""


@define(eq=False)
class Tending:
    """What `Batch.tend` does with each entry that is not finished."""

    pipeline: Pipeline

    async def items(self) -> AsyncGenerator[_EntryItem]:
        """The clips that somebody has left, or is processing. Raises `JournalError`."""
        index = 0
        async for entry in self.pipeline.context.journal.entries(*_CHARGED, *UNSENT):
            yield await self._item(index, entry)
            index += 1

    async def _item(self, index: int, entry: Entry) -> _EntryItem:
        tagged = await self.pipeline.context.subject_pool.tags(entry.subject_id)
        request = VIEWS[entry.view].request(subject_id=None if tagged else entry.subject_id)
        return _EntryItem(index, entry.clip or entry.name, request, key=entry.key)

    async def outcome(self, item: _EntryItem) -> Outcome[Any, Any] | None:
        """Finishes a clip and returns its outcome; None if there is nothing to tell of it."""
        async with self.pipeline.alone(item.key) as alone:
            if not alone:
                return None
            job = ClipJob(self.pipeline.context, item, Clip(item.label, 0, _no_content), "", item.key)
            with self.pipeline.context.interruptible() as job.scope:
                return await self._process(job)
            return job.outcome(Unfinished, HANDED_OVER)

    async def _process(self, job: ClipJob) -> Outcome[Any, Any] | None:
        """Finishes a clip, anew whenever another worker or a person has changed its entry meanwhile."""
        for _ in range(MAX_CONFLICTS):
            try:
                await self.pipeline.find_entry(job)
                if _is_charged(job):
                    return await self.pipeline.finish(job, _STAGES)
                await self._open(job)
            except JournalConflict:
                job.state = None
            except JournalError as error:
                self.pipeline.context.recorder.journal_failed(error)
                return job.outcome(Unfinished, str(error), error)
            else:
                return None
        return None

    async def _open(self, job: ClipJob) -> None:
        """Opens a start that was left unsent. After a failover it may have been sent, so its entry stays."""
        if job.is_left_unsent() and not self.pipeline.context.journal.failover:
            await open_orphan(self.pipeline.context, job.known)

    async def close(self) -> None:
        """Counts the credits of the starts that were opened. Raises `JournalError`."""
        if self.pipeline.context.journal.shared:
            await count_committed(self.pipeline.context)


def _is_charged(job: ClipJob) -> bool:
    return job.entry is not None and job.entry.state in _CHARGED


async def _no_content() -> AsyncGenerator[bytes]:
    raise ClipUnusable("Only the journal's entry of the clip is known, so it cannot be sent.")
    yield b""
