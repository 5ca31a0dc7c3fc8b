"""OpenPose's JSON: a folder for each recording with a file for each frame, as Pose2Sim and other tools read it.

Invariant: points stand where the raw data has them in the picture, in pixels, y down; what is not known is 0, 0, 0. A
folder is complete or absent, and replaces only a folder of such files.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ..durable_files import open_private, private_folder, sync_folder, write_all
from ..gait.joints import SIDES, joint_names
from ..gait.points import is_gap
from ..gait.recording import picture_paths
from ..protocol.landmarks import Landmarks
from .exported import Exported
from .per_recording import Writer, write_each
from .recordings import RecordingFile

__all__ = ["BODY_25", "write_openpose"]

BODY_25: Final = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_toe", "left_small_toe", "left_heel", "right_toe", "right_small_toe", "right_heel"),
)
"""OpenPose's 25 points in their order."""
_MIDDLES: Final = {"neck": "shoulder", "pelvis": "hip"}
"""OpenPose's neck and middle of the hips are the middles of two joints."""
_UNKNOWN: Final = (0.0, 0.0, 0.0)
_ENDING: Final = "_keypoints.json"
_NO_SCORES: Final = "points without a score have the confidence 1"

Keypoint = tuple[float, float, float]
"""x, y, confidence."""


def write_openpose(recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    """Writes each recording to the folder `<stem>_json` in a folder. Raises `OutputError`. Blocks.

    Needs neither a frame rate nor a height, since OpenPose's files have no times and count pixels.
    """
    return write_each(recordings, folder, "_json", _prepare)


def _prepare(recording: RecordingFile, landmarks: Landmarks) -> tuple[Writer, Iterable[str]]:
    write = partial(_write, _keypoints(landmarks), recording.stem)
    return write, [] if "score" in landmarks.coordinates else [_NO_SCORES]


def _write(keypoints: Sequence[Sequence[Keypoint]], stem: str, path: Path) -> None:
    with TemporaryDirectory(prefix=".openpose-", dir=path.parent) as parent:
        draft = Path(parent, "new")
        private_folder(draft)
        for number, person in enumerate(zip(*keypoints, strict=True)):
            with open_private(draft / f"{stem}_{number:012d}{_ENDING}", "xb") as file:
                write_all(file, json.dumps(_content(person)).encode())
                os.fsync(file.fileno())
        sync_folder(draft)  # once, and not for each of hundreds of names
        _replace(path, draft)


def _content(person: Sequence[Keypoint]) -> dict[str, Any]:
    """One frame. Without any known point nobody is in it."""
    rest = dict.fromkeys(("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"), ())
    people = [{"person_id": [-1], "pose_keypoints_2d": list(chain(*person)), **rest}]
    return {"version": 1.3, "people": people if any(point != _UNKNOWN for point in person) else []}


def _keypoints(landmarks: Landmarks) -> list[list[Keypoint]]:
    """The path of each of the 25 points. Raises `CannotTell` if the landmarks do not show where up is."""
    paths = picture_paths(landmarks)
    known = {joint: list(map(_keypoint, path, _scores(landmarks, joint, len(path)))) for joint, path in paths.items()}
    for joint, part in _MIDDLES.items():
        sides = [known.get(f"{side}_{part}") for side in SIDES]
        if joint not in known and sides[0] and sides[1]:
            known[joint] = list(map(_middle, sides[0], sides[1]))
    frames = len(next(iter(paths.values())))
    return [known.get(joint) or [_UNKNOWN] * frames for joint in BODY_25]


def _scores(landmarks: Landmarks, joint: str, frames: int) -> list[float]:
    """The score of a joint in each frame; 1 where none was sent."""
    scores = [1.0] * frames
    if "score" in landmarks.coordinates:
        track = landmarks.track(joint_names(landmarks.names).landmarks[joint], "score")
        for number, score in zip(landmarks.frame_numbers, track, strict=True):
            if not math.isnan(score):
                scores[number - landmarks.frame_numbers[0]] = score
    return scores


def _keypoint(point: complex, score: float) -> Keypoint:
    return _UNKNOWN if is_gap(point) else (round(point.real, 3), round(point.imag, 3), round(score, 4))


def _middle(left: Keypoint, right: Keypoint) -> Keypoint:
    """The middle of two points, as likely as the less likely one."""
    if _UNKNOWN in (left, right):
        return _UNKNOWN
    return (left[0] + right[0]) / 2, (left[1] + right[1]) / 2, min(left[2], right[2])


def _replace(path: Path, draft: Path) -> None:
    """Gives the draft its name."""
    if path.is_dir():
        others = [each for each in path.iterdir() if not each.name.endswith(_ENDING)]
        if others:
            raise OSError(errno.ENOTEMPTY, "the folder of that name holds other files")
        path.rename(draft.with_name("old"))
    draft.rename(path)
    sync_folder(path.parent)
