"""What stands between a worker and its world: a journal and a transport at which it can be paused and killed.

Invariant: from its death on, nothing that a worker does has any effect, its cleanup included: it also leaves its claims
and its lease. What the server has received completely it processes, also while the worker is paused or dead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, evolve

from ochy_async.emulator import InProcessTransport
from ochy_async.errors import JournalError
from ochy_async.journal.contract import Entry, HistoryEntry, JournalTotals, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import RESULTS, START
from ochy_async.protocol.wire import Request, Response

from .pausing import Process

if TYPE_CHECKING:
    from .shared_world import SharedWorld

T = TypeVar("T")


class WorkerJournal(MemoryJournal):
    """A journal whose worker can be struck before and after each call, and which fails at times."""

    def __init__(self, process: Process, world: SharedWorld) -> None:
        super().__init__(world.store)
        self.process, self.world = process, world

    async def _read(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        await self.process.moment()
        if self.world.fails(self.process, self.world.scenario.failing):
            raise JournalError(f"{what} failed")
        return await call()

    async def _change(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        await self.process.moment()
        if self.world.fails(self.process, self.world.scenario.unsure):
            if self.world.chance.random() < 0.5:
                with suppress(JournalError):
                    await call()
            self.world.trace(f"{self.process.name}: {what} may be stored or not")
            raise JournalError(f"{what} may be stored or not")
        result = await call()
        await self.process.moment()
        return result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.process.moment()
        await super().__aexit__(kind, error, trace)

    async def get(self, key: str) -> Entry | None:
        return await self._read("get", partial(super().get, key))

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is State.INTENDED:
            self.process.note_intent()
        what = f"put {entry.clip} {entry.state} {entry.analysis_id or ''}"
        put = partial(super().put, entry, results, most=most)
        return await self._storing(entry.analysis_id, self._change(what, put))

    async def put_all(self, entries: Sequence[Entry]) -> None:
        await self._change("put_all", partial(super().put_all, entries))

    async def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        add = partial(super().add_analysis, key, analysis_id, reason)
        return await self._storing(analysis_id, self._change(f"add_analysis {analysis_id}", add))

    async def _storing(self, analysis_id: str | None, change: Awaitable[Entry]) -> Entry:
        """Notes if the journal was told an analysis and did not store it."""
        try:
            return await change
        except JournalError as error:
            if analysis_id is not None and type(error) is JournalError:
                self.world.judge.not_stored.add(analysis_id)
            self.world.trace(f"{self.process.name}: {error}")
            raise

    async def results(self, key: str) -> StoredResults | None:
        return await self._read("results", partial(super().results, key))

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await self.process.moment()
        async for entry in super().entries(*states):
            yield entry
            await self.process.moment()

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        return await self._read("history", partial(super().history, key))

    async def totals(self) -> JournalTotals:
        return await self._read("totals", super().totals)

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        return await self._read("known", partial(super().known, analysis_ids))

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        return await self._read("notes", partial(super().notes, prefix, since))

    async def set_note(self, name: str, value: str) -> None:
        await self._change("set_note", partial(super().set_note, name, value))

    async def swap_note(self, name: str, before: str | None, value: str) -> bool:
        return await self._change("swap_note", partial(super().swap_note, name, before, value))

    async def tagging_subjects(self) -> Mapping[str, bool]:
        return await self._read("tagging_subjects", super().tagging_subjects)

    async def add_tagging_subject(self, subject_id: str) -> None:
        await self._change("add_tagging_subject", partial(super().add_tagging_subject, subject_id))

    async def retire_tagging_subject(self, subject_id: str) -> None:
        await self._change("retire_tagging_subject", partial(super().retire_tagging_subject, subject_id))

    async def take(self, *names: str) -> str | None:
        return await self._change("take", partial(super().take, *names))

    async def leave(self, name: str) -> None:
        await self._change("leave", partial(super().leave, name))

    async def holder(self, name: str) -> str | None:
        return await self._read("holder", partial(super().holder, name))

    async def changed(self, name: str, seconds: float) -> None:
        await self._read("changed", partial(super().changed, name, seconds))

    async def beat(self) -> float:
        return await self._change("beat", super().beat)

    async def pause(self, seconds: float) -> None:
        await self._change("pause", partial(super().pause, seconds))

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        return await self._change("reserve", partial(super().reserve, name, count, per_second))

    async def end_failover(self) -> None:
        await self._change("end_failover", super().end_failover)


@define(eq=False)
class WorkerTransport:
    """A transport whose worker can be struck before, within and after each request. The server is never paused."""

    inner: InProcessTransport
    process: Process
    world: SharedWorld

    @property
    def origin(self) -> str:
        return self.inner.origin

    @property
    def account(self) -> str:
        return self.inner.account

    async def aclose(self) -> None:
        """The server may still be processing what it has received."""

    async def send(self, request: Request) -> Response:
        await self.process.moment()
        judge, upload, sent = self.world.judge, request.upload, _Sent()
        if request.route == RESULTS:
            judge.polled(self.process, request.path.split("/")[2])
        elif request.route == START and upload is not None:
            judge.upload_begins(self.process, upload.filename)
        try:
            response = await self._exchange(self._carried(request, sent), sent)
        finally:
            judge.upload_ends(self.process, request)
        await self.process.moment()
        if request.route == START and upload is not None:
            self.world.trace(f"{self.process.name}: start of {upload.filename} -> {response.status}")
            judge.told(self.process, response.status, _id_in(response))
        return response

    async def _exchange(self, request: Request, sent: _Sent) -> Response:
        """Lets the server process a request, also if the worker is paused or dies meanwhile."""
        exchange = self._outside(self.inner.send(request))
        try:
            await asyncio.wait({exchange})
        finally:
            if not exchange.done() and not sent.complete:
                exchange.cancel()  # the connection breaks
        return exchange.result()

    def _outside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that does not belong to the worker."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self.world.keep(task)
        return task

    def _carried(self, request: Request, sent: _Sent) -> Request:
        """The request, whose content the worker hands over, chunk by chunk."""
        upload = request.upload
        if upload is None:
            sent.complete = True
            return request
        context, last = copy_context(), set[asyncio.Task[Any]]()

        async def chunks() -> AsyncGenerator[bytes]:
            source = upload.chunks()
            try:
                while not sent.complete:
                    last.add(task := self._in_worker(self._next(source), context))
                    await asyncio.wait({task})
                    chunk = task.result()
                    sent.bytes += len(chunk)
                    if not chunk:
                        return
                    if sent.bytes >= upload.size:
                        sent.complete = True
                        self.world.trace(f"{self.process.name}: all of {upload.filename} is sent")
                        self.process.note_moment()
                    yield chunk
            finally:
                self._in_worker(_ended(source, last, exhausted=sent.complete), context)

        return evolve(request, upload=evolve(upload, chunks=chunks))

    async def _next(self, source: AsyncGenerator[bytes]) -> bytes:
        await self.process.moment()
        return await anext(source, b"")

    def _in_worker(self, work: Coroutine[Any, Any, T], context: Context) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, context=context.copy())
        self.world.keep(task)
        return task


@define
class _Sent:
    """How much of a request the server has received."""

    bytes: int = 0
    complete: bool = False


async def _ended(source: AsyncGenerator[bytes], chunks: Collection[asyncio.Task[Any]], *, exhausted: bool) -> None:
    """Ends a generator, once no task waits for its next chunk."""
    for task in chunks:
        task.cancel()
    await asyncio.wait(chunks)
    if exhausted:
        async for _ in source:
            pass
    await source.aclose()


def _id_in(response: Response) -> str | None:
    """The id of the analysis that a server's answer names."""
    with suppress(ValueError, AttributeError):
        named = json.loads(response.body).get("video_id")
        return named if response.status == 202 and isinstance(named, str) else None
    return None
