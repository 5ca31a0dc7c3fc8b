"""Links and curves: the little geometry that limbs need.

Invariant: pure, and it knows points and angles but no runner. Meters and radians; the axes are (forward, left,
up), with the origin on the ground beneath the hips. The plane is the one that is seen from the side.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Knot", "Plane", "Space", "along", "curve", "eased", "inner_angle", "turned", "two_links"]

Plane = tuple[float, float]  # forward, up
Space = tuple[float, float, float]  # forward, left, up
Knot = tuple[float, float, float]  # where on the curve, value, slope


def along(start: Plane, length: float, angle: float) -> Plane:
    """The end of a segment that hangs from `start`, turned forward from straight down by `angle`."""
    return start[0] + length * math.sin(angle), start[1] - length * math.cos(angle)


def turned(forward: float, up: float, angle: float) -> Plane:
    """A point turned about the origin, from forward towards up."""
    cos, sin = math.cos(angle), math.sin(angle)
    return forward * cos - up * sin, forward * sin + up * cos


def two_links(upper: float, lower: float, goal: Plane) -> tuple[float, float]:
    """Angle of the upper link and flexion between both so that the end is at `goal`, or as near as the links reach."""
    nearest, farthest = abs(upper - lower) + 0.02 * lower, 0.9995 * (upper + lower)
    far = max(nearest, min(farthest, math.hypot(*goal)))
    inner = math.acos((upper**2 + lower**2 - far**2) / (2 * upper * lower))
    opening = math.acos((upper**2 + far**2 - lower**2) / (2 * upper * far))
    return math.atan2(goal[0], -goal[1]) + opening, math.pi - inner


def inner_angle(first: Space, joint: Space, last: Space) -> float:
    """The angle at a joint as seen from the side, 0 to 180 degrees; 180 = straight."""
    one = math.atan2(first[2] - joint[2], first[0] - joint[0])
    other = math.atan2(last[2] - joint[2], last[0] - joint[0])
    return abs((math.degrees(one - other) + 180) % 360 - 180)


def eased(share: float) -> float:
    """From 0 to 1 as `share` goes from 0 to 1, setting out and arriving gently."""
    return share * share * (3 - 2 * share)


def curve(knots: Sequence[Knot], at: float) -> float:
    """The cubic Hermite curve through the knots."""
    after = next((index for index in range(1, len(knots)) if at <= knots[index][0]), len(knots) - 1)
    (start, first, leaving), (end, last, arriving) = knots[after - 1], knots[after]
    span = end - start
    s = (at - start) / span
    return first + (last - first) * eased(s) + span * s * (1 - s) * (leaving * (1 - s) - arriving * s)
