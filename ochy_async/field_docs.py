"""Classes whose `help` lists their fields: type, default, and the sentence that stands below the field in the source.

Invariant: each sentence is written once, below its field, where editors show it; Python forgets it there. Nothing
is read before somebody asks for the docstring, and where there is no source the docstring is as it was written.
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
    """Adds the fields of an attrs class to its docstring, once it is looked at."""
    cls.__doc__ = cast("str", _Docstring(cls.__doc__ or ""))
    return cls


class _Docstring:
    """A docstring that is made when it is read: Python asks descriptors for the `__doc__` of a class."""

    def __init__(self, written: str) -> None:
        self._written = written

    def __get__(self, _: object, owner: type[Any]) -> str:
        told = "\n".join(_told(owner))
        return f"{self._written.rstrip()}\n\n    Fields:\n\n{told}\n" if told else self._written


def _told(cls: type[Any]) -> Iterator[str]:
    sentences: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        sentences.update(_sentences(each))
    for field in fields(cls):
        default = "" if field.default is NOTHING else f" = {_default(field.default)}"
        yield f"    {field.name.lstrip('_')}: {field.type}{default}"
        if field.name in sentences:
            yield from (f"        {line.strip()}" for line in sentences[field.name].splitlines())


def _default(default: Any) -> str:
    made = getattr(default, "factory", None)  # what attrs keeps of `Factory(…)`
    return repr(default) if made is None else f"{made.__name__}()"


def _sentences(cls: type[Any]) -> dict[str, str]:
    """The text below each field of the class itself."""
    import ast
    import inspect

    try:
        (body,) = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: a built-in class, or a zipped program
        return {}
    steps = cast("ast.ClassDef", body).body
    return {name: text for field, below in pairwise(steps) if (name := _named(field)) and (text := _text(below))}


def _named(step: ast.stmt) -> str | None:
    target = getattr(step, "target", None)
    return getattr(target, "id", None)


def _text(step: ast.stmt) -> str | None:
    value = getattr(getattr(step, "value", None), "value", None)
    return value if isinstance(value, str) else None
