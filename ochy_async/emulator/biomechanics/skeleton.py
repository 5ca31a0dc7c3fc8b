"""The skeleton: the positions of all landmarks of a runner at a moment.

Invariant: pure, and a pose follows from the motion alone, so the length of a segment never changes. Meters, with the
axes (forward, left, up) and the origin on the ground below the hips.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .geometry import PlanePoint, SpacePoint, rotated, segment_end
from .runner import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gait import Gait
    from .motion import Motion
    from .runner import Leg, Side

__all__ = ["LANDMARKS", "pose_at"]

# Landmark -> (in front of, left of, above) the middle between the ears, as shares of the height.
_FACE: Mapping[str, SpacePoint] = {
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
_MEAN_UPPER_ARM = math.radians(-14)  # forward of the vertical
# Finger -> (share of the hand's length, angle against the forearm).
_FINGERS = {"pinky": (0.9, -0.25), "index": (1.0, 0.1), "thumb": (0.6, 0.5)}


def pose_at(motion: Motion, left_phase: float) -> dict[str, SpacePoint]:
    """All landmarks, m, when the left foot is at this phase."""
    gait = motion.gait
    lean = math.radians(gait.runner.trunk_lean)
    shoulders = segment_end((0.0, gait.pelvis_height(left_phase)), gait.segments.trunk, math.pi - lean)
    pose = _face(gait, shoulders, lean)
    for side in SIDES:
        pose.update(_leg_points(motion, side, left_phase))
        pose.update(_arm_points(gait, side, left_phase, shoulders))
    return pose


def _face(gait: Gait, shoulders: PlanePoint, lean: float) -> dict[str, SpacePoint]:
    tilt = lean + math.radians(gait.runner.head_tilt)
    middle = segment_end(shoulders, gait.segments.neck, math.pi - tilt)
    cos, sin, height = math.cos(tilt), math.sin(tilt), gait.runner.height
    return {
        name: (
            middle[0] + height * (front * cos + above * sin),
            height * left,
            middle[1] + height * (above * cos - front * sin),
        )
        for name, (front, left, above) in _FACE.items()
    }


def _leg_points(motion: Motion, side: Side, left_phase: float) -> dict[str, SpacePoint]:
    gait, segments, name, sign = motion.gait, motion.gait.segments, side.name, side.sign
    phase = side.phase(left_phase)
    angles, hip = motion.leg_angles(side, left_phase), gait.hip_height(side, phase)
    knee, ankle = segments.leg_points(hip, angles)
    heel = rotated(-segments.heel, -segments.ankle, angles.foot)
    toe = rotated(segments.toe, -segments.ankle, angles.foot)
    hip_width, step_width = segments.half_hip_width, segments.half_step_width
    inwards, outwards = _frontal_shifts(gait, side.leg(gait.runner), gait.loading(phase))
    return {
        f"{name}_hip": (0.0, sign * hip_width, hip),
        f"{name}_knee": (knee[0], sign * ((hip_width + step_width) / 2 - inwards), knee[1]),
        f"{name}_ankle": (ankle[0], sign * step_width, ankle[1]),
        f"{name}_heel": (ankle[0] + heel[0], sign * (step_width + outwards), ankle[1] + heel[1]),
        f"{name}_foot_index": (ankle[0] + toe[0], sign * 1.5 * step_width, ankle[1] + toe[1]),
    }


def _frontal_shifts(gait: Gait, leg: Leg, loading: float) -> tuple[float, float]:
    """How far the knee is inside the line from hip to ankle, and the heel outside the ankle, m."""
    inwards = gait.segments.thigh / 2 * math.tan(math.radians(leg.knee_adduction) * loading)
    return inwards, gait.segments.ankle * math.tan(math.radians(leg.pronation) * loading)


def _arm_points(gait: Gait, side: Side, left_phase: float, shoulder: PlanePoint) -> dict[str, SpacePoint]:
    """An arm is farthest back at the touchdown of the leg on its side."""
    segments, name, sign = gait.segments, side.name, side.sign
    width = segments.half_shoulder_width
    back = math.cos(math.tau * (left_phase + side.lag))
    upper = _MEAN_UPPER_ARM - _ARM_SWING * back
    lower = upper + math.pi - math.radians(gait.runner.elbow_angle) - _ELBOW_SWING * back
    elbow = segment_end(shoulder, segments.upper_arm, upper)
    wrist = segment_end(elbow, segments.forearm, lower)
    points = {
        f"{name}_shoulder": (shoulder[0], sign * width, shoulder[1]),
        f"{name}_elbow": (elbow[0], sign * 1.15 * width, elbow[1]),
        f"{name}_wrist": (wrist[0], sign * 0.8 * width, wrist[1]),
    }
    for finger, (share, angle) in _FINGERS.items():
        tip = segment_end(wrist, share * segments.hand, lower + angle)
        points[f"{name}_{finger}"] = (tip[0], sign * 0.7 * width, tip[1])
    return points
