"""Tests of retries: whether a request may be repeated, after which delay, and how `Retry-After` is read."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Retry
from ochy_async import errors as errors_module
from ochy_async.errors import ConnectionFailed, OchyError, Phase, RateLimited, ServerError
from ochy_async.policy.retry import RetryBudget, may_repeat, retry_after
from tests.support.policy import asking, chances

# --- how long until the next attempt --------------------------------------------------------------


@given(st.integers(1, 19), chances, st.floats(0, 60), st.floats(0, 600))
@settings(max_examples=100, deadline=None)
def test_a_delay_is_drawn_between_zero_and_its_bound(attempt: int, chance: float, first: float, longest: float) -> None:
    """Full jitter: the delay is anything up to the doubled delay, which stops growing at the longest."""
    retry = Retry(attempts=20, first_delay=first, longest_delay=longest)
    delay = retry.delay(ServerError(), attempt, chance)
    bound = min(longest, first * 2 ** (attempt - 1))
    assert delay == pytest.approx(chance * bound)


def test_delays_double() -> None:
    """Half a second, one, two, four, up to twenty."""
    retry = Retry(attempts=20)
    assert [retry.delay(ServerError(), n, 1.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 16, 20]


@pytest.mark.parametrize("attempts", [1, 2, 5, 20])
def test_the_number_of_attempts_is_limited(attempts: int) -> None:
    """The last attempt is not followed by another."""
    retry = Retry(attempts=attempts)
    assert [n for n in range(1, 22) if retry.delay(ServerError(), n, 0.5) is not None] == list(range(1, attempts))


@given(st.sampled_from([RateLimited, ServerError]), st.floats(0, 60), chances)
@settings(max_examples=50, deadline=None)
def test_retry_after_is_the_minimum_delay(
    cls: type[RateLimited] | type[ServerError], asked: float, chance: float
) -> None:
    """Jitter is added to `Retry-After`, so that clients do not all return at the same moment."""
    delay = Retry().delay(asking(cls, asked), 1, chance)
    assert delay is not None
    assert asked <= delay <= asked + 0.5


def test_a_retry_after_that_is_too_long_ends_the_call() -> None:
    """A call does not sleep for an hour: the caller gets the error, with the requested pause in it."""
    retry = Retry(longest_retry_after=60)
    assert retry.delay(asking(RateLimited, 60), 1, 0) == 60
    assert retry.delay(asking(RateLimited, 60.5), 1, 0) is None


def test_retries_spend_the_budget_and_successes_earn_it_back() -> None:
    """All retries of a session draw on one budget, so that they do not multiply the load of an outage."""
    budget, retry = RetryBudget(), Retry(budget=2, earned=0.5)
    assert [budget.spend(retry), budget.spend(retry), budget.spend(retry)] == [True, True, False]
    budget.earn(retry)
    assert not budget.spend(retry)
    budget.earn(retry)
    assert [budget.spend(retry), budget.spend(retry)] == [True, False]


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 20), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_budget_stays_within_its_bounds(moves: list[bool], most: int, earned: float) -> None:
    """It is never negative and never more than at the beginning, whatever succeeds and fails."""
    budget, retry = RetryBudget(), Retry(budget=most, earned=earned)
    spent = 0
    for success in moves:
        if success:
            budget.earn(retry)
        else:
            spent += budget.spend(retry)
        assert 0 <= budget.spent <= most
    assert spent <= most + earned * moves.count(True) + 1e-6


# --- whether a request may be repeated ------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "charging", "harmless"),
    [(Phase.NOT_SENT, True, True), (Phase.INCOMPLETE, True, True), (Phase.COMPLETE, False, True)],
)
def test_a_charging_request_is_repeated_only_if_it_was_incomplete(phase: Phase, charging: bool, harmless: bool) -> None:
    """It is sent again only if the server cannot have read the complete request."""
    error = ConnectionFailed(phase=phase)
    assert may_repeat(error, repeatable=False) is charging
    assert may_repeat(error, repeatable=True) is harmless


ERRORS = [cls for _, cls in inspect.getmembers(errors_module, inspect.isclass) if issubclass(cls, OchyError)]


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if cls is not ConnectionFailed], ids=lambda cls: cls.__name__)
def test_only_rate_limits_and_server_errors_are_retried(cls: type[OchyError]) -> None:
    """After a 429 nothing happened, so everything may be repeated; after a 5xx only harmless requests."""
    assert may_repeat(cls(), repeatable=False) is (cls is RateLimited)
    assert may_repeat(cls(), repeatable=True) is (cls in (RateLimited, ServerError))


# --- Retry-After ----------------------------------------------------------------------------------

NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("3", 3),
        ("0", 0),
        (" 3 ", 3),
        ("1.5", 1.5),
        ("Wed, 01 Jan 2025 12:00:30 GMT", 30),
        ("Wed, 01 Jan 2025 14:00:30 +0200", 30),
        ("Wed, 01 Jan 2025 12:00:30 -0000", 30),
        ("Wed, 01 Jan 2025 11:00:00 GMT", 0),
        ("-5", None),
        ("", None),
        (".", None),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
        ("3 s", None),
        ("Wed, 32 Jan 2025 12:00:30 GMT", None),
        ("Wed, 01 Jan 2025 99:00:30 GMT", None),
        ("Wed, 01 Jan 99999999999999999999 12:00:00 GMT", None),
        ("Wed, 01 Jan 2025 12:00:30 +99999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    """Seconds may have decimals, a date may be in any zone; a past date means no delay, and garbage counts as none."""
    assert retry_after({"retry-after": said}, NOW) == seconds


def test_a_date_is_compared_with_the_clock_of_the_server() -> None:
    """The `Date` of the answer is the time of the server; ours may be wrong."""
    headers = {"retry-after": "Wed, 01 Jan 2025 13:00:10 GMT", "date": "Wed, 01 Jan 2025 13:00:00 GMT"}
    assert retry_after(headers, NOW) == 10
    assert retry_after({**headers, "date": "yesterday"}, NOW) == 3610


@pytest.mark.parametrize("said", ["9" * 30, "9" * 400, "1" + "0" * 5_000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_huge_delay_is_a_finite_number(said: str) -> None:
    """It is finite and long, whatever the header says."""
    seconds = retry_after({"retry-after": said}, NOW)
    assert seconds is not None
    assert 3600 < seconds < 1e12


def test_no_retry_after_is_none() -> None:
    """Most answers have none."""
    assert retry_after({}, NOW) is None


dates = st.builds(
    "{}, {} {} {} {} {}".format,
    st.sampled_from(["Wed", "Xxx"]),
    st.integers(-1, 40),
    st.sampled_from(["Jan", "Feb", "Foo"]),
    st.integers(-1, 10**12),
    st.from_regex(r"[0-9]{1,3}:[0-9]{2}(:[0-9]{2})?", fullmatch=True),
    st.sampled_from(["GMT", "-0000", "+2500", "EST", "x", "", "+" + "9" * 12]),
)


@given(st.text(max_size=30) | dates, st.text(max_size=30) | dates)
@settings(max_examples=80, deadline=None)
def test_any_header_is_a_delay_or_none(said: str, date: str) -> None:
    """No header of a server raises anything."""
    seconds = retry_after({"retry-after": said, "date": date}, NOW)
    assert seconds is None or 0 <= seconds < 1e12
