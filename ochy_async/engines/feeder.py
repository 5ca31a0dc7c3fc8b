"""Carries out jobs in one open batch: each awaits the outcome of its own clip, whatever engine brings it.

Invariant: every job that is given gets a result. A job that the batch did not take, or not finish, is `unfinished`, so
that the engine brings it back; what it has paid for is in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import Event, Future, Queue, Task
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from anyio import to_thread
from attrs import define, field

from ..batch.engine import Batch
from ..batch.outcomes import Outcome
from ..batch.sources import BatchItem
from ..errors import InvalidSettings, SourceError
from ..object_store.listing import ObjectClips, is_object_url
from ..protocol.text_summary import printable
from .jobs import Job, JobResult

__all__ = ["JobFeeder"]

logger: logging.Logger = logging.getLogger("ochy_async")
ENDED: Final = "The worker is stopping. Another worker, or its next run, takes this clip."

Waiter = Future[Outcome[Any, Any] | None]


@define(eq=False, repr=False)
class JobFeeder:
    """Feeds a batch with clips one at a time: `async with JobFeeder(ochy.batch(journal=PostgresJournal())) as feeder:`.

    For a worker of an engine: keep one open while the worker lives, and let each job `await feeder.run(job)`. The batch
    has not been entered before; entering the feeder enters it.
    """

    batch: Batch[Any, Any]
    on_outcome: Callable[[Outcome[Any, Any]], None] = field(default=lambda _: None, kw_only=True)
    """Called with every outcome, which holds the results."""
    refuses: str = field(default="", init=False)
    """Why the batch starts no new clip any more, such as a limit on credits; empty while it does."""
    ended: Event = field(factory=Event, init=False)
    """Set once the batch takes no more jobs: it was stopped and is done, or it failed, which `aclose` raises."""
    _jobs: Queue[tuple[BatchItem, Waiter] | None] = field(factory=Queue, init=False)
    _waiting: dict[int, Waiter] = field(factory=dict, init=False)
    """By the position of the clip in the input of the batch."""
    _objects: ObjectClips = field(factory=ObjectClips, init=False)
    _task: Task[None] | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> Self:
        """Enters the batch, and returns the feeder. Raises what entering a batch raises. Call `aclose` afterwards.

        For engines that have hooks for the start and the end of a worker, which may run in different tasks.
        """
        if self._task is not None:
            raise InvalidSettings("A feeder can be opened only once. Make another one with another batch.")
        opened: Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve(opened))
        try:
            await asyncio.wait({opened, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not opened.done():
                await self.aclose()
        return self

    async def aclose(self) -> None:
        """Leaves the batch at once. Jobs under way are unfinished. Raises what ended the batch, if anything did."""
        self.cancel()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    def cancel(self) -> None:
        """Begins to leave the batch at once; `aclose` waits until it is left."""
        if self._task is not None:
            self._task.cancel()

    def stop(self, reason: str = "The worker was asked to stop.", *, hand_over: bool = False) -> None:
        """Takes no new job. Wait for `ended`: then what was under way is finished or, with `hand_over`, left to others.

        `Batch.stop` explains `hand_over`, which takes seconds instead of minutes. It may follow a stop without it.
        """
        if not self.ended.is_set():
            self.batch.stop(reason, hand_over=hand_over)
            self._jobs.put_nowait(None)

    async def run(self, job: Job) -> JobResult:
        """Carries out a job. A caller that is cancelled leaves its clip in the batch, which finishes it.

        Raises `InvalidSettings` if its object store cannot be used on this machine: end the worker, and give the job
        back. Raises `InvalidRequest` for a URL that names no video.
        """
        try:
            clip = await (self._objects.clip(job.clip) if is_object_url(job.clip) else _file(job.clip))
        except SourceError as error:
            logger.warning("a job is not carried out now: %s", printable(str(error)))
            return JobResult.unfinished(job, str(error))
        waiter: Waiter = asyncio.get_running_loop().create_future()
        if not self.ended.is_set():
            self._jobs.put_nowait((BatchItem(clip, job.request, extra=job.extra), waiter))
            outcome = await waiter
            if outcome is not None:
                return JobResult.of(job, outcome)
        return JobResult.unfinished(job, ENDED)

    async def _serve(self, opened: Future[None]) -> None:
        try:
            async with self.batch, aclosing(self.batch.run(self._items())) as outcomes:
                opened.set_result(None)
                async for outcome in outcomes:
                    self._tell(outcome)
        finally:
            self.ended.set()
            left = [self._jobs.get_nowait() for _ in range(self._jobs.qsize())]
            for waiter in (*self._waiting.values(), *(job[1] for job in left if job is not None)):
                _settle(waiter, None)

    async def _items(self) -> AsyncGenerator[BatchItem]:
        taken = 0
        while (job := await self._jobs.get()) is not None:
            self._waiting[taken] = job[1]
            taken += 1
            yield job[0]

    def _tell(self, outcome: Outcome[Any, Any]) -> None:
        report = self.batch.report
        self.refuses = report.stopped or report.limit_reached
        self.on_outcome(outcome)
        _settle(self._waiting.pop(outcome.index), outcome)


async def _file(path: str) -> Path:
    """The path of a file. Raises `SourceError` if it is missing, since its share may not be mounted here."""
    if not await to_thread.run_sync(os.path.exists, path):
        raise SourceError(f"{path} is not on this machine. Mount its folder here, or run a worker where it is.")
    return Path(path)


def _settle(waiter: Waiter, outcome: Outcome[Any, Any] | None) -> None:
    if not waiter.done():
        waiter.set_result(outcome)
