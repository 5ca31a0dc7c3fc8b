"""Tests of what a session learns from earlier analyses: how long they took, and which predictions were right.

They are pure: time and randomness are passed in.
"""

from __future__ import annotations

import random

import pytest

from ochy_async import Polling
from ochy_async.policy.polling import PollSchedule
from ochy_async.policy.progress import DurationHistory, ProgressModel
from tests.support.policy import Percentage, absent, durations, schedule_with, smooth, waited

# --- the history ----------------------------------------------------------------------------------


def test_only_the_latest_durations_count() -> None:
    """The vendor may be faster tomorrow."""
    history = durations(*[100] * 64, *[10] * 64)
    assert history.soonest() == 10
    assert durations(*range(10, 20)).soonest() == 11
    assert durations(1, 2, 3, 4).soonest() is None


def test_late_polls_do_not_make_later_polls_later() -> None:
    """An analysis finishes before the poll that shows it: over many analyses the first poll does not drift."""
    known = DurationHistory()
    chance = random.Random(1)
    came = [waited(known, chance.uniform(10, 30), absent, chance.random()) for _ in range(400)]
    assert sum(late for late, _ in came[-200:]) / 200 <= 1.5
    assert (known.soonest() or 99) <= 12.5


def test_a_prediction_between_two_polls_counts_as_the_end() -> None:
    """Half done after 10 s and next polled after 25 s: it took the predicted 20 s."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known)
        schedule.after_poll(50, 1010, 0.5)
        schedule.finished(1025, succeeded=True)
    assert known.soonest() == pytest.approx(20)


def test_an_old_analysis_adds_no_duration() -> None:
    """An analysis that is found finished after an hour may have finished long before."""
    known = DurationHistory()
    for _ in range(10):
        schedule = PollSchedule(Polling(), 1000)
        assert schedule.first_delay(4600, known) == 0
        schedule.finished(4600, succeeded=True)
    assert known.soonest() is None


def test_an_analysis_of_unknown_age_adds_only_its_percentages() -> None:
    """Its duration is unknown, but the predictions from its percentages can be compared."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, None)
        schedule.after_poll(20, 1000, 0.5)
        schedule.after_poll(40, 1010, 0.5)
        schedule.after_poll(80, 1030, 0.5)
        schedule.finished(1045, succeeded=True)
    assert known.soonest() is None
    assert list(known.ratios(40)) == pytest.approx([1] * 5)


def test_an_analysis_without_age_or_percentage_adds_nothing() -> None:
    """The time between two polls is no duration."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, None)
        schedule.after_poll(None, 1000, 0.5)
        schedule.finished(1003, succeeded=True)
    assert known.soonest() is None


@pytest.mark.parametrize("factor", [3, 1 / 3])
@pytest.mark.parametrize("shown", [absent, smooth], ids=lambda shown: shown.__name__)
def test_a_change_of_the_servers_speed_is_learned(factor: float, shown: Percentage) -> None:
    """Three times slower or faster: after forty analyses results are noticed about as soon as before."""
    known, chance = DurationHistory(), random.Random(2)
    for _ in range(80):
        waited(known, chance.uniform(10, 30), shown, chance.random())
    for _ in range(40):
        waited(known, chance.uniform(10, 30) * factor, shown, chance.random())
    came = [waited(known, chance.uniform(10, 30) * factor, shown, chance.random()) for _ in range(40)]
    assert sum(late for late, _ in came) / 40 <= 1.5
    assert sum(polls for _, polls in came) / 40 <= max(5.0, 5 * factor)


def test_the_history_is_bounded() -> None:
    """It does not grow with the age of a session or with the changes of a percentage."""
    known, progress = DurationHistory(), ProgressModel(0.0)
    for n in range(1, 5000):
        progress.add_running(n / 51, float(n))
        known.add(n, n % 100, 1)
    progress.succeeded(5000, known)
    assert len(progress._samples) <= 11  # pyright: ignore[reportPrivateUsage]
    assert sum(map(len, known._ratios.values())) <= 11 * 64  # pyright: ignore[reportPrivateUsage]


# --- in the queue ---------------------------------------------------------------------------------


def test_time_in_the_queue_is_not_added_to_the_durations() -> None:
    """A full queue says nothing about how long an analysis runs."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(0, 1490, 0.5, pending=True)
        schedule.after_poll(None, 1500, 0.5)
        schedule.finished(1510, succeeded=True)
    assert known.soonest() == pytest.approx(10)


def test_an_analysis_that_ran_between_two_polls_counts_as_fast() -> None:
    """A queue that hides the run still shows that it was short."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(0, 1490, 0.5, pending=True)
        schedule.finished(1500, succeeded=True)
    assert known.soonest() == pytest.approx(5)


def test_an_analysis_that_returns_to_the_queue_starts_over() -> None:
    """Neither its speed nor its duration includes the time before."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(50, 1010, 0.5)
        schedule.after_poll(0, 1100, 0.5, pending=True)
        assert schedule.after_poll(25, 1110, 0.5) == pytest.approx(0.8 * 15)
        schedule.finished(1130, succeeded=True)
    assert list(known.ratios(25)) == pytest.approx([1] * 5)
    assert list(known.ratios(50)) == []
    for _ in range(64):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(50, 1010, 0.5)  # predicts 1020
        schedule.after_poll(0, 1015, 0.5, pending=True)
        schedule.finished(1030, succeeded=True)
    assert known.soonest() == pytest.approx(7.5)
