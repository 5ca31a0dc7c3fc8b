"""The strides of a runner: when each foot touches down, from how the joints move.

Invariant: pure. Times are positions in the recording, with fractions of a frame; without a frame rate nothing here is a
second. Toe-off is not estimated: it cannot be read from landmarks well enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import mul
from statistics import fmean
from typing import Final

from .points import Path, is_gap

__all__ = ["midstances", "stride_period", "strides_between", "touchdowns"]

_SHORTEST: Final = 8
"""Frames of a stride; with fewer no curve can be drawn."""
_CLEAR: Final = 0.3
"""The least correlation of two strides that counts as a repetition."""


def stride_period(path: Path) -> float | None:
    """The frames of one stride, from a motion that repeats with each; None if nothing repeats.

    The period is the first clear peak of the autocorrelation, refined with the last peak that is a multiple of it.
    """
    points = [point for point in path if not is_gap(point)]
    if len(points) < 2 * _SHORTEST or len(points) < 0.8 * len(path):
        return None
    middle = sum(points) / len(points)
    centered = [0j if is_gap(point) else point - middle for point in path]
    correlation = _autocorrelation(centered, len(path) * 2 // 3)
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


def _autocorrelation(points: Sequence[complex], lags: int) -> list[float]:
    energy = fmean(abs(point) ** 2 for point in points) or 1.0
    xs, ys = [point.real for point in points], [point.imag for point in points]
    return [
        (sum(map(mul, xs, xs[lag:])) + sum(map(mul, ys, ys[lag:]))) / (len(points) - lag) / energy
        for lag in range(lags)
    ]


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
    """The positions of the peaks that are the highest within half a period to each side."""
    reach = max(1, int(0.45 * period))
    last = len(values) - 1
    found = list[float]()
    for position in range(1, last):
        around = values[max(0, position - reach) : position + reach + 1]
        if not any(map(math.isnan, around)) and values[position] == max(around) > min(around):
            found.append(_refined(values, position))
    return found
