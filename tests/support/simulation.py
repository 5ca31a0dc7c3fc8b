"""Simulates batches with faults and crashes in virtual time: the real engine against the emulator's service.

One seed is one world: some clips, some processes with faults and crashes, and at last processes without faults until
everything is done. A process dies at a *step*: before or after a change of the journal, before, during or after a
request, or when a webhook delivery comes. From then on nothing that it does has any effect, its cleanup included. In
every fourth world the sessions have webhooks, whose deliveries are late, lost, doubled, shuffled and forged. The checks
compare what the client believes with the emulator's ledger.

`python -m tests.support.simulation 1234 --verbose` simulates one world and prints what happens;
`python -m tests.support.simulation --worlds 20000` simulates many.
"""

# The checks read private state of journal and emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from attrs import define, evolve, field, frozen

from ochy_async import BackView, Clip, Concurrency, OchySession, Polling, SideView, Webhooks
from ochy_async.batch.outcomes import Analyzed, Failed, Outcome, Refused, Uncertain
from ochy_async.emulator import (
    Delay,
    DeliverySettings,
    DeliveryShapes,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    EmulatorSettings,
    Fault,
    FaultEffect,
    InProcessTransport,
    RandomFaults,
    Redirect,
    RefuseConnection,
    ReplaceBody,
    Respond,
    RespondAfter,
    RespondHtml,
    ResponseShapes,
    RetryAfter,
    Service,
    in_process,
    sample_clip,
)
from ochy_async.emulator.messages import Form, ServiceRequest, UploadedVideo
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import ConnectionFailed, InvalidRequest, Phase
from ochy_async.journal.contract import Entry, HistoryEntry, JournalTotals, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.protocol.request import AnalysisRequest
from ochy_async.protocol.routes import RESULTS, START
from ochy_async.protocol.wire import Request, Response
from tests.conftest import loop_clock

CLIP_BYTES: Final = 200
FAULTS: Final[tuple[Fault, ...]] = (
    RefuseConnection(),
    DisconnectBefore(),
    DisconnectDuring(100),
    DisconnectAfter(charged=True),
    DisconnectAfter(charged=False),
    Delay(2.0),
    Delay(3.0, after=True),
    Respond(429),
    RetryAfter("2"),
    RetryAfter("7200"),
    Respond(500),
    RespondAfter(502),
    Respond(503),
    RespondAfter(504),
    Redirect("/elsewhere", reaches_service=True),
    RespondHtml(502),
    ReplaceBody(b'{"message": "started"}'),
)
CONDITIONS: Final[Mapping[str, tuple[float, Sequence[Fault], str]]] = {
    "none": (0.0, FAULTS, "*"),
    "few": (0.1, FAULTS, "*"),
    "some": (0.3, FAULTS, "*"),
    "many": (0.6, FAULTS, "*"),
    "lost answers": (0.6, (DisconnectAfter(charged=True), DisconnectAfter(charged=False)), str(START)),
    "refused key": (1.0, (Respond(403),), "*"),
}
"""The share of requests with a fault, the faults, and the routes."""
TOKEN: Final = "simulated-token-0123456789"
ANSWERS: Final = {204, 400, 413, 415, 429}
"""How a delivery may be answered, whatever it is."""
REOPENABLE: Final = (State.ANALYZED, State.FAILED, State.REFUSED)
"""The states that may be reopened; written out here, so that the checks do not depend on the library."""
REQUESTS: Final[tuple[AnalysisRequest[Any, Any], ...]] = (SideView(), BackView(), SideView(height=1.8))


class Crash(BaseException):
    """The process is dead."""


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


# --- one world ------------------------------------------------------------------------------------


@frozen
class Purchase:
    """What is paid for once: a content with a request."""

    sha256: str
    view: str
    height: float


