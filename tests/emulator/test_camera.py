"""The raw data of a simulated runner: segments have constant lengths, and planted feet stay on the ground."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from ochy_async.emulator.biomechanics.runner import Runner
from ochy_async.emulator.biomechanics.skeleton import LANDMARKS
from tests.support.simulated_runners import (
    FPS,
    HEIGHT,
    SIDES,
    WIDTH,
    any_runner,
    four_strides,
    landmark_frames,
    make_runner,
)

GROUND = 0.9 * HEIGHT
PIXEL = 0.3  # what rounding every coordinate to a tenth can do to a distance
RUNNER = 1.25 * WIDTH  # pixels that a runner's height takes in this picture


def effect(answer: dict[str, Any], landmark: str, axis: str) -> list[float]:
    """One coordinate of one landmark in all frames, in order."""
    return [frame[landmark][axis] for frame in answer["frames"].values()]


def soles(answer: dict[str, Any], side: str) -> list[float]:
    """The y of the lowest point of a foot in all frames."""
    return [
        max(heel, toe)
        for heel, toe in zip(
            effect(answer, f"{side}_heel", "y"), effect(answer, f"{side}_foot_index", "y"), strict=True
        )
    ]


def likeness(one: list[float], other: list[float]) -> float:
    """The correlation of two series."""
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    first, second = [value - mean_one for value in one], [value - mean_other for value in other]
    together = sum(a * b for a, b in zip(first, second, strict=True))
    return together / (math.hypot(*first) * math.hypot(*second))


@pytest.mark.parametrize("view", ["side_view", "back_view"])
def test_every_frame_has_every_landmark(view: str) -> None:
    """Frames are keyed by consecutive numbers from 0, and each has all 33 landmarks."""
    frames = landmark_frames(make_runner(), view, fps=30, seconds=1.5)["frames"]
    assert list(frames) == [str(number) for number in range(45)]
    assert len(LANDMARKS) == 33
    assert all(tuple(frame) == LANDMARKS for frame in frames.values())


def test_landmarks_are_those_of_mediapipe() -> None:
    """Names and order are MediaPipe's, from the nose to the tip of the right foot."""
    assert (LANDMARKS[0], LANDMARKS[7], LANDMARKS[11], LANDMARKS[23], LANDMARKS[32]) == (
        "nose",
        "left_ear",
        "left_shoulder",
        "left_hip",
        "right_foot_index",
    )


def test_video_information_describes_the_clip() -> None:
    """Size, frame rate, length and number of frames."""
    information = landmark_frames(make_runner(), fps=60, seconds=1)["video_input_information"]
    assert information == {"width": WIDTH, "height": HEIGHT, "fps": 60, "duration": 1, "frame_count": 60}


def test_a_clip_without_frames_has_no_landmarks() -> None:
    """The frames are an empty object."""
    assert landmark_frames(make_runner(), fps=0, seconds=0)["frames"] == {}


def test_an_unknown_view_is_an_error() -> None:
    """The message names both views."""
    with pytest.raises(ValueError, match="side_view, back_view"):
        landmark_frames(make_runner(), "front_view")


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@any_runner
def test_runner_stays_in_the_picture(runner: Runner, view: str) -> None:
    """Every landmark of every frame is in the picture."""
    for frame in four_strides(runner, view)["frames"].values():
        assert all(0 < place["x"] < WIDTH and 0 < place["y"] < HEIGHT for place in frame.values())


@pytest.mark.parametrize(
    ("upper", "lower"), [("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"), ("shoulder", "elbow")]
)
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_segments_keep_their_length(runner: Runner, side: str, upper: str, lower: str) -> None:
    """In a side view the distance between two joints is constant."""
    lengths = [
        math.dist(*((frame[f"{side}_{end}"]["x"], frame[f"{side}_{end}"]["y"]) for end in (upper, lower)))
        for frame in four_strides(runner)["frames"].values()
    ]
    assert max(lengths) - min(lengths) < PIXEL


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_planted_foot_stays_on_the_ground(runner: Runner, side: str, view: str) -> None:
    """A foot is on the ground for the share of time that is the duty factor, without interruptions of a contact."""
    planted = [abs(sole - GROUND) < PIXEL for sole in soles(four_strides(runner, view), side)]
    landings = sum(later and not earlier for earlier, later in pairwise(planted))
    assert landings in (3, 4, 5)  # four strides; the clip may begin or end on a landing
    assert sum(planted) / len(planted) == pytest.approx(runner.duty_factor, abs=0.02)


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_no_foot_sinks_into_the_ground(runner: Runner, side: str) -> None:
    """A foot in swing has clearance."""
    assert max(soles(four_strides(runner), side)) < GROUND + PIXEL


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_a_flat_foot_moves_with_the_belt(runner: Runner, side: str) -> None:
    """It moves backwards at the runner's speed."""
    answer = four_strides(runner)
    toes, heels = effect(answer, f"{side}_foot_index", "y"), effect(answer, f"{side}_heel", "y")
    way = effect(answer, f"{side}_foot_index", "x")
    flat = [abs(toe - GROUND) < PIXEL and abs(heel - GROUND) < PIXEL for toe, heel in zip(toes, heels, strict=True)]
    steps = [way[at] - way[at + 1] for at in range(len(way) - 1) if flat[at] and flat[at + 1]]
    assert steps
    assert sum(steps) / len(steps) == pytest.approx(runner.speed * RUNNER / runner.height / FPS, rel=0.05)


@pytest.mark.parametrize("landmark", ["knee", "ankle", "foot_index", "wrist"])
@any_runner
def test_left_and_right_are_half_a_stride_apart(runner: Runner, landmark: str) -> None:
    """The right side repeats the motion of the left side half a stride later."""
    answer = four_strides(runner)
    left, right = (effect(answer, f"{side}_{landmark}", "x") for side in SIDES)
    half = round(FPS * 60 / runner.cadence)
    assert likeness(left[:-half], right[half:]) > 0.98
    assert likeness(left, right) < 0


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_arms_swing_against_their_legs(runner: Runner, side: str) -> None:
    """When a knee moves forward, the hand of the same side moves back."""
    answer = four_strides(runner)
    assert likeness(effect(answer, f"{side}_wrist", "x"), effect(answer, f"{side}_knee", "x")) < -0.5


@any_runner
def test_hips_oscillate_twice_a_stride(runner: Runner) -> None:
    """The middle of the hips rises and falls once in each step."""
    answer = four_strides(runner)
    left, right = (effect(answer, f"{side}_hip", "y") for side in SIDES)
    heights = [one + other for one, other in zip(left, right, strict=True)]
    middle = (max(heights) + min(heights)) / 2
    crossings = sum((one > middle) != (other > middle) for one, other in pairwise(heights))
    assert crossings == pytest.approx(4 * 2 * 2, abs=1)  # four strides
