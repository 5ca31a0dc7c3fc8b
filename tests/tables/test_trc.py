"""`.trc` files, as text and as what they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.errors import OutputError
from ochy_async.tables import write_trc
from ochy_async.tables.markers import markers_of
from ochy_async.tables.trc import trc_lines
from tests.gait.recordings import landmarks

from .recordings import HEIGHT, filmed_recording, frame, in_pixels, saved

GOLDEN = """\
PathFileType\t4\t(X/Y/Z)\trun.a1.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
59.94\t59.94\t3\t6\tpx\t59.94\t1\t3
Frame#\tTime\tLShoulder\t\t\tLHip\t\t\tLKnee\t\t\tLAnkle\t\t\tLHeel\t\t\tLBigToe\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2\tX3\tY3\tZ3\tX4\tY4\tZ4\tX5\tY5\tZ5\tX6\tY6\tZ6

1\t0.000000\t0.000\t190.000\t0.000\t0.000\t110.000\t0.000\t10.000\t60.000\t0.000\t0.000\t10.000\t0.000\t-5.000\t0.000\
\t0.000\t20.000\t0.000\t0.000
2\t0.016683\t0.000\t190.000\t0.000\t0.000\t110.000\t0.000\tNaN\tNaN\tNaN\t0.000\t10.000\t0.000\t-5.000\t0.000\t0.000\
\t20.000\t0.000\t0.000
3\t0.033367\t0.000\t190.000\t0.000\t0.000\t110.000\t0.000\t10.000\t60.000\t0.000\t0.000\t10.000\t0.000\t-5.000\t0.000\
\t0.000\t20.000\t0.000\t0.000
"""


def test_the_file_is_as_opensim_writes_it(tmp_path: Path) -> None:
    """Every byte of a small file."""
    frames = {"1": frame(), "2": frame(left_knee=None), "3": frame()}
    exported = write_trc([in_pixels(saved(tmp_path, frames, fps=59.94))], tmp_path / "trc")
    (path,) = exported.files
    assert path == tmp_path / "trc" / "run.a1.trc"
    assert path.read_bytes().decode() == GOLDEN


def test_only_the_user_may_read_the_file(tmp_path: Path) -> None:
    """The positions of a runner are health data."""
    (path,) = write_trc([saved(tmp_path, {"1": frame()})], tmp_path / "trc").files
    if os.name == "posix":
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_frame_rate_can_be_stated(tmp_path: Path) -> None:
    """It replaces the one of the raw data, or stands in for it."""
    recording = saved(tmp_path, {"1": frame(), "2": frame()}, fps=None)
    (failure,) = write_trc([recording], tmp_path / "trc").failures
    assert failure.startswith("run.a1.raw_data.json: ")
    assert "--fps" in failure
    (path,) = write_trc([evolve(recording, fps=25.0)], tmp_path / "trc").files
    assert "\n2\t0.040000\t" in path.read_text()


def test_a_recording_that_cannot_be_exported_costs_no_other_its_place(tmp_path: Path) -> None:
    """Those that are broken are named with the reason, and the notes count what happened to the others."""
    broken = saved(tmp_path, {}, stem="broken.b")
    broken.path.write_text("{")
    good = [saved(tmp_path, {"1": frame()}, stem=f"run.a{n}") for n in range(3)]
    exported = write_trc([good[0], broken, saved(tmp_path, {}, stem="empty.c"), in_pixels(good[1]), good[2]], tmp_path)
    assert [path.name for path in exported.files] == ["run.a0.trc", "run.a1.trc", "run.a2.trc"]
    assert exported.recordings == 3
    assert ["broken.b" in exported.failures[0], "empty.c" in exported.failures[1]] == [True, True]
    assert [note.partition(",")[0] for note in exported.notes] == [
        "2 recordings: lengths are in meters",
        "1 recording: lengths are in pixels",
    ]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error says what to do, and holds no number of the runner."""
    (tmp_path / "trc").write_text("a file")
    with pytest.raises(OutputError, match="trc' cannot be written: there is a file where a folder must be"):
        write_trc([saved(tmp_path, {"1": frame()})], tmp_path / "trc")


POINT = st.none() | st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)) | st.floats()


@given(
    st.dictionaries(st.text(max_size=20), st.lists(POINT, min_size=3, max_size=3), max_size=5),
    st.booleans(),
    st.text(max_size=20),
)
def test_every_line_has_every_cell(others: dict[str, list[Any]], known: bool, name: str) -> None:
    """Whatever the names and points: as many cells as markers, numbers that can be read, and NaN exactly in gaps."""
    frames = {str(n): {**frame(), **{key: points[n] for key, points in others.items()}} for n in range(3)}
    recording = filmed_recording(seconds=0.1)[0]
    markers = markers_of(recording if known else in_pixels(recording), landmarks(frames))
    lines = list(trc_lines(markers, f"{name}.trc"))
    assert [len(line.splitlines()) for line in lines] == [1] * 5 + [0] + [1] * 3
    assert len(lines[3].split("\t")) == len(lines[6].split("\t")) == 2 + 3 * len(markers.paths)
    for line, points in zip(lines[6:], markers.frames(), strict=True):
        numbers = [float(cell) for cell in line.split("\t")][2:]
        for place, point in enumerate(points):
            assert numbers[3 * place : 3 * place + 3] == pytest.approx(
                point or (float("nan"),) * 3, abs=1e-3, rel=1e-9, nan_ok=True
            )


def test_meters_need_the_height_alone(tmp_path: Path) -> None:
    """A stated height is enough, and a taller runner is larger in proportion."""
    recording = saved(tmp_path, {"1": frame()})
    texts = []
    for height in (HEIGHT, 2 * HEIGHT):
        (path,) = write_trc([evolve(recording, height=height)], tmp_path).files
        texts.append([float(cell) for cell in path.read_text().splitlines()[6].split("\t")[2:]])
    assert texts[1] == pytest.approx([2 * value for value in texts[0]], abs=2e-6)
