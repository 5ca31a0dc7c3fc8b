"""The side view: its request, its results and its calculated data.

The shapes are those of the vendor's documented sample; everything else is optional.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, ClassVar, Final, cast

from attrs import field, fields, frozen

from ..field_docs import documented
from .answer import Answer, answer_class, json_keys
from .assessment import AnalysisResults, Assessment, CalculatedData, RunningStyle
from .request import AnalysisRequest
from .text_summary import aligned_rows, display_text, format_number, format_pace, format_score

__all__ = [
    "MEASURES",
    "FootAssessment",
    "FootStrike",
    "JointAngles",
    "Metrics",
    "Overstride",
    "SideView",
    "SideViewCalculated",
    "SideViewContent",
    "SideViewResults",
    "measured_paths",
]


class FootStrike(enum.StrEnum):
    """Which part of the foot lands first. An open set: unknown values stay text."""

    REARFOOT = "rearfoot"
    """Inferred."""
    MIDFOOT = "midfoot"
    """Seen in the vendor's sample."""
    FOREFOOT = "forefoot"
    """Inferred."""


@answer_class
class FootAssessment(Assessment):
    """The assessment of the foot. Source: documented."""

    foot_strike_pattern: FootStrike | str | None = None


@answer_class
class SideViewContent(Answer):
    """The six assessed parts of a side view. Source: documented, all six required."""

    arm: Assessment
    back_cycle: Assessment
    foot: FootAssessment
    forward_cycle: Assessment
    head: Assessment
    trunk: Assessment


@answer_class
class SideViewAnalysis(Answer):
    """The `biomechanical_analysis` of a side view."""

    analysis_content: SideViewContent
    total_score: float
    running_styles: tuple[RunningStyle, ...] | None = None


@answer_class
class SideViewResults(AnalysisResults):
    """The results of a side view analysis. Source: documented."""

    view = "side_view"

    biomechanical_analysis: SideViewAnalysis

    @property
    def total_score(self) -> float:
        """0 to 1, higher is better."""
        return self.biomechanical_analysis.total_score

    @property
    def arm(self) -> Assessment:
        """The arms."""
        return self.biomechanical_analysis.analysis_content.arm

    @property
    def back_cycle(self) -> Assessment:
        """The leg behind the body. The vendor's sample is titled "Back knee angle at foot strike"."""
        return self.biomechanical_analysis.analysis_content.back_cycle

    @property
    def foot(self) -> FootAssessment:
        """The landing of the foot, with its strike pattern."""
        return self.biomechanical_analysis.analysis_content.foot

    @property
    def forward_cycle(self) -> Assessment:
        """The leg in front of the body."""
        return self.biomechanical_analysis.analysis_content.forward_cycle

    @property
    def head(self) -> Assessment:
        """The head."""
        return self.biomechanical_analysis.analysis_content.head

    @property
    def trunk(self) -> Assessment:
        """The trunk."""
        return self.biomechanical_analysis.analysis_content.trunk

    @property
    def parts(self) -> Mapping[str, Assessment]:
        """The six assessed parts by name, from head to foot."""
        content = self.biomechanical_analysis.analysis_content
        return {name: getattr(content, name) for name in _FROM_HEAD_TO_FOOT}

    @property
    def running_styles(self) -> tuple[RunningStyle, ...]:
        """The running styles, usually one; empty if none were sent."""
        return self.biomechanical_analysis.running_styles or ()

    @property
    def main_running_style(self) -> RunningStyle | None:
        """The running style with the largest share."""
        return max(self.running_styles, key=lambda style: style.share or 0.0, default=None)

    def assessments(self) -> Iterator[tuple[str, Assessment]]:
        """Each part, with its name in words."""
        return ((name.replace("_", " "), part) for name, part in self.parts.items())

    def highlights(self) -> Iterator[str]:
        """The foot strike pattern and the running styles."""
        yield f"foot strike: {display_text(self.foot.foot_strike_pattern)}"
        yield from map(str, self.running_styles)

    def _summary(self) -> Iterator[str]:
        yield f"side view {display_text(self.analysis_id)}: total score {format_score(self.total_score)}"
        yield from aligned_rows((name, *part.described()) for name, part in self.assessments())
        yield from (f"  {each}" for each in islice(self.highlights(), 4))


