"""One cattrs converter for every answer: strict about required facts, lenient and loud about the rest.

Invariant: nothing the server says is lost and nothing it says is trusted. A field typed
`X | None` is optional: absent, null or odd reads as None, and odd is noted as drift. Any other field
is required: without it the answer is a `Misfit`.
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
from .drift import Misfit, at, misfit, note

__all__ = ["converter", "structure"]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

# --- leaves: a text where a number belongs is read, and noted ----------------------------------


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int | str):
        raise misfit("a number", value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise misfit("a number", value) from None
    if not math.isfinite(number):
        raise misfit("a finite number", value)
    if isinstance(value, str):
        note("number sent as text", value)
    return number


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        note("text sent as a number", value)
        return str(value)
    raise misfit("a text", value)


def _flag(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise misfit("true or false", value)


def _moment(value: Any, _: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise misfit("an ISO 8601 time", value) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _link(value: Any, _: Any) -> SignedUrl:
    if isinstance(value, str) and value:
        return SignedUrl(value)
    raise misfit("a link", value)


def _texts(value: Any, _: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, str):
            note("expected a text", item)
    return tuple(item for item in items if isinstance(item, str))


_PLAIN: Final[dict[Any, fast_path.Plain]] = {
    float: fast_path.number,
    str: fast_path.text,
    tuple[str, ...]: fast_path.texts,
}
"""The quick reading of each type; answers and what holds them are added as their hooks are made.

What is not here has a hook that never notes anything, and so may read quickly itself.
"""

# --- answers ------------------------------------------------------------------------------------


@frozen
class _Field:
    name: str
    key: str
    others: tuple[str, ...]
    """Other keys under which it may come."""
    type: Any
    exact: Any
    """A JSON type that needs no hook, or None."""
    hook: Hook
    optional: bool
    absent: bool
    """Whether nothing under the first key settles it."""

    def read(self, source: Mapping[str, Any]) -> Any:
        """The value where a look under the first key was not enough."""
        key, value = self._find(source)
        if value is None and self.optional:
            return None
        return at(key, self._lenient if self.optional else self.hook, value, self.type)

    @property
    def part(self) -> fast_path.Part:
        """The field for the quick reading."""
        quick = _PLAIN.get(self.type, self.hook)
        return fast_path.Part(self.name, (self.key, *self.others), self.exact, quick, self.optional)

    def _lenient(self, value: Any, wanted: Any) -> Any:
        try:
            return self.hook(value, wanted)
        except Misfit as odd:
            note(f"expected {odd.expected}", value)
            return None

    def _find(self, source: Mapping[str, Any]) -> tuple[str, Any]:
        nothing = (None,) if self.optional else (None, "")  # a required text is an id, and none is empty
        for key in (self.key, *self.others):
            if source.get(key) not in nothing:
                return key, source[key]
        return self.key, None


def _field_of(attribute: attrs.Attribute[Any], wanted: Any, convert: OrjsonConverter) -> _Field:
    options = typing.get_args(wanted)
    optional = wanted is Any or types.NoneType in options
    inner = wanted
    if types.NoneType in options:
        inner = typing.Union[tuple(t for t in options if t is not types.NoneType)]  # noqa: UP007 - made at run time
    key, *others = attribute.metadata.get("keys", (attribute.name,))
    exact = inner if inner is float or inner is bool or (inner is str and optional) else None
    hook = convert.get_structure_hook(inner)
    return _Field(attribute.name, key, tuple(others), inner, exact, hook, optional, optional and not others)


def _answer_hook(cls: type[Answer], convert: OrjsonConverter) -> Hook:
    hints = typing.get_type_hints(cls)
    fields = [_field_of(a, hints[a.name], convert) for a in attrs.fields(cast("Any", cls)) if a.name != "raw"]
    known = cls.known_keys.union(*((each.key, *each.others) for each in fields))
    quick = _PLAIN[cls] = fast_path.answer(cls, [each.part for each in fields], known)

    def read(value: Any, wanted: Any) -> Any:
        try:
            return quick(value, wanted)
        except Misfit:
            return careful(value)

    def careful(value: Any) -> Answer:
        if not isinstance(value, dict):
            raise misfit("an object", value)
        given: dict[str, Any] = {}
        for each in fields:
            found = value.get(each.key)
            fast_path = type(found) is each.exact or (found is None and each.absent)
            given[each.name] = found if fast_path else each.read(value)
        if cls.layout_known and not value.keys() <= known:
            _note_unknown(value, known)
        return cls(raw=RawJson(value), **given)

    return read


def _note_unknown(value: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in value.keys() - known:
        note("unknown key", value[name], name)


def _answers_hook(wanted: Any, convert: OrjsonConverter) -> Hook:
    """For `tuple[SomeAnswer, ...]`: an array of objects, or a lone object."""
    cls = typing.get_args(wanted)[0]
    hook = convert.get_structure_hook(cls)
    _PLAIN[wanted] = fast_path.answers(_PLAIN[cls])

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | dict):
            raise misfit("a list", value)
        items = value if isinstance(value, list) else [value]
        return tuple(item for item in (_item(hook, each, cls) for each in items) if item is not None)

    return read


def _item(hook: Hook, value: Any, cls: Any) -> Any:
    """One item of a list: an odd one is noted and left out, so that it cannot hide the others."""
    try:
        return hook(value, cls)
    except Misfit as odd:
        note(f"list item left out, expected {odd.expected}", value)
        return None


def _open_set(wanted: Any) -> type[enum.StrEnum] | None:
    """The enum in a type written `SomeStrEnum | str`: the vendor's known values of an open set."""
    options = typing.get_args(wanted)
    enums = [t for t in options if isinstance(t, type) and issubclass(t, enum.StrEnum)]
    return enums[0] if len(options) == 2 and str in options and enums else None


def _open_set_hook(wanted: Any) -> Hook:
    members: Mapping[str, enum.StrEnum] = {member.value: member for member in _open_set(wanted) or ()}
    _PLAIN[wanted] = fast_path.member(members)

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


_LEAVES: Final[tuple[tuple[type, Hook], ...]] = (
    (float, _number),
    (str, _text),
    (bool, _flag),
    (datetime, _moment),
    (SignedUrl, _link),
)


def _make() -> OrjsonConverter:
    convert = make_converter()
    for wanted, hook in _LEAVES:
        convert.register_structure_hook(wanted, hook)
    convert.register_structure_hook_func(partial(operator.eq, tuple[str, ...]), _texts)
    convert.register_structure_hook_func(partial(operator.is_, Any), lambda value, _: value)
    convert.register_structure_hook_factory(_is_answer, lambda cls: _answer_hook(cls, convert))
    convert.register_structure_hook_factory(_is_answers, lambda wanted: _answers_hook(wanted, convert))
    convert.register_structure_hook_factory(lambda t: _open_set(t) is not None, _open_set_hook)
    return convert


converter: Final = _make()
"""Structures every answer of the API."""


def structure(value: object, cls: type[T]) -> T:
    """`value` as a `cls`; call it inside `drift.reading`. Raises `Misfit` where a required fact is missing."""
    return converter.structure(value, cls)
