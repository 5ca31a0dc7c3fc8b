"""The camera: raw data of a clip, the skeleton in pixels frame by frame.

Invariant: pure, and the runner stays in the middle of the picture with the ground a tenth above its lower edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from .motion import motion_of
from .skeleton import LANDMARKS, pose_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .geometry import Space
    from .runner import Runner

__all__ = ["raw_data"]


@frozen
class _View:
    """Where a camera stands: which axis runs to the right in its picture, which one away from it."""

    right: tuple[int, int]  # axis, sign
    away: int  # axis
    tall: float  # picture heights that a runner's height may take
    wide: float  # picture widths that a runner's height may take
    hidden: tuple[str, ...]  # landmarks whose names begin so are guessed rather than seen


_VIEWS: Mapping[str, _View] = {
    # Who runs to the right shows the camera the right side.
    "side_view": _View(right=(0, 1), away=1, tall=0.75, wide=1.25, hidden=("left",)),
    "back_view": _View(right=(1, -1), away=0, tall=0.75, wide=2.5, hidden=("nose", "mouth", "left_eye", "right_eye")),
}
_SEEN, _GUESSED = 0.98, 0.71


def raw_data(
    runner: Runner, *, view: str, frames_per_second: float, seconds: float, width: int, height: int
) -> dict[str, Any]:
    """Landmarks of every frame of a clip, in pixels, as `side_view` or `back_view`."""
    if view not in _VIEWS:
        raise ValueError(f"view must be one of {', '.join(_VIEWS)}, not {view!r}")
    motion, count = motion_of(runner), round(frames_per_second * seconds)
    picture = _picture(runner, _VIEWS[view], width, height)
    per_frame = runner.cadence / 120 / frames_per_second if count else 0.0
    phases = (runner.start_phase + frame * per_frame for frame in range(count))
    return {
        "video_input_information": {
            "width": width,
            "height": height,
            "fps": frames_per_second,
            "duration": seconds,
            "frame_count": count,
        },
        "frames": {str(frame): picture(pose_at(motion, phase)) for frame, phase in enumerate(phases)},
    }


def _picture(
    runner: Runner, view: _View, width: int, height: int
) -> Callable[[Mapping[str, Space]], dict[str, dict[str, float]]]:
    """What turns a pose into pixels."""
    axis, sign = view.right
    away = view.away
    # In tenths of a pixel and cut by `// 1`: round() takes three times as long, and a long clip needs it 240,000 times.
    scale = 10 * min(view.tall * height, view.wide * width) / runner.height
    sideways, middle, ground = sign * scale, 5 * width + 0.5, 9 * height + 0.5
    scores = [(name, _GUESSED if name.startswith(view.hidden) else _SEEN) for name in LANDMARKS]

    def pixels(pose: Mapping[str, Space]) -> dict[str, dict[str, float]]:
        return {
            name: {
                "x": (middle + sideways * place[axis]) // 1 / 10,
                "y": (ground - scale * place[2]) // 1 / 10,
                "z": (0.5 + scale * place[away]) // 1 / 10,
                "score": score,
            }
            for name, score in scores
            for place in (pose[name],)
        }

    return pixels
