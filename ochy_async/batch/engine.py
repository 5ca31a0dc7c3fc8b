"""A batch: reads clips while there is capacity and returns each outcome as soon as it is complete.

Invariant: each stage has a limit of its own, and memory depends on these limits, not on the length of the batch.
Leaving a batch early loses nothing that is paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio
from anyio import CancelScope, CapacityLimiter
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from attrs import define, evolve, field

from ..cancellation import cancelled_elsewhere
from ..core import SessionCore
from ..errors import InvalidSettings, JournalError, OchyError
from ..observing import BatchOperation, ClipOperation, Ended
from ..protocol.answer import Answer
from ..protocol.request import AnalysisRequest
from ..tracking import Tracked
from ..waiting import PollScheduler
from .context import BatchContext
from .dry_run import PlanCounter, Planned, dry_run
from .failover import look_up_after_failover, look_up_later
from .outcomes import Analyzed, Outcome
from .ownership import account_of, origins_of
from .pipeline import Pipeline
from .recorder import Recorder
from .records import OutcomeRecord
from .reopen import Reopened, pending_reopens, reopen, settle_reopens
from .report import Plan, Report
from .settings import Settings
from .sources import BatchItem, Clips, Item, items
from .subject_resolver import SubjectResolver
from .tagging import SubjectPool
from .tending import Tending
from .workers import Workers

__all__ = ["Batch"]

AnyItem = TypeVar("AnyItem", bound=Item)
R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)


@define(eq=False, repr=False)
class Batch(Generic[R, C]):
    """Many clips; made by `OchySession.batch` and used as `async with ochy.batch(…) as batch:`.

    Leaving the block stops at once. Every id that is paid for is in the journal, and no task is left behind.
    """

    _core: SessionCore
    _scheduler: PollScheduler
    _settings: Settings
    _request: AnalysisRequest[R, C] | None = None
    _counts: Counter[str] = field(factory=Counter, init=False)
    _already_paid: int = field(default=0, init=False)
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _pipeline: Pipeline | None = field(default=None, init=False)
    _tasks: TaskGroup | None = field(default=None, init=False)

    def __repr__(self) -> str:
        state = "closed" if self._tasks is None else "open"
        counts = ", ".join(f"{count} {word}" for word, count in self._counts.items()) or "no outcome"
        return f"<Batch, {state}: {counts}>"

    async def __aenter__(self) -> Self:
        """Opens the journal, and checks it and the output folder before anything is bought. A journal that is not
        shared is opened for this process alone."""
        if self._pipeline is not None:
            raise InvalidSettings("A batch can be entered only once. Make another one with `ochy.batch(…)`.")
        self._core.check_open()
        async with AsyncExitStack() as stack:
            self._pipeline = await self._open(stack)
            self._tasks = await anyio.create_task_group().__aenter__()
            workers = self._pipeline.context.workers
            if workers.journal.shared:
                await workers.beat()
                self._tasks.start_soon(workers.keep_alive)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._stack:
            if self._tasks is not None:
                self._ready()[0].context.workers.closing = True
                self._tasks.cancel_scope.cancel()
                # Without the caller's error: a task group would raise it inside an exception group.
                await self._tasks.__aexit__(None, None, None)

    async def _open(self, stack: AsyncExitStack) -> Pipeline:
        settings, core = self._settings, self._core
        await settings.output.open()
        journal = await stack.enter_async_context(settings.journal)
        transport = core.transport
        account = await account_of(journal, transport.account, same=settings.same_account)
        spelling: str = getattr(transport, "given_origin", transport.origin)
        origins = await origins_of(journal, transport.origin, spelling, same=settings.same_origin)
        recorder = Recorder(journal, settings.guard, core.clock)
        await recorder.open()
        stack.push_async_callback(recorder.close)
        workers = Workers(journal, core.clock)
        if (error := await workers.wrong_clock()) is not None:
            raise error
        subject_pool = SubjectPool(core, workers)
        await subject_pool.open()
        return Pipeline(BatchContext(core, self._scheduler, settings, recorder, subject_pool), account, origins)

    async def run(self, clips: Clips) -> AsyncGenerator[Outcome[R, C]]:
        """The outcome of every clip, each as soon as it is complete.

        `clips` is any iterable or async iterable of clips, of pairs of a clip and a request of its own, or of
        `BatchItem`s. Clips are read from it only while there is capacity. If reading it raises an error, this method
        raises the same error once all clips that were read are finished. Raises `OutputError` if the tables cannot be
        written.
        """
        pipeline = self._open_pipeline
        tracked = self._core.track(BatchOperation)
        tracked.ends_as(self._ended)
        with tracked.ending():
            async with aclosing(self._run(clips, pipeline, tracked)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    async def tend(self) -> AsyncGenerator[Outcome[Any, Any]]:
        """Finishes what killed workers or earlier runs have left in the journal. Starts and buys nothing.

        It needs no clip. Analyses that are paid for are waited for and their results stored; starts that may have been
        charged are looked up; starts that were not sent completely give their credit back. Clips that a live worker of
        a shared journal is processing are left alone. A killed worker counts as alive for half a minute.

        Yields the outcome of each analysis and of each uncertain start. Its `clip` is the name in the journal, and of
        its `request` only the view and the subject are known. Rows are added to the tables. Raises `JournalError` if
        the journal cannot be read, and `OutputError` if the tables cannot be written.
        """
        tending = Tending(self._open_pipeline)
        tracked = self._core.track(BatchOperation)
        tracked.ends_as(self._ended)
        with tracked.ending():
            async with self._settings.output.tables() as tables:
                await look_up_after_failover(tending.pipeline.context)
                feeder = _Feeder(tending.pipeline.context, tending.outcome)
                async with aclosing(self._fed(feeder, tending.items(), tracked)) as outcomes:
                    async for outcome in outcomes:
                        await tables.add(OutcomeRecord.of_entry(outcome).to_json)
                        yield outcome
                await tables.finish(complete=False)
            await tending.close()

    async def _run(self, clips: Clips, pipeline: Pipeline, tracked: Tracked) -> AsyncGenerator[Outcome[R, C]]:
        journal = pipeline.context.journal
        await look_up_after_failover(pipeline.context)
        if journal.failover:
            self._ready()[1].start_soon(look_up_later, pipeline.context)
        async with self._settings.output.tables() as tables:
            opened = set(await pending_reopens(journal))
            shown = set[str]()
            feeder = _Feeder(pipeline.context, pipeline.outcome)
            async with aclosing(self._fed(feeder, items(clips, self._request), tracked)) as outcomes:
                async for outcome in outcomes:
                    shown.update({outcome.key or ""} & opened)
                    await tables.add(OutcomeRecord.of(outcome).to_json)
                    yield cast("Outcome[R, C]", outcome)
            if feeder.complete:
                await tables.finish()
        if shown:
            with suppress(JournalError):  # then the next `reopen` opens nothing, once
                await settle_reopens(journal, shown)

    async def _fed(
        self, feeder: _Feeder[AnyItem], source: AsyncGenerator[AnyItem], tracked: Tracked
    ) -> AsyncGenerator[Outcome[Any, Any]]:
        """The outcomes of a feeder, which runs while they are read. Raises what reading its source raised."""
        send, receive = anyio.create_memory_object_stream[Outcome[Any, Any]](0)
        with tracked.active():  # the feeder's task, and those of all clips, belong to it
            self._ready()[1].start_soon(feeder.run, source, send)
        try:
            async with receive:
                async for outcome in receive:
                    self._count(outcome)
                    yield evolve(outcome, simulated=True) if self._core.simulated else outcome
        finally:
            feeder.scope.cancel()
        if feeder.error is not None:
            raise feeder.error

    async def resolve_subjects(
        self, items: Iterable[BatchItem], *, create: bool = False, ask: bool = True
    ) -> tuple[BatchItem, ...]:
        """Checks the subjects of the items before anything is uploaded. Pass the returned items to `run`.

        Looks up each distinct subject that no paid clip of the journal has: a single one by its id, several in the list
        of all subjects. With `create`, a subject may also be given by name, in upper or lower case; if no subject has
        that name, one is created. The journal stores the id, and `BatchItem.subject` the name. If `ask` is False,
        nothing is sent.

        Raises `InvalidRequest`, with the line of each problem, for ids that do not exist and names that several
        subjects have; and the error of the call if the server cannot be reached. If a subject may have been created,
        the request that creates it is not repeated.
        """
        journal = self._open_pipeline.context.journal
        complete = [item if item.request is not None else evolve(item, request=self._request) for item in items]
        return await SubjectResolver(self._core, journal).resolve(complete, create=create, ask=ask)

    async def reopen(self, clips: Clips) -> Reopened:
        """Lets `run` buy finished clips again: analyzed, failed or refused ones. Each costs another credit.

        Call this method before `run`, with the same clips: it must be possible to read the input twice. All clips are
        reopened in one step, or none if one of them is not finished: under way, uncertain, or reopened by an earlier
        call whose outcomes `run` has not returned since. So repeating the call after a crash buys nothing twice.
        Earlier results stay in the journal until new ones replace them. Raises `InvalidRequest` if `max_credits` does
        not leave enough.
        """
        return await reopen(self._open_pipeline, clips, self._request)

    async def plan(self, clips: Clips, *, reopened: bool = False) -> Plan:
        """What `run` would do and buy. Reads and hashes the clips and asks the journal; sends nothing.

        With `reopened`, returns what `run` would do after `reopen`, and reads the input twice.
        """
        counter = PlanCounter()
        async with aclosing(self.dry_run(clips, reopened=reopened)) as planned_clips:
            async for planned in planned_clips:
                counter.add(planned)
        return counter.plan

    async def dry_run(self, clips: Clips, *, reopened: bool = False) -> AsyncGenerator[Planned]:
        """What `run` would do with each clip, in the order of the input. Sends and buys nothing.

        `plan` returns the totals, and explains `reopened`. Only the identity of each clip is kept in memory. Raises
        what reading the clips or the journal raises.
        """
        async with aclosing(dry_run(self._open_pipeline, clips, self._request, reopened=reopened)) as found:
            async for each in found:
                yield each

    def stop(self, reason: str = "The batch was asked to stop.", *, hand_over: bool = False) -> None:
        """Takes and starts no new clip; clips under way are finished.

        With `hand_over`, they are not: another worker of a shared journal, or the next run, goes on with them. Uploads
        are cut short and cost nothing; analyses that are paid for are in the journal. Only the answer to a start whose
        last bytes have left is awaited. Each of these clips gets the outcome `Unfinished`.
        """
        context = self._open_pipeline.context
        if hand_over:
            context.hand_over(reason)
        else:
            context.stop(reason)

    @property
    def report(self) -> Report:
        """The sum of the batch so far."""
        return self._open_pipeline.context.report(dict(self._counts), self._already_paid)

    @property
    def _open_pipeline(self) -> Pipeline:
        return self._ready()[0]

    def _ready(self) -> tuple[Pipeline, TaskGroup]:
        if self._pipeline is None or self._tasks is None:
            raise InvalidSettings("The batch is not open. Use it inside `async with ochy.batch(…) as batch:`.")
        return self._pipeline, self._tasks

    def _ended(self, error: BaseException | None) -> Ended:
        """How `run` ended, for the observer."""
        report = self.report
        outcome = {} if error is not None else {"outcome": "stopped" if report.stopped else "finished"}
        return Ended.of(error, spent=report.spent, counts=report.outcomes, **outcome)

    def _count(self, outcome: Outcome[Any, Any]) -> None:
        self._counts[outcome.word] += 1
        self._already_paid += isinstance(outcome, Analyzed) and not outcome.bought


@define(eq=False)
class _Feeder(Generic[AnyItem]):
    """Takes clips from the input while there is capacity, and sends their outcomes on."""

    context: BatchContext
    process: Callable[[AnyItem], Awaitable[Outcome[Any, Any] | None]]
    """Returns the outcome of a clip, if there is one to tell."""
    scope: CancelScope = field(factory=CancelScope, init=False)
    error: Exception | None = field(default=None, init=False)
    """What reading the input raised, or an unexpected error while processing a clip."""
    _exhausted: bool = field(default=False, init=False)

    @property
    def complete(self) -> bool:
        """Whether the input was read completely and the batch was not stopped before all clips were processed."""
        return self._exhausted and not self.context.stopping.is_set()

    async def run(self, source: AsyncGenerator[AnyItem], outcomes: MemoryObjectSendStream[Outcome[Any, Any]]) -> None:
        with self.context.clip_limiter() as limiter, self.scope:
            async with outcomes, anyio.create_task_group() as jobs, aclosing(source):
                await limiter.acquire_on_behalf_of(slot := object())
                while (item := await self._next(source)) is not None:
                    jobs.start_soon(self._process, item, outcomes, limiter, slot)
                    await limiter.acquire_on_behalf_of(slot := object())

    async def _next(self, source: AsyncGenerator[AnyItem]) -> AnyItem | None:
        """The next clip; None at the end of the input, or once the batch is stopped."""
        if self.context.stopping.is_set():
            return None
        try:
            item = await anext(source, None)
        except Exception as error:  # noqa: BLE001 - the caller's own input may raise anything; `Batch.run` raises it again
            self.error = error
            return None
        self._exhausted = item is None
        return item

    async def _process(
        self, item: AnyItem, outcomes: MemoryObjectSendStream[Outcome[Any, Any]], limiter: CapacityLimiter, slot: object
    ) -> None:
        try:
            with self.context.core.track(ClipOperation, item.request.view) as tracked:
                with cancelled_elsewhere(partial(_cancelled, item)):
                    outcome = await self.process(item)
                if outcome is not None:
                    tracked.end(_end_of_clip, outcome)
            if outcome is not None:
                await outcomes.send(outcome)
        except Exception as error:  # noqa: BLE001 - unexpected; `Batch.run` raises it, not in an exception group
            self.error = self.error or error
            self.scope.cancel()
        finally:
            limiter.release_on_behalf_of(slot)


def _end_of_clip(outcome: Outcome[Any, Any]) -> Ended:
    """An outcome without results is an error, also where no exception of this run is its reason."""
    error: type[OchyError] | str | None = None
    if not isinstance(outcome, Analyzed):
        error = outcome.word if outcome.error is None else type(outcome.error)
    return Ended(
        outcome=outcome.word,
        error=error,
        analysis_id=outcome.analysis_id,
        spent=int(outcome.bought),
    )


def _cancelled(item: Item) -> OchyError:
    return OchyError(
        f"A task that {item.label!r} depends on was cancelled, but the batch was not. "
        "Analyses that are paid for are in the journal. Run again to continue."
    )
