"""Raw data: the landmarks of a simulated runner in every frame of a clip. The layout is assumed.

Invariant: pure, and every number follows from the runner's motion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .biomechanics.camera import film_runner

if TYPE_CHECKING:
    from .biomechanics.runner import Runner

__all__ = ["raw_data"]


def raw_data(runner: Runner, *, view: str, fps: float, seconds: float, width: int, height: int) -> dict[str, Any]:
    """The body of the raw data of a `side_view` or `back_view`, landmarks in pixels."""
    frames = film_runner(runner, view=view, fps=fps, seconds=seconds, width=width, height=height)
    numbered = {str(number): landmarks for number, landmarks in enumerate(frames)}
    clip = {"width": width, "height": height, "fps": fps, "duration": seconds}
    return {"video_input_information": {**clip, "frame_count": len(numbered)}, "frames": numbered}
