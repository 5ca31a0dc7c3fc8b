"""The fast path reads documented answers, and reads them exactly as the full converter does."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, cast

import orjson
import pytest
from attrs import evolve, fields

from ochy_async.errors import OchyError
from ochy_async.protocol import fast_path
from ochy_async.protocol.analysis_list import ListedAnalysis
from ochy_async.protocol.answer import Answer
from ochy_async.protocol.call import call_for
from ochy_async.protocol.error_mapping import parse_json
from ochy_async.protocol.routes import LIST_ANALYSES
from ochy_async.protocol.wire import Response
from tests.protocol.test_reading import JSON_ANSWERS

CALLS = {name: each for name, each in JSON_ANSWERS.items() if each[0].name != "AnalysisList"}
CALLS["a listed analysis"] = (
    call_for(LIST_ANALYSES, ListedAnalysis),
    {"video_id": "a1", "status": "success", "analysis_type": "side_view", "created_at": "2025-01-31T08:00:00Z"},
)
"""Lists are read item by item, so the answer that is compared is an item."""

Place = tuple[str | int, ...]

_UNEXPECTED: list[Any] = [
    *(None, True, 0, -1, 7, 0.5, -0.0, 2**63, 1e308, "", "x", "7", "midfoot", "success", "2025-01-31T08:00:00Z"),
    *([], {}, [1, 2], [2, 1], [0, -0.0], [[1, 2], [4, 3]], ["a"], ["a", 1], [None], [{}], {"title": 3}),
]
_KEYS = ["id", "video_id", "extra", "status", "percentage", "title", "score_number", "duty_factor", "message", "é", ""]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Every place in a JSON value, but for the value itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*before, key)
        yield from places(inner, (*before, key))


def mutated(chance: random.Random, body: Any) -> Any:
    """A copy with values left out, added, duplicated under another key, or replaced by another type."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        *path, last = chance.choice([*places(body)] or [("",)])
        inside = body
        for step in path:
            inside = inside[step]
        if last == "":
            continue
        if isinstance(inside, dict) and chance.random() < 0.4:
            inside[chance.choice(_KEYS)] = copy.deepcopy(chance.choice([inside[last], *_UNEXPECTED]))
        elif chance.random() < 0.3:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(chance.choice([[inside[last]], *_UNEXPECTED]))
    return body


class OtherDict(dict[str, Any]):
    """A JSON object that only the full converter reads, since the fast path takes exact JSON types only."""


def other_dicts(value: Any) -> Any:
    """A JSON value with another type of objects."""
    if isinstance(value, dict):
        return OtherDict({name: other_dicts(each) for name, each in value.items()})
    return [other_dicts(each) for each in value] if isinstance(value, list) else value


def outcome_of(name: str, body: Any, parse: Callable[[Response], Any] = parse_json) -> Any:
    """The value with its notes, or the error."""
    try:
        value, notes = evolve(CALLS[name][0], json=parse).outcome(Response(200, {}, orjson.dumps(body)))
    except OchyError as error:
        return type(error), str(error)
    return value, repr(value), notes, _typed(value)


def _typed(value: Any) -> Any:
    """A value and the types of all that is in it; `==` takes 1 for 1.0."""
    names = getattr(type(value), "__attrs_attrs__", ())
    inner = [_typed(getattr(value, each.name)) for each in names]
    if isinstance(value, dict):
        inner = [(key, _typed(each)) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        inner = [_typed(each) for each in value]
    return dict if type(value) is OtherDict else type(value), inner or repr(value)


@pytest.mark.parametrize("name", CALLS)
def test_the_fast_path_reads_what_the_full_converter_reads(name: str) -> None:
    """Values, their types, notes and errors are equal, for documented answers and for mutated ones."""
    chance = random.Random(name)
    for body in [CALLS[name][1], *(mutated(chance, CALLS[name][1]) for _ in range(150))]:
        full = outcome_of(name, body, lambda response: other_dicts(parse_json(response)))
        assert outcome_of(name, body) == full, body


@pytest.mark.parametrize("name", CALLS)
def test_a_documented_answer_takes_the_fast_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A documented answer never needs the full converter."""
    monkeypatch.setattr(fast_path.Unexpected, "__init__", lambda _: pytest.fail("the fast path was left"))
    outcome_of(name, CALLS[name][1])


def answer_classes(cls: type[Answer] = Answer) -> Iterator[type[Answer]]:
    """All classes of answers."""
    for each in cls.__subclasses__():
        yield each
        yield from answer_classes(each)


@pytest.mark.parametrize("cls", list(answer_classes()))
def test_a_key_is_read_into_one_field(cls: type[Answer]) -> None:
    """The fast path counts the fields that came to see whether there is another key."""
    keys = [key for each in fields(cast("Any", cls)) for key in each.metadata.get("keys", (each.name,))]
    assert len(keys) == len(set(keys))
