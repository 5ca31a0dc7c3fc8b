"""One cattrs converter for all answers: strict about required fields, lenient about optional ones.

A field typed `X | None` is optional: a missing, null or unexpected value is read as None, and an unexpected one is
noted as drift. Every other field is required: without a usable value the answer raises `Mismatch`.

Invariant: no value is accepted unchecked, and none is lost: the untouched JSON stays beside every parsed answer.
"""

from __future__ import annotations

import enum
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar, cast

import attrs
from attrs import frozen
from cattrs.preconf.orjson import OrjsonConverter, make_converter

from . import fast_path
from .answer import Answer, RawJson, SignedUrl
from .drift import Mismatch, mismatch, note, read_at

__all__ = ["converter", "read_time", "structure"]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

# --- single values: a number sent as text is accepted, and noted -------------------------------


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int | str):
        raise mismatch("a number", value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise mismatch("a number", value) from None
    if not math.isfinite(number):
        raise mismatch("a finite number", value)
    if isinstance(value, str):
        note("number sent as text", value)
    return number


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        note("text sent as a number", value)
        return str(value)
    raise mismatch("a text", value)


def _flag(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise mismatch("true or false", value)


def read_time(value: Any, _: Any = None) -> datetime:
    """A time; one without a zone is UTC. Raises `Mismatch` for anything else."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise mismatch("an ISO 8601 time", value) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _link(value: Any, _: Any) -> SignedUrl:
    if isinstance(value, str) and value:
        return SignedUrl(value)
    raise mismatch("a link", value)


def _texts(value: Any, _: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, str):
            note("expected a text", item)
    return tuple(item for item in items if isinstance(item, str))


_FAST_READERS: Final[dict[Any, fast_path.Reader]] = {
    float: fast_path.read_number,
    str: fast_path.read_text,
    tuple[str, ...]: fast_path.read_texts,
}
"""The fast reader of each type. Answers and lists of answers are added when their hooks are made.

The hook of any other type never writes a note, so the fast path uses it directly.
"""

# --- answers ------------------------------------------------------------------------------------


@frozen
class _Field:
    name: str
    key: str
    other_keys: tuple[str, ...]
    """Further keys under which the value may come."""
    type: Any
    exact: Any
    """A JSON type that needs no hook, or None."""
    hook: Hook
    optional: bool

    def read(self, source: Mapping[str, Any]) -> Any:
        key, value = self._find(source)
        if value is None and self.optional:
            return None
        return read_at(key, self._lenient if self.optional else self.hook, value, self.type)

    @property
    def fast(self) -> fast_path.FieldReader:
        """How the fast path reads this field."""
        reader = _FAST_READERS.get(self.type, self.hook)
        return fast_path.FieldReader(self.name, (self.key, *self.other_keys), self.exact, reader, self.optional)

    def _lenient(self, value: Any, wanted: Any) -> Any:
        try:
            return self.hook(value, wanted)
        except Mismatch as error:
            note(f"expected {error.expected}", value)
            return None

    def _find(self, source: Mapping[str, Any]) -> tuple[str, Any]:
        absent = (None,) if self.optional else (None, "")  # a required text is an id, which is never empty
        for key in (self.key, *self.other_keys):
            if source.get(key) not in absent:
                return key, source[key]
        return self.key, None


def _field_of(attribute: attrs.Attribute[Any], wanted: Any, convert: OrjsonConverter) -> _Field:
    options = typing.get_args(wanted)
    optional = wanted is Any or types.NoneType in options
    inner = wanted
    if types.NoneType in options:
        inner = typing.Union[tuple(t for t in options if t is not types.NoneType)]  # noqa: UP007 - made at run time
    key, *other_keys = attribute.metadata.get("keys", (attribute.name,))
    exact = inner if inner is float or inner is bool or (inner is str and optional) else None
    hook = convert.get_structure_hook(inner)
    return _Field(attribute.name, key, tuple(other_keys), inner, exact, hook, optional)


def _answer_hook(cls: type[Answer], convert: OrjsonConverter) -> Hook:
    hints = typing.get_type_hints(cls)
    fields = [_field_of(a, hints[a.name], convert) for a in attrs.fields(cast("Any", cls)) if a.name != "raw"]
    known = cls.known_keys.union(*((each.key, *each.other_keys) for each in fields))
    read_fast = _FAST_READERS[cls] = fast_path.answer_reader(cls, [each.fast for each in fields], known)

    def read(value: Any, wanted: Any) -> Any:
        try:
            return read_fast(value, wanted)
        except Mismatch:
            return read_fully(value)

    def read_fully(value: Any) -> Answer:
        if not isinstance(value, dict):
            raise mismatch("an object", value)
        values = {each.name: each.read(value) for each in fields}
        if cls.layout_known and not value.keys() <= known:
            _note_unknown(value, known)
        return cls(raw=RawJson(value), **values)

    return read


def _note_unknown(value: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in value.keys() - known:
        note("unknown key", value[name], name)


def _answers_hook(wanted: Any, convert: OrjsonConverter) -> Hook:
    """The hook for `tuple[SomeAnswer, ...]`: an array of objects, or a single object."""
    cls = typing.get_args(wanted)[0]
    hook = convert.get_structure_hook(cls)
    _FAST_READERS[wanted] = fast_path.answers_reader(_FAST_READERS[cls])

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | dict):
            raise mismatch("a list", value)
        items = value if isinstance(value, list) else [value]
        return tuple(item for item in (_item(hook, each, cls) for each in items) if item is not None)

    return read


def _item(hook: Hook, value: Any, cls: Any) -> Any:
    """One item of a list; an unreadable item is noted and left out, so that the others are still read."""
    try:
        return hook(value, cls)
    except Mismatch as error:
        note(f"list item left out, expected {error.expected}", value)
        return None


def _open_set(wanted: Any) -> type[enum.StrEnum] | None:
    """The enum of an open set, a type written `SomeStrEnum | str`: its members are the values known today."""
    options = typing.get_args(wanted)
    enums = [t for t in options if isinstance(t, type) and issubclass(t, enum.StrEnum)]
    return enums[0] if len(options) == 2 and str in options and enums else None


def _open_set_hook(wanted: Any) -> Hook:
    members: Mapping[str, enum.StrEnum] = {member.value: member for member in _open_set(wanted) or ()}
    _FAST_READERS[wanted] = fast_path.member_reader(members)

    def read(value: Any, _: Any) -> str:
        text = _text(value, str)
        if text not in members:
            note("unknown value", value)
        return members.get(text, text)

    return read


def _is_answer(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, Answer)


def _is_answers(wanted: Any) -> bool:
    options = typing.get_args(wanted)
    return typing.get_origin(wanted) is tuple and len(options) == 2 and options[1] is ... and _is_answer(options[0])


_HOOKS: Final[tuple[tuple[type, Hook], ...]] = (
    (float, _number),
    (str, _text),
    (bool, _flag),
    (datetime, read_time),
    (SignedUrl, _link),
)


def _make_converter() -> OrjsonConverter:
    convert = make_converter()
    for wanted, hook in _HOOKS:
        convert.register_structure_hook(wanted, hook)
    convert.register_structure_hook_func(partial(operator.eq, tuple[str, ...]), _texts)
    convert.register_structure_hook_func(partial(operator.is_, Any), lambda value, _: value)
    convert.register_structure_hook_factory(_is_answer, lambda cls: _answer_hook(cls, convert))
    convert.register_structure_hook_factory(_is_answers, lambda wanted: _answers_hook(wanted, convert))
    convert.register_structure_hook_factory(lambda t: _open_set(t) is not None, _open_set_hook)
    return convert


converter: Final = _make_converter()
"""Structures all answers of the API."""


def structure(value: object, cls: type[T]) -> T:
    """`value` as a `cls`; call it inside a `DriftLog`. Raises `Mismatch` if a required value is missing."""
    return converter.structure(value, cls)
