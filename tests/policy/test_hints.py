"""Tests of which hints wake a wait: anyone may send them, in any number and order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Polling
from ochy_async.policy.hints import MAX_AGE, MAX_EARLY, MAX_SEQUENCES, MAX_VAIN, AnnouncedEnds, EarlyHints, Hints
from ochy_async.policy.polling import PollSchedule
from ochy_async.policy.progress import DurationHistory

NOW = 1000.0


# --- the hints for one analysis -------------------------------------------------------------------


def test_the_first_hint_wakes_at_once() -> None:
    """There is nothing to wait for."""
    assert Hints().wake_at(NOW) == NOW


def test_an_analysis_is_woken_at_most_once_a_second() -> None:
    """A hint that comes sooner wakes when the second is over, and further ones until then are the same wake."""
    hints = Hints()
    assert [hints.wake_at(NOW), hints.wake_at(NOW + 0.2), hints.wake_at(NOW + 0.9)] == [NOW, NOW + 1, NOW + 1]
    assert hints.wake_at(NOW + 1.5) == NOW + 2


def test_after_four_vain_polls_hints_wake_no_more() -> None:
    """Whoever sends forged hints for an analysis gets four polls out of them."""
    hints = Hints()
    assert [hints.wake_at(NOW + 10 * n) is not None for n in range(6)] == [True] * 4 + [False] * 2


def test_an_exact_repeat_is_not_new() -> None:
    """A doubled delivery has the sequence of the first one."""
    hints = Hints()
    assert [hints.is_new(7), hints.is_new(7), hints.is_new(8), hints.is_new(7)] == [True, False, True, False]


def test_a_lower_sequence_is_new() -> None:
    """One forged huge number must not silence the real deliveries."""
    hints = Hints()
    assert [hints.is_new(2**62), hints.is_new(3)] == [True, True]


def test_a_hint_without_a_sequence_is_always_new() -> None:
    """Nothing shows that it is a repeat."""
    hints = Hints()
    assert [hints.is_new(None), hints.is_new(None)] == [True, True]


def test_the_remembered_sequences_are_bounded() -> None:
    """Endless new sequences take no more memory than a few."""
    hints = Hints()
    for sequence in range(10_000):
        hints.is_new(sequence)
    assert len(hints._sequences) == MAX_SEQUENCES  # pyright: ignore[reportPrivateUsage]


@given(st.lists(st.floats(0, 3), max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_hints_wake_at_most_four_times_and_once_a_second(pauses: list[float]) -> None:
    """Whenever hints come, the moments at which they wake are few and apart, and none is in the past."""
    hints, now, moments = Hints(), NOW, set[float]()
    for pause in pauses:
        now += pause
        wake_at = hints.wake_at(now)
        if wake_at is not None:
            assert now <= wake_at <= now + 1
            moments.add(wake_at)
    ordered = sorted(moments)
    assert len(ordered) <= MAX_VAIN
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in pairwise(ordered))


# --- hints before anyone waits ----------------------------------------------------------------------


@pytest.mark.parametrize(("age", "wake_at"), [(0, NOW), (MAX_AGE, NOW + MAX_AGE), (MAX_AGE + 0.1, None)])
def test_an_early_hint_counts_for_two_minutes(age: float, wake_at: float | None) -> None:
    """Later, a wait begins with a poll of its own anyway."""
    early = EarlyHints()
    early.add("a1", 1, NOW)
    assert early.take("a1", NOW + age)[1] == wake_at


def test_an_early_hint_is_taken_once() -> None:
    """The first wait has it; nothing is left for a later one."""
    early = EarlyHints()
    early.add("a1", 1, NOW)
    assert [early.take("a1", NOW)[1], early.take("a1", NOW)[1]] == [NOW, None]


def test_a_repeat_of_an_early_hint_does_not_renew_it() -> None:
    """A doubled delivery is no newer than the first."""
    early = EarlyHints()
    early.add("a1", 1, NOW)
    early.add("a1", 1, NOW + 100)
    assert early.take("a1", NOW + 130)[1] is None


def test_a_repeat_after_the_wait_began_is_dropped() -> None:
    """What came early is remembered with its sequence."""
    early = EarlyHints()
    early.add("a1", 1, NOW)
    hints, _ = early.take("a1", NOW)
    assert hints.is_new(1) is False


def test_many_early_hints_leave_the_four_wakes_to_the_wait() -> None:
    """Hints that nobody waited for woke nobody, so they were not vain."""
    early = EarlyHints()
    for n in range(50):
        early.add("a1", n, NOW + n)
    hints, wake_at = early.take("a1", NOW + 50)
    assert wake_at == NOW + 50
    assert [hints.wake_at(NOW + 60 + 10 * n) is not None for n in range(4)] == [True] * 3 + [False]


def test_early_hints_are_bounded() -> None:
    """A flood of forged ids takes bounded memory: the oldest are forgotten, and overlong ids are not kept."""
    early = EarlyHints()
    for n in range(3 * MAX_EARLY):
        early.add(f"forged {n}", n, NOW)
    early.add("x" * 201, 1, NOW)
    assert len(early._hints) == MAX_EARLY  # pyright: ignore[reportPrivateUsage]
    assert early.take("forged 0", NOW)[1] is None
    assert early.take(f"forged {3 * MAX_EARLY - 1}", NOW)[1] == NOW
    assert early.take("x" * 201, NOW)[1] is None


# --- rare polls while hints are reliable ---------------------------------------------------------------

RESTING = Polling(rest=15)


def announced(times: int) -> AnnouncedEnds:
    """So many ends in a row were announced."""
    ends = AnnouncedEnds()
    for _ in range(times):
        ends.add(announced=True)
    return ends


@pytest.mark.parametrize(
    ("polling", "times", "first"), [(RESTING, 3, 15), (RESTING, 2, 3), (RESTING, 0, 3), (Polling(), 9, 3)]
)
def test_polls_rest_once_three_ends_in_a_row_were_announced(polling: Polling, times: int, first: float) -> None:
    """Only if the user asked for it, and only after three announced ends."""
    schedule = PollSchedule(polling, NOW, announced(times))
    assert schedule.first_delay(NOW, DurationHistory()) == first
    assert schedule.after_poll(None, NOW + first, 0.5) == first
    assert schedule.after_poll(None, NOW + 2 * first, 0.5, pending=True) >= first


def test_an_end_that_was_not_announced_returns_to_normal_polling() -> None:
    """Waits under way poll normally from their next poll on."""
    ends = announced(5)
    other = PollSchedule(RESTING, NOW, ends)
    assert other.after_poll(None, NOW + 10, 0.5) == 15
    PollSchedule(RESTING, NOW, ends).finished(NOW + 20, succeeded=True)
    assert other.after_poll(None, NOW + 25, 0.5) == 3


def test_a_failed_analysis_is_an_end_like_any_other() -> None:
    """Its deliveries show just as well whether hints are reliable."""
    ends = announced(2)
    schedule = PollSchedule(RESTING, NOW, ends)
    schedule.hinted()
    schedule.finished(NOW + 20, succeeded=False)
    assert ends.reliable


def test_a_vain_hint_returns_that_analysis_to_normal_polling() -> None:
    """The hook may be ahead of the API, and no second hint may come. Other analyses go on resting."""
    ends = announced(3)
    schedule, other = PollSchedule(RESTING, NOW, ends), PollSchedule(RESTING, NOW, ends)
    assert schedule.first_delay(NOW, DurationHistory()) == 15
    schedule.hinted()
    assert schedule.after_poll(None, NOW + 5, 0.5) == 3
    assert schedule.after_poll(None, NOW + 8, 0.5) == 3
    assert other.after_poll(None, NOW + 5, 0.5) == 15


def test_a_vain_hint_does_not_count_as_an_announcement() -> None:
    """A forged hint for an analysis does not make its end an announced one."""
    ends = announced(3)
    schedule = PollSchedule(RESTING, NOW, ends)
    schedule.hinted()
    schedule.after_poll(None, NOW + 10, 0.5)
    schedule.finished(NOW + 20, succeeded=True)
    assert not ends.reliable


@pytest.mark.parametrize(("hinted_at", "delay"), [(NOW + 10.5, 2.5), (NOW + 12.8, 1)])
def test_a_vain_hint_does_not_postpone_the_poll_that_was_due(hinted_at: float, delay: float) -> None:
    """A poll was due at 1013. It comes then, unless that is less than a second after the woken one."""
    schedule = PollSchedule(Polling(), NOW)
    assert schedule.after_poll(None, NOW + 10, 0.5) == 3
    schedule.hinted()
    assert schedule.after_poll(None, hinted_at, 0.5) == pytest.approx(delay)


def test_an_announced_end_is_learned_as_the_end() -> None:
    """With rare polls the middle between two of them says little; the hint came at the end."""
    known = DurationHistory()
    for _ in range(5):
        schedule = PollSchedule(RESTING, NOW)
        schedule.first_delay(NOW, known)
        schedule.hinted()
        schedule.finished(NOW + 20, succeeded=True)
    assert known.soonest() == pytest.approx(20)


@pytest.mark.parametrize("rest", [0.01, 3600])
def test_rest_is_a_number_of_seconds(rest: float) -> None:
    """Up to an hour; whatever it is, polls never come sooner than without it."""
    schedule = PollSchedule(Polling(rest=rest), NOW, announced(3))
    assert schedule.after_poll(None, NOW + 10, 0.5) == max(3, rest)
