"""When to look, as a session learns it: what earlier analyses teach, what they must not, and what the looks cost.

Pure but for the last two stories: time and chance are handed in.
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
"""What is shown at a share (0-1) of the work."""

PATIENT = Polling(longest=600)


def absent(_: float) -> None:
    """No percentage, ever."""


def smooth(share: float) -> float:
    """As much as is done."""
    return 100 * share


def waited(known: DurationHistory, took: float, shown: Percentage = absent, chance: float = 0.5) -> tuple[float, int]:
    """Waits for an analysis: how late its end was noticed, and with how many looks."""
    watch, now, looks = PollSchedule(Polling(), 1000.0), 1000.0, 1
    now += watch.first_delay(now, known)
    while now < 1000 + took:
        now += watch.after_poll(shown((now - 1000) / took), now, chance)
        looks += 1
    watch.succeeded(now)
    return now - 1000 - took, looks


def taught(*seconds: float) -> DurationHistory:
    """What analyses that took so long have taught."""
    known = DurationHistory()
    for each in seconds:
        known.add(each)
    return known


def watching(known: DurationHistory, started: float | None = 1000.0, polling: Polling = PATIENT) -> PollSchedule:
    """A watch that knows what was learned before."""
    watch = PollSchedule(polling, started)
    watch.first_delay(1000, known)
    return watch


# --- when a look is worth it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "price", "delay"),
    [
        ([10], 1, 10),  # a sure end: then, not sooner
        ([0.5], 1, 1),  # not for less than the price, however sure
        ([2, 4, 6, 8], 0.5, 2),  # 2 s by a chance of a quarter are worth it
        ([2, 4, 6, 8], 1.5, 4),
        ([1, 50, 50, 50], 1, 4),  # one in four may be finished: wait until that has become dear
        ([1, 3, 50, 50], 1, 3),
    ],
)
def test_a_look_comes_when_lateness_times_chance_reaches_its_price(
    left: list[float], price: float, delay: float
) -> None:
    """Dense where an end is likely, rare where it is not."""
    assert poll_delay(left, price) == pytest.approx(delay)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=64), st.floats(0.01, 10))
@settings(max_examples=100, deadline=None)
def test_the_first_worthwhile_delay_is_the_first(left: list[float], price: float) -> None:
    """At that delay the price is reached, and a moment before it was not."""
    left.sort()
    delay = poll_delay(left, price)

    def share(at: float) -> float:
        return sum(end <= at for end in left) / len(left)

    assert delay * share(delay * (1 + 1e-9)) >= price * (1 - 1e-9)
    assert delay * (1 - 1e-9) * share(delay * (1 - 1e-9)) < price


def test_without_a_percentage_the_looks_are_where_ends_are_likely() -> None:
    """After 14 of the 20 s that it always takes: one look at the end, none before."""
    assert watching(taught(*[20] * 9)).after_poll(None, 1014, 0.5) == pytest.approx(6)


def test_an_analysis_that_outlasts_all_others_is_looked_at_as_if_nothing_were_known() -> None:
    """Earlier analyses say nothing about one that takes longer than any of them: the interval is kept."""
    assert watching(taught(*[20] * 9)).after_poll(None, 1021, 0.5) == pytest.approx(3)


@pytest.mark.parametrize(("interval", "started", "delay"), [(3, 1000, 5), (3, 920, 20), (30, 910, 50)])
def test_a_look_is_dearer_to_the_patient_and_after_a_long_time(interval: float, started: float, delay: float) -> None:
    """A sixth of the interval, or a 45th of the time waited: so late may an end be noticed for one look less."""
    known = taught(*[1010.1 - started] + [2000] * 9)  # one in ten ends at once, the others much later
    watch = watching(known, started, Polling(interval=interval, longest=600))
    assert watch.after_poll(None, 1010, 0.5) == pytest.approx(delay)


# --- what a percentage is worth ----------------------------------------------------------------------------


def test_nobody_is_left_alone_for_longer_than_half_of_the_time_waited() -> None:
    """Five slow ones are all that is known: a quick one is looked at all the same, while they all last."""
    watch = watching(taught(100, 101, 102, 103, 104))
    assert watch.after_poll(None, 1020, 0.5) == pytest.approx(10)
    assert watch.after_poll(None, 1002, 0.5) == pytest.approx(3)


def test_a_percentage_is_worth_what_came_of_it_before() -> None:
    """Where 90 % has always been followed by four times what it promised, that is waited for."""
    known = DurationHistory()
    for _ in range(5):
        known.add(8, percentage=92, predicted=2)
    watch = watching(known)
    assert watch.after_poll(90, 1018, 0.5) == pytest.approx(8)  # it promises 2 s
    assert watch.after_poll(90, 1022, 0.5) == pytest.approx(4)


def test_a_percentage_does_not_speak_for_others() -> None:
    """What comes after 90 % says nothing about what comes after 50 %."""
    known = DurationHistory()
    for _ in range(9):
        known.add(10, percentage=90, predicted=2)
    assert watching(known).after_poll(50, 1010, 0.5) == pytest.approx(8)


def test_a_percentage_that_sticks_is_ratios_through() -> None:
    """A session learns that 95 % is not the end: few looks, and the end is noticed soon."""
    known = DurationHistory()

    def stuck(share: float) -> float:
        return 95 * min(1.0, 2 * share)

    first = waited(known, 30, stuck)
    last = [waited(known, 30, stuck) for _ in range(20)][-1]
    assert first[1] >= 7
    assert last[1] <= 4
    assert last[0] <= 1.5


def test_the_last_stretch_is_waited_for_in_one() -> None:
    """Where no other look would fit before the promised end, the next one comes at that end."""
    watch = PollSchedule(Polling(shortest=1, longest=60), started=1000)
    assert watch.after_poll(80, 1016, 0.5) == pytest.approx(4)  # 0.8 of it would leave less than a second
    assert PollSchedule(Polling(shortest=1, longest=60), started=1000).after_poll(80, 1040, 0.5) == pytest.approx(8)


def test_the_speed_of_an_analysis_of_unknown_age_is_ratios_in_two_looks() -> None:
    """20 % more in 10 s: the 60 % that are left take 30 s more, whenever it was started."""
    watch = PollSchedule(PATIENT)
    assert watch.after_poll(20, 1000, 0.5) == pytest.approx(3)
    assert watch.after_poll(40, 1010, 0.5) == pytest.approx(24)


# --- in the queue --------------------------------------------------------------------------------------------


def test_what_is_not_begun_is_given_the_time_of_the_quickest() -> None:
    """Nothing that is still pending can be finished sooner than one in ten is."""
    assert watching(taught(*range(12, 22))).after_poll(0, 1005, 0.5, pending=True) == pytest.approx(13)


def test_a_queue_of_which_nothing_is_known_is_looked_at_less_and_less_often() -> None:
    """From the interval on to the longest delay."""
    watch = PollSchedule(Polling(), 1000)
    delays = [watch.after_poll(None, 1003 + n, 0.5, pending=True) for n in range(8)]
    assert delays[:2] == pytest.approx([3, 3.75])
    assert delays == sorted(delays)
    assert delays[-1] == pytest.approx(10)


def test_time_in_the_queue_does_not_count_as_work() -> None:
    """It was begun between the last look at the queue and the first after: 25 % in 5 s, so 15 s are left."""
    watch = PollSchedule(PATIENT, 0)
    watch.after_poll(0, 990, 0.5, pending=True)
    assert watch.after_poll(25, 1000, 0.5) == pytest.approx(0.8 * 15)


def test_time_in_the_queue_is_not_learned_as_work() -> None:
    """What a full server does to one analysis says nothing about how long the work takes."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known, 1000)
        watch.after_poll(0, 1490, 0.5, pending=True)
        watch.after_poll(None, 1500, 0.5)
        watch.succeeded(1510)
    assert known.first_decile() == pytest.approx(10)


