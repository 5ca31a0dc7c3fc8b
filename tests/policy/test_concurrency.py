"""Tests of the limit of parallel uploads, and of the settings of concurrency."""

from __future__ import annotations

from typing import Any

import pytest

from ochy_async.errors import (
    BuyCredits,
    ClipRefused,
    ConnectionFailed,
    InvalidSettings,
    KeyRefused,
    OchyError,
    RateLimited,
    ServerError,
    UncertainStart,
)
from ochy_async.policy.concurrency import Concurrency, UploadLimit


def slots_after(*results: OchyError | None, every: float = 10.0) -> list[int]:
    limit, found = UploadLimit.of(None), []
    for moment, error in enumerate(results):
        if error is None:
            limit.succeeded(1.0)
        else:
            limit.failed(error, moment * every)
        found.append(limit.slots)
    return found


ERRORS = [RateLimited(), ServerError(), ConnectionFailed(), UncertainStart()]


def test_the_upload_limit_grows_by_one_with_each_round() -> None:
    """Additive increase: 3, after three successful uploads 4, after four more 5."""
    assert slots_after(*[None] * 8) == [3, 3, 3, 4, 4, 4, 4, 5]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_halves_the_upload_limit(error: OchyError) -> None:
    """Multiplicative decrease, down to one and no further."""
    assert slots_after(error, error, error) == [1, 1, 1]


def test_errors_that_come_together_count_once() -> None:
    """Uploads that ran at the same time do not halve the limit one after the other."""
    limit = UploadLimit.of(None)
    for _ in range(100):
        limit.succeeded(1.0)
    before = limit.slots
    for _ in range(10):
        limit.failed(RateLimited(), 1.0)
    assert limit.slots == before // 2


@pytest.mark.parametrize("error", [ClipRefused(), BuyCredits(), KeyRefused()], ids=lambda error: type(error).__name__)
def test_errors_of_the_clip_or_account_do_not_change_the_upload_limit(error: OchyError) -> None:
    """A bad clip is no congestion."""
    assert slots_after(error) == [3]


def test_a_fixed_upload_limit_does_not_adapt() -> None:
    """Only the default adapts."""
    limit = UploadLimit.of(5)
    limit.succeeded(1.0)
    limit.failed(RateLimited(), 0.0)
    assert limit.slots == 5


@pytest.mark.parametrize("bad", [{"uploads": 0}, {"in_flight": 0}, {"checks": 1.5}, {"collecting": True}], ids=str)
def test_invalid_concurrency_is_refused(bad: dict[str, Any]) -> None:
    """The message has the bound."""
    with pytest.raises(InvalidSettings, match=f"Concurrency.{next(iter(bad))} must be a whole number"):
        Concurrency(**bad)
