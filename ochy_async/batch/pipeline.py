"""From a clip to its outcome: checked, hashed, known by its identity, walked to its end, collected.

Invariant: clips of one identity go one after the other, so that the second finds what the first
has paid for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from anyio import CapacityLimiter, Lock, current_time
from attrs import define, field

from ..clips import Clip, digest, prepare
from ..errors import ClipUnusable, OchyError
from ..journal.contract import StoredResults
from ..policy.clip_states import State, Step
from ..policy.concurrency import Concurrency
from ..policy.identity import identity
from ..preflight.checker import Checker
from ..protocol.analysis import results_call
from ..protocol.answer import Answer
from ..protocol.routes import START
from ..protocol.wire import Response
from .clip_job import ClipJob, NotAnalyzed
from .context import BatchContext
from .outcomes import Analyzed, Failed, Outcome, Refused, Unfinished
from .output.collector import CollectedArtifacts, PaidAnalysis
from .output.plan import OutputPlan
from .reconcile import look_up
from .sources import Item
from .submit import start
from .watch import kept_of, watch

__all__ = ["Pipeline"]


@define(eq=False)
class _Turn:
    lock: Lock = field(factory=Lock)
    users: int = 0


@define(eq=False)
class Pipeline:
    """What is done for each clip of a batch."""

    context: BatchContext
    account: str
    origins: tuple[str, ...]
    """The base URLs under which the journal may know a clip; what is new goes under the first."""
    concurrency: Concurrency
    checker: Checker
    output: OutputPlan = field(factory=OutputPlan)
    checks: CapacityLimiter = field(init=False)
    collecting: CapacityLimiter = field(init=False)
    _turns: dict[str, _Turn] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.checks = CapacityLimiter(self.concurrency.checks)
        self.collecting = CapacityLimiter(self.concurrency.collecting)

    async def outcome(self, item: Item) -> Outcome[Any, Any]:
        """The one end that the clip comes to."""
        job = await self.identified(item)
        if isinstance(job, Refused | Unfinished):
            return job
        async with self._turn(job.key):
            try:
                job.entry = await self.context.recorder.find(job.key)
            except OchyError as error:
                return job.end(Unfinished, str(error), error)
            ended = await self._steps_of(job)
            # Within the turn: two that are the same are not collected, and written, at once.
            return ended if ended is not None else await self._analyzed(job)

    async def _steps_of(self, job: ClipJob) -> NotAnalyzed | None:
        """Step after step until nothing is left to do. None where the results are there."""
        refused = await self.unfit(job)
        if refused is not None:
            return refused
        entry = job.entry
        if self.again(job) and entry is not None:
            job.entry = await self.context.recorder.record(entry, State.OPEN, reason="It is tried again.")
        if job.step() is not Step.NOTHING:
            async with self.context.in_flight:
                while job.step() is not Step.NOTHING:
                    ended = await _STEPS[job.step()](job)
                    if ended is not None:
                        return ended
        kind = _ENDS.get(job.known.state)
        return job.end(kind, job.known.reason) if kind is not None else None

    def again(self, job: ClipJob) -> bool:
        """Whether what the server refused before is sent again."""
        return job.entry is not None and self.context.retries(job.entry)

    async def unfit(self, job: ClipJob) -> Refused | None:
        """Why the clip is not bought, if it would be. What is paid for already is collected, fit or not."""
        return await self.refused(job) if job.step() is Step.START or self.again(job) else None

    async def refused(self, job: ClipJob) -> Refused | None:
        """Why the clip would not be bought as it is now, whatever is paid."""
        async with self.checks:
            try:
                await self.checker.check(job.clip, job.item.request, job.item.label)
            except ClipUnusable as error:
                return job.end(Refused, str(error), error, problems=error.problems)
        return None

    async def identified(self, item: Item) -> ClipJob | Refused | Unfinished:
        """The clip checked and hashed, before anything is known of it."""
        async with self.checks:
            try:
                clip = await self._prepared(item)
                await self.checker.refuse_limits(clip, item.request, item.label)
                content = await digest(clip)
                key = await self._key(content, item)
            except ClipUnusable as error:
                return Refused(**item.facts, reason=str(error), error=error, problems=error.problems)
            except OchyError as error:
                return Unfinished(**item.facts, reason=str(error), error=error)
        return ClipJob(self.context, item, clip, content, key)

    async def _key(self, content: str, item: Item) -> str:
        """The identity of a clip: the one that the journal knows, should it know it by another address."""
        keys = [identity(content, item.request, self.account, origin) for origin in self.origins]
        for key in keys if len(keys) > 1 else ():
            if await self.context.recorder.find(key) is not None:
                return key
        return keys[0]

    async def _prepared(self, item: Item) -> Clip:
        with self.context.core.deadline(START):  # a file system may hang as a network does
            return await prepare(item.clip)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncGenerator[None]:
        """One clip of an identity at a time. What nobody waits for is forgotten."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def _analyzed(self, job: ClipJob) -> Outcome[Any, Any]:
        """What is kept, read again as if it had just come."""
        state, kept = job.state, None
        try:
            if state is None:  # what came in this run needs no journal: that may have failed meanwhile
                kept = await self.context.recorder.journal.results(job.key)
                state = results_call(job.started).outcome(Response(200, {}, kept.results))[0] if kept else None
        except OchyError as error:
            return job.end(Unfinished, str(error), error)
        if state is None or state.results is None:
            return job.end(Unfinished, "The journal has lost its results; they can be had with `ochy wait`.")
        collected = await self._collected(job, state.results, kept or kept_of(state))
        return Analyzed(
            **job.facts,
            results=state.results,
            calculated=collected.calculated,
            files=collected.files,
            missing=tuple(collected.missing),
            reason=collected.reason,
        )

    async def _collected(self, job: ClipJob, results: Answer, kept: StoredResults) -> CollectedArtifacts:
        if self.output.idle:
            return CollectedArtifacts()
        paid = PaidAnalysis(
            started=job.started,
            results=results,
            clip=job.known.clip or job.known.name,  # as the journal knows it: a renamed clip keeps its files
            calculated=kept.calculated,
            store_calculated=partial(_store_calculated, job, kept.results),
        )
        async with self.collecting:
            return await self.output.collect(self.context.core, paid, self._server_refused)

    def _server_refused(self, error: OchyError) -> None:
        self.context.recorder.guard.refused(error, current_time())


async def _store_calculated(job: ClipJob, results: bytes, calculated: bytes) -> None:
    results_and_calculated = StoredResults(results=results, calculated=calculated)
    job.entry = await job.context.recorder.record(job.known, State.ANALYZED, results_and_calculated)


_STEPS: Final[Mapping[Step, Callable[[ClipJob], Awaitable[NotAnalyzed | None]]]] = {
    Step.START: start,
    Step.RECONCILE: look_up,
    Step.WATCH: watch,
}
_ENDS: Final[Mapping[State, type[Refused | Failed]]] = {State.REFUSED: Refused, State.FAILED: Failed}
