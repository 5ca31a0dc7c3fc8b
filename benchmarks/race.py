"""Contenders in turns, A B A B, so that a noisy machine is noisy for all of them.

Invariant: only ratios within one run mean anything, and contenders must have done the same work.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import field, frozen

__all__ = ["LEAST_ROUNDS", "OURS", "Aim", "Figure", "Table", "alternate", "race"]

OURS = "ochy_async"
LEAST_ROUNDS = 5


@frozen
class Figure:
    """What one contender came to: the median of its rounds, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """The figure of some rounds, or of some worlds."""
        return cls(statistics.median(values), min(values), max(values))


@frozen
class Aim:
    """Something that we mean to reach, and what it came to in this run."""

    what: str
    value: float
    most: float
    unit: str = "×"
    """`×` for a ratio."""

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.value <= self.most


@frozen
class Table:
    """One benchmark: what each contender came to in `unit`, less being better."""

    name: str
    unit: str
    figures: Mapping[str, Figure]
    base: str
    """The contender that the ratios are to."""
    aims: tuple[Aim, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def ratio(self, contender: str, base: str | None = None) -> float:
        """How many times as much as `base` a contender took, by their medians."""
        return self.figures[contender].median / self.figures[base or self.base].median

    def aim(self, most: float, over: str | None = None, contender: str = OURS) -> Aim:
        """That `contender` takes at most so many times as much as `over`."""
        return Aim(f"{contender} / {over or self.base}", self.ratio(contender, over), most)


def alternate(
    contenders: Mapping[str, Callable[[], float]], rounds: int, least: int = LEAST_ROUNDS
) -> dict[str, list[float]]:
    """Has all contenders measure themselves in turns; the values of each, round by round."""
    took: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(max(rounds, least)):
        for who, measure in contenders.items():
            gc.collect()
            took[who].append(measure())
    return took


def race(
    name: str, contenders: Mapping[str, Callable[[], object]], rounds: int, *, base: str, repeats: int = 1
) -> Table:
    """Milliseconds of one run of each, the median of some rounds of `repeats` runs. All must give equal results.

    Freeing the result of a run is part of it.
    """
    results = {who: run() for who, run in contenders.items()}
    different = [who for who, result in results.items() if result != results[base]]
    if different:
        raise AssertionError(f"{name}: {', '.join(different)} did not do the same work as {base}")
    del results

    def timed(run: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - began) / repeats * 1000

    took = alternate({who: partial(timed, run) for who, run in contenders.items()}, rounds)
    return Table(name, "ms", {who: Figure.of(values) for who, values in took.items()}, base)
