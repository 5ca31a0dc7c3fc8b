"""What OpenSim's own readers make of the files, in a process of their own: OpenSim logs to the working directory."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ochy_async.tables import write_mot, write_trc
from ochy_async.tables.markers import markers_of
from tests.gait.recordings import filmed, runner

from .recordings import frame, in_pixels, saved

pytestmark = pytest.mark.skipif(find_spec("opensim") is None, reason="opensim is not installed")

READ = """
import json, sys
import opensim

opensim.Logger.removeFileSink()
opensim.Logger.setLevelString("Off")
path, found = sys.argv[1], {}
if path.endswith(".trc"):
    table = opensim.TimeSeriesTableVec3(path)
    rows = [[[row[n][axis] for axis in range(3)] for n in range(row.size())]
            for row in map(table.getRowAtIndex, range(table.getNumRows()))]
    markers = opensim.MarkerData(path)
    found["markers"] = [markers.getNumFrames(), markers.getNumMarkers(), markers.getUnits().getLabel()]
    found["metadata"] = {key: table.getTableMetaDataString(key) for key in ("DataRate", "Units")}
    try:
        opensim.MarkersReference(path, opensim.SetMarkerWeights())
    except RuntimeError as error:
        found["reference"] = str(error)
else:
    table = opensim.TimeSeriesTable(path)
    rows = [[row[n] for n in range(row.size())] for row in map(table.getRowAtIndex, range(table.getNumRows()))]
    storage, column = opensim.Storage(path), opensim.ArrayDouble()
    storage.getDataColumn(table.getColumnLabels()[0], column)
    found["storage"] = [column.get(n) for n in range(column.size())]
    found["degrees"] = [storage.isInDegrees(), table.getTableMetaDataString("inDegrees")]
found.update(labels=list(table.getColumnLabels()), rows=rows, times=list(table.getIndependentColumn()))
print(json.dumps(found))
"""


def read(path: Path) -> dict[str, Any]:
    """The content of a file as OpenSim reads it."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("view", ["side_view", "back_view"])
def test_every_marker_of_a_trc_is_read(view: str, tmp_path: Path) -> None:
    """Labels, times, positions and the unit; the markers can be tracked."""
    recording = saved(tmp_path, filmed(runner(1), view, seconds=0.5), view, fps=59.94)
    found = read(write_trc([recording], tmp_path).files[0])
    markers = markers_of(recording, recording.load())
    assert found["labels"] == list(markers.paths)
    assert found["metadata"] == {"DataRate": "59.94", "Units": "m"}
    assert found["markers"] == [30, len(markers.paths), "meters"]
    assert found["times"] == pytest.approx([row / 59.94 for row in range(30)], abs=1e-6)
    assert "reference" not in found
    for row, points in zip(found["rows"], markers.frames(), strict=True):
        for point, true in zip(row, points, strict=True):
            assert point == pytest.approx(true, abs=1e-6)


def test_gaps_of_a_trc_are_gaps_and_no_name_shifts_a_column(tmp_path: Path) -> None:
    """Also in the last marker, and with names that hold tabs, line breaks and quotes."""
    names = {'a\t"b"\n': (5, 5), "LKnee \x1f": (6, 6), "膝": (7, 7), "": (8, 8)}
    frames = {"1": frame(left_knee=None, **names), "2": frame(**{**names, "": None}), "3": frame(**names)}
    found = read(write_trc([saved(tmp_path, frames)], tmp_path).files[0])
    assert len(found["labels"]) == len(set(found["labels"])) == 10
    gaps = [[place for place, point in enumerate(row) if point[0] != point[0]] for row in found["rows"]]
    assert [[found["labels"][place] for place in row] for row in gaps] == [["LKnee"], [found["labels"][-1]], []]


def test_pixels_are_not_taken_for_meters(tmp_path: Path) -> None:
    """The table can be read, and inverse kinematics refuses the unit instead of scaling by it."""
    found = read(write_trc([in_pixels(saved(tmp_path, {"1": frame(), "2": frame()}))], tmp_path).files[0])
    assert found["metadata"]["Units"] == "px"
    assert "unspecified units" in found["reference"]
    assert found["rows"][0][2] == [10, 60, 0]


def test_every_angle_of_a_mot_is_read(tmp_path: Path) -> None:
    """By the table and by the older storage, in degrees."""
    found = read(write_mot([saved(tmp_path, filmed(runner(1), seconds=0.5))], tmp_path).files[0])
    assert found["degrees"] == [True, "yes"]
    assert len(found["labels"]) == 9
    assert len(found["rows"]) == 30
    assert found["storage"] == [row[0] for row in found["rows"]]


def test_gaps_of_a_mot_are_gaps_in_the_table_only(tmp_path: Path) -> None:
    """The storage stops at the first, as the note of the export says."""
    frames = {"1": frame(), "2": frame(left_knee=None), "3": frame()}
    exported = write_mot([saved(tmp_path, frames)], tmp_path)
    found = read(exported.files[0])
    assert [row[0] == row[0] for row in found["rows"]] == [True, False, True]
    assert len(found["storage"]) < 3
    assert "Storage stops at the first" in exported.notes[0]
