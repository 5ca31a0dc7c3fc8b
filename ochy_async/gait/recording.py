"""Landmarks as the paths of joints: up is up, the runner faces forward, and both axes have one scale.

Units, origin and direction of the coordinates are not documented, so all of them are read off the landmarks.

Invariant: pure. What cannot be known is a `CannotTell` with its reason, never an assumption.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from attrs import frozen

from ..protocol.landmarks import Landmarks, VideoInformation
from ..protocol.text_summary import count_of
from .joints import JOINTS, SIDES, joint_names
from .points import GAP, is_gap
from .short_repr import ShortRepr

__all__ = ["CannotTell", "Recording", "other_paths", "picture_paths", "recording_of"]

LOWEST_SCORE: Final = 0.3
"""A point whose score is lower is a gap; the threshold of Sports2D. That scores are 0 to 1 is inferred."""
_SPARSEST: Final = 4  # times as many frame numbers as frames; with more gaps nothing can be drawn between them


class CannotTell(ValueError):
    """The landmarks do not show what was asked for. The text says why, for people."""


@frozen(repr=False)
class Recording(ShortRepr):
    """The joints of one runner, frame by frame."""

    joints: Mapping[str, Sequence[complex]]
    """The path of each joint, forward + up * 1j in the unit of the landmarks. Frames that are missing are gaps."""
    fps: float | None
    """Frames per second; None if it is not known. Then no time is known either."""
    first_frame: int
    """The vendor's number of the first frame."""
    y_down: bool
    """Whether y was reversed: the landmarks count it downwards."""
    mirrored: bool
    """Whether x was reversed: the runner moves to the left, or a view from behind is a mirror image."""
    unknown: tuple[str, ...]
    """Landmarks that stand for none of `JOINTS`."""

    @property
    def frames(self) -> int:
        """How many frames there are, with those that are missing between others."""
        return len(next(iter(self.joints.values()), ()))

    def _extent(self) -> str:
        return count_of(self.frames, "frame")


def recording_of(landmarks: Landmarks, view: str, fps: float | None = None) -> Recording:
    """Reads landmarks of a `side_view` or `back_view`. `fps` replaces the frame rate that was sent.

    Raises `CannotTell` if no joint can be placed.
    """
    names = joint_names(landmarks.names)
    rows = _rows(landmarks)
    scale = _scale(landmarks)
    joints: dict[str, Sequence[complex]]
    known = {joint: name for joint, name in names.landmarks.items() if joint in JOINTS}
    joints = {joint: _path(landmarks, name, rows, scale) for joint, name in known.items()}
    joints = {joint: path for joint, path in joints.items() if not all(map(is_gap, path))}
    down = _points_down(joints)
    joints = {joint: _turned(path, down=down) for joint, path in joints.items()}
    mirrored = _is_mirrored(joints) if view == "back_view" else _faces_left(joints)
    joints = {joint: _turned(path, mirrored=mirrored) for joint, path in joints.items()}
    rate = fps if fps is not None else landmarks.video.fps
    rate = rate if rate is not None and math.isfinite(rate) and rate > 0 else None
    unknown = tuple(name for name in landmarks.names if name not in known.values())
    return Recording(joints, rate, landmarks.frame_numbers[0], down, mirrored, unknown)


def other_paths(landmarks: Landmarks, recording: Recording) -> dict[str, Sequence[complex]]:
    """The paths of the landmarks that stand for none of `JOINTS`, by their names, in the axes of their recording."""
    rows, scale = _rows(landmarks), _scale(landmarks)
    paths = {name: _path(landmarks, name, rows, scale) for name in recording.unknown}
    return {
        name: _turned(path, down=recording.y_down, mirrored=recording.mirrored)
        for name, path in paths.items()
        if not all(map(is_gap, path))
    }


def picture_paths(landmarks: Landmarks) -> dict[str, Sequence[complex]]:
    """The path of each joint in the picture, right + down * 1j in pixels, whatever the scores of its points.

    Raises `CannotTell` as `recording_of` does, and if the landmarks count y upwards from an edge that is not known.
    """
    rows, scale = _rows(landmarks), _scale(landmarks)
    names = joint_names(landmarks.names).landmarks
    joints: dict[str, Sequence[complex]]
    joints = {joint: _path(landmarks, name, rows, scale, lowest=-math.inf) for joint, name in names.items()}
    if _points_down(joints):
        return joints
    size = _picture_size(landmarks.video)
    if size is None:
        raise CannotTell("The landmarks count y upwards, and the height of the picture, where it begins, was not sent.")
    return {joint: [point.conjugate() + size.imag * 1j for point in path] for joint, path in joints.items()}


def _turned(path: Sequence[complex], *, down: bool = False, mirrored: bool = False) -> Sequence[complex]:
    """The path with the axes reversed that have to be."""
    if down:
        path = [point.conjugate() for point in path]
    return [-point.conjugate() for point in path] if mirrored else path


