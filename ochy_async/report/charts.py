"""The drawings of a report as SVG elements: gauges, curves, scales, figures.

Invariant: pure. A drawing of what is missing is empty, numbers outside a scale end at its edge, and each drawing has a
text for screen readers or is hidden from them because a text beside it says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import htpy as h

from ..gait.curves import Curve
from ..protocol.assessment import Ranges
from .analyses import rounded
from .motion import LIMBS, RunnerMotion
from .statistics import Quartiles

__all__ = [
    "CHART",
    "FIGURE_HEIGHT",
    "Axis",
    "axis_of",
    "bar",
    "curve_chart",
    "figure",
    "figure_box",
    "gauge",
    "histogram",
    "pair_scale",
    "quartile_scale",
    "range_scale",
    "sparkline",
    "still_figures",
]

_HIDDEN: Final = {"aria-hidden": "true", "focusable": "false"}
_SIDES: Final = ("left", "right")
"""In the order in which they are drawn: the gaps of the dashed line show the other one."""


def _svg(*, box: tuple[float, float, float, float], css: str, label: str | None = None) -> h.Element:
    """An SVG element with a view box. Without a label it is hidden from screen readers."""
    access = _HIDDEN if label is None else {"role": "img", "aria-label": label}
    return h.svg({"viewBox": " ".join(f"{each:g}" for each in box), "class": css, **access})


# --- single numbers ---------------------------------------------------------------------------------


def gauge(score: float | None, caption: str) -> h.Renderable:
    """A score from 0 to 1 as an arc, with its number of 100."""
    arc = {"d": "M 25.25 94.75 A 49 49 0 1 1 94.75 94.75", "pathLength": "100"}
    shown = [h.path({**arc, "class": "track"})]
    if score is not None and score > 0:
        shown.append(h.path({**arc, "class": "value", "stroke-dasharray": f"{100 * _share(score):.1f} 200"}))
    number, unit = _of_100(score)
    return _svg(box=(0, 0, 120, 124), css="gauge", label=f"{caption}: {number} {unit}")[
        shown,
        h.text(".number", x="60", y="70", text_anchor="middle")[number],
        h.text(".unit", x="60", y="88", text_anchor="middle")[unit],
        h.text(".unit", x="60", y="118", text_anchor="middle")[caption],
    ]


def _of_100(score: float | None) -> tuple[str, str]:
    return (rounded(None if score is None else 100 * score), "of 100" if score is not None else "no score")


def bar(score: float | None) -> h.Renderable:
    """A score from 0 to 1 as a bar; the number stands beside it."""
    return _svg(box=(0, 0, 100, 6), css="bar")[
        h.rect(".track", width="100", height="6", rx="3"),
        score is not None and h.rect(".value", width=f"{100 * _share(score):.1f}", height="6", rx="3"),
    ]


def sparkline(scores: Sequence[float], low: float, high: float) -> h.Renderable:
    """Scores in their order, on a scale from `low` to `high`."""
    step, span = 92 / max(1, len(scores) - 1), (high - low) or 1.0
    points = [(4 + step * place, 28 - 24 * _share((score - low) / span)) for place, score in enumerate(scores)]
    return _svg(box=(0, 0, 100, 32), css="spark")[
        h.polyline(points=_points(points)),
        h.circle(cx=f"{points[-1][0]:.1f}", cy=f"{points[-1][1]:.1f}", r="3"),
    ]


def histogram(scores: Sequence[float]) -> h.Renderable:
    """How many scores are in each ten of 100."""
    counts = [0] * 10
    for score in scores:
        counts[min(9, int(10 * _share(score)))] += 1
    most = max(counts) or 1
    told = ", ".join(f"{count} from {10 * ten} to {10 * ten + 10}" for ten, count in enumerate(counts) if count)
    return _svg(box=(0, 0, 440, 150), css="histogram", label=f"Total scores: {told or 'none'}")[
        [
            count
            and h.g[
                h.rect(
                    x=f"{22 + 40 * ten}",
                    y=f"{125 - 100 * count / most:.1f}",
                    width="36",
                    rx="3",
                    height=f"{100 * count / most:.1f}",
                ),
                h.text(x=f"{40 + 40 * ten}", y=f"{119 - 100 * count / most:.1f}", text_anchor="middle")[f"{count:,}"],
            ]
            for ten, count in enumerate(counts)
        ],
        [h.text(x=f"{20 + 40 * ten}", y="143", text_anchor="middle")[f"{10 * ten}"] for ten in range(11)],
    ]


# --- scales -----------------------------------------------------------------------------------------


def quartile_scale(value: float, quartiles: Quartiles) -> h.Renderable:
    """A value among those of the folder: a box for the middle half, a line for the median, a dot for the value."""
    low, span = quartiles.low, quartiles.high - quartiles.low

    def at(number: float) -> float:
        return 4 + 192 * _share((number - low) / span)

    return _svg(box=(0, 0, 200, 16), css="scale")[
        h.line(".rail", x1="4", x2="196", y1="8", y2="8"),
        h.rect(
            ".box",
            x=f"{at(quartiles.first):.1f}",
            y="3",
            height="10",
            width=f"{max(1.0, at(quartiles.third) - at(quartiles.first)):.1f}",
        ),
        h.line(".median", x1=f"{at(quartiles.median):.1f}", x2=f"{at(quartiles.median):.1f}", y1="1", y2="15"),
        h.circle(".dot", cx=f"{at(value):.1f}", cy="8", r="5"),
    ]


def range_scale(ranges: Mapping[str, Ranges], values: Mapping[str, float]) -> h.Renderable:
    """The values of `left` and `right` on the vendor's ranges, which are drawn in their order."""
    low, high = _domain(ranges, values)

    def at(number: float) -> float:
        return 6 + 288 * _share((number - low) / ((high - low) or 1.0))

    return _svg(box=(0, 0, 300, 38), css="ranges")[
        [
            [
                h.rect(f".{name}", x=f"{at(start):.1f}", y="4", height="16", width=f"{at(end) - at(start):.1f}")
                for start, end in each.intervals
            ]
            for name, each in ranges.items()
        ],
        [
            h.text(x=f"{(at(each.intervals[0][0]) + at(each.intervals[0][1])) / 2:.1f}", y="34", text_anchor="middle")[
                name
            ]
            for name, each in ranges.items()
            if at(each.intervals[0][1]) - at(each.intervals[0][0]) > 26
        ],
        _pair({side: at(value) for side, value in values.items()}, 12),
    ]


