"""Tests of the bounds of settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from ochy_async import Limits, Polling, Retry
from ochy_async.errors import InvalidSettings

SETTINGS: list[Callable[..., Any]] = [Retry, Polling, Limits]
BOUNDS = [(make, attribute) for make in (Retry, Polling, Limits) for attribute in attrs.fields(make)]
INVALID = [float("nan"), float("inf"), -1, True, "3", None]


@pytest.mark.parametrize(
    ("make", "setting"), [pytest.param(make, each, id=f"{make.__name__}-{each.name}") for make, each in BOUNDS]
)
def test_invalid_settings_are_refused(make: Callable[..., Any], setting: Any) -> None:
    """The error names the setting and its bounds. None is valid only as a default."""
    for value in INVALID:
        if value is not None or setting.default is not None:
            message = rf"{setting.name} must be a (?:whole )?number from \S+ to \S+, not"
            with pytest.raises(InvalidSettings, match=message):
                make(**{setting.name: value})


@pytest.mark.parametrize(
    ("make", "given_", "bounds"),
    [
        (Retry, {"budget": 10**400}, "from 0 to 10000"),
        (Retry, {"attempts": 0}, "from 1 to 20"),
        (Retry, {"attempts": 21}, "from 1 to 20"),
        (Retry, {"earned": 1.1}, "from 0 to 1"),
        (Polling, {"interval": 0}, "from 0.01 to 300"),
        (Polling, {"requests_per_second": 1001}, "from 0.01 to 1000"),
        (Limits, {"connect": 301}, "from 0.01 to 300"),
        (Limits, {"answer_bytes": 10}, "from 1000 to"),
    ],
)
def test_the_error_names_the_bounds(make: Callable[..., Any], given_: dict[str, Any], bounds: str) -> None:
    """The message says which values are valid."""
    with pytest.raises(InvalidSettings, match=bounds):
        make(**given_)


@pytest.mark.parametrize("make", SETTINGS)
def test_settings_are_frozen(make: Callable[..., Any]) -> None:
    """Checked values cannot change afterwards."""
    made = make()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, attrs.fields(type(made))[0].name, 1)
