"""Tests of the decisions: whether to retry, when to poll, and whether a start happened."""

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
    budget = RetryBudget(Retry(budget=2, earned=0.5))
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 20), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_budget_stays_within_its_bounds(moves: list[bool], most: int, earned: float) -> None:
    """It is never negative and never more than at the beginning, whatever succeeds and fails."""
    budget = RetryBudget(Retry(budget=most, earned=earned))
    spent = 0
    for success in moves:
        if success:
            budget.earn()
        else:
            spent += budget.spend()
        assert 0 <= budget.left <= most
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


# --- whether a start happened ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "fate"),
    [
        (Phase.NOT_SENT, Fate.NOT_HAPPENED),
        (Phase.INCOMPLETE, Fate.NOT_HAPPENED),
        (Phase.COMPLETE, Fate.UNCERTAIN),
    ],
)
def test_a_start_without_an_answer_is_uncertain_once_it_was_complete(phase: Phase, fate: Fate) -> None:
    """A start that was not sent or cut short did not happen; after the last byte it is uncertain."""
    assert fate_without_answer(phase) is fate


ID: dict[str, Any] = {"message": "Analysis started", "video_id": "a1"}
DETAIL: dict[str, Any] = {"detail": "no"}
FATES: list[tuple[int, Any, Fate]] = [
    (202, ID, Fate.ACCEPTED),
    (202, {"analysis_id": "a1"}, Fate.ACCEPTED),
    (202, {"id": "a1"}, Fate.ACCEPTED),
    (200, ID, Fate.ACCEPTED),
    (299, ID, Fate.ACCEPTED),
    (202, {**ID, "brand_new": 1}, Fate.ACCEPTED),
    # An unreadable 2xx: an analysis may have been accepted, but its id is unknown.
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
    *((status, DETAIL, Fate.REFUSED) for status in (400, 401, 402, 403, 404, 413, 422, 429)),
    # A redirect, a server error, or an undocumented status.
    *((status, b"", Fate.UNCERTAIN) for status in (199, 300, 301, 302, 303, 307, 308)),
    *((status, DETAIL, Fate.UNCERTAIN) for status in (408, 409, 418, 421, 423, 425)),
    *((status, b"<html></html>", Fate.UNCERTAIN) for status in (422, 499, 500, 502, 503, 504, 520)),
]


