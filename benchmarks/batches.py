"""How long a batch takes until its last clip is analyzed, compared with hand-written loops and with a lower bound.

Simulated in virtual time: the real library, and the emulator behind a simulated link.

Invariant: all contenders have the same clips, the same server and the same link. All clips are analyzed, and each is
charged once.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
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

from .comparison import MIN_ROUNDS, OURS, Figure, Table
from .simulated_link import MBIT, ROUND_TRIP, SharedLink, SlowTransport

__all__ = ["Scenario", "benchmarks", "bound"]

CLIPS: Final = 200
BYTES: Final = (5_000_000, 30_000_000)
RATE: Final = 500 * MBIT
ONE_CONNECTION: Final = 200 * MBIT
GOALS: Final[Mapping[int, float]] = {4: 1.05, 16: 1.10, 64: 1.5}
"""Slots of the server → the goal, as a multiple of the bound."""
FAST_LINE: Final = 1000 * MBIT
FAST_LINE_CLIPS: Final = 1500
FAST_LINE_GOAL: Final = 1.15
SAMPLE_INTERVAL: Final = 3.0
"""Seconds between two polls of the vendor's sample."""
BOUND: Final = "the lower bound"


@frozen
class Scenario:
    """The clips, the server and the link of one simulation."""

    seed: int
    slots: int
    count: int = CLIPS
    rate: float = RATE
    one_connection: float = ONE_CONNECTION

    @property
    def sizes(self) -> dict[str, int]:
        """The name of each clip → its bytes."""
        rng = random.Random(self.seed)
        return {f"{number}.mp4": rng.randint(*BYTES) for number in range(self.count)}

    @property
    def world(self) -> EmulatorSettings:
        """The server."""
        return EmulatorSettings(concurrent_analyses=self.slots, credits=self.count, seed=self.seed)

    @property
    def contents(self) -> list[bytes]:
        """What each clip really sends."""
        return [sample_clip(number, size=300) for number in range(self.count)]

    @property
    def clips(self) -> list[Clip]:
        """The clips in the order in which they are submitted."""
        return [_clip(name, content) for name, content in zip(self.sizes, self.contents, strict=True)]

    @property
    def durations(self) -> list[float]:
        """Seconds that the server will take for each analysis."""
        (shortest, longest), seed = self.world.analysis_seconds, self.seed
        drawn = [uniform(seed, "duration", sha256(content).hexdigest()) for content in self.contents]
        return [shortest + (longest - shortest) * each for each in drawn]


def _clip(name: str, content: bytes) -> Clip:
    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    return Clip.stream(chunks, name=name, size=len(content))


def bound(scenario: Scenario) -> float:
    """Seconds that no client can beat, even with perfect knowledge: the largest of three sums.

    - the link: all bytes through it, then the shortest analysis;
    - the server: the smallest clip arrives, then all analyses are spread evenly over its slots;
    - one clip: the smallest clip arrives, then the longest analysis.

    Each sum includes a round trip, and the second for which this server queues every analysis.
    """
    sizes, durations = scenario.sizes.values(), scenario.durations
    arrival = min(sizes) / min(scenario.one_connection, scenario.rate)
    link = sum(sizes) / scenario.rate + min(durations)
    server = arrival + sum(durations) / scenario.slots
    return max(link, server, arrival + max(durations)) + ROUND_TRIP + scenario.world.queue_seconds


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


async def _concurrently(limit: int, ochy: OchySession, clips: list[Clip]) -> None:
    """All clips behind one semaphore, which each holds until its results are there."""
    slots = anyio.Semaphore(limit)

    async def held(clip: Clip) -> None:
        async with slots:
            await _sample(ochy, clip)

    async with anyio.create_task_group() as tasks:
        for clip in clips:
            tasks.start_soon(held, clip)


async def _sample(ochy: OchySession, clip: Clip) -> None:
    """The vendor's sample: start, then poll every three seconds."""
    started = await ochy.start(clip, SideView())
    state = await ochy.status(started)
    while not state.finished:
        await anyio.sleep(SAMPLE_INTERVAL)
        state = await ochy.status(started)


CONTENDERS: Final[Mapping[str, Run]] = {
    "the vendor's sample, one by one": _one_by_one,
    "one semaphore of 8": partial(_concurrently, 8),
    "one semaphore of 16": partial(_concurrently, 16),
    OURS: _library,
}


@frozen
class RunResult:
    """The result of one contender."""

    seconds: float
    polls: int


def simulate(scenario: Scenario, run: Run) -> RunResult:
    """Runs a contender, and checks that it did the work."""
    return in_virtual_time(_simulate(scenario, run))


async def _simulate(scenario: Scenario, run: Run) -> RunResult:
    service = Service(scenario.world)
    transport = SlowTransport(service, SharedLink(scenario.rate, scenario.one_connection), scenario.sizes)
    rng = random.Random(scenario.seed).random
    async with OchySession(transport=transport, chance=rng, clock=_clock, preflight="off") as ochy:
        began = current_time()
        await run(ochy, scenario.clips)
        seconds = current_time() - began
    contents = {charge.sha256 for charge in service.ledger}
    if not len(service.ledger) == len(contents) == scenario.count:
        raise AssertionError(f"{len(service.ledger)} charges for {len(contents)} of {scenario.count} clips")
    return RunResult(seconds, service.count(str(RESULTS)))


def _clock() -> datetime:
    return datetime.fromtimestamp(loop_clock(), UTC)


# --- tables ---------------------------------------------------------------------------------------


def makespan(name: str, scenarios: Sequence[Scenario], contenders: Mapping[str, Run], limit: float) -> Table:
    """Seconds from the first clip to the last result, in one scenario per round."""
    runs = {contender: [simulate(scenario, run) for scenario in scenarios] for contender, run in contenders.items()}
    figures = {contender: Figure.of([each.seconds for each in found]) for contender, found in runs.items()}
    figures[BOUND] = Figure.of([bound(scenario) for scenario in scenarios])
    polls = "; ".join(
        f"{contender} {statistics.median(each.polls for each in found):.0f}" for contender, found in runs.items()
    )
    count = scenarios[0].count
    a_minute = "; ".join(f"{contender} {count / each.median * 60:.0f}" for contender, each in figures.items())
    rate = f"{scenarios[0].rate / MBIT:.0f} Mbit/s"
    link = f"{rate} shared equally, at most {ONE_CONNECTION / MBIT:.0f} for one connection"
    model = (
        f"simulated: {link}, {ROUND_TRIP * 1000:.0f} ms per round trip, analyses of 10 to 30 s, a queue at the server"
    )
    notes = (model, f"clips a minute: {a_minute}", f"polls in total: {polls}")
    table = Table(f"batch of {count}, {name}", "s", figures, BOUND, notes=notes)
    return evolve(table, goals=(table.goal(limit),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    seeds = range(max(rounds, MIN_ROUNDS))
    for slots, limit in GOALS.items():
        yield makespan(f"{slots} slots", [Scenario(seed, slots) for seed in seeds], CONTENDERS, limit)
    fast = [Scenario(seed, FAST_LINE_CLIPS, FAST_LINE_CLIPS, FAST_LINE) for seed in seeds]
    held = {f"one semaphore of {limit}": partial(_concurrently, limit) for limit in (128, 320)}
    contenders: dict[str, Run] = {**held, OURS: _library}
    yield makespan(f"{FAST_LINE / MBIT:.0f} Mbit/s, no queue", fast, contenders, FAST_LINE_GOAL)
