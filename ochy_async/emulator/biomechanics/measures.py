"""Measures: what a camera at the side reads off a motion.

Invariant: pure, and nothing is made up here: every angle is taken from the poses that the raw data show too.
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

    from .geometry import Space
    from .runner import Side

__all__ = ["SideMeasures", "mean", "side_measures"]

JointAngles = dict[str, dict[str, dict[str, float]]]
_MOMENTS = 60  # of a stride at which joints are measured

# Joint -> landmarks whose inner angle it is.
_JOINTS = {
    "ankle": ("knee", "ankle", "foot_index"),
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "elbow": ("shoulder", "elbow", "wrist"),
}


@frozen
class SideMeasures:
    """All that the side view of a runner is judged by, degrees."""

    runner: Runner
    joint_angles: JointAngles  # joint -> side -> least, greatest and mean inner angle of a stride
    overstride: float  # the shin forward of the vertical at touchdown, mean of both legs
    thigh_lift: float  # the thigh forward of the vertical at its highest, mean of both legs

    @property
    def parts(self) -> dict[str, float]:
        """Each part that is scored, with its measure."""
        return {
            "arm": mean(angle["mean"] for angle in self.joint_angles["elbow"].values()),
            "back_cycle": mean(angle["min"] for angle in self.joint_angles["knee"].values()),
            "foot": self.overstride,
            "forward_cycle": self.thigh_lift,
            "head": self.runner.head_tilt,
            "trunk": self.runner.trunk_lean,
        }


def side_measures(runner: Runner) -> SideMeasures:
    """Measure one stride."""
    motion = motion_of(runner)
    shins = (motion.joints(side, -side.lag).shin for side in SIDES)
    lifts = (max(motion.joints(side, at / _MOMENTS).thigh for at in range(_MOMENTS)) for side in SIDES)
    return SideMeasures(runner, _joint_angles(motion), math.degrees(mean(shins)), math.degrees(mean(lifts)))


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value."""
    every = list(values)
    return sum(every) / len(every)


def _joint_angles(motion: Motion) -> JointAngles:
    poses = [pose_at(motion, moment / _MOMENTS) for moment in range(_MOMENTS)]
    return {joint: {side.name: _course(poses, side, names) for side in SIDES} for joint, names in _JOINTS.items()}


def _course(poses: Iterable[Mapping[str, Space]], side: Side, names: Iterable[str]) -> dict[str, float]:
    first, joint, last = (f"{side.name}_{name}" for name in names)
    angles = [inner_angle(pose[first], pose[joint], pose[last]) for pose in poses]
    return {"min": round(min(angles), 2), "max": round(max(angles), 2), "mean": round(mean(angles), 2)}
