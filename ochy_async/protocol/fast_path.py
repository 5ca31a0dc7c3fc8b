"""Fast readers for answers that match the documentation exactly.

They read a documented answer several times faster than the full converter, because they test only exact JSON types
and write no drift notes. At the first value that needs more they raise `Unexpected`, and the full converter reads the
answer again from the beginning; without them, reading results would take most of the time of a poll.

Invariant: a fast reader returns exactly what the full converter would return without a drift note.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .answer import Answer, RawJson
from .drift import Mismatch

__all__ = [
    "FieldReader",
    "Reader",
    "Unexpected",
    "answer_reader",
    "answers_reader",
    "member_reader",
    "read_number",
    "read_text",
    "read_texts",
]

Reader = Callable[[Any, Any], Any]
"""A hook as cattrs calls it: the value, and a type that is ignored."""


class Unexpected(Mismatch):
    """The value needs the full converter."""

    def __init__(self) -> None:
        super().__init__("as documented", "unexpected")


def read_number(value: Any, _: Any) -> float:
    """A float from a JSON integer. A JSON number with a fraction is a float already and never gets here."""
    if type(value) is not int:
        raise Unexpected
    try:
        return float(value)
    except OverflowError:
        raise Unexpected from None


def read_text(value: Any, _: Any) -> str:
    """A non-empty text."""
    if type(value) is not str or not value:
        raise Unexpected
    return value


def read_texts(value: Any, _: Any) -> tuple[str, ...]:
    """A list of texts, or a single text."""
    items = value if type(value) is list else [value]
    for item in items:
        if type(item) is not str:
            raise Unexpected
    return tuple(items)


def member_reader(members: Mapping[str, enum.StrEnum]) -> Reader:
    """A reader for the known texts of an open set."""

    def read(value: Any, _: Any) -> enum.StrEnum:
        if type(value) is not str or value not in members:
            raise Unexpected
        return members[value]

    return read


def answers_reader(item: Reader) -> Reader:
    """A reader for a list of objects, or a single object."""

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        return tuple([item(each, _) for each in (value if type(value) is list else [value])])

    return read


class FieldReader(NamedTuple):
    """How one field of an answer is read."""

    name: str
    keys: Sequence[str]
    """The JSON keys under which the value may come."""
    exact: type | None
    """A JSON type that is taken without conversion."""
    read: Reader
    """Converts a value of any other type."""
    optional: bool


def _ignore(_: Any, __: Any) -> None:
    pass


def _reject(_: Any, __: Any) -> None:
    raise Unexpected


# Keys without a field are read into `raw`, which is overwritten last.
_EXPECTED_KEY: Final = FieldReader("raw", (), None, _ignore, optional=True)
_UNKNOWN_KEY: Final = FieldReader("raw", (), None, _reject, optional=False)


def answer_reader(cls: type[Answer], fields: Sequence[FieldReader], expected: frozenset[str]) -> Reader:
    """A reader for an object that has all required keys, no unknown key, and each field under one key only.

    It iterates over the keys that came and not over the fields, because most optional fields are usually absent.
    """
    by_key = dict.fromkeys(expected, _EXPECTED_KEY) | {key: each for each in fields for key in each.keys}
    without_field = _UNKNOWN_KEY if cls.layout_known else _EXPECTED_KEY
    defaults = dict.fromkeys(("raw", *(each.name for each in fields if each.optional)))
    alternatives = [frozenset(each.keys) for each in fields if len(each.keys) > 1]
    count = len(fields) + 1

    def read(value: Any, _: Any) -> Answer:
        if type(value) is not dict:
            raise Unexpected
        for keys in alternatives:
            if len(keys & value.keys()) > 1:
                raise Unexpected
        values: dict[str, Any] = defaults.copy()
        for key, found in value.items():
            name, _, exact, convert, optional = by_key.get(key, without_field)
            if type(found) is exact:
                values[name] = found
            elif found is not None or not optional:
                values[name] = convert(found, None)
        if len(values) != count:
            raise Unexpected
        values["raw"] = RawJson(value)
        return _construct(cls, values)

    return read


_new: Final = object.__new__
_set: Final = object.__setattr__


def _construct(cls: type[Answer], values: dict[str, Any]) -> Answer:
    """`cls(**values)` in a fifth of the time. It needs a `__dict__`, so answer classes have no slots."""
    answer = _new(cls)
    _set(answer, "__dict__", values)
    return answer
