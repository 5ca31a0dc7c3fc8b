"""Reading webhook deliveries, whose layout is not documented: by many names, with bounds, and with notes."""

from __future__ import annotations

import json
import pickle
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from ochy_async import Delivery, InvalidDelivery, OchyError, Status, parse_delivery
from ochy_async.protocol.deliveries import MAX_DELIVERY_BYTES, MAX_DEPTH

JSON = {"Content-Type": "application/json"}
ID = "7d3b6f0e-0f3e-4c58-9a2e-0c1f6a1c2b3d"


def delivered(**values: Any) -> Delivery:
    """A delivery with these keys at its top."""
    return parse_delivery(json.dumps(values).encode(), JSON)


def drift_of(delivery: Delivery) -> set[str]:
    """What was noted, without the name of the class."""
    return {f"{note.path}: {note.what}" for note in delivery.drift}


# --- where values are found -----------------------------------------------------------------------------

EXPECTED = {
    "event": "analysis.started",
    "status": "pending",
    "percentage": 45,
    "sequence": 3,
    "timestamp": "2026-01-02T03:04:05Z",
}


@pytest.mark.parametrize("name", ["analysis_id", "video_id"])
def test_a_delivery_under_the_expected_names_has_no_drift(name: str) -> None:
    """The id comes under one of the names that it has elsewhere in the API, everything else under its own."""
    delivery = delivered(**{name: ID}, **EXPECTED)
    assert (delivery.analysis_id, delivery.event, delivery.status) == (ID, "analysis.started", Status.PENDING)
    assert (delivery.percentage, delivery.sequence) == (45, 3)
    assert delivery.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert delivery.drift == frozenset()


LAYOUTS: dict[str, dict[str, Any]] = {
    "plain id": {"id": ID, "event": "e", "status": "success"},
    "camel case": {"analysisId": ID, "eventType": "e", "status": "success"},
    "dashes": {"Video-ID": ID, "Event-Type": "e", "Status": "success"},
    "envelope": {"event": "e", "data": {"video_id": ID, "status": "success"}},
    "envelope with an id of its own": {"id": "evt_1", "type": "e", "data": {"id": ID, "status": "success"}},
    "object of the analysis": {"event": "e", "analysis": {"id": ID, "status": "success"}},
    "the id as the analysis": {"event": "e", "analysis": ID, "status": "success"},
    "the event as an object": {"event": {"type": "e"}, "video_id": ID, "state": "success"},
    "an unknown envelope": {"event": "e", "message": {"id": ID, "status": "success"}},
    "beside the object of a subject": {"event": "e", "analysis": ID, "subject": {"id": "s1"}, "status": "success"},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_values_are_found_at_the_top_and_one_level_down(layout: dict[str, Any]) -> None:
    """By many names and in any envelope."""
    delivery = delivered(**layout)
    assert (delivery.analysis_id, delivery.event, delivery.status) == (ID, "e", Status.SUCCESS)
    assert delivery.raw == layout


def test_values_two_levels_down_are_not_read() -> None:
    """They stay in `raw`."""
    assert delivered(data={"deeper": {"video_id": ID}}).analysis_id is None


def test_the_next_best_value_is_read_if_the_best_is_unreadable() -> None:
    """And the unreadable one is noted."""
    delivery = delivered(video_id=["x"], data={"video_id": ID})
    assert delivery.analysis_id == ID
    assert "video_id: expected a text (array)" in drift_of(delivery)


def test_an_empty_object_is_a_delivery_without_values() -> None:
    """Everything is optional; what is documented and missing is noted."""
    delivery = parse_delivery(b" {} ", {})
    values = (delivery.analysis_id, delivery.event, delivery.status, delivery.percentage, delivery.sequence)
    assert values == (None,) * 5
    assert delivery.timestamp is None
    assert "sequence: missing (null)" in drift_of(delivery)


# --- bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["", "x" * 201, "a\x00b", "a\nb", "a\u202eb", True, 1.5, [ID], "https://x.example/?sig=1"], ids=repr
)
def test_an_id_that_is_no_plain_text_is_none(value: Any) -> None:
    """It would end up in logs and in other processes. Its type is noted."""
    delivery = delivered(**EXPECTED, video_id=value)
    assert delivery.analysis_id is None
    assert len(delivery.drift) == 1


