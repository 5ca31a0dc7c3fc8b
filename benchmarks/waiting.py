"""When to poll an analysis again, simulated: how late its end is noticed, and how many requests that costs.

Invariant: no clock and no network. All contenders wait for the same analyses, get the same answer at the same moment,
and must notice the end of each.
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

from .comparison import MIN_ROUNDS, OURS, Figure, Table

__all__ = ["benchmarks"]

ANALYSES = 300
"""Analyses that are counted, per contender, server and round."""
LEARNING_ANALYSES = 80
"""Analyses before them, from which a contender may learn."""
BASE = "fixed 3 s"
MAX_POLLS = 1000

Percentage = Callable[[float, float], float | None]
"""The percentage at a share (0-1) of the work. `quirk` (0-1) differs between analyses."""


# --- servers ------------------------------------------------------------------------------------------


@frozen
class Analysis:
    """One analysis: when it was started, when the server began to work on it, and when it was finished."""

    started: float
    work_began: float
    finished: float
    quirk: float


@frozen
class PollResult:
    """What a poll of a running analysis returns."""

    status: str
    percentage: float | None


@frozen
class Server:
    """How a server behaves."""

    name: str
    percentage: Percentage
    slots: int | None = None
    """Analyses that it works on at once; None for no limit."""
    delay: float | None = None
    """The goal for the delay, as a share of the base's delay; None for no goal."""
    requests: float | None = None
    """The goal for the requests, likewise."""
    took: tuple[float, float] = (10.0, 30.0)
    """The shortest and the longest work, in seconds. Most analyses take 10 to 30 s (documented)."""
    learned: bool = True
    """Whether the session may learn from earlier analyses."""

    def analyses(self, rng: random.Random) -> list[Analysis]:
        """Analyses in the order of their starts. With slots they come in batches, three per slot."""
        analyses = list[Analysis]()
        free = [0.0] * (self.slots or 1)
        now = 0.0
        for n in range(LEARNING_ANALYSES + ANALYSES):
            in_batch = self.slots and n % (3 * self.slots)
            now = now + rng.uniform(0, 1) if in_batch else max(now, *free) + rng.uniform(5, 10)
            work_began = max(now, heapq.heappop(free)) if self.slots else now
            finished = work_began + rng.uniform(*self.took)
            heapq.heappush(free, finished)
            analyses.append(Analysis(now, work_began, finished, rng.random()))
        return analyses

    def result(self, analysis: Analysis, now: float) -> PollResult:
        """What a poll before the end returns."""
        if now < analysis.work_began:
            return PollResult(Status.PENDING, self.percentage(0.0, analysis.quirk))
        share = (now - analysis.work_began) / (analysis.finished - analysis.work_began)
        return PollResult(Status.ANALYZING, self.percentage(share, analysis.quirk))


def smooth(share: float, _: float) -> float:
    """The share that is done, in integer percents."""
    return int(100 * share)


def stepped(share: float, quirk: float) -> float:
    """Four stages, whose ends vary a little between analyses."""
    return sum(25 for stage in (0.25, 0.5, 0.75) if share >= stage + 0.1 * (quirk - 0.5))


def stuck(share: float, quirk: float) -> float:
    """Fast at first; after between a third and two thirds of the time it stays at 95."""
    return int(95 * min(1.0, share / (0.33 + 0.33 * quirk)))


def absent(_: float, __: float) -> None:
    """Never a percentage."""


SERVERS = (
    Server("smooth", smooth, delay=0.55, requests=0.75),
    Server("stepped", stepped, delay=0.55, requests=0.75),
    Server("stuck near the end", stuck, delay=1.05, requests=1.05),
    Server("no percentage", absent, delay=1.05, requests=1.05),
    Server("queue, smooth", smooth, slots=4, delay=1.05, requests=0.5),
    Server("queue, stepped", stepped, slots=4, delay=1.05, requests=0.5),
    Server("queue, stuck near the end", stuck, slots=4, delay=1.05, requests=0.5),
    Server("queue, no percentage", absent, slots=4, requests=0.5),
    Server("nothing learned, smooth", smooth, delay=1.05, requests=1.05, learned=False),
    Server("nothing learned, no percentage", absent, delay=1.05, requests=1.05, learned=False),
    Server("nothing learned, stepped", stepped, learned=False),
    Server("nothing learned, stuck near the end", stuck, learned=False),
    Server("quick ones, no percentage", absent, took=(3.0, 10.0)),
)


