"""The side view: what is asked, what comes back, what is calculated.

Invariant: the vendor's documented sample is the shape; everything else is optional.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import field, frozen

from ..field_docs import documented
from .answer import Answer, answer_class, json_keys
from .assessment import AnalysisResults, Assessment, CalculatedData, RunningStyle
from .request import AnalysisRequest
from .text_summary import aligned_rows, display_text, format_number, format_pace, format_score

__all__ = [
    "FootAssessment",
    "FootStrike",
    "JointAngles",
    "Metrics",
    "Overstride",
    "SideView",
    "SideViewCalculated",
    "SideViewContent",
    "SideViewResults",
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
        """The leg's way behind the body."""
        return self.biomechanical_analysis.analysis_content.back_cycle

    @property
    def foot(self) -> FootAssessment:
        """The foot's landing, with its strike pattern."""
        return self.biomechanical_analysis.analysis_content.foot

    @property
    def forward_cycle(self) -> Assessment:
        """The leg's way before the body."""
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
        """The six assessed parts by their names, from head to foot."""
        content = self.biomechanical_analysis.analysis_content
        return {name: getattr(content, name) for name in _FROM_HEAD_TO_FOOT}

    @property
    def running_styles(self) -> tuple[RunningStyle, ...]:
        """The running styles, most often one; empty where none were given."""
        return self.biomechanical_analysis.running_styles or ()

    def _summary(self) -> Iterator[str]:
        yield f"side view {display_text(self.analysis_id)}: total score {format_score(self.total_score)}"
        yield from aligned_rows((name.replace("_", " "), *part.described()) for name, part in self.parts.items())
        yield f"  foot strike: {display_text(self.foot.foot_strike_pattern)}"
        for style in self.running_styles[:3]:
            yield f"  {style}"


_FROM_HEAD_TO_FOOT: Final = ("head", "trunk", "arm", "forward_cycle", "back_cycle", "foot")


@answer_class
class Metrics(Answer):
    """The gait metrics of a side view. Source: keys and units documented; each may be missing.

    The vendor's own sample is not self-consistent (contact and flight do not add up to the step
    time that the cadence gives), so nothing here is checked against anything else.
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
    """Promised by the vendor without key or scale; both key names are guesses. Use `duty_factor`."""

    @property
    def pace(self) -> timedelta | None:
        """Time per kilometer, derived from `speed`; None without a speed."""
        return timedelta(seconds=1000 / self.speed) if self.speed and self.speed > 0 else None

    @property
    def duty_factor(self) -> float | None:
        """The fraction of a stride during which one foot is on the ground, 0 to 1.

        As sent; anything above 1 is read as per cent (inferred).
        """
        sent = self.duty_factor_as_sent
        return sent / 100 if sent is not None and sent > 1 else sent

    def described(self) -> Iterator[tuple[str, str]]:
        """Each metric by name, in words with its unit; a dash for what was not sent."""
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
    """How far before the body the foot lands. Source: documented."""

    mean_angle: float | None = None
    """Degrees (the unit is inferred)."""
    score: str | None = None
    """Such as `score_good`; an open set."""

    def described(self) -> Iterator[tuple[str, str]]:
        """Each fact by name, in words with its unit; a dash for what was not sent."""
        yield "overstride, mean angle", format_number(self.mean_angle, "degrees", 1)
        yield "overstride, score", display_text(self.score)

    def _summary(self) -> Iterator[str]:
        yield "overstride"
        yield from aligned_rows(self.described())


@answer_class
class JointAngles(Answer):
    """Joint angles. The names are documented, the layout below them is not: JSON as it came."""

    layout_known = False

    ankle: Any = None
    knee: Any = None
    hip: Any = None
    shoulder: Any = None
    elbow: Any = None


@answer_class
class SideViewCalculated(CalculatedData):
    """The calculated data of a side view. Source: keys documented; each may be missing."""

    view = "side_view"

    metrics: Metrics | None = None
    overstride: Overstride | None = None
    foot_landing: Any = None
    """Rearfoot, midfoot or forefoot for each step; the layout is not documented: JSON as it came."""
    joint_angles: JointAngles | None = None
    running_styles: tuple[RunningStyle, ...] | None = None
    total_score: float | None = None
    """0 to 1, higher is better."""

    def described(self) -> Iterator[tuple[str, str]]:
        """Metrics and overstride by name, in words with their units; a dash for what was not sent."""
        yield from (self.metrics or Metrics()).described()
        if self.overstride is not None:
            yield from self.overstride.described()

    def _summary(self) -> Iterator[str]:
        yield f"calculated data of a side view: total score {format_score(self.total_score)}"
        yield from aligned_rows(self.described())


@documented
@frozen(kw_only=True)
class SideView(AnalysisRequest[SideViewResults, SideViewCalculated]):
    """Asks for an analysis from the side: landscape clip overground, portrait clip on a treadmill."""

    view = "side_view"
    results_type = SideViewResults
    calculated_type = SideViewCalculated
