"""OpenPose's JSON, a file for each frame."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ochy_async.errors import OutputError
from ochy_async.tables import write_openpose
from ochy_async.tables.openpose import BODY_25
from tests.gait.recordings import filmed, runner

from .recordings import frame, saved


def people(folder: Path) -> list[list[Any]]:
    """The people of all frames, in the order of the names of their files."""
    return [json.loads(path.read_text())["people"] for path in sorted(folder.iterdir())]


def keypoints(person: Any) -> dict[str, tuple[float, ...]]:
    """The points of a person by their names."""
    flat = person["pose_keypoints_2d"]
    return {name: tuple(flat[3 * n : 3 * n + 3]) for n, name in enumerate(BODY_25)}


def test_names_and_content_are_those_of_openpose(tmp_path: Path) -> None:
    """Frames count from 0 with twelve digits; a frame without points, and one that was not sent, has nobody in it."""
    nobody = dict.fromkeys(frame())
    exported = write_openpose([saved(tmp_path, {"1": frame(), "2": nobody, "4": frame()}, fps=None)], tmp_path / "json")
    (folder,) = exported.files
    assert folder == tmp_path / "json" / "run.a1_json"
    assert sorted(path.name for path in folder.iterdir()) == [f"run.a1_00000000000{n}_keypoints.json" for n in range(4)]
    assert [len(each) for each in people(folder)] == [1, 0, 0, 1]
    content = json.loads((folder / "run.a1_000000000000_keypoints.json").read_text())
    assert content["version"] == 1.3
    assert len(content["people"][0]["pose_keypoints_2d"]) == 75
    assert exported.notes == ["1 recording: points without a score have the confidence 1"]


def test_points_stand_where_they_are_in_the_picture(tmp_path: Path) -> None:
    """Pixels with y down, whatever way the runner faces, with the scores; neck and middle of the hips are middles."""
    frames = filmed(runner(1), seconds=0.1)
    scored = {n: {name: {**point, "score": 0.25} for name, point in each.items()} for n, each in frames.items()}
    scored["0"]["left_hip"]["score"] = 0.125
    (folder,) = write_openpose([saved(tmp_path, scored, fps=None)], tmp_path).files
    found, true = keypoints(people(folder)[0][0]), scored["0"]
    for name, landmark in (("left_knee", "left_knee"), ("right_toe", "right_foot_index"), ("left_eye", "left_eye")):
        assert found[name] == (true[landmark]["x"], true[landmark]["y"], 0.25)
    hips = [true[f"{side}_hip"] for side in ("left", "right")]
    assert found["pelvis"] == pytest.approx(
        ((hips[0]["x"] + hips[1]["x"]) / 2, (hips[0]["y"] + hips[1]["y"]) / 2, 0.125)
    )
    assert found["left_small_toe"] == (0, 0, 0)


def test_a_point_without_its_own_place_is_unknown(tmp_path: Path) -> None:
    """A gap is 0, 0, 0, and the middle of one hip is no middle."""
    (folder,) = write_openpose([saved(tmp_path, {"1": frame(left_knee=None)})], tmp_path).files
    found = keypoints(people(folder)[0][0])
    assert found["left_hip"] == (100, 100, 1)
    assert {found[name] for name in ("left_knee", "right_hip", "pelvis", "neck")} == {(0, 0, 0)}


def test_only_the_user_may_read_the_files(tmp_path: Path) -> None:
    """The folder and all files in it."""
    (folder,) = write_openpose([saved(tmp_path, {"1": frame()})], tmp_path / "json").files
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    """No frame of it is left, and nothing else either."""
    recording = saved(tmp_path, {str(n): frame() for n in range(5)})
    write_openpose([recording], tmp_path / "json")
    (folder,) = write_openpose([saved(tmp_path, {"0": frame()})], tmp_path / "json").files
    assert len(list(folder.iterdir())) == 1
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    """Nobody's own file is deleted."""
    recording = saved(tmp_path, {"0": frame()})
    (folder,) = write_openpose([recording], tmp_path / "json").files
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        write_openpose([recording], tmp_path / "json")
    assert len(list(folder.iterdir())) == 2
    assert list(folder.parent.iterdir()) == [folder]


def test_y_upwards_from_an_unknown_edge_is_left_out(tmp_path: Path) -> None:
    """OpenPose counts from the upper edge, and it is not known where that is."""
    up = {name: {"x": point["x"], "y": -point["y"]} for name, point in frame().items()}
    exported = write_openpose([saved(tmp_path, {"0": up}), saved(tmp_path, {"0": frame()}, stem="b.b")], tmp_path)
    assert "count y upwards" in exported.failures[0]
    assert [path.name for path in exported.files] == ["b.b_json"]
