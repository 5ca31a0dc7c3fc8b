"""What stands between a process and its world: a journal, a transport and a receiver at which the process can die.

Invariant: from its death on, nothing that a process does has any effect, its cleanup included. Each of the three also
checks that what passes comes in the right order.
"""

# The checks read private state of journal and emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from attrs import define, evolve, field

from ochy_async import Webhooks
from ochy_async.emulator import FaultEffect, InProcessTransport, in_process
from ochy_async.emulator.messages import Form
from ochy_async.emulator.video_hash import VideoHasher
from ochy_async.errors import ConnectionFailed, JournalError, Phase
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import RESULTS, START
from ochy_async.protocol.wire import Request, Response

from .scenario import content_of

if TYPE_CHECKING:
    from .one_journal import Simulation

TOKEN: Final = "simulated-token-0123456789"
ANSWERS: Final = {204, 400, 413, 415, 429}
"""How a delivery may be answered, whatever it is."""


class Crash(BaseException):
    """The process is dead."""


class TornDown(ConnectionFailed):
    """The upload was cancelled while the process waited for its next chunk."""


@define
class CrashPoint:
    """Counts the steps of a process, and ends it at one of them."""

    left: int | None = None
    """The step at which the process dies; None is never."""
    steps: int = 0
    crashed: bool = False

    def step(self) -> None:
        if not self.crashed:
            self.steps += 1
            self.crashed = self.left is not None and self.steps > self.left
        if self.crashed:
            raise Crash


class CrashingJournal(MemoryJournal):
    """A journal whose process can die at each change. It checks which process opens a start again."""

    def __init__(self, crash_point: CrashPoint, simulation: Simulation) -> None:
        super().__init__(simulation.store)
        self.crash_point, self.simulation = crash_point, simulation
        self.tokens = set[str | None]()  # of the attempts of this process

    @property
    def shared(self) -> bool:
        return False  # one process after the other has it open

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        before = self._store.entries.get(entry.key)
        self._check_sending(before, entry)
        if self._is_unsure(before, entry):
            with suppress(JournalError):
                await super().put(entry, results, most=most)
            raise JournalError("the change may be stored or not")
        stored = await super().put(entry, results, most=most)
        self.simulation.trace(f"journal: {entry.clip} {entry.state} {entry.analysis_id or ''}")
        self.crash_point.step()
        return stored

    def _is_unsure(self, before: Entry | None, entry: Entry) -> bool:
        """Whether the caller does not learn what became of this change; in half of the cases it is not even tried."""
        simulation = self.simulation
        if State.SENDING not in (entry.state, before and before.state) or simulation.fault_free:
            return False
        if entry.state not in (State.SENDING, State.INTENDED) or not simulation.interrupts(simulation.scenario.unsure):
            return False
        if simulation.interrupts(0.5):
            raise JournalError("the change is not stored")
        return True

    def _check_sending(self, before: Entry | None, entry: Entry) -> None:
        simulation, state = self.simulation, before and before.state
        if entry.state is State.SENDING:
            simulation.expect(entry.token not in {None, *simulation.tokens}, "two attempts have the same token")
            simulation.tokens.add(entry.token)
            self.tokens.add(entry.token)
        elif state is State.SENDING and before is not None and before.token not in self.tokens:
            only_looked_up = entry.state in (State.UNCERTAIN, State.STARTED)
            simulation.expect(only_looked_up, f"what another process was sending became {entry.state}")
        if entry.state is State.UNCERTAIN and not simulation.scenario.cut_short_is_charged:
            simulation.expect(state is State.SENDING, f"a start is in doubt although it was {state} and never sent")

    async def put_all(self, entries: Sequence[Entry]) -> None:
        self.crash_point.step()
        before = [self._store.entries[entry.key] for entry in entries]
        self.simulation.check_reopening(before)
        self.simulation.journal_changes += 1
        await super().put_all(entries)
        self.simulation.trace(f"journal: {len(entries)} reopened")
        self.crash_point.step()

    async def set_note(self, name: str, value: str) -> None:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        await super().set_note(name, value)
        self.crash_point.step()

    async def add_tagging_subject(self, subject_id: str) -> None:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        await super().add_tagging_subject(subject_id)
        self.crash_point.step()

    async def retire_tagging_subject(self, subject_id: str) -> None:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        await super().retire_tagging_subject(subject_id)
        self.crash_point.step()


