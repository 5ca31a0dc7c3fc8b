"""When to look at an analysis again, simulated: how late its end is noticed, and what that costs in requests.

Invariant: no clock, no network. Every contender waits for the same analyses, told the same at the same
moment, and must notice the end of each.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, repeat
from statistics import fmean

from attrs import evolve, frozen

from ochy_async import Polling
from ochy_async.policy.polling import PollSchedule
from ochy_async.policy.progress import DurationHistory
from ochy_async.protocol.analysis import Status

from .race import LEAST_ROUNDS, OURS, Figure, Table

__all__ = ["benchmarks"]

ANALYSES = 300
"""That count, for each contender, world and round."""
WARM = 80
"""Come before them and teach whoever learns."""
BASE = "fixed 3 s"
MOST_LOOKS = 1000

Percentage = Callable[[float, float], float | None]
"""What is shown at a share (0-1) of the work, by an analysis with a quirk (0-1) of its own."""


# --- the worlds ------------------------------------------------------------------------------------------


@frozen
class Analysis:
    """One analysis: when it was started, when the server got to it, and when it was finished."""

    started: float
    begun: float
    ended: float
    quirk: float


@frozen
class Seen:
    """What a look shows of an analysis that goes on."""

    status: str
    percentage: float | None


@frozen
class World:
    """How a server behaves."""

    name: str
    percentage: Percentage
    slots: int | None = None
    """Analyses that it works on at a time; None for as many as there are."""
    delay: float | None = None
    """The most of the base's delay that we mean to take; None where nothing is promised."""
    requests: float | None = None
    took: tuple[float, float] = (10.0, 30.0)
    """Seconds of work, shortest and longest; most analyses take 10 to 30 s (documented)."""
    learned: bool = True
    """Whether the session has seen analyses before."""

    def analyses(self, chance: random.Random) -> list[Analysis]:
        """Some analyses, in the order of their starts. With slots they come in batches, three to a slot."""
        made = list[Analysis]()
        free = [0.0] * (self.slots or 1)
        now = 0.0
        for n in range(WARM + ANALYSES):
            in_batch = self.slots and n % (3 * self.slots)
            now = now + chance.uniform(0, 1) if in_batch else max(now, *free) + chance.uniform(5, 10)
            begun = max(now, heapq.heappop(free)) if self.slots else now
            ended = begun + chance.uniform(*self.took)
            heapq.heappush(free, ended)
            made.append(Analysis(now, begun, ended, chance.random()))
        return made

    def seen(self, analysis: Analysis, now: float) -> Seen:
        """What a look shows before the end."""
        if now < analysis.begun:
            return Seen(Status.PENDING, self.percentage(0.0, analysis.quirk))
        share = (now - analysis.begun) / (analysis.ended - analysis.begun)
        return Seen(Status.ANALYZING, self.percentage(share, analysis.quirk))


def smooth(share: float, _: float) -> float:
    """As much as is done, in whole percents."""
    return int(100 * share)


def stepped(share: float, quirk: float) -> float:
    """Four stages, which end a little sooner or later from one analysis to the next."""
    return sum(25 for stage in (0.25, 0.5, 0.75) if share >= stage + 0.1 * (quirk - 0.5))


def stuck(share: float, quirk: float) -> float:
    """Fast at first; from somewhere between a third and two thirds of the time on it stays at 95."""
    return int(95 * min(1.0, share / (0.33 + 0.33 * quirk)))


def absent(_: float, __: float) -> None:
    """Nothing, ever."""


WORLDS = (
    World("smooth", smooth, delay=0.55, requests=0.75),
    World("stepped", stepped, delay=0.55, requests=0.75),
    World("stuck near the end", stuck, delay=1.05, requests=1.05),
    World("no percentage", absent, delay=1.05, requests=1.05),
    World("queue, smooth", smooth, slots=4, delay=1.05, requests=0.5),
    World("queue, stepped", stepped, slots=4, delay=1.05, requests=0.5),
    World("queue, stuck near the end", stuck, slots=4, delay=1.05, requests=0.5),
    World("queue, no percentage", absent, slots=4, requests=0.5),
    World("nothing learned, smooth", smooth, delay=1.05, requests=1.05, learned=False),
    World("nothing learned, no percentage", absent, delay=1.05, requests=1.05, learned=False),
    World("nothing learned, stepped", stepped, learned=False),
    World("nothing learned, stuck near the end", stuck, learned=False),
    World("quick ones, no percentage", absent, took=(3.0, 10.0)),
)


