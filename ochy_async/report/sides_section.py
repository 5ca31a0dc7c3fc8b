"""The sections that compare the sides of a runner: by Ochy on Ochy's ranges, and read off the landmarks.

Invariant: pure. The two are never in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any, Final

import htpy as h

from ..gait.curves import Curve
from ..gait.joints import SIDES
from ..protocol.assessment import Ranges
from ..protocol.back_view import BackViewResults, LegAssessment, Legs
from .analyses import ReportedAnalysis, finite, plain, rounded
from .document import Source, section, table
from .motion import RunnerMotion
from .scales import pair_scale, range_scale

__all__ = ["left_and_right_section", "ranges_section"]

_SHAPES: Final = "Circle: left. Square: right."


def ranges_section(analysis: ReportedAnalysis) -> h.Node:
    """The vendor's means of the stance of a back view on the vendor's ranges. None if there are none."""
    parts = analysis.results.parts if isinstance(analysis.results, BackViewResults) else {}
    rows = [row for name, legs in parts.items() for row in _range_rows(name, legs, analysis)]
    note = f"Means of the stance on Ochy's own ranges, in degrees (the unit is inferred). {_SHAPES}"
    return section("Pronation, knee and pelvis", Source.OCHY, note, _pair_table(rows)) if rows else None


def _range_rows(part: str, legs: Legs, analysis: ReportedAnalysis) -> Iterator[h.Node]:
    """A row for both legs, or one for each if their ranges differ."""
    title, measures = _title(part, legs, analysis), analysis.measures
    ranges = {side: _ranges_of(leg) for side, leg in legs.sides.items()}
    known = {side: value for side in ranges if (value := _stance_mean(measures, part, side)) is not None}
    groups = {title: known} if len({*map(str, ranges.values())}) == 1 else {}
    for name, values in (groups or {f"{title}, {side}": {side: known[side]} for side in known}).items():
        drawn = next((ranges[side] for side in values), {})
        if drawn:
            yield _pair_row(name, values, range_scale(drawn, values))


def _title(part: str, legs: Legs, analysis: ReportedAnalysis) -> str:
    """The title as the table of all parts has it if that is English, else the part's name."""
    titles = (leg.texts.title for leg in legs.sides.values() if analysis.in_english and leg.texts and leg.texts.title)
    return next(map(plain, titles), part.replace("_", " ").capitalize())


def _ranges_of(leg: LegAssessment) -> dict[str, Ranges]:
    """In the order in which they are drawn, one over another."""
    named = {"okay": leg.range_okay, "bad": leg.range_bad, "good": leg.range_good}
    return {name: each for name, each in named.items() if each is not None}


def _stance_mean(measures: Mapping[str, Any], part: str, side: str) -> float | None:
    """The mean of one leg. The layout is not documented, so it must be the only number that can be meant."""
    named = {name: value for name, value in measures.items() if part in name and side in name and "score" not in name}
    named = {name: value for name, value in named.items() if finite(value) is not None}
    means = {name: value for name, value in named.items() if "mean" in name} or named
    return finite(next(iter(means.values()))) if len(means) == 1 else None


def left_and_right_section(motion: RunnerMotion) -> h.Node:
    """Angles of both sides, of which one number says much. None if no angle is known of both."""
    compared = list(_compared(motion.curves))
    if not compared:
        return None
    half = max(5.0, *(abs(left - right) for _, left, right in compared))
    rows = [
        _pair_row(title, {"left": left, "right": right}, pair_scale(left, right, half))
        for title, left, right in compared
    ]
    note = f"Each line spans {2 * half:.0f} degrees around the mean of both sides. {_SHAPES}"
    return section("Left and right", Source.LANDMARKS, note, _pair_table(rows))


_COMPARED: Final = (
    ("knee", "Knee flexion at touchdown", lambda curve: curve.at_start),
    ("knee", "Knee flexion, highest", lambda curve: curve.peak),
    ("hip", "Hip flexion, highest", lambda curve: curve.peak),
    ("hip", "Hip flexion, lowest", lambda curve: curve.lowest),
    ("ankle", "Ankle dorsiflexion, highest", lambda curve: curve.peak),
    ("elbow", "Elbow flexion, mean", lambda curve: fmean(curve.mean)),
    ("pelvic_drop", "Pelvic drop, highest", lambda curve: curve.peak),
    ("knee_adduction", "Knee adduction, highest", lambda curve: curve.peak),
)


def _compared(curves: Mapping[str, Mapping[str, Curve]]) -> Iterator[tuple[str, float, float]]:
    for angle, title, value in _COMPARED:
        sides = curves.get(angle, {})
        if "left" in sides and "right" in sides:
            yield title, value(sides["left"]), value(sides["right"])


def _pair_table(rows: Iterable[h.Node]) -> h.Renderable:
    texts = ("Measure", "Where they lie")
    return table((*texts, "Left", "Right", "Difference"), rows, css="pairs", texts=texts)


def _pair_row(title: str, values: Mapping[str, float], scale: h.Node) -> h.Node:
    difference = abs(round(values["left"], 1) - round(values["right"], 1)) if len(values) > 1 else None  # as shown
    return h.tr[
        h.th(scope="row")[title],
        h.td[scale],
        [h.td(".n")[_degrees(values.get(side))] for side in SIDES],
        h.td(".n")[_degrees(difference)],
    ]


def _degrees(value: float | None) -> str:
    return rounded(value, 1) if value is None else f"{rounded(value, 1)}°"