@pytest.mark.parametrize(("value", "read"), [("x" * 200, "x" * 200), (123, "123"), ("läufer 1", "läufer 1")])
def test_a_plain_id_is_read(value: Any, read: str) -> None:
    """Up to 200 printable characters, or a number."""
    assert delivered(video_id=value).analysis_id == read


@pytest.mark.parametrize("name", ["event", "status"])
@pytest.mark.parametrize("value", ["x" * 201, "a\x1b[2J", 7.5, []], ids=repr)
def test_an_event_or_status_that_is_no_plain_text_is_none(name: str, value: Any) -> None:
    """The same bounds apply to all texts."""
    delivery = delivered(**{**EXPECTED, name: value})
    assert getattr(delivery, name) is None
    assert len(delivery.drift) == 2  # it, and the missing id


@pytest.mark.parametrize(
    ("value", "read"),
    [(7, 7), (7.0, 7), ("7", 7), (-1, -1), (0, 0), (2**62, 2**62), (2**63, None), (1e300, None), (1.5, None)],
)
def test_a_sequence_is_a_bounded_whole_number(value: Any, read: int | None) -> None:
    """A huge or broken number is none."""
    assert delivered(sequence=value).sequence == read


@pytest.mark.parametrize("value", [True, None, "x", "nan", "inf", [], "٣" * 5000], ids=repr)
def test_a_number_that_is_none_is_not_read(value: Any) -> None:
    """Neither as a percentage nor as a sequence."""
    delivery = delivered(sequence=value, percentage=value)
    assert (delivery.sequence, delivery.percentage) == (None, None)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" * 5000])
def test_numbers_that_are_not_json_or_too_large_are_refused(number: str) -> None:
    """Python's own parser would take them."""
    with pytest.raises(InvalidDelivery):
        parse_delivery(f'{{"sequence": {number}}}'.encode(), JSON)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1_767_323_045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1_767_323_045_000, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1e300, None),
        (-1e18, None),
        ("yesterday", None),
        (True, None),
        ([], None),
    ],
)
def test_a_time_is_iso_8601_or_a_number(value: Any, read: datetime | None) -> None:
    """Seconds or milliseconds since 1970; anything else is none."""
    assert delivered(timestamp=value).timestamp == read


def test_the_last_of_two_equal_keys_is_read() -> None:
    """As in most parsers, and without an error."""
    delivery = parse_delivery(b'{"video_id": "a1", "video_id": "a2"}', JSON)
    assert (delivery.analysis_id, delivery.raw) == ("a2", {"video_id": "a2"})


def test_drift_is_bounded_and_holds_no_values() -> None:
    """Paths and types; a key that may be data becomes an ellipsis."""
    delivery = delivered(**{f"key{n}": "secret" for n in range(1000)}, **{"Anna Muster": "secret"})
    assert len(delivery.drift) <= 100
    assert "secret" not in str(delivery.drift)
    assert "Anna" not in str(delivered(**{"Anna Muster": 1}).drift)


