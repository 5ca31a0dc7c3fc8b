"""What a batch decides, as tables: next steps, moves, identity, width, credits, doubts."""

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

# --- states -------------------------------------------------------------------------------------


def test_every_state_has_a_next_step_and_its_moves() -> None:
    """No clip can be anywhere where nobody knows what to do."""
    assert NEXT_STEP.keys() == TRANSITIONS.keys() == {None, *State}


def test_only_what_surely_did_not_happen_is_bought() -> None:
    """The one table that spends money."""
    assert {state for state, step in NEXT_STEP.items() if step is Step.START} == {None, State.OPEN}


def test_a_start_is_intended_before_anything_else() -> None:
    """Nothing becomes started, refused or uncertain but by way of an intent."""
    before = {after: {state for state, moves in TRANSITIONS.items() if after in moves} for after in State}
    assert before[State.INTENDED] == {None, State.OPEN}
    assert before[State.REFUSED] == before[State.UNCERTAIN] == {State.INTENDED}
    assert before[State.STARTED] == {State.INTENDED, State.UNCERTAIN}
    assert before[State.ANALYZED] == {State.STARTED, State.ANALYZED}


def test_results_are_given_up_by_the_users_word_only() -> None:
    """What is analyzed stays analyzed, or is opened to be bought anew; a batch by itself takes no step from it."""
    assert TRANSITIONS[State.ANALYZED] == {State.ANALYZED, State.OPEN}
    assert {NEXT_STEP[state] for state in FINISHED} == {Step.NOTHING}


def test_only_what_is_finished_may_be_bought_anew() -> None:
    """Nothing that is under way or in doubt."""
    assert set(State) - FINISHED == {State.OPEN, State.INTENDED, State.UNCERTAIN, State.STARTED}


# --- identity -----------------------------------------------------------------------------------

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
def test_what_changes_no_answer_changes_no_identity(request_: SideView) -> None:
    """Defaults spelt out, and the webhook."""
    assert key(request=request_) == key()


def test_the_identity_stays_what_it_is() -> None:
    """Another digest in a later version would buy every clip of every journal again."""
    assert key() == "709eec88ea5f280bbd8fbedec1edca8061def722d27bfc45d56624ce67479e10"


# --- the width of uploads -----------------------------------------------------------------------


def widths(*news: OchyError | None, every: float = 10.0) -> list[int]:
    window, found = UploadLimit.of(None), []
    for moment, error in enumerate(news):
        if error is None:
            window.succeeded(1.0)
        else:
            window.failed(error, moment * every)
        found.append(window.slots)
    return found


TROUBLE = [RateLimited(), ServerError(), ConnectionFailed(), UncertainStart()]


def test_the_width_grows_by_one_with_each_round() -> None:
    """Additive increase: 3, after three good uploads 4, after four more 5."""
    assert widths(*[None] * 8) == [3, 3, 3, 4, 4, 4, 4, 5]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_trouble_halves_the_width(error: OchyError) -> None:
    """Multiplicative decrease, down to one and no further."""
    assert widths(error, error, error) == [1, 1, 1]


def test_one_burst_of_trouble_is_one_piece_of_news() -> None:
    """Uploads that were under way together do not halve the width one after the other."""
    window = UploadLimit.of(None)
    for _ in range(100):
        window.succeeded(1.0)
    wide = window.slots
    for _ in range(10):
        window.failed(RateLimited(), 1.0)
    assert window.slots == wide // 2


@pytest.mark.parametrize("error", [ClipRefused(), BuyCredits(), KeyRefused()], ids=lambda error: type(error).__name__)
def test_what_the_line_is_not_to_blame_for_changes_nothing(error: OchyError) -> None:
    """A bad clip is no congestion."""
    assert widths(error) == [3]


def test_a_width_that_was_asked_for_is_kept() -> None:
    """Only where it is left to the library does it adapt."""
    window = UploadLimit.of(5)
    window.succeeded(1.0)
    window.failed(RateLimited(), 0.0)
    assert window.slots == 5


@pytest.mark.parametrize("bad", [{"uploads": 0}, {"in_flight": 0}, {"checks": 1.5}, {"collecting": True}], ids=str)
def test_bounds_are_sane(bad: dict[str, Any]) -> None:
    """Nonsense is refused with its bound."""
    with pytest.raises(InvalidSettings, match=f"Concurrency.{next(iter(bad))} must be a whole number"):
        Concurrency(**bad)


# --- credits ------------------------------------------------------------------------------------


def test_the_guard_counts_intents() -> None:
    """Two credits: a third start is not admitted before one of the two surely did not happen."""
    guard = CreditGuard(2)
    assert (guard.admit(0), guard.admit(0)) == (0, 0)
    assert isinstance(guard.admit(0), StopReason)
    guard.release_credit()
    assert guard.admit(0) == 0
    assert isinstance(guard.admit(0), StopReason)


def test_what_was_spent_before_counts() -> None:
    """Earlier runs of the same journal."""
    assert isinstance(CreditGuard(5, spent_earlier=5).admit(0), StopReason)


