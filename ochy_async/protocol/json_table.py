"""JSON as a long table: one row for each value that is neither an object nor a list.

Invariant: pure. Name and index lead to one value, no text holds a link, and a value that no column can hold is null.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .redaction import redact_links
from .table_columns import Column, as_number, well_formed

__all__ = ["json_columns"]

Path = tuple[str | int, ...]
"""The keys and the positions in lists that lead to a value."""


def json_columns(value: Mapping[str, Any], unit: Callable[[str], str | None]) -> Iterator[Column]:
    """The columns `name`, `index`, `value`, `text` and `unit`. `unit` returns that of a number by its name, if known.

    A name is the path of keys with dots between them, and an index the position in the innermost list. Positions in
    outer lists are part of the name.
    """
    rows = [(*_name_and_index(path), each) for path, each in _leaves(redact_links(dict(value)), ())]
    numbers = array("d", (as_number(each) for _, _, each in rows))
    yield Column("name", "text", [well_formed(name) for name, _, _ in rows])
    yield Column("index", "integer", [index for _, index, _ in rows])
    yield Column("value", "number", numbers)
    yield Column("text", "text", [_text(each) for _, _, each in rows])
    units = (unit(name) if number == number else None for (name, *_), number in zip(rows, numbers, strict=True))
    yield Column("unit", "text", list(units))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    else:
        yield path, value


def _name_and_index(path: Path) -> tuple[str, int | None]:
    for place in range(len(path) - 1, -1, -1):
        index = path[place]
        if isinstance(index, int):
            return ".".join(map(str, (*path[:place], *path[place + 1 :]))), index
    return ".".join(map(str, path)), None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return well_formed(value) if isinstance(value, str) else None
