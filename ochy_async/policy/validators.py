"""Refusing nonsense where it is written: bounds for settings, told with the bound.

Invariant: a setting that exists is sane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import Attribute

from ..errors import InvalidSettings

__all__ = ["between"]


def between(low: float, high: float, *, whole: bool = False) -> Callable[[Any, Attribute[Any], Any], None]:
    """An attrs validator for a number from `low` to `high`, `whole` or not. Raises `InvalidSettings`."""
    kinds: Any = int if whole else (int, float)

    def check(owner: Any, attribute: Attribute[Any], value: Any) -> None:
        number = isinstance(value, kinds) and not isinstance(value, bool)
        if not number or not low <= value <= high:  # NaN is in no range
            where = f"{type(owner).__name__}.{attribute.name}"
            raise InvalidSettings(
                f"{where} must be a {'whole ' if whole else ''}number from {low:g} to {high:g}, not {value!r}"
            )

    return check
