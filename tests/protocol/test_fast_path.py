"""The fast path reads documented answers, and reads them exactly as the full converter does."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from ochy_async.errors import OchyError
from ochy_async.protocol import fast_path
from ochy_async.protocol.wire import Response
from tests.protocol.test_reading import CALLS, JSON_ANSWERS

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


def outcome_of(name: str, body: Any) -> Any:
    """The value with its notes, or the error."""
    try:
        value, notes = CALLS[name][0].outcome(Response(200, {}, orjson.dumps(body)))
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
    return type(value), inner or repr(value)


def _reject(*_: Any) -> Any:
    raise fast_path.Unexpected


@pytest.mark.parametrize("name", JSON_ANSWERS)
def test_the_fast_path_reads_what_the_full_converter_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, their types, notes and errors are equal, for documented answers and for mutated ones."""
    chance = random.Random(name)
    bodies = [CALLS[name][1], *(mutated(chance, CALLS[name][1]) for _ in range(150))]
    fast = [outcome_of(name, body) for body in bodies]
    monkeypatch.setattr("ochy_async.protocol.fast_path._construct", _reject)
    for body, found in zip(bodies, fast, strict=True):
        assert outcome_of(name, body) == found, body


@pytest.mark.parametrize("name", JSON_ANSWERS)
def test_a_documented_answer_takes_the_fast_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A documented answer never needs the full converter."""
    monkeypatch.setattr(fast_path.Unexpected, "__init__", lambda _: pytest.fail("the fast path was left"))
    outcome_of(name, CALLS[name][1])
