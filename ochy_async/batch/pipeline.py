"""Processes one clip: identifies it, runs the stages that its journal entry asks for, and collects the results.

Invariant: clips of the same identity are processed one after the other, so that the second finds what the first paid
for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from anyio import CapacityLimiter, Lock
from attrs import define, field

from ..clips import Clip, digest, prepare
from ..errors import ClipUnusable, OchyError
from ..journal.contract import StoredResults
from ..policy.clip_states import State, Step
from ..policy.identity import identity
from ..preflight.checker import Checker
from ..protocol.analysis import results_call
from ..protocol.answer import Answer
from ..protocol.wire import Response
from ..starting import preparation_deadline
from .clip_job import ClipJob, NotAnalyzed
from .context import BatchContext
from .outcomes import Analyzed, Failed, Outcome, Refused, Unfinished
from .output.collector import CollectedArtifacts, PaidAnalysis
from .output.plan import OutputPlan
from .reconcile import reconcile_start
from .sources import Item
from .submit import start
from .watch import results_to_store, watch

__all__ = ["STAGES", "Pipeline"]

STAGES: Final[Mapping[Step, Callable[[ClipJob], Awaitable[NotAnalyzed | None]]]] = {
    Step.START: start,
    Step.RECONCILE: reconcile_start,
    Step.WATCH: watch,
}
"""The function for each step that `policy.clip_states.NEXT_STEP` names. It records what it did in the journal, so that
the next step follows from the entry; it returns an outcome only if the clip goes no further in this run."""

_OUTCOMES: Final[Mapping[State, type[Refused | Failed]]] = {State.REFUSED: Refused, State.FAILED: Failed}
"""The outcomes of clips that are finished without results."""


@define(eq=False)
class _KeyLock:
    lock: Lock = field(factory=Lock)
    users: int = 0


@define(eq=False)
class Pipeline:
    """What a batch does with each clip."""

    context: BatchContext
    account: str
    origins: tuple[str, ...]
    """The base URLs under which the journal may know a clip; new clips are stored under the first."""
    _checker: Checker = field(init=False)
    _output: OutputPlan = field(init=False)
    _checks: CapacityLimiter = field(init=False)
    _collecting: CapacityLimiter = field(init=False)
    _key_locks: dict[str, _KeyLock] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.context.settings
        self._checker, self._output = settings.checker, settings.output
        self._checks = CapacityLimiter(settings.concurrency.checks)
        self._collecting = CapacityLimiter(settings.concurrency.collecting)

    async def outcome(self, item: Item) -> Outcome[Any, Any]:
        """Processes a clip and returns its outcome."""
        job = await self.identify(item)
        if isinstance(job, Refused | Unfinished):
            return job
        async with self._key_lock(job.key):
            try:
                job.entry = await self.context.recorder.find(job.key)
            except OchyError as error:
                return job.outcome(Unfinished, str(error), error)
            outcome = await self._run_stages(job)
            # Still under the lock: two clips of one identity must not collect and write the same files.
            return outcome if outcome is not None else await self._collect(job)

    async def _run_stages(self, job: ClipJob) -> NotAnalyzed | None:
        """Runs one stage after the other until the journal entry asks for none. Returns None if there are results."""
        refused = await self.preflight_before_start(job)
        if refused is not None:
            return refused
        if job.is_retried():
            await job.record(State.OPEN, reason="The clip is sent again.")
        if job.next_step() in STAGES:
            async with self.context.in_flight:
                while (stage := STAGES.get(job.next_step())) is not None:
                    outcome = await stage(job)
                    if outcome is not None:
                        return outcome
        kind = _OUTCOMES.get(job.known.state)
        return job.outcome(kind, job.known.reason) if kind is not None else None

    async def preflight_before_start(self, job: ClipJob) -> Refused | None:
        """Runs the preflight if the clip is about to be started. Clips that are paid for are collected without it."""
        return await self.preflight(job) if job.next_step() is Step.START or job.is_retried() else None

    async def preflight(self, job: ClipJob) -> Refused | None:
        """Checks whether the clip fits its request. Returns a refusal if it does not, whether it is paid for or not."""
        async with self._checks:
            try:
                await self._checker.check(job.clip, job.item.request, job.item.label)
            except ClipUnusable as error:
                return job.outcome(Refused, str(error), error, problems=error.problems)
        return None

    async def identify(self, item: Item) -> ClipJob | Refused | Unfinished:
        """Checks the size and type of the clip, hashes it, and finds its key. The job has no journal entry yet."""
        async with self._checks:
            try:
                clip = await self._prepared(item)
                # A clip is checked once. If its name or size rule it out, that happens here, because hashing would read
                # all of it for nothing. Otherwise it happens in `preflight_before_start`, once it is known that the
                # clip is not paid for, because a paid clip is collected, fit or not.
                if self._checker.exceeds_limits(clip):
                    await self._checker.check(clip, item.request, item.label)
                content = await digest(clip)
                key = await self._key(content, item)
            except ClipUnusable as error:
                return Refused(**item.facts, reason=str(error), error=error, problems=error.problems)
            except OchyError as error:
                return Unfinished(**item.facts, reason=str(error), error=error)
        return ClipJob(self.context, item, clip, content, key)

    async def _key(self, content: str, item: Item) -> str:
        """The key under which the journal knows the clip, for any of the base URLs; else the key of the first."""
        keys = [identity(content, item.request, self.account, origin) for origin in self.origins]
        for key in keys if len(keys) > 1 else ():
            if await self.context.recorder.find(key) is not None:
                return key
        return keys[0]

    async def _prepared(self, item: Item) -> Clip:
        with preparation_deadline(self.context.core):
            return await prepare(item.clip)

    @asynccontextmanager
    async def _key_lock(self, key: str) -> AsyncGenerator[None]:
        """Processes clips of the same identity one at a time. The lock is removed once nobody uses it."""
        key_lock = self._key_locks.setdefault(key, _KeyLock())
        key_lock.users += 1
        try:
            async with key_lock.lock:
                yield
        finally:
            key_lock.users -= 1
            if not key_lock.users:
                del self._key_locks[key]

    async def _collect(self, job: ClipJob) -> Outcome[Any, Any]:
        """The outcome with the stored results, and with the files and data that the user wants of them."""
        state, stored = job.state, None
        try:
            if state is None:  # results of this run need no journal, which may have failed meanwhile
                stored = await self.context.journal.results(job.key)
                state = results_call(job.started).outcome(Response(200, {}, stored.results))[0] if stored else None
        except OchyError as error:
            return job.outcome(Unfinished, str(error), error)
        if state is None or state.results is None:
            return job.outcome(Unfinished, "The journal has lost the results. Fetch them with `ochy wait`.")
        collected = await self._collected(job, state.results, stored or results_to_store(state))
        return Analyzed(
            **job.facts,
            results=state.results,
            calculated=collected.calculated,
            files=collected.files,
            missing=tuple(collected.missing),
            reason=collected.reason,
        )

    async def _collected(self, job: ClipJob, results: Answer, stored: StoredResults) -> CollectedArtifacts:
        if self._output.idle:
            return CollectedArtifacts()
        paid = PaidAnalysis(
            started=job.started,
            results=results,
            clip=job.known.clip or job.known.name,  # as the journal knows it: a renamed clip keeps its files
            calculated=stored.calculated,
            store_calculated=partial(_store_calculated, job, stored.results),
        )
        async with self._collecting:
            return await self._output.collect(self.context.core, paid, self.context.server_refused)


async def _store_calculated(job: ClipJob, results: bytes, calculated: bytes) -> None:
    await job.record(State.ANALYZED, StoredResults(results=results, calculated=calculated))
