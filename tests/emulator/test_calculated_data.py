"""The calculated data of a simulated runner are consistent with each other and with the results."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.biomechanics.geometry import inner_angle
from ochy_async.emulator.biomechanics.measures import side_measures
from ochy_async.emulator.biomechanics.motion import motion_of
from ochy_async.emulator.biomechanics.runner import Runner
from ochy_async.emulator.biomechanics.skeleton import pose_at
from ochy_async.emulator.calculated_data import back_view_calculated, side_view_calculated
from tests.support.simulated_runners import SIDES, any_runner, few_examples, make_runner, runners


@pytest.mark.parametrize(
    ("speed", "packed"), [(2.123, 7.511), (1000 / 330, 5.3), (1000 / 300, 5.0), (1000 / 299.95, 5.0), (4.0, 4.1)]
)
def test_pace_is_packed_as_minutes_and_seconds(speed: float, packed: float) -> None:
    """7 min 51.1 s per km is the number 7.511, as in the vendor's sample."""
    runner = attrs.evolve(make_runner(), speed=speed)
    assert side_view_calculated(runner)["metrics"]["pace_min_per_km"] == packed


@few_examples
@given(st.integers(2, 9), st.integers(0, 59))
def test_the_pace_is_the_requested_one(minutes: int, seconds: int) -> None:
    """The pace of a start is that of the calculated data."""
    metrics = side_view_calculated(make_runner(pace=f"{minutes:02}:{seconds:02}"))["metrics"]
    assert metrics["pace_min_per_km"] == pytest.approx(minutes + seconds / 100)


@few_examples
@given(runners)
def test_metrics_are_consistent_after_rounding(runner: Runner) -> None:
    """Contact + flight is the step time within 1 ms; speed / cadence is the step length within 1 cm."""
    metrics = side_view_calculated(runner)["metrics"]
    step = 60_000 / metrics["step_frequency_steps_per_min"]
    assert metrics["ground_contact_time_ms"] + metrics["time_of_flight_ms"] == pytest.approx(step, abs=1)
    assert metrics["speed_meter_per_second"] * step / 1000 == pytest.approx(metrics["step_length_meter"], abs=0.01)


@any_runner
def test_calculated_data_repeat_the_results(runner: Runner) -> None:
    """Total score, running style and overstride are equal in both."""
    results, calculated = side_view_results(runner, language="en"), side_view_calculated(runner)
    assert results["total_score"] == calculated["total_score"]
    assert results["running_styles"] == calculated["running_styles"]
    letters = {"score_good": "FootG", "score_okay": "FootO", "score_bad": "FootB"}
    key = results["analysis_content"]["foot"]["texts"]["search_key"]
    assert letters[calculated["overstride"]["score"]] == key


def test_joint_angles_are_inner_angles_of_both_sides() -> None:
    """Five joints, two sides, and no angle above 180 degrees."""
    angles = side_view_calculated(make_runner())["joint_angles"]
    assert set(angles) == {"ankle", "knee", "hip", "shoulder", "elbow"}
    for sides in angles.values():
        assert tuple(sides) == SIDES
        assert all(0 <= angle["min"] <= angle["mean"] <= angle["max"] <= 180 for angle in sides.values())


def test_feet_land_alternately() -> None:
    """Landings are listed step by step, left first."""
    landings = side_view_calculated(make_runner())["foot_landing"]
    assert [landing["step"] for landing in landings] == list(range(1, len(landings) + 1))
    assert all(one["side"] != other["side"] for one, other in pairwise(landings))
    assert {landing["landing"] for landing in landings} <= {"rearfoot", "midfoot", "forefoot"}


@any_runner
def test_stance_mean_is_the_mean_of_the_steps(runner: Runner) -> None:
    """The mean of the step-by-step data is the stance mean."""
    for leg in back_view_calculated(runner, full_body=True)["gait_cycle"].values():
        for part, mean in leg["stance_mean"].items():
            steps = [step[part] for step in leg["steps"]]
            assert sum(steps) / len(steps) == pytest.approx(mean, abs=0.011)


@few_examples
@given(runners)
def test_the_back_knee_is_measured_when_the_other_foot_lands(runner: Runner) -> None:
    """The inner angle of the right knee at the touchdown of the left foot, and the other way round; their mean."""
    angles = list[float]()
    for touchdown, back in ((0.0, "right"), (0.5, "left")):
        pose = pose_at(motion_of(runner), touchdown)
        angles.append(inner_angle(*(pose[f"{back}_{joint}"] for joint in ("hip", "knee", "ankle"))))
    assert side_measures(runner).back_knee == pytest.approx(sum(angles) / 2, abs=0.01)
