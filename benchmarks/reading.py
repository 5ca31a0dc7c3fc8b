"""Reading answers: results into classes, raw data into columns, and how long the event loop is blocked.

Invariant: the time includes freeing what was read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import attrs
import orjson
from cattrs.preconf.orjson import make_converter

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.biomechanics.runner import runner_of
from ochy_async.emulator.raw_data import raw_data
from ochy_async.protocol.analysis import Started, results_call
from ochy_async.protocol.landmarks import Landmarks, landmarks_call
from ochy_async.protocol.side_view import SideView, SideViewResults
from ochy_async.protocol.wire import Response

from .alternatives import alternative
from .comparison import OURS, Figure, Goal, Table, alternate, compare
from .models import attrs_of, checked_model_of, dataclass_of, drift_of, leaves, model_of, struct_of

__all__ = ["benchmarks"]

_RUNNER = runner_of(b"benchmark", height=1.75, weight=68, pace=None)
_BARE = "orjson alone"
_PYDANTIC = "pydantic"

# --- a result -------------------------------------------------------------------------------------


@cache
def _results_body() -> bytes:
    """The results of a side view, with lists for all list fields: only our reader accepts a single value instead."""
    analysis = side_view_results(_RUNNER, language="en")
    analysis["running_styles"] = [analysis["running_styles"]]
    for part in analysis["analysis_content"].values():
        part["texts"]["search_key"] = [part["texts"]["search_key"]]
    links = {name: f"https://storage.example/{name}?signature=x" for name in ("thumbnail", "output_video")}
    return orjson.dumps({"video_id": "a1", "status": "success", **links, "biomechanical_analysis": analysis})


def results(rounds: int) -> Table:
    """Side view results: bytes to classes, compared with bytes to dicts."""
    body = _results_body()
    readers = _result_readers(body)
    values = {name: list(leaves(read(), SideViewResults, ours=name == OURS)) for name, read in readers.items()}
    different = [name for name, found in values.items() if found != values[OURS]]
    if different:
        raise AssertionError(f"{', '.join(different)} did not read what {OURS} did")

    def bare() -> float:
        return float(orjson.loads(body)["biomechanical_analysis"]["total_score"])

    def score(read: Callable[[], Any]) -> Callable[[], float]:
        return lambda: float(read().biomechanical_analysis.total_score)

    contenders = {_BARE: bare} | {contender: score(read) for contender, read in readers.items()}
    table = compare("structure a result", contenders, rounds, base=_BARE, repeats=200)
    count = sum(each is not None for each in values[OURS])
    note = f"{count} values; {OURS} also keeps the JSON, checks for drift, and reads pairs of numbers as `Ranges`"
    return attrs.evolve(table, goals=(table.goal(3.5), table.goal(1.5, over=_PYDANTIC)), notes=(note,))


def _result_readers(body: bytes) -> Mapping[str, Callable[[], Any]]:
    response, call = Response(200, {}, body), results_call(Started.of("a1", SideView))
    model, struct, dataclass = model_of(SideViewResults), struct_of(SideViewResults), dataclass_of(SideViewResults)
    msgspec, plain = alternative("msgspec"), attrs_of(SideViewResults)
    to_struct, to_attrs = msgspec.json.Decoder(struct), msgspec.json.Decoder(plain)
    converter = make_converter(detailed_validation=False)
    return {
        OURS: lambda: call.outcome(response)[0].results,
        _PYDANTIC: lambda: model.model_validate_json(body),
        f"{_PYDANTIC}, JSON kept, ranges and drift": lambda: _checked(body)[0],
        "msgspec": lambda: to_struct.decode(body),
        "msgspec to attrs": lambda: to_attrs.decode(body),
        "cattrs": lambda: converter.structure(orjson.loads(body), plain),
        "dataclasses-json": lambda: dataclass.from_dict(orjson.loads(body)),
    }


def _checked(body: bytes) -> tuple[Any, Any, list[str]]:
    """What ours returns, by pydantic: the model, the untouched JSON, and the drift."""
    untouched = orjson.loads(body)
    model = checked_model_of(SideViewResults).model_validate(untouched)
    drift = [path for path in drift_of(model) if path not in SideViewResults.known_keys]
    if drift:
        raise AssertionError(f"drift in a documented answer: {drift}")
    return model, untouched, drift


# --- raw data -------------------------------------------------------------------------------------

_FORM = ("x", "y", "z", "score")

Summary = tuple[int, float, float]
"""The number of frames, and a coordinate of the first and the last. All contenders must agree on them."""


@cache
def _raw_body(frames: int) -> bytes:
    output = raw_data(_RUNNER, view="side_view", fps=60, seconds=frames / 60, width=1920, height=1080)
    return orjson.dumps(output)


def raw(rounds: int, frames: int) -> Table:
    """Raw data: bytes to columns, compared with bytes to dicts, to typed objects, and to undecoded slices."""
    body = _raw_body(frames)
    contenders: dict[str, Callable[[], Summary]] = {
        _BARE: lambda: _of_dicts(orjson.loads(body)),
        OURS: lambda: _of_columns(_columns(body)),
        "json of the standard library": lambda: _of_dicts(json.loads(body)),
        "pydantic": _pydantic(body),
        "msgspec": _msgspec(body),
        "msgspec, frames not decoded": _msgspec_raw(body),
        "one object per point": lambda: _of_objects(_objects(body)),
    }
    table = compare(f"raw data to columns, {frames:,} frames", contenders, rounds, base=_BARE, repeats=3)
    return attrs.evolve(table, goals=(table.goal(0.7),))


def longest_block(rounds: int, frames: int, limit: float) -> Table:
    """The longest time for which reading raw data blocks the event loop."""
    body = _raw_body(frames)

    def ours() -> float:
        reading, longest, done = landmarks_call("a1").read(Response(200, {}, body)), 0.0, False
        while not done:
            began = time.perf_counter()
            done = reading.advance()
            longest = max(longest, time.perf_counter() - began)
        return longest * 1000

    def bare() -> float:
        began = time.perf_counter()
        orjson.loads(body)
        return (time.perf_counter() - began) * 1000

    took = alternate({_BARE: bare, OURS: ours}, rounds)
    figures = {contender: Figure.of(values) for contender, values in took.items()}
    goals = (Goal(OURS, figures[OURS].median, limit, "ms"),)
    return Table(f"longest block of the event loop, raw data of {frames:,} frames", "ms", figures, _BARE, goals)


def _columns(body: bytes) -> Landmarks:
    reading = landmarks_call("a1").read(Response(200, {}, body))
    while not reading.advance():
        pass
    return reading.result()


def _of_columns(found: Landmarks) -> Summary:
    nose = found.track("nose", "x")
    return len(found.frame_numbers), nose[0], nose[-1]


def _of_dicts(found: Any) -> Summary:
    frames = found["frames"]
    return len(frames), frames["0"]["nose"]["x"], frames[str(len(frames) - 1)]["nose"]["x"]


def _of_objects(frames: Mapping[str, Mapping[str, Any]]) -> Summary:
    return len(frames), frames["0"]["nose"].x, frames[str(len(frames) - 1)]["nose"].x


@attrs.frozen
class _Point:
    x: float
    y: float
    z: float
    score: float


def _objects(body: bytes) -> dict[str, dict[str, _Point]]:
    frames = orjson.loads(body)["frames"]
    return {number: {name: _Point(**point) for name, point in frame.items()} for number, frame in frames.items()}


def _pydantic(body: bytes) -> Callable[[], Summary]:
    create = alternative("pydantic").create_model
    point = create("Point", **dict.fromkeys(_FORM, (float, ...)))
    model = create("RawData", frames=(cast("Any", dict)[str, cast("Any", dict)[str, point]], ...))
    return lambda: _of_objects(model.model_validate_json(body).frames)


def _msgspec(body: bytes) -> Callable[[], Summary]:
    msgspec = alternative("msgspec")
    point = msgspec.defstruct("Point", [(name, float) for name in _FORM])
    kind = cast("Any", dict)[str, cast("Any", dict)[str, point]]
    decoder = msgspec.json.Decoder(msgspec.defstruct("RawData", [("frames", kind)]))
    return lambda: _of_objects(decoder.decode(body).frames)


def _msgspec_raw(body: bytes) -> Callable[[], Summary]:
    msgspec = alternative("msgspec")
    decoder = msgspec.json.Decoder(msgspec.defstruct("RawData", [("frames", cast("Any", dict)[str, msgspec.Raw])]))

    def read() -> Summary:
        frames = decoder.decode(body).frames
        first, last = (msgspec.json.decode(frames[key])["nose"]["x"] for key in ("0", str(len(frames) - 1)))
        return len(frames), first, last

    return read


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    yield results(rounds)
    for frames, limit in ((600, 5), (2_400, 10)):
        yield raw(rounds, frames)
        yield longest_block(rounds, frames, limit)