def _domain(ranges: Mapping[str, Ranges], values: Mapping[str, float]) -> tuple[float, float]:
    """From where to where a scale goes: a bad range, which may be long, is shown as far as values are in it."""
    known = [each for name, each in ranges.items() if name != "bad"] or [*ranges.values()]
    low, high = min(each.low for each in known), max(each.high for each in known)
    margin = 0.4 * (high - low) if "bad" in ranges else 0.0
    bad = ranges.get("bad")
    starts = [low - margin if bad and bad.low < low else low, *values.values()]
    ends = [high + margin if bad and bad.high > high else high, *values.values()]
    return min(starts), max(ends)


def pair_scale(left: float, right: float, half: float) -> h.Renderable:
    """Left and right around their mean, on a line that spans twice `half`."""
    middle = (left + right) / 2

    def at(value: float) -> float:
        return 100 + 94 * max(-1.0, min(1.0, (value - middle) / half))

    return _svg(box=(0, 0, 200, 16), css="scale")[
        h.line(".rail", x1="4", x2="196", y1="8", y2="8"),
        h.line(".median", x1="100", x2="100", y1="3", y2="13"),
        _pair({"left": at(left), "right": at(right)}, 8),
    ]


def _pair(places: Mapping[str, float], y: int) -> Iterable[h.Node]:
    """A circle for the left side, a square for the right one, and a line between them."""
    if len(places) > 1:
        yield h.line(".between", x1=f"{places['left']:.1f}", x2=f"{places['right']:.1f}", y1=f"{y}", y2=f"{y}")
    if "left" in places:
        yield h.circle(".left", cx=f"{places['left']:.1f}", cy=f"{y}", r="5")
    if "right" in places:
        yield h.rect(".right", x=f"{places['right'] - 4.5:.1f}", y=f"{y - 4.5:g}", width="9", height="9")


# --- curves -----------------------------------------------------------------------------------------


class Chart:
    """The measures of a chart of curves, in units of its view box."""

    width, height = 320, 190
    left, right, top, bottom = 34, 312, 10, 166


CHART: Final = Chart()


class Axis:
    """The vertical axis of a chart: which numbers it shows, and where they are."""

    def __init__(self, low: float, high: float) -> None:
        span = max(high - low, 5.0)
        self.step = next(step for step in (2, 5, 10, 20, 25, 50, 100, 500) if span / step <= 5 or step == 500)
        self.low = math.floor(low / self.step) * self.step
        self.high = max(math.ceil(high / self.step) * self.step, self.low + self.step)

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
    return _svg(box=(0, 0, CHART.width, CHART.height), css="chart", label=f"{title}: {told}")[
        stance is not None and _stance(stance, percent),
        [_tick(axis, value) for value in axis.ticks],
        [
            h.text(x=f"{_along(place):.0f}", y="182", text_anchor="end" if place == 1 else "middle")[
                f"{percent[0] + (percent[1] - percent[0]) * place:.0f}{' %' if place == 1 else ''}"
            ]
            for place in (0, 0.25, 0.5, 0.75, 1)
        ],
        [h.path({"class": f"band {side}", "d": _band(sides[side], axis)}) for side in _SIDES if side in sides],
        [h.path({"class": f"mean {side}", "d": _mean(sides[side], axis)}) for side in _SIDES if side in sides],
        [_dot(name, side) for side in _SIDES if side in sides],
    ]