@frozen(kw_only=True)
class Scenario:
    """The settings of a world."""

    seed: int
    world: EmulatorSettings
    clips: Sequence[tuple[int, AnalysisRequest[Any, Any]]]
    """The number of a content, and its request."""
    tagged: bool
    concurrency: Concurrency
    max_credits: int | None = None
    conditions: Sequence[str] = ()
    """One of `CONDITIONS` for each process before the last ones, which have no faults."""
    crashes: Sequence[int | None] = ()
    """For each of these processes: the step at which it dies, if it does."""
    late: float = 0.0
    """Share of the starts that are cut off after the last byte and reach the service later."""
    foreign: bool = False
    """Whether another program starts analyses on the same account."""
    reopens: Sequence[bool] = ()
    """For each of these processes: whether its command reopens finished clips."""
    webhooks: bool = False
    """Whether its sessions have webhooks; how they are delivered is part of the world."""
    rest: float | None = None
    """`Polling.rest`."""

    def source(self) -> list[tuple[Clip, AnalysisRequest[Any, Any]]]:
        return [(clip_of(number), request) for number, request in self.clips]

    def purchase(self, index: int) -> Purchase:
        number, request = self.clips[index]
        return Purchase(hashlib.sha256(content_of(number)).hexdigest(), request.view, request.height)


def content_of(number: int) -> bytes:
    return sample_clip(number, size=CLIP_BYTES)


def clip_of(number: int) -> Clip:
    async def chunks() -> AsyncIterator[bytes]:
        content = content_of(number)
        for first in range(0, len(content), 80):
            yield content[first : first + 80]

    return Clip.stream(chunks, name=f"{number}.mp4", size=CLIP_BYTES)


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(seed)
    pairs = {(chance.randrange(4), chance.choice(REQUESTS)) for _ in range(chance.randint(1, 5))}
    pool = sorted(pairs, key=lambda pair: (pair[0], REQUESTS.index(pair[1])))
    clips = pool + [chance.choice(pool) for _ in range(chance.randint(0, 3))]
    chance.shuffle(clips)
    tagged = chance.random() < 0.6
    processes = chance.randint(1, 4)
    world = EmulatorSettings(
        seed=seed,
        credits=chance.choice((1, 2, 3, 1000, 1000, 1000)),
        concurrent_analyses=chance.randint(1, 4),
        analysis_seconds=chance.choice(((10.0, 30.0), (0.0, 1.0), (5.0, 5.0))),
        listing_lag=chance.choice((0.0, 0.0, 5.0, 40.0, 200.0)),
        failing_clips={f"{number}.mp4" for number in range(4) if chance.random() < 0.1},
        too_long_clips={f"{number}.mp4" for number in range(4) if chance.random() < 0.1},
        refund_failed_analyses=chance.random() < 0.5,
        charge_refused_uploads=chance.random() < 0.5,
    )
    scenario = Scenario(
        seed=seed,
        world=world,
        clips=clips,
        tagged=tagged,
        concurrency=Concurrency(
            checks=chance.randint(1, 2), uploads=chance.choice((None, 1, 2, 4)), in_flight=chance.randint(1, 6)
        ),
        max_credits=chance.choice((None, None, 1, 2, 4)),
        conditions=[chance.choice(tuple(CONDITIONS)) for _ in range(processes)],
        crashes=[chance.choice((None, chance.randint(0, 30), chance.randint(0, 120))) for _ in range(processes)],
        late=chance.choice((0.0, 0.0, 0.2)),
        foreign=tagged and chance.random() < 0.4,
        reopens=[chance.random() < 0.3 for _ in range(processes)],
    )
    scenario = _with_repeated_command(scenario, chance) if chance.random() < 0.2 else scenario
    scenario = evolve(scenario, world=_with_undocumented_behavior(world, chance))
    return scenario if seed % 4 else _with_webhooks(scenario, random.Random(f"webhooks {seed}"))


