"""Landmarks as markers: axes, origin, scale, labels and gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.emulator.biomechanics.motion import motion_of
from ochy_async.emulator.biomechanics.skeleton import pose_at
from ochy_async.gait import CannotTell
from ochy_async.tables.markers import marker_labels, markers_of
from ochy_async.tables.recordings import RecordingFile
from tests.gait.recordings import Point, changed, filmed, landmarks, runner

from .recordings import HEIGHT, filmed_recording, frame, in_pixels

SIDE = RecordingFile(path=filmed_recording()[0].path, analysis_id="a1", view="side_view", height=HEIGHT)


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("seed", range(4))
def test_positions_are_those_of_the_runner_in_meters(seed: int, view: str) -> None:
    """Each way from joint to joint is the true one within 1.5 cm, in the axes of OpenSim: forward, up, right."""
    recording, seen, _ = filmed_recording(seed, view)
    markers = markers_of(recording, seen)
    who = runner(seed)
    for number, points in enumerate(markers.frames()):
        true = pose_at(motion_of(who), who.start_phase + number * who.cadence / 120 / 60)
        found = dict(zip(markers.paths, points, strict=True))
        for start, end, names in (
            ("RHip", "RAnkle", ("right_hip", "right_ankle")),
            ("RShoulder", "RWrist", ("right_shoulder", "right_wrist")),
            ("LHip", "RHip", ("left_hip", "right_hip")),
        ):
            first, last = found[start], found[end]
            assert first is not None
            assert last is not None
            way = [after - before for before, after in zip(first, last, strict=True)]
            forward, left, up = (after - before for before, after in zip(*(true[name] for name in names), strict=True))
            expected = (0, up, -left) if view == "back_view" else (forward, up, 0)
            assert way == pytest.approx(expected, abs=0.015)


def test_the_origin_is_on_the_ground_below_the_hips() -> None:
    """The lowest joint of the recording is at height 0, and the hips of the first frame are at 0."""
    markers = markers_of(*filmed_recording()[:2])
    assert min(point.imag for path in markers.paths.values() for point in path) == pytest.approx(0, abs=1e-9)
    assert (markers.paths["LHip"][0].real + markers.paths["RHip"][0].real) / 2 == pytest.approx(0)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: {"x": 1920 - p["x"], "y": p["y"]}, id="to the left"),
        pytest.param(lambda p: {"x": p["x"], "y": 1080 - p["y"]}, id="y up"),
        pytest.param(lambda p: {"x": p["x"] / 1920, "y": p["y"] / 1080}, id="shares of the picture"),
    ],
)
def test_the_spelling_makes_no_difference(change: Callable[[Point], Any]) -> None:
    """Every runner faces forward and stands on the ground."""
    _, seen, frames = filmed_recording()
    usual, other = markers_of(SIDE, seen), markers_of(SIDE, landmarks(changed(frames, change)))
    for label, path in usual.paths.items():
        for one, another in zip(path, other.paths[label], strict=True):
            assert abs(one - another) < 1e-6


def test_without_a_height_lengths_are_pixels() -> None:
    """No height is assumed, and the note says so."""
    recording, seen, frames = filmed_recording()
    markers = markers_of(in_pixels(recording), seen)
    hip, knee = (frames["0"][f"left_{part}"] for part in ("hip", "knee"))
    way = markers.paths["LKnee"][0] - markers.paths["LHip"][0]
    assert (way.real, way.imag) == pytest.approx((knee["x"] - hip["x"], hip["y"] - knee["y"]))
    assert markers.unit == "px"
    assert "the request states no height" in markers.note


def test_without_a_joint_of_the_scale_lengths_are_pixels() -> None:
    """A skeleton without knees has no known shank, so a height gives no scale."""
    some = {"0": {name: point for name, point in frame().items() if name != "left_knee"}}
    markers = markers_of(SIDE, landmarks(some))
    assert (markers.unit, "lack a joint" in markers.note) == ("px", True)


def test_gaps_and_missing_frames_stay_gaps() -> None:
    """Nothing is filled in, neither a point nor a frame."""
    frames = {"4": frame(), "5": frame(left_knee=None), "7": frame()}
    markers = markers_of(SIDE, landmarks(frames))
    assert markers.first_frame == 4
    assert [math.isnan(point.real) for point in markers.paths["LKnee"]] == [False, True, True, False]
    assert [math.isnan(point.real) for point in markers.paths["LHip"]] == [False, False, True, False]


def test_unlikely_points_are_gaps() -> None:
    """A score below 0.3 is a gap, as for the angles."""
    frames = {"0": frame(), "1": frame()}
    frames["1"]["left_wrist"] = {"x": 1, "y": 2, "score": 0.2}
    frames["0"]["left_wrist"] = {"x": 1, "y": 2, "score": 0.9}
    wrist = markers_of(SIDE, landmarks(frames)).paths["LWrist"]
    assert [math.isnan(point.real) for point in wrist] == [False, True]


@pytest.mark.parametrize(
    ("recording", "video", "why"),
    [
        (SIDE, {"fps": None}, "--fps"),
        (evolve(SIDE, view=None), {}, "side view or a back view"),
        (evolve(SIDE, view="top_view"), {}, "side view or a back view"),
        (evolve(SIDE, view="back_view"), {}, "left and right cannot be told"),
    ],
)
def test_what_is_not_known_is_not_assumed(recording: RecordingFile, video: dict[str, Any], why: str) -> None:
    """Without a frame rate, a view or the sides of the body the recording is refused, with the reason."""
    with pytest.raises(CannotTell, match=why):
        markers_of(recording, landmarks({"0": frame()}, **video))


def test_landmarks_that_are_no_joints_keep_their_names() -> None:
    """The joints have the names of Pose2Sim's models, and every point that was seen is there."""
    seen = landmarks(filmed(runner(1), seconds=0.1))
    markers = markers_of(SIDE, seen)
    assert len(markers.paths) == len(seen.names)
    assert {"Nose", "LBigToe", "RHeel", "left_eye_inner", "right_pinky"} <= markers.paths.keys()


@given(st.lists(st.text(max_size=80), unique=True))
def test_labels_are_words_and_no_two_alike(names: list[str]) -> None:
    """Tabs, line breaks, quotes, spaces and lone surrogates are in no label."""
    labels = marker_labels(names)
    assert len(set(labels)) == len(names)
    assert all(re.fullmatch(r"[\w.-]+", label) and label.encode() for label in labels)
