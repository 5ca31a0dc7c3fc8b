"""Curves over a stride: one angle of all strides, each stretched to the same length.

Invariant: pure. A stride with a gap is left out, so that every point of a curve is the mean of the same strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final, TypeVar

from attrs import frozen

from ..protocol.text_summary import count_of
from .points import Path, is_gap
from .short_repr import ShortRepr

__all__ = ["POINTS", "Curve", "curve_of", "mean_path"]

V = TypeVar("V", float, complex)
POINTS: Final = 101
"""Points of a curve: 0 to 100 per cent."""


@frozen(repr=False)
class Curve(ShortRepr):
    """An angle over the stride, read off the landmarks: degrees, from touchdown (0 %) to the next one (100 %)."""

    mean: tuple[float, ...]
    """`POINTS` values."""
    deviation: tuple[float, ...]
    """One standard deviation (n - 1) at each point; all 0 for a single stride."""
    strides: int
    """How many strides the curve is made of."""
    peak: float
    """The mean of the strides' highest values. The highest value of `mean` is lower where the peaks do not coincide."""
    lowest: float
    """The mean of the strides' lowest values."""
    at_start: float
    """The mean at 0 %: at touchdown."""

    def _extent(self) -> str:
        return count_of(self.strides, "stride")


def curve_of(angle: Sequence[float], windows: Sequence[tuple[float, float]]) -> Curve | None:
    """The curve of an angle over windows of the recording, such as from each touchdown to the next.

    Returns None if no window is without a gap.
    """
    strides = _complete_strides(angle, windows)
    if not strides:
        return None
    columns = list(zip(*strides, strict=True))
    return Curve(
        mean=tuple(map(fmean, columns)),
        deviation=tuple(stdev(column) if len(column) > 1 else 0.0 for column in columns),
        strides=len(strides),
        peak=fmean(map(max, strides)),
        lowest=fmean(map(min, strides)),
        at_start=fmean(columns[0]),
    )


def mean_path(path: Path, windows: Sequence[tuple[float, float]]) -> tuple[complex, ...] | None:
    """The mean of a path over windows of the recording: `POINTS` points, or None if no window is without a gap."""
    strides = _complete_strides(path, windows)
    return tuple(sum(column) / len(column) for column in zip(*strides, strict=True)) if strides else None


def _complete_strides(values: Sequence[V], windows: Sequence[tuple[float, float]]) -> list[list[V]]:
    """The values in each window, stretched to `POINTS`. Windows with a gap, or beyond the recording, are left out."""
    inside = [window for window in windows if window[0] >= 0 and window[1] <= len(values) - 1]
    strides = (_stretched(values, *window) for window in inside)
    return [stride for stride in strides if not any(map(is_gap, stride))]


def _stretched(values: Sequence[V], start: float, end: float) -> list[V]:
    return [_at(values, start + (end - start) * point / (POINTS - 1)) for point in range(POINTS)]


def _at(values: Sequence[V], position: float) -> V:
    """The value at a position, along a straight line between its neighbors."""
    before = min(int(position), len(values) - 2)
    share = position - before
    return values[before] if not share else values[before] * (1 - share) + values[before + 1] * share
