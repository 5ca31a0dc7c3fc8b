"""Which error an answer means: one class from status, code and route, and a text that is fit to be shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async.errors import (
    BuyCredits,
    ClipRefused,
    KeyRefused,
    NotFound,
    NotReady,
    OchyError,
    RateLimited,
    RequestRefused,
    ServerError,
    UnreadableAnswer,
)
from ochy_async.protocol.error_mapping import error_of, vendor_text
from ochy_async.protocol.routes import CALCULATED_DATA, GET_SUBJECT, LIST_SUBJECTS, RAW_DATA, RESULTS, START, Route
from ochy_async.protocol.wire import Response


def error_for(route: Route, status: int, body: Any = None) -> OchyError:
    """The error that an answer means; the body is JSON, or bytes."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_of(route, Response(status, {}, sent), "a1")


DOCUMENTED: list[tuple[Route, int, str | None, str, type[OchyError], str]] = [
    (LIST_SUBJECTS, 401, None, "API Key is missing", KeyRefused, "OCHY_API_KEY"),
    (LIST_SUBJECTS, 403, None, "Invalid API Key", KeyRefused, "OCHY_API_KEY"),
    (START, 403, None, "Invalid API Key", KeyRefused, "OCHY_API_KEY"),
    (START, 402, "insufficient_credits", "Insufficient credits to perform analysis", BuyCredits, "Buy credits"),
    (START, 402, None, "Insufficient credits to perform analysis", BuyCredits, "Buy credits"),
    (START, 413, "file_too_large", "too large", ClipRefused, "30 MB"),
    (START, 413, None, "too large", ClipRefused, "30 MB"),
    (START, 400, "invalid_file_type", "bad type", ClipRefused, "MP4, MOV, AVI or WEBM"),
    (START, 400, None, "Video longer than 10 s", ClipRefused, "10 s"),
    (CALCULATED_DATA, 400, None, "not ready", NotReady, "Wait for it"),
    (RAW_DATA, 400, None, "not ready", NotReady, "Wait for it"),
    (RESULTS, 404, None, "not found", NotFound, "Check the id"),
    (GET_SUBJECT, 404, None, "not found", NotFound, "deleted subject"),
]


@pytest.mark.parametrize(("route", "status", "code", "detail", "error", "advice"), DOCUMENTED)
def test_every_documented_refusal_has_its_class(
    route: Route, status: int, code: str | None, detail: str, error: type[OchyError], advice: str
) -> None:
    """The class says what can be done, the text says so in words, and the attributes hold the facts."""
    found = error_for(route, status, {"detail": detail} | ({"code": code} if code else {}))
    assert type(found) is error
    assert (found.status, found.code, found.detail) == (status, code, detail)
    assert (found.route, found.analysis_id) == (str(route), "a1")
    assert detail in str(found)
    assert advice in str(found)


@pytest.mark.parametrize(
    ("route", "status", "body", "error"),
    [
        (RESULTS, 400, {"detail": "no"}, RequestRefused),
        (LIST_SUBJECTS, 405, {"detail": "no"}, RequestRefused),
        (LIST_SUBJECTS, 409, {}, RequestRefused),
        (LIST_SUBJECTS, 422, {"detail": []}, RequestRefused),
        (LIST_SUBJECTS, 429, {}, RateLimited),
        (LIST_SUBJECTS, 408, {}, ServerError),
        (LIST_SUBJECTS, 500, {}, ServerError),
        (LIST_SUBJECTS, 502, b"<html>Bad Gateway</html>", ServerError),
        (LIST_SUBJECTS, 503, b"", ServerError),
        (LIST_SUBJECTS, 599, None, ServerError),
        (LIST_SUBJECTS, 403, b"<html>Forbidden</html>", KeyRefused),
        (LIST_SUBJECTS, 301, b"", UnreadableAnswer),
        (LIST_SUBJECTS, 307, {"detail": "moved"}, UnreadableAnswer),
        (LIST_SUBJECTS, 304, b"", UnreadableAnswer),
        (LIST_SUBJECTS, 199, b"", UnreadableAnswer),
        (LIST_SUBJECTS, 999, b"", UnreadableAnswer),
        (RESULTS, 422, {"code": "insufficient_credits"}, BuyCredits),
        (START, 422, {"code": "file_too_large"}, ClipRefused),
        (START, 500, {"code": "insufficient_credits"}, ServerError),
        (START, 413, b"<html>413 Request Entity Too Large</html>", ClipRefused),
        (START, 400, {"code": 7, "detail": {"a": 1}}, ClipRefused),
        (START, 404, {"detail": "subject not found"}, NotFound),
    ],
)
def test_every_other_answer_has_a_class_too(route: Route, status: int, body: Any, error: type[OchyError]) -> None:
    """A code goes before a status, a 5xx is never the fault of the request, and a redirect is never followed."""
    assert type(error_for(route, status, body)) is error


