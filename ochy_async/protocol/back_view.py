"""The back view: its request, its results and its calculated data.

The shapes are those of the vendor's documented sample. One leg may be missing, and so may everything but the pronation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Final

from attrs import frozen

from ..errors import Problem
from ..field_docs import documented
from .answer import Answer, answer_class
from .assessment import AnalysisResults, Assessment, CalculatedData, Ranges
from .request import AnalysisRequest, form_flag
from .text_summary import LINES, aligned_rows, display_text, format_score

__all__ = [
    "MEASURES",
    "BackView",
    "BackViewCalculated",
    "BackViewContent",
    "BackViewResults",
    "GaitCycle",
    "LegAssessment",
    "Legs",
    "measured_paths",
]


@answer_class
class LegAssessment(Assessment):
    """One leg's assessment. Source: documented."""

    range_bad: Ranges | None = None


@answer_class
class Legs(Answer):
    """Both legs. Whether one may be missing is not documented, so either may be None."""

    left: LegAssessment | None = None
    right: LegAssessment | None = None

    @property
    def sides(self) -> Mapping[str, LegAssessment]:
        """The legs that were sent, by side."""
        return {side: leg for side, leg in (("left", self.left), ("right", self.right)) if leg is not None}

    def _summary(self) -> Iterator[str]:
        yield "legs"
        yield from aligned_rows((side, *leg.described()) for side, leg in self.sides.items())


@answer_class
class BackViewContent(Answer):
    """The assessed parts of a back view. With `full_body=False` only the pronation is expected."""

    pronation: Legs
    knee_adduction: Legs | None = None
    pelvic_drop: Legs | None = None


@answer_class
class BackViewAnalysis(Answer):
    """The `biomechanical_analysis` of a back view."""

    analysis_content: BackViewContent
    total_score: float


@answer_class
class BackViewResults(AnalysisResults):
    """The results of a back view analysis. Source: documented."""

    view = "back_view"

    biomechanical_analysis: BackViewAnalysis

    @property
    def total_score(self) -> float:
        """0 to 1, higher is better."""
        return self.biomechanical_analysis.total_score

    @property
    def pronation(self) -> Legs:
        """How far each foot rolls inward."""
        return self.biomechanical_analysis.analysis_content.pronation

    @property
    def knee_adduction(self) -> Legs | None:
        """How far each knee falls inward; None if it was not sent, or empty."""
        return _present(self.biomechanical_analysis.analysis_content.knee_adduction)

    @property
    def pelvic_drop(self) -> Legs | None:
        """How far the pelvis drops on each side; None if it was not sent, or empty."""
        return _present(self.biomechanical_analysis.analysis_content.pelvic_drop)

    @property
    def parts(self) -> Mapping[str, Legs]:
        """The assessed parts that were sent, by name."""
        found = {name: getattr(self, name) for name in _PARTS}
        return {name: legs for name, legs in found.items() if legs is not None}

    def assessments(self) -> Iterator[tuple[str, LegAssessment]]:
        """Each leg of each part, with its name in words."""
        for name, legs in self.parts.items():
            yield from ((f"{name.replace('_', ' ')}, {side}", leg) for side, leg in legs.sides.items())

    def _summary(self) -> Iterator[str]:
        yield f"back view {display_text(self.analysis_id)}: total score {format_score(self.total_score)}"
        yield from aligned_rows((name, *leg.described()) for name, leg in self.assessments())


_PARTS: Final = ("pronation", "knee_adduction", "pelvic_drop")


def _present(legs: Legs | None) -> Legs | None:
    return legs if legs is not None and legs.raw else None


@answer_class
class GaitCycle(Answer):
    """The gait cycle of a back view: stance means per leg and step-by-step data.

    The names are documented; the keys below them, their nesting and their signs are not. `raw` holds everything as
    it was sent.
    """

    layout_known = False

    pronation: Any = None
    knee_adduction: Any = None
    pelvic_drop: Any = None


@answer_class
class BackViewCalculated(CalculatedData):
    """The calculated data of a back view. Source: `gait_cycle` documented by name."""

    view = "back_view"
    angles: ClassVar[re.Pattern[str]] = re.compile(r"gait_cycle_(.*_)?(pronation|knee_adduction|pelvic_drop)(_|$)")

    gait_cycle: GaitCycle | None = None
    total_score: float | None = None
    """0 to 1, higher is better (inferred from the side view)."""

    def described(self) -> Iterator[tuple[str, str]]:
        """All numbers, named by their path in the JSON, because the layout is not documented."""
        return _leaves({} if self.gait_cycle is None else self.gait_cycle.raw)

    def _summary(self) -> Iterator[str]:
        total = "" if self.total_score is None else f": total score {format_score(self.total_score)}"
        yield f"calculated data of a back view{total}"
        yield from aligned_rows(islice(self.described(), LINES))


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each, (*path, name))
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield display_text(" ".join((*path, name)).replace("_", " ")), f"{each:g}"


_LEGS: Final = tuple((part, side) for part in _PARTS for side in ("left", "right"))
MEASURES: Final = {f"{part}_{side}_score": f"results.{part}.{side}.score_number" for part, side in _LEGS}
"""The columns that a back view fills, and the path of attributes to each: scores from 0 to 1."""


def measured_paths(_: BackViewCalculated | None) -> frozenset[str]:
    """The JSON paths whose numbers are in `MEASURES`."""
    return frozenset(f"analysis_content.{part}.{side}.score_number" for part, side in _LEGS)


@documented
@frozen(kw_only=True)
class BackView(AnalysisRequest[BackViewResults, BackViewCalculated]):
    """Requests an analysis from behind. The clip is in portrait format, on a treadmill or not."""

    view = "back_view"
    results_type: ClassVar[type[BackViewResults]] = BackViewResults
    calculated_type: ClassVar[type[BackViewCalculated]] = BackViewCalculated

    full_body: bool = True
    """False requests the pronation only."""

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The form fields of the start, in the vendor's spelling."""
        return (*super().fields(), ("full_body", form_flag(self.full_body)))

    def _problems(self) -> Iterator[Problem]:
        yield from super()._problems()
        if not isinstance(self.full_body, bool):
            yield Problem("full_body", "must be True or False")
