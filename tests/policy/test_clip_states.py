"""Tests of what a batch decides: next steps, transitions, identity, parallel uploads, credits, reconciliation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest
from attrs import evolve

from ochy_async import BackView, SideView
from ochy_async.errors import (
    BuyCredits,
    ClipRefused,
    ConnectionFailed,
    InvalidSettings,
    KeyRefused,
    OchyError,
    RateLimited,
    ServerError,
    StartAttempt,
    UncertainStart,
)
from ochy_async.policy.clip_states import FINISHED, NEXT_STEP, TRANSITIONS, State, Step
from ochy_async.policy.concurrency import Concurrency, UploadLimit
from ochy_async.policy.credit_guard import CreditGuard, StopReason
from ochy_async.policy.identity import identity
from ochy_async.policy.reconciliation import candidates_of, lookup_delays, unambiguous_match
from ochy_async.protocol.analysis import AnalysisList, ListedAnalysis

# --- states ---------------------------------------------------------------------------------------


def test_every_state_has_a_next_step_and_transitions() -> None:
    """The tables are complete."""
    assert NEXT_STEP.keys() == TRANSITIONS.keys() == {None, *State}


def test_only_clips_that_were_certainly_not_started_are_started() -> None:
    """This table decides what is bought."""
    assert {state for state, step in NEXT_STEP.items() if step is Step.START} == {None, State.OPEN}


def test_a_start_is_intended_before_anything_else() -> None:
    """A clip becomes started, refused or uncertain only from intended."""
    before = {after: {state for state, moves in TRANSITIONS.items() if after in moves} for after in State}
    assert before[State.INTENDED] == {None, State.OPEN}
    assert before[State.REFUSED] == before[State.UNCERTAIN] == {State.INTENDED}
    assert before[State.STARTED] == {State.INTENDED, State.UNCERTAIN}
    assert before[State.ANALYZED] == {State.STARTED, State.ANALYZED}


def test_only_the_user_reopens_an_analyzed_clip() -> None:
    """A batch by itself takes no step from a finished state."""
    assert TRANSITIONS[State.ANALYZED] == {State.ANALYZED, State.OPEN}
    assert {NEXT_STEP[state] for state in FINISHED} == {Step.NOTHING}


def test_only_finished_clips_may_be_bought_again() -> None:
    """Clips that are under way or uncertain may not."""
    assert set(State) - FINISHED == {State.OPEN, State.INTENDED, State.UNCERTAIN, State.STARTED}


# --- identity -------------------------------------------------------------------------------------

CONTENT = "ab" * 32
BASE: dict[str, Any] = {"content": CONTENT, "request": SideView(), "account": "me", "origin": "https://a.example"}


def key(**other: Any) -> str:
    given = {**BASE, **other}
    return identity(given["content"], given["request"], given["account"], given["origin"])


OTHERS: list[dict[str, Any]] = [
    {"content": "cd" * 32},
    {"request": BackView()},
    {"request": BackView(full_body=False)},
    {"request": SideView(height=1.71)},
    {"request": SideView(weight=71)},
    {"request": SideView(pace="05:00")},
    {"request": SideView(treadmill=True, pace="05:00")},
    {"request": SideView(language="fr")},
    {"request": SideView(subject_id="s1")},
    {"account": "you"},
    {"origin": "https://b.example"},
]


def test_whatever_changes_the_answer_changes_the_identity() -> None:
    """All of these are different clips."""
    keys = {key(**other) for other in ({}, *OTHERS)}
    assert len(keys) == len(OTHERS) + 1


@pytest.mark.parametrize("request_", [SideView(), SideView(height=1.7, weight=70.0), SideView(notify_via_webhook=True)])
def test_what_does_not_change_the_answer_does_not_change_the_identity(request_: SideView) -> None:
    """Explicit defaults, and the webhook."""
    assert key(request=request_) == key()


def test_the_identity_is_the_same_in_every_version() -> None:
    """Another digest in a later version would buy every clip of every journal again."""
    assert key() == "709eec88ea5f280bbd8fbedec1edca8061def722d27bfc45d56624ce67479e10"


# --- parallel uploads -----------------------------------------------------------------------------


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


# --- credits --------------------------------------------------------------------------------------


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


# --- reconciliation -------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ATTEMPT = StartAttempt("run.mp4", "side_view", NOON, NOON + timedelta(seconds=20))


def listed(name: str, seconds: float | None = 10, view: str | None = "side_view") -> ListedAnalysis:
    moment = None if seconds is None else NOON + timedelta(seconds=seconds)
    return ListedAnalysis(analysis_id=name, created_at=moment, view=view)


LONG_AGO = evolve(ATTEMPT, earliest=NOON - timedelta(days=2), latest=NOON - timedelta(days=1))

MEANT: list[tuple[str, list[ListedAnalysis], list[StartAttempt], bool, str | None]] = [
    ("nothing is listed", [], [], False, None),
    ("nothing is listed with its own subject", [], [], True, None),
    ("exactly one", [listed("a")], [], False, "a"),
    ("exactly one with its own subject", [listed("a", None, None)], [], True, "a"),
    ("two", [listed("a"), listed("b")], [], False, None),
    ("two with its own subject", [listed("a"), listed("b")], [], True, None),
    ("one without a time", [listed("a", None)], [], False, None),
    ("one of the other view", [listed("a", view="back_view")], [], False, None),
    ("one without a view", [listed("a", view=None)], [], False, "a"),
    ("one of another time", [listed("a", 7200)], [], False, None),
    ("one of this time, one of another", [listed("a"), listed("b", 7200)], [], False, "a"),
    ("one that is known already, and another", [listed("known"), listed("a")], [], False, "a"),
    ("one, and another start at the same time", [listed("a")], [ATTEMPT], False, None),
    ("one, and another start of long ago", [listed("a")], [LONG_AGO], False, "a"),
    ("one with its own subject, and another start elsewhere", [listed("a")], [ATTEMPT], True, "a"),
]


@pytest.mark.parametrize(("what", "items", "others", "own", "meant"), MEANT, ids=[row[0] for row in MEANT])
def test_only_an_unambiguous_match_is_adopted(
    what: str, items: list[ListedAnalysis], others: list[StartAttempt], own: bool, meant: str | None
) -> None:
    """One candidate with a tagging subject; without, one that fits and that no other start explains."""
    known = {"known"}
    found = candidates_of(ATTEMPT, AnalysisList(tuple(items)), known)
    only = unambiguous_match(found, known, others, own_subject=own)
    assert (only and only.analysis_id) == meant, what


def test_lookups_become_rarer_and_end() -> None:
    """At once, then after 3 s, then at twice the age each; a start of yesterday is looked up once."""
    assert list(accumulate(lookup_delays(0.0))) == [3, 6, 12, 24, 48, 96]
    assert list(lookup_delays(20.0)) == [20, 40]
    assert not list(lookup_delays(60.0))
    assert not list(lookup_delays(86_400))
