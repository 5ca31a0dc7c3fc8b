"""A simulated server for the benchmarks of waiting: when analyses begin and finish, and what polls show until then.

Invariant: the same random numbers give the same analyses.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Final

from attrs import frozen

from ochy_async.protocol.analysis import Status

__all__ = [
    "Analysis",
    "Duration",
    "Percentage",
    "PollResult",
    "Server",
    "absent",
    "between",
    "leaping",
    "smooth",
    "stepped",
    "stuck",
]

Duration = Callable[[random.Random, float], float]
"""The seconds of work for an analysis that is started at a moment."""

Percentage = Callable[[float, float], float | None]
"""The percentage at a share (0-1) of the work. `quirk` (0-1) differs between analyses."""


def between(shortest: float, longest: float) -> Duration:
    """All durations between two are equally likely."""
    return lambda rng, _: rng.uniform(shortest, longest)


USUAL: Final = between(10.0, 30.0)


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
    took: Duration = USUAL
    """How long the work takes. Most analyses take 10 to 30 s (documented)."""
    learned: bool = True
    """Whether the session may learn from earlier analyses."""

    def analyses(self, rng: random.Random, count: int) -> list[Analysis]:
        """So many analyses in the order of their starts. With slots they come in batches, three per slot."""
        analyses = list[Analysis]()
        free = [0.0] * (self.slots or 1)
        now = 0.0
        for n in range(count):
            in_batch = self.slots and n % (3 * self.slots)
            now = now + rng.uniform(0, 1) if in_batch else max(now, *free) + rng.uniform(5, 10)
            work_began = max(now, heapq.heappop(free)) if self.slots else now
            finished = work_began + self.took(rng, work_began)
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


def leaping(share: float, quirk: float) -> float:
    """A few leaps of different size, at moments that differ between analyses."""
    return sum(leap for leap, stage in ((10, 0.1), (50, 0.3), (10, 0.5), (25, 0.7)) if share >= stage + 0.2 * quirk)


def stuck(share: float, quirk: float) -> float:
    """Fast at first; after between a third and two thirds of the time it stays at 95."""
    return int(95 * min(1.0, share / (0.33 + 0.33 * quirk)))


def absent(_: float, __: float) -> None:
    """Never a percentage."""
