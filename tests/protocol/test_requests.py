"""Requests are validated when they are created, and sent in the vendor's spelling."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import BackView, SideView, Started
from ochy_async.errors import InvalidRequest
from ochy_async.protocol.call import custom_call
from ochy_async.protocol.exercises import exercises_call
from ochy_async.protocol.routes import ROUTES, Route
from ochy_async.protocol.subjects import create_subject_call, delete_subject_call, update_subject_call
from ochy_async.protocol.webhooks import configure_webhook_call, get_webhook_call

VIEWS: list[Callable[..., Any]] = [SideView, BackView]
NO_NUMBERS = [float("nan"), float("inf"), float("-inf"), True, False, "1.7", None, 10**400, [1.7]]


def problems_of(make: Callable[[], object]) -> dict[str, str]:
    """The problems of an invalid request: message by field."""
    with pytest.raises(InvalidRequest) as caught:
        make()
    return {problem.field: problem.message for problem in caught.value.problems}


# --- valid and invalid requests ------------------------------------------------------------------


def test_all_problems_are_reported_at_once() -> None:
    """They are in `problems` and in the text."""
    with pytest.raises(InvalidRequest) as caught:
        BackView(
            height=175,
            weight=0,
            pace="5:3",
            language="nl",
            subject_id=" ",
            treadmill=1,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            notify_via_webhook="no",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            full_body=None,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        )
    wrong = {"height", "weight", "pace", "language", "subject_id", "treadmill", "notify_via_webhook", "full_body"}
    assert {problem.field for problem in caught.value.problems} == wrong
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    assert "nothing was sent or charged" in str(caught.value)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("height", 175, "divide it by 100"),
        ("height", 50, "divide it by 100"),
        ("height", 280.0, "divide it by 100"),
        ("height", 0.49, "between 0.5 and 2.8 meters"),
        ("height", 2.81, "between 0.5 and 2.8 meters"),
        ("height", 1750, "between 0.5 and 2.8 meters"),
        ("height", -1.7, "between 0.5 and 2.8 meters"),
        ("weight", 68_000, "divide it by 1000"),
        ("weight", 9.9, "between 10.0 and 400.0 kilograms"),
        ("weight", 401, "between 10.0 and 400.0 kilograms"),
    ],
)
def test_a_wrong_unit_is_refused_with_a_hint(view: Callable[..., Any], field: str, value: float, hint: str) -> None:
    """The server would accept and misread centimeters and grams."""
    assert hint in problems_of(lambda: view(**{field: value}))[field]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:8])
def test_only_a_finite_number_is_a_height_or_a_weight(value: Any) -> None:
    """NaN, infinity, booleans, texts and numbers beyond a float are refused."""
    assert problems_of(lambda: SideView(height=value, weight=value)).keys() == {"height", "weight"}


@given(height=st.floats(0.5, 2.8), weight=st.floats(10, 400))
@settings(max_examples=25, deadline=None)
def test_every_plausible_runner_is_sent_exactly(height: float, weight: float) -> None:
    """A height in meters and a weight in kilograms are sent without losing a digit."""
    fields = dict(SideView(height=height, weight=weight).fields())
    assert (float(fields["height"]), float(fields["weight"])) == (height, weight)


@pytest.mark.parametrize(
    "pace",
    [
        "5:3",
        "5:60",
        "05:60",
        "0a:30",
        "00:00",
        "05:30 ",
        "05:30\n",
        "005:30",
        "05.30",
        "",
        "٠٥:30",  # Arabic digits
        "05:3٠",
        330,
        timedelta(0),
        timedelta(milliseconds=499),
        timedelta(seconds=-330),
        timedelta(minutes=100),
    ],
    ids=repr,
)
def test_a_pace_is_two_digits_twice(pace: Any) -> None:
    """A pace that is not `MM:SS` with seconds below 60, or is zero, is refused."""
    assert "'MM:SS'" in problems_of(lambda: SideView(pace=pace))["pace"]


@pytest.mark.parametrize(
    ("pace", "sent"),
    [
        ("05:30", "05:30"),
        ("5:30", "05:30"),
        ("00:01", "00:01"),
        ("99:59", "99:59"),
        (timedelta(minutes=5, seconds=30), "05:30"),
        (timedelta(seconds=329.6), "05:30"),
        (timedelta(seconds=59.7), "01:00"),
    ],
)
def test_a_pace_is_a_text_or_a_time(pace: str | timedelta, sent: str) -> None:
    """A `timedelta` per kilometer is rounded to the second and sent as `MM:SS`."""
    assert dict(SideView(pace=pace).fields())["pace"] == sent


def test_a_treadmill_needs_a_pace() -> None:
    """On a treadmill the server cannot see the speed of the belt."""
    assert "required on a treadmill" in problems_of(lambda: SideView(treadmill=True))["pace"]
    assert SideView(treadmill=True, pace="05:30").treadmill


@pytest.mark.parametrize("language", ["en", "fr", "de", "zh", "ko", "pt", "es", "it", "ja"])
def test_every_documented_language_is_accepted(language: str) -> None:
    """The nine documented languages are sent unchanged."""
    assert ("language", language) in SideView(language=language).fields()


@pytest.mark.parametrize("language", ["nl", "EN", "", None, ["en"]], ids=repr)
def test_any_other_language_is_refused(language: Any) -> None:
    """The problem lists the documented languages."""
    assert "en, fr, de" in problems_of(lambda: SideView(language=language))["language"]


@pytest.mark.parametrize("subject_id", ["", "  ", 7, b"a1"], ids=repr)
def test_a_subject_is_a_text(subject_id: Any) -> None:
    """An empty subject id would link the analysis to nobody."""
    assert "subject_id" in problems_of(lambda: SideView(subject_id=subject_id))


def test_the_side_view_has_no_full_body() -> None:
    """Only the back view has `full_body`."""
    with pytest.raises(TypeError, match="full_body"):
        VIEWS[0](full_body=False)


def test_a_request_cannot_be_changed() -> None:
    """The values that were validated are the ones that are sent."""
    request = SideView()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.height = 175  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# --- form fields -----------------------------------------------------------------------------------


def test_a_request_sends_its_defaults() -> None:
    """The defaults are the documented ones; the vendor calls `analysis_type` required."""
    common = {
        "height": "1.7",
        "weight": "70.0",
        "language": "en",
        "treadmill": "false",
        "notify_via_webhook": "false",
    }
    assert dict(SideView().fields()) == {"analysis_type": "side_view", **common}
    assert dict(BackView().fields()) == {"analysis_type": "back_view", **common, "full_body": "true"}


def test_a_request_has_the_vendors_spelling() -> None:
    """Names, booleans and numbers are spelled as documented."""
    request = BackView(
        height=1,
        weight=68,
        pace="05:30",
        treadmill=True,
        language="ja",
        subject_id="s 1",
        notify_via_webhook=True,
        full_body=False,
    )
    assert dict(request.fields()) == {
        "analysis_type": "back_view",
        "height": "1.0",
        "weight": "68.0",
        "pace": "05:30",
        "language": "ja",
        "treadmill": "true",
        "full_body": "false",
        "subject_id": "s 1",
        "notify_via_webhook": "true",
    }


@pytest.mark.parametrize("view", VIEWS)
def test_no_field_is_sent_twice(view: Callable[..., Any]) -> None:
    """Each form field occurs once."""
    names = [name for name, _ in view(pace="05:30", subject_id="s").fields()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("view", VIEWS)
def test_the_repr_of_a_request_shows_no_health_data(view: Callable[..., Any]) -> None:
    """Height, weight and pace are health data."""
    shown = repr(view(height=1.834, weight=83.21, pace="04:37", subject_id="s1"))
    assert not [value for value in ("1.834", "83.21", "04:37") if value in shown]
    assert "s1" in shown


# --- started analyses --------------------------------------------------------------------------------

moments = st.datetimes(timezones=st.just(UTC))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(names, st.sampled_from(["side_view", "back_view"]), st.none() | moments, st.none() | names, st.none() | names)
@settings(max_examples=50, deadline=None)
def test_a_started_analysis_survives_its_json(
    analysis_id: str, view: str, started_at: datetime | None, clip: str | None, subject_id: str | None
) -> None:
    """It can be stored as one line of JSON and read by any process."""
    started: Started[Any, Any] = Started(
        analysis_id=analysis_id, view=view, started_at=started_at, clip=clip, subject_id=subject_id
    )
    text = started.to_json()
    assert Started.from_json(text) == started
    assert Started.from_json(text.encode()) == started
    assert "\n" not in text


def test_a_started_analysis_needs_only_an_id_and_a_view() -> None:
    """`Started.of` takes nothing else."""
    assert Started.of("a1", BackView) == Started(analysis_id="a1", view="back_view")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {"text"}),
        ("{", {"text"}),
        ("[]", {"text"}),
        ("null", {"text"}),
        ("7", {"text"}),
        ("{}", {"analysis_id", "view"}),
        ('{"analysis_id": "", "view": "front_view"}', {"analysis_id", "view"}),
        ('{"analysis_id": 7, "view": null}', {"analysis_id", "view"}),
        ('{"analysis_id": "a", "view": ["side_view"]}', {"view"}),
        ('{"analysis_id": "a", "view": {}}', {"view"}),
        ('{"analysis_id": "a", "view": "side_view", "started_at": "yesterday"}', {"started_at"}),
        ('{"analysis_id": "a", "view": "side_view", "started_at": 5, "clip": 5, "subject_id": []}',
         {"started_at", "clip", "subject_id"}),
        ('{"view": 1, "started_at": "x", "clip": 1}', {"analysis_id", "view", "started_at", "clip"}),
    ],
)  # fmt: skip
def test_other_json_is_no_started_analysis(text: str, fields: set[str]) -> None:
    """JSON that `to_json` never writes is refused with all its problems."""
    assert problems_of(lambda: Started.from_json(text)).keys() == fields


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["side_view", "2025-01-31"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["analysis_id", "view", "started_at", "clip"], any_json)))
@settings(max_examples=60, deadline=None)
def test_any_json_is_a_started_analysis_or_refused(found: dict[str, Any]) -> None:
    """`from_json` raises nothing but `InvalidRequest`."""
    analysis_id = found.get("analysis_id")
    with suppress(InvalidRequest):
        assert Started.from_json(json.dumps(found)).analysis_id == analysis_id != ""


# --- subjects, webhook, exercises ---------------------------------------------------------------------


def create(**given: Any) -> Any:
    """The JSON body of a new subject."""
    return create_subject_call(**{**dict.fromkeys(("email", "name", "height", "weight")), **given}).request.json


def test_every_field_of_a_subject_is_optional() -> None:
    """A field that is left out is not sent."""
    assert create() == {}
    assert create(name="Ada", height=1.7) == {"name": "Ada", "height": 1.7}


def test_a_subject_is_refused_with_all_problems() -> None:
    """A subject has the units of a request, and texts that are not blank."""
    found = problems_of(lambda: create(email="", name=7, height=175, weight=70_000))
    assert found.keys() == {"email", "name", "height", "weight"}
    assert "centimeters" in found["height"]
    assert "grams" in found["weight"]


@pytest.mark.parametrize("value", [float("nan"), True, "1.7", 10**400], ids=lambda value: repr(value)[:8])
def test_the_height_of_a_subject_is_a_finite_number(value: Any) -> None:
    """Any other number is refused."""
    assert problems_of(lambda: create(height=value)).keys() == {"height"}


def test_changing_a_subject_sends_the_given_fields() -> None:
    """An omitted field stays unchanged, and the same change twice is one change."""
    call = update_subject_call("s1", email=None, name="Ada", height=None, weight=None)
    assert (call.request.path, call.request.json, call.repeatable) == ("/subjects/s1", {"name": "Ada"}, True)


def test_deleting_a_subject_is_a_post_that_is_not_repeated() -> None:
    """The vendor deletes with a POST; the second time the subject would not be found."""
    call = delete_subject_call("s1")
    assert (str(call.request.route), call.repeatable) == ("POST /subjects/{subject_id}/delete", False)


def test_both_settings_of_a_webhook_are_sent() -> None:
    """The vendor requires both each time."""
    call = configure_webhook_call("https://example.com/ochy?a=b", enabled=False)
    assert call.request.json == {"url": "https://example.com/ochy?a=b", "enabled": False}
    assert (call.request.route.method, call.repeatable) == ("PUT", True)
    assert get_webhook_call().request.path == "/webhook"


@pytest.mark.parametrize(
    "url", ["http://example.com", "https://", "https:///a", "example.com", "", "https://[", None, 7]
)
def test_a_webhook_is_https(url: Any) -> None:
    """Deliveries are probably unsigned, so they go only to a host with a certificate."""
    assert "https" in problems_of(lambda: configure_webhook_call(url, enabled=True))["url"]


@pytest.mark.parametrize("search_keys", [[], "HeadG", [""], [7], ["HeadG", None]], ids=repr)
def test_exercises_belong_to_search_keys(search_keys: Any) -> None:
    """No search key, an empty one, and a text instead of a list are refused."""
    assert problems_of(lambda: exercises_call(search_keys)).keys() == {"search_keys"}


def test_exercises_are_queried_with_a_repeatable_post() -> None:
    """The POST changes nothing."""
    call = exercises_call(("HeadG", "PelvicB"), language="fr")
    assert call.request.json == {"search_keys": ["HeadG", "PelvicB"], "language": "fr"}
    assert call.repeatable


# --- paths ---------------------------------------------------------------------------------------------

PLAIN = Route("GET", "/analysis/{analysis_id}/results")


@pytest.mark.parametrize(
    ("analysis_id", "segment"),
    [
        ("a1b2", "a1b2"),
        ("ä", "%C3%A4"),
        ("?x=1", "%3Fx%3D1"),
        ("#", "%23"),
        ("%2e", "%252e"),
        ("a&b=c;d", "a%26b%3Dc%3Bd"),
        ("...", "..."),
        ("../admin", "..%2Fadmin"),
        ("2024/ab c", "2024%2Fab%20c"),
    ],
)
def test_an_id_stays_in_its_segment(analysis_id: str, segment: str) -> None:
    """Ids are opaque texts and encoded as a whole."""
    assert PLAIN.path(analysis_id=analysis_id) == f"/analysis/{segment}/results"


@pytest.mark.parametrize(
    "analysis_id",
    ["", ".", "..", "a\n", "a\0", "\ud800", None, 7, b".."],
    ids=repr,
)
def test_a_text_that_cannot_be_an_id_is_refused(analysis_id: Any) -> None:
    """A server may resolve `.` and `..`, and never sends the others."""
    assert problems_of(lambda: PLAIN.path(analysis_id=analysis_id)).keys() == {"analysis_id"}


ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="/\\"), min_size=1, max_size=200)


@given(ids.filter(lambda each: each not in (".", "..")))
@settings(max_examples=50, deadline=None)
def test_any_id_comes_back_from_its_path(analysis_id: str) -> None:
    """The segment decodes to the id and holds nothing that ends a segment."""
    segment = PLAIN.path(analysis_id=analysis_id).removeprefix("/analysis/").removesuffix("/results")
    assert unquote(segment) == analysis_id
    assert not set(segment) & set("/?#")


def test_the_table_of_routes_holds_every_call_once() -> None:
    """The table has every call of the API, and none twice."""
    assert sorted(map(str, ROUTES)) == sorted(
        {
            "POST /analysis/start",
            "GET /analysis/{analysis_id}/results",
            "GET /analysis/{analysis_id}/results/calculated_data",
            "GET /analysis/{analysis_id}/results/raw_data",
            "GET /analysis",
            "GET /analysis/subjects/{subject_id}",
            "POST /subjects",
            "GET /subjects",
            "GET /subjects/{subject_id}",
            "PUT /subjects/{subject_id}",
            "POST /subjects/{subject_id}/delete",
            "GET /webhook",
            "PUT /webhook",
            "POST /exercises",
        }
    )


@pytest.mark.parametrize("path", ["/subjects", "/analysis/a%2Fb/results", "/a/b/c-d_e~f.g", "/..."])
def test_a_custom_request_may_have_any_path_of_the_api(path: str) -> None:
    """The path is written as it is sent."""
    assert custom_call("GET", path, (("limit", "5"),), None).request.path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "subjects",
        "//elsewhere.example/x",
        "https://elsewhere.example/x",
        "/subjects?apiKey=x",
        "/subjects#x",
        "/subjects/../webhook",
        "/./subjects",
        "/subjects/..",
        "/subjects/%2e%2e/webhook",
        "/subjects/.%2E",
        "/sub jects",
        "/subjects\r\nHost: x",
        "/sübjects",
        "/subjects\\x",
    ],
)
def test_a_path_cannot_leave_the_api(path: str) -> None:
    """A path with a host, a query, or a segment that a server may resolve is refused, encoded or not."""
    assert problems_of(lambda: custom_call("GET", path, (), None)).keys() == {"path"}


@pytest.mark.parametrize(
    ("method", "repeatable"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False), ("DELETE", False)]
)
def test_a_custom_request_is_repeated_only_if_that_is_harmless(method: str, repeatable: bool) -> None:
    """Methods that read or set are repeated; those that may create or charge are not."""
    assert custom_call(method, "/anything", (), None).repeatable is repeatable
