"""The camera: the landmarks of a runner projected to pixels, frame by frame.

Invariant: pure. The runner stays in the middle of the picture, with the ground a tenth above its lower edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .motion import motion_of
from .skeleton import LANDMARKS, pose_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .geometry import SpacePoint
    from .runner import Runner

__all__ = ["film_runner"]

FrameLandmarks = dict[str, dict[str, float]]


@frozen
class _View:
    """The position of a camera: which axis points to the right in its picture, and which one away from it."""

    right: tuple[int, int]  # axis, sign
    away: int  # axis
    tall: float  # share of the picture's height that a runner's height may take
    wide: float  # share of the picture's width that a runner's height may take
    hidden: tuple[str, ...]  # prefixes of the landmarks that the camera cannot see


_VIEWS: Mapping[str, _View] = {
    # The runner moves to the right and so shows the camera the right side.
    "side_view": _View(right=(0, 1), away=1, tall=0.75, wide=1.25, hidden=("left",)),
    "back_view": _View(right=(1, -1), away=0, tall=0.75, wide=2.5, hidden=("nose", "mouth", "left_eye", "right_eye")),
}
_VISIBLE_SCORE, _HIDDEN_SCORE = 0.98, 0.71


def film_runner(
    runner: Runner, *, view: str, fps: float, seconds: float, width: int, height: int
) -> Iterator[FrameLandmarks]:
    """The landmarks of each frame of a `side_view` or `back_view`, in pixels."""
    if view not in _VIEWS:
        raise ValueError(f"view must be one of {', '.join(_VIEWS)}, not {view!r}")
    motion, project = motion_of(runner), _projection(runner, _VIEWS[view], width, height)
    count = round(fps * seconds)
    strides_per_frame = runner.cadence / 120 / fps if count else 0.0
    phases = (runner.start_phase + frame * strides_per_frame for frame in range(count))
    return (project(pose_at(motion, phase)) for phase in phases)


def _projection(
    runner: Runner, view: _View, width: int, height: int
) -> Callable[[Mapping[str, SpacePoint]], FrameLandmarks]:
    """The function that turns a pose into pixels."""
    axis, sign = view.right
    away = view.away
    # In tenths of a pixel and cut by `// 1`: round() takes three times as long, and a long clip needs it 240,000 times.
    scale = 10 * min(view.tall * height, view.wide * width) / runner.height
    sideways, middle, ground = sign * scale, 5 * width + 0.5, 9 * height + 0.5
    scores = [(name, _HIDDEN_SCORE if name.startswith(view.hidden) else _VISIBLE_SCORE) for name in LANDMARKS]

    def project(pose: Mapping[str, SpacePoint]) -> FrameLandmarks:
        return {
            name: {
                "x": (middle + sideways * point[axis]) // 1 / 10,
                "y": (ground - scale * point[2]) // 1 / 10,
                "z": (0.5 + scale * point[away]) // 1 / 10,
                "score": score,
            }
            for name, score in scores
            for point in (pose[name],)
        }

    return project
