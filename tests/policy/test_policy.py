"""What is decided: again or not, when to look, and whether a start happened. Time and chance are handed in."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Limits, Polling, Retry, UncertainStart
from ochy_async import errors as errors_module
from ochy_async.errors import (
    BuyCredits,
    ConnectionFailed,
    DeadlinePassed,
    InvalidRequest,
    InvalidSettings,
    KeyRefused,
    NotFound,
    OchyError,
    Phase,
    RateLimited,
    ServerError,
    StartAttempt,
    UnreadableAnswer,
)
from ochy_async.policy.polling import PollRateLimit, PollSchedule
from ochy_async.policy.progress import DurationHistory
from ochy_async.policy.reconciliation import candidates_of
from ochy_async.policy.retry import RetryBudget, may_repeat
from ochy_async.policy.start_fate import Fate, fate_of_answer, fate_without_answer
from ochy_async.protocol.analysis import AnalysisList, ListedAnalysis, start_call
from ochy_async.protocol.wire import Response, Upload

chances = st.floats(0, 1)


def asking(cls: type[RateLimited] | type[ServerError], seconds: float | None) -> OchyError:
    """An error with a `Retry-After`."""
    error = cls("pause")
    error.retry_after = seconds
    return error


# --- how long until the next attempt -------------------------------------------------------------


@given(st.integers(1, 19), chances, st.floats(0, 60), st.floats(0, 600))
@settings(max_examples=100, deadline=None)
def test_a_delay_is_drawn_from_zero_to_its_bound(attempt: int, chance: float, first: float, longest: float) -> None:
    """Full jitter: anything from nothing to the doubled delay, which ends at the longest."""
    retry = Retry(attempts=20, first_delay=first, longest_delay=longest)
    delay = retry.delay(ServerError(), attempt, chance)
    bound = min(longest, first * 2 ** (attempt - 1))
    assert delay == pytest.approx(chance * bound)


def test_delays_double() -> None:
    """Half a second, one, two, four, up to twenty."""
    retry = Retry(attempts=20)
    assert [retry.delay(ServerError(), n, 1.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 16, 20]


@pytest.mark.parametrize("attempts", [1, 2, 5, 20])
def test_attempts_end(attempts: int) -> None:
    """The last attempt is not followed by another."""
    retry = Retry(attempts=attempts)
    assert [n for n in range(1, 22) if retry.delay(ServerError(), n, 0.5) is not None] == list(range(1, attempts))


@given(st.sampled_from([RateLimited, ServerError]), st.floats(0, 60), chances)
@settings(max_examples=50, deadline=None)
def test_a_pause_that_was_asked_for_is_the_least(
    cls: type[RateLimited] | type[ServerError], asked: float, chance: float
) -> None:
    """Jitter comes on top of `Retry-After`, so that not all come back at the same moment."""
    delay = Retry().delay(asking(cls, asked), 1, chance)
    assert delay is not None
    assert asked <= delay <= asked + 0.5


def test_a_pause_that_is_too_long_ends_at_once() -> None:
    """Nobody sleeps for an hour inside a call: the error, with the pause in it, is the caller's to plan with."""
    retry = Retry(longest_retry_after=60)
    assert retry.delay(asking(RateLimited, 60), 1, 0) == 60
    assert retry.delay(asking(RateLimited, 60.5), 1, 0) is None


def test_a_budget_is_spent_and_earned_back() -> None:
    """All retries of a session draw on one budget, so that an outage is not multiplied."""
    budget = RetryBudget(Retry(budget=2, earned=0.5))
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 20), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_budget_never_exceeds_its_bounds(moves: list[bool], most: int, earned: float) -> None:
    """Neither below nothing nor above what it began with, whatever succeeds and fails."""
    budget = RetryBudget(Retry(budget=most, earned=earned))
    spent = 0
    for success in moves:
        if success:
            budget.earn()
        else:
            spent += budget.spend()
        assert 0 <= budget.left <= most
    assert spent <= most + earned * moves.count(True) + 1e-6


# --- whether a request may be repeated --------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "charging", "harmless"),
    [(Phase.NOT_SENT, True, True), (Phase.INCOMPLETE, True, True), (Phase.COMPLETE, False, True)],
)
def test_a_broken_connection_is_repeated_where_nothing_can_have_happened(
    phase: Phase, charging: bool, harmless: bool
) -> None:
    """What creates or charges is sent again only if the server cannot have read a whole request."""
    trouble = ConnectionFailed(phase=phase)
    assert may_repeat(trouble, repeatable=False) is charging
    assert may_repeat(trouble, repeatable=True) is harmless


