"""Tests of when to poll: what a session learns from earlier analyses, and how many polls it takes.

All but the last two tests are pure: time and randomness are passed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Polling, SideView, Status
from ochy_async.emulator import ResponseShapes, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.policy.polling import PollSchedule, poll_delay
from ochy_async.policy.progress import DurationHistory, ProgressModel
from ochy_async.protocol.routes import RESULTS
from tests.conftest import CLIP, Recorded, direct_session, world

Percentage = Callable[[float], float | None]
"""The percentage that is shown at a share (0 to 1) of the run."""

PATIENT = Polling(longest=600)


def absent(_: float) -> None:
    """Never shows a percentage."""


def smooth(share: float) -> float:
    """Shows how much is done."""
    return 100 * share


def waited(known: DurationHistory, took: float, shown: Percentage = absent, chance: float = 0.5) -> tuple[float, int]:
    """Waits for an analysis. Returns how late its end was noticed, and the number of polls."""
    schedule, now, polls = PollSchedule(Polling(), 1000.0), 1000.0, 1
    now += schedule.first_delay(now, known)
    while now < 1000 + took:
        now += schedule.after_poll(shown((now - 1000) / took), now, chance)
        polls += 1
    schedule.succeeded(now)
    return now - 1000 - took, polls


def history(*seconds: float) -> DurationHistory:
    """A history of analyses that took this long."""
    known = DurationHistory()
    for each in seconds:
        known.add(each)
    return known


def schedule_with(known: DurationHistory, started: float | None = 1000.0, polling: Polling = PATIENT) -> PollSchedule:
    """A schedule for an analysis, with a history."""
    schedule = PollSchedule(polling, started)
    schedule.first_delay(1000, known)
    return schedule


# --- when to poll ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remaining", "lateness", "delay"),
    [
        ([10], 1, 10),  # a certain end: poll then, not sooner
        ([0.5], 1, 1),  # never sooner than the accepted lateness
        ([2, 4, 6, 8], 0.5, 2),  # 2 s times a chance of a quarter reach it
        ([2, 4, 6, 8], 1.5, 4),
        ([1, 50, 50, 50], 1, 4),  # one in four may be finished after 1 s: 4 s times a quarter reach it
        ([1, 3, 50, 50], 1, 3),
    ],
)
def test_a_poll_comes_when_delay_times_chance_reaches_the_lateness(
    remaining: list[float], lateness: float, delay: float
) -> None:
    """Polls are frequent when an answer is likely and rare when it is not."""
    assert poll_delay(remaining, lateness) == pytest.approx(delay)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=64), st.floats(0.01, 10))
@settings(max_examples=100, deadline=None)
def test_the_poll_delay_is_the_first_that_reaches_the_lateness(remaining: list[float], lateness: float) -> None:
    """At that delay the lateness is reached, and a moment before it was not."""
    remaining.sort()
    delay = poll_delay(remaining, lateness)

    def share(at: float) -> float:
        return sum(end <= at for end in remaining) / len(remaining)

    assert delay * share(delay * (1 + 1e-9)) >= lateness * (1 - 1e-9)
    assert delay * (1 - 1e-9) * share(delay * (1 - 1e-9)) < lateness


def test_without_a_percentage_polls_come_when_answers_are_likely() -> None:
    """After 14 of the usual 20 s there is one poll at the end, and none before."""
    assert schedule_with(history(*[20] * 9)).after_poll(None, 1014, 0.5) == pytest.approx(6)


def test_an_analysis_that_outlasts_all_others_is_polled_at_the_interval() -> None:
    """Earlier durations say nothing about an analysis that takes longer than all of them."""
    assert schedule_with(history(*[20] * 9)).after_poll(None, 1021, 0.5) == pytest.approx(3)


@pytest.mark.parametrize(("interval", "started", "delay"), [(3, 1000, 5), (3, 920, 20), (30, 910, 50)])
def test_the_accepted_lateness_grows_with_interval_and_age(interval: float, started: float, delay: float) -> None:
    """To save a poll, an answer may come late by a sixth of the interval or a 45th of the age."""
    known = history(*[1010.1 - started] + [2000] * 9)  # one in ten finishes at once, the others much later
    schedule = schedule_with(known, started, Polling(interval=interval, longest=600))
    assert schedule.after_poll(None, 1010, 0.5) == pytest.approx(delay)


# --- predictions ----------------------------------------------------------------------------------


def test_no_delay_is_longer_than_half_the_age() -> None:
    """If only five slow analyses are known, a fast one is polled all the same."""
    schedule = schedule_with(history(100, 101, 102, 103, 104))
    assert schedule.after_poll(None, 1020, 0.5) == pytest.approx(10)
    assert schedule.after_poll(None, 1002, 0.5) == pytest.approx(3)


def test_predictions_are_corrected_by_earlier_ones() -> None:
    """If 90 % was always followed by four times the predicted time, that time is waited for."""
    known = DurationHistory()
    for _ in range(5):
        known.add(8, percentage=92, predicted=2)
    schedule = schedule_with(known)
    assert schedule.after_poll(90, 1018, 0.5) == pytest.approx(8)  # 2 s are predicted
    assert schedule.after_poll(90, 1022, 0.5) == pytest.approx(4)


def test_predictions_at_one_percentage_do_not_correct_others() -> None:
    """What follows 90 % says nothing about what follows 50 %."""
    known = DurationHistory()
    for _ in range(9):
        known.add(10, percentage=90, predicted=2)
    assert schedule_with(known).after_poll(50, 1010, 0.5) == pytest.approx(8)


def test_a_session_learns_about_a_percentage_that_stops_rising() -> None:
    """After 95 % much time may pass: few polls, and the end is noticed soon."""
    known = DurationHistory()

    def stuck(share: float) -> float:
        return 95 * min(1.0, 2 * share)

    first = waited(known, 30, stuck)
    last = [waited(known, 30, stuck) for _ in range(20)][-1]
    assert first[1] >= 7
    assert last[1] <= 4
    assert last[0] <= 1.5


def test_the_last_poll_comes_at_the_predicted_end() -> None:
    """If no other poll fits before the predicted end, the next one comes at that end."""
    schedule = PollSchedule(Polling(shortest=1, longest=60), started=1000)
    assert schedule.after_poll(80, 1016, 0.5) == pytest.approx(4)  # 0.8 of it would leave less than a second
    assert PollSchedule(Polling(shortest=1, longest=60), started=1000).after_poll(80, 1040, 0.5) == pytest.approx(8)


def test_two_polls_show_the_speed_of_an_analysis_of_unknown_age() -> None:
    """20 % more in 10 s: the remaining 60 % take 30 s, whenever it was started."""
    schedule = PollSchedule(PATIENT)
    assert schedule.after_poll(20, 1000, 0.5) == pytest.approx(3)
    assert schedule.after_poll(40, 1010, 0.5) == pytest.approx(24)


# --- in the queue ---------------------------------------------------------------------------------


def test_a_queued_analysis_is_given_the_time_of_the_fastest() -> None:
    """A pending analysis cannot finish sooner than one in ten does."""
    assert schedule_with(history(*range(12, 22))).after_poll(0, 1005, 0.5, pending=True) == pytest.approx(13)


def test_delays_grow_while_an_analysis_is_queued() -> None:
    """Without a history they grow from the interval up to the longest delay."""
    schedule = PollSchedule(Polling(), 1000)
    delays = [schedule.after_poll(None, 1003 + n, 0.5, pending=True) for n in range(8)]
    assert delays[:2] == pytest.approx([3, 3.75])
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(10)


def test_time_in_the_queue_does_not_count_as_progress() -> None:
    """It began between the last poll that showed the queue and the next: 25 % in 5 s, so 15 s remain."""
    schedule = PollSchedule(PATIENT, 0)
    schedule.after_poll(0, 990, 0.5, pending=True)
    assert schedule.after_poll(25, 1000, 0.5) == pytest.approx(0.8 * 15)


def test_time_in_the_queue_is_not_added_to_the_durations() -> None:
    """A full queue says nothing about how long an analysis runs."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(0, 1490, 0.5, pending=True)
        schedule.after_poll(None, 1500, 0.5)
        schedule.succeeded(1510)
    assert known.first_decile() == pytest.approx(10)


