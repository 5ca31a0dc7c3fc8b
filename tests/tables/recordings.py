"""Recordings in a folder, as a run leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from ochy_async.protocol.landmarks import Landmarks
from ochy_async.tables.recordings import RecordingFile
from tests.gait.recordings import Frames, filmed, landmarks, runner

HEIGHT: Final = 1.75
"""Of the runners, meters."""
BODY: Final = {
    "left_shoulder": (100, 20),
    "left_hip": (100, 100),
    "left_knee": (110, 150),
    "left_ankle": (100, 200),
    "left_heel": (95, 210),
    "left_foot_index": (120, 210),
}
"""A runner who faces to the right, in pixels with y down."""


def frame(**changes: Any) -> dict[str, Any]:
    """One frame of `BODY`. A point that is changed to None is a gap."""
    points: dict[str, Any] = {**BODY, **changes}
    return {name: None if point is None else {"x": point[0], "y": point[1]} for name, point in points.items()}


def saved(
    folder: Path, frames: Mapping[str, Any], view: str = "side_view", *, stem: str = "run.a1", **video: Any
) -> RecordingFile:
    """Raw data in a folder."""
    path = folder / f"{stem}.raw_data.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"video_input_information": {"fps": 60, **video}, "frames": frames}), encoding="utf-8")
    return RecordingFile(path=path, analysis_id=stem.partition(".")[2], view=view, height=HEIGHT)


def filmed_recording(
    seed: int = 3, view: str = "side_view", *, seconds: float = 1.0, noise: float = 0.0
) -> tuple[RecordingFile, Landmarks, Frames]:
    """A runner of the emulator: the recording, its landmarks, and the points in the picture."""
    frames = filmed(runner(seed), view, seconds=seconds, noise=noise)
    recording = RecordingFile(path=Path("run.a1.raw_data.json"), analysis_id="a1", view=view, height=HEIGHT)
    return recording, landmarks(frames, view), frames


def in_pixels(recording: RecordingFile) -> RecordingFile:
    """The same recording of a runner whose height is not known."""
    return evolve(recording, height=None)
