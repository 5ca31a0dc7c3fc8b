"""Simulated runners for tests, and every kind of result that the emulator makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from ochy_async.emulator.assessments import back_view_results, side_view_results
from ochy_async.emulator.biomechanics.runner import Runner, runner_of
from ochy_async.emulator.calculated_data import back_view_calculated, side_view_calculated
from ochy_async.emulator.raw_data import raw_data

SIDES = ("left", "right")
FPS = 240.0
WIDTH, HEIGHT = 1080, 1920

paces = st.tuples(st.integers(2, 9), st.integers(0, 59)).map(lambda pair: f"{pair[0]:02}:{pair[1]:02}")
runners = st.builds(
    runner_of,
    st.binary(max_size=16),
    height=st.floats(1.2, 2.2),
    weight=st.floats(30, 150),
    pace=st.none() | paces,
)
few_examples = settings(max_examples=20, deadline=None)
"""For tests that measure an entire stride, which takes some milliseconds."""

any_runner = pytest.mark.parametrize(
    "runner", [runner_of(bytes([n]), height=1.6 + n / 20, weight=70, pace=None) for n in (0, 3, 5)]
)


def make_runner(seed: bytes = b"seed", pace: str | None = "05:00") -> Runner:
    return runner_of(seed, height=1.75, weight=70, pace=pace)


def landmark_frames(
    runner: Runner, view: str = "side_view", *, fps: float = FPS, seconds: float = 2.0
) -> dict[str, Any]:
    return raw_data(runner, view=view, fps=fps, seconds=seconds, width=WIDTH, height=HEIGHT)


@cache
def four_strides(runner: Runner, view: str = "side_view") -> dict[str, Any]:
    """Raw data of four strides, cached, since many tests use the same."""
    return landmark_frames(runner, view, seconds=4 * 120 / runner.cadence)


def scored(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Every scored item of a side or a back view."""
    items = answer["analysis_content"].values()
    return [leaf for item in items for leaf in ([item] if "texts" in item else item.values())]


RESULTS: dict[str, Callable[[Runner], Any]] = {
    "side results": lambda runner: side_view_results(runner, language="en"),
    "back results": lambda runner: back_view_results(runner, language="en", full_body=True),
    "side calculated": side_view_calculated,
    "back calculated": lambda runner: back_view_calculated(runner, full_body=True),
    "side raw data": lambda runner: landmark_frames(runner, "side_view", seconds=0.1),
    "back raw data": lambda runner: landmark_frames(runner, "back_view", seconds=0.1),
}
every_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