def _along(share: float) -> float:
    return CHART.left + (CHART.right - CHART.left) * share


def _stance(length: float, percent: tuple[int, int]) -> h.Node:
    width = _along(min(1.0, 100 * length / (percent[1] - percent[0]))) - CHART.left
    height = CHART.bottom - CHART.top
    return h.fragment[
        h.rect(".stance", x=f"{CHART.left}", y=f"{CHART.top}", width=f"{width:.1f}", height=f"{height}"),
        h.text(".stance-name", x=f"{CHART.left + 4}", y=f"{CHART.bottom - 5}")["on the ground"],
    ]


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


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


# --- figures ----------------------------------------------------------------------------------------

FIGURE_HEIGHT: Final = 1000
"""The height of the runner in units of the figure's view box."""
_MARGIN: Final = 110


def figure_box(motion: RunnerMotion) -> tuple[int, int, int, int]:
    """The view box in which the figure has room throughout the stride."""
    across = [round(FIGURE_HEIGHT * point.real) for path in motion.frames.values() for point in path]
    left, right = min(across, default=0) - _MARGIN, max(across, default=0) + _MARGIN
    return left, -_MARGIN, right - left, FIGURE_HEIGHT + 2 * _MARGIN


def figure(motion: RunnerMotion, css: str, label: str | None) -> h.Renderable:
    """The runner at the beginning of the stride; the page's program moves the parts that name their joints."""
    box = figure_box(motion)
    return _svg(box=box, css=css, label=label)[_ground(box[0], box[0] + box[2]), _body(motion, 0, moving=True)]


def still_figures(motion: RunnerMotion, percents: Sequence[int]) -> h.Renderable:
    """The runner at some moments of the stride, side by side."""
    left, top, width, height = figure_box(motion)
    names = {0: f"0 %: {motion.leader} {'stance' if motion.back else 'foot lands'}"}
    return _svg(box=(0, top, width * len(percents), height + 70), css="stills")[
        _ground(0, width * len(percents)),
        [
            h.g(transform=f"translate({place * width - left} 0)")[
                _body(motion, percent, moving=False),
                h.text(x=f"{left + width / 2:.0f}", y=f"{FIGURE_HEIGHT + 110}", text_anchor="middle")[
                    names.get(percent, f"{percent} %")
                ],
            ]
            for place, percent in enumerate(percents)
        ],
    ]


def _ground(left: float, right: float) -> h.Node:
    y = f"{FIGURE_HEIGHT + 14}"
    return h.line(".ground", x1=f"{left}", x2=f"{right}", y1=y, y2=y)


def _body(motion: RunnerMotion, frame: int, *, moving: bool) -> Iterable[h.Node]:
    """The far side, the trunk and the head, then the near side."""
    limbs = [limb for limb in LIMBS if all(joint in motion.frames for joint in limb[2])]
    near = motion.near or "right"
    yield [_limb(motion, frame, *limb, moving=moving) for limb in limbs if limb[1] != near]
    trunk = ("left_shoulder", "right_shoulder", "right_hip", "left_hip") if motion.back else ("shoulders", "hips")
    if all(joint in motion.frames for joint in trunk):
        yield _limb(motion, frame, "trunk", "torso" if motion.back else "", trunk, moving=moving)
    if "head" in motion.frames:
        x, y = _place(motion.frames["head"][frame])
        yield h.circle({"class": "head", "r": "62", "cx": f"{x}", "cy": f"{y}", "data-joints": moving and "head"})
    yield [_limb(motion, frame, *limb, moving=moving) for limb in limbs if limb[1] == near]


def _limb(motion: RunnerMotion, frame: int, part: str, side: str, joints: Sequence[str], *, moving: bool) -> h.Node:
    places = [_place(motion.frames[joint][frame]) for joint in joints]
    far = "far" if motion.near and side in _SIDES and side != motion.near else ""
    marked = {"data-joints": moving and " ".join(joints)}
    return h.polyline({"class": [part, side, far], "points": " ".join(f"{x},{y}" for x, y in places), **marked})


def _place(point: complex) -> tuple[int, int]:
    return round(FIGURE_HEIGHT * point.real), round(FIGURE_HEIGHT * (1 - point.imag))


def _share(value: float) -> float:
    return max(0.0, min(1.0, value))