_FROM_HEAD_TO_FOOT: Final = ("head", "trunk", "arm", "forward_cycle", "back_cycle", "foot")


_SLOWEST: Final = 1000 / 86400
"""m/s. The time per kilometer of the smallest numbers that JSON can hold is more than a `timedelta` can."""


@answer_class
class Metrics(Answer):
    """The gait metrics of a side view. Source: keys and units are documented; each may be missing.

    The vendor's own sample is not self-consistent (ground contact and flight do not add up to the step time that
    the cadence implies), so no value is checked against another.
    """

    speed: float | None = field(default=None, metadata=json_keys("speed_meter_per_second"))
    """m/s."""
    step_length: float | None = field(default=None, metadata=json_keys("step_length_meter"))
    """m."""
    cadence: float | None = field(default=None, metadata=json_keys("step_frequency_steps_per_min"))
    """steps/min."""
    ground_contact_time: float | None = field(default=None, metadata=json_keys("ground_contact_time_ms"))
    """ms."""
    flight_time: float | None = field(default=None, metadata=json_keys("time_of_flight_ms"))
    """ms."""
    pace_min_per_km: float | None = None
    """Not decimal minutes: M.SSs packed into a number, 7.511 for 7 min 51.1 s (inferred). Use `pace`."""
    duty_factor_as_sent: float | None = field(default=None, metadata=json_keys("duty_factor", "duty_factor_percentage"))
    """Announced by the vendor without key or scale; both key names are guesses. Use `duty_factor`."""

    @property
    def pace(self) -> timedelta | None:
        """Time per kilometer, derived from `speed`; None without a speed, or if a kilometer takes longer than a day."""
        return timedelta(seconds=1000 / self.speed) if self.speed and self.speed > _SLOWEST else None

    @property
    def duty_factor(self) -> float | None:
        """The fraction of a stride during which one foot is on the ground, 0 to 1.

        As sent; a value above 1 is read as per cent (inferred).
        """
        sent = self.duty_factor_as_sent
        return sent / 100 if sent is not None and sent > 1 else sent

    def described(self) -> Iterator[tuple[str, str]]:
        """Each metric with its name, as text with its unit; a dash for a missing value."""
        yield "speed", format_number(self.speed, "m/s", 2)
        yield "pace", format_pace(self.pace)
        yield "cadence", format_number(self.cadence, "steps/min")
        yield "step length", format_number(self.step_length, "m", 2)
        yield "ground contact time", format_number(self.ground_contact_time, "ms")
        yield "flight time", format_number(self.flight_time, "ms")
        yield "duty factor", format_number(self.duty_factor, digits=2)

    def _summary(self) -> Iterator[str]:
        yield "metrics"
        yield from aligned_rows(self.described())


@answer_class
class Overstride(Answer):
    """How far in front of the body the foot lands. Source: documented."""

    mean_angle: float | None = None
    """Degrees (the unit is inferred)."""
    score: str | None = None
    """Such as `score_good`; an open set."""

    def described(self) -> Iterator[tuple[str, str]]:
        """Each value with its name, as text with its unit; a dash for a missing value."""
        yield "overstride, mean angle", format_number(self.mean_angle, "degrees", 1)
        yield "overstride, score", display_text(self.score)

    def _summary(self) -> Iterator[str]:
        yield "overstride"
        yield from aligned_rows(self.described())


@answer_class
class JointAngles(Answer):
    """Joint angles. The names are documented, the layout below them is not: each is JSON as it was sent."""

    layout_known = False

    ankle: Any = None
    knee: Any = None
    hip: Any = None
    shoulder: Any = None
    elbow: Any = None