ERRORS = [cls for _, cls in inspect.getmembers(errors_module, inspect.isclass) if issubclass(cls, OchyError)]


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if cls is not ConnectionFailed], ids=lambda cls: cls.__name__)
def test_only_a_pause_or_a_server_in_trouble_is_asked_again(cls: type[OchyError]) -> None:
    """A 429 did nothing, so all may be repeated; a 5xx may have, so only what is harmless; nothing else ever."""
    assert may_repeat(cls(), repeatable=False) is (cls is RateLimited)
    assert may_repeat(cls(), repeatable=True) is (cls in (RateLimited, ServerError))


# --- what became of a start ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "fate"),
    [
        (Phase.NOT_SENT, Fate.NOT_HAPPENED),
        (Phase.INCOMPLETE, Fate.NOT_HAPPENED),
        (Phase.COMPLETE, Fate.UNCERTAIN),
    ],
)
def test_a_start_without_an_answer_is_uncertain_once_it_was_whole(phase: Phase, fate: Fate) -> None:
    """Not sent and cut short are surely nothing; after the last byte nobody knows."""
    assert fate_without_answer(phase) is fate


ID: dict[str, Any] = {"message": "Analysis started", "video_id": "a1"}
WORDS: dict[str, Any] = {"detail": "no"}
FATES: list[tuple[int, Any, Fate]] = [
    (202, ID, Fate.ACCEPTED),
    (202, {"analysis_id": "a1"}, Fate.ACCEPTED),
    (202, {"id": "a1"}, Fate.ACCEPTED),
    (200, ID, Fate.ACCEPTED),
    (299, ID, Fate.ACCEPTED),
    (202, {**ID, "brand_new": 1}, Fate.ACCEPTED),
    # An unreadable 2xx: something was accepted, and nobody knows which.
    (202, {}, Fate.UNCERTAIN),
    (202, {"message": "Analysis started"}, Fate.UNCERTAIN),
    (202, {"video_id": ""}, Fate.UNCERTAIN),
    (202, {"video_id": None}, Fate.UNCERTAIN),
    (202, {"video_id": ["a1"]}, Fate.UNCERTAIN),
    (202, {"video_id": {"id": "a1"}}, Fate.UNCERTAIN),
    (202, {"video_id": True}, Fate.UNCERTAIN),
    (202, ["a1"], Fate.UNCERTAIN),
    (202, "a1", Fate.UNCERTAIN),
    (202, b"", Fate.UNCERTAIN),
    (202, b"<html>ok</html>", Fate.UNCERTAIN),
    (204, b"", Fate.UNCERTAIN),
    # The documented refusals, and 429.
    *((status, WORDS, Fate.REFUSED) for status in (400, 401, 402, 403, 404, 413, 422, 429)),
    # A redirect, a server in trouble, a status of which nobody knows what it means.
    *((status, b"", Fate.UNCERTAIN) for status in (199, 300, 301, 302, 303, 307, 308)),
    *((status, WORDS, Fate.UNCERTAIN) for status in (408, 409, 418, 421, 423, 425)),
    *((status, b"<html></html>", Fate.UNCERTAIN) for status in (422, 499, 500, 502, 503, 504, 520)),
]