def _rows(landmarks: Landmarks) -> list[int]:
    """The position of each frame number among all that there should be."""
    numbers = landmarks.frame_numbers
    if not numbers or landmarks.x is None or landmarks.y is None:
        raise CannotTell("The landmarks have no frames with an x and a y.")
    if numbers[-1] - numbers[0] >= _SPARSEST * len(numbers):
        raise CannotTell("Most frame numbers are missing, so the frames cannot be put in time.")
    return [number - numbers[0] for number in numbers]


def _path(
    landmarks: Landmarks, name: str, rows: Sequence[int], scale: complex, lowest: float = LOWEST_SCORE
) -> list[complex]:
    path = [GAP] * (rows[-1] + 1)
    tracks = [landmarks.track(name, coordinate) for coordinate in ("x", "y")]
    scores = landmarks.track(name, "score") if "score" in landmarks.coordinates else None
    for place, row in enumerate(rows):
        x, y = tracks[0][place], tracks[1][place]
        seen = scores is None or not scores[place] < lowest
        if seen and math.isfinite(x) and math.isfinite(y):
            path[row] = complex(x * scale.real, y * scale.imag)
    return path


def _scale(landmarks: Landmarks) -> complex:
    """What x and y are multiplied by: 1, or the size of the picture where they are shares of it."""
    grids = [grid.values for grid in (landmarks.x, landmarks.y) if grid is not None]
    sizes = sorted(abs(value) for grid in grids for value in grid if math.isfinite(value))
    if not sizes:
        raise CannotTell("Every landmark is a gap.")
    if sizes[len(sizes) * 9 // 10] > _LARGEST_SHARE:
        return 1 + 1j
    size = _picture_size(landmarks.video)
    if size is None:
        raise CannotTell(
            "The coordinates are shares of the picture, whose size was not sent, so no angle can be computed."
        )
    return size


_LARGEST_SHARE: Final = 2.0  # a joint may be outside the picture, but not as far as this


def _picture_size(video: VideoInformation) -> complex | None:
    """Width + height * 1j, pixels; None if it was not sent."""
    numbers = (video.width, video.height)
    if None in numbers:
        numbers = _two_numbers(video.resolution)
    width, height = numbers
    return complex(width, height) if width and height and width > 0 and height > 0 else None


def _two_numbers(resolution: Any) -> tuple[float | None, float | None]:
    if isinstance(resolution, str):
        resolution = [float(number) for number in re.findall(r"[0-9]{2,5}", resolution)]
    elif isinstance(resolution, dict):
        resolution = [resolution.get("width"), resolution.get("height")]
    if (
        isinstance(resolution, list)
        and len(resolution) == 2
        and all(isinstance(each, int | float) for each in resolution)
    ):
        return float(resolution[0]), float(resolution[1])
    return None, None


def _offset(joints: Mapping[str, Sequence[complex]], start: str, end: str) -> complex | None:
    """The median way from one joint to another; None if they are never seen together."""
    ways = [
        last - first
        for first, last in zip(joints.get(start, ()), joints.get(end, ()), strict=False)
        if not (is_gap(first) or is_gap(last))
    ]
    return complex(median(way.real for way in ways), median(way.imag for way in ways)) if ways else None


def _offsets(joints: Mapping[str, Sequence[complex]], start: str, end: str) -> list[complex]:
    """The same for both sides of the body, as far as they are seen."""
    ways = (_offset(joints, f"{side}_{start}", f"{side}_{end}") for side in SIDES)
    return [way for way in ways if way is not None]


def _points_down(joints: Mapping[str, Sequence[complex]]) -> bool:
    trunk = [*_offsets(joints, "hip", "shoulder"), *_offsets(joints, "ankle", "hip")]
    if not trunk:
        raise CannotTell("No hips, shoulders or ankles are among the landmarks, so up and down cannot be told.")
    return sum(way.imag for way in trunk) < 0


def _faces_left(joints: Mapping[str, Sequence[complex]]) -> bool:
    feet = _offsets(joints, "heel", "toe") or _offsets(joints, "ankle", "toe")
    nose = [way for side in SIDES if (way := _offset(joints, f"{side}_shoulder", "nose")) is not None]
    ways = feet or nose
    if not ways:
        raise CannotTell("Neither feet nor a nose are among the landmarks, so the direction of running cannot be told.")
    return sum(way.real for way in ways) < 0


def _is_mirrored(joints: Mapping[str, Sequence[complex]]) -> bool:
    across = _offset(joints, "left_hip", "right_hip") or _offset(joints, "left_shoulder", "right_shoulder")
    if across is None:
        raise CannotTell("No two hips or shoulders are among the landmarks, so left and right cannot be told.")
    return across.real < 0
