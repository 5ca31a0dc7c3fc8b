"""Gaps that ordinary videos have: the figures that are still given are those of the emulator's runners."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ochy_async.emulator.biomechanics.runner import SIDES, Runner
from ochy_async.gait import CannotTell, SideGait, back_gait, side_gait

from .recordings import FPS, Frames, changed, filmed, landmarks, runner, true_touchdowns

RUNNERS = range(8)


def hidden(frames: Frames, joint: str, start: float, share: float, who: Runner) -> dict[str, Any]:
    """The frames without a joint for this share of each stride, from this phase of the left leg on."""

    def is_hidden(number: str) -> bool:
        phase = who.start_phase + int(number) * who.cadence / 120 / FPS
        return (phase - start) % 1 < share

    return {
        number: {name: None if name == joint and is_hidden(number) else point for name, point in frame.items()}
        for number, frame in frames.items()
    }


def assert_true(gait: SideGait, who: Runner, sides: tuple[str, ...] = ("left", "right")) -> None:
    """Cadence within 1 step/min and peak knee flexion within 3 degrees."""
    assert gait.cadence == pytest.approx(who.cadence, abs=1)
    for side in sides:
        assert gait.curves[side]["knee"].peak == pytest.approx(who.peak_knee_flexion, abs=3)


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param(lambda _: {}, id="empty frames"),
        pytest.param(lambda frame: dict.fromkeys(frame), id="points that are null"),
        pytest.param(lambda frame: {name: {**p, "score": 0.1} for name, p in frame.items()}, id="unlikely points"),
    ],
)
@pytest.mark.parametrize("seed", RUNNERS)
def test_a_runner_may_enter_late_and_leave_early(seed: int, absent: Callable[[Any], Any]) -> None:
    """Of six seconds the runner is seen for the middle two and a half."""
    who = runner(seed)
    frames = filmed(who, seconds=6, noise=5)
    seen = {number: frame if 105 <= int(number) < 255 else absent(frame) for number, frame in frames.items()}
    gait = side_gait(landmarks(seen))
    assert_true(gait, who)
    assert gait.missing == {}


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize("seed", RUNNERS)
def test_landmarks_may_be_in_some_frames_only(seed: int, every: int, noise: float) -> None:
    """Every second or third frame is enough, whether the others are left out or empty."""
    who = runner(seed)
    frames = filmed(who, noise=noise)
    gait = side_gait(landmarks({number: frame for number, frame in frames.items() if not int(number) % every}))
    assert_true(gait, who)
    assert gait.missing == {}
    empty = {number: frame if not int(number) % every else {} for number, frame in frames.items()}
    assert side_gait(landmarks(empty)).cadence == pytest.approx(gait.cadence, abs=0.1)


@pytest.mark.parametrize("start", [0.0, 0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("seed", RUNNERS)
def test_an_ankle_may_be_hidden_in_a_part_of_each_stride(seed: int, start: float) -> None:
    """The cadence, the other leg and what is seen of this leg are the runner's; what is missing has its reason."""
    who = runner(seed)
    gait = side_gait(landmarks(hidden(filmed(who, noise=5), "left_ankle", start, 0.2, who)))
    assert_true(gait, who, sides=("right",))
    assert not gait.curves["left"].keys() & {"knee", "ankle"}
    assert {"left knee", "left ankle"} <= gait.missing.keys()
    assert not any(name.startswith("right") for name in gait.missing)
    if start in {0.2, 0.4, 0.6}:  # its touchdowns are seen
        assert gait.missing.keys() == {"left knee", "left ankle"}
    true = true_touchdowns(who, SIDES[0], 240)
    for found in gait.touchdowns["left"]:
        late = min((found - time for time in true), key=abs)
        assert -0.06 < late / gait.stride_frames < 0.01


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("seed", RUNNERS)
def test_the_knees_show_the_cadence_where_the_ankles_are_hidden(seed: int, view: str) -> None:
    """With ankles in half a second only, as behind high grass, the knees repeat all the same."""
    who = runner(seed)
    frames = {
        number: {name: None if "ankle" in name and int(number) >= 30 else point for name, point in frame.items()}
        for number, frame in filmed(who, view, noise=2).items()
    }
    read = side_gait if view == "side_view" else back_gait
    assert read(landmarks(frames, view)).cadence == pytest.approx(who.cadence, abs=1)


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("seed", RUNNERS)
def test_a_short_recording_shows_the_cadence(seed: int, view: str) -> None:
    """Two seconds, less than three strides: within 1 step/min too."""
    who = runner(seed)
    read = side_gait if view == "side_view" else back_gait
    gait = read(landmarks(filmed(who, view, seconds=2, noise=5), view))
    assert gait.cadence == pytest.approx(who.cadence, abs=1)


@pytest.mark.parametrize("wander", [0.0, 0.5])
@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("frames", [60, 240])
def test_a_standing_person_shows_no_gait(frames: int, every: int, wander: float) -> None:
    """Noise of the points alone, also noise that wanders from frame to frame, repeats nothing."""
    standing = filmed(runner(1), seconds=0.1)["0"]
    for seed in range(20):
        rng = random.Random(seed)
        offsets = dict.fromkeys(standing, 0j)
        recording = dict[str, Any]()
        for number in range(0, frames, every):
            offsets = {n: wander * at + complex(rng.gauss(0, 5), rng.gauss(0, 5)) for n, at in offsets.items()}
            recording[str(number)] = {
                name: {"x": point["x"] + offsets[name].real, "y": point["y"] + offsets[name].imag}
                for name, point in standing.items()
            }
        with pytest.raises(CannotTell, match="repeats"):
            side_gait(landmarks(recording))


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("seed", RUNNERS)
def test_one_stride_is_no_repetition(seed: int, every: int) -> None:
    """A recording that is shorter than a stride and a half has no figures."""
    who = runner(seed)
    stride = round(FPS * 120 / who.cadence)
    frames = filmed(who, noise=2)
    with pytest.raises(CannotTell, match="repeats"):
        side_gait(landmarks({n: frame for n, frame in frames.items() if int(n) < 1.4 * stride and not int(n) % every}))
    gone = changed({n: frame for n, frame in frames.items() if int(n) >= stride}, lambda _: None)
    with pytest.raises(CannotTell, match="repeats"):
        side_gait(landmarks({n: frame for n, frame in frames.items() if int(n) < stride} | gone))