def test_drift_shows_where_values_were_found() -> None:
    """So that the true layout can be reported without the content of a delivery."""
    delivery = delivered(id="evt_1", type="e", data={"id": ID, "score": 0.5})
    expected = {"id: unknown key (text)", "type: read as event (text)", "data.id: read as analysis_id (text)"}
    assert expected | {"data.score: unknown key (number)"} <= drift_of(delivery)


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}" + b" " * (MAX_DELIVERY_BYTES - 1), 413),
        (b"", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b"{", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b'{"event": "\xe9"}', 400),
        (b'{"event": "\\ud800"}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), 400),
        (b"<html></html>", 400),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, status: int) -> None:
    """The error has the HTTP status to answer with, and shows nothing of the body."""
    with pytest.raises(InvalidDelivery) as caught:
        parse_delivery(body, JSON)
    assert caught.value.status == status
    assert isinstance(caught.value, OchyError)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_the_largest_and_the_deepest_delivery_are_read() -> None:
    """The bounds themselves are permitted."""
    assert parse_delivery(b"{}" + b" " * (MAX_DELIVERY_BYTES - 2), JSON).raw == {}
    deepest = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    delivery = parse_delivery(deepest, JSON)
    assert pickle.loads(pickle.dumps(delivery)) == delivery


@pytest.mark.parametrize(
    ("declared", "accepted"),
    [
        ("application/json", True),
        ("APPLICATION/JSON; charset=utf-8", True),
        ("application/cloudevents+json", True),
        ("text/json", True),
        ("", True),
        ("text/plain", False),
        ("application/jsonx", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=application/json", False),
        ("json", False),
    ],
)
@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_a_content_type_that_is_not_json_is_refused(name: str, declared: str, accepted: bool) -> None:
    """A delivery without one is read. The name of the header may be written in any case."""
    if accepted:
        assert parse_delivery(b"{}", {"host": "x", name: declared}).raw == {}
        return
    with pytest.raises(InvalidDelivery) as caught:
        parse_delivery(b"{}", {"host": "x", name: declared})
    assert caught.value.status == 415


# --- whether there is something to see ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"status": "pending"},
        {"status": "queued", "percentage": 0},
        {"status": "RUNNING", "event": "analysis.updated"},
        {"status": "in_progress"},
        {"status": "inProgress"},
        {"status": "analyzing", "percentage": 100},
        {"event": "analysis.started"},
        {"event": "analysis.progress", "percentage": 50},
        {"event": "AnalysisMilestoneReached"},
        {"event": "analysis.updated", "status": "processing"},
        {"percentage": 99.9},
    ],
    ids=str,
)
def test_a_delivery_that_says_so_is_about_a_running_analysis(values: dict[str, Any]) -> None:
    """Status, event, or only a percentage below 100."""
    assert delivered(video_id=ID, **values).still_running


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"status": "success"},
        {"status": "failed", "percentage": 60},
        {"status": "COMPLETED", "percentage": 50},
        {"event": "analysis.completed", "percentage": 50},
        {"event": "analysis.processing_failed"},
        {"event": "analysis.progress", "status": "success"},
        {"event": "analysis.updated", "percentage": 50},
        {"status": "unheard_of", "percentage": 50},
        {"event": "webhook.test"},
        {"percentage": 100},
        {"percentage": 140},
    ],
    ids=str,
)
def test_any_other_delivery_may_be_about_an_end(values: dict[str, Any]) -> None:
    """What is not recognized is worth a poll."""
    assert not delivered(video_id=ID, **values).still_running


@pytest.mark.parametrize("word", ["pending", "queued", "analyzing", "running", "success", "failed", "failure"])
def test_words_of_the_vendor_are_no_drift(word: str) -> None:
    """A status as the API or the guide on webhooks names it; any other word is noted."""
    assert not [each for each in delivered(video_id=ID, status=word).drift if each.path == "status"]
    assert [each for each in delivered(video_id=ID, status=f"{word}x").drift if each.path == "status"]


# --- health data, and copies ----------------------------------------------------------------------------------


