"""Recordings of the emulator's runners, whose true gait is known, in any spelling that raw data may have."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from ochy_async.emulator.biomechanics.camera import film_runner
from ochy_async.emulator.biomechanics.runner import Runner, Side, runner_of
from ochy_async.protocol.drift import DriftLog
from ochy_async.protocol.landmarks import Landmarks, landmarks_of

FPS: Final = 60
SIZES: Final = {"side_view": (1920, 1080), "back_view": (1080, 1920)}
Point = dict[str, float]
Frames = dict[str, dict[str, Point]]


def runner(seed: int) -> Runner:
    """A runner of average height and weight."""
    return runner_of(seed.to_bytes(4, "big"), height=1.75, weight=70, pace=None)


def true_touchdowns(who: Runner, side: Side, frames: int) -> list[float]:
    """When a foot touches down, in frames: where the phase of its leg is a whole number."""
    strides_per_frame = who.cadence / 120 / FPS
    first = math.ceil(who.start_phase + side.lag)
    times = [(first + n - side.lag - who.start_phase) / strides_per_frame for n in range(frames)]
    return [time for time in times if time < frames]


def filmed(who: Runner, view: str = "side_view", *, seconds: float = 4.0, noise: float = 0.0) -> Frames:
    """The points of each frame at 60 frames per second, pixels, with normal noise of this standard deviation."""
    width, height = SIZES[view]
    rng = random.Random(0)
    frames = film_runner(who, view=view, fps=FPS, seconds=seconds, width=width, height=height)
    return {
        str(number): {
            name: {"x": point["x"] + rng.gauss(0, noise), "y": point["y"] + rng.gauss(0, noise)}
            for name, point in frame.items()
        }
        for number, frame in enumerate(frames)
    }


def changed(frames: Frames, change: Callable[[Point], Any]) -> dict[str, dict[str, Any]]:
    """The same frames with every point changed."""
    return {number: {name: change(point) for name, point in frame.items()} for number, frame in frames.items()}


def renamed(frames: Frames, names: Mapping[str, str]) -> Frames:
    """The same frames with these landmarks only, under other names."""
    return {number: {new: frame[old] for old, new in names.items()} for number, frame in frames.items()}


def landmarks(frames: Mapping[str, Any], view: str = "side_view", **video: Any) -> Landmarks:
    """What the library reads of the raw data with these frames."""
    width, height = SIZES[view]
    information = {"fps": FPS, "width": width, "height": height, **video}
    body = json.dumps({"video_input_information": information, "frames": frames}).encode()
    with DriftLog("Landmarks"):
        return landmarks_of(body)
