"""Faults and plans as values: what happens to which request."""

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
    ("fault", "reaches", "read", "responds"),
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
def test_the_effect_of_each_fault(fault: Fault, reaches: bool, read: int | None, responds: bool) -> None:
    """Whether the service sees the request, how much of it is read, and whether there is a response."""
    effect = fault.effect()
    assert (effect.reaches_service, effect.read_limit, effect.response is not None) == (reaches, read, responds)


def test_the_default_effect_changes_nothing() -> None:
    """And it waits for nothing."""
    effect = FaultEffect()
    assert effect.response is not None
    assert effect.response(OWN) is OWN
    assert (effect.connects, effect.reaches_service, effect.read_limit, effect.sent_limit) == (True, True, None, None)
    assert effect.wait_before == effect.wait_after == 0


def response_of(fault: Fault) -> ServiceResponse:
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
def test_a_fault_rewrites_the_response(fault: Fault, answer: ServiceResponse) -> None:
    """Status, headers by lower-case name, and body."""
    assert response_of(fault) == answer


def test_a_proxys_error_page_is_html() -> None:
    """It has no JSON."""
    answer = response_of(RespondHtml(504))
    assert (answer.status, answer.headers["content-type"]) == (504, "text/html")
    assert answer.body.startswith(b"<html>")


def test_a_delay_is_before_or_after_the_service() -> None:
    """A client that gives up is charged only if the delay is after it."""
    assert (Delay(5).effect().wait_before, Delay(5).effect().wait_after) == (5, 0)
    assert (Delay(5, after=True).effect().wait_before, Delay(5, after=True).effect().wait_after) == (0, 5)


def test_a_throttle_has_a_direction() -> None:
    """Either the response is sent slowly or the upload is read slowly."""
    assert (Throttle(9).effect().response_rate, Throttle(9).effect().upload_rate) == (9, None)
    assert (
        Throttle(9, direction="upload").effect().response_rate,
        Throttle(9, direction="upload").effect().upload_rate,
    ) == (
        None,
        9,
    )


def test_a_gzip_bomb_is_small_until_it_is_decompressed() -> None:
    """A thousandth of its size is sent."""
    answer = response_of(gzip_bomb(20_000_000))
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
def test_faults_out_of_bounds_are_an_error(make: Any) -> None:
    """Numbers are validated when the fault is made."""
    with pytest.raises(ValueError, match=r".+"):
        make()


def faults_of(plan: FaultPlan | RandomFaults, *routes: str) -> list[Fault | None]:
    return [plan.fault_for(route, 1 + routes[:index].count(route)) for index, route in enumerate(routes)]


def test_a_plan_is_used_up_rule_by_rule() -> None:
    """Two rules for one route apply to the first and the second request; the third has no fault."""
    plan = FaultPlan([FaultRule(START, DisconnectBefore()), FaultRule(START, DisconnectAfter())])
    assert faults_of(plan, START, START, START) == [DisconnectBefore(), DisconnectAfter(), None]
    assert plan.remaining == ()


def test_a_rule_can_apply_to_the_nth_request() -> None:
    """`occurrence` counts the matching requests, including those that meet another rule."""
    plan = FaultPlan([FaultRule(START, DisconnectBefore()), FaultRule(RESULTS, RespondHtml(), occurrence=2)])
    assert faults_of(plan, RESULTS, START, RESULTS, RESULTS) == [None, DisconnectBefore(), RespondHtml(), None]


def test_a_rule_can_apply_to_several_requests() -> None:
    """`times` successive requests, from the first or the n-th."""
    assert faults_of(FaultPlan([FaultRule(START, RespondHtml(), times=2)]), START, START, START) == [
        RespondHtml(),
        RespondHtml(),
        None,
    ]
    late = FaultPlan([FaultRule(START, RespondHtml(), occurrence=2, times=2)])
    assert faults_of(late, START, START, START, START) == [None, RespondHtml(), RespondHtml(), None]


def test_a_route_can_be_a_pattern() -> None:
    """Patterns are those of file names; braces of templates are literal."""
    assert faults_of(FaultPlan([FaultRule("GET *", RespondHtml())]), START, RESULTS) == [None, RespondHtml()]
    assert faults_of(FaultPlan([FaultRule(RESULTS, RespondHtml())]), RESULTS) == [RespondHtml()]


def test_a_plan_knows_its_remaining_rules() -> None:
    """A test can assert that every planned fault has happened."""
    rule = FaultRule(START, RespondHtml())
    plan = FaultPlan([rule])
    assert faults_of(plan, RESULTS) == [None]
    assert plan.remaining == (rule,)


def test_random_faults_are_the_same_in_every_run() -> None:
    """They depend on the seed, have about the requested rate, and use every given fault."""
    choices = (DisconnectBefore(), RespondHtml(), RetryAfter("1"))
    first, again, other = (faults_of(RandomFaults(seed, 0.3, choices), *[START] * 400) for seed in (1, 1, 2))
    assert first == again != other
    assert 80 < sum(fault is not None for fault in first) < 160
    assert {repr(fault) for fault in first if fault is not None} == {repr(fault) for fault in choices}


def test_random_faults_can_be_limited_to_routes() -> None:
    """Reads meet faults while starts do not."""
    plan = RandomFaults(1, 1.0, (RespondHtml(),), route="GET *")
    assert faults_of(plan, START, RESULTS) == [None, RespondHtml()]
