"""Joint angles in the picture's plane, from points that are complex numbers: forward + up * 1j.

Every angle is zero in a straight, upright stance, and flexion is positive, as clinicians and Sports2D count. In a view
from behind right is positive for both legs. docs/gait.md defines each angle and compares it with Pose2Sim's. Angles of
a projection are those of the body only if the body moves parallel to the picture.

Invariant: pure. An angle is NaN where one of its points is missing.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .points import Path, is_gap

__all__ = ["BACK_ANGLES", "SIDE_ANGLES", "Angle", "AngleOf", "Joints", "middle", "trunk_lean"]

Joints = Mapping[str, Path]
"""The path of each joint, by its name."""
Angle = Sequence[float]
"""Degrees in each frame; NaN in a gap."""


def hip_flexion(joints: Joints, side: str) -> Angle | None:
    """Degrees; the thigh in front of the trunk's line is positive."""
    return _turns(_limb(joints, side, "shoulder", "hip"), _limb(joints, side, "hip", "knee"))


def knee_flexion(joints: Joints, side: str) -> Angle | None:
    """Degrees; 0 is a straight leg."""
    return _turns(_limb(joints, side, "knee", "ankle"), _limb(joints, side, "hip", "knee"))


def ankle_dorsiflexion(joints: Joints, side: str) -> Angle | None:
    """Degrees; toes up is positive, 0 is a right angle between shank and sole."""
    shank = _limb(joints, side, "knee", "ankle")
    return _turns(shank and [each * 1j for each in shank], _limb(joints, side, "heel", "toe"))


def elbow_flexion(joints: Joints, side: str) -> Angle | None:
    """Degrees; 0 is a straight arm."""
    return _turns(_limb(joints, side, "shoulder", "elbow"), _limb(joints, side, "elbow", "wrist"))


def knee_adduction(joints: Joints, side: str) -> Angle | None:
    """Degrees, from behind; the knee towards the other leg is positive."""
    turns = _turns(_limb(joints, side, "hip", "knee"), _limb(joints, side, "knee", "ankle"))
    return turns and _signed(turns, 1 if side == "right" else -1)


def pelvic_drop(joints: Joints, side: str) -> Angle | None:
    """Degrees, from behind, while this leg carries the body; the hip of the other leg lower is positive."""
    left, right = joints.get("left_hip"), joints.get("right_hip")
    if left is None or right is None:
        return None
    tilt = [_turn(1, end - start) for start, end in zip(left, right, strict=True)]
    return _signed(tilt, 1 if side == "right" else -1)


def trunk_lean(joints: Joints) -> Angle:
    """Degrees against the vertical; forward is positive. Empty if the skeleton has no shoulders or no hips."""
    shoulders, hips = middle(joints, "shoulder"), middle(joints, "hip")
    if shoulders is None or hips is None:
        return ()
    return [_turn(shoulder - hip, 1j) for shoulder, hip in zip(shoulders, hips, strict=True)]


AngleOf = Callable[[Joints, str], Angle | None]
"""The angle of one side of the body in each frame; None if the skeleton lacks a joint that it needs."""

SIDE_ANGLES: Final[Mapping[str, AngleOf]] = {
    "hip": hip_flexion,
    "knee": knee_flexion,
    "ankle": ankle_dorsiflexion,
    "elbow": elbow_flexion,
}
"""The angles of each side of the body in a side view."""
BACK_ANGLES: Final[Mapping[str, AngleOf]] = {"pelvic_drop": pelvic_drop, "knee_adduction": knee_adduction}
"""The angles of each leg in a back view."""


def middle(joints: Joints, part: str) -> Path | None:
    """The middle between left and right; the side that is seen where the other is not."""
    left, right = joints.get(f"left_{part}"), joints.get(f"right_{part}")
    if left is None or right is None:
        return left or right
    return [
        other if is_gap(one) else one if is_gap(other) else (one + other) / 2
        for one, other in zip(left, right, strict=True)
    ]


def _limb(joints: Joints, side: str, start: str, end: str) -> Path | None:
    """The way from one joint to another in each frame; None if the skeleton lacks one of them."""
    first, last = joints.get(f"{side}_{start}"), joints.get(f"{side}_{end}")
    if first is None or last is None:
        return None
    return [there - here for here, there in zip(first, last, strict=True)]


def _turns(first: Path | None, second: Path | None) -> Angle | None:
    if first is None or second is None:
        return None
    return [_turn(one, other) for one, other in zip(first, second, strict=True)]


def _signed(angle: Angle, sign: int) -> Angle:
    return [sign * turn for turn in angle]


def _turn(first: complex, second: complex) -> float:
    """How far `second` is turned from `first`, degrees; counterclockwise (from down to forward) is positive."""
    if is_gap(first) or is_gap(second) or not first or not second:
        return math.nan
    return math.degrees(cmath.phase(second / first))
