"""Bounds for settings, checked when a setting is created.

Invariant: a settings object that exists is valid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import Attribute

from ..errors import InvalidSettings

__all__ = ["between"]


def between(low: float, high: float, *, integer: bool = False) -> Callable[[Any, Attribute[Any], Any], None]:
    """An attrs validator for a number from `low` to `high`, an integer if `integer`. Raises `InvalidSettings`."""
    kinds: Any = int if integer else (int, float)

    def check(owner: Any, attribute: Attribute[Any], value: Any) -> None:
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # NaN is never in range
            where = f"{type(owner).__name__}.{attribute.name}"
            raise InvalidSettings(
                f"{where} must be a {'whole ' if integer else ''}number from {low:g} to {high:g}, not {value!r}"
            )

    return check
