"""Fast readers for answers that match the documentation exactly.

They read a documented answer several times faster than the full converter, because they test only exact JSON types
and write no drift notes. At the first value that needs more they raise `Unexpected`, and the full converter reads the
answer again from the beginning. The reader of a class is a function that is generated when it is used first.

Invariant: a fast reader returns exactly what the full converter would return without a drift note.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .answer import SHARED, Answer
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


def answer_reader(cls: type[Answer], fields: Sequence[FieldReader], expected: frozenset[str]) -> Reader:
    """A reader for an object that has all required keys, no unknown key, and each field under one key only.

    It is generated, as cattrs generates its hooks: the source holds names and keys of our own classes and nothing that
    a server sent. It fills the `__dict__` of the answer, which takes half the time of `__init__`, so answer classes
    have no slots; the class itself has the None of a field that did not come.
    """
    scope: dict[str, Any] = {
        "cls": cls,
        "new": object.__new__,
        "Unexpected": Unexpected,
        "expected": expected.issuperset,
        "only": _only,
    }
    source = [
        "def read(value, _):",
        "  if type(value) is not dict: raise Unexpected",
        "  get = value.get",
        "  answer = new(cls)",
        "  fields = answer.__dict__",
        f"  fields[{SHARED!r}] = value.copy",
    ]
    for number, each in enumerate(fields):
        scope |= {f"read_{number}": each.read, f"exact_{number}": each.exact, f"keys_{number}": each.keys}
        source += _statements(number, each)
    if cls.layout_known:  # fewer fields than keys: a key is unknown, has no field, or is null
        source.append("  if len(fields) <= len(value) and not expected(value): raise Unexpected")
    source.append("  return answer")
    exec("\n".join(source), scope)  # noqa: S102 - our own source
    read: Reader = scope["read"]
    return read


def _statements(number: int, each: FieldReader) -> Iterator[str]:
    """Store one field: the value itself if it has the exact type, else what its reader makes of it."""
    yield f"  found = get({each.keys[0]!r})" if len(each.keys) == 1 else f"  found = only(value, keys_{number})"
    converted, store = f"read_{number}(found, None)", f"fields[{each.name!r}] ="
    chosen = f"found if type(found) is exact_{number} else {converted}" if each.exact else converted
    condition = "if found is not None: " * each.optional
    if each.read is read_texts and each.optional:  # without a call, since a result has twenty lists of texts
        yield "  if type(found) is list:"
        yield "    for text in found:"
        yield "      if type(text) is not str: raise Unexpected"
        yield f"    {store} tuple(found)"
        condition = f"el{condition}"
    yield f"  {condition}{store} {chosen}"


def _only(value: dict[str, Any], keys: Sequence[str]) -> Any:
    """The value under the only one of the keys that is there, or None."""
    found = [value[key] for key in keys if key in value]
    if len(found) > 1:
        raise Unexpected
    return found[0] if found else None
