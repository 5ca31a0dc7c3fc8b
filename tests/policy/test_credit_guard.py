"""Tests of what admits starts and what stops them: limits of credits, an empty account, a refused key."""

from __future__ import annotations

from ochy_async.errors import BuyCredits, ClipRefused, KeyRefused
from ochy_async.policy.credit_guard import CreditGuard, StopReason


def test_the_guard_counts_intents() -> None:
    """Two credits: a third start is admitted only after one of the two certainly did not happen."""
    guard = CreditGuard(2)
    assert (guard.admit(0), guard.admit(0)) == (0, 0)
    assert isinstance(guard.admit(0), StopReason)
    guard.release_credit()
    assert guard.admit(0) == 0
    assert isinstance(guard.admit(0), StopReason)


def test_credits_of_earlier_runs_count() -> None:
    """Earlier runs of the same journal."""
    assert isinstance(CreditGuard(5, spent_earlier=5).admit(0), StopReason)


def test_the_reason_names_the_limit_that_is_reached() -> None:
    """The nearer of the two limits says how much remains."""
    guard = CreditGuard(limit=9, limit_per_run=2, spent_earlier=6)
    assert (guard.remaining, guard.admit(0), guard.remaining, guard.admit(0), guard.remaining) == (2, 0, 1, 0, 0)
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "2 credits for one run" in stopped.reason
    guard.spent_earlier = 7
    assert guard.remaining == 0
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "limit of 9 credits is reached" in stopped.reason


def test_an_exceeded_limit_leaves_zero() -> None:
    """Earlier runs had a higher limit: nothing remains, and not a negative number."""
    guard = CreditGuard(limit=3, spent_earlier=5)
    assert guard.remaining == 0
    assert isinstance(guard.admit(0), StopReason)


def test_an_empty_account_stops_starts() -> None:
    """402 without patience: no other start is admitted, and the reason says why."""
    guard = CreditGuard()
    assert guard.refused(BuyCredits("no credits"), 0)
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "no credits" in stopped.reason


def test_with_patience_one_start_finds_out_for_all() -> None:
    """402 with patience: all wait a minute, then one start goes, and the others keep waiting."""
    guard = CreditGuard(patience=600)
    guard.refused(BuyCredits(), 0)
    assert guard.admit(10) == 50
    assert guard.admit(60) == 0
    assert guard.admit(60) == 60
    guard.accepted()
    assert guard.admit(61) == 0


def test_patience_ends() -> None:
    """Starts that keep failing stop the guard in the end."""
    guard = CreditGuard(patience=120)
    for moment in (1_000, 1_060):
        guard.refused(BuyCredits(), moment)
        assert not isinstance(guard.admit(moment), StopReason)
    guard.refused(BuyCredits(), 1_120)
    assert isinstance(guard.admit(1_120), StopReason)


def test_a_refused_key_stops_starts_for_good() -> None:
    """A refused clip does not."""
    guard = CreditGuard()
    assert not guard.refused(ClipRefused(), 0)
    assert guard.admit(0) == 0
    assert guard.refused(KeyRefused("the key is wrong"), 0)
    assert isinstance(guard.admit(0), StopReason)
