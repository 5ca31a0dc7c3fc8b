"""The chart of one angle: its curves of both sides over the stride, with their bands.

Invariant: pure. The page's program finds the curves where they were drawn: both use the same measures and axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import htpy as h

from ..gait.curves import Curve
from ..gait.joints import SIDES
from .svg import svg

__all__ = ["CHART", "Axis", "axis_of", "curve_chart", "line_key"]


class Chart:
    """The measures of a chart of curves, in units of its view box."""

    width: Final = 320
    height: Final = 190
    left: Final = 34
    right: Final = 312
    top: Final = 10
    bottom: Final = 166


CHART: Final = Chart()
_LEAST: Final = 10.0
"""Degrees that an axis spans at least, so that noise does not fill a chart."""


class Axis:
    """The vertical axis of a chart: which numbers it shows, and where they are."""

    def __init__(self, low: float, high: float) -> None:
        more = max(0.0, _LEAST - (high - low)) / 2
        low, high = low - more, high + more
        self.step: int = next(s for s in (2, 5, 10, 20, 25, 50, 100, 500) if (high - low) / s <= 5 or s == 500)
        self.low: int = math.floor(low / self.step) * self.step
        self.high: int = max(math.ceil(high / self.step) * self.step, self.low + self.step)

    @property
    def ticks(self) -> list[int]:
        """The labeled numbers, at most a few dozen whatever the curves are."""
        step = self.step * max(1, math.ceil((self.high - self.low) / self.step / 10))
        return list(range(int(self.low), int(self.high) + 1, int(step)))

    def y(self, value: float) -> float:
        """Where a value is, from the top."""
        return CHART.bottom - (CHART.bottom - CHART.top) * (value - self.low) / (self.high - self.low)


def axis_of(curves: Iterable[Curve]) -> Axis:
    """The axis on which curves fit with their bands."""
    edges = [
        mean + sign * deviation
        for curve in curves
        for mean, deviation in zip(curve.mean, curve.deviation, strict=True)
        for sign in (-1, 1)
    ]
    return Axis(min(edges), max(edges))


def curve_chart(
    name: str,
    title: str,
    sides: Mapping[str, Curve],
    *,
    percent: tuple[int, int],
    stance: float | None,
) -> h.Renderable:
    """The curves of both sides over `percent` of a stride. `stance` is its length as a share of a stride."""
    axis = axis_of(sides.values())
    told = "; ".join(f"{side} from {curve.lowest:.0f} to {curve.peak:.0f} degrees" for side, curve in sides.items())
    return svg(box=(0, 0, CHART.width, CHART.height), css="chart", label=f"{title}: {told}")[
        stance is not None and _stance(stance, percent, at_top=_reach_bottom(sides.values(), axis)),
        [_tick(axis, value) for value in axis.ticks],
        [
            h.text(x=f"{_along(place):.0f}", y="182", text_anchor="end" if place == 1 else "middle")[
                f"{percent[0] + (percent[1] - percent[0]) * place:.0f}{' %' if place == 1 else ''}"
            ]
            for place in (0, 0.25, 0.5, 0.75, 1)
        ],
        [h.path({"class": f"band {side}", "d": _band(sides[side], axis)}) for side in SIDES if side in sides],
        [_line(side, _mean(sides[side], axis)) for side in SIDES if side in sides],
        [_dot(name, side) for side in SIDES if side in sides],
    ]


def line_key(side: str) -> h.Renderable:
    """How the curve of a side is drawn, for a legend."""
    return svg(box=(0, 0, 32, 8), css="chart key")[_line(side, "M0 4L32 4")]


def _line(side: str, path: str) -> h.Node:
    """A line that the one of the other side, which may be in the same place, does not hide.

    Left is a wide line. Right is a narrow dashed one on it, parted from it by an edge, so both are seen in gray too.
    """
    return [side == "right" and h.path({"class": "edge", "d": path}), h.path({"class": f"mean {side}", "d": path})]


def _along(share: float) -> float:
    return CHART.left + (CHART.right - CHART.left) * share


def _stance(length: float, percent: tuple[int, int], *, at_top: bool) -> h.Node:
    width = _along(min(1.0, 100 * length / (percent[1] - percent[0]))) - CHART.left
    height = CHART.bottom - CHART.top
    return h.fragment[
        h.rect(".stance", x=f"{CHART.left}", y=f"{CHART.top}", width=f"{width:.1f}", height=f"{height}"),
        h.text(".stance-name", x=f"{CHART.left + 4}", y=f"{CHART.top + 13 if at_top else CHART.bottom - 5}")[
            "on the ground"
        ],
    ]


def _reach_bottom(curves: Iterable[Curve], axis: Axis) -> bool:
    """Whether a curve runs where the name of the stance stands: over the first quarter, at the bottom."""
    return any(axis.y(value) > CHART.bottom - 20 for curve in curves for value in curve.mean[:30])


def _tick(axis: Axis, value: int) -> h.Node:
    y = f"{axis.y(value):.1f}"
    return h.fragment[
        h.line(class_="zero" if value == 0 else "grid", x1=f"{CHART.left}", x2=f"{CHART.right}", y1=y, y2=y),
        h.text(x=f"{CHART.left - 5}", y=f"{axis.y(value) + 4:.1f}", text_anchor="end")[f"{value}"],
    ]


def _dot(name: str, side: str) -> h.Node:
    marked = {"data-dot": f"{name} {side}", "class": side}
    if side == "left":
        return h.circle({**marked, "r": "4", "cx": "-9", "cy": "-9"})
    return h.rect({**marked, "width": "7", "height": "7", "x": "-9", "y": "-9"})


def _mean(curve: Curve, axis: Axis) -> str:
    return _path([(_along(place / 100), axis.y(value)) for place, value in enumerate(curve.mean)])


def _band(curve: Curve, axis: Axis) -> str:
    edges = list(zip(curve.mean, curve.deviation, strict=True))
    upper = [(_along(place / 100), axis.y(mean + deviation)) for place, (mean, deviation) in enumerate(edges)]
    lower = [(_along(place / 100), axis.y(mean - deviation)) for place, (mean, deviation) in enumerate(edges)]
    return f"{_path([*upper[::2], *reversed(lower[::2])])}Z"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