def answered(status: int, body: Any, *, whole: bool) -> Response:
    """An answer to a start; `body` is JSON, or bytes as they are."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {}, sent, request_complete=whole)


@pytest.mark.parametrize(("status", "body", "fate"), FATES, ids=repr)
def test_a_start_is_uncertain_unless_it_is_known(status: int, body: Any, fate: Fate) -> None:
    """After the last byte: an id accepts, a documented refusal refuses, and all else is uncertain."""
    assert fate_of_answer(answered(status, body, whole=True)) is fate


@pytest.mark.parametrize(("status", "body", "fate"), [row for row in FATES if not 200 <= row[0] < 300], ids=repr)
def test_a_start_that_was_cut_short_did_not_happen(status: int, body: Any, fate: Fate) -> None:
    """An answer before our last byte: a refusal still refuses, and what would be uncertain surely did not happen."""
    expected = Fate.NOT_HAPPENED if fate is Fate.UNCERTAIN else fate
    assert fate_of_answer(answered(status, body, whole=False)) is expected


def test_an_id_settles_it_even_before_the_last_byte() -> None:
    """A server that gives an id has charged, however early it answers."""
    assert fate_of_answer(answered(202, ID, whole=False)) is Fate.ACCEPTED


@pytest.mark.parametrize("first", ["a1", 12, "", None, True, ["a1"], {}], ids=repr)
@pytest.mark.parametrize("second", ["b1", "", None, ["b1"]], ids=repr)
def test_a_start_is_accepted_just_where_its_id_can_be_read(first: Any, second: Any) -> None:
    """Accepted without a readable id would be a paid analysis that nobody can find, told as something else."""
    call = start_call(Upload((), "video", "a.mp4", "video/mp4", 1, lambda: pytest.fail("nothing is sent here")))
    answer = answered(202, {"video_id": first, "id": second}, whole=True)
    try:
        read = bool(call.outcome(answer)[0].video_id)
    except UnreadableAnswer:
        read = False
    assert (fate_of_answer(answer) is Fate.ACCEPTED) is read


@given(st.integers(100, 599), st.binary(max_size=20) | st.sampled_from([b'{"detail": 1}', b'{"video_id": "a"}']))
@settings(max_examples=150, deadline=None)
def test_no_answer_to_a_whole_start_lets_it_be_sent_again(status: int, body: bytes) -> None:
    """Whatever the answer, a start that was handed over whole never counts as not happened."""
    fate = fate_of_answer(answered(status, body, whole=True))
    assert fate is not Fate.NOT_HAPPENED
    assert fate is not Fate.ACCEPTED or 200 <= status < 300


# --- when to look -----------------------------------------------------------------------------------------


def durations(*seconds: float) -> DurationHistory:
    """What was learned from analyses that took so long."""
    learned = DurationHistory()
    for each in seconds:
        learned.add(each)
    return learned


def test_an_analysis_of_unknown_age_is_looked_at_at_once() -> None:
    """It may be finished for hours."""
    assert PollSchedule(Polling()).first_delay(1000, DurationHistory()) == 0


@pytest.mark.parametrize(("age", "delay"), [(0, 3), (1, 2), (3, 0), (500, 0), (-50, 3)])
def test_a_young_analysis_is_given_its_interval(age: float, delay: float) -> None:
    """An analysis that was just started cannot be finished; a clock that is ahead delays by no more."""
    assert PollSchedule(Polling(interval=3), started=1000 - age).first_delay(1000, DurationHistory()) == delay


def test_the_first_look_learns_from_earlier_analyses() -> None:
    """Once some have finished, the first look comes when one in ten would be."""
    watch = PollSchedule(Polling(interval=3, longest=10), started=1000)
    assert watch.first_delay(1000, durations(12, 14, 16, 18)) == 3
    assert watch.first_delay(1000, durations(12, 14, 16, 18, 20)) == 12
    assert watch.first_delay(1005, durations(12, 14, 16, 18, 20)) == 7
    assert watch.first_delay(1000, durations(*[400] * 9)) == 30


def test_durations_forget() -> None:
    """Only the latest analyses count: the vendor may be faster tomorrow."""
    learned = durations(*[100] * 64, *[10] * 64)
    assert learned.first_decile() == 10
    assert durations(*range(10, 20)).first_decile() == 11
    assert durations(1, 2, 3, 4).first_decile() is None


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
def test_a_look_is_never_too_soon_and_never_too_late(
    looks: list[tuple[float | None, float, float]], started: float | None, polling: Polling
) -> None:
    """Whatever the percentages do, the next look is between the shortest and the longest delay, jitter apart."""
    shortest = min(polling.shortest, polling.interval)
    watch, now = PollSchedule(polling, started), 1000.0
    for percentage, passed, chance in looks:
        now += passed
        delay = watch.after_poll(percentage, now, chance)
        assert shortest * 0.95 - 1e-9 <= delay <= polling.longest * 1.05 + 1e-9


@pytest.mark.parametrize("percentage", [None, 0, -3, 100, 130])
def test_without_a_usable_percentage_the_interval_is_kept(percentage: float | None) -> None:
    """Absent, zero, or past the end: the vendor's advice is all there is."""
    watch = PollSchedule(Polling(interval=3), started=1000)
    assert [watch.after_poll(percentage, 1010 + n, 0.5) for n in range(3)] == pytest.approx([3, 3, 3])


def test_the_percentage_says_when_to_look() -> None:
    """Half done after 10 s: another look after most of the other 10 s."""
    watch = PollSchedule(Polling(interval=3, longest=60), started=1000)
    assert watch.after_poll(50, 1010, 0.5) == pytest.approx(8)
    assert watch.after_poll(90, 1018, 0.5) == pytest.approx(2)


def test_a_plateau_is_looked_at_less_and_less_often() -> None:
    """A percentage that does not move, or falls, backs off to the longest delay."""
    watch = PollSchedule(Polling(interval=3, longest=10), started=990)
    delays = [watch.after_poll(percentage, 1000 + n, 0.5) for n, percentage in enumerate([70, 70, 60, 70, 70, 70, 70])]
    assert delays == sorted(delays)
    assert delays[1] == pytest.approx(delays[0] * 1.25)
    assert delays[-1] == pytest.approx(10)


