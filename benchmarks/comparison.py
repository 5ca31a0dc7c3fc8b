"""Measures contenders alternately (A B A B), so that a busy machine affects all of them, and counts processor time.

Invariant: only ratios within one run mean anything, and all contenders must have done the same work.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import field, frozen

__all__ = ["MIN_ROUNDS", "OURS", "Figure", "Goal", "Rounds", "Table", "alternate", "compare"]

OURS = "ochy_async"
MIN_ROUNDS = 5


class Rounds(list[float]):
    """The values of one contender, round by round."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: list[float] = []
        """Processor seconds of each round, where they were measured."""


@frozen
class Figure:
    """The result of one contender: the median, lowest and highest of its rounds."""

    median: float
    low: float
    high: float
    cpu: float | None = None
    """Processor seconds of a round (median), of this process and of those that it started and that have ended."""

    @classmethod
    def of(cls, values: Sequence[float], scale: float = 1) -> Figure:
        """The figure of several rounds, or of several scenarios, with each value multiplied by `scale`."""
        cpu = statistics.median(values.cpu) if isinstance(values, Rounds) and values.cpu else None
        return cls(statistics.median(values) * scale, min(values) * scale, max(values) * scale, cpu)


@frozen
class Goal:
    """A goal, and the value that was measured in this run."""

    what: str
    value: float
    limit: float
    unit: str = "×"
    """`×` for a ratio."""

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.value <= self.limit


@frozen
class Table:
    """One benchmark: the figure of each contender in `unit`; less is better."""

    name: str
    unit: str
    figures: Mapping[str, Figure]
    base: str
    """The contender that all others are divided by."""
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def ratio(self, contender: str, base: str | None = None) -> float:
        """The median of a contender divided by that of `base`."""
        return self.figures[contender].median / self.figures[base or self.base].median

    def goal(self, limit: float, over: str | None = None, contender: str = OURS) -> Goal:
        """The goal that `contender` takes at most `limit` times as much as `over`."""
        return Goal(f"{contender} / {over or self.base}", self.ratio(contender, over), limit)


def alternate(
    contenders: Mapping[str, Callable[[], float]], rounds: int, min_rounds: int = MIN_ROUNDS
) -> dict[str, Rounds]:
    """Runs the contenders alternately, and returns the values of each, round by round."""
    took = {contender: Rounds() for contender in contenders}
    for _ in range(max(rounds, min_rounds)):
        for contender, measure in contenders.items():
            gc.collect()
            before = _processor_seconds()
            took[contender].append(measure())
            took[contender].cpu.append(_processor_seconds() - before)
    return took


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compare(
    name: str, contenders: Mapping[str, Callable[[], object]], rounds: int, *, base: str, repeats: int = 1
) -> Table:
    """Milliseconds per run of each contender: the median of several rounds of `repeats` runs.

    All contenders must return equal results. The time includes freeing the result.
    """
    results = {contender: run() for contender, run in contenders.items()}
    different = [contender for contender, result in results.items() if result != results[base]]
    if different:
        raise AssertionError(f"{name}: {', '.join(different)} did not do the same work as {base}")
    del results

    def timed(run: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - began) / repeats * 1000

    took = alternate({contender: partial(timed, run) for contender, run in contenders.items()}, rounds)
    return Table(name, "ms", {contender: Figure.of(values) for contender, values in took.items()}, base)
