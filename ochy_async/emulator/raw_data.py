"""Raw data: the landmarks of a simulated runner in every frame of a clip. The layout is assumed.

Invariant: pure, and every number follows from the runner's motion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .biomechanics.camera import film_runner

if TYPE_CHECKING:
    from .biomechanics.runner import Runner

__all__ = ["raw_data"]


def raw_data(
    runner: Runner, *, view: str, frames_per_second: float, seconds: float, width: int, height: int
) -> dict[str, Any]:
    """The body of the raw data of a `side_view` or `back_view`, landmarks in pixels."""
    frames = film_runner(
        runner, view=view, frames_per_second=frames_per_second, seconds=seconds, width=width, height=height
    )
    numbered = {str(number): landmarks for number, landmarks in enumerate(frames)}
    return {
        "video_input_information": {
            "width": width,
            "height": height,
            "fps": frames_per_second,
            "duration": seconds,
            "frame_count": len(numbered),
        },
        "frames": numbered,
    }
