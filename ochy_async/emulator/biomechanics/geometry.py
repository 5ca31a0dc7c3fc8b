"""Geometry of limbs: segments, two-link inverse kinematics and smooth curves.

Invariant: pure, and independent of any runner. Meters and radians; the axes are (forward, left, up), with the origin on
the ground below the hips. The plane is the sagittal plane, seen from the side.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Knot",
    "PlanePoint",
    "SpacePoint",
    "hermite_curve",
    "inner_angle",
    "rotated",
    "segment_end",
    "smoothstep",
    "two_link_angles",
]

PlanePoint = tuple[float, float]  # forward, up
SpacePoint = tuple[float, float, float]  # forward, left, up
Knot = tuple[float, float, float]  # position on the curve, value, slope


def segment_end(start: PlanePoint, length: float, angle: float) -> PlanePoint:
    """The end of a segment that hangs from `start`, rotated forward from straight down by `angle`."""
    return start[0] + length * math.sin(angle), start[1] - length * math.cos(angle)


def rotated(forward: float, up: float, angle: float) -> PlanePoint:
    """A point rotated about the origin, from forward towards up."""
    cos, sin = math.cos(angle), math.sin(angle)
    return forward * cos - up * sin, forward * sin + up * cos


def two_link_angles(upper: float, lower: float, goal: PlanePoint) -> tuple[float, float]:
    """Inverse kinematics of two links: the upper one's angle and the flexion between both that place the end at `goal`.

    Where the links cannot reach `goal`, the end is as near to it as they allow.
    """
    nearest, farthest = abs(upper - lower) + 0.02 * lower, 0.9995 * (upper + lower)
    distance = max(nearest, min(farthest, math.hypot(*goal)))
    inner = math.acos((upper**2 + lower**2 - distance**2) / (2 * upper * lower))
    opening = math.acos((upper**2 + distance**2 - lower**2) / (2 * upper * distance))
    return math.atan2(goal[0], -goal[1]) + opening, math.pi - inner


def inner_angle(first: SpacePoint, joint: SpacePoint, last: SpacePoint) -> float:
    """The angle at a joint in the sagittal plane, 0 to 180 degrees; 180 = straight."""
    one = math.atan2(first[2] - joint[2], first[0] - joint[0])
    other = math.atan2(last[2] - joint[2], last[0] - joint[0])
    return abs((math.degrees(one - other) + 180) % 360 - 180)


def smoothstep(share: float) -> float:
    """From 0 to 1 as `share` goes from 0 to 1, with slope 0 at both ends."""
    return share * share * (3 - 2 * share)


def hermite_curve(knots: Sequence[Knot], at: float) -> float:
    """The cubic Hermite spline through the knots."""
    after = next((index for index in range(1, len(knots)) if at <= knots[index][0]), len(knots) - 1)
    (start, first, leaving), (end, last, arriving) = knots[after - 1], knots[after]
    span = end - start
    s = (at - start) / span
    return first + (last - first) * smoothstep(s) + span * s * (1 - s) * (leaving * (1 - s) - arriving * s)
