"""Calculated data: the metrics and angles of a side view, the gait cycle of a back view.

Invariant: pure, and consistent with the results: the scores are equal, and the mean of all steps is the runner's value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .assessments import back_parts, side_assessment
from .biomechanics.measures import mean, side_measures
from .biomechanics.runner import SIDES, foot_strike_pattern
from .scores import SIDE_PARTS
from .seeded_random import bounded_normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .biomechanics.runner import Runner, Side

__all__ = ["back_view_calculated", "side_view_calculated"]

_STEPS = 6  # steps of each leg in step-by-step data


def side_view_calculated(runner: Runner) -> dict[str, Any]:
    """Metrics and angles of a side view. Contact + flight is the step time within 1 ms."""
    measures = side_measures(runner)
    results = side_assessment(measures, language="en")
    return {
        "metrics": _metrics(runner),
        "overstride": {
            "mean_angle": round(measures.overstride, 2),
            "score": f"score_{SIDE_PARTS['foot'].verdict(measures.overstride).name}",
        },
        "foot_landing": _foot_landing(runner),
        "joint_angles": measures.joint_angles,
        "running_styles": results["running_styles"],
        "total_score": results["total_score"],
    }


def back_view_calculated(runner: Runner, *, full_body: bool) -> dict[str, Any]:
    """Stance means and step-by-step data of a back view, degrees."""
    return {"gait_cycle": {side.name: _gait_cycle(runner, side, back_parts(full_body)) for side in SIDES}}


def _metrics(runner: Runner) -> dict[str, float]:
    return {
        "speed_meter_per_second": round(runner.speed, 3),
        "step_length_meter": round(runner.step_length, 3),
        "pace_min_per_km": _packed_pace(runner.speed),
        "step_frequency_steps_per_min": round(runner.cadence),
        "ground_contact_time_ms": round(runner.contact_time),
        "time_of_flight_ms": round(runner.flight_time),
        "duty_factor": round(runner.duty_factor, 3),
    }


def _packed_pace(speed: float) -> float:
    """Minutes per km as M.SSs: 7 min 51.1 s is 7.511.

    The tenth is rounded up: in the vendor's sample 2.123 m/s, which is 471.03 s, reads 7.511 and not 7.510.
    """
    tenths = math.ceil(round(10_000 / speed, 3))  # first to 3 digits: 330.0000001 s is 330.0 s
    minutes, rest = divmod(tenths, 600)
    return round(minutes + rest / 1000, 3)


def _foot_landing(runner: Runner) -> list[dict[str, Any]]:
    landings = {
        side.name: _step_values(side.leg(runner).strike_angle, 1.0, runner.seed, f"{side.name}_landing")
        for side in SIDES
    }
    return [
        {"step": 2 * step + number, "side": side, "landing": foot_strike_pattern(angles[step])}
        for step in range(_STEPS)
        for number, (side, angles) in enumerate(landings.items(), start=1)
    ]


def _gait_cycle(runner: Runner, side: Side, parts: Sequence[str]) -> dict[str, Any]:
    means = {part: getattr(side.leg(runner), part) for part in parts}
    steps = {part: _step_values(value, 0.3, runner.seed, f"{side.name}_{part}") for part, value in means.items()}
    return {
        "stance_mean": {part: round(value, 2) for part, value in means.items()},
        "steps": [
            {"step": step + 1, **{part: round(values[step], 2) for part, values in steps.items()}}
            for step in range(_STEPS)
        ],
    }


def _step_values(average: float, spread: float, seed: bytes, name: str) -> list[float]:
    """Values of successive steps whose mean is `average`."""
    deviations = [spread * bounded_normal(f"{name}_{step}", seed) for step in range(_STEPS)]
    shift = mean(deviations)
    return [average + deviation - shift for deviation in deviations]
