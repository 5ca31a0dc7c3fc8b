"""Tests of when to poll: how many polls a wait takes, how late it ends, and which errors end it.

All but the last two tests are pure: time and randomness are passed in.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from itertools import pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Polling, SideView, Status, UncertainStart
from ochy_async.emulator import Fault, Respond, ResponseShapes, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    BuyCredits,
    ConnectionFailed,
    DeadlinePassed,
    InvalidSettings,
    KeyRefused,
    NotFound,
    OchyError,
    RateLimited,
    ServerError,
    UnreadableAnswer,
)
from ochy_async.policy.polling import PollRateLimit, PollSchedule, poll_delay
from ochy_async.policy.progress import DurationHistory
from ochy_async.protocol.routes import RESULTS
from tests.conftest import CLIP, Recorded, direct_session, world
from tests.support.policy import PATIENT, Percentage, absent, asking, chances, durations, schedule_with, smooth, waited

# --- when to poll ---------------------------------------------------------------------------------


def test_an_analysis_of_unknown_age_is_polled_at_once() -> None:
    """It may have finished hours ago."""
    assert PollSchedule(Polling()).first_delay(1000, DurationHistory()) == 0


@pytest.mark.parametrize(("age", "delay"), [(0, 3), (1, 2), (3, 0), (500, 0), (-50, 3)])
def test_the_first_poll_waits_one_interval_after_the_start(age: float, delay: float) -> None:
    """A new analysis cannot be finished; a clock that is ahead does not delay the poll further."""
    assert PollSchedule(Polling(interval=3), started=1000 - age).first_delay(1000, DurationHistory()) == delay


def test_the_first_poll_learns_from_earlier_analyses() -> None:
    """Once enough analyses have finished, the first poll comes when one in ten would be finished."""
    schedule = PollSchedule(Polling(interval=3, longest=10), started=1000)
    assert schedule.first_delay(1000, durations(12, 14, 16, 18)) == 3
    assert schedule.first_delay(1000, durations(12, 14, 16, 18, 20)) == 12
    assert schedule.first_delay(1005, durations(12, 14, 16, 18, 20)) == 7
    assert schedule.first_delay(1000, durations(*[400] * 9)) == 30


def test_the_first_poll_notices_that_the_server_became_quicker() -> None:
    """A single one of the latest four durations is enough; sixty older ones do not delay it."""
    schedule = PollSchedule(Polling(), started=1000)
    assert schedule.first_delay(1000, durations(*[25] * 60, 6)) == 6
    assert schedule.first_delay(1000, durations(*[25] * 60, 6, 25, 25, 25)) == 6
    assert schedule.first_delay(1000, durations(*[25] * 60, 6, 25, 25, 25, 25)) == 25


percentages = st.none() | st.floats(-50, 200) | st.sampled_from([0.0, 45.0, 99.9, 100.0])


@given(
    st.lists(st.tuples(percentages, st.floats(0, 100), chances), min_size=1, max_size=20),
    st.none() | st.floats(900, 1100),
    st.sampled_from(
        [
            Polling(),
            Polling(interval=4, shortest=4, longest=4),
            Polling(shortest=0.01, longest=600),
            Polling(interval=0.5),
        ]
    ),
)
@settings(max_examples=100, deadline=None)
def test_the_delay_stays_within_its_bounds(
    polls: list[tuple[float | None, float, float]], started: float | None, polling: Polling
) -> None:
    """The delay is between the shortest and the longest one, plus jitter, for all percentages."""
    shortest = min(polling.shortest, polling.interval)
    schedule, now = PollSchedule(polling, started), 1000.0
    for percentage, passed, chance in polls:
        now += passed
        delay = schedule.after_poll(percentage, now, chance)
        assert shortest * 0.95 - 1e-9 <= delay <= polling.longest * 1.05 + 1e-9


@pytest.mark.parametrize("percentage", [None, 0, -3, 100, 130])
def test_without_a_usable_percentage_the_interval_is_used(percentage: float | None) -> None:
    """Without a percentage, or with 0 or more than 100 %, only the vendor's advice is known."""
    schedule = PollSchedule(Polling(interval=3), started=1000)
    assert [schedule.after_poll(percentage, 1010 + n, 0.5) for n in range(3)] == pytest.approx([3, 3, 3])


