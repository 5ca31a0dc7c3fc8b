"""When to look at an analysis again, simulated: how late its end is noticed, and what that costs in requests.

Law of this room: no clock, no network. Every contender waits for the same analyses, told the same at the same
moment, and must notice the end of each.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from attrs import define, field, frozen

from ochy_async import Polling
from ochy_async.policy.polling import Durations, Watch
from ochy_async.protocol.analysis import Status

from .race import LEAST_ROUNDS, OURS, Aim, Figure, Table

__all__ = ["benchmarks"]

ANALYSES = 300
"""For each contender, world and round; as many again as `WARM` come before and count for nothing."""
WARM = 80
SHORTEST, LONGEST = 10.0, 30.0
"""Seconds that most analyses take (documented)."""
BASE = "fixed 3 s"
DEADLINE = 3600.0

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
            ended = begun + chance.uniform(SHORTEST, LONGEST)
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
)


# --- the contenders --------------------------------------------------------------------------------------


class Waiting(Protocol):
    """One way to wait for one analysis."""

    def first(self) -> float:
        """Seconds from the start to the first look."""

    def next(self, seen: Seen, now: float) -> float:
        """Seconds to the next look, after one that showed this."""

    def finished(self, now: float) -> None:
        """A look showed the end."""


class Session(Protocol):
    """Makes what waits for each of its analyses."""

    def __call__(self, started: float) -> Waiting: ...


@define
class Fixed:
    """Every so many seconds."""

    seconds: float

    def __call__(self, started: float) -> Waiting:
        """The same for all."""
        return self

    def first(self) -> float:
        """One interval."""
        return self.seconds

    def next(self, seen: Seen, now: float) -> float:
        """One interval."""
        return self.seconds

    def finished(self, now: float) -> None:
        """Teaches nothing."""


@define
class Exponential:
    """One second, then half as much again each time, up to ten."""

    _seconds: float = 1.0

    def __call__(self, started: float) -> Waiting:
        """Each begins anew."""
        return Exponential()

    def first(self) -> float:
        """The first step."""
        return self._seconds

    def next(self, seen: Seen, now: float) -> float:
        """A longer step."""
        self._seconds = min(10.0, self._seconds * 1.5)
        return self._seconds

    def finished(self, now: float) -> None:
        """Teaches nothing."""


@define
class Fraction:
    """After half of the time that the percentage says is left, between 1 and 10 s; 3 s where it says nothing."""

    _started: float = 0.0

    def __call__(self, started: float) -> Waiting:
        """Each has a start of its own."""
        return Fraction(started)

    def first(self) -> float:
        """As the vendor's sample."""
        return 3.0

    def next(self, seen: Seen, now: float) -> float:
        """A part of what is left."""
        if not seen.percentage:
            return 3.0
        return min(10.0, max(1.0, 0.5 * (now - self._started) * (100 - seen.percentage) / seen.percentage))

    def finished(self, now: float) -> None:
        """Teaches nothing."""


@define
class Ours:
    """The policy of the library, driven as its scheduler does."""

    chance: random.Random
    durations: Durations = field(factory=Durations)
    learns: bool = True

    def __call__(self, started: float) -> Waiting:
        """A watch with what the session knows."""
        durations = self.durations if self.learns else Durations()
        return _Watching(Watch(Polling(), started), started, durations, self.chance)


@define
class _Watching:
    watch: Watch
    started: float
    durations: Durations
    chance: random.Random

    def first(self) -> float:
        return self.watch.first(self.started, self.durations)

    def next(self, seen: Seen, now: float) -> float:
        return self.watch.after_look(seen.percentage, now, self.chance.random(), pending=seen.status == Status.PENDING)

    def finished(self, now: float) -> None:
        self.watch.ended(now)


def contenders(world: World, seed: int) -> dict[str, Session]:
    """All ways to wait, as new sessions."""
    return {
        BASE: Fixed(3.0),
        "fixed 1 s": Fixed(1.0),
        "fixed 5 s": Fixed(5.0),
        "exponential": Exponential(),
        "fraction of estimate": Fraction(),
        OURS: Ours(random.Random(seed), learns=world.learned),
    }


# --- the race --------------------------------------------------------------------------------------------


@frozen
class Came:
    """What waiting for one analysis came to."""

    delay: float
    requests: int


def wait_for(analysis: Analysis, world: World, waiting: Waiting) -> Came:
    """Looks until a look shows the end."""
    now, requests = analysis.started + waiting.first(), 1
    while now < analysis.ended:
        if now - analysis.started > DEADLINE:
            raise AssertionError(f"{world.name}: {waiting} did not notice the end of {analysis}")
        now += waiting.next(world.seen(analysis, now), now)
        requests += 1
    waiting.finished(now)
    return Came(now - analysis.ended, requests)


def one_round(world: World, seed: int) -> dict[str, tuple[float, float]]:
    """The mean delay and requests of each contender, for the same analyses."""
    analyses = world.analyses(random.Random(seed))
    means = dict[str, tuple[float, float]]()
    for who, session in contenders(world, seed).items():
        came = [wait_for(analysis, world, session(analysis.started)) for analysis in analyses][WARM:]
        means[who] = sum(one.delay for one in came) / ANALYSES, sum(one.requests for one in came) / ANALYSES
    return means


def simulate(world: World, rounds: int) -> Iterator[Table]:
    """How late, and with how many requests."""
    all_means = [one_round(world, seed) for seed in range(max(rounds, LEAST_ROUNDS))]
    for n, (what, unit, most) in enumerate([("delay", "s", world.delay), ("requests", "looks", world.requests)]):
        figures = {who: Figure.of([means[who][n] for means in all_means]) for who in all_means[0]}
        yield _table(f"waiting, {world.name}: {what}", unit, figures, most)


def _table(name: str, unit: str, figures: Mapping[str, Figure], most: float | None) -> Table:
    table = Table(name, unit, figures, BASE)
    aims: tuple[Aim, ...] = () if most is None else (table.aim(most),)
    return Table(name, unit, figures, BASE, aims)


def benchmarks(rounds: int) -> Iterator[Table]:
    """All worlds."""
    for world in WORLDS:
        yield from simulate(world, rounds)
