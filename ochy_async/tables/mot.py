"""`.mot`: the angles of joints over time in degrees, as OpenSim, Sports2D and Pose2Sim read them.

The angles are those of `ochy_async.gait`, read off the points of each frame; nothing is filtered. Columns are named
for what they measure and not after the coordinates of a model for OpenSim, since those have other zeros and signs.

Invariant: a gap is `NaN`, and no name has a space: OpenSim's `Storage` reads a name with a space as two columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..gait.angles import BACK_ANGLES, SIDE_ANGLES, Angle, Joints, trunk_lean
from ..gait.joints import SIDES
from ..gait.recording import CannotTell
from ..protocol.landmarks import Landmarks
from .exported import Exported
from .markers import marker_labels
from .per_recording import Writer, timed_recording, write_each, write_lines
from .recordings import RecordingFile

__all__ = ["angles_of", "mot_lines", "write_mot"]

_TITLES: Final = {"hip": "hip_flexion", "knee": "knee_flexion", "ankle": "ankle_dorsiflexion", "elbow": "elbow_flexion"}
_GAPS: Final = (
    "some angles have gaps (NaN). OpenSim's Storage stops at the first; its TimeSeriesTable and pandas do not"
)


def write_mot(recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    """Writes the joint angles of each recording to `<stem>.mot` in a folder. Raises `OutputError`. Blocks."""
    return write_each(recordings, folder, ".mot", _prepare)


def _prepare(recording: RecordingFile, landmarks: Landmarks) -> tuple[Writer, Iterable[str]]:
    gait, fps = timed_recording(recording, landmarks)
    angles = angles_of(gait.joints, back=recording.view == "back_view")
    if not angles:
        raise CannotTell("The landmarks lack the joints of every angle.")
    gaps = any(math.isnan(value) for angle in angles.values() for value in angle)
    return lambda path: write_lines(path, mot_lines(angles, fps, path.name)), [_GAPS] if gaps else []


def angles_of(joints: Joints, *, back: bool) -> dict[str, Angle]:
    """The angles of all frames by their titles, such as `left_knee_flexion`, without those that are never known."""
    found: dict[str, Angle | None] = {
        f"{side}_{_TITLES.get(name, name)}": angle(joints, side)
        for name, angle in (BACK_ANGLES if back else SIDE_ANGLES).items()
        for side in SIDES
    }
    if not back:
        found["trunk_lean"] = trunk_lean(joints)
    return {title: angle for title, angle in found.items() if angle and not all(map(math.isnan, angle))}


def mot_lines(angles: Mapping[str, Angle], fps: float, name: str) -> Iterator[str]:
    """The lines of the file. Its name is in the first one, which OpenSim takes as the name of the motion."""
    yield marker_labels([name])[0]
    yield "version=1"
    yield f"nRows={len(next(iter(angles.values())))}"
    yield f"nColumns={1 + len(angles)}"
    yield "inDegrees=yes"
    yield ""
    yield "Angles in the plane of the picture, read off landmarks by ochy_async. They are not measured by Ochy."
    yield ""
    yield "endheader"
    yield "\t".join(["time", *angles])
    for row, values in enumerate(zip(*angles.values(), strict=True)):
        cells = ("NaN" if math.isnan(value) else f"{value:.4f}" for value in values)
        yield "\t".join([f"{row / fps:.6f}", *cells])