def test_an_analysis_that_ran_between_two_polls_counts_as_fast() -> None:
    """A queue that hides the run still shows that it was short."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(0, 1490, 0.5, pending=True)
        schedule.succeeded(1500)
    assert known.first_decile() == pytest.approx(5)


def test_an_analysis_that_returns_to_the_queue_starts_over() -> None:
    """Neither its speed nor its duration includes the time before."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(50, 1010, 0.5)
        schedule.after_poll(0, 1100, 0.5, pending=True)
        assert schedule.after_poll(25, 1110, 0.5) == pytest.approx(0.8 * 15)
        schedule.succeeded(1130)
    assert list(known.ratios(25)) == pytest.approx([1] * 5)
    assert list(known.ratios(50)) == []
    for _ in range(64):
        schedule = schedule_with(known, 1000)
        schedule.after_poll(50, 1010, 0.5)  # predicts 1020
        schedule.after_poll(0, 1015, 0.5, pending=True)
        schedule.succeeded(1030)
    assert known.first_decile() == pytest.approx(7.5)


# --- the history ----------------------------------------------------------------------------------


def test_late_polls_do_not_make_later_polls_later() -> None:
    """An analysis finishes before the poll that shows it: over many analyses the first poll does not drift."""
    known = DurationHistory()
    chance = random.Random(1)
    came = [waited(known, chance.uniform(10, 30), absent, chance.random()) for _ in range(400)]
    assert sum(late for late, _ in came[-200:]) / 200 <= 1.5
    assert (known.first_decile() or 99) <= 12.5