def test_one_that_was_begun_and_finished_between_two_looks_took_no_longer() -> None:
    """Even a queue that hides the work teaches that it is quick."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known, 1000)
        watch.after_poll(0, 1490, 0.5, pending=True)
        watch.succeeded(1500)
    assert known.first_decile() == pytest.approx(5)


def test_one_that_is_put_back_into_the_queue_begins_anew() -> None:
    """Neither its speed nor what it teaches goes back to before."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known, 1000)
        watch.after_poll(50, 1010, 0.5)
        watch.after_poll(0, 1100, 0.5, pending=True)
        assert watch.after_poll(25, 1110, 0.5) == pytest.approx(0.8 * 15)
        watch.succeeded(1130)
    assert list(known.ratios(25)) == pytest.approx([1] * 5)
    assert list(known.ratios(50)) == []
    for _ in range(64):
        watch = watching(known, 1000)
        watch.after_poll(50, 1010, 0.5)  # promises 1020
        watch.after_poll(0, 1015, 0.5, pending=True)
        watch.succeeded(1030)
    assert known.first_decile() == pytest.approx(7.5)


# --- what is learned, and what is not ------------------------------------------------------------------------


def test_late_looks_do_not_teach_to_look_later() -> None:
    """The end was before the look that showed it: over many analyses, the first look does not creep on."""
    known = DurationHistory()
    chance = random.Random(1)
    came = [waited(known, chance.uniform(10, 30), absent, chance.random()) for _ in range(400)]
    assert sum(late for late, _ in came[-200:]) / 200 <= 1.5
    assert (known.first_decile() or 99) <= 12.5


