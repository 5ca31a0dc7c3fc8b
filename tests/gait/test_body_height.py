"""The height of a body in pixels against the height of the emulator's runners, whose camera's scale is known."""

from __future__ import annotations

import math
import random

import pytest

from ochy_async.gait.body_height import body_height
from ochy_async.gait.recording import recording_of

from .recordings import changed, filmed, landmarks, renamed, runner

WITHIN = {"side_view": 0.01, "back_view": 0.03}
"""From behind, a trunk that leans forward by 13 degrees is 3 % shorter."""
PIXELS = {"side_view": 0.75 * 1080, "back_view": 0.75 * 1920}
"""What the emulator's camera makes of a runner's height."""
LEGS = {f"{side}_{part}": f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "heel")}


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("seed", range(8))
def test_the_height_is_that_of_the_runner(seed: int, view: str, noise: float) -> None:
    """Within 1 % (3 % from behind), although no frame shows the runner upright; also at 5 px of noise."""
    gait = recording_of(landmarks(filmed(runner(seed), view, noise=noise), view), view)
    assert body_height(gait.joints, view) == pytest.approx(PIXELS[view], rel=WITHIN[view])


def test_one_side_is_enough() -> None:
    """The far leg may be hidden."""
    frames = filmed(runner(3))
    names = {name: name for name in frames["0"] if not (name.startswith("left") and "shoulder" not in name)}
    gait = recording_of(landmarks(renamed(frames, names)), "side_view")
    assert body_height(gait.joints, "side_view") == pytest.approx(PIXELS["side_view"], rel=0.01)


def test_without_a_segment_there_is_no_height() -> None:
    """A trunk that is not there, or has no length, is not made up."""
    frames = filmed(runner(3), seconds=1)
    legs = renamed(frames, LEGS | {"left_foot_index": "left_toe"})
    assert body_height(recording_of(landmarks(legs), "side_view").joints, "side_view") is None
    assert body_height({}, "side_view") is None
    assert body_height({}, "back_view") is None


def test_gaps_do_not_matter() -> None:
    """The median is that of the frames that show both ends of a segment."""
    frames = filmed(runner(3))
    rng = random.Random(0)
    some = changed(frames, lambda point: point if rng.random() < 0.5 else {"x": math.nan, "y": math.nan})
    gait = recording_of(landmarks(some), "side_view")
    assert body_height(gait.joints, "side_view") == pytest.approx(PIXELS["side_view"], rel=0.01)