def test_waits_that_began_together_drift_apart() -> None:
    """Jitter of up to a tenth."""
    delays = [PollSchedule(Polling(), started=1000).after_poll(None, 1010, chance) for chance in (0.0, 0.5, 1.0)]
    assert delays == pytest.approx([2.85, 3, 3.15])


def test_failing_looks_have_a_patience_of_their_own() -> None:
    """Failing to ask is not being unfinished: it goes on for `patience` seconds, then ends."""
    watch, now = PollSchedule(Polling(interval=10, patience=60), started=0), 1000.0
    for _ in range(6):
        delay = watch.after_error(ServerError(), now, 0.0)
        assert delay == 10
        now += delay
    assert watch.after_error(ServerError(), now, 0.0) is None


def test_a_look_that_succeeds_renews_the_patience() -> None:
    """Only an unbroken row of failures ends a wait."""
    watch = PollSchedule(Polling(interval=10, patience=15), started=0)
    for now in range(1000, 2000, 20):
        assert watch.after_error(ConnectionFailed(), now, 0.0) == 10
        watch.after_poll(50, now + 10, 0.5)


def test_without_patience_the_first_failure_ends_the_wait() -> None:
    """`patience=0` is a way to say so."""
    assert PollSchedule(Polling(patience=0), started=0).after_error(ServerError(), 1000, 0) is None


@pytest.mark.parametrize("error", [KeyRefused(), BuyCredits(), UncertainStart()], ids=repr)
def test_a_refusal_ends_the_wait_at_once(error: OchyError) -> None:
    """Looking on is of no use where the answer cannot change."""
    assert PollSchedule(Polling(), started=1000).after_error(error, 1000, 0.5) is None


def test_a_garbled_answer_is_asked_for_again_but_not_for_long() -> None:
    """One or two may be some proxy's; the third in a row is what the API says now."""
    watch = PollSchedule(Polling(interval=3), started=0)
    assert [watch.after_error(UnreadableAnswer(), 1000 + now, 0.0) for now in range(3)] == [3, 3, None]


def test_a_look_that_can_be_read_forgives_the_garbled() -> None:
    """Only a row of them ends the wait."""
    watch = PollSchedule(Polling(interval=3), started=0)
    for now in range(1000, 1010):
        assert watch.after_error(UnreadableAnswer(), now, 0.0) == 3
        watch.after_poll(50, now, 0.5)


@pytest.mark.parametrize("error", [ServerError(), ConnectionFailed(), RateLimited(), DeadlinePassed()], ids=repr)
def test_trouble_on_the_way_does_not_end_the_wait(error: OchyError) -> None:
    """The analysis is paid and goes on, whatever the network does."""
    delay = PollSchedule(Polling(interval=3)).after_error(error, 1000, 0.5)
    assert delay is not None
    assert 3 <= delay <= 6


def test_a_pause_that_was_asked_for_is_kept() -> None:
    """A server that says how long gets that long, unless patience ends before."""
    watch = PollSchedule(Polling(interval=3, patience=60))
    assert watch.after_error(asking(RateLimited, 45), 1000, 0.5) == 45
    assert watch.after_error(asking(RateLimited, 45), 1045, 0.5) is None


@pytest.mark.parametrize(("started", "age", "waits"), [(1000, 5, True), (1000, 300, False), (None, 0, False)])
def test_an_unknown_id_is_tolerated_only_just_after_the_start(started: float | None, age: float, waits: bool) -> None:
    """An id that was just given may not be known everywhere yet; later it never will be."""
    delay = PollSchedule(Polling(), started).after_error(NotFound(), 1000 + age, 0.5)
    assert (delay is not None) is waits


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50), st.floats(0.1, 100))
@settings(max_examples=50, deadline=None)
def test_each_moment_is_given_out_once(pauses: list[float], rate: float) -> None:
    """All waits of a session share one ceiling: no two looks are closer than it allows, none is in the past."""
    pace, now, last = PollRateLimit(rate), 1000.0, 0.0
    for pause in pauses:
        now += pause
        at = pace.reserve(now)
        assert at >= now
        assert at - last >= 1 / rate - 1e-6
        last = at


def test_a_pause_holds_everybody() -> None:
    """When the server asks for a pause, nobody looks before its end, and never sooner for a shorter one."""
    pace = PollRateLimit(10)
    pace.pause_until(1060)
    pace.pause_until(1030)
    assert [pace.reserve(1000), pace.reserve(1000)] == pytest.approx([1060, 1060.1])
    assert pace.reserve(2000) == 2000


