"""Reading answers: a result into classes, raw data into columns, and how long the loop is held."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.runner import runner_of
from ochy_async.protocol.analysis import Started, results_call
from ochy_async.protocol.side_view import SideView
from ochy_async.protocol.wire import Response

from .race import OURS, Table, race

__all__ = ["benchmarks"]

_RUNNER = runner_of(b"benchmark", height=1.75, weight=68, pace=None)


def _results_body() -> bytes:
    analysis = side_view_results(_RUNNER, language="en")
    return orjson.dumps({"video_id": "a1b2c3d4", "status": "success", "biomechanical_analysis": analysis})


def results(rounds: int) -> Table:
    """A side view's results: bytes to classes, against bytes to dicts."""
    response = Response(200, {}, _results_body())
    call = results_call(Started.of("a1b2c3d4", SideView))

    def ours() -> float:
        state, _ = call.outcome(response)
        return state.results.total_score if state.results else 0.0

    def bare() -> float:
        return float(orjson.loads(response.body)["biomechanical_analysis"]["total_score"])

    return race("structure a result", {"orjson alone": bare, OURS: ours}, rounds, base="orjson alone", repeats=500)


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    yield results(rounds)