@answer_class
class SideViewCalculated(CalculatedData):
    """The calculated data of a side view. Source: the keys are documented; each may be missing."""

    view = "side_view"
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "metrics.speed_meter_per_second": "m/s",
            "metrics.step_length_meter": "m",
            "metrics.pace_min_per_km": "M.SSs/km",
            "metrics.step_frequency_steps_per_min": "steps/min",
            "metrics.ground_contact_time_ms": "ms",
            "metrics.time_of_flight_ms": "ms",
            "overstride.mean_angle": "deg",
        }
    )
    angles: ClassVar[re.Pattern[str]] = re.compile(r"joint_angles_")

    metrics: Metrics | None = None
    overstride: Overstride | None = None
    foot_landing: Any = None
    """Rearfoot, midfoot or forefoot for each step. The layout is not documented: JSON as it was sent."""
    joint_angles: JointAngles | None = None
    running_styles: tuple[RunningStyle, ...] | None = None
    total_score: float | None = None
    """0 to 1, higher is better."""

    def described(self) -> Iterator[tuple[str, str]]:
        """Metrics and overstride with their names, as text with their units; a dash for a missing value."""
        yield from (self.metrics or Metrics()).described()
        if self.overstride is not None:
            yield from self.overstride.described()

    @property
    def landings(self) -> Mapping[str, int]:
        """How many steps landed on each part of the foot; empty if `foot_landing` names none.

        Every pattern name counts, at any depth, because the layout is not documented. A number under a pattern
        name is a count.
        """
        counts = Counter[str]()
        _count_landings(self.foot_landing, counts)
        return {pattern: counts[pattern] for pattern in _PATTERNS} if counts.total() else {}

    def _summary(self) -> Iterator[str]:
        yield f"calculated data of a side view: total score {format_score(self.total_score)}"
        yield from aligned_rows(self.described())


def _count_landings(value: Any, counts: Counter[str]) -> None:
    if isinstance(value, str) and value.lower() in _PATTERNS:
        counts[value.lower()] += 1
    elif isinstance(value, list | dict):
        for name, each in value.items() if isinstance(value, dict) else ((None, each) for each in value):
            if str(name).lower() in _PATTERNS and isinstance(each, int) and not isinstance(each, bool):
                counts[str(name).lower()] += max(0, min(each, MOST_STEPS))
            else:
                _count_landings(each, counts)


_PATTERNS: Final = tuple(each.value for each in FootStrike)
MOST_STEPS: Final = 1_000
"""A larger count is read as this one."""


MEASURES: Final = {
    "cadence_steps_per_min": "calculated.metrics.cadence",
    "speed_m_per_s": "calculated.metrics.speed",
    "pace_per_km": "calculated.metrics.pace",
    "step_length_m": "calculated.metrics.step_length",
    "ground_contact_time_ms": "calculated.metrics.ground_contact_time",
    "flight_time_ms": "calculated.metrics.flight_time",
    "duty_factor": "calculated.metrics.duty_factor",
    "overstride_angle_deg": "calculated.overstride.mean_angle",
    "overstride_score": "calculated.overstride.score",
    "foot_strike_pattern": "results.foot.foot_strike_pattern",
    **{f"landings_{pattern}": f"calculated.landings.{pattern}" for pattern in _PATTERNS},
    "running_style": "results.main_running_style.title",
    "running_style_share": "results.main_running_style.share",
    **{f"{part}_score": f"results.{part}.score_number" for part in sorted(_FROM_HEAD_TO_FOOT)},
}
"""The columns that a side view fills, and the path of attributes to each. Scores and shares are 0 to 1, the duty factor
is a fraction, a pace is written as MM:SS, landings are counts of steps."""

_METRIC_KEYS: Final = frozenset(
    f"metrics.{name}"
    for each in fields(cast("Any", Metrics))
    if each.name != "raw"
    for name in each.metadata.get("keys", (each.name,))
)
_SCORES: Final = frozenset(f"analysis_content.{part}.score_number" for part in _FROM_HEAD_TO_FOOT)


def measured_paths(calculated: SideViewCalculated | None) -> frozenset[str]:
    """The JSON paths whose numbers are in `MEASURES`; `foot_landing` only if its layout is understood."""
    landings = {"foot_landing"} if calculated is not None and calculated.landings else set[str]()
    return _METRIC_KEYS | _SCORES | {"overstride.mean_angle", "running_styles"} | landings


@documented
@frozen(kw_only=True)
class SideView(AnalysisRequest[SideViewResults, SideViewCalculated]):
    """Requests an analysis from the side. The clip is in landscape format overground, in portrait on a treadmill."""

    view = "side_view"
    results_type: ClassVar[type[SideViewResults]] = SideViewResults
    calculated_type: ClassVar[type[SideViewCalculated]] = SideViewCalculated
