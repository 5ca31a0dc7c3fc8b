"""Many clips to the end of the last: how long a batch takes, beside the loops that one would write, and the bound.

Simulated: the library as it is, on virtual time, over the emulator behind a line (`wire`). Invariant: all
contenders have the same clips, the same server and the same line; all clips are analyzed, each charged once.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Final

import anyio
from anyio import current_time
from attrs import evolve, frozen

from ochy_async import OchySession, SideView
from ochy_async.clips import Clip
from ochy_async.emulator import EmulatorSettings, Service, sample_clip
from ochy_async.emulator.in_process import loop_clock
from ochy_async.emulator.seeded_random import uniform
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.protocol.routes import RESULTS

from .race import LEAST_ROUNDS, OURS, Figure, Table
from .wire import MBIT, ROUND_TRIP, Line, SlowTransport

__all__ = ["Scene", "benchmarks", "bound"]

CLIPS: Final = 200
BYTES: Final = (5_000_000, 30_000_000)
RATE: Final = 500 * MBIT
ONE_CONNECTION: Final = 200 * MBIT
AIMS: Final[Mapping[int, float]] = {4: 1.05, 16: 1.10, 64: 1.5}
"""Slots of the server → how many times the bound we may take."""
SAMPLE_INTERVAL: Final = 3.0
"""Seconds between two looks of the vendor's sample."""
BOUND: Final = "the lower bound"


@frozen
class Scene:
    """One world: which clips, which server, which line."""

    seed: int
    slots: int
    count: int = CLIPS
    rate: float = RATE
    one_connection: float = ONE_CONNECTION

    @property
    def sizes(self) -> dict[str, int]:
        """The name of each clip → its bytes."""
        chance = random.Random(self.seed)
        return {f"{number}.mp4": chance.randint(*BYTES) for number in range(self.count)}

    @property
    def world(self) -> EmulatorSettings:
        """The server."""
        return EmulatorSettings(concurrent_analyses=self.slots, seed=self.seed)

    @property
    def contents(self) -> list[bytes]:
        """What is really sent of each clip."""
        return [sample_clip(number, size=300) for number in range(self.count)]

    @property
    def clips(self) -> list[Clip]:
        """The clips in the order in which they lie there."""
        return [_clip(name, content) for name, content in zip(self.sizes, self.contents, strict=True)]

    @property
    def durations(self) -> list[float]:
        """Seconds that each analysis takes, as the server will draw them."""
        (shortest, longest), seed = self.world.analysis_seconds, self.seed
        drawn = [uniform(seed, "duration", sha256(content).hexdigest()) for content in self.contents]
        return [shortest + (longest - shortest) * each for each in drawn]


def _clip(name: str, content: bytes) -> Clip:
    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    return Clip.stream(chunks, name=name, size=len(content))


def bound(scene: Scene) -> float:
    """Seconds that nobody can beat, even who knew everything: the largest of three sums.

    - the line: all bytes through it, then the shortest analysis;
    - the server: the smallest clip to arrive, then all analyses spread evenly over its slots;
    - one clip: the smallest to arrive, then the longest analysis.
    To each what every start has: a round trip, and the second that this server queues at least.
    """
    sizes, durations = scene.sizes.values(), scene.durations
    arrival = min(sizes) / min(scene.one_connection, scene.rate)
    line = sum(sizes) / scene.rate + min(durations)
    server = arrival + sum(durations) / scene.slots
    return max(line, server, arrival + max(durations)) + ROUND_TRIP + scene.world.queue_seconds


# --- contenders -----------------------------------------------------------------------------------

Run = Callable[[OchySession, list[Clip]], Awaitable[None]]


async def _library(ochy: OchySession, clips: list[Clip]) -> None:
    async with ochy.batch(SideView(), preflight="off") as batch:
        words = [outcome.word async for outcome in batch.run(clips)]
    if words != ["analyzed"] * len(clips):
        raise AssertionError(f"not all were analyzed: {set(words)}")


async def _one_by_one(ochy: OchySession, clips: list[Clip]) -> None:
    for clip in clips:
        await _sample(ochy, clip)


async def _at_once(most: int, ochy: OchySession, clips: list[Clip]) -> None:
    """All at once, behind one semaphore that is held until the results are there."""
    slots = anyio.Semaphore(most)

    async def held(clip: Clip) -> None:
        async with slots:
            await _sample(ochy, clip)

    async with anyio.create_task_group() as tasks:
        for clip in clips:
            tasks.start_soon(held, clip)


async def _sample(ochy: OchySession, clip: Clip) -> None:
    """What the vendor shows: start, then look every three seconds."""
    started = await ochy.start(clip, SideView())
    state = await ochy.status(started)
    while not state.finished:
        await anyio.sleep(SAMPLE_INTERVAL)
        state = await ochy.status(started)


CONTENDERS: Final[Mapping[str, Run]] = {
    "the vendor's sample, one by one": _one_by_one,
    "one semaphore of 8": partial(_at_once, 8),
    "one semaphore of 16": partial(_at_once, 16),
    OURS: _library,
}


@frozen
class Made:
    """What one contender came to."""

    seconds: float
    looks: int


def made(scene: Scene, run: Run) -> Made:
    """Has a contender do the work, and makes sure that it did."""
    return in_virtual_time(_made(scene, run))


async def _made(scene: Scene, run: Run) -> Made:
    service = Service(scene.world)
    transport = SlowTransport(service, Line(scene.rate, scene.one_connection), scene.sizes)
    chance = random.Random(scene.seed).random
    async with OchySession(transport=transport, chance=chance, clock=_clock, preflight="off") as ochy:
        began = current_time()
        await run(ochy, scene.clips)
        seconds = current_time() - began
    contents = {charge.sha256 for charge in service.ledger}
    if not len(service.ledger) == len(contents) == scene.count:
        raise AssertionError(f"{len(service.ledger)} charges for {len(contents)} of {scene.count} clips")
    return Made(seconds, service.count(str(RESULTS)))


def _clock() -> datetime:
    return datetime.fromtimestamp(loop_clock(), UTC)


# --- tables ---------------------------------------------------------------------------------------


def makespan(slots: int, most: float, rounds: int) -> Table:
    """Seconds from the first clip to the last result, in as many worlds as there are rounds."""
    scenes = [Scene(seed, slots) for seed in range(max(rounds, LEAST_ROUNDS))]
    runs = {who: [made(scene, run) for scene in scenes] for who, run in CONTENDERS.items()}
    figures = {who: Figure.of([each.seconds for each in found]) for who, found in runs.items()}
    figures[BOUND] = Figure.of([bound(scene) for scene in scenes])
    looks = "; ".join(f"{who} {statistics.median(each.looks for each in found):.0f}" for who, found in runs.items())
    line = f"{RATE / MBIT:.0f} Mbit/s shared in equal parts, {ONE_CONNECTION / MBIT:.0f} at most for one connection"
    model = f"simulated: {line}, {ROUND_TRIP * 1000:.0f} ms a round trip, analyses of 10 to 30 s, a queue at the server"
    table = Table(f"batch of {CLIPS}, {slots} slots", "s", figures, BOUND, notes=(model, f"looks in all: {looks}"))
    return evolve(table, aims=(table.aim(most),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    yield from (makespan(slots, most, rounds) for slots, most in AIMS.items())