def answered(status: int, body: Any, *, complete: bool) -> Response:
    """An answer to a start; `body` is JSON, or bytes as they are."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {}, sent, request_complete=complete)


@pytest.mark.parametrize(("status", "body", "fate"), FATES, ids=repr)
def test_a_start_is_uncertain_unless_its_fate_is_known(status: int, body: Any, fate: Fate) -> None:
    """After the last byte an id accepts, a documented refusal refuses, and everything else is uncertain."""
    assert fate_of_answer(answered(status, body, complete=True)) is fate


@pytest.mark.parametrize(("status", "body", "fate"), [row for row in FATES if not 200 <= row[0] < 300], ids=repr)
def test_a_start_that_was_cut_short_did_not_happen(status: int, body: Any, fate: Fate) -> None:
    """Before our last byte a refusal still refuses; what would be uncertain later did not happen."""
    expected = Fate.NOT_HAPPENED if fate is Fate.UNCERTAIN else fate
    assert fate_of_answer(answered(status, body, complete=False)) is expected


def test_an_id_means_accepted_even_before_the_last_byte() -> None:
    """A server that returns an id has charged, however early it answers."""
    assert fate_of_answer(answered(202, ID, complete=False)) is Fate.ACCEPTED


@pytest.mark.parametrize("first", ["a1", 12, "", None, True, ["a1"], {}], ids=repr)
@pytest.mark.parametrize("second", ["b1", "", None, ["b1"]], ids=repr)
def test_a_start_is_accepted_exactly_if_its_id_can_be_read(first: Any, second: Any) -> None:
    """An accepted start without a readable id would be a paid analysis that is reported as something else."""
    call = start_call(Upload((), "video", "a.mp4", "video/mp4", 1, lambda: pytest.fail("nothing is sent here")))
    answer = answered(202, {"video_id": first, "id": second}, complete=True)
    try:
        read = bool(call.outcome(answer)[0].video_id)
    except UnreadableAnswer:
        read = False
    assert (fate_of_answer(answer) is Fate.ACCEPTED) is read


@given(st.integers(100, 599), st.binary(max_size=20) | st.sampled_from([b'{"detail": 1}', b'{"video_id": "a"}']))
@settings(max_examples=150, deadline=None)
def test_no_answer_to_a_complete_start_allows_another(status: int, body: bytes) -> None:
    """Whatever the answer is, a start that was handed over completely never counts as not happened."""
    fate = fate_of_answer(answered(status, body, complete=True))
    assert fate is not Fate.NOT_HAPPENED
    assert fate is not Fate.ACCEPTED or 200 <= status < 300


# --- when to poll ---------------------------------------------------------------------------------


def durations(*seconds: float) -> DurationHistory:
    """A history of analyses that took this long."""
    history = DurationHistory()
    for each in seconds:
        history.add(each)
    return history


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


def test_only_the_latest_durations_count() -> None:
    """The vendor may be faster tomorrow."""
    history = durations(*[100] * 64, *[10] * 64)
    assert history.first_decile() == 10
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


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50), st.floats(0.1, 100))
@settings(max_examples=50, deadline=None)
def test_polls_keep_to_the_rate_limit(pauses: list[float], rate: float) -> None:
    """All waits of a session share one limit: no two polls are closer than it allows."""
    limit, now, last = PollRateLimit(rate), 1000.0, 0.0
    for pause in pauses:
        now += pause
        at = limit.reserve(now)
        assert at >= now
        assert at - last >= 1 / rate - 1e-6
        last = at


def test_a_requested_pause_applies_to_all_waits() -> None:
    """No wait polls before the end of the pause; a shorter pause does not end it sooner."""
    limit = PollRateLimit(10)
    limit.pause_until(1060)
    limit.pause_until(1030)
    assert [limit.reserve(1000), limit.reserve(1000)] == pytest.approx([1060, 1060.1])
    assert limit.reserve(2000) == 2000


# --- settings -------------------------------------------------------------------------------------

SETTINGS: list[Callable[..., Any]] = [Retry, Polling, Limits]
BOUNDS = [(make, attribute.name) for make in (Retry, Polling, Limits) for attribute in attrs.fields(make)]
INVALID = [float("nan"), float("inf"), -1, True, "3", None]


@pytest.mark.parametrize(("make", "name"), BOUNDS)
def test_invalid_settings_are_refused(make: Callable[..., Any], name: str) -> None:
    """The error names the setting and its bounds."""
    for value in INVALID:
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
def test_the_error_names_the_bounds(make: Callable[..., Any], given_: dict[str, Any], bounds: str) -> None:
    """The message says which values are valid."""
    with pytest.raises(InvalidSettings, match=bounds):
        make(**given_)


def test_a_shortest_delay_beyond_the_longest_is_refused() -> None:
    """Two bounds that exclude each other are invalid together."""
    with pytest.raises(InvalidSettings, match="shortest"):
        Polling(shortest=20, longest=10)


@pytest.mark.parametrize("make", SETTINGS)
def test_settings_are_frozen(make: Callable[..., Any]) -> None:
    """Checked values cannot change afterwards."""
    made = make()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, attrs.fields(type(made))[0].name, 1)


def test_the_deadline_of_a_transfer_grows_with_its_size() -> None:
    """The deadline has time for the bytes of the clip."""
    assert Limits(call=60, upload_rate=1_000).transfer(30_000) == 90


# --- reconciling an uncertain start ---------------------------------------------------------------

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
START = StartAttempt("a.mp4", "back_view", earliest=NOON, latest=NOON + timedelta(minutes=2), subject_id="s1")


def candidates(*listed: ListedAnalysis, start: StartAttempt = START, known: tuple[str, ...] = ()) -> list[str]:
    """The ids of the analyses that a start may have become."""
    return [each.analysis_id for each in candidates_of(start, AnalysisList(listed), known).candidates]


def test_every_possible_analysis_is_a_candidate() -> None:
    """Both an analysis without any facts and one with the same subject and time are possible."""
    assert candidates(
        ListedAnalysis(analysis_id="bare"),
        ListedAnalysis(analysis_id="same", subject_id="s1", created_at=NOON + timedelta(minutes=1)),
        ListedAnalysis(analysis_id="no subject", created_at=NOON),
    ) == ["bare", "same", "no subject"]


def test_an_impossible_analysis_is_no_candidate() -> None:
    """Known ones, those of another subject, and those of another time are impossible."""
    listed = (
        ListedAnalysis(analysis_id="known", subject_id="s1", created_at=NOON),
        ListedAnalysis(analysis_id="other", subject_id="s2", created_at=NOON),
        ListedAnalysis(analysis_id="early", subject_id="s1", created_at=NOON - timedelta(hours=1)),
        ListedAnalysis(analysis_id="late", subject_id="s1", created_at=NOON + timedelta(hours=1)),
    )
    assert candidates(*listed, known=("known",)) == []


def test_a_start_without_a_subject_has_no_linked_candidate() -> None:
    """A start without a subject did not become an analysis that has one."""
    start = attrs.evolve(START, subject_id=None)
    assert candidates(ListedAnalysis(analysis_id="linked", subject_id="s1"), start=start) == []


@pytest.mark.parametrize(("minutes", "possible"), [(-15, True), (-16, False), (17, True), (18, False)])
def test_clocks_may_differ_by_a_quarter_of_an_hour(minutes: int, possible: bool) -> None:
    """The server's clock may be fast or slow."""
    each = ListedAnalysis(analysis_id="a1", created_at=NOON + timedelta(minutes=minutes))
    assert candidates(each) == (["a1"] if possible else [])


def test_a_candidate_is_adopted_by_its_id() -> None:
    """Adopting returns what the start would have returned."""
    found = candidates_of(START, AnalysisList((ListedAnalysis(analysis_id="a1"),)), ())
    adopted = found.adopt("a1")
    assert (adopted.analysis_id, adopted.view, adopted.clip, adopted.subject_id) == ("a1", "back_view", "a.mp4", "s1")
    with pytest.raises(InvalidRequest, match="not among the candidates"):
        found.adopt("a2")
