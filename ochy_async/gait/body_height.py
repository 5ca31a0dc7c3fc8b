"""The height of a body in the unit of its landmarks, from the lengths of its segments.

Lengths do not depend on the posture, so they can be read off a runner, who is never upright. They are shares of the
height after Drillis and Contini (1966), as Winter gives them (Biomechanics and Motor Control of Human Movement, 4th
edition 2009, figure 4.1): ankle to knee 0.246, knee to hip 0.245, hip to shoulder 0.288. A real body differs from
these means by some per cent, and so does every length that is scaled by them.

Invariant: pure. A projection shortens what is turned towards the camera, so only what moves parallel to the picture is
measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Final

from .angles import Joints, middle
from .joints import SIDES
from .points import Path, is_gap

__all__ = ["body_height"]

_SHANK: Final = 0.246
_THIGH: Final = 0.245
_TRUNK: Final = 0.288


def body_height(joints: Joints, view: str) -> float | None:
    """How high the body is, in the unit of the joints; None if they do not show it.

    In a side view it is shank, thigh and trunk, each the median of all frames and the mean of both sides, divided by
    their share of 0.779. In a back view the legs swing towards the camera and away, so it is the trunk alone.
    """
    trunk = _length(middle(joints, "shoulder"), middle(joints, "hip"))
    if view == "back_view":
        return _scaled([trunk], _TRUNK)
    return _scaled([_leg(joints, "knee", "ankle"), _leg(joints, "hip", "knee"), trunk], _SHANK + _THIGH + _TRUNK)


def _scaled(lengths: Sequence[float | None], share: float) -> float | None:
    known = [length for length in lengths if length]
    return sum(known) / share if len(known) == len(lengths) else None


def _leg(joints: Joints, start: str, end: str) -> float | None:
    lengths = (_length(joints.get(f"{side}_{start}"), joints.get(f"{side}_{end}")) for side in SIDES)
    known = [length for length in lengths if length]
    return fmean(known) if known else None


def _length(first: Path | None, second: Path | None) -> float | None:
    """The median distance; None if the two are never seen together."""
    if first is None or second is None:
        return None
    distances = [abs(end - start) for start, end in zip(first, second, strict=True) if not is_gap(end - start)]
    return median(distances) if distances else None