# --- contenders --------------------------------------------------------------------------------------


@frozen
class Wait:
    """The wait for one analysis: when to poll first, when to poll again, and what to do at the end."""

    first: float
    next_delay: Callable[[PollResult, float], float]
    """Seconds until the next poll, from the result of the last one and the age of the analysis."""
    finished: Callable[[float], None] = lambda _: None
    """Called with the age of the analysis at which its end was noticed."""


Session = Callable[[float], Wait]
"""Makes the wait for an analysis from the moment of its start."""


def fixed(seconds: float) -> Session:
    """A fixed interval."""
    return lambda _: Wait(seconds, lambda _, __: seconds)


def exponential(_: float) -> Wait:
    """One second, then one and a half times as long each time, up to ten."""
    delays = accumulate(repeat(1.5), lambda delay, factor: min(10.0, delay * factor), initial=1.0)
    return Wait(next(delays), lambda _, __: next(delays))


def fraction(_: float) -> Wait:
    """Half of the time that the percentage predicts, between 1 and 10 s; 3 s without a percentage."""

    def next_delay(result: PollResult, age: float) -> float:
        shown = result.percentage
        return min(10.0, max(1.0, 0.5 * age * (100 - shown) / shown)) if shown else 3.0

    return Wait(3.0, next_delay)


def ours(rng: random.Random, *, learned: bool) -> Session:
    """The policy of the library, driven as by its scheduler, except that all later analyses learn from each one."""
    known = DurationHistory()

    def session(started: float) -> Wait:
        schedule = PollSchedule(Polling(), started)

        def next_delay(result: PollResult, age: float) -> float:
            pending = result.status == Status.PENDING
            return schedule.after_poll(result.percentage, started + age, rng.random(), pending=pending)

        first = schedule.first_delay(started, known if learned else DurationHistory())
        return Wait(first, next_delay, lambda age: schedule.finished(started + age, succeeded=True))

    return session


def contenders(server: Server, seed: int) -> dict[str, Session]:
    """All contenders, with new sessions."""
    return {
        BASE: fixed(3.0),
        "fixed 1 s": fixed(1.0),
        "fixed 5 s": fixed(5.0),
        "exponential": exponential,
        "fraction of estimate": fraction,
        OURS: ours(random.Random(seed), learned=server.learned),
    }


# --- measurement --------------------------------------------------------------------------------------------


def wait_for(analysis: Analysis, server: Server, wait: Wait) -> tuple[float, int]:
    """Polls until the end is noticed. Returns how late that was, and the number of polls."""
    age, took, polls = wait.first, analysis.finished - analysis.started, 1
    while age < took:
        if polls > MAX_POLLS:
            raise AssertionError(f"{server.name}: the end of {analysis} was not noticed")
        age += wait.next_delay(server.result(analysis, analysis.started + age), age)
        polls += 1
    wait.finished(age)
    return age - took, polls


def one_round(server: Server, seed: int) -> dict[str, tuple[float, float]]:
    """The mean delay and number of requests of each contender, for the same analyses."""
    analyses = server.analyses(random.Random(seed))
    means = dict[str, tuple[float, float]]()
    for contender, session in contenders(server, seed).items():
        results = [wait_for(analysis, server, session(analysis.started)) for analysis in analyses][LEARNING_ANALYSES:]
        means[contender] = fmean(delay for delay, _ in results), fmean(polls for _, polls in results)
    return means


def simulate(server: Server, rounds: int) -> tuple[Table, Table]:
    """The tables of delays and of requests for one server."""
    means = [one_round(server, seed) for seed in range(max(rounds, MIN_ROUNDS))]
    delays = {contender: Figure.of([each[contender][0] for each in means]) for contender in means[0]}
    polls = {contender: Figure.of([each[contender][1] for each in means]) for contender in means[0]}
    name = f"waiting, {server.name}"
    requests = _table(f"{name}: requests", "polls", polls, server.requests)
    return _table(f"{name}: delay", "s", delays, server.delay), requests


def _table(name: str, unit: str, figures: Mapping[str, Figure], limit: float | None) -> Table:
    table = Table(name, unit, figures, BASE)
    return table if limit is None else evolve(table, goals=(table.goal(limit),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All servers; each round has its own analyses."""
    for server in SERVERS:
        yield from simulate(server, rounds)