def _with_webhooks(scenario: Scenario, chance: random.Random) -> Scenario:
    """The scenario with webhooks that nobody can rely on."""
    deliveries = DeliverySettings(
        latency_seconds=chance.choice(((0.0, 0.2), (0.1, 1.0), (0.5, 8.0))),
        retry_seconds=chance.choice(((), (1.0, 5.0))),
        loss_rate=chance.choice((0.0, 0.0, 0.3, 1.0)),
        duplicate_rate=chance.choice((0.0, 0.0, 0.5)),
        shuffle_rate=chance.choice((0.0, 0.0, 0.5)),
        forgeries_per_second=chance.choice((0.0, 0.0, 0.2, 0.2, 1.0)) if chance.random() < 0.97 else 30.0,
        first_sequence=chance.randint(0, 1),
        shapes=DeliveryShapes(
            id_key=chance.choice(("video_id", "analysis_id", "id", None)),
            sequence_key=chance.choice(("sequence", None)),
            envelope=chance.choice((None, "data")),
            enveloped=chance.choice(("state", "everything")),
            status_words=chance.choice(("guide", "api")),
            percentages=chance.choice(("percent", "fraction")),
        ),
    )
    world, rest = evolve(scenario.world, deliveries=deliveries), chance.choice((None, None, 15.0))
    return evolve(scenario, world=world, webhooks=True, rest=rest)


def _with_undocumented_behavior(world: EmulatorSettings, chance: random.Random) -> EmulatorSettings:
    """The world with behavior that the documentation does not exclude: listed refused uploads, a wrong clock."""
    return evolve(
        world,
        list_refused_uploads=chance.random() < 0.5,
        clock_offset=chance.choice((0.0, 0.0, -7200.0, 7200.0)),
        shapes=ResponseShapes(subject_items=chance.choice(("strings", "objects"))),
    )


def _with_repeated_command(scenario: Scenario, chance: random.Random) -> Scenario:
    """A process without faults, and then a command that reopens, repeated whenever it dies."""
    deaths = [chance.randint(0, chance.choice((30, 120))) for _ in range(3)]
    return evolve(scenario, conditions=["none"] * 4, crashes=[None, *deaths], reopens=[False, True, True, True])


# --- between a process and the world --------------------------------------------------------------


@define(eq=False)
class CrashingJournal:
    """A journal whose process can die at each change."""

    inner: MemoryJournal
    crash_point: CrashPoint
    simulation: Simulation

    async def __aenter__(self) -> Self:
        self.inner._open = False  # the lock of a dead process is released
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        stored = await self.inner.put(entry, results)
        self.simulation.trace(f"journal: {entry.clip} {entry.state} {entry.analysis_id or ''}")
        self.crash_point.step()
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        self.crash_point.step()
        before = [self.inner._entries[entry.key] for entry in entries]
        self.simulation.check_reopening(before)
        self.simulation.journal_changes += 1
        await self.inner.put_all(entries)
        self.simulation.trace(f"journal: {len(entries)} reopened")
        self.crash_point.step()

    async def set_note(self, name: str, value: str) -> None:
        self.crash_point.step()
        self.simulation.journal_changes += 1
        await self.inner.set_note(name, value)
        self.crash_point.step()

    async def get(self, key: str) -> Entry | None:
        return await self.inner.get(key)

    async def results(self, key: str) -> StoredResults | None:
        return await self.inner.results(key)

    def entries(self, *states: State) -> AsyncGenerator[Entry]:
        return self.inner.entries(*states)

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        return await self.inner.history(key)

    async def totals(self) -> JournalTotals:
        return await self.inner.totals()

    async def analysis_ids(self) -> frozenset[str]:
        return await self.inner.analysis_ids()

    async def notes(self, prefix: str) -> Mapping[str, str]:
        return await self.inner.notes(prefix)


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
        known = {entry.analysis_id for entry in self.simulation.journal._entries.values()}
        self.simulation.expect(analysis_id in known, f"{analysis_id} was polled before its id was stored")
        now = asyncio.get_running_loop().time()
        self.polls.append(now)
        soon = [moment for moment in self.polls[-30:] if moment > now - 1]
        self.simulation.expect(len(soon) <= 11, "more polls in a second than the limit")

    async def _start(self, request: Request) -> Response:
        simulation, upload = self.simulation, request.upload
        assert upload is not None
        entries = [entry for entry in simulation.journal._entries.values() if entry.name == upload.filename]
        intended = any(entry.state is State.INTENDED for entry in entries)
        simulation.expect(intended, f"{upload.filename} was sent before its intent was stored")
        self.starts_after_refusal += self.refused
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
            async for chunk in upload.chunks():
                self.crash_point.step()
                yield chunk

        return evolve(request, upload=evolve(upload, chunks=chunks))

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