def test_a_prediction_between_two_polls_counts_as_the_end() -> None:
    """Half done after 10 s and next polled after 25 s: it took the predicted 20 s."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known)
        schedule.after_poll(50, 1010, 0.5)
        schedule.succeeded(1025)
    assert known.first_decile() == pytest.approx(20)


def test_an_old_analysis_adds_no_duration() -> None:
    """An analysis that is found finished after an hour may have finished long before."""
    known = DurationHistory()
    for _ in range(10):
        schedule = PollSchedule(Polling(), 1000)
        assert schedule.first_delay(4600, known) == 0
        schedule.succeeded(4600)
    assert known.first_decile() is None


def test_an_analysis_of_unknown_age_adds_only_its_percentages() -> None:
    """Its duration is unknown, but the predictions from its percentages can be compared."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, None)
        schedule.after_poll(20, 1000, 0.5)
        schedule.after_poll(40, 1010, 0.5)
        schedule.after_poll(80, 1030, 0.5)
        schedule.succeeded(1045)
    assert known.first_decile() is None
    assert list(known.ratios(40)) == pytest.approx([1] * 5)


def test_an_analysis_without_age_or_percentage_adds_nothing() -> None:
    """The time between two polls is no duration."""
    known = DurationHistory()
    for _ in range(5):
        schedule = schedule_with(known, None)
        schedule.after_poll(None, 1000, 0.5)
        schedule.succeeded(1003)
    assert known.first_decile() is None


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
    assert sum(late for late, _ in came) / 40 <= 1.5 * max(1.0, 0.8 * factor)
    assert sum(polls for _, polls in came) / 40 <= 9


def test_a_session_without_history_polls_as_the_vendor_advises() -> None:
    """Without a history and without a percentage it polls every three seconds."""
    chance = random.Random(3)
    came = [waited(DurationHistory(), chance.uniform(10, 30), absent, chance.random()) for _ in range(400)]
    assert sum(late for late, _ in came) / 400 == pytest.approx(1.5, rel=0.1)
    assert sum(polls for _, polls in came) / 400 == pytest.approx(7.2, rel=0.05)


