"""Gait that is read off landmarks against the gait of the emulator's runners, which is known exactly."""

from __future__ import annotations

import cmath
import math
from statistics import fmean

import pytest

from ochy_async.emulator.biomechanics.measures import side_measures
from ochy_async.emulator.biomechanics.runner import SIDES
from ochy_async.gait import back_gait, side_gait

from .recordings import filmed, landmarks, runner, true_touchdowns

RUNNERS = range(8)


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("seed", RUNNERS)
def test_cadence_and_knee_are_those_of_the_runner(seed: int, noise: float) -> None:
    """Cadence within 1 step/min and peak knee flexion within 3 degrees, also at 5 px of noise."""
    who = runner(seed)
    gait = side_gait(landmarks(filmed(who, noise=noise)))
    assert gait.cadence == pytest.approx(who.cadence, abs=1)
    for side in SIDES:
        assert gait.curves[side.name]["knee"].peak == pytest.approx(who.peak_knee_flexion, abs=3)
    assert gait.missing == {}


@pytest.mark.parametrize("seed", RUNNERS)
def test_angles_are_those_of_the_runner(seed: int) -> None:
    """Hip, knee and elbow within 3 degrees of the emulator's own joint angles, the lean within half a degree."""
    who = runner(seed)
    gait = side_gait(landmarks(filmed(who)))
    measured = side_measures(who).joint_angles
    for side in ("left", "right"):
        curves, inner = gait.curves[side], {joint: sides[side] for joint, sides in measured.items()}
        assert curves["knee"].peak == pytest.approx(180 - inner["knee"]["min"], abs=3)
        assert curves["knee"].lowest == pytest.approx(180 - inner["knee"]["max"], abs=3)
        assert curves["elbow"].peak == pytest.approx(180 - inner["elbow"]["min"], abs=3)
        assert curves["hip"].peak == pytest.approx(180 - inner["hip"]["min"], abs=3)
        assert fmean(curves["trunk"].mean) == pytest.approx(who.trunk_lean, abs=0.5)
    assert gait.trunk_lean == pytest.approx(who.trunk_lean, abs=0.5)


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("seed", RUNNERS)
def test_touchdowns_are_a_little_early(seed: int, noise: float) -> None:
    """Every touchdown is found, from 6 % of a stride early to 1 % late: the foot comes back before it lands."""
    who = runner(seed)
    gait = side_gait(landmarks(filmed(who, noise=noise)))
    for side in SIDES:
        true = [time for time in true_touchdowns(who, side, 240) if 12 < time < 225]
        found = gait.touchdowns[side.name]
        for time in true:
            late = min((each - time for each in found), key=abs)
            assert -0.06 < late / gait.stride_frames < 0.01


@pytest.mark.parametrize("seed", RUNNERS)
def test_poses_show_the_curves(seed: int) -> None:
    """The knee of the mean pose bends as the knee's curve says, and a pose is 1 high from ground to head."""
    gait = side_gait(landmarks(filmed(runner(seed))))
    hip, knee, ankle = (gait.poses[f"left_{joint}"] for joint in ("hip", "knee", "ankle"))
    for h, k, a, flexion in zip(hip, knee, ankle, gait.curves["left"]["knee"].mean, strict=True):
        assert math.degrees(cmath.phase((k - h) / (a - k))) == pytest.approx(flexion, abs=1.5)
    heights = [point.imag for path in gait.poses.values() for point in path]
    assert (min(heights), max(heights)) == pytest.approx((0, 1))


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("seed", RUNNERS)
def test_the_back_view_shows_pelvis_and_knees(seed: int, noise: float) -> None:
    """Cadence within 1 step/min; the means over the stance within 1.5 degrees of the runner's."""
    who = runner(seed)
    gait = back_gait(landmarks(filmed(who, "back_view", noise=noise), "back_view"))
    assert gait.cadence == pytest.approx(who.cadence, abs=1)
    for side in SIDES:
        leg, curves = side.leg(who), gait.curves[side.name]
        assert fmean(curves["pelvic_drop"].mean) == pytest.approx(leg.pelvic_drop, abs=1.5)
        assert fmean(curves["knee_adduction"].mean) == pytest.approx(leg.knee_adduction, abs=1.5)
    assert gait.missing == {}
