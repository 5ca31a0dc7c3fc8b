"""What is known of an answer: the event of each response, and `ping`."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ochy_async import Limits, OchySession, Retry, SideView
from ochy_async.emulator import (
    Delay,
    DisconnectBefore,
    Emulator,
    FaultPlan,
    FaultRule,
    ReplaceBody,
    Respond,
    RespondHtml,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    DeadlinePassed,
    InvalidSettings,
    KeyRefused,
    NotFound,
    OchyError,
    ServerError,
    TryLater,
    UncertainStart,
    UnreadableAnswer,
)
from ochy_async.events import AnalysisStarted, Event, ResponseLog, ResponseReceived, Retried
from ochy_async.protocol.headers import PUBLIC_HEADERS, public_headers
from tests.conftest import CLIP, Recorded, direct_session, real_session, world
from tests.support.canary import API_KEY

START = "POST /analysis/start"
HEADERS = {
    "content-type": "application/json",
    "X-Request-Id": "req-1",
    "Set-Cookie": "session=secret",
    "Location": "https://elsewhere.example/?token=secret",
    "X-Anything": "else",
}


# --- the event ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_each_answer_is_an_event(emulator: Emulator) -> None:
    """It has the route, the status, the allowed headers, the attempt, the seconds and the id of the analysis."""
    log = ResponseLog()
    async with real_session(emulator, on_event=log) as ochy:
        started = await ochy.start(CLIP, SideView())
        await ochy.status(started)
        with pytest.raises(NotFound):
            await ochy.get_subject("nobody")
    first, second, third = log
    assert (first.route, first.status, first.analysis_id) == (START, 202, None)
    assert second.route == "GET /analysis/{analysis_id}/results"
    assert second.analysis_id == started.analysis_id
    assert (third.route, third.status, third.attempt) == ("GET /subjects/{subject_id}", 404, 1)
    assert all(0 < each.seconds < 5 for each in log)
    assert all(each.headers["content-type"].startswith("application/json") and each.headers["date"] for each in log)


@pytest.mark.anyio
async def test_only_listed_headers_are_kept() -> None:
    """The id of a request is kept; cookies, locations and everything else are not."""
    faults = FaultPlan([FaultRule("GET /webhook", ReplaceBody(b"{}", HEADERS))])
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        log = ResponseLog()
        await ochy.with_options(on_event=log).get_webhook()
    assert log.last is not None
    assert log.last.headers["x-request-id"] == "req-1"
    assert log.last.headers.keys() <= {"content-type", "date", "x-request-id"}
    assert "secret" not in repr(log.last)


@pytest.mark.anyio
@pytest.mark.parametrize("echo", [API_KEY, f"trace={API_KEY};a", "".join(f"%{ord(letter):02X}" for letter in API_KEY)])
async def test_a_key_that_a_header_repeats_is_masked(echo: str) -> None:
    """Whatever encoding a server or a proxy uses for it."""
    faults = FaultPlan([FaultRule("GET /webhook", ReplaceBody(b"{}", {"x-request-id": echo}))])
    log = ResponseLog()
    async with Emulator(world(), faults) as emulator, real_session(emulator, on_event=log) as ochy:
        await ochy.get_webhook()
    assert log.last is not None
    assert "[key]" in log.last.headers["x-request-id"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("abc-1", "abc-1"),
        ("a\x1b[31m\r\nb", "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"),
        ("a\udcffb", "a\N{REPLACEMENT CHARACTER}b"),
        ("x" * 5000, "x" * 199 + "…"),
        ("", "–"),
    ],
    ids=["plain", "control", "not text", "long", "empty"],
)
def test_the_value_of_a_header_is_one_short_line(value: str, shown: str) -> None:
    """It can be printed to any terminal."""
    assert public_headers({"x-request-id": value, "set-cookie": "a"}) == {"x-request-id": shown}


def test_the_listed_headers_are_in_lower_case_and_hold_no_secret_ones() -> None:
    """They are looked up by lower-case name."""
    assert [name.lower() for name in PUBLIC_HEADERS] == list(PUBLIC_HEADERS)
    assert not {"set-cookie", "location", "authorization", "www-authenticate", "link"} & set(PUBLIC_HEADERS)


def test_each_attempt_has_its_own_event() -> None:
    """Retries are numbered; an attempt without an answer has no event."""

    async def scenario() -> None:
        events: list[Event] = []
        rules = [FaultRule("GET /webhook", Respond(503), 1), FaultRule("GET /webhook", DisconnectBefore(), 2)]
        async with direct_session(faults=FaultPlan(rules), on_event=events.append) as ochy:
            await ochy.get_webhook()
        kinds = [type(event) for event in events]
        assert kinds == [ResponseReceived, Retried, Retried, ResponseReceived]
        answers = [event for event in events if isinstance(event, ResponseReceived)]
        assert [(each.status, each.attempt) for each in answers] == [(503, 1), (200, 3)]
        assert answers[0].seconds == pytest.approx(0.05)

    in_virtual_time(scenario())


def test_the_answer_to_a_start_is_reported_after_its_id_is_stored() -> None:
    """So a listener that is interrupted by it cannot lose a paid analysis."""

    async def scenario() -> None:
        events: list[Event] = []
        async with direct_session(on_event=events.append) as ochy:
            await ochy.start(CLIP, SideView())
        kinds = [type(event) for event in events if isinstance(event, AnalysisStarted | ResponseReceived)]
        assert kinds == [AnalysisStarted, ResponseReceived]

    in_virtual_time(scenario())


@pytest.mark.parametrize("status", [202, 402, 500])
def test_a_listener_that_is_interrupted_by_the_answer_loses_nothing(status: int) -> None:
    """Ctrl-C in a listener: what was charged is known or uncertain, and a refusal stays a refusal."""
    events: list[Event] = []

    def listener(event: Event) -> None:
        events.append(event)
        if isinstance(event, ResponseReceived):
            raise KeyboardInterrupt

    async def scenario() -> None:
        faults = None if status == 202 else FaultPlan([FaultRule(START, Respond(status))])
        async with direct_session(faults=faults, on_event=listener) as ochy:
            with pytest.raises(KeyboardInterrupt):
                await ochy.start(CLIP, SideView())

    in_virtual_time(scenario())
    names = [type(event).__name__ for event in events]
    expected = {202: ("AnalysisStarted", 1), 402: ("StartUncertain", 0), 500: ("StartUncertain", 1)}
    name, count = expected[status]
    assert names.count(name) == count
    assert names[-1] == "ResponseReceived"


def test_a_log_keeps_the_answers_of_one_call() -> None:
    """Not those of other calls of the session at the same time; also if the call raises; it passes events on."""

    async def scenario() -> None:
        others, all_events = list[Event](), list[Event]()
        faults = FaultPlan([FaultRule("GET /subjects", Respond(503), times=9)])
        async with direct_session(faults=faults, on_event=others.append, retry=Retry(attempts=2)) as ochy:
            log = ResponseLog(all_events.append)
            assert log.last is None
            with pytest.raises(ServerError):
                await ochy.with_options(on_event=log).list_subjects()
            await ochy.get_webhook()
        assert [(each.status, each.attempt) for each in log] == [(503, 1), (503, 2)]
        assert len(log) == 2
        assert [type(event) for event in all_events] == [ResponseReceived, Retried, ResponseReceived]
        assert [type(event) for event in others] == [ResponseReceived]

    in_virtual_time(scenario())


def test_a_log_is_bounded() -> None:
    """It keeps the last thousand answers."""
    log = ResponseLog()
    for attempt in range(1500):
        log(ResponseReceived("GET /webhook", 200, {}, attempt, 0.1))
    assert len(log) == 1000
    assert log.last is not None
    assert log.last.attempt == 1499


# --- ping ---------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_ping_returns_the_seconds_of_the_answer(emulator: Emulator, ochy: OchySession) -> None:
    """It is free."""
    assert 0 < await ochy.ping() < 5
    assert len(emulator.service.ledger) == 0


PINGS: list[tuple[str, Any, type[OchyError]]] = [
    ("a key that is refused", Respond(403, b'{"detail": "Invalid API Key"}'), KeyRefused),
    ("a server that fails", Respond(503), TryLater),
    ("a server that is silent", Delay(60), DeadlinePassed),
    ("no connection", DisconnectBefore(), TryLater),
    ("another program", RespondHtml(200), UnreadableAnswer),
]


@pytest.mark.parametrize(("fault", "error"), [each[1:] for each in PINGS], ids=[each[0] for each in PINGS])
def test_a_ping_raises_what_is_wrong(fault: Any, error: type[OchyError]) -> None:
    """Within five seconds."""

    async def scenario() -> None:
        async with direct_session(faults=FaultPlan([FaultRule("*", fault, times=100)])) as ochy:
            begun = anyio.current_time()
            with pytest.raises(error):
                await ochy.ping()
            assert anyio.current_time() - begun <= 5

    in_virtual_time(scenario())


def test_a_ping_survives_one_lost_connection() -> None:
    """A server may close an idle connection at any moment, which does not mean that it is down."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("*", DisconnectBefore())]))
        async with direct_session(faults=faults) as ochy:
            assert await ochy.ping() > 0
        assert faults.routes == ["GET /webhook"] * 2

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_a_ping_needs_an_open_session() -> None:
    """As every call does."""
    with pytest.raises(InvalidSettings, match="not open"):
        await OchySession().ping()


@pytest.mark.anyio
async def test_a_large_answer_has_no_event_of_its_own() -> None:
    """An answer that cannot be read completely is an error, not a response."""
    log = ResponseLog()
    faults = FaultPlan([FaultRule(START, ReplaceBody(b" " * 5000))])
    async with (
        Emulator(world(), faults) as emulator,
        real_session(emulator, on_event=log, limits=Limits(answer_bytes=1000)) as ochy,
    ):
        with pytest.raises(UncertainStart):
            await ochy.start(CLIP, SideView())
    assert len(log) == 0
