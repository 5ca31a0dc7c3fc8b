"""A batch: clips go in as there is room, outcomes come out as they are complete.

Invariant: each stage has its own bound, memory follows the bounds and not the length, and
whoever leaves early leaves nothing behind but what is paid and written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
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
from ..policy.concurrency import InFlightLimit, UploadLimit
from ..policy.credit_guard import StopReason
from ..protocol.answer import Answer
from ..protocol.request import AnalysisRequest
from ..waiting import PollScheduler
from .context import BatchContext
from .dry_run import Planned, dry_run, planned
from .outcomes import Analyzed, Outcome
from .output.records import record_of
from .ownership import account_of, origins_of
from .pipeline import Pipeline
from .recorder import Recorder
from .reopen import Reopened, passes, reopen, settle_passes
from .report import Plan, Report
from .settings import Settings
from .sources import BatchItem, Clips, Item, items
from .subject_resolver import Subjects
from .tagging import SubjectPool

__all__ = ["Batch"]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)


@define(eq=False, repr=False)
class Batch(Generic[R, C]):
    """Many clips; made by `OchySession.batch` and used as `async with ochy.batch(…) as batch:`.

    Leaving the block stops at once what is not paid and keeps every id that is; nothing goes on behind it.
    """

    _core: SessionCore
    _scheduler: PollScheduler
    _settings: Settings
    _request: AnalysisRequest[R, C] | None = None
    _words: Counter[str] = field(factory=Counter, init=False)
    _already_paid: int = field(default=0, init=False)
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _pipeline: Pipeline | None = field(default=None, init=False)
    _tasks: TaskGroup | None = field(default=None, init=False)

    def __repr__(self) -> str:
        state = "closed" if self._tasks is None else "open"
        return (
            f"<Batch, {state}: {', '.join(f'{count} {word}' for word, count in self._words.items()) or 'no outcome'}>"
        )

    async def __aenter__(self) -> Self:
        """Opens the journal for this process alone and finds out whether it can serve, and the output folder too,
        before anything is bought."""
        if self._pipeline is not None:
            raise InvalidSettings("A batch is entered once; make another one with `ochy.batch(…)`.")
        self._core.check_open()
        async with AsyncExitStack() as stack:
            self._pipeline = await self._opened(stack)
            self._tasks = await anyio.create_task_group().__aenter__()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._stack:
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()
                # What the caller's block raised goes on as it is: a task group would wrap it.
                await self._tasks.__aexit__(None, None, None)

    async def _opened(self, stack: AsyncExitStack) -> Pipeline:
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
        subject_pool = SubjectPool(core, journal)
        await subject_pool.open()
        context = BatchContext(
            core=core,
            scheduler=self._scheduler,
            recorder=recorder,
            upload_limit=UploadLimit.of(settings.concurrency.uploads),
            in_flight_limit=InFlightLimit(settings.concurrency.in_flight),
            extra_slots=settings.concurrency.extra_slots,
            timeout=settings.timeout,
            subject_pool=subject_pool,
            tag_starts=settings.tag_starts,
            retry_refused=settings.retry_refused,
        )
        return Pipeline(context, account, origins, settings.concurrency, settings.checker, settings.output)

    async def run(self, clips: Clips) -> AsyncGenerator[Outcome[R, C]]:
        """The outcome of every clip, each as soon as it is complete.

        `clips` is any iterable or async iterable of clips, or of pairs of a clip and a request of its own;
        it is read as there is room. Raises what reading it raises, after all that was taken has ended, and
        `OutputError` where the tables over all could not be written.
        """
        pipeline, tasks = self._ready()
        async with pipeline.output.tables() as tables:
            send, receive = anyio.create_memory_object_stream[Outcome[Any, Any]](0)
            feed, shown = _Feed(pipeline, send), set[str]()
            opened = set(await passes(pipeline.context.recorder.journal))
            tasks.start_soon(feed.run, clips, self._request)
            try:
                async with receive:
                    async for outcome in receive:
                        self._count(outcome)
                        shown.update({outcome.key or ""} & opened)
                        await tables.add(partial(record_of, outcome))
                        yield cast("Outcome[R, C]", outcome)
            finally:
                feed.scope.cancel()
            if feed.trouble is not None:
                raise feed.trouble
            if feed.whole:
                await tables.finish()
        if shown:
            with suppress(JournalError):  # then the next `reopen` opens nothing, once
                await settle_passes(pipeline.context.recorder.journal, shown)

    async def resolve_subjects(
        self, items: Iterable[BatchItem], *, create: bool = False, ask: bool = True
    ) -> tuple[BatchItem, ...]:
        """The items with the ids of their subjects, found before anything is uploaded: pass them on to `run`.

        Each distinct subject that no paid clip of the journal has is asked for: one by a `GET`, several by one list.
        With `create` a subject may be a name: of a subject that exists, whatever its capitals, or else of one that is
        made now; the journal remembers its id, and `BatchItem.subject` the name. Without `ask` nothing is sent.

        Raises `InvalidRequest` for ids that do not exist and names that several subjects have, with the line of each;
        what a call raises where the server cannot be asked. A creation is never repeated on a doubt.
        """
        pipeline, _ = self._ready()
        whole = [item if item.request is not None else evolve(item, request=self._request) for item in items]
        return await Subjects(self._core, pipeline.context.recorder.journal).resolved(whole, create=create, ask=ask)

    async def reopen(self, clips: Clips) -> Reopened:
        """Lets `run` buy clips anew that are finished: analyzed, failed or refused. A credit more for each.

        To be called before `run`, with the same clips, so with an input that can be read twice. All are opened in one
        step; none where one of them is not finished: under way, in doubt, or opened by an earlier call whose clips
        `run` has not shown since. So whoever repeats the call after a crash buys nothing twice. Former results stay in
        the journal until new ones replace them. Raises `InvalidRequest` where `max_credits` leaves less than it takes.
        """
        pipeline, _ = self._ready()
        return await reopen(pipeline, clips, self._request)

    async def plan(self, clips: Clips, *, reopened: bool = False) -> Plan:
        """What `run` would do and buy: reads and hashes the clips, asks the journal, sends nothing.

        `reopened` asks what it would do after `reopen`; the input is read twice then.
        """
        pipeline, _ = self._ready()
        return await planned(pipeline, clips, self._request, reopened=reopened)

    async def dry_run(self, clips: Clips, *, reopened: bool = False) -> AsyncGenerator[Planned]:
        """What `run` would do with each clip, in the order of the input, as it is found. Sends and buys nothing.

        `plan` is the sum of it, and `reopened` as there. Memory holds the identity of each clip and no more. Raises
        what reading the clips or the journal raises.
        """
        pipeline, _ = self._ready()
        async with aclosing(dry_run(pipeline, clips, self._request, reopened=reopened)) as found:
            async for each in found:
                yield each

    def stop(self, reason: str = "The batch was asked to stop.") -> None:
        """No new clip is taken or started; what is under way goes on to its end."""
        pipeline, _ = self._ready()
        pipeline.context.recorder.guard.stop(StopReason(reason))
        pipeline.context.stopping.set()

    @property
    def report(self) -> Report:
        """What the batch has come to so far."""
        pipeline, _ = self._ready()
        context, guard = pipeline.context, pipeline.context.recorder.guard
        return Report(
            outcomes=dict(self._words),
            spent=context.spent,
            uncertain=len(context.doubts),
            already_paid=self._already_paid,
            committed=guard.committed,
            charged=context.recorder.charged,
            held_back=len(context.held_back),
            stopped=guard.stopped.reason if guard.stopped is not None else "",
        )

    def _ready(self) -> tuple[Pipeline, TaskGroup]:
        if self._pipeline is None or self._tasks is None:
            raise InvalidSettings("The batch is not open; use it inside `async with ochy.batch(…) as batch:`.")
        return self._pipeline, self._tasks

    def _count(self, outcome: Outcome[Any, Any]) -> None:
        self._words[outcome.word] += 1
        self._already_paid += isinstance(outcome, Analyzed) and not outcome.bought


@define(eq=False)
class _Feed:
    """Takes clips from the input as there is room, and sends their outcomes on."""

    pipeline: Pipeline
    outcomes: MemoryObjectSendStream[Outcome[Any, Any]]
    scope: CancelScope = field(factory=CancelScope, init=False)
    trouble: Exception | None = field(default=None, init=False)
    """What reading the input raised, or a fault that nobody expected."""
    _ended: bool = field(default=False, init=False)

    @property
    def whole(self) -> bool:
        """Whether the input was read to its end, and nobody wanted to stop before all of it had gone through."""
        return self._ended and not self.pipeline.context.stopping.is_set()

    async def run(self, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> None:
        with self.pipeline.context.room() as room, self.scope:
            async with self.outcomes, anyio.create_task_group() as jobs, aclosing(items(clips, request)) as found:
                await room.acquire_on_behalf_of(place := object())
                while (item := await self._next(found)) is not None:
                    jobs.start_soon(self._job, item, room, place)
                    await room.acquire_on_behalf_of(place := object())

    async def _next(self, found: AsyncGenerator[Item]) -> Item | None:
        """The next clip; None at the end of the input, or of the patience with it."""
        if self.pipeline.context.stopping.is_set():
            return None
        try:
            item = await anext(found, None)
        except Exception as trouble:  # noqa: BLE001 - the caller's own input may raise anything; `run` raises it again
            self.trouble = trouble
            return None
        self._ended = item is None
        return item

    async def _job(self, item: Item, room: CapacityLimiter, place: object) -> None:
        try:
            with cancelled_elsewhere(partial(_cancelled, item)):
                outcome = await self.pipeline.outcome(item)
            await self.outcomes.send(outcome)
        except Exception as fault:  # noqa: BLE001 - a fault of ours, or of a journal's: `run` raises it, not a group
            self.trouble = self.trouble or fault
            self.scope.cancel()
        finally:
            room.release_on_behalf_of(place)


def _cancelled(item: Item) -> OchyError:
    return OchyError(
        f"Something that {item.label!r} needed was cancelled elsewhere, and nobody has cancelled the batch. "
        "What was paid is in the journal; run again to go on."
    )
