"""Values on scales: in the folder and on a reference band, on the vendor's ranges, left beside right.

Invariant: pure. Numbers beyond a scale end at its edge; the texts beside a drawing say the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import htpy as h

from ..protocol.assessment import Ranges
from .reference import Band
from .statistics import Quartiles
from .svg import svg, within

__all__ = ["number_scale", "pair_scale", "range_scale"]


def number_scale(value: float, quartiles: Quartiles | None, band: Band | None) -> tuple[h.Renderable, float, float]:
    """A value, where it lies in the folder and on a reference band; and from where to where the scale goes.

    A dot is the value, a box the middle half of the folder, a line its median, and a strip below them the band.
    """
    low, high = _number_domain(value, quartiles, band)

    def at(number: float) -> float:
        return 6 + 188 * within((number - low) / ((high - low) or 1.0))

    drawing = svg(box=(0, 0, 200, 16 if band is None else 22), css="scale")[
        h.line(".rail", x1="6", x2="194", y1="8", y2="8"),
        quartiles is not None
        and h.fragment[
            _strip("box", at(quartiles.first), at(quartiles.third), 3, 10),
            h.line(".median", x1=f"{at(quartiles.median):.1f}", x2=f"{at(quartiles.median):.1f}", y1="1", y2="15"),
        ],
        band is not None and _strip("reference", at(band.low), at(band.high), 17, 4),
        h.circle(".dot", cx=f"{at(value):.1f}", cy="8", r="5"),
    ]
    return drawing, low, high


def _strip(css: str, start: float, end: float, y: int, height: int) -> h.Node:
    return h.rect(class_=css, x=f"{start:.1f}", y=f"{y}", height=f"{height}", width=f"{max(1.0, end - start):.1f}")


def _number_domain(value: float, quartiles: Quartiles | None, band: Band | None) -> tuple[float, float]:
    """All that is shown; beyond the ends of a band there is a margin, so that they are seen as ends."""
    shown = [value] if quartiles is None else [value, quartiles.low, quartiles.high]
    if band is None:
        return min(shown), max(shown)
    shown += [edge for edge in (band.low, band.high) if math.isfinite(edge)]
    margin = 0.1 * (max(shown) - min(shown))
    return min(shown) - margin, max(shown) + margin


def range_scale(ranges: Mapping[str, Ranges], values: Mapping[str, float]) -> h.Renderable:
    """The values of `left` and `right` on the vendor's ranges, which are drawn in their order."""
    low, high = _domain(ranges, values)

    def at(number: float) -> float:
        return 6 + 288 * within((number - low) / ((high - low) or 1.0))

    return svg(box=(0, 0, 300, 38), css="ranges")[
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

    return svg(box=(0, 0, 200, 16), css="scale")[
        h.line(".rail", x1="4", x2="196", y1="8", y2="8"),
        h.line(".median", x1="100", x2="100", y1="3", y2="13"),
        _pair({"left": at(left), "right": at(right)}, 8),
    ]


def _pair(places: Mapping[str, float], y: int) -> Iterable[h.Node]:
    """A circle for the left side, a square for the right one, small enough to lie in it, and a line between them."""
    if len(places) > 1:
        yield h.line(".between", x1=f"{places['left']:.1f}", x2=f"{places['right']:.1f}", y1=f"{y}", y2=f"{y}")
    if "left" in places:
        yield h.circle(".left", cx=f"{places['left']:.1f}", cy=f"{y}", r="6.5")
    if "right" in places:
        yield h.rect(".right", x=f"{places['right'] - 3.5:.1f}", y=f"{y - 3.5:g}", width="7", height="7")
