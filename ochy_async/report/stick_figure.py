"""The runner as a figure of lines: one that the page's program moves, and still ones.

Invariant: pure. Only parts all of whose joints are known are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import htpy as h

from ..gait.joints import SIDES
from .motion import LIMBS, RunnerMotion
from .svg import svg

__all__ = ["FIGURE_HEIGHT", "figure", "still_figures"]


FIGURE_HEIGHT: Final = 1000
"""The height of the runner in units of the figure's view box."""
_MARGIN: Final = 110
_BELOW: Final = 45
"""Room below the ground."""


def _box_of(motion: RunnerMotion) -> tuple[int, int, int, int]:
    """The view box in which the figure has room throughout the stride."""
    across = [round(FIGURE_HEIGHT * point.real) for path in motion.frames.values() for point in path]
    left, right = min(across, default=0) - _MARGIN, max(across, default=0) + _MARGIN
    return left, -_MARGIN, right - left, FIGURE_HEIGHT + _MARGIN + _BELOW


def figure(motion: RunnerMotion, css: str, label: str | None) -> h.Renderable:
    """The runner at the beginning of the stride; the page's program moves the parts that name their joints."""
    return svg(box=_box_of(motion), css=css, label=label)[_ground(), _body(motion, 0, moving=True)]


def still_figures(motion: RunnerMotion, percents: Sequence[int]) -> h.Renderable:
    """The runner at some moments of the stride, side by side, each with its percent below."""
    moments = {0: f"{motion.leader} {'stance' if motion.back else 'foot lands'}"}
    return h.ol(".stills")[
        [
            h.li[_still(motion, percent), f"{percent} %", percent in moments and h.span[f" {moments[percent]}"]]
            for percent in percents
        ]
    ]


def _still(motion: RunnerMotion, percent: int) -> h.Renderable:
    return svg(box=_box_of(motion), css="still")[_ground(), _body(motion, percent, moving=False)]


def _ground() -> h.Node:
    """A line that is longer than any figure is wide, so that it reaches the edges of the drawing."""
    y, far = f"{FIGURE_HEIGHT + 14}", 5 * FIGURE_HEIGHT
    return h.line(".ground", x1=f"{-far}", x2=f"{far}", y1=y, y2=y)


def _body(motion: RunnerMotion, frame: int, *, moving: bool) -> Iterable[h.Node]:
    """The far side, the trunk and the head, then the near side."""
    limbs = [limb for limb in LIMBS if all(joint in motion.frames for joint in limb[2])]
    near = motion.near or "right"
    yield [_limb(motion, frame, *limb, moving=moving) for limb in limbs if limb[1] != near]
    trunk = ("left_shoulder", "right_shoulder", "right_hip", "left_hip") if motion.back else ("shoulders", "hips")
    if all(joint in motion.frames for joint in trunk):
        yield _limb(motion, frame, "trunk", "torso" if motion.back else "", trunk, moving=moving)
    if "head" in motion.frames:
        x, y = _place(motion.frames["head"][frame])
        yield h.circle({"class": "head", "r": "62", "cx": f"{x}", "cy": f"{y}", "data-joints": moving and "head"})
    yield [_limb(motion, frame, *limb, moving=moving) for limb in limbs if limb[1] == near]


def _limb(motion: RunnerMotion, frame: int, part: str, side: str, joints: Sequence[str], *, moving: bool) -> h.Node:
    places = [_place(motion.frames[joint][frame]) for joint in joints]
    far = "far" if motion.near and side in SIDES and side != motion.near else ""
    marked = {"data-joints": moving and " ".join(joints)}
    return h.polyline({"class": [part, side, far], "points": " ".join(f"{x},{y}" for x, y in places), **marked})


def _place(point: complex) -> tuple[int, int]:
    return round(FIGURE_HEIGHT * point.real), round(FIGURE_HEIGHT * (1 - point.imag))