def test_a_promise_that_is_kept_says_when_the_end_was() -> None:
    """Half done after 10 s, next looked at after 25 s: it took the 20 s that were promised."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known)
        watch.after_poll(50, 1010, 0.5)
        watch.succeeded(1025)
    assert known.first_decile() == pytest.approx(20)


def test_an_old_analysis_teaches_nothing() -> None:
    """One that is found finished after an hour may have been so for most of it."""
    known = DurationHistory()
    for _ in range(10):
        watch = PollSchedule(Polling(), 1000)
        assert watch.first_delay(4600, known) == 0
        watch.succeeded(4600)
    assert known.first_decile() is None


def test_an_analysis_of_unknown_age_teaches_no_duration() -> None:
    """Nobody knows what it took; what its percentage was worth is known all the same."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known, None)
        watch.after_poll(20, 1000, 0.5)
        watch.after_poll(40, 1010, 0.5)
        watch.after_poll(80, 1030, 0.5)
        watch.succeeded(1045)
    assert known.first_decile() is None
    assert list(known.ratios(40)) == pytest.approx([1] * 5)


def test_one_of_which_nothing_is_known_teaches_nothing() -> None:
    """Neither when it was started nor any percentage: the time between two looks is no duration."""
    known = DurationHistory()
    for _ in range(5):
        watch = watching(known, None)
        watch.after_poll(None, 1000, 0.5)
        watch.succeeded(1003)
    assert known.first_decile() is None


@pytest.mark.parametrize("factor", [3, 1 / 3])
@pytest.mark.parametrize("shown", [absent, smooth], ids=lambda shown: shown.__name__)
def test_another_speed_of_the_server_is_learned(factor: float, shown: Percentage) -> None:
    """Three times slower or faster: after forty analyses an end is noticed about as soon, for its time, as ever."""
    known, chance = DurationHistory(), random.Random(2)
    for _ in range(80):
        waited(known, chance.uniform(10, 30), shown, chance.random())
    for _ in range(40):
        waited(known, chance.uniform(10, 30) * factor, shown, chance.random())
    came = [waited(known, chance.uniform(10, 30) * factor, shown, chance.random()) for _ in range(40)]
    assert sum(late for late, _ in came) / 40 <= 1.5 * max(1.0, 0.8 * factor)
    assert sum(looks for _, looks in came) / 40 <= 9


