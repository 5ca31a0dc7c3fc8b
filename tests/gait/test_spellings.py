"""The same runner in every spelling that raw data may have, and landmarks that show less."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from ochy_async.gait import CannotTell, SideGait, back_gait, side_gait
from ochy_async.gait.joints import joint_names
from ochy_async.gait.recording import other_paths, picture_paths, recording_of

from .recordings import Frames, Point, changed, filmed, landmarks, renamed, runner

WHO = runner(7)
FRAMES = filmed(WHO)
USUAL = side_gait(landmarks(FRAMES))
BODY = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def same(gait: SideGait, within: float = 0.5) -> bool:
    """Whether a gait is the usual one."""
    pairs = [
        (gait.curves[side][name], curve) for side, curves in USUAL.curves.items() for name, curve in curves.items()
    ]
    knees = all(abs(one - other) < within for a, b in pairs for one, other in zip(a.mean, b.mean, strict=True))
    return knees and abs(gait.stride_frames - USUAL.stride_frames) < within


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: [p["x"], p["y"]], id="pairs"),
        pytest.param(lambda p: {"x": p["x"], "y": 1080 - p["y"]}, id="y up"),
        pytest.param(lambda p: {"x": 1920 - p["x"], "y": p["y"]}, id="to the left"),
        pytest.param(lambda p: {"x": p["x"] / 1920, "y": p["y"] / 1080}, id="shares of the picture"),
        pytest.param(lambda p: {"x": p["x"] - 960, "y": p["y"] - 540}, id="origin in the middle"),
        pytest.param(lambda p: {**p, "z": 3.0, "visibility": 0.9}, id="more coordinates"),
    ],
)
def test_the_spelling_of_points_makes_no_difference(change: Callable[[Point], Any]) -> None:
    """Pairs or objects, pixels or shares, y up or down, running to the left or right."""
    assert same(side_gait(landmarks(changed(FRAMES, change))))


@pytest.mark.parametrize("resolution", ["1920x1080", [1920, 1080], {"width": 1920, "height": 1080}])
def test_the_size_of_the_picture_may_be_a_resolution(resolution: Any) -> None:
    """Shares of the picture need its size, wherever it comes."""
    shares = changed(FRAMES, lambda p: {"x": p["x"] / 1920, "y": p["y"] / 1080})
    assert same(side_gait(landmarks(shares, width=None, height=None, resolution=resolution)))


@pytest.mark.parametrize("resolution", [None, "", "big", [1], [0, 5], {"width": "a"}, 3])
def test_shares_without_a_size_are_refused(resolution: Any) -> None:
    """Without the size of the picture the two axes have different scales."""
    shares = changed(FRAMES, lambda p: {"x": p["x"] / 1920, "y": p["y"] / 1080})
    with pytest.raises(CannotTell, match="size was not sent"):
        side_gait(landmarks(shares, width=None, height=None, resolution=resolution))


OPENPOSE = {f"{side}_{part}": f"{side[0].upper()}{part.capitalize()}" for side in ("left", "right") for part in BODY}
FEET = {
    f"{side}_{part}": name for side in ("left", "right") for part, name in (("heel", "heel"), ("foot_index", "toe"))
}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            {**OPENPOSE, "left_heel": "LHeel", "right_heel": "RHeel"}
            | {"left_foot_index": "LBigToe", "right_foot_index": "RBigToe"},
            id="OpenPose",
        ),
        pytest.param(
            {name: "".join(word.capitalize() for word in name.split("_")) for name in FRAMES["0"]}, id="camel case"
        ),
        pytest.param({name: name.replace("_", " ") for name in FRAMES["0"]}, id="with spaces"),
        pytest.param(
            {name: "_".join([*name.split("_")[1:], name.split("_")[0]]) for name in FRAMES["0"] if "_" in name},
            id="side at the end",
        ),
        pytest.param({name: name.upper() for name in FRAMES["0"]}, id="upper case"),
    ],
)
def test_the_spelling_of_names_makes_no_difference(names: dict[str, str]) -> None:
    """MediaPipe's, OpenPose's, camel and snake case."""
    assert same(side_gait(landmarks(renamed(FRAMES, names))))


def test_a_skeleton_without_feet_has_no_ankle_angle() -> None:
    """COCO has no heels and toes: the other curves are the same, and the reason is given."""
    names = {"nose": "nose"} | {f"{side}_{part}": f"{side}_{part}" for side in ("left", "right") for part in BODY}
    gait = side_gait(landmarks(renamed(FRAMES, names)))
    assert set(gait.curves["left"]) == {"hip", "knee", "elbow", "trunk"}
    assert gait.missing == {
        f"{side} ankle": "The landmarks lack a joint that the angle needs." for side in ("left", "right")
    }
    assert gait.curves["left"]["knee"].peak == pytest.approx(USUAL.curves["left"]["knee"].peak)


def test_unknown_names_are_reported() -> None:
    """A name that is not known, and one that two landmarks share, is no joint."""
    names = joint_names(["left_knee", "p17", "LKnee", "right_hip", "knee", "left_right_hip"])
    assert names.landmarks == {"right_hip": "right_hip"}
    assert names.unknown == ("left_knee", "p17", "LKnee", "knee", "left_right_hip")
    with pytest.raises(CannotTell):
        side_gait(landmarks(renamed(FRAMES, {"left_hip": "p1", "left_knee": "p2"})))


def test_without_a_frame_rate_there_are_no_times() -> None:
    """The curves are the same; the cadence is unknown, unless the caller knows the frame rate."""
    gait = side_gait(landmarks(FRAMES, fps=None))
    assert gait.cadence is None
    assert same(gait)
    assert side_gait(landmarks(FRAMES, fps=None), fps=60).cadence == USUAL.cadence


def gappy(every: int, length: int) -> dict[str, Any]:
    """The usual frames without the knees in `length` frames out of `every`."""
    return {
        number: {
            name: None if "knee" in name and int(number) % every < length else point for name, point in frame.items()
        }
        for number, frame in FRAMES.items()
    }


def test_short_gaps_are_filled() -> None:
    """Two frames without knees out of twenty change no curve by more than two degrees."""
    assert same(side_gait(landmarks(gappy(20, 2))), within=2)


def test_strides_with_long_gaps_are_left_out() -> None:
    """The knee's curve comes from fewer strides, the elbow's from all."""
    gait = side_gait(landmarks(gappy(150, 25)))
    assert 0 < gait.curves["left"]["knee"].strides < gait.curves["left"]["elbow"].strides


def test_a_joint_that_is_never_seen_long_enough_has_no_curve() -> None:
    """No stride is complete: the reason is given."""
    gait = side_gait(landmarks(gappy(30, 20)))
    assert "knee" not in gait.curves["left"]
    assert "gap" in gait.missing["left knee"]


def test_missing_frames_are_gaps() -> None:
    """Frames that were left out do not shift the ones after them."""
    some = {number: frame for number, frame in FRAMES.items() if int(number) % 10}
    assert same(side_gait(landmarks(some)), within=1.5)


def test_unlikely_points_are_gaps() -> None:
    """Points with a score below 0.3 are not used: with the knees unlikely, there is no knee curve."""
    frames = {
        number: {name: {**point, "score": 0.1 if "knee" in name else 0.9} for name, point in frame.items()}
        for number, frame in FRAMES.items()
    }
    gait = side_gait(landmarks(frames))
    assert "knee" not in gait.curves["left"]
    assert "elbow" in gait.curves["left"]


def test_a_mirrored_back_view_is_turned() -> None:
    """A selfie camera swaps left and right in the picture: the signs stay those of the body."""
    frames = filmed(WHO, "back_view")
    usual = back_gait(landmarks(frames, "back_view"))
    mirrored = back_gait(landmarks(changed(frames, lambda p: {**p, "x": 1080 - p["x"]}), "back_view"))
    assert (usual.recording.mirrored, mirrored.recording.mirrored) == (False, True)
    for side in ("left", "right"):
        for one, other in zip(
            usual.curves[side]["knee_adduction"].mean, mirrored.curves[side]["knee_adduction"].mean, strict=True
        ):
            assert one == pytest.approx(other, abs=0.01)


def few(frames: Frames) -> dict[str, Any]:
    """The first ten frames."""
    return dict(list(frames.items())[:10])


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (few(FRAMES), "repeats"),
        ({str(n): FRAMES["0"] for n in range(240)}, "repeats"),
        ({str(50 * n): FRAMES[str(n)] for n in range(100)}, "frame numbers are missing"),
        (changed(FRAMES, lambda _: None), "no frames with an x and a y"),
        (changed(FRAMES, lambda p: {"x": p["x"]}), "no frames with an x and a y"),
        (changed(FRAMES, lambda _: {"x": math.nan, "y": math.nan}), "gap"),
        (renamed(FRAMES, {"left_wrist": "left_wrist"}), "up and down"),
        (renamed(FRAMES, {name: name for name in ("left_hip", "left_shoulder")}), "direction of running"),
    ],
)
def test_landmarks_that_show_no_running_are_refused(frames: dict[str, Any], why: str) -> None:
    """The error says what is missing."""
    with pytest.raises(CannotTell, match=why):
        side_gait(landmarks(frames))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p, id="y down"),
        pytest.param(lambda p: {"x": p["x"], "y": 1080 - p["y"]}, id="y up"),
        pytest.param(lambda p: {"x": p["x"] / 1920, "y": p["y"] / 1080}, id="shares of the picture"),
        pytest.param(lambda p: {"x": p["x"] / 1920, "y": 1 - p["y"] / 1080}, id="shares, y up"),
        pytest.param(lambda p: {**p, "score": 0.1}, id="unlikely"),
    ],
)
def test_points_of_the_picture_are_pixels_from_above(change: Callable[[Point], Any]) -> None:
    """Whatever the spelling, a joint is where it is in the picture."""
    knee = picture_paths(landmarks(changed(FRAMES, change)))["left_knee"]
    for number, point in enumerate(knee):
        true = FRAMES[str(number)]["left_knee"]
        assert (point.real, point.imag) == pytest.approx((true["x"], true["y"]))


def test_points_of_the_picture_need_to_know_its_upper_edge() -> None:
    """With y up and no size, the distance from the upper edge is not known."""
    up = changed(FRAMES, lambda p: {"x": p["x"], "y": 1080 - p["y"]})
    with pytest.raises(CannotTell, match="count y upwards"):
        picture_paths(landmarks(up, width=None, height=None))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p, id="y down"),
        pytest.param(lambda p: {"x": 1920 - p["x"], "y": 1080 - p["y"]}, id="to the left, y up"),
    ],
)
def test_other_landmarks_are_placed_like_joints(change: Callable[[Point], Any]) -> None:
    """An ear is above the shoulders and in front of the hips of a runner who leans forward, wherever they run."""
    seen = landmarks(changed(FRAMES, change))
    gait = recording_of(seen, "side_view")
    others = other_paths(seen, gait)
    assert "left_index" in others
    assert not {"left_knee", "nose"} & others.keys()
    for ear, shoulder, hip in zip(
        others["left_ear"], gait.joints["left_shoulder"], gait.joints["left_hip"], strict=True
    ):
        assert ear.imag > shoulder.imag
        assert ear.real > hip.real


def test_a_landmark_that_is_never_seen_has_no_path() -> None:
    """A name alone is no point."""
    frames = {number: {**frame, "p1": None, "p2": {"x": 1, "y": 2}} for number, frame in FRAMES.items()}
    seen = landmarks(frames)
    assert {"p1", "p2"} & other_paths(seen, recording_of(seen, "side_view")).keys() == {"p2"}