def test_a_redirect_says_why_it_is_not_followed() -> None:
    """Every URL holds the key, so a redirect would send it to another server."""
    found = error_for(LIST_SUBJECTS, 302, b"")
    assert "never followed" in str(found)
    assert "Check the base URL" in str(found)


def test_an_html_page_is_described_by_type_and_size() -> None:
    """The page of a proxy may echo anything."""
    found = error_for(LIST_SUBJECTS, 302, b"<!DOCTYPE html><p>secret</p>")
    assert isinstance(found, UnreadableAnswer)
    assert found.excerpt == "HTML, 28 bytes"
    assert "secret" not in str(found)


@pytest.mark.parametrize("name", ["video_id", "analysis_id", "id"])
def test_the_id_in_a_refusal_is_used(name: str) -> None:
    """A refusal that names an analysis concerns that one, unless the call knows its id."""
    body = json.dumps({"detail": "no", name: "a7"}).encode()
    assert error_of(START, Response(400, {}, body)).analysis_id == "a7"
    assert error_of(START, Response(400, {}, body), "a1").analysis_id == "a1"


# --- the vendor's text -------------------------------------------------------------------------------


def test_a_validation_answer_is_shown_without_its_input() -> None:
    """Locations and messages are shown, and the values that were sent are not."""
    detail = [
        {"loc": ["body", "height"], "msg": "Input should be a number", "input": "SENTVALUE", "ctx": {"x": "SENTVALUE"}},
        {"loc": ["body", "Ada L."], "msg": "Field required"},
        {"loc": "body", "msg": "Bad"},
        {"msg": 7},
        "SENTVALUE",
        None,
    ]
    found = error_for(LIST_SUBJECTS, 422, {"detail": detail})
    assert found.detail == "body.height: Input should be a number; body.…: Field required; Bad"
    assert "SENTVALUE" not in str(found) + repr(vars(found))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://partner.example/x?apiKey=K1 now", "see [link] now"),
        ("GET http://h/?apiKey=K1", "GET [link]"),
        ("s3://bucket/a.mp4 is gone", "[link] is gone"),
        ("query apiKey=K1&x=2 is wrong", "query [link] is wrong"),
        ("?APIKEY=K1", "[link]"),
        ("token=K1", "[link]"),
        ("X-Amz-Signature=K1", "[link]"),
        ("ada@example.com is taken", "[address] is taken"),
        ("<ada@example.com>", "[address]"),
        ("two\nlines\r\n  and\ttabs", "two lines and tabs"),
        ("  ", None),
        ("", None),
        (None, None),
        (7, None),
        ({"msg": "x"}, None),
        ([], None),
        ([{"input": "x"}], None),
    ],
)
def test_the_vendors_text_is_masked(said: Any, shown: str | None) -> None:
    """Links, keys and addresses are masked, line breaks are removed, and a value that is no text is dropped."""
    assert vendor_text(said) == shown


def test_a_long_text_is_cut() -> None:
    """A log line stays short."""
    shown = vendor_text("word " * 10_000)
    assert shown is not None
    assert len(shown) <= 201
    assert shown.endswith("…")


@given(st.text(), st.sampled_from(["apiKey=K1K1K1", "https://h.example/K1K1K1", "K1K1K1@example.com"]), st.text())
@settings(max_examples=100, deadline=None)
def test_a_secret_is_masked_at_any_position(before: str, secret: str, after: str) -> None:
    """Whatever surrounds it, no key, link or address is shown."""
    said = f"{before.replace('K1', '')} {secret} {after.replace('K1', '')}"
    assert "K1K1K1" not in (vendor_text(said) or "")


@pytest.mark.parametrize("detail", [["x"] * 5_000, [{"msg": "m" * 5_000}] * 50, "x" * 10**6, {"a": {"b": 1}}])
def test_the_text_of_an_error_is_bounded(detail: Any) -> None:
    """Its length does not depend on the answer."""
    assert len(str(error_for(LIST_SUBJECTS, 422, {"detail": detail, "code": "c" * 10_000}))) < 600
