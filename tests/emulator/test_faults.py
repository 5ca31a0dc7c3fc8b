"""Faults and plans as values: what happens to a request, and to which one."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    Fault,
    FaultEffect,
    FaultPlan,
    FaultRule,
    RandomFaults,
    Redirect,
    RefuseConnection,
    ReplaceBody,
    Respond,
    RespondAfter,
    RespondHtml,
    RetryAfter,
    ServiceResponse,
    Throttle,
    TruncateBody,
    gzip_bomb,
)

START = "POST /analysis/start"
RESULTS = "GET /analysis/{analysis_id}/results"
OWN = ServiceResponse(202, {"content-type": "application/json"}, b'{"video_id":"a"}')


@pytest.mark.parametrize(
    ("fault", "acts", "read", "answers"),
    [
        (Delay(5), True, None, True),
        (Respond(503), False, None, True),
        (Respond(413, early=True), False, 0, True),
        (RespondAfter(500), True, None, True),
        (RefuseConnection(), False, 0, False),
        (DisconnectBefore(), False, 0, False),
        (DisconnectDuring(1000), False, 1000, False),
        (DisconnectAfter(), True, None, False),
        (DisconnectAfter(charged=False), False, None, False),
        (TruncateBody(3), True, None, True),
        (RespondHtml(502), False, None, True),
        (RetryAfter("7"), False, None, True),
        (Throttle(100), True, None, True),
        (ReplaceBody(b"?"), True, None, True),
        (Redirect("https://example.com"), False, None, True),
        (Redirect("https://example.com", reaches_service=True), True, None, True),
    ],
    ids=repr,
)
def test_a_fault_says_whether_the_service_acts(fault: Fault, acts: bool, read: int | None, answers: bool) -> None:
    """Whether a credit is taken, how much is read and whether an answer comes: one row for each fault."""
    effect = fault.effect()
    assert (effect.reaches_service, effect.read_limit, effect.response is not None) == (acts, read, answers)


def test_a_request_without_a_fault_goes_its_way() -> None:
    """The plain course changes nothing and waits for nothing."""
    effect = FaultEffect()
    assert effect.response is not None
    assert effect.response(OWN) is OWN
    assert (effect.connects, effect.reaches_service, effect.read_limit, effect.sent_limit) == (True, True, None, None)
    assert effect.wait_before == effect.wait_after == 0


def answered(fault: Fault) -> ServiceResponse:
    rewrite = fault.effect().response
    assert rewrite is not None
    return rewrite(OWN)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (
            Respond(503, b"busy", {"Content-Type": "text/plain"}),
            ServiceResponse(503, {"content-type": "text/plain"}, b"busy"),
        ),
        (
            Respond(500),
            ServiceResponse(500, {"content-type": "application/json"}, b'{"detail":"HTTP 500 by plan"}'),
        ),
        (
            RetryAfter("soon"),
            ServiceResponse(
                429,
                {"content-type": "application/json", "retry-after": "soon"},
                b'{"detail":"HTTP 429 by plan"}',
            ),
        ),
        (Redirect("/x", 307), ServiceResponse(307, {"location": "/x"}, b"")),
        (ReplaceBody(b"?"), ServiceResponse(202, OWN.headers, b"?")),
        (
            ReplaceBody(lambda own: own[:5], {"X-Odd": "1"}),
            ServiceResponse(202, {**OWN.headers, "x-odd": "1"}, OWN.body[:5]),
        ),
    ],
)
def test_a_fault_rewrites_the_answer(fault: Fault, answer: ServiceResponse) -> None:
    """Status, headers by lower-case name and body of what is sent instead."""
    assert answered(fault) == answer


def test_a_proxys_page_is_html() -> None:
    """No JSON where JSON is promised."""
    answer = answered(RespondHtml(504))
    assert (answer.status, answer.headers["content-type"]) == (504, "text/html")
    assert answer.body.startswith(b"<html>")


def test_a_delay_falls_before_or_after_the_deed() -> None:
    """Giving up on a late answer is safe or too late, by plan."""
    assert (Delay(5).effect().wait_before, Delay(5).effect().wait_after) == (5, 0)
    assert (Delay(5, after=True).effect().wait_before, Delay(5, after=True).effect().wait_after) == (0, 5)


def test_slow_has_two_sides() -> None:
    """Either the answer trickles or the upload is read slowly."""
    assert (Throttle(9).effect().response_rate, Throttle(9).effect().upload_rate) == (9, None)
    assert (
        Throttle(9, direction="upload").effect().response_rate,
        Throttle(9, direction="upload").effect().upload_rate,
    ) == (
        None,
        9,
    )


def test_a_gzip_bomb_is_small_until_it_is_opened() -> None:
    """A thousandth on the wire, whole when unpacked."""
    answer = answered(gzip_bomb(20_000_000))
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 40_000
    assert len(zlib.decompress(answer.body, 31)) == 20_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Delay(-1),
        lambda: Delay(86_401),
        lambda: Respond(99),
        lambda: Respond(600),
        lambda: DisconnectDuring(-1),
        lambda: TruncateBody(2_000_000_000),
        lambda: Throttle(0),
        lambda: Throttle(5, direction="both"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: Redirect("/x", 200),
        lambda: gzip_bomb(2_000_000_000),
        lambda: FaultRule(START, DisconnectBefore(), occurrence=0),
        lambda: FaultRule(START, DisconnectBefore(), times=0),
        lambda: RandomFaults(1, 1.5, (DisconnectBefore(),)),
        lambda: RandomFaults(1, 0.5, ()),
    ],
)
def test_unbounded_and_nonsense_faults_are_refused(make: Any) -> None:
    """Every number has its bounds, looked at when the fault is made."""
    with pytest.raises(ValueError, match=r".+"):
        make()


def played(plan: FaultPlan | RandomFaults, *routes: str) -> list[Fault | None]:
    return [plan.fault_for(route, 1 + routes[:index].count(route)) for index, route in enumerate(routes)]


def test_a_script_is_used_up_line_by_line() -> None:
    """Two lines for one route hit the first and the second request, and then all is well."""
    script = FaultPlan([FaultRule(START, DisconnectBefore()), FaultRule(START, DisconnectAfter())])
    assert played(script, START, START, START) == [DisconnectBefore(), DisconnectAfter(), None]
    assert script.remaining == ()


def test_a_line_may_wait_for_its_nth_request() -> None:
    """`occurrence` counts the requests that fit, whatever other lines do with them."""
    script = FaultPlan([FaultRule(START, DisconnectBefore()), FaultRule(RESULTS, RespondHtml(), occurrence=2)])
    assert played(script, RESULTS, START, RESULTS, RESULTS) == [None, DisconnectBefore(), RespondHtml(), None]


def test_a_line_may_hold_for_several_requests() -> None:
    """`times` in a row, from the first or from the n-th."""
    assert played(FaultPlan([FaultRule(START, RespondHtml(), times=2)]), START, START, START) == [
        RespondHtml(),
        RespondHtml(),
        None,
    ]
    late = FaultPlan([FaultRule(START, RespondHtml(), occurrence=2, times=2)])
    assert played(late, START, START, START, START) == [None, RespondHtml(), RespondHtml(), None]


def test_a_route_may_be_a_pattern() -> None:
    """Patterns are those of file names; templates are taken literally."""
    assert played(FaultPlan([FaultRule("GET *", RespondHtml())]), START, RESULTS) == [None, RespondHtml()]
    assert played(FaultPlan([FaultRule(RESULTS, RespondHtml())]), RESULTS) == [RespondHtml()]


def test_a_script_tells_what_has_not_happened() -> None:
    """A test can assert that everything planned was met."""
    rule = FaultRule(START, RespondHtml())
    script = FaultPlan([rule])
    assert played(script, RESULTS) == [None]
    assert script.remaining == (rule,)


def test_a_seeded_plan_is_the_same_in_every_run() -> None:
    """The seed decides; the share is about what was asked for; all of the menu is used."""
    menu = (DisconnectBefore(), RespondHtml(), RetryAfter("1"))
    first, again, other = (played(RandomFaults(seed, 0.3, menu), *[START] * 400) for seed in (1, 1, 2))
    assert first == again != other
    assert 80 < sum(fault is not None for fault in first) < 160
    assert {repr(fault) for fault in first if fault is not None} == {repr(fault) for fault in menu}


def test_a_seeded_plan_keeps_to_its_routes() -> None:
    """Reads can be troubled while starts are left alone."""
    plan = RandomFaults(1, 1.0, (RespondHtml(),), route="GET *")
    assert played(plan, START, RESULTS) == [None, RespondHtml()]
