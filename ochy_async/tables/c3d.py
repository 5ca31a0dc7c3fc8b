"""`.c3d`: the positions of markers over time, written by ezc3d.

Invariant: a file holds points, their labels, rate and unit, and what ezc3d adds (its version and its author's address).
It says nothing about the runner or the analysis; the name of the file does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ..durable_files import private_file, write_all
from ..extras import install_hint
from ..protocol.landmarks import Landmarks
from .exported import Exported
from .markers import Markers, marker_labels, markers_of
from .per_recording import Writer, write_each
from .recordings import RecordingFile

__all__ = ["write_c3d"]

_UNITS: Final = {"m": (1000.0, "mm"), "px": (1.0, "px")}
"""What lengths are multiplied by, and their unit in the file: readers of C3D expect millimeters."""


_CHUNK: Final = 1 << 20


def write_c3d(recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    """Writes the markers of each recording to `<stem>.c3d` in a folder. Needs the extra `c3d`.

    Lengths are in millimeters where `RecordingFile.height` is known, else in pixels. Raises `OutputError`. Blocks.
    """
    with install_hint("c3d"):
        import ezc3d
    del ezc3d
    return write_each(recordings, folder, ".c3d", _prepare)


def _prepare(recording: RecordingFile, landmarks: Landmarks) -> tuple[Writer, Iterable[str]]:
    markers = markers_of(recording, landmarks)
    return partial(_write, _c3d(markers)), [markers.note]


def _write(file: Any, path: Path) -> None:
    least = 16 * file["data"]["points"][0].size  # four float32 for each point
    # ezc3d writes to a path only, with the rights that the umask leaves, and in silence if it cannot.
    with TemporaryDirectory(prefix=".c3d-", dir=path.parent) as draft:
        written = Path(draft, "draft.c3d")
        str(written).encode()  # a path that is no text is a ValueError here, and a TypeError there
        file.write(str(written))
        with written.open("rb") as source, private_file(path) as target:
            if os.fstat(source.fileno()).st_size < least:
                raise OSError(errno.ENOSPC, "ezc3d wrote less than it should")
            for chunk in iter(partial(source.read, _CHUNK), b""):
                write_all(target, chunk)


def _c3d(markers: Markers) -> Any:
    import ezc3d
    import numpy as np

    factor, unit = _UNITS[markers.unit]
    frames = [[point or (np.nan,) * 3 for point in points] for points in markers.frames()]
    points = np.full((4, len(markers.paths), len(frames)), 1.0)
    with np.errstate(over="ignore"):  # a number beyond the format's is a gap
        points[:3] = np.asarray(np.array(frames).transpose(2, 1, 0) * factor, dtype=np.float32)
    missing = ~np.isfinite(points).all(axis=0)
    points[:3, missing] = 0.0
    file: Any = ezc3d.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"] = [markers.fps]
    point["LABELS"]["value"] = _ascii_labels(markers.paths)
    point["UNITS"]["value"] = [unit]
    file.add_parameter("POINT", "X_SCREEN", ["+Z" if markers.back else "+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0)[np.newaxis]
    return file


def _ascii_labels(labels: Iterable[str]) -> tuple[str, ...]:
    return marker_labels([label.encode("ascii", "replace").decode() for label in labels])