@define(eq=False)
class CrashingTransport:
    """A transport whose process can die at each request. It checks the order of requests, and can delay starts."""

    inner: InProcessTransport
    crash_point: CrashPoint
    simulation: Simulation
    sent: Counter[str] = field(factory=Counter)
    refused: bool = False
    """Whether the account was refused: no credits, or no valid key."""
    starts_after_refusal: int = 0
    """Starts since then: no more than were admitted before."""
    uploading: int = 0
    running: set[str] = field(factory=set)
    polls: list[float] = field(factory=list)

    @property
    def origin(self) -> str:
        return self.inner.origin

    @property
    def account(self) -> str:
        return self.inner.account

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def send(self, request: Request) -> Response:
        route = str(request.route)
        self.crash_point.step()
        self.simulation.deliver_delayed()
        self.sent[route] += 1
        if request.route == START:
            return await self._start(request)
        if request.route == RESULTS:
            self._check_poll(request)
        response = await self.inner.send(request)
        if request.route == RESULTS:
            self._note_poll(request, response)
        if (request.route == RESULTS and b'"success"' in response.body) or response.status == 400:
            self.running.discard(request.path.split("/")[2])
        self.crash_point.step()
        return response

    def _note_poll(self, request: Request, response: Response) -> None:
        analysis_id = request.path.split("/")[2]
        for status in ("success", "failed"):
            if f'"status":"{status}"'.encode() in response.body:
                self.simulation.polled.add((analysis_id, status))

    def _check_poll(self, request: Request) -> None:
        analysis_id = request.path.split("/")[2]
        known = {entry.analysis_id for entry in self.simulation.store.entries.values()}
        self.simulation.expect(analysis_id in known, f"{analysis_id} was polled before its id was stored")
        now = asyncio.get_running_loop().time()
        self.polls.append(now)
        soon = [moment for moment in self.polls[-30:] if moment > now - 1]
        self.simulation.expect(len(soon) <= 11, "more polls in a second than the limit")

    async def _start(self, request: Request) -> Response:
        simulation, upload = self.simulation, request.upload
        assert upload is not None
        entries = [entry for entry in simulation.store.entries.values() if entry.name == upload.filename]
        intended = any(entry.state is State.INTENDED for entry in entries)
        simulation.expect(intended, f"{upload.filename} was sent before its intent was stored")
        counted = self.refused
        self.starts_after_refusal += counted
        others = (simulation.scenario.concurrency.uploads or 16) - 1
        simulation.expect(self.starts_after_refusal <= others, "starts went on after the account had been refused")
        self.uploading += 1
        simulation.expect(
            self.uploading <= (simulation.scenario.concurrency.uploads or 16), "more uploads at once than the bound"
        )
        in_flight = self.uploading + len(self.running)
        simulation.expect(in_flight <= simulation.scenario.concurrency.in_flight, "more in flight than the bound")
        try:
            if not simulation.fault_free and simulation.chance.random() < simulation.scenario.late:
                await self._delay_start(request)
            response = await self.inner.send(self._crashing(request))
        except (Crash, ConnectionFailed) as error:
            self.starts_after_refusal -= counted and isinstance(error, TornDown)  # its repetition is no other start
            cut_short = isinstance(error, Crash) or error.phase is Phase.INCOMPLETE
            if cut_short and simulation.scenario.cut_short_is_charged:
                self._charge_cut_short(request)
            raise
        finally:
            self.uploading -= 1
        if response.status == 202 and b"video_id" in response.body:
            self.running.add(simulation.service.ledger[-1].analysis_id or "")
        self.refused = self.refused or response.status in (401, 402, 403)
        simulation.trace(f"start: {upload.filename} -> {response.status}")
        self.crash_point.step()
        return response

    def _crashing(self, request: Request) -> Request:
        """The request of a process that may die during the upload, too."""
        upload = request.upload
        assert upload is not None

        async def chunks() -> AsyncGenerator[bytes]:
            sent, source = 0, upload.chunks()
            while chunk := await self._next(source):
                self.crash_point.step()
                sent += len(chunk)
                if sent >= upload.size:
                    self._check_sending(upload.filename)
                yield chunk

        return evolve(request, upload=evolve(upload, chunks=chunks))

    async def _next(self, source: AsyncGenerator[bytes]) -> bytes:
        """The next chunk, or an error if the task that waits for it is cancelled, as aiohttp may do at any time."""
        simulation = self.simulation
        if simulation.fault_free or not simulation.interrupts(simulation.scenario.torn / 3):
            return await anext(source, b"")
        task = asyncio.ensure_future(_next_of(source))
        try:
            for _ in range(simulation.interruptions.randrange(6)):
                await asyncio.sleep(0)
        finally:
            task.cancel()
            ended = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended[0], Crash):
            raise ended[0]
        await source.aclose()
        raise TornDown("the upload was torn down", phase=Phase.INCOMPLETE, route=str(START))

    def _check_sending(self, filename: str) -> None:
        states = {entry.state for entry in self.simulation.store.entries.values() if entry.name == filename}
        self.simulation.expect(State.SENDING in states, f"the end of {filename} was sent before SENDING was stored")

    def _charge_cut_short(self, request: Request) -> None:
        """Lets the service act on a start that it has not received completely."""
        upload = request.upload
        assert upload is not None
        hasher = VideoHasher()
        hasher.update(content_of(int(upload.filename.removesuffix(".mp4"))))
        form = Form(dict(upload.fields), hasher.uploaded(upload.filename))
        answer = self.simulation.service.handle(self.inner._service_request(request, form), in_process.loop_clock())
        self.simulation.trace(f"start: {upload.filename} was cut short -> {answer.status}")

    async def _delay_start(self, request: Request) -> NoReturn:
        """Cuts the start off after its last byte; the service receives it later."""
        form, _ = await in_process._received_form(self._crashing(request), FaultEffect())
        at = in_process.loop_clock() + self.simulation.chance.choice((1.0, 10.0, 50.0))
        self.simulation.delayed_starts.append((at, self.inner._service_request(request, form)))
        self.simulation.trace(f"start: {form and form.file and form.file.filename} is delayed")
        raise ConnectionFailed("cut after the last byte", phase=Phase.COMPLETE, route=str(START))


