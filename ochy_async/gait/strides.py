"""The strides of a runner: when each foot touches down, from how the joints move.

Invariant: pure. Times are positions in the recording, with fractions of a frame; without a frame rate nothing here is a
second. Toe-off is not estimated: it cannot be read from landmarks well enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import mul
from typing import Final

from .points import Path, filled, is_gap

__all__ = ["midstances", "stride_period", "strides_between", "touchdowns"]

_SHORTEST: Final = 8
"""Frames of a stride; with fewer no curve can be drawn."""
_CLEAR: Final = 0.7
"""The least correlation of two strides that counts as a repetition: noise alone hardly reaches it."""
_LONGEST_GAP: Final = 3
"""Frames; longer gaps are not filled before strides are known."""
_LEAST_OVERLAP: Final = 1 / 3
"""Of the frames that are seen: a shift that lays fewer of them over each other tells nothing."""


def stride_period(path: Path) -> float | None:
    """The frames of one stride, from a motion that repeats with each; None if nothing repeats.

    The period is the first clear peak of the autocorrelation, refined with the last peak that is a multiple of it.
    """
    if sum(not is_gap(point) for point in path) < 2 * _SHORTEST:
        return None
    correlation = _autocorrelation(filled(path, _LONGEST_GAP))
    first = _first_peak(correlation)
    if first is None:
        return None
    period = _refined(correlation, first)
    for count in range(2, int(len(correlation) / period)):
        near = round(count * period)
        around = range(max(1, near - 3), min(len(correlation) - 1, near + 4))
        peak = max(around, key=correlation.__getitem__, default=None)
        if peak is None or correlation[peak] < _CLEAR:
            break
        period = _refined(correlation, peak) / count
    return period


def _autocorrelation(path: Path) -> list[float]:
    """The correlation of a path with itself, shifted by 0, 1, 2, … frames, as long as enough of it overlaps.

    It compares only frames that are both seen, so neither gaps nor the ends of the recording move its peaks.
    """
    seen = [0.0 if is_gap(point) else 1.0 for point in path]
    middle = sum(point for point in path if not is_gap(point)) / sum(seen)
    centered = [0j if is_gap(point) else point - middle for point in path]
    xs, ys = [point.real for point in centered], [point.imag for point in centered]
    energies = [x * x + y * y for x, y in zip(xs, ys, strict=True)]
    result = list[float]()
    for lag in range(len(path)):
        if sum(map(mul, seen, seen[lag:])) < _LEAST_OVERLAP * sum(seen):
            break
        energy = math.sqrt(sum(map(mul, energies, seen[lag:])) * sum(map(mul, seen, energies[lag:])))
        result.append((sum(map(mul, xs, xs[lag:])) + sum(map(mul, ys, ys[lag:]))) / (energy or 1.0))
    return result


def _first_peak(correlation: Sequence[float]) -> int | None:
    peaks = [
        lag
        for lag in range(_SHORTEST, len(correlation) - 1)
        if correlation[lag - 1] < correlation[lag] >= correlation[lag + 1]
    ]
    highest = max((correlation[lag] for lag in peaks), default=0.0)
    return next((lag for lag in peaks if correlation[lag] >= max(_CLEAR, 0.8 * highest)), None)


def _refined(values: Sequence[float], peak: int) -> float:
    """Where the parabola through a peak and its neighbors is highest."""
    if not 0 < peak < len(values) - 1:
        return float(peak)
    before, at, after = values[peak - 1 : peak + 2]
    curvature = before - 2 * at + after
    return peak + 0.5 * (before - after) / curvature if curvature else float(peak)


def touchdowns(forward: Sequence[float], period: float) -> list[float]:
    """When a foot touches down: where it is farthest in front of the hips, once in each stride.

    `forward` is how far the ankle is in front of the hips, NaN in a gap. That is the method of Zeni et al. (2008) for
    treadmills. A runner's foot comes back a little before it lands, so the time is some per cent of a stride early.
    """
    return _peaks(forward, period)


def midstances(height: Sequence[float], period: float) -> list[float]:
    """When a leg carries the body: where the pelvis is lowest, twice in each stride, one for each leg.

    A runner's center of mass is lowest in the middle of the stance.
    """
    return _peaks([-value for value in height], period / 2)


def strides_between(starts: Sequence[float], period: float) -> list[tuple[float, float]]:
    """The strides from each start to the next, without those that are far from the usual length."""
    return [(start, end) for start, end in pairwise(starts) if 0.75 * period < end - start < 1.25 * period]


def _peaks(values: Sequence[float], period: float) -> list[float]:
    """The positions of the peaks that are the highest seen within half a period to each side.

    A peak is seen if its neighbors are: the highest value beside a gap may only be on the way to a peak.
    """
    reach = max(1, int(0.45 * period))
    found = list[float]()
    for position in range(1, len(values) - 1):
        around = [each for each in values[max(0, position - reach) : position + reach + 1] if not is_gap(each)]
        neighbors = values[position - 1 : position + 2]
        if not any(map(is_gap, neighbors)) and values[position] == max(around) > min(around):
            found.append(_refined(values, position))
    return found
