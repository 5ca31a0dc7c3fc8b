"""Every event can be logged with fields, and none of them says anything about a runner."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from ochy_async import SideView
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import Finding, StartAttempt
from ochy_async.event_log import LEVELS, log_events
from ochy_async.events import (
    AnalysisProgress,
    AnalysisStarted,
    BytesSent,
    ClipFlagged,
    DeliveryReceived,
    DriftDetected,
    Event,
    ResponseReceived,
    Retried,
    StartUncertain,
    SubjectCreated,
)
from ochy_async.protocol.drift import DriftNote
from tests.conftest import CLIP, direct_session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPT = StartAttempt("run.mp4", "side_view", NOW, NOW, subject_id="runner-7")


def logged(event: Event, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The record of one event."""
    caplog.set_level(logging.DEBUG)
    log_events(logging.getLogger("app"))(event)
    (record,) = [each for each in caplog.records if each.name == "app"]
    return record


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the listener gave to a record."""
    return {name: value for name, value in vars(record).items() if name.startswith("ochy_")}


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_has_a_level(kind: type[Event]) -> None:
    """A new event needs a level of its own."""
    assert kind in LEVELS


EVENTS: list[tuple[Event, str, str, dict[str, Any]]] = [
    (
        AnalysisStarted("run.mp4", "a1"),
        "INFO",
        "analysis started clip=run.mp4 analysis_id=a1",
        {"clip": "run.mp4", "analysis_id": "a1"},
    ),
    (BytesSent("run.mp4", 5, 10), "DEBUG", "bytes sent clip=run.mp4 sent=5 total=10", {"sent": 5, "total": 10}),
    (
        AnalysisProgress("a1", "pending", None),
        "DEBUG",
        "analysis progress analysis_id=a1 status=pending",
        {"percentage": None, "status": "pending"},
    ),
    (
        ClipFlagged("run.mp4", (Finding("clip", "is square", code="square", severity="warning"),)),
        "WARNING",
        "clip flagged clip=run.mp4 findings=['square']",
        {"findings": ["square"]},
    ),
    (
        StartUncertain("run.mp4", ATTEMPT, "The connection broke."),
        "WARNING",
        "start uncertain clip=run.mp4 start=side_view reason=The connection broke.",
        {"start": "side_view", "reason": "The connection broke."},
    ),
    (DriftDetected(DriftNote("A", "b", "unknown key")), "WARNING", "drift detected note=A: b: unknown key", {}),
    (
        Retried("GET /x", 1, 0.5, "ServerError"),
        "INFO",
        "retried route=GET /x attempt=1 delay=0.5 reason=ServerError",
        {},
    ),
    (SubjectCreated("run.mp4", "runner-7"), "INFO", "subject created clip=run.mp4", {"clip": "run.mp4"}),
    (
        ResponseReceived("GET /webhook", 200, {"x-request-id": "r1"}, 1, 0.5),
        "DEBUG",
        "response received route=GET /webhook status=200 headers={'x-request-id': 'r1'} attempt=1 seconds=0.5",
        {"headers": {"x-request-id": "r1"}, "seconds": 0.5},
    ),
    (DeliveryReceived(http_status=413), "DEBUG", "delivery received http_status=413", {"http_status": 413}),
]


@pytest.mark.parametrize(
    ("event", "level", "message", "values"), EVENTS, ids=[type(each[0]).__name__ for each in EVENTS]
)
def test_an_event_is_logged_with_its_fields(
    event: Event, level: str, message: str, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The message is for people, the fields are for programs; a subject is in neither."""
    record = logged(event, caplog)
    assert (record.levelname, record.getMessage()) == (level, message)
    found = fields(record)
    assert found["ochy_event_name"] == type(event).__name__
    assert {name: found[f"ochy_{name}"] for name in values} == values
    assert "runner-7" not in repr(vars(record))


def test_texts_are_cleaned(caplog: pytest.LogCaptureFixture) -> None:
    """A name cannot forge a second line, and a link in it is masked."""
    record = logged(AnalysisStarted("a\nERROR b https://h/x?sig=1", "a1"), caplog)
    assert "\n" not in record.getMessage()
    assert "sig=1" not in repr(vars(record))


def test_a_record_is_not_made_where_the_level_is_off(caplog: pytest.LogCaptureFixture) -> None:
    """The logger's level decides."""
    caplog.set_level(logging.INFO)
    log_events(logging.getLogger("app"))(BytesSent("run.mp4", 5, 10))
    assert not [each for each in caplog.records if each.name == "app"]


def test_a_session_logs_an_analysis(caplog: pytest.LogCaptureFixture) -> None:
    """The listener serves as `on_event`."""

    async def scenario() -> None:
        async with direct_session(on_event=log_events(logging.getLogger("app"))) as ochy:
            await ochy.analyze(CLIP, SideView())

    caplog.set_level(logging.INFO, "app")
    in_virtual_time(scenario())
    assert [fields(each)["ochy_event_name"] for each in caplog.records if each.name == "app"] == ["AnalysisStarted"]