@define(eq=False)
class CrashingReceiver:
    """Passes deliveries on to the webhooks of a process, which can die whenever one comes."""

    webhooks: Webhooks
    crash_point: CrashPoint
    simulation: Simulation

    async def receive(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Returns the status of the answer, and checks that the delivery changed nothing."""
        self.crash_point.step()
        simulation, changes = self.simulation, self.simulation.journal_changes
        charged, sent = len(simulation.service.ledger), len(simulation.service.requests)
        status = await _posted(self.webhooks, body, headers)
        simulation.trace(f"delivery: {body[:120]!r} -> {status}")
        simulation.deliveries += 1
        simulation.expect(status in ANSWERS, f"a delivery was answered with {status}")
        simulation.expect(simulation.journal_changes == changes, "a delivery changed the journal")
        simulation.expect(len(simulation.service.ledger) == charged, "a delivery cost a credit")
        simulation.expect(len(simulation.service.requests) == sent, "a delivery sent a request by itself")
        return status


async def _next_of(source: AsyncGenerator[bytes]) -> bytes:
    """The next chunk. Made and awaited in one task: one that is cancelled before it begins has made nothing."""
    return await anext(source, b"")


async def _posted(webhooks: Webhooks, body: bytes, headers: Mapping[str, str]) -> int:
    """Posts a delivery to the ASGI application, without yielding to other tasks."""
    statuses: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await webhooks.asgi({"type": "http", "method": "POST", "path": f"/hooks/{TOKEN}", "headers": pairs}, receive, send)
    return statuses[0]
