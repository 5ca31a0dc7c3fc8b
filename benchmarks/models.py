"""The classes of a result for other libraries: the same fields, generated from our own type hints.

Invariant: each library gets the classes that it reads fastest, without the leniency of ours. Only `checked_model_of`
makes pydantic do what ours does.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Any

import attrs

from ochy_async.protocol.answer import Answer, SignedUrl
from ochy_async.protocol.assessment import Ranges

from .alternatives import alternative

__all__ = ["attrs_of", "checked_model_of", "dataclass_of", "drift_of", "fields_of", "leaves", "model_of", "struct_of"]

Make = Callable[[str, dict[str, tuple[Any, bool]]], Any]
"""Makes a class from its name and fields: JSON key, type, and whether it is optional."""


def fields_of(cls: type[Answer]) -> Iterator[tuple[str, str, Any]]:
    """Name, JSON key and type hint of each field."""
    hints = typing.get_type_hints(cls)
    for each in attrs.fields(typing.cast("Any", cls)):
        if each.name != "raw":
            yield each.name, each.metadata.get("keys", (each.name,))[0], hints[each.name]


def _made(cls: type[Answer], make: Make, ranges: Any = list[float]) -> Any:
    plain = {key: _plain(wanted, make, ranges) for _, key, wanted in fields_of(cls)}
    return make(cls.__name__, plain)


def _plain(wanted: Any, make: Make, ranges: Any) -> tuple[Any, bool]:
    """A type hint in the form that other libraries understand, and whether it is optional."""
    options = [each for each in typing.get_args(wanted) if each is not types.NoneType]
    if typing.get_origin(wanted) is tuple:
        return list[_plain(options[0], make, ranges)[0]], False  # type: ignore[misc] # made at run time
    if options:
        optional = types.NoneType in typing.get_args(wanted)
        inner = str if str in options else _plain(options[0], make, ranges)[0]
        return inner, optional
    if wanted is Ranges:
        return ranges, False
    if wanted is SignedUrl:
        return str, False
    return (_made(wanted, make, ranges) if isinstance(wanted, type) and issubclass(wanted, Answer) else wanted), False


@cache
def model_of(cls: type[Answer]) -> Any:
    """As a pydantic model."""
    return _made(cls, partial(_make_model, None))


@cache
def checked_model_of(cls: type[Answer]) -> Any:
    """As a pydantic model that keeps unknown keys, for `drift_of`, and reads pairs of numbers as our `Ranges`."""
    pydantic = alternative("pydantic")
    ranges = typing.Annotated[Ranges, pydantic.PlainValidator(_ranges)]
    return _made(cls, partial(_make_model, pydantic.ConfigDict(extra="allow", frozen=True)), ranges)


def _make_model(config: Any, name: str, fields: dict[str, tuple[Any, bool]]) -> Any:
    given = {key: (kind | None, None) if optional else (kind, ...) for key, (kind, optional) in fields.items()}
    return alternative("pydantic").create_model(name, __config__=config, **given)


def _ranges(value: Any) -> Ranges:
    return _range(*value)


@lru_cache(256)
def _range(low: float, high: float) -> Ranges:
    return Ranges(((float(low), float(high)),))


def drift_of(model: Any, path: str = "") -> Iterator[str]:
    """The paths of unknown keys in a `checked_model_of`."""
    if model.__pydantic_extra__:
        yield from (f"{path}{key}" for key in model.__pydantic_extra__)
    for key, value in model.__dict__.items():
        for each in value if type(value) is list else (value,):
            if hasattr(each, "__pydantic_extra__"):
                yield from drift_of(each, f"{path}{key}.")


@cache
def struct_of(cls: type[Answer]) -> Any:
    """As a msgspec struct."""
    msgspec = alternative("msgspec")

    def make(name: str, fields: dict[str, tuple[Any, bool]]) -> Any:
        given = [(key, kind | None, None) if optional else (key, kind) for key, (kind, optional) in fields.items()]
        return msgspec.defstruct(name, given, frozen=True, kw_only=True)

    return _made(cls, make)


@cache
def attrs_of(cls: type[Answer]) -> Any:
    """As a frozen attrs class."""

    def make(name: str, fields: dict[str, tuple[Any, bool]]) -> Any:
        given = {
            key: attrs.field(type=kind | None, default=None) if optional else attrs.field(type=kind)
            for key, (kind, optional) in fields.items()
        }
        return attrs.make_class(name, given, frozen=True, kw_only=True, slots=True)

    return _made(cls, make)


@cache
def dataclass_of(cls: type[Answer]) -> Any:
    """As a dataclass of dataclasses-json."""
    dataclass_json = alternative("dataclasses_json").dataclass_json

    def make(name: str, fields: dict[str, tuple[Any, bool]]) -> Any:
        given = [
            (key, kind | None, dataclasses.field(default=None)) if optional else (key, kind)
            for key, (kind, optional) in fields.items()
        ]
        return dataclass_json(dataclasses.make_dataclass(name, given, frozen=True, kw_only=True))

    return _made(cls, make)


def leaves(value: Any, cls: type[Answer], *, ours: bool) -> Iterator[Any]:
    """All texts and numbers of a result, in the order of the fields."""
    for name, key, wanted in fields_of(cls):
        found = getattr(value, name if ours else key)
        inner = [each for each in (wanted, *typing.get_args(wanted)) if typing.get_origin(each) is tuple] or [wanted]
        classes = [each for each in (*inner, *typing.get_args(inner[0])) if isinstance(each, type)]
        answers = [each for each in classes if issubclass(each, Answer)]
        for item in found if isinstance(found, list | tuple) else [found]:
            if answers and item is not None:
                yield from leaves(item, answers[0], ours=ours)
            elif isinstance(item, Ranges):
                yield from (item.low, item.high)
            else:
                yield item.reveal() if isinstance(item, SignedUrl) else item