# --- the contenders --------------------------------------------------------------------------------------


@frozen
class Wait:
    """The wait for one analysis: when to look first, when to look again, and what to do at the end."""

    first: float
    again: Callable[[Seen, float], float]
    """Seconds until the next look, after one that showed this at that age of the analysis."""
    ended: Callable[[float], None] = lambda _: None
    """Told the age at which the end was noticed."""


Session = Callable[[float], Wait]
"""Waits for each of its analyses, given when that was started."""


def fixed(seconds: float) -> Session:
    """Every so many seconds."""
    return lambda _: Wait(seconds, lambda _, __: seconds)


def exponential(_: float) -> Wait:
    """One second, then half as much again each time, up to ten."""
    delays = accumulate(repeat(1.5), lambda delay, factor: min(10.0, delay * factor), initial=1.0)
    return Wait(next(delays), lambda _, __: next(delays))


def fraction(_: float) -> Wait:
    """After half of the time that the percentage says is left, between 1 and 10 s; 3 s where it says nothing."""

    def again(seen: Seen, age: float) -> float:
        shown = seen.percentage
        return min(10.0, max(1.0, 0.5 * age * (100 - shown) / shown)) if shown else 3.0

    return Wait(3.0, again)


def ours(chance: random.Random, *, learned: bool) -> Session:
    """The policy of the library, driven as its scheduler does, but that each analysis teaches all that come after."""
    known = DurationHistory()

    def session(started: float) -> Wait:
        watch = PollSchedule(Polling(), started)

        def again(seen: Seen, age: float) -> float:
            pending = seen.status == Status.PENDING
            return watch.after_poll(seen.percentage, started + age, chance.random(), pending=pending)

        first = watch.first_delay(started, known if learned else DurationHistory())
        return Wait(first, again, lambda age: watch.succeeded(started + age))

    return session


def contenders(world: World, seed: int) -> dict[str, Session]:
    """All ways to wait, as new sessions."""
    return {
        BASE: fixed(3.0),
        "fixed 1 s": fixed(1.0),
        "fixed 5 s": fixed(5.0),
        "exponential": exponential,
        "fraction of estimate": fraction,
        OURS: ours(random.Random(seed), learned=world.learned),
    }


# --- the race --------------------------------------------------------------------------------------------


def wait_for(analysis: Analysis, world: World, wait: Wait) -> tuple[float, int]:
    """Looks until a look shows the end: how late that was, and how many looks it took."""
    age, took, looks = wait.first, analysis.ended - analysis.started, 1
    while age < took:
        if looks > MOST_LOOKS:
            raise AssertionError(f"{world.name}: the end of {analysis} was not noticed")
        age += wait.again(world.seen(analysis, analysis.started + age), age)
        looks += 1
    wait.ended(age)
    return age - took, looks


def one_round(world: World, seed: int) -> dict[str, tuple[float, float]]:
    """The mean delay and requests of each contender, for the same analyses."""
    analyses = world.analyses(random.Random(seed))
    means = dict[str, tuple[float, float]]()
    for who, session in contenders(world, seed).items():
        came = [wait_for(analysis, world, session(analysis.started)) for analysis in analyses][WARM:]
        means[who] = fmean(delay for delay, _ in came), fmean(looks for _, looks in came)
    return means


def simulate(world: World, rounds: int) -> tuple[Table, Table]:
    """How late, and with how many requests."""
    means = [one_round(world, seed) for seed in range(max(rounds, LEAST_ROUNDS))]
    late = {who: Figure.of([each[who][0] for each in means]) for who in means[0]}
    looks = {who: Figure.of([each[who][1] for each in means]) for who in means[0]}
    name = f"waiting, {world.name}"
    return _table(f"{name}: delay", "s", late, world.delay), _table(f"{name}: requests", "looks", looks, world.requests)


def _table(name: str, unit: str, figures: Mapping[str, Figure], most: float | None) -> Table:
    table = Table(name, unit, figures, BASE)
    return table if most is None else evolve(table, aims=(table.aim(most),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All worlds, each round with analyses of its own."""
    for world in WORLDS:
        yield from simulate(world, rounds)