def test_the_percentage_decides_when_to_poll() -> None:
    """Half done after 10 s: the next poll comes after most of the other 10 s."""
    schedule = PollSchedule(Polling(interval=3, longest=60), started=1000)
    assert schedule.after_poll(50, 1010, 0.5) == pytest.approx(8)
    assert schedule.after_poll(90, 1018, 0.5) == pytest.approx(2)


def test_a_percentage_that_does_not_rise_makes_delays_grow() -> None:
    """They grow up to the longest delay."""
    schedule = PollSchedule(Polling(interval=3, longest=10), started=990)
    delays = [
        schedule.after_poll(percentage, 1000 + n, 0.5) for n, percentage in enumerate([70, 70, 60, 70, 70, 70, 70])
    ]
    assert delays == sorted(delays)
    assert delays[1] == pytest.approx(delays[0] * 1.25)
    assert delays[-1] == pytest.approx(10)


def test_jitter_separates_waits_that_began_together() -> None:
    """The jitter is up to a tenth."""
    delays = [PollSchedule(Polling(), started=1000).after_poll(None, 1010, chance) for chance in (0.0, 0.5, 1.0)]
    assert delays == pytest.approx([2.85, 3, 3.15])


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
    assert schedule_with(durations(*[20] * 9)).after_poll(None, 1014, 0.5) == pytest.approx(6)


def test_an_analysis_that_outlasts_all_others_is_polled_at_the_interval() -> None:
    """Earlier durations say nothing about an analysis that takes longer than all of them."""
    assert schedule_with(durations(*[20] * 9)).after_poll(None, 1021, 0.5) == pytest.approx(3)


def test_an_analysis_that_stands_still_is_polled_at_the_interval() -> None:
    """Also at a percentage at which no earlier one stood, so that nothing is known of what follows."""
    schedule = schedule_with(durations(*[20] * 9))
    delays = [schedule.after_poll(50, 1000 + age, 0.5) for age in range(21, 60, 3)]
    assert delays[1:] == pytest.approx([3] * len(delays[1:]))


@pytest.mark.parametrize(("interval", "delay"), [(3, 1.5), (30, 15)])
def test_the_accepted_lateness_is_a_share_of_the_interval(interval: float, delay: float) -> None:
    """To save a poll, an answer may come late by a sixth of the interval: after `delay` one in three is finished."""
    known = durations(*(10 + delay * after for after in (0.4, 0.9, 1.4, 9, 9, 9)))
    schedule = schedule_with(known, 1000, Polling(interval=interval, longest=600))
    assert schedule.after_poll(None, 1010, 0.5) == pytest.approx(delay)


@pytest.mark.parametrize("started", [1000, 920])
def test_an_end_that_is_possible_is_noticed_at_most_an_interval_late(started: float) -> None:
    """However long an analysis takes: one in ten finishes at once, the others much later."""
    known = durations(*[1010.1 - started] + [2000] * 9)
    assert schedule_with(known, started).after_poll(None, 1010, 0.5) == pytest.approx(3)


def test_a_long_pause_ends_at_the_soonest_end() -> None:
    """Before any analysis of the history was finished, no poll is needed, and none comes after that."""
    assert schedule_with(durations(*range(60, 180, 2))).after_poll(None, 1030, 0.5) == pytest.approx(15)
    assert schedule_with(durations(*range(60, 180, 2))).after_poll(None, 1045, 0.5) == pytest.approx(15)


# --- predictions ----------------------------------------------------------------------------------


def test_no_delay_is_longer_than_half_the_age() -> None:
    """If only five slow analyses are known, a fast one is polled all the same."""
    schedule = schedule_with(durations(100, 101, 102, 103, 104))
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
    """A pending analysis cannot finish sooner than the fastest ones do."""
    assert schedule_with(durations(*range(12, 22))).after_poll(0, 1005, 0.5, pending=True) == pytest.approx(13)


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


# --- many waits -----------------------------------------------------------------------------------


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
        schedule.finished(now + 1, succeeded=True)


# --- polls that fail ------------------------------------------------------------------------------