def test_a_session_without_learning_asks_about_as_the_vendor_advises() -> None:
    """Cold, and without a percentage: every three seconds."""
    chance = random.Random(3)
    came = [waited(DurationHistory(), chance.uniform(10, 30), absent, chance.random()) for _ in range(400)]
    assert sum(late for late, _ in came) / 400 == pytest.approx(1.5, rel=0.1)
    assert sum(looks for _, looks in came) / 400 == pytest.approx(7.2, rel=0.05)


@pytest.mark.parametrize("shown", [absent, smooth], ids=lambda shown: shown.__name__)
def test_looks_keep_to_the_advice_on_average(shown: Percentage) -> None:
    """Single looks may be closer; over a session there are no more than one in three seconds."""
    known, chance = DurationHistory(), random.Random(4)
    took = [chance.uniform(10, 30) for _ in range(200)]
    looks = sum(waited(known, each, shown, chance.random())[1] for each in took)
    assert sum(took) / looks >= 3


def test_equal_sessions_look_equally() -> None:
    """The same looks, durations and chance give the same moments."""

    def session() -> list[tuple[float, int]]:
        known, chance = DurationHistory(), random.Random(5)
        return [waited(known, chance.uniform(10, 30), smooth, chance.random()) for _ in range(50)]

    assert session() == session()


def test_what_is_remembered_is_bounded() -> None:
    """However long a session lives, and however often a percentage moves."""
    known, course = DurationHistory(), ProgressModel(0.0)
    for n in range(1, 5000):
        course.add_running(n / 51, float(n))
        known.add(n, n % 100, 1)
    course.succeeded(5000, known)
    assert len(course._samples) <= 11  # pyright: ignore[reportPrivateUsage]
    assert sum(map(len, known._ratios.values())) <= 11 * 64  # pyright: ignore[reportPrivateUsage]


odd = st.none() | st.floats(-50, 200) | st.sampled_from([0, 1, 45, 99, 100, 5e-324, 1e308, 99.99999999999999, 10**400])
looks_at_one = st.lists(st.tuples(odd, st.booleans(), st.floats(0, 100), st.floats(0, 1)), max_size=8)


@given(st.lists(st.tuples(looks_at_one, st.none() | st.floats(900, 1100)), min_size=6, max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_was_learned_a_look_is_never_too_soon_and_never_too_late(
    analyses: list[tuple[list[tuple[float | None, bool, float, float]], float | None]],
) -> None:
    """Percentages and queues that make no sense may teach nonsense; the bounds hold, and nothing breaks."""
    known, polling = DurationHistory(), Polling()
    for looks, started in analyses:
        watch, now = PollSchedule(polling, started), 1000.0
        assert 0 <= watch.first_delay(now, known) <= 3 * polling.longest
        for percentage, pending, passed, chance in looks:
            now += passed
            delay = watch.after_poll(percentage, now, chance, pending=pending)
            assert 0.95 - 1e-9 <= delay <= 10.5 + 1e-9
        watch.succeeded(now + 1)


# --- as the session does it ------------------------------------------------------------------------------------


def test_a_session_learns_from_its_waits() -> None:
    """Analyses that all take 20 s: the first is looked at six times, later ones two or three times."""

    async def story() -> None:
        looks = Recorded()
        service = Service(world(analysis_seconds=(20.0, 20.0), shapes=ResponseShapes(percentage="absent")))
        counts = list[int]()
        async with direct_session(service, looks) as ochy:
            for n in range(12):
                before = looks.routes.count(str(RESULTS))
                await ochy.analyze(CLIP + bytes([n]), SideView())
                counts.append(looks.routes.count(str(RESULTS)) - before)
        assert counts[0] >= 6
        assert counts[-1] <= 3

    in_virtual_time(story())


def test_a_session_leaves_the_queue_in_peace() -> None:
    """While an analysis is pending, it is looked at no oftener than the quickest could be finished."""

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
