"""Tests of the states of a clip: next steps and transitions."""

from __future__ import annotations

from ochy_async.policy.clip_states import FINISHED, NEXT_STEP, TRANSITIONS, UNRESOLVED, State, Step


def test_every_state_has_a_next_step_and_transitions() -> None:
    """The tables are complete."""
    assert NEXT_STEP.keys() == TRANSITIONS.keys() == {None, *State}


def test_only_clips_that_were_certainly_not_started_are_started() -> None:
    """This table decides what is bought."""
    assert {state for state, step in NEXT_STEP.items() if step is Step.START} == {None, State.OPEN, State.INTENDED}
    assert {State.SENDING, State.UNCERTAIN} == UNRESOLVED


def test_a_start_is_intended_before_anything_else() -> None:
    """A clip is sent only from intended, and becomes started, refused or uncertain only from one of the two."""
    before = {after: {state for state, moves in TRANSITIONS.items() if after in moves} for after in State}
    assert before[State.INTENDED] == {None, State.OPEN, State.SENDING}
    assert before[State.SENDING] == {State.INTENDED}
    assert before[State.REFUSED] == before[State.UNCERTAIN] == {State.INTENDED, State.SENDING}
    assert before[State.STARTED] == {State.INTENDED, State.SENDING, State.UNCERTAIN}
    assert before[State.ANALYZED] == {State.STARTED, State.ANALYZED}


def test_only_the_user_reopens_an_analyzed_clip() -> None:
    """A batch by itself takes no step from a finished state."""
    assert TRANSITIONS[State.ANALYZED] == {State.ANALYZED, State.OPEN}
    assert {NEXT_STEP[state] for state in FINISHED} == {Step.NOTHING}


def test_only_finished_clips_may_be_bought_again() -> None:
    """Clips that are under way or uncertain may not."""
    assert set(State) - FINISHED == {State.OPEN, State.INTENDED, State.SENDING, State.UNCERTAIN, State.STARTED}
