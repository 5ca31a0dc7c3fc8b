"""The raw data of a made-up runner: a body that keeps its bones, on feet that keep to the ground."""

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
    """One coordinate of one landmark over all frames, in their order."""
    return [frame[landmark][axis] for frame in answer["frames"].values()]


def soles(answer: dict[str, Any], side: str) -> list[float]:
    """The y of the lowest point of a foot over all frames."""
    return [
        max(heel, toe)
        for heel, toe in zip(
            effect(answer, f"{side}_heel", "y"), effect(answer, f"{side}_foot_index", "y"), strict=True
        )
    ]


def likeness(one: list[float], other: list[float]) -> float:
    """The correlation of two courses."""
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    first, second = [value - mean_one for value in one], [value - mean_other for value in other]
    together = sum(a * b for a, b in zip(first, second, strict=True))
    return together / (math.hypot(*first) * math.hypot(*second))


@pytest.mark.parametrize("view", ["side_view", "back_view"])
def test_every_frame_has_every_landmark(view: str) -> None:
    """Frames are keyed by consecutive numbers from 0, and each holds all 33 landmarks."""
    frames = landmark_frames(make_runner(), view, fps=30, seconds=1.5)["frames"]
    assert list(frames) == [str(number) for number in range(45)]
    assert len(LANDMARKS) == 33
    assert all(tuple(frame) == LANDMARKS for frame in frames.values())


def test_landmarks_are_mediapipes() -> None:
    """Names and order are MediaPipe's, from the nose to the tip of the right foot."""
    assert (LANDMARKS[0], LANDMARKS[7], LANDMARKS[11], LANDMARKS[23], LANDMARKS[32]) == (
        "nose",
        "left_ear",
        "left_shoulder",
        "left_hip",
        "right_foot_index",
    )


def test_video_information_repeats_the_clip() -> None:
    """The clip's own facts come back with the frames."""
    information = landmark_frames(make_runner(), fps=60, seconds=1)["video_input_information"]
    assert information == {"width": WIDTH, "height": HEIGHT, "fps": 60, "duration": 1, "frame_count": 60}


def test_clip_without_frames_has_none() -> None:
    """Nothing filmed, nothing seen."""
    assert landmark_frames(make_runner(), fps=0, seconds=0)["frames"] == {}


def test_unknown_view_is_refused() -> None:
    """There is no camera but at the side and at the back."""
    with pytest.raises(ValueError, match="side_view, back_view"):
        landmark_frames(make_runner(), "front_view")


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@any_runner
def test_runner_stays_in_the_picture(runner: Runner, view: str) -> None:
    """Every landmark of every frame lies in the picture."""
    for frame in four_strides(runner, view)["frames"].values():
        assert all(0 < place["x"] < WIDTH and 0 < place["y"] < HEIGHT for place in frame.values())


@pytest.mark.parametrize(
    ("upper", "lower"), [("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"), ("shoulder", "elbow")]
)
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_segments_keep_their_length(runner: Runner, side: str, upper: str, lower: str) -> None:
    """Seen from the side, bones do not stretch."""
    lengths = [
        math.dist(*((frame[f"{side}_{end}"]["x"], frame[f"{side}_{end}"]["y"]) for end in (upper, lower)))
        for frame in four_strides(runner)["frames"].values()
    ]
    assert max(lengths) - min(lengths) < PIXEL


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_planted_foot_stays_on_the_ground(runner: Runner, side: str, view: str) -> None:
    """For the share of the time that the duty factor names, and in unbroken contacts, a foot is on the ground."""
    planted = [abs(sole - GROUND) < PIXEL for sole in soles(four_strides(runner, view), side)]
    landings = sum(later and not earlier for earlier, later in pairwise(planted))
    assert landings in (3, 4, 5)  # four strides; the clip may begin or end on a landing
    assert sum(planted) / len(planted) == pytest.approx(runner.duty_factor, abs=0.02)


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_no_foot_sinks_into_the_ground(runner: Runner, side: str) -> None:
    """A swinging foot clears the ground."""
    assert max(soles(four_strides(runner), side)) < GROUND + PIXEL


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_planted_foot_goes_back_with_the_belt(runner: Runner, side: str) -> None:
    """While the foot lies flat it moves backwards at the runner's speed."""
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
    """What the right side does, the left side did half a stride before."""
    answer = four_strides(runner)
    left, right = (effect(answer, f"{side}_{landmark}", "x") for side in SIDES)
    half = round(FPS * 60 / runner.cadence)
    assert likeness(left[:-half], right[half:]) > 0.98
    assert likeness(left, right) < 0


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_arms_swing_against_their_legs(runner: Runner, side: str) -> None:
    """When a knee comes forward, the hand of its side goes back."""
    answer = four_strides(runner)
    assert likeness(effect(answer, f"{side}_wrist", "x"), effect(answer, f"{side}_knee", "x")) < -0.5


@any_runner
def test_hips_bob_twice_a_stride(runner: Runner) -> None:
    """The middle of the hips rises and falls once in each step."""
    answer = four_strides(runner)
    left, right = (effect(answer, f"{side}_hip", "y") for side in SIDES)
    heights = [one + other for one, other in zip(left, right, strict=True)]
    middle = (max(heights) + min(heights)) / 2
    crossings = sum((one > middle) != (other > middle) for one, other in pairwise(heights))
    assert crossings == pytest.approx(4 * 2 * 2, abs=1)  # four strides
