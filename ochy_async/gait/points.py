"""The paths of joints over the frames of a recording, as complex numbers: forward + up * 1j.

Invariant: pure. Gaps are NaN; only short ones are filled, and no value is extrapolated.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["GAP", "Path", "filled", "is_gap", "runs", "smoothed"]

Path = Sequence[complex]
"""A point in every frame."""
GAP: Final = complex(math.nan, math.nan)


def is_gap(point: complex | float) -> bool:
    """Whether a point or a number is missing."""
    return cmath.isnan(point)


def runs(path: Path) -> Iterator[range]:
    """The unbroken stretches of a path, as ranges of positions."""
    start = None
    for position, point in enumerate((*path, GAP)):
        if is_gap(point):
            if start is not None:
                yield range(start, position)
            start = None
        elif start is None:
            start = position


def filled(path: Path, longest: int) -> list[complex]:
    """The path with gaps of at most `longest` frames between two points filled along a straight line."""
    points, last = list(path), None
    for position, point in enumerate(path):
        if is_gap(point):
            continue
        if last is not None and 1 < position - last <= longest + 1:
            step = (point - points[last]) / (position - last)
            points[last + 1 : position] = [points[last] + step * n for n in range(1, position - last)]
        last = position
    return points


def smoothed(path: Path, cutoff: float) -> list[complex]:
    """The path without what is faster than `cutoff` (cycles per frame, below 0.5): a Butterworth low-pass without lag.

    Second order, forwards and backwards, with the cutoff corrected for the two passes; the usual filter of movement
    analysis (Winter 2009, section 3.4.4). Each unbroken stretch is filtered for itself.
    """
    points = list(path)
    if cutoff < _NYQUIST:
        for run in runs(path):
            points[run.start : run.stop] = _both_ways(points[run.start : run.stop], cutoff)
    return points


_NYQUIST: Final = 0.45  # nearly half a cycle per frame: a higher cutoff removes nothing
_TWO_PASSES: Final = (math.sqrt(2) - 1) ** 0.25


def _both_ways(points: list[complex], cutoff: float) -> list[complex]:
    # Mirrored at its ends, the path begins and ends without a jump that the filter would ring at.
    margin = min(len(points) - 1, round(2 / cutoff))
    before = [2 * points[0] - point for point in points[margin:0:-1]]
    after = [2 * points[-1] - point for point in points[-2 : -2 - margin : -1]]
    once = _butterworth([*before, *points, *after], cutoff)
    twice = _butterworth(once[::-1], cutoff)[::-1]
    return twice[len(before) : len(before) + len(points)]


def _butterworth(points: list[complex], cutoff: float) -> list[complex]:
    warped = math.tan(math.pi * min(cutoff / _TWO_PASSES, _NYQUIST))
    scale = 1 / (1 + math.sqrt(2) * warped + warped**2)
    gain, first, second = (
        warped**2 * scale,
        2 * (warped**2 - 1) * scale,
        (1 - math.sqrt(2) * warped + warped**2) * scale,
    )
    x1 = x2 = y1 = y2 = points[0]
    result = list[complex]()
    for point in points:
        y = gain * (point + 2 * x1 + x2) - first * y1 - second * y2
        x1, x2, y1, y2 = point, x1, y, y1
        result.append(y)
    return result