def test_failing_polls_end_the_wait_after_the_patience() -> None:
    """Failing polls are not an unfinished analysis: the wait goes on for `patience` seconds."""
    schedule, now = PollSchedule(Polling(interval=10, patience=60), started=0), 1000.0
    for _ in range(6):
        delay = schedule.after_error(ServerError(), now, 0.0)
        assert delay == 10
        now += delay
    assert schedule.after_error(ServerError(), now, 0.0) is None


def test_a_successful_poll_renews_the_patience() -> None:
    """Only an uninterrupted series of failures ends a wait."""
    schedule = PollSchedule(Polling(interval=10, patience=15), started=0)
    for now in range(1000, 2000, 20):
        assert schedule.after_error(ConnectionFailed(), now, 0.0) == 10
        schedule.after_poll(50, now + 10, 0.5)


def test_without_patience_the_first_failure_ends_the_wait() -> None:
    """With `patience=0` no failure is tolerated."""
    assert PollSchedule(Polling(patience=0), started=0).after_error(ServerError(), 1000, 0) is None


@pytest.mark.parametrize("error", [KeyRefused(), BuyCredits(), UncertainStart()], ids=repr)
def test_a_refusal_ends_the_wait_at_once(error: OchyError) -> None:
    """Polling again cannot help if the answer cannot change."""
    assert PollSchedule(Polling(), started=1000).after_error(error, 1000, 0.5) is None


def test_unreadable_answers_are_tolerated_twice() -> None:
    """One or two may come from a proxy; after the third in a row the wait ends."""
    schedule = PollSchedule(Polling(interval=3), started=0)
    assert [schedule.after_error(UnreadableAnswer(), 1000 + now, 0.0) for now in range(3)] == [3, 3, None]


def test_a_readable_answer_resets_the_count_of_unreadable_ones() -> None:
    """Only a series of unreadable answers ends the wait."""
    schedule = PollSchedule(Polling(interval=3), started=0)
    for now in range(1000, 1010):
        assert schedule.after_error(UnreadableAnswer(), now, 0.0) == 3
        schedule.after_poll(50, now, 0.5)


@pytest.mark.parametrize("error", [ServerError(), ConnectionFailed(), RateLimited(), DeadlinePassed()], ids=repr)
def test_network_and_server_errors_do_not_end_the_wait(error: OchyError) -> None:
    """The analysis is paid for and goes on, whatever the network does."""
    delay = PollSchedule(Polling(interval=3)).after_error(error, 1000, 0.5)
    assert delay is not None
    assert 3 <= delay <= 6


def test_a_poll_respects_retry_after() -> None:
    """The requested pause is kept, unless the patience ends before."""
    schedule = PollSchedule(Polling(interval=3, patience=60))
    assert schedule.after_error(asking(RateLimited, 45), 1000, 0.5) == 45
    assert schedule.after_error(asking(RateLimited, 45), 1045, 0.5) is None


@pytest.mark.parametrize(("started", "age", "waits"), [(1000, 5, True), (1000, 300, False), (None, 0, False)])
def test_an_unknown_id_is_tolerated_only_shortly_after_the_start(
    started: float | None, age: float, waits: bool
) -> None:
    """A new id may not be known everywhere yet; later it never will be."""
    delay = PollSchedule(Polling(), started).after_error(NotFound(), 1000 + age, 0.5)
    assert (delay is not None) is waits


# --- the rate limit, and settings -----------------------------------------------------------------


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50), st.floats(0.1, 100))
@settings(max_examples=50, deadline=None)
def test_polls_keep_to_the_rate_limit(pauses: list[float], rate: float) -> None:
    """All waits of a session share one limit: no two polls are closer than it allows."""
    limit, now, last = PollRateLimit(), 1000.0, 0.0
    for pause in pauses:
        now += pause
        at = limit.reserve(now, rate)
        assert at >= now
        assert at - last >= 1 / rate - 1e-6
        last = at


def test_a_requested_pause_applies_to_all_waits() -> None:
    """No wait polls before the end of the pause; a shorter pause does not end it sooner."""
    limit = PollRateLimit()
    limit.pause_until(1060)
    limit.pause_until(1030)
    assert [limit.reserve(1000, 10), limit.reserve(1000, 10)] == pytest.approx([1060, 1060.1])
    assert limit.reserve(2000, 10) == 2000


