"""`.trc`: the positions of markers over time, as OpenSim, Sports2D and Pose2Sim read them.

The layout is that of OpenSim's `TRCFileAdapter`: five lines of header, a blank line, and one line for each frame with
its number, its time and three numbers for each marker, all separated by tabs.

Invariant: a gap is `NaN`, not an empty cell: OpenSim 4.6 refuses a line that ends with empty cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..protocol.landmarks import Landmarks
from .exported import Exported
from .markers import Markers, marker_labels, markers_of
from .per_recording import Writer, write_each, write_lines
from .recordings import RecordingFile

__all__ = ["trc_lines", "write_trc"]

_DECIMALS: Final = {"m": 6, "px": 3}
_KEYS: Final = (
    "DataRate	CameraRate	NumFrames	NumMarkers	Units	OrigDataRate	OrigDataStartFrame	OrigNumFrames"
)


def write_trc(recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    """Writes the markers of each recording to `<stem>.trc` in a folder. Raises `OutputError`. Blocks.

    Lengths are in meters where `RecordingFile.height` is known, else in pixels.
    """
    return write_each(recordings, folder, ".trc", _prepare)


def _prepare(recording: RecordingFile, landmarks: Landmarks) -> tuple[Writer, Iterable[str]]:
    markers = markers_of(recording, landmarks)
    return lambda path: write_lines(path, trc_lines(markers, path.name)), [markers.note]


def trc_lines(markers: Markers, name: str) -> Iterator[str]:
    """The lines of the file, whose name is in the first one."""
    count = len(next(iter(markers.paths.values())))
    rate = f"{markers.fps:.10g}"
    values = (rate, rate, count, len(markers.paths), markers.unit, rate, markers.first_frame, count)
    yield f"PathFileType\t4\t(X/Y/Z)\t{marker_labels([name])[0]}"
    yield _KEYS
    yield "\t".join(map(str, values))
    yield "\t".join(["Frame#", "Time", *(f"{label}\t\t" for label in markers.paths)])
    yield "\t".join(["", "", *(f"{axis}{n}" for n in range(1, len(markers.paths) + 1) for axis in "XYZ")])
    yield ""
    decimals = _DECIMALS[markers.unit]
    for row, points in enumerate(markers.frames()):
        cells = (
            "NaN\tNaN\tNaN" if point is None else "\t".join(f"{value:.{decimals}f}" for value in point)
            for point in points
        )
        yield "\t".join([str(markers.first_frame + row), f"{row / markers.fps:.6f}", *cells])