@pytest.mark.parametrize("shown", [absent, smooth], ids=lambda shown: shown.__name__)
def test_polls_follow_the_advice_on_average(shown: Percentage) -> None:
    """Single polls may be closer; over a session there is at most one in three seconds."""
    known, chance = DurationHistory(), random.Random(4)
    took = [chance.uniform(10, 30) for _ in range(200)]
    polls = sum(waited(known, each, shown, chance.random())[1] for each in took)
    assert sum(took) / polls >= 3


def test_equal_sessions_poll_at_equal_times() -> None:
    """The same polls, durations and random numbers give the same times."""

    def session() -> list[tuple[float, int]]:
        known, chance = DurationHistory(), random.Random(5)
        return [waited(known, chance.uniform(10, 30), smooth, chance.random()) for _ in range(50)]

    assert session() == session()


def test_the_history_is_bounded() -> None:
    """It does not grow with the age of a session or with the changes of a percentage."""
    known, progress = DurationHistory(), ProgressModel(0.0)
    for n in range(1, 5000):
        progress.add_running(n / 51, float(n))
        known.add(n, n % 100, 1)
    progress.succeeded(5000, known)
    assert len(progress._samples) <= 11  # pyright: ignore[reportPrivateUsage]
    assert sum(map(len, known._ratios.values())) <= 11 * 64  # pyright: ignore[reportPrivateUsage]


unexpected = (
    st.none() | st.floats(-50, 200) | st.sampled_from([0, 1, 45, 99, 100, 5e-324, 1e308, 99.99999999999999, 10**400])
)
polls_of_one = st.lists(st.tuples(unexpected, st.booleans(), st.floats(0, 100), st.floats(0, 1)), max_size=8)


@given(st.lists(st.tuples(polls_of_one, st.none() | st.floats(900, 1100)), min_size=6, max_size=20))
@settings(max_examples=100, deadline=None)
def test_unexpected_answers_do_not_break_the_bounds(
    analyses: list[tuple[list[tuple[float | None, bool, float, float]], float | None]],
) -> None:
    """Contradictory percentages and queues may give a wrong history; the bounds still hold."""
    known, polling = DurationHistory(), Polling()
    for polls, started in analyses:
        schedule, now = PollSchedule(polling, started), 1000.0
        assert 0 <= schedule.first_delay(now, known) <= 3 * polling.longest
        for percentage, pending, passed, chance in polls:
            now += passed
            delay = schedule.after_poll(percentage, now, chance, pending=pending)
            assert 0.95 - 1e-9 <= delay <= 10.5 + 1e-9
        schedule.succeeded(now + 1)


# --- in a session ---------------------------------------------------------------------------------


def test_a_session_learns_from_its_waits() -> None:
    """All analyses take 20 s: the first is polled six times, later ones two or three times."""

    async def story() -> None:
        recorded = Recorded()
        service = Service(world(analysis_seconds=(20.0, 20.0), shapes=ResponseShapes(percentage="absent")))
        counts = list[int]()
        async with direct_session(service, recorded) as ochy:
            for n in range(12):
                before = recorded.routes.count(str(RESULTS))
                await ochy.analyze(CLIP + bytes([n]), SideView())
                counts.append(recorded.routes.count(str(RESULTS)) - before)
        assert counts[0] >= 6
        assert counts[-1] <= 3

    in_virtual_time(story())


def test_a_session_polls_queued_analyses_rarely() -> None:
    """A pending analysis is polled no more often than the fastest one could finish."""

    async def story() -> None:
        service, moments = Service(world(concurrent_analyses=1, analysis_seconds=(20.0, 20.0))), list[float]()
        async with direct_session(service) as ochy:
            for n in range(6):
                await ochy.analyze(CLIP + bytes([n]), SideView())
            ahead = [await ochy.start(CLIP + b"queue" + bytes([n]), SideView()) for n in range(3)]
            async for state in ochy.watch(ahead[-1]):
                if state.status == Status.PENDING:
                    moments.append(anyio.current_time())
        assert len(moments) >= 2
        assert min(later - earlier for earlier, later in pairwise(moments)) >= 9.5

    in_virtual_time(story())