def test_each_limit_counts_down_and_is_told() -> None:
    """The nearer of the two says how much is left; the one that is reached says why nothing more is."""
    guard = CreditGuard(limit=9, limit_per_run=2, spent_earlier=6)
    assert (guard.remaining, guard.admit(0), guard.remaining, guard.admit(0), guard.remaining) == (2, 0, 1, 0, 0)
    closed = guard.admit(0)
    assert isinstance(closed, StopReason)
    assert "2 credits for one run" in closed.reason
    guard.spent_earlier = 7
    assert guard.remaining == 0
    closed = guard.admit(0)
    assert isinstance(closed, StopReason)
    assert "limit of 9 credits is reached" in closed.reason


def test_a_limit_that_was_exceeded_leaves_nothing() -> None:
    """Earlier runs had a higher one: what is left is nothing, and not a number below it."""
    guard = CreditGuard(limit=3, spent_earlier=5)
    assert guard.remaining == 0
    assert isinstance(guard.admit(0), StopReason)


def test_an_empty_account_closes_the_guard() -> None:
    """402 without patience: nobody else is admitted, and the reason says why."""
    guard = CreditGuard()
    assert guard.refused(BuyCredits("no credits"), 0)
    closed = guard.admit(0)
    assert isinstance(closed, StopReason)
    assert "no credits" in closed.reason


def test_with_patience_one_start_tries_for_all() -> None:
    """402 with patience: everybody waits a minute, then one goes, and the others wait on."""
    guard = CreditGuard(patience=600)
    guard.refused(BuyCredits(), 0)
    assert guard.admit(10) == 50
    assert guard.admit(60) == 0
    assert guard.admit(60) == 60
    guard.accepted()
    assert guard.admit(61) == 0


def test_patience_ends() -> None:
    """Tries that go on to fail close the guard in the end."""
    guard = CreditGuard(patience=120)
    for moment in (1_000, 1_060):
        guard.refused(BuyCredits(), moment)
        assert not isinstance(guard.admit(moment), StopReason)
    guard.refused(BuyCredits(), 1_120)
    assert isinstance(guard.admit(1_120), StopReason)


def test_a_refused_key_closes_the_guard_for_good() -> None:
    """And a refused clip does not."""
    guard = CreditGuard()
    assert not guard.refused(ClipRefused(), 0)
    assert guard.admit(0) == 0
    assert guard.refused(KeyRefused("the key is wrong"), 0)
    assert isinstance(guard.admit(0), StopReason)


# --- doubts -------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOUBT = StartAttempt("run.mp4", "side_view", NOON, NOON + timedelta(seconds=20))


def listed(name: str, seconds: float | None = 10, view: str | None = "side_view") -> ListedAnalysis:
    moment = None if seconds is None else NOON + timedelta(seconds=seconds)
    return ListedAnalysis(analysis_id=name, created_at=moment, view=view)


LONG_AGO = evolve(DOUBT, earliest=NOON - timedelta(days=2), latest=NOON - timedelta(days=1))

MEANT: list[tuple[str, list[ListedAnalysis], list[StartAttempt], bool, str | None]] = [
    ("nothing is listed", [], [], False, None),
    ("nothing is listed on the lane", [], [], True, None),
    ("exactly one", [listed("a")], [], False, "a"),
    ("exactly one on the lane", [listed("a", None, None)], [], True, "a"),
    ("two", [listed("a"), listed("b")], [], False, None),
    ("two on the lane", [listed("a"), listed("b")], [], True, None),
    ("one that does not tell its time", [listed("a", None)], [], False, None),
    ("one of the other view", [listed("a", view="back_view")], [], False, None),
    ("one that does not tell its view", [listed("a", view=None)], [], False, "a"),
    ("one of another time", [listed("a", 7200)], [], False, None),
    ("one of this time, one of another", [listed("a"), listed("b", 7200)], [], False, "a"),
    ("one that is known already, and another", [listed("known"), listed("a")], [], False, "a"),
    ("one, and a rival of the same time", [listed("a")], [DOUBT], False, None),
    ("one, and a rival of long ago", [listed("a")], [LONG_AGO], False, "a"),
    ("one on the lane, and a rival elsewhere", [listed("a")], [DOUBT], True, "a"),
]


@pytest.mark.parametrize(("what", "items", "rivals", "own", "meant"), MEANT, ids=[row[0] for row in MEANT])
def test_only_what_can_be_nothing_else_is_adopted(
    what: str, items: list[ListedAnalysis], rivals: list[StartAttempt], own: bool, meant: str | None
) -> None:
    """One candidate on a lane of its own; without a lane, one that fits and that nobody else can claim."""
    known = {"known"}
    found = candidates_of(DOUBT, AnalysisList(tuple(items)), known)
    only = unambiguous_match(found, known, rivals, own_subject=own)
    assert (only and only.analysis_id) == meant, what


def test_lookups_come_less_and_less_often_and_end() -> None:
    """At once, then after 3 s, then at twice the age each; a doubt of yesterday is looked up once."""
    assert list(accumulate(lookup_delays(0.0))) == [3, 6, 12, 24, 48, 96]
    assert list(lookup_delays(20.0)) == [20, 40]
    assert not list(lookup_delays(60.0))
    assert not list(lookup_delays(86_400))
