"""Landmarks as markers in the axes of OpenSim: x forward, y up, z to the runner's right.

A picture has two of the three axes, so z is 0 in a side view and x is 0 in a back view. The origin is below the middle
of the hips in the first frame that shows them, as high as the lowest point of the recording.

Invariant: no point is filtered, filled or invented; only the axes, the origin and the scale change. Lengths are meters
where the height of the body is known, else pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from ..gait.angles import middle
from ..gait.body_height import body_height
from ..gait.joints import PAIRED, SIDES
from ..gait.points import Path, is_gap
from ..gait.recording import Recording, other_paths
from ..protocol.landmarks import Landmarks
from ..protocol.table_columns import distinct_names
from .per_recording import timed_recording
from .recordings import RecordingFile

__all__ = ["Markers", "marker_labels", "markers_of"]

SpacePoint = tuple[float, float, float]
LABELS: Final[Mapping[str, str]] = {
    "nose": "Nose",
    "neck": "Neck",
    "pelvis": "Hip",
    **{f"{side}_{part}": f"{side[0].upper()}{part.capitalize()}" for part in PAIRED for side in SIDES},
    **{f"{side}_toe": f"{side[0].upper()}BigToe" for side in SIDES},
}
"""The label of each joint, such as `LKnee`: the names of Pose2Sim's models for OpenSim."""
MAX_LABEL: Final = 60
"""Characters; C3D allows 127 bytes."""
_NOT_IN_LABELS: Final = re.compile(r"[^\w.-]+")
"""A tab ends a label, a space ends it for some readers, and a quote swallows line breaks in pandas."""


@frozen
class Markers:
    """The paths of all markers of a recording."""

    paths: Mapping[str, Path]
    """By label: forward (in a back view right) + up * 1j, NaN in a gap."""
    back: bool
    """Whether it is a back view."""
    fps: float
    first_frame: int
    """The vendor's number of the first frame."""
    unit: str
    """`m` or `px`."""
    note: str
    """Where the scale comes from, for people."""

    def frames(self) -> Iterator[list[SpacePoint | None]]:
        """The points of all markers, frame by frame; None in a gap."""
        return ([self._placed(point) for point in points] for points in zip(*self.paths.values(), strict=True))

    def _placed(self, point: complex) -> SpacePoint | None:
        if is_gap(point):
            return None
        return (0.0, point.imag, point.real) if self.back else (point.real, point.imag, 0.0)


def markers_of(recording: RecordingFile, landmarks: Landmarks) -> Markers:
    """The markers of a recording: joints under OpenSim's usual labels, other landmarks under their own names.

    Raises `CannotTell` if the landmarks do not show how the runner stands in the picture, or have no frame rate.
    """
    gait, fps = timed_recording(recording, landmarks)
    view = recording.view or ""
    scale, unit, note = _scale(gait, view, recording.height)
    origin = _origin(gait)
    paths = {**gait.joints, **other_paths(landmarks, gait)}
    labels = marker_labels([LABELS.get(name, name) for name in paths])
    placed = ([(point - origin) * scale for point in path] for path in paths.values())
    return Markers(dict(zip(labels, placed, strict=True)), view == "back_view", fps, gait.first_frame, unit, note)


def marker_labels(names: Sequence[str]) -> tuple[str, ...]:
    """The names as labels that every reader takes: letters, digits, `_`, `.` and `-` only, and no two alike."""
    plain = [_NOT_IN_LABELS.sub("_", name)[:MAX_LABEL] or "_" for name in names]
    return distinct_names(plain, (), "_", str)


def _scale(gait: Recording, view: str, height: float | None) -> tuple[float, str, str]:
    """What lengths are multiplied by, their unit, and where the scale comes from."""
    if height is None:
        why = "the request states no height but the default of 1.7 m"
        return 1.0, "px", f"lengths are in pixels, because {why}. For meters, state the runner's: --height METERS"
    pixels = body_height(gait.joints, view)
    if pixels is None:
        return 1.0, "px", "lengths are in pixels, because the landmarks lack a joint that the scale needs"
    return height / pixels, "m", "lengths are in meters, by the height of the body"


def _origin(gait: Recording) -> complex:
    hips = middle(gait.joints, "hip") or ()
    ahead = next((hip.real for hip in hips if not is_gap(hip)), 0.0)
    lowest = min((point.imag for path in gait.joints.values() for point in path if not is_gap(point)), default=0.0)
    return complex(ahead, lowest)
