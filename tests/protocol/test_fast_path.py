"""The quick reading of answers: what is as documented is read as the careful reading would read it."""

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

_ODD: list[Any] = [
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
    """The same with something left out, added, told twice, or of another type."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        *way, last = chance.choice([*places(body)] or [("",)])
        inside = body
        for step in way:
            inside = inside[step]
        if last == "":
            continue
        if isinstance(inside, dict) and chance.random() < 0.4:
            inside[chance.choice(_KEYS)] = copy.deepcopy(chance.choice([inside[last], *_ODD]))
        elif chance.random() < 0.3:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(chance.choice([[inside[last]], *_ODD]))
    return body


def told(name: str, body: Any) -> Any:
    """All that an answer tells, or its error."""
    try:
        value, notes = CALLS[name][0].outcome(Response(200, {}, orjson.dumps(body)))
    except OchyError as error:
        return type(error), str(error)
    return value, repr(value), notes, _facts(value)


def _facts(value: Any) -> Any:
    """A value and the types of all that is in it; `==` takes 1 for 1.0."""
    names = getattr(type(value), "__attrs_attrs__", ())
    inner = [_facts(getattr(value, each.name)) for each in names]
    if isinstance(value, dict):
        inner = [(key, _facts(each)) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        inner = [_facts(each) for each in value]
    return type(value), inner or repr(value)


def _careful(*_: Any) -> Any:
    raise fast_path.Odd


@pytest.mark.parametrize("name", JSON_ANSWERS)
def test_the_quick_reading_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As documented or odd in some places: values, their types, notes and errors are those of the careful reading."""
    chance = random.Random(name)
    bodies = [CALLS[name][1], *(mutated(chance, CALLS[name][1]) for _ in range(150))]
    quickly = [told(name, body) for body in bodies]
    monkeypatch.setattr("ochy_async.protocol.fast_path._made", _careful)
    for body, found in zip(bodies, quickly, strict=True):
        assert told(name, body) == found, body


@pytest.mark.parametrize("name", JSON_ANSWERS)
def test_a_documented_answer_is_read_quickly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it wants a careful look."""
    monkeypatch.setattr(fast_path.Odd, "__init__", lambda _: pytest.fail("something is odd"))
    told(name, CALLS[name][1])
