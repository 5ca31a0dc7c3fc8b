"""Whole lives of batches in virtual time: the real engine, the emulator's service, faults, crashes, and a judge.

One seed is one world: some clips, some weather, some crashes, and at last quiet days until everything is
done. A process dies at a *moment*: before or after a change of the journal, before, inside or after a
request. From then on nothing of it gets through, its cleaning up neither. The judge compares what the
client believes with the emulator's ledger.

`python -m tests.support.simulation 1234 --verbose` plays one world again and tells what happened;
`python -m tests.support.simulation --worlds 20000` plays many.
"""

# The judge looks behind the counter of journal and emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from attrs import define, evolve, field, frozen

from ochy_async import BackView, Clip, Concurrency, OchySession, SideView
from ochy_async.batch.outcomes import Analyzed, Failed, Outcome, Refused, Uncertain
from ochy_async.emulator import (
    Delay,
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
MENU: Final[tuple[Fault, ...]] = (
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
WEATHERS: Final[Mapping[str, tuple[float, Sequence[Fault], str]]] = {
    "calm": (0.0, MENU, "*"),
    "showers": (0.1, MENU, "*"),
    "rain": (0.3, MENU, "*"),
    "storm": (0.6, MENU, "*"),
    "fog": (0.6, (DisconnectAfter(charged=True), DisconnectAfter(charged=False)), str(START)),
    "locked": (1.0, (Respond(403),), "*"),
}
"""The share of requests that meet a fault, the faults, and the routes that are meant."""
SETTLED: Final = (State.ANALYZED, State.FAILED, State.REFUSED)
"""What may be bought anew when the user says so; spelt out here, so that the judge has a word of its own."""
REQUESTS: Final[tuple[AnalysisRequest[Any, Any], ...]] = (SideView(), BackView(), SideView(height=1.8))


class Crash(BaseException):
    """The process is dead."""


@define
class Fuse:
    """Counts the moments of a process, and ends it at one of them."""

    left: int | None = None
    """Moments until the end; None is never."""
    moments: int = 0
    blown: bool = False

    def moment(self) -> None:
        if not self.blown:
            self.moments += 1
            self.blown = self.left is not None and self.moments > self.left
        if self.blown:
            raise Crash


# --- one world ----------------------------------------------------------------------------------


@frozen
class Thing:
    """What is paid for once: a content with a request."""

    sha256: str
    view: str
    height: float


@frozen(kw_only=True)
class Scene:
    """The settings of a world."""

    seed: int
    world: EmulatorSettings
    clips: Sequence[tuple[int, AnalysisRequest[Any, Any]]]
    """The number of a content, and what is asked of it."""
    tagged: bool
    concurrency: Concurrency
    max_credits: int | None = None
    weather: Sequence[str] = ()
    """One of `WEATHERS` for each process that is not quiet."""
    crashes: Sequence[int | None] = ()
    """For each process that is not quiet: the moment at which it dies, if it does."""
    late: float = 0.0
    """Share of the starts that are cut off after the last byte and reach the service later."""
    foreign: bool = False
    """Whether another program starts analyses on the same account."""
    again: Sequence[bool] = ()
    """For each process that is not quiet: whether its command says that finished clips are to be bought anew."""

    def source(self) -> list[tuple[Clip, AnalysisRequest[Any, Any]]]:
        return [(clip_of(number), request) for number, request in self.clips]

    def thing(self, index: int) -> Thing:
        number, request = self.clips[index]
        return Thing(hashlib.sha256(content_of(number)).hexdigest(), request.view, request.height)


def content_of(number: int) -> bytes:
    return sample_clip(number, size=CLIP_BYTES)


def clip_of(number: int) -> Clip:
    async def chunks() -> AsyncIterator[bytes]:
        content = content_of(number)
        for first in range(0, len(content), 80):
            yield content[first : first + 80]

    return Clip.stream(chunks, name=f"{number}.mp4", size=CLIP_BYTES)


def scene_of(seed: int) -> Scene:
    """The world of a seed."""
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
    scene = Scene(
        seed=seed,
        world=world,
        clips=clips,
        tagged=tagged,
        concurrency=Concurrency(
            checks=chance.randint(1, 2), uploads=chance.choice((None, 1, 2, 4)), in_flight=chance.randint(1, 6)
        ),
        max_credits=chance.choice((None, None, 1, 2, 4)),
        weather=[chance.choice(tuple(WEATHERS)) for _ in range(processes)],
        crashes=[chance.choice((None, chance.randint(0, 30), chance.randint(0, 120))) for _ in range(processes)],
        late=chance.choice((0.0, 0.0, 0.2)),
        foreign=tagged and chance.random() < 0.4,
        again=[chance.random() < 0.3 for _ in range(processes)],
    )
    scene = _repeated(scene, chance) if chance.random() < 0.2 else scene
    return evolve(scene, world=_odd(world, chance))


def _odd(world: EmulatorSettings, chance: random.Random) -> EmulatorSettings:
    """The world with what no documentation excludes: refused uploads that leave something, a clock that is off."""
    return evolve(
        world,
        list_refused_uploads=chance.random() < 0.5,
        clock_offset=chance.choice((0.0, 0.0, -7200.0, 7200.0)),
        shapes=ResponseShapes(subject_items=chance.choice(("strings", "objects"))),
    )


def _repeated(scene: Scene, chance: random.Random) -> Scene:
    """A day on which all went well, and then a command that buys anew, repeated whenever it dies."""
    deaths = [chance.randint(0, chance.choice((30, 120))) for _ in range(3)]
    return evolve(scene, weather=["calm"] * 4, crashes=[None, *deaths], again=[False, True, True, True])


# --- what stands between a process and the world ------------------------------------------------


@define(eq=False)
class Watched:
    """A journal that can die under its process, and tells what it was told."""

    inner: MemoryJournal
    fuse: Fuse
    life: Life

    async def __aenter__(self) -> Self:
        self.inner._open = False  # the lock of a dead process is gone with it
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        self.fuse.moment()
        stored = await self.inner.put(entry, results)
        self.life.tell(f"journal: {entry.clip} {entry.state} {entry.analysis_id or ''}")
        self.fuse.moment()
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        self.fuse.moment()
        before = [self.inner._entries[entry.key] for entry in entries]
        self.life.opened(before)
        await self.inner.put_all(entries)
        self.life.tell(f"journal: {len(entries)} opened again")
        self.fuse.moment()

    async def set_note(self, name: str, value: str) -> None:
        self.fuse.moment()
        await self.inner.set_note(name, value)
        self.fuse.moment()

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
class Wire:
    """A transport that can die under its process, watches over the order of things, and lets starts come late."""

    inner: InProcessTransport
    fuse: Fuse
    life: Life
    sent: Counter[str] = field(factory=Counter)
    refused: bool = False
    """The account was refused: no credits, or no valid key."""
    too_late: int = 0
    """Starts since then: no more than were admitted before."""
    uploading: int = 0
    running: set[str] = field(factory=set)
    looks: list[float] = field(factory=list)

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
        self.fuse.moment()
        self.life.arrive()
        self.sent[route] += 1
        if request.route == START:
            return await self._start(request)
        if request.route == RESULTS:
            self._look(request)
        response = await self.inner.send(request)
        if (request.route == RESULTS and b'"success"' in response.body) or response.status == 400:
            self.running.discard(request.path.split("/")[2])
        self.fuse.moment()
        return response

    def _look(self, request: Request) -> None:
        analysis_id = request.path.split("/")[2]
        known = {entry.analysis_id for entry in self.life.journal._entries.values()}
        self.life.expect(analysis_id in known, f"{analysis_id} was looked at before its id was written down")
        now = asyncio.get_running_loop().time()
        self.looks.append(now)
        soon = [moment for moment in self.looks[-30:] if moment > now - 1]
        self.life.expect(len(soon) <= 11, "more looks in a second than the ceiling")

    async def _start(self, request: Request) -> Response:
        life, upload = self.life, request.upload
        assert upload is not None
        entries = [entry for entry in life.journal._entries.values() if entry.name == upload.filename]
        intended = any(entry.state is State.INTENDED for entry in entries)
        life.expect(intended, f"{upload.filename} was sent before its intent was written down")
        self.too_late += self.refused
        others = (life.scene.concurrency.uploads or 16) - 1
        life.expect(self.too_late <= others, "starts went on after the account had been refused")
        self.uploading += 1
        life.expect(self.uploading <= (life.scene.concurrency.uploads or 16), "more uploads at once than the bound")
        flying = self.uploading + len(self.running)
        life.expect(flying <= life.scene.concurrency.in_flight, "more in flight than the bound")
        try:
            if not life.calm and life.chance.random() < life.scene.late:
                await self._late(request)
            response = await self.inner.send(self._fused(request))
        finally:
            self.uploading -= 1
        if response.status == 202 and b"video_id" in response.body:
            self.running.add(life.service.ledger[-1].analysis_id or "")
        self.refused = self.refused or response.status in (401, 402, 403)
        life.tell(f"start: {upload.filename} -> {response.status}")
        self.fuse.moment()
        return response

    def _fused(self, request: Request) -> Request:
        """The process may die inside the upload too."""
        upload = request.upload
        assert upload is not None

        async def chunks() -> AsyncGenerator[bytes]:
            async for chunk in upload.chunks():
                self.fuse.moment()
                yield chunk

        return evolve(request, upload=evolve(upload, chunks=chunks))

    async def _late(self, request: Request) -> NoReturn:
        """The whole form is on its way, and nobody hears of it until it arrives."""
        form, _ = await in_process._received_form(self._fused(request), FaultEffect())
        at = in_process.loop_clock() + self.life.chance.choice((1.0, 10.0, 50.0))
        self.life.on_the_way.append((at, self.inner._service_request(request, form)))
        self.life.tell(f"start: {form and form.file and form.file.filename} is on its way")
        raise ConnectionFailed("cut after the last byte", phase=Phase.COMPLETE, route=str(START))


# --- the life of a batch ------------------------------------------------------------------------


@define(eq=False)
class Life:
    """All processes of one world, one after the other, and what was seen of them."""

    scene: Scene
    verbose: bool = False
    service: Service = field(init=False)
    journal: MemoryJournal = field(factory=MemoryJournal, init=False)
    chance: random.Random = field(init=False)
    on_the_way: list[tuple[float, ServiceRequest]] = field(factory=list, init=False)
    wrong: list[str] = field(factory=list, init=False)
    outcomes: list[Outcome[Any, Any]] = field(factory=list, init=False)
    """Of the last process that came to its end."""
    moments: list[int] = field(factory=list, init=False)
    """How many each process had."""
    calm: bool = False
    words: int = 0
    """How often the user has said that finished clips are to be bought anew. A command that is repeated after a crash
    says nothing new."""
    said: bool = False
    times_opened: Counter[str] = field(factory=Counter, init=False)
    """By key."""

    def __attrs_post_init__(self) -> None:
        self.service = Service(self.scene.world)
        self.chance = random.Random(self.scene.seed)

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.wrong.append(otherwise)
            self.tell(f"WRONG: {otherwise}")

    def tell(self, what: str) -> None:
        if self.verbose:
            print(f"{asyncio.get_running_loop().time():9.2f}  {what}")

    def opened(self, entries: Sequence[Entry]) -> None:
        """Finished clips are to be bought anew: no others, and each as often as the user said it."""
        self.times_opened.update(entry.key for entry in entries)
        self.expect(all(entry.state in SETTLED for entry in entries), "a clip was opened that is not finished")
        self.expect(max(self.times_opened.values()) <= self.words, "a clip was opened more often than the user said")

    def arrive(self) -> None:
        """What was on its way arrives in its time."""
        now = in_process.loop_clock()
        for at, ask in [each for each in self.on_the_way if each[0] <= now]:
            self.on_the_way.remove((at, ask))
            self.service.handle(ask, at)
            self.tell(f"start: {ask.form and ask.form.file and ask.form.file.filename} arrived")

    async def lived(self) -> Life:
        scene = self.scene
        again = [*scene.again, *[False] * (len(scene.weather) - len(scene.again))]
        for weather, crash, anew in zip(scene.weather, scene.crashes, again, strict=True):
            self.words += anew and not self.said
            self.said = self.said or anew
            await self._process(weather, Fuse(crash), anew=anew)
            self._foreigner()
            await asyncio.sleep(self.chance.choice((0.0, 5.0, 100.0)))
        await self._quiet()
        self._judge()
        await self._once_more()
        return self

    async def _quiet(self) -> None:
        """Good weather, credits in abundance, and time for everything to arrive."""
        self.calm = True
        if self.service.credits < 100:
            self.service.add_credits(100)
        for _ in range(2):
            await asyncio.sleep(400)
            self.arrive()
            await asyncio.sleep(400)
            await self._process("calm", Fuse())

    async def _process(self, weather: str, fuse: Fuse, *, anew: bool = False) -> Wire:
        """One process: it comes to its end, or dies."""
        self.tell(f"--- a process, {weather}, dies at {fuse.left}")
        rate, menu, routes = WEATHERS[weather]
        faults = RandomFaults(self.chance.randrange(10**6), rate, menu, routes)
        transport = InProcessTransport(self.service, faults, latency=0.05)
        wire, journal = Wire(transport, fuse, self), Watched(self.journal, fuse, self)
        found: list[Outcome[Any, Any]] = []
        try:
            await self._batch(wire, journal, found, anew=anew)
        except (Crash, BaseExceptionGroup):
            self.expect(fuse.blown, "a process died that nobody killed")
            self.tell("it is dead")
        else:
            self._complete(found)
        # Once every end was shown the command is done, even if its process dies before it has tidied up.
        self.said = self.said and len(found) < len(self.scene.clips)
        self.moments.append(fuse.moments)
        self.expect(len(asyncio.all_tasks()) == 1, "a task was left behind")
        return wire

    async def _batch(self, wire: Wire, journal: Watched, found: list[Outcome[Any, Any]], *, anew: bool) -> None:
        scene = self.scene
        async with OchySession(transport=wire, clock=loop_clock, chance=self.chance.random, preflight="off") as ochy:
            settings: dict[str, Any] = {"tag_starts": scene.tagged, "max_credits": scene.max_credits}
            async with ochy.batch(journal=journal, concurrency=scene.concurrency, **settings) as batch:
                if anew:
                    with suppress(InvalidRequest):  # the limit leaves too little
                        await batch.reopen(scene.source())
                async for outcome in batch.run(scene.source()):
                    self.tell(f"outcome: {outcome.label} {outcome.word} {outcome.analysis_id or ''}")
                    wire.running.discard(outcome.analysis_id or "")
                    found.append(outcome)
                    if isinstance(outcome, Analyzed):
                        self.expect(
                            outcome.key in self.journal._results, "an outcome came before its results were kept"
                        )

    def _foreigner(self) -> None:
        if self.scene.foreign:
            form = Form({"analysis_type": "side_view"}, UploadedVideo("foreign.mp4", 9, "ab" * 32))
            ask = ServiceRequest("POST", "/analysis/start", {"apiKey": self.service.api_key}, form=form)
            self.service.handle(ask, in_process.loop_clock())

    def _complete(self, found: list[Outcome[Any, Any]]) -> None:
        """A process that came to its end has one outcome for every clip."""
        indexes = sorted(outcome.index for outcome in found)
        self.expect(indexes == list(range(len(self.scene.clips))), "a clip has no outcome, or two")
        self.outcomes = found

    # --- the judge ------------------------------------------------------------------------------

    def _judge_money(self, charges: Mapping[str, Thing]) -> None:
        most = 1 + self.words
        self.expect(max(Counter(charges.values()).values(), default=0) <= most, "a clip was charged twice")
        ours = [charge for charge in self.service.ledger if charge.filename != "foreign.mp4"]
        limit = self.scene.max_credits
        self.expect(limit is None or len(ours) <= limit, "more credits were spent than max_credits")
        things = Counter(thing.sha256 for thing in {self.scene.thing(index) for index in range(len(self.scene.clips))})
        refused = Counter(charge.sha256 for charge in ours if charge.analysis_id is None)
        things = Counter({sha256: count * most for sha256, count in things.items()})
        self.expect(not refused - things, "a refused clip was charged twice")

    def _made(self) -> dict[str, Thing]:
        """Of what each analysis was made, those that refused uploads left too; the other program's left out."""
        starts = {name: analysis.parameters for name, analysis in self.service._account.analyses.items()}
        return {
            name: Thing(start.video.sha256, start.analysis_type, start.height)
            for name, start in starts.items()
            if start.video.filename != "foreign.mp4"
        }

    def _charges(self) -> dict[str, Thing]:
        """What was paid for, by the id of its analysis."""
        paid = {charge.analysis_id for charge in self.service.ledger}
        return {name: thing for name, thing in self._made().items() if name in paid}

    def _replaced(self) -> set[str | None]:
        """The ids of analyses that were done before their clips were bought anew: paid for, known, and not lost."""
        journal = self.journal
        past = {line.analysis_id for lines in journal._history.values() for line in lines}
        return past - {entry.analysis_id for entry in journal._entries.values()} - {None}

    def _judge(self) -> None:
        charges, made = self._charges(), self._made()
        replaced = self._replaced()
        paid = Counter(thing for name, thing in charges.items() if name not in replaced)
        self._judge_money(charges)
        told: set[str | None] = set()
        for outcome in self.outcomes:
            thing = self.scene.thing(outcome.index)
            if isinstance(outcome, Analyzed | Failed):
                told.add(outcome.analysis_id)
                self.expect(made.get(outcome.analysis_id or "") == thing, "a clip was given the analysis of another")
            elif isinstance(outcome, Uncertain):
                self.expect(not (self.scene.tagged and paid[thing]), "a charged start on a lane was not found")
            else:
                self.expect(not paid[thing], f"a paid clip ended as {outcome.word}")
        doubtful = {self.scene.thing(o.index) for o in self.outcomes if isinstance(o, Uncertain)}
        lost = [name for name, thing in charges.items() if name not in told | replaced and thing not in doubtful]
        self.expect(not lost, "a paid result was lost")

    async def _once_more(self) -> None:
        """Everything is settled as far as it can be: another run buys nothing, and asks nothing if all is done."""
        before = len(self.service.ledger)
        wire = await self._process("calm", Fuse())
        self.expect(len(self.service.ledger) == before, "a finished batch bought again")
        if all(isinstance(outcome, Analyzed | Failed | Refused) for outcome in self.outcomes):
            self.expect(not wire.sent, "a finished batch sent a request")


def live(scene: Scene, *, verbose: bool = False) -> Life:
    """A whole life in virtual time."""
    return in_virtual_time(Life(scene, verbose).lived())


def faults_of(seeds: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """What went wrong, by seed."""
    for seed in seeds:
        if wrong := live(scene_of(seed)).wrong:
            yield seed, sorted(set(wrong))


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", nargs="?", type=int, help="Plays this world alone.")
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="Ends with the first world that goes wrong.")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    if given.seed is not None:
        scene = scene_of(given.seed)
        print(scene)
        life = live(scene, verbose=given.verbose)
        print("\n".join(life.wrong) or "all well")
        return bool(life.wrong)
    return _many(range(given.first, given.first + given.worlds), once=given.once)


def _many(seeds: Sequence[int], *, once: bool) -> int:
    began, found = time.monotonic(), 0
    for seed, wrong in faults_of(seeds):
        found += 1
        print(f"{seed}: {'; '.join(wrong)}")
        if once:
            return 1
    print(f"{len(seeds)} worlds in {time.monotonic() - began:.0f} s, {found} with something wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(_main())
