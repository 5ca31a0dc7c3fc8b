"""The columns of a table, with their units.

Invariant: pure, and plain values: no column depends on a data frame library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from attrs import field, frozen

__all__ = ["UNKNOWN_UNIT", "Column", "Kind", "as_number", "category_names", "distinct_names", "well_formed"]

UNKNOWN_UNIT: Final = "not documented"
"""The unit of numbers whose unit the vendor does not document."""
Kind = Literal["number", "integer", "boolean", "text", "category"]


@frozen
class Column:
    """One column of a table."""

    name: str
    kind: Kind
    values: Sequence[Any] = field(repr=False)
    """A list with None for what is missing, in which texts are well formed.

    `number`: an array of float64 with NaN for what is missing. `category`: an array of int32, the positions in
    `categories`, or -1 for what is missing. `integer`: a list or, if nothing is missing, an array of int64.
    """
    unit: str | None = None
    """None for what has no unit, such as names."""
    categories: Sequence[str] = field(default=(), repr=False)


def distinct_names(
    names: Iterable[str], taken: Iterable[str], prefix: str, key: Callable[[str], str] = str.casefold
) -> tuple[str, ...]:
    """The names, with `prefix` before each whose `key` another has already: upper and lower case are the same."""
    used, found = {key(name) for name in taken}, list[str]()
    for name in names:
        while key(name) in used:
            name = f"{prefix}{name}"
        used.add(key(name))
        found.append(name)
    return tuple(found)


def well_formed(text: str) -> str:
    """The text with half surrogate pairs, which have no UTF-8 form, escaped."""
    return text.encode(errors="backslashreplace").decode()


def as_number(value: Any) -> float:
    """A JSON value as a float; NaN if it is no number, or one that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def category_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names as the categories of a column: well formed, and no two alike."""
    return distinct_names(map(well_formed, names), (), "_", str)
