"""The skeleton: where all landmarks of a moving runner are at a moment.

Invariant: pure, and a pose follows from the motion alone, so bones keep their length. Meters, with the axes
(forward, left, up) and the origin on the ground beneath the hips.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .geometry import Plane, Space, along, turned
from .runner import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gait import Gait
    from .motion import Motion
    from .runner import Leg, Side

__all__ = ["LANDMARKS", "pose_at"]

# Landmark -> (before, left of, above) the middle between the ears, as shares of the height.
_FACE: Mapping[str, Space] = {
    "nose": (0.065, 0.0, -0.004),
    "left_eye_inner": (0.055, 0.010, 0.018),
    "left_eye": (0.052, 0.018, 0.018),
    "left_eye_outer": (0.046, 0.026, 0.018),
    "right_eye_inner": (0.055, -0.010, 0.018),
    "right_eye": (0.052, -0.018, 0.018),
    "right_eye_outer": (0.046, -0.026, 0.018),
    "left_ear": (0.0, 0.042, 0.0),
    "right_ear": (0.0, -0.042, 0.0),
    "mouth_left": (0.054, 0.014, -0.026),
    "mouth_right": (0.054, -0.014, -0.026),
}
_PAIRED = ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot_index")

LANDMARKS: tuple[str, ...] = (*_FACE, *(f"{side.name}_{point}" for point in _PAIRED for side in SIDES))
"""MediaPipe's 33 landmarks in its order."""

_ARM_SWING = math.radians(32)
_ELBOW_SWING = math.radians(9)
_ARMS_BACK = math.radians(-14)  # mean of the upper arm against the vertical
# Finger -> (share of the hand's length beyond the wrist, turned up against the forearm).
_FINGERS = {"pinky": (0.9, -0.25), "index": (1.0, 0.1), "thumb": (0.6, 0.5)}


def pose_at(motion: Motion, left_phase: float) -> dict[str, Space]:
    """All landmarks when the left foot is at this phase, m."""
    gait = motion.gait
    lean = math.radians(gait.runner.trunk_lean)
    shoulders = along((0.0, gait.hips(left_phase)), gait.body.trunk, math.pi - lean)
    pose = _face(gait, shoulders, lean)
    for side in SIDES:
        pose.update(_leg_points(motion, side, left_phase))
        pose.update(_arm_points(gait, side, left_phase, shoulders))
    return pose


def _face(gait: Gait, shoulders: Plane, lean: float) -> dict[str, Space]:
    bow = lean + math.radians(gait.runner.head_tilt)
    middle = along(shoulders, gait.body.neck, math.pi - bow)
    cos, sin, height = math.cos(bow), math.sin(bow), gait.runner.height
    return {
        name: (
            middle[0] + height * (before * cos + above * sin),
            height * left,
            middle[1] + height * (above * cos - before * sin),
        )
        for name, (before, left, above) in _FACE.items()
    }


def _leg_points(motion: Motion, side: Side, left_phase: float) -> dict[str, Space]:
    gait, body, name, sign = motion.gait, motion.gait.body, side.name, side.sign
    phase = side.phase(left_phase)
    joints, hip = motion.joints(side, left_phase), gait.hip(side, phase)
    knee, ankle = body.leg(hip, joints)
    heel = turned(-body.heel, -body.ankle, joints.foot)
    toe = turned(body.toe, -body.ankle, joints.foot)
    inwards, outwards = _rolling(gait, side.leg(gait.runner), gait.loading(phase))
    return {
        f"{name}_hip": (0.0, sign * body.hip, hip),
        f"{name}_knee": (knee[0], sign * ((body.hip + body.track) / 2 - inwards), knee[1]),
        f"{name}_ankle": (ankle[0], sign * body.track, ankle[1]),
        f"{name}_heel": (ankle[0] + heel[0], sign * (body.track + outwards), ankle[1] + heel[1]),
        f"{name}_foot_index": (ankle[0] + toe[0], sign * 1.5 * body.track, ankle[1] + toe[1]),
    }


def _rolling(gait: Gait, leg: Leg, loading: float) -> tuple[float, float]:
    """How far the knee stands inside of the leg's line and the heel outside of the ankle, m."""
    inwards = gait.body.thigh / 2 * math.tan(math.radians(leg.knee_adduction) * loading)
    return inwards, gait.body.ankle * math.tan(math.radians(leg.pronation) * loading)


def _arm_points(gait: Gait, side: Side, left_phase: float, shoulder: Plane) -> dict[str, Space]:
    """An arm is farthest back when the leg of its side touches down."""
    body, name, sign = gait.body, side.name, side.sign
    back = math.cos(math.tau * (left_phase + side.lag))
    upper = _ARMS_BACK - _ARM_SWING * back
    lower = upper + math.pi - math.radians(gait.runner.elbow_angle) - _ELBOW_SWING * back
    elbow = along(shoulder, body.upper_arm, upper)
    wrist = along(elbow, body.forearm, lower)
    points = {
        f"{name}_shoulder": (shoulder[0], sign * body.shoulder, shoulder[1]),
        f"{name}_elbow": (elbow[0], sign * 1.15 * body.shoulder, elbow[1]),
        f"{name}_wrist": (wrist[0], sign * 0.8 * body.shoulder, wrist[1]),
    }
    for finger, (share, turn) in _FINGERS.items():
        tip = along(wrist, share * body.hand, lower + turn)
        points[f"{name}_{finger}"] = (tip[0], sign * 0.7 * body.shoulder, tip[1])
    return points