# --- settings ---------------------------------------------------------------------------------------------

SETTINGS: list[Callable[..., Any]] = [Retry, Polling, Limits]
BOUNDS = [(make, attribute.name) for make in (Retry, Polling, Limits) for attribute in attrs.fields(make)]
NONSENSE = [float("nan"), float("inf"), -1, True, "3", None]


@pytest.mark.parametrize(("make", "name"), BOUNDS)
def test_nonsense_is_refused_where_it_is_written(make: Callable[..., Any], name: str) -> None:
    """No number, no finite one, or out of bounds: refused with the name of the setting and its bounds."""
    for value in NONSENSE:
        with pytest.raises(InvalidSettings, match=rf"{name} must be a (?:whole )?number from \S+ to \S+, not"):
            make(**{name: value})


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
def test_a_bound_is_told(make: Callable[..., Any], given_: dict[str, Any], bounds: str) -> None:
    """The message says what would be right."""
    with pytest.raises(InvalidSettings, match=bounds):
        make(**given_)


def test_a_shortest_delay_beyond_the_longest_is_refused() -> None:
    """Two bounds that exclude each other are nonsense together."""
    with pytest.raises(InvalidSettings, match="shortest"):
        Polling(shortest=20, longest=10)


@pytest.mark.parametrize("make", SETTINGS)
def test_settings_are_frozen(make: Callable[..., Any]) -> None:
    """What was checked stays as it was."""
    made = make()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, attrs.fields(type(made))[0].name, 1)


def test_an_upload_has_time_for_its_size() -> None:
    """The deadline of an upload grows with the clip."""
    assert Limits(call=60, upload_rate=1_000).transfer(30_000) == 90


# --- looking up an uncertain start ------------------------------------------------------------------------

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
START = StartAttempt("a.mp4", "back_view", earliest=NOON, latest=NOON + timedelta(minutes=2), subject_id="s1")


def candidates(*listed: ListedAnalysis, start: StartAttempt = START, known: tuple[str, ...] = ()) -> list[str]:
    """The ids of the analyses that a start may have become."""
    return [each.analysis_id for each in candidates_of(start, AnalysisList(listed), known).candidates]


def test_whatever_may_be_the_start_is_a_candidate() -> None:
    """An analysis of which nothing is told may be it, so may one with the same subject and time."""
    assert candidates(
        ListedAnalysis(analysis_id="bare"),
        ListedAnalysis(analysis_id="same", subject_id="s1", created_at=NOON + timedelta(minutes=1)),
        ListedAnalysis(analysis_id="no subject told", created_at=NOON),
    ) == ["bare", "same", "no subject told"]


def test_what_cannot_be_the_start_is_none() -> None:
    """Known ones, those of another subject, and those of another time."""
    listed = (
        ListedAnalysis(analysis_id="known", subject_id="s1", created_at=NOON),
        ListedAnalysis(analysis_id="other", subject_id="s2", created_at=NOON),
        ListedAnalysis(analysis_id="early", subject_id="s1", created_at=NOON - timedelta(hours=1)),
        ListedAnalysis(analysis_id="late", subject_id="s1", created_at=NOON + timedelta(hours=1)),
    )
    assert candidates(*listed, known=("known",)) == []


def test_a_linked_analysis_is_not_an_unlinked_start() -> None:
    """A start without a subject did not become an analysis that has one."""
    start = attrs.evolve(START, subject_id=None)
    assert candidates(ListedAnalysis(analysis_id="linked", subject_id="s1"), start=start) == []


@pytest.mark.parametrize(("minutes", "possible"), [(-15, True), (-16, False), (17, True), (18, False)])
def test_clocks_may_differ_by_minutes(minutes: int, possible: bool) -> None:
    """The server's clock is given a quarter of an hour to either side."""
    each = ListedAnalysis(analysis_id="a1", created_at=NOON + timedelta(minutes=minutes))
    assert candidates(each) == (["a1"] if possible else [])


def test_a_candidate_is_adopted_by_its_id() -> None:
    """Adopting is the caller's word; it gives what the start would have given."""
    found = candidates_of(START, AnalysisList((ListedAnalysis(analysis_id="a1"),)), ())
    adopted = found.adopt("a1")
    assert (adopted.analysis_id, adopted.view, adopted.clip, adopted.subject_id) == ("a1", "back_view", "a.mp4", "s1")
    with pytest.raises(InvalidRequest, match="not among the candidates"):
        found.adopt("a2")
