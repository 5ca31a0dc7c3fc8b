"""Reading answers: a result into classes, raw data into columns, and how long the loop is held."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import orjson

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.camera import raw_data
from ochy_async.emulator.runner import runner_of
from ochy_async.protocol.analysis import Started, results_call
from ochy_async.protocol.landmarks import LandmarksReading
from ochy_async.protocol.side_view import SideView
from ochy_async.protocol.wire import Response

from .race import Result, race

__all__ = ["benchmarks"]

_RUNNER = runner_of(b"benchmark", height=1.75, weight=68, pace=None)


def _results_body() -> bytes:
    analysis = side_view_results(_RUNNER, language="en")
    return orjson.dumps({"video_id": "a1b2c3d4", "status": "success", "biomechanical_analysis": analysis})


def _raw_body(frames: int) -> bytes:
    told = raw_data(_RUNNER, view="side_view", frames_per_second=frames / 10, seconds=10, width=1920, height=1080)
    return orjson.dumps(told)


def results(repeats: int = 200) -> Result:
    """A side view's results: bytes to classes, against bytes to dicts."""
    response = Response(200, {}, _results_body())
    call = results_call(Started.of("a1b2c3d4", SideView))

    def ours() -> int:
        for _ in range(repeats):
            call.outcome(response)
        return repeats

    def bare() -> int:
        for _ in range(repeats):
            orjson.loads(response.body)
        return repeats

    return race(f"structure a result, {repeats} times", {"orjson alone": bare, "ochy_async": ours})


def _columns(body: bytes) -> Iterator[float]:
    """Reads raw data slice by slice; gives the seconds that each slice held the loop."""
    reading, done = LandmarksReading(Response(200, {}, body), "a1b2c3d4"), False
    while not done:
        began = time.perf_counter()
        done = reading.advance()
        yield time.perf_counter() - began


def raw(frames: int) -> Result:
    """Raw data of `frames` frames of 33 landmarks: bytes to columns, against bytes to dicts."""
    body = _raw_body(frames)

    def ours() -> int:
        return sum(seconds >= 0 for seconds in _columns(body)) and frames

    contenders = {
        "orjson alone": lambda: len(orjson.loads(body)["frames"]),
        "json alone": lambda: len(json.loads(body)["frames"]),
        "ochy_async": ours,
    }
    return race(f"raw data to columns, {frames} frames", contenders, rounds=5)


def longest_slice(frames: int, rounds: int = 5) -> float:
    """Seconds: the median over some readings of the longest time for which one held the event loop."""
    body = _raw_body(frames)
    return sorted(max(_columns(body)) for _ in range(rounds))[rounds // 2]


def benchmarks() -> Iterator[Result]:
    """All benchmarks of this room."""
    yield results()
    for frames in (600, 2_400):
        yield raw(frames)