def waited_by(limit: PollRateLimit, waits: int) -> ExitStack:
    """So many waits, whose polls were answered for a while."""
    stack = ExitStack()
    for _ in range(waits):
        stack.enter_context(limit.waiting())
    for _ in range(10 * waits):
        limit.answered()
    return stack


def test_the_rate_follows_the_number_of_waits() -> None:
    """One poll in three seconds for each analysis, and at least ten a second for all."""
    limit = PollRateLimit()
    with waited_by(limit, 20):
        assert limit.adapted == 10
    with waited_by(limit, 300):
        assert limit.adapted == pytest.approx(100)
        assert [limit.reserve(1000, None) for _ in range(3)] == pytest.approx([1000, 1000.01, 1000.02])
    assert limit.adapted == 10


def test_a_rate_that_is_set_is_kept_whatever_was_answered() -> None:
    """Fewer polls a second than it could be, or more."""
    limit = PollRateLimit()
    with waited_by(limit, 300):
        assert [limit.reserve(1000, 5) for _ in range(3)] == pytest.approx([1000, 1000.2, 1000.4])
        assert [limit.reserve(2000, 500) for _ in range(3)] == pytest.approx([2000, 2000.002, 2000.004])


def test_answers_raise_the_rate_and_errors_lower_it() -> None:
    """Errors that come together count once, a refusal does not count, and ten polls a second are always left."""
    limit = PollRateLimit()
    with waited_by(limit, 300):
        for _ in range(5):
            limit.failed(RateLimited(), 1000)
        limit.failed(KeyRefused(), 1100)
        assert limit.adapted == pytest.approx(50)
        limit.failed(ServerError(), 1100)
        assert limit.adapted == pytest.approx(25)
        for _ in range(10):
            limit.answered()
        assert limit.adapted == pytest.approx(26)
        for n in range(10):
            limit.failed(ConnectionFailed(), 2000 + 10 * n)
        assert limit.adapted == 10


def test_a_shortest_delay_beyond_the_longest_is_refused() -> None:
    """Two bounds that exclude each other are invalid together."""
    with pytest.raises(InvalidSettings, match="shortest"):
        Polling(shortest=20, longest=10)


# --- in a session ---------------------------------------------------------------------------------


class Overloaded(Recorded):
    """Answers at most so many polls a second, and notes when they came."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.times: list[float] = []
        self.refused = 0

    def fault_for(self, route: str, count: int) -> Fault | None:
        if route == str(RESULTS):
            self.times.append(anyio.current_time())
            if sum(at > self.times[-1] - 1 for at in self.times) > self._most:
                self.refused += 1
                return Respond(429)
        return super().fault_for(route, count)


def polled_by(server: Overloaded, **polling: float) -> Overloaded:
    """Two rounds of three hundred waits at the same time."""

    async def story() -> None:
        service = Service(world(concurrent_analyses=1000))
        async with direct_session(service, server, polling=Polling(**polling)) as ochy:
            for lap in range(2):
                async with anyio.create_task_group() as tasks:
                    for n in range(300):
                        tasks.start_soon(ochy.analyze, CLIP + bytes([lap, n % 256, n // 256]), SideView())

    in_virtual_time(story())
    return server


def busiest(server: Overloaded) -> int:
    """The most polls within one second."""
    return max(sum(at <= other < at + 1 for other in server.times) for at in server.times)


def test_many_waits_are_polled_more_often_than_a_few() -> None:
    """Three hundred waits poll more than ten times a second together, and at most a hundred times."""
    assert 20 < busiest(polled_by(Overloaded(1000))) <= 101


def test_a_rate_that_is_set_is_kept() -> None:
    """However many analyses are waited for."""
    assert busiest(polled_by(Overloaded(1000), requests_per_second=20)) <= 21


def test_a_server_that_refuses_polls_gets_fewer() -> None:
    """A server that answers twenty a second refuses few of them, because each refusal lowers the rate."""
    adapted = polled_by(Overloaded(20))
    assert 0 < adapted.refused < len(adapted.times) / 4
    assert polled_by(Overloaded(20), requests_per_second=100).refused > len(adapted.times)


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