def test_repr_and_print_show_no_results() -> None:
    """Whatever else a delivery holds stays in `raw`, whose repr shows keys and types only."""
    delivery = delivered(**EXPECTED, video_id=ID, total_score=0.4321, results={"name": "Anna Muster"})
    for shown in (repr(delivery), str(delivery), repr(delivery.raw), str(delivery.drift)):
        assert "0.4321" not in shown
        assert "Anna" not in shown
    assert ID in repr(delivery)
    assert str(delivery).splitlines() == [
        f"delivery: analysis.started, analysis {ID}",
        "  status pending, 45 %",
        "  sequence 3, sent 2026-01-02 03:04 UTC",
    ]
    assert str(Delivery()).splitlines()[2] == "  sequence –, sent –"


def test_a_pickled_delivery_has_no_links() -> None:
    """As with results: the JSON may hold signed links."""
    delivery = delivered(video_id=ID, output_video="https://storage.example/v.mp4?X-Amz-Signature=abc")
    copy = pickle.loads(pickle.dumps(delivery))
    assert copy == delivery
    assert "output_video" not in copy.raw


# --- rubbish ----------------------------------------------------------------------------------------------

FUZZED = 40_000
KEYS = [
    *("analysis_id", "video_id", "id", "event", "type", "status", "state", "percentage", "progress", "sequence"),
    *("timestamp", "created", "data", "analysis", "payload", "subject", "x", "", "\u202e", "a.b"),
]
LEAVES: list[Any] = [
    *(None, True, False, 0, -1, 45, 100, 2**53, 2**63, 2**64, -(2**63), 1e308, 5e-324, 1.5, "", "a1", "success"),
    *("pending", "analysis.started", "2026-01-01T00:00:00Z", "2026-13-01", "nan", "1e400", "x" * 300, "\u0000", "😀"),
    *("٣", "https://x.example/?token=1", "\\u002f", "9" * 400, [], [[]], [{}], {}),
]
PIECES = [b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\u", b"\xff", b"\x00", b"1e", b"NaN", b'"id"', b'{"a":' * 400]
HEADERS = [*([{}, JSON, {"content-type": "application/json; charset=latin-1"}] * 7), {"content-type": "text/plain"}]


def _value(rng: random.Random, depth: int = 0) -> Any:
    if depth < 3 and rng.random() < 0.4:
        if rng.random() < 0.3:
            return [_value(rng, depth + 1) for _ in range(rng.randrange(3))]
        return {rng.choice(KEYS): _value(rng, depth + 1) for _ in range(rng.randrange(6))}
    return rng.choice(LEAVES)


def _body(rng: random.Random) -> bytes:
    """An object of likely keys and odd values, sometimes damaged, or no JSON at all."""
    kind = rng.random()
    if kind < 0.03:
        return b"".join(rng.choices(PIECES, k=rng.randrange(1, 8)))
    body = json.dumps({rng.choice(KEYS): _value(rng) for _ in range(rng.randrange(8))}).encode()
    if kind < 0.1:
        at = rng.randrange(len(body))
        body = body[:at] + rng.choice([b"", *PIECES]) + body[at + rng.randrange(3) :]
    return body


def test_whatever_is_sent_gives_a_delivery_or_that_one_error() -> None:
    """Forty thousand bodies give nothing but bounded values with a short `repr`, or the error."""
    rng, read = random.Random(13), 0
    for _ in range(FUZZED):
        delivery = _read(_body(rng), rng.choice(HEADERS))
        if delivery is not None:
            read += 1
            _assert_bounded(delivery)
    assert read > FUZZED / 2


def _read(body: bytes, headers: dict[str, str]) -> Delivery | None:
    try:
        return parse_delivery(body, headers)
    except InvalidDelivery:
        return None


def _assert_bounded(delivery: Delivery) -> None:
    for text in (delivery.analysis_id, delivery.event, delivery.status):
        assert text is None or (0 < len(text) <= 200 and text.isprintable())
    assert delivery.sequence is None or abs(delivery.sequence) < 2**63
    assert delivery.timestamp is None or delivery.timestamp.tzinfo is not None
    assert delivery.still_running in (True, False)
    assert len(repr(delivery)) < 1000