# --- a simulation ---------------------------------------------------------------------------------


@define(eq=False)
class Simulation:
    """All processes of one world, one after the other, and what was observed."""

    scenario: Scenario
    verbose: bool = False
    service: Service = field(init=False)
    journal: MemoryJournal = field(factory=MemoryJournal, init=False)
    chance: random.Random = field(init=False)
    delayed_starts: list[tuple[float, ServiceRequest]] = field(factory=list, init=False)
    violations: list[str] = field(factory=list, init=False)
    outcomes: list[Outcome[Any, Any]] = field(factory=list, init=False)
    """Of the last process that did not die."""
    steps: list[int] = field(factory=list, init=False)
    """The number of steps of each process."""
    fault_free: bool = False
    reopen_commands: int = 0
    """How often the user wanted finished clips bought again. Repeating a command after a crash does not count."""
    reopen_pending: bool = False
    times_reopened: Counter[str] = field(factory=Counter, init=False)
    """By key."""
    polled: set[tuple[str, str]] = field(factory=set, init=False)
    """The analyses whose end a poll has shown, with their status."""
    journal_changes: int = 0
    deliveries: int = 0
    """The number of deliveries that reached a process."""

    def __attrs_post_init__(self) -> None:
        self.service = Service(self.scenario.world)
        self.chance = random.Random(self.scenario.seed)
        if self.scenario.webhooks:
            self.service.set_webhook("https://hooks.example.org/simulated")

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.violations.append(otherwise)
            self.trace(f"VIOLATION: {otherwise}")

    def trace(self, what: str) -> None:
        if self.verbose:
            print(f"{asyncio.get_running_loop().time():9.2f}  {what}")

    def check_reopening(self, entries: Sequence[Entry]) -> None:
        """Checks a reopening: only finished clips, and each as often as the user wanted."""
        self.times_reopened.update(entry.key for entry in entries)
        self.expect(all(entry.state in REOPENABLE for entry in entries), "a clip was reopened that is not finished")
        self.expect(
            max(self.times_reopened.values()) <= self.reopen_commands,
            "a clip was reopened more often than the user wanted",
        )

    def deliver_delayed(self) -> None:
        """Delivers the delayed starts that are due."""
        now = in_process.loop_clock()
        for at, ask in [each for each in self.delayed_starts if each[0] <= now]:
            self.delayed_starts.remove((at, ask))
            self.service.handle(ask, at)
            self.trace(f"start: {ask.form and ask.form.file and ask.form.file.filename} is delivered")

    async def run(self) -> Simulation:
        scenario = self.scenario
        commands = [*scenario.reopens, *[False] * (len(scenario.conditions) - len(scenario.reopens))]
        for conditions, crash, reopens in zip(scenario.conditions, scenario.crashes, commands, strict=True):
            self.reopen_commands += reopens and not self.reopen_pending
            self.reopen_pending = self.reopen_pending or reopens
            await self._process(conditions, CrashPoint(crash), reopens=reopens)
            self._start_foreign_analysis()
            await asyncio.sleep(self.chance.choice((0.0, 5.0, 100.0)))
        await self._run_fault_free()
        self._check()
        await self._run_again()
        return self

    async def _run_fault_free(self) -> None:
        """Runs processes without faults, with enough credits and time for all delayed starts."""
        self.fault_free = True
        if self.service.credits < 100:
            self.service.add_credits(100)
        for _ in range(2):
            await asyncio.sleep(400)
            self.deliver_delayed()
            await asyncio.sleep(400)
            await self._process("none", CrashPoint())

    async def _process(self, conditions: str, crash_point: CrashPoint, *, reopens: bool = False) -> CrashingTransport:
        """Runs one process until it is done or dies."""
        self.trace(f"--- a process, faults: {conditions}, dies at {crash_point.left}")
        rate, possible, routes = CONDITIONS[conditions]
        faults = RandomFaults(self.chance.randrange(10**6), rate, possible, routes)
        inner = InProcessTransport(self.service, faults, latency=0.05)
        transport = CrashingTransport(inner, crash_point, self)
        journal = CrashingJournal(self.journal, crash_point, self)
        found: list[Outcome[Any, Any]] = []
        try:
            await self._batch(transport, journal, found, reopens=reopens)
        except (Crash, BaseExceptionGroup):
            self.expect(crash_point.crashed, "a process died by itself")
            self.trace("it died")
        else:
            self._check_complete(found)
        # Once all outcomes were returned the command is done, even if its process dies before it has cleaned up.
        self.reopen_pending = self.reopen_pending and len(found) < len(self.scenario.clips)
        self.steps.append(crash_point.steps)
        self.expect(len(asyncio.all_tasks()) == 1, "a task was left behind")
        return transport

    async def _batch(
        self, transport: CrashingTransport, journal: CrashingJournal, found: list[Outcome[Any, Any]], *, reopens: bool
    ) -> None:
        scenario = self.scenario
        hooks = Webhooks(TOKEN) if scenario.webhooks else None
        receiving = nullcontext() if hooks is None else self._receiving(transport, hooks)
        async with (
            receiving,
            OchySession(
                transport=transport,
                clock=loop_clock,
                chance=self.chance.random,
                preflight="off",
                webhooks=hooks,
                polling=Polling(rest=scenario.rest),
            ) as ochy,
        ):
            settings: dict[str, Any] = {"tag_starts": scenario.tagged, "max_credits": scenario.max_credits}
            async with ochy.batch(journal=journal, concurrency=scenario.concurrency, **settings) as batch:
                if reopens:
                    with suppress(InvalidRequest):  # max_credits does not leave enough
                        await batch.reopen(scenario.source())
                async for outcome in batch.run(scenario.source()):
                    self.trace(f"outcome: {outcome.label} {outcome.word} {outcome.analysis_id or ''}")
                    transport.running.discard(outcome.analysis_id or "")
                    found.append(outcome)
                    self._check_end(outcome)
                    if isinstance(outcome, Analyzed):
                        self.expect(
                            outcome.key in self.journal._results, "an outcome came before its results were stored"
                        )

    def _receiving(self, transport: CrashingTransport, hooks: Webhooks) -> AbstractAsyncContextManager[None]:
        receiver = CrashingReceiver(hooks, transport.crash_point, self)
        return transport.inner.delivering(receiver.receive)

    def _check_end(self, outcome: Outcome[Any, Any]) -> None:
        """Checks that a clip ended as a poll has shown, and that the service's analysis has ended so."""
        if not isinstance(outcome, Analyzed | Failed):
            return
        word = "success" if isinstance(outcome, Analyzed) else "failed"
        analysis = self.service._account.analyses[outcome.analysis_id or ""]
        now = in_process.loop_clock() + self.scenario.world.clock_offset
        self.expect((outcome.analysis_id, word) in self.polled, f"a clip ended as {word}, which no poll has shown")
        self.expect(analysis.status(now) == word, f"a clip ended as {word}, which its analysis is not")

    def _start_foreign_analysis(self) -> None:
        if self.scenario.foreign:
            form = Form({"analysis_type": "side_view"}, UploadedVideo("foreign.mp4", 9, "ab" * 32))
            ask = ServiceRequest("POST", "/analysis/start", {"apiKey": self.service.api_key}, form=form)
            self.service.handle(ask, in_process.loop_clock())

    def _check_complete(self, found: list[Outcome[Any, Any]]) -> None:
        """Checks that a process that did not die has one outcome for every clip."""
        indexes = sorted(outcome.index for outcome in found)
        self.expect(indexes == list(range(len(self.scenario.clips))), "a clip has no outcome, or two")
        self.outcomes = found

    # --- the checks -------------------------------------------------------------------------------

    def _check_money(self, charges: Mapping[str, Purchase]) -> None:
        most = 1 + self.reopen_commands
        self.expect(max(Counter(charges.values()).values(), default=0) <= most, "a clip was charged twice")
        ours = [charge for charge in self.service.ledger if charge.filename != "foreign.mp4"]
        limit = self.scenario.max_credits
        self.expect(limit is None or len(ours) <= limit, "more credits were spent than max_credits")
        purchases = Counter(
            purchase.sha256 for purchase in {self.scenario.purchase(index) for index in range(len(self.scenario.clips))}
        )
        refused = Counter(charge.sha256 for charge in ours if charge.analysis_id is None)
        purchases = Counter({sha256: count * most for sha256, count in purchases.items()})
        self.expect(not refused - purchases, "a refused clip was charged twice")

    def _made(self) -> dict[str, Purchase]:
        """What each analysis was made of, including those of refused uploads, but not those of the other program."""
        starts = {name: analysis.parameters for name, analysis in self.service._account.analyses.items()}
        return {
            name: Purchase(start.video.sha256, start.analysis_type, start.height)
            for name, start in starts.items()
            if start.video.filename != "foreign.mp4"
        }

    def _charges(self) -> dict[str, Purchase]:
        """What was paid for, by the id of its analysis."""
        paid = {charge.analysis_id for charge in self.service.ledger}
        return {name: purchase for name, purchase in self._made().items() if name in paid}

    def _replaced(self) -> set[str | None]:
        """The ids of analyses that were finished before their clips were bought again: paid for and known."""
        journal = self.journal
        past = {line.analysis_id for lines in journal._history.values() for line in lines}
        return past - {entry.analysis_id for entry in journal._entries.values()} - {None}

    def _check(self) -> None:
        charges, made = self._charges(), self._made()
        replaced = self._replaced()
        paid = Counter(purchase for name, purchase in charges.items() if name not in replaced)
        self._check_money(charges)
        reported: set[str | None] = set()
        for outcome in self.outcomes:
            purchase = self.scenario.purchase(outcome.index)
            if isinstance(outcome, Analyzed | Failed):
                reported.add(outcome.analysis_id)
                self.expect(made.get(outcome.analysis_id or "") == purchase, "a clip got the analysis of another")
            elif isinstance(outcome, Uncertain):
                self.expect(
                    not (self.scenario.tagged and paid[purchase]),
                    "a charged start with a tagging subject was not found",
                )
            else:
                self.expect(not paid[purchase], f"a paid clip ended as {outcome.word}")
        uncertain = {self.scenario.purchase(o.index) for o in self.outcomes if isinstance(o, Uncertain)}
        lost = [
            name for name, purchase in charges.items() if name not in reported | replaced and purchase not in uncertain
        ]
        self.expect(not lost, "a paid result was lost")

    async def _run_again(self) -> None:
        """Checks that another run buys nothing, and sends nothing if all clips are finished."""
        before = len(self.service.ledger)
        transport = await self._process("none", CrashPoint())
        self.expect(len(self.service.ledger) == before, "a finished batch bought again")
        if all(isinstance(outcome, Analyzed | Failed | Refused) for outcome in self.outcomes):
            self.expect(not transport.sent, "a finished batch sent a request")


def simulate(scenario: Scenario, *, verbose: bool = False) -> Simulation:
    """Simulates a scenario in virtual time."""
    return in_virtual_time(Simulation(scenario, verbose).run())


def violations_of(seeds: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """The violations of each world that has any, by seed."""
    for seed in seeds:
        if violations := simulate(scenario_of(seed)).violations:
            yield seed, sorted(set(violations))


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", nargs="?", type=int, help="Simulates this world only.")
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="Stops after the first world with a violation.")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.seed is not None:
        scenario = scenario_of(options.seed)
        print(scenario)
        simulation = simulate(scenario, verbose=options.verbose)
        print("\n".join(simulation.violations) or "no violations")
        return bool(simulation.violations)
    return _simulate_many(range(options.first, options.first + options.worlds), once=options.once)


def _simulate_many(seeds: Sequence[int], *, once: bool) -> int:
    began, found = time.monotonic(), 0
    for seed, violations in violations_of(seeds):
        found += 1
        print(f"{seed}: {'; '.join(violations)}")
        if once:
            return 1
    print(f"{len(seeds)} worlds in {time.monotonic() - began:.0f} s, {found} with violations")
    return bool(found)


if __name__ == "__main__":
    sys.exit(_main())
