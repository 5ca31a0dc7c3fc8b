"""Adds the fields of a class to its docstring: type, default, and the sentence below the field in the source.

Python does not keep the sentences below fields, so they are read from the source when the docstring is first read.
Without the source, the docstring stays as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import NOTHING, fields

if TYPE_CHECKING:
    import ast

__all__ = ["documented"]

T = TypeVar("T")


def documented(cls: type[T]) -> type[T]:
    """Class decorator: adds the fields of an attrs class to its docstring when that is read."""
    cls.__doc__ = cast("str", _Docstring(cls.__doc__ or ""))
    return cls


class _Docstring:
    """A docstring that is composed when it is read: `__doc__` of a class may be a descriptor."""

    def __init__(self, written: str) -> None:
        self._written = written

    def __get__(self, _: object, owner: type[Any]) -> str:
        listed = "\n".join(_field_lines(owner))
        return f"{self._written.rstrip()}\n\n    Fields:\n\n{listed}\n" if listed else self._written


def _field_lines(cls: type[Any]) -> Iterator[str]:
    sentences: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        sentences.update(_sentences(each))
    for field in fields(cls):
        default = "" if field.default is NOTHING else f" = {_default(field.default)}"
        yield f"    {field.name.lstrip('_')}: {field.type}{default}"
        if field.name in sentences:
            yield from (f"        {line.strip()}" for line in sentences[field.name].splitlines())


def _default(default: Any) -> str:
    factory = getattr(default, "factory", None)  # of an attrs `Factory`
    return repr(default) if factory is None else f"{factory.__name__}()"


def _sentences(cls: type[Any]) -> dict[str, str]:
    """The sentence below each field that the class itself defines."""
    import ast
    import inspect

    try:
        (body,) = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: a built-in class, or a zipped program
        return {}
    statements = cast("ast.ClassDef", body).body
    return {
        name: text for field, below in pairwise(statements) if (name := _field_name(field)) and (text := _text(below))
    }


def _field_name(statement: ast.stmt) -> str | None:
    target = getattr(statement, "target", None)
    return getattr(target, "id", None)


def _text(statement: ast.stmt) -> str | None:
    value = getattr(getattr(statement, "value", None), "value", None)
    return value if isinstance(value, str) else None
