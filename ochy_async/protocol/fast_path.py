"""The quick reading of an answer that is just as documented; any other is left to the careful one.

Invariant: what is read here is what the careful reading would make of it, without a note. At the
first doubt it is `Odd`, and nothing has happened.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .answer import Answer, RawJson
from .drift import Misfit

__all__ = ["Odd", "Part", "Plain", "answer", "answers", "member", "number", "text", "texts"]

Plain = Callable[[Any, Any], Any]
"""A hook as cattrs calls it: the value, and a type that is not looked at."""


class Odd(Misfit):
    """Something that wants a careful look."""

    def __init__(self) -> None:
        super().__init__("plain", "odd")


def number(value: Any, _: Any) -> float:
    """A number without a fraction; one with a fraction is a float already."""
    if type(value) is not int:
        raise Odd
    try:
        return float(value)
    except OverflowError:
        raise Odd from None


def text(value: Any, _: Any) -> str:
    """A text that is not empty."""
    if type(value) is not str or not value:
        raise Odd
    return value


def texts(value: Any, _: Any) -> tuple[str, ...]:
    """A list of texts, or a lone one."""
    items = value if type(value) is list else [value]
    for item in items:
        if type(item) is not str:
            raise Odd
    return tuple(items)


def member(members: Mapping[str, enum.StrEnum]) -> Plain:
    """One of the known texts of an open set."""

    def read(value: Any, _: Any) -> enum.StrEnum:
        if type(value) is not str or value not in members:
            raise Odd
        return members[value]

    return read


def answers(item: Plain) -> Plain:
    """A list of objects, or a lone one."""

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        return tuple([item(each, _) for each in (value if type(value) is list else [value])])

    return read


class Part(NamedTuple):
    """One field of an answer."""

    name: str
    keys: Sequence[str]
    """The JSON keys under which it may come."""
    exact: type | None
    """A JSON type that is taken as it is."""
    plain: Plain
    """Reads what is of another type."""
    optional: bool


def _pass(_: Any, __: Any) -> None:
    """What no field reads."""


def _odd(_: Any, __: Any) -> None:
    raise Odd


_KNOWN: Final = Part("raw", (), None, _pass, optional=True)
_STRANGER: Final = Part("raw", (), None, _odd, optional=False)
"""Keys without a field stand in for `raw`, which is set last."""


def answer(cls: type[Answer], parts: Sequence[Part], known: frozenset[str]) -> Plain:
    """An object with all that is required, and no key that is unknown or tells a field a second time.

    Goes through the keys that came and not through the fields: most fields are most often left out.
    """
    find = dict.fromkeys(known, _KNOWN) | {key: part for part in parts for key in part.keys}
    stranger = _STRANGER if cls.layout_known else _KNOWN
    blank = dict.fromkeys(("raw", *(part.name for part in parts if part.optional)))
    rivals = [frozenset(part.keys) for part in parts if len(part.keys) > 1]
    count = len(parts) + 1

    def read(value: Any, _: Any) -> Answer:
        if type(value) is not dict:
            raise Odd
        for keys in rivals:
            if len(keys & value.keys()) > 1:
                raise Odd
        facts: dict[str, Any] = blank.copy()
        for key, found in value.items():
            name, _, exact, plain, optional = find.get(key, stranger)
            if type(found) is exact:
                facts[name] = found
            elif found is not None or not optional:
                facts[name] = plain(found, None)
        if len(facts) != count:
            raise Odd
        facts["raw"] = RawJson(value)
        return _made(cls, facts)

    return read


_new: Final = object.__new__
_set: Final = object.__setattr__


def _made(cls: type[Answer], facts: dict[str, Any]) -> Answer:
    """`cls(**facts)` in a fifth of its time: no call for each field. Answers have a dict, no slots, for this."""
    made = _new(cls)
    _set(made, "__dict__", facts)
    return made
