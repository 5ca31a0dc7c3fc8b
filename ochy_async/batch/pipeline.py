"""Processes one clip: identifies it, runs the stages that its journal entry asks for, and collects the results.

Invariant: clips of the same identity are processed one after the other, so that the second finds what the first paid
for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from anyio import CapacityLimiter, Lock
from attrs import define, field

from ..clips import Clip, FileVersion, digest, prepare
from ..errors import ClipUnusable, JournalConflict, JournalError, OchyError, SourceError
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
from .orphans import LEFT_UNSENT
from .outcomes import Analyzed, Failed, Outcome, Refused, Unfinished
from .output.collector import CollectedArtifacts, PaidAnalysis
from .output.plan import OutputPlan
from .reconcile import reconcile_start
from .recorder import MAX_CONFLICTS
from .sources import Item
from .submit import start
from .watch import results_to_store, watch

__all__ = ["HANDED_OVER", "STAGES", "Pipeline", "Stages"]

Stages = Mapping[Step, Callable[[ClipJob], Awaitable[NotAnalyzed | None]]]
STAGES: Final[Stages] = {
    Step.START: start,
    Step.RECONCILE: reconcile_start,
    Step.WATCH: watch,
}
"""The function for each step that `policy.clip_states.NEXT_STEP` names. It records what it did in the journal, so that
the next step follows from the entry; it returns an outcome only if the clip goes no further in this run."""

HANDED_OVER: Final = (
    "The batch has handed the clip over: another worker of the journal or the next run goes on with it."
)
CLAIMED: Final = "Another worker of the journal is processing this clip. Run again to get its outcome."

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
        async with self.identified(item) as job:
            if isinstance(job, Refused | Unfinished):
                return job
            if job.key in self._key_locks:
                await job.release_copy()  # the clip that goes first may wait for its space
            async with self._key_lock(job.key):
                with self.context.interruptible() as job.scope:
                    return await self._process(job)
                return job.outcome(Unfinished, HANDED_OVER)

    async def _process(self, job: ClipJob) -> Outcome[Any, Any]:
        """Processes an identified clip, anew whenever another worker or a person has changed its entry meanwhile."""
        conflict: JournalConflict | None = None
        for _ in range(MAX_CONFLICTS):
            try:
                return await self._process_in_turn(job)
            except JournalConflict as error:
                conflict, job.state = error, None
        return job.outcome(Unfinished, str(conflict), conflict)

    async def _process_in_turn(self, job: ClipJob) -> Outcome[Any, Any]:
        """Processes the clip once no other worker does. Then its outcome may be what the other has bought."""
        workers, waited = self.context.workers, False
        try:
            while True:
                await self.find_entry(job, waited=waited)
                if self.context.journal.shared and not self._is_finished(job):
                    async with workers.claimed(job.key) as claimed:
                        if claimed:
                            await self.find_entry(job, waited=waited)
                            return await self._outcome(job)
                    if self.context.stopping.is_set():
                        return job.outcome(Unfinished, CLAIMED)
                    await job.release_copy()  # clips that this worker can process may wait for its space
                    await workers.wait_for(job.key)
                    waited = True
                else:
                    return await self._outcome(job)
        except JournalConflict:
            raise
        except JournalError as error:
            self.context.recorder.journal_failed(error)
            return job.outcome(Unfinished, str(error), error)

    async def find_entry(self, job: ClipJob, *, waited: bool = False) -> None:
        """Reads the entry, and counts what another worker has done to it."""
        job.entry = entry = await self.context.recorder.find(job.key)
        if entry is None:
            return
        if waited and entry.state is State.REFUSED:
            self.context.refused.add(job.key)
        job.bought = self.context.resolved_elsewhere(entry) or job.bought

    def _is_finished(self, job: ClipJob) -> bool:
        return job.next_step() is Step.NOTHING and not job.is_retried()

    async def _outcome(self, job: ClipJob) -> Outcome[Any, Any]:
        refused = await self._prepare_start(job)
        # Still in turn: two clips of one identity must not collect and write the same files.
        return refused if refused is not None else await self.finish(job, STAGES)

    async def _prepare_start(self, job: ClipJob) -> Refused | Unfinished | None:
        """Checks a clip that is about to be started, and opens its entry. Returns why it is not started, if so."""
        refused = await self.preflight_before_start(job)
        if refused is not None:
            return refused
        if job.is_left_unsent():
            await job.record(State.OPEN, reason=LEFT_UNSENT, credits=job.known.credits - 1)
            job.release_subject()
            if self.context.journal.shared:  # else `Recorder.open` has not counted its credit
                self.context.guard.spent_earlier -= 1
        if job.is_retried():
            await job.record(State.OPEN, reason="The clip is sent again.")
        return None

    async def finish(self, job: ClipJob, stages: Stages) -> Outcome[Any, Any]:
        """Runs one of these stages after the other until the journal entry asks for none, and collects the results."""
        if job.next_step() in stages:
            async with self.context.in_flight:
                while (stage := stages.get(job.next_step())) is not None:
                    outcome = await stage(job)
                    if outcome is not None:
                        return outcome
        kind = _OUTCOMES.get(job.known.state)
        return job.outcome(kind, job.known.reason) if kind is not None else await self._collect(job)

    async def preflight_before_start(self, job: ClipJob) -> Refused | Unfinished | None:
        """Runs the preflight if the clip is about to be started. Clips that are paid for are collected without it."""
        return await self.preflight(job) if job.next_step() is Step.START or job.is_retried() else None

    async def preflight(self, job: ClipJob) -> Refused | Unfinished | None:
        """Checks whether the clip fits its request. Returns a refusal if it does not, whether it is paid for or not."""
        try:
            if job.clip.remote is not None:
                await job.clip.remote.fetch()
            async with self._checks:
                await self._checker.check(job.clip, job.item.request, job.item.label)
        except ClipUnusable as error:
            return job.outcome(Refused, str(error), error, problems=error.problems)
        except SourceError as error:
            return job.outcome(Unfinished, str(error), error)
        return None

    @asynccontextmanager
    async def identified(self, item: Item) -> AsyncGenerator[ClipJob | Refused | Unfinished]:
        """Identifies a clip. A copy of remote content exists within the block only."""
        async with AsyncExitStack() as stack:
            yield await self._identify(item, stack)

    async def _identify(self, item: Item, stack: AsyncExitStack) -> ClipJob | Refused | Unfinished:
        """Checks the size and type of the clip, hashes it, and finds its key. The job has no journal entry yet."""
        try:
            async with self._checks:
                clip = await self._prepared(item)
                # A clip is checked once. If its name or size rule it out, that happens here, because hashing would read
                # all of it for nothing. Otherwise it happens in `preflight_before_start`, once it is known that the
                # clip is not paid for, because a paid clip is collected, fit or not.
                if self._checker.exceeds_limits(clip):
                    await self._checker.check(clip, item.request, item.label)
            if clip.remote is not None:
                stack.push_async_callback(clip.remote.release)
            content = await self._content_if_analyzed(clip, item) or await self._digest(clip)
            key = await self._key(content, item)
        except ClipUnusable as error:
            return Refused(**item.facts, reason=str(error), error=error, problems=error.problems)
        except OchyError as error:
            return Unfinished(**item.facts, reason=str(error), error=error)
        return ClipJob(self.context, item, clip, content, key)

    async def _content_if_analyzed(self, clip: Clip, item: Item) -> str | None:
        """The SHA-256 that the journal remembers of an unchanged file, if its clip is analyzed.

        Any other clip is read before it is decided what to do with it.
        """
        context, version = self.context, self._version(clip)
        if version is None or context.settings.rehash:
            return None
        content = await context.journal.remembered_digest(version.source)
        if content is None:
            return None
        entry = await context.recorder.find(await self._key(content, item))
        return content if entry is not None and entry.state is State.ANALYZED else None

    async def _digest(self, clip: Clip) -> str:
        """The SHA-256 of the content. Remote content is read only if the journal does not remember it."""
        remote, version, journal = clip.remote, self._version(clip), self.context.journal
        settled = version is not None and version.is_settled()  # told before it is read
        if remote is not None:
            known = None if remote.source is None else await journal.remembered_digest(remote.source)
            if known is not None:
                return known
            await remote.fetch()  # not under `_checks`, for which jobs with a copy wait
        async with self._checks:
            content = await digest(clip)
        if remote is not None and remote.source is not None:
            await journal.remember_digest(remote.source, content)
        elif version is not None and settled:
            with suppress(JournalError):  # it only saves reading the file again; what is paid for is collected
                await journal.remember_digest(version.source, content)
        return content

    def _version(self, clip: Clip) -> FileVersion | None:
        """The version of a file that the journal may remember. Workers may be on machines with other files."""
        return None if self.context.journal.shared else clip.version

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

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncGenerator[bool]:
        """Whether nobody else works on the clip of a key within the block, neither in this batch nor in another."""
        if key in self._key_locks:
            yield False
            return
        async with self._key_lock(key), self.context.workers.claimed(key) as claimed:
            yield claimed

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
    with suppress(JournalConflict):  # opened again meanwhile; what is stored can be fetched again
        await job.record(State.ANALYZED, StoredResults(results=results, calculated=calculated))
