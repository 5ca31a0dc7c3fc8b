"""Measures of a side view: joint angles over a stride, overstride and thigh angle.

Invariant: pure. Every angle is measured on the poses that the raw data contain too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

from .geometry import inner_angle
from .motion import Motion, motion_of
from .runner import SIDES, Runner
from .skeleton import pose_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .geometry import SpacePoint
    from .runner import Side

__all__ = ["SideMeasures", "mean", "side_measures"]

JointAngles = dict[str, dict[str, dict[str, float]]]
_SAMPLES = 60  # moments of a stride at which joints are measured

# Joint -> the landmarks that form its inner angle.
_JOINTS = {
    "ankle": ("knee", "ankle", "foot_index"),
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "elbow": ("shoulder", "elbow", "wrist"),
}


@frozen
class SideMeasures:
    """Measures of a runner seen from the side, degrees."""

    runner: Runner
    joint_angles: JointAngles  # joint -> side -> min, max and mean of the inner angle over a stride
    overstride: float  # shank forward of the vertical at touchdown, mean of both legs
    peak_thigh_angle: float  # thigh forward of the vertical at its highest, mean of both legs
    back_knee: float  # inner angle of the back leg's knee when the other foot lands, mean of both legs


def side_measures(runner: Runner) -> SideMeasures:
    """Measures one stride."""
    motion = motion_of(runner)
    shanks = (motion.leg_angles(side, -side.lag).shank for side in SIDES)
    thighs = (max(motion.leg_angles(side, at / _SAMPLES).thigh for at in range(_SAMPLES)) for side in SIDES)
    back_knees = (math.pi - motion.leg_angles(side, side.other_touchdown).knee for side in SIDES)
    overstride, peak_thigh, back_knee = (math.degrees(mean(angles)) for angles in (shanks, thighs, back_knees))
    return SideMeasures(runner, _joint_angles(motion), overstride, peak_thigh, back_knee)


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value."""
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _joint_angles(motion: Motion) -> JointAngles:
    poses = [pose_at(motion, sample / _SAMPLES) for sample in range(_SAMPLES)]
    return {joint: {side.name: _statistics(poses, side, names) for side in SIDES} for joint, names in _JOINTS.items()}


def _statistics(poses: Iterable[Mapping[str, SpacePoint]], side: Side, names: Iterable[str]) -> dict[str, float]:
    first, joint, last = (f"{side.name}_{name}" for name in names)
    angles = [inner_angle(pose[first], pose[joint], pose[last]) for pose in poses]
    return {"min": round(min(angles), 2), "max": round(max(angles), 2), "mean": round(mean(angles), 2)}
