"""Tests of whether a start happened: accepted, refused, uncertain, or certainly not happened."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async.errors import Phase, UnreadableAnswer
from ochy_async.policy import start_fate
from ochy_async.policy.start_fate import Fate, fate_of_answer, fate_while_sending, fate_without_answer
from ochy_async.protocol.analysis import start_call
from ochy_async.protocol.wire import Response, Upload


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


def test_without_the_assumption_a_start_that_was_cut_short_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One switch: without an answer, and with one that proves nothing. Without a connection nothing was sent at all."""
    monkeypatch.setattr(start_fate, "CUT_SHORT_IS_FREE", False)
    assert fate_without_answer(Phase.INCOMPLETE) is Fate.UNCERTAIN
    assert fate_of_answer(Response(503, {}, b"", request_complete=False)) is Fate.UNCERTAIN
    assert fate_while_sending(complete=False) is Fate.UNCERTAIN
    assert fate_without_answer(Phase.NOT_SENT) is Fate.NOT_HAPPENED


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
