"""Contenders in turns, A B A B, so that a noisy machine is noisy for all of them.

Law of this room: only ratios within one run mean anything, and contenders must have done the same work.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

from attrs import frozen

__all__ = ["Result", "race"]


@frozen
class Result:
    """The medians of one benchmark."""

    name: str
    seconds: Mapping[str, float]
    """By contender; the first is the one that the others are measured against."""

    def rows(self) -> list[str]:
        """A Markdown row for each contender: benchmark, contender, milliseconds, ratio to the first."""
        base = next(iter(self.seconds.values()))
        return [
            f"| {self.name} | {who} | {took * 1000:.2f} | {took / base:.2f} |" for who, took in self.seconds.items()
        ]


def race(name: str, contenders: Mapping[str, Callable[[], object]], rounds: int = 9) -> Result:
    """Runs all contenders in turns and takes each one's median. All must give equal results."""
    results = [run() for run in contenders.values()]
    assert all(result == results[0] for result in results), f"{name}: the contenders did not do the same work"
    took: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, run in contenders.items():
            gc.collect()
            began = time.perf_counter()
            run()
            took[who].append(time.perf_counter() - began)
    return Result(name, {who: statistics.median(seconds) for who, seconds in took.items()})
