"""`.c3d` files, read back by ezc3d."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async.errors import OutputError
from ochy_async.tables import RecordingFile, write_c3d
from ochy_async.tables.markers import markers_of
from tests.gait.recordings import filmed, runner

from .recordings import frame, in_pixels, saved

ezc3d: Any = pytest.importorskip("ezc3d", reason="needs the extra c3d: ezc3d is not installed")


def read(recording: RecordingFile) -> Any:
    """What ezc3d reads from the exported file, which must be the only one in its folder."""
    folder = recording.path.parent / "c3d"
    (path,) = write_c3d([recording], folder).files
    assert list(folder.iterdir()) == [path]
    return ezc3d.c3d(str(path))


def point_parameters(file: Any) -> dict[str, Any]:
    """The parameters of the points."""
    return {name: value["value"] for name, value in file["parameters"]["POINT"].items() if name != "__METADATA__"}


@pytest.mark.parametrize("view", ["side_view", "back_view"])
def test_points_are_the_markers_in_millimeters(view: str, tmp_path: Path) -> None:
    """Every point of every frame within a thousandth of a millimeter, with the labels, the rate and the unit."""
    recording = saved(tmp_path, filmed(runner(2), view, seconds=0.5), view, fps=59.94)
    file, markers = read(recording), markers_of(recording, recording.load())
    parameters = point_parameters(file)
    assert parameters["LABELS"] == list(markers.paths)
    assert parameters["UNITS"] == ["mm"]
    assert parameters["RATE"] == pytest.approx([59.94])
    assert (parameters["X_SCREEN"], parameters["Y_SCREEN"]) == (["+Z" if view == "back_view" else "+X"], ["+Y"])
    points = file["data"]["points"]
    assert points.shape == (4, len(markers.paths), 30)
    for row, found in enumerate(markers.frames()):
        for place, point in enumerate(found):
            assert list(points[:3, place, row]) == pytest.approx([1000 * value for value in point or ()], abs=1e-3)


def test_without_a_height_the_unit_is_pixels(tmp_path: Path) -> None:
    """The numbers are those of the picture."""
    file = read(in_pixels(saved(tmp_path, {"1": frame()})))
    assert point_parameters(file)["UNITS"] == ["px"]
    assert list(file["data"]["points"][:3, 2, 0]) == [10, 60, 0]


def test_gaps_have_the_residual_of_missing_points(tmp_path: Path) -> None:
    """-1, and no position; the others have 0. A number beyond the format's is a gap too."""
    frames = {"1": frame(left_knee=None), "2": frame(), "3": {**frame(), "far": {"x": 1e300, "y": 1}}}
    file = read(saved(tmp_path, frames))
    residuals = file["data"]["meta_points"]["residuals"][0]
    assert residuals.tolist() == [[0] * 3, [0] * 3, [-1, 0, 0], [0] * 3, [0] * 3, [0] * 3, [-1, -1, -1]]
    assert bool((file["data"]["points"][:3, 2, 0] != file["data"]["points"][:3, 2, 0]).all())


def test_the_file_says_nothing_about_the_runner(tmp_path: Path) -> None:
    """Neither the analysis, the subject nor the clip is in it: only their names in the name of the file."""
    recording = saved(tmp_path, {"1": frame()}, stem="clip-7.analysis-8")
    recording = evolve(recording, analysis_id="analysis-8", subject="Ada", clip="clip-7.mp4")
    file = read(recording)
    content = (tmp_path / "c3d" / "clip-7.analysis-8.c3d").read_bytes()
    assert not any(word in content for word in (b"Ada", b"clip-7", b"analysis-8", str(tmp_path).encode()))
    assert set(file["parameters"]) == {"POINT", "ANALOG", "FORCE_PLATFORM", "ROTATION", "EZC3D"}


def test_only_the_user_may_read_the_file(tmp_path: Path) -> None:
    """ezc3d would leave it to the umask."""
    (path,) = write_c3d([saved(tmp_path, {"1": frame()})], tmp_path / "c3d").files
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_ezc3d_cannot_name_is_an_error(tmp_path: Path) -> None:
    """The file would be missing in silence otherwise."""
    folder = tmp_path / os.fsdecode(b"no-utf8-\xff")
    with pytest.raises(OutputError, match="the path is not valid"):
        write_c3d([saved(tmp_path, {"1": frame()})], folder)
    assert list(folder.iterdir()) == []


@settings(max_examples=30)
@given(st.lists(st.text(max_size=200), max_size=5, unique=True))
def test_any_name_of_a_landmark_makes_a_file_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    """ezc3d writes labels that it cannot read, of 256 characters: ours are shorter, in ASCII, and distinct."""
    frames = {"1": {**frame(), **{f"p{name}": {"x": 1, "y": 2} for name in names}}}
    labels = point_parameters(read(saved(tmp_path_factory.mktemp("c3d"), frames)))["LABELS"]
    assert len(set(labels)) == 6 + len(names)
    assert all(label.isascii() for label in labels)
