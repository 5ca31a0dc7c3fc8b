"""How answers are read: the vendor's samples, every shape that is not documented, and every unexpected value."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pprint import pformat
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import BackView, BackViewResults, FootStrike, SideView, SideViewResults, Started, Status
from ochy_async.errors import (
    ClipRefused,
    KeyRefused,
    NotFound,
    NotReady,
    OchyError,
    RequestRefused,
    ServerError,
    UnreadableAnswer,
)
from ochy_async.protocol.analysis import calculated_call, results_call, start_call
from ochy_async.protocol.analysis_list import ItemFacts, list_call
from ochy_async.protocol.answer import Answer, RawJson, SignedUrl
from ochy_async.protocol.assessment import Ranges
from ochy_async.protocol.back_view import BackViewCalculated
from ochy_async.protocol.call import Call, custom_call
from ochy_async.protocol.drift import DriftNote
from ochy_async.protocol.exercises import exercises_call
from ochy_async.protocol.landmarks import Landmarks, landmarks_call
from ochy_async.protocol.redaction import redact_signed_links
from ochy_async.protocol.side_view import SideViewCalculated
from ochy_async.protocol.sliced_reader import SlicedReader
from ochy_async.protocol.subjects import (
    create_subject_call,
    delete_subject_call,
    get_subject_call,
    list_subjects_call,
    update_subject_call,
)
from ochy_async.protocol.webhooks import configure_webhook_call, get_webhook_call
from ochy_async.protocol.wire import Response, Upload
from tests.support.canary import safe_repr

SIDE = Started.of("a1", SideView)
BACK = Started.of("a1", BackView)


def read(call: Call[Any], body: Any, status: int = 200) -> Any:
    """The value that a call reads from a JSON body."""
    return outcome(call, body, status)[0]


def outcome(call: Call[Any], body: Any, status: int = 200) -> tuple[Any, list[DriftNote]]:
    """The value and the drift. A list is read to its end."""
    value, notes = call.outcome(Response(status, {}, json.dumps(body).encode()))
    if call.name == "AnalysisList":
        value, notes = read_slices(value), value.notes
    return value, sorted(notes)


def notes_of(call: Call[Any], body: Any) -> dict[str, str]:
    """The drift notes of an answer, by path."""
    return {note.path: note.what for note in outcome(call, body)[1]}


def value_of(call: Call[Any], response: Response) -> Any:
    """The value of an answer; what is read in slices is read to its end."""
    value = call.outcome(response)[0]
    return read_slices(value) if isinstance(value, SlicedReader) else value


def read_slices(reader: SlicedReader[Any]) -> Any:
    """The value of an answer that is read in slices."""
    while not reader.advance():
        pass
    return reader.result()


def value_or_error(call: Call[Any], body: Any, status: int = 200) -> Any:
    """The value of an answer, JSON or bytes, or its `OchyError`. Any other error is raised."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        return value_of(call, Response(status, {}, sent))
    except OchyError as error:
        return error


# --- the vendor's samples -------------------------------------------------------------------------


def assessed(good: list[float], okay: list[float], **more: Any) -> dict[str, Any]:
    """One assessed part of the body in the side view."""
    texts = {"title": "Arms", "position": "Good", "recap": ["Relaxed", "Close"], "exercice": ["bi_reinforcement"]}
    return {"score_number": 0.8, "range_good": good, "range_okay": okay, "texts": texts, **more}


def leg(side: str) -> dict[str, Any]:
    """One leg in the back view."""
    texts = {"explanation": "Rolls in", "position": "Okay", "recap": ["A little"], "side": side, "title": "Pronation"}
    ranges = {"range_bad": [8, 20], "range_good": [0, 4], "range_okay": [4, 8]}
    return {**ranges, "score_number": 0.6, "texts": texts}


STYLE = {"title": "The Gazelle", "animal": "gazelle", "percentage": 72, "summary": "Light and springy"}
LINKS = {
    "thumbnail": "https://storage.example/t.jpg?sig=1",
    "output_video": "https://storage.example/o.mp4?sig=2",
}
SIDE_BODY: dict[str, Any] = {
    "video_id": "a1",
    "status": "success",
    "percentage": 100,
    **LINKS,
    "biomechanical_analysis": {
        "analysis_content": {
            "arm": assessed([78, 88], [74, 92]),
            "back_cycle": assessed([0, 98], [98, 107]),
            "foot": assessed([1, 2], [0, 3], foot_strike_pattern="midfoot"),
            "forward_cycle": assessed([1, 2], [0, 3]),
            "head": assessed([1, 2], [0, 3]),
            "trunk": assessed([1, 2], [0, 3]),
        },
        "running_styles": STYLE,
        "total_score": 0.588,
    },
}
SIDE_BODY["biomechanical_analysis"]["analysis_content"]["head"]["texts"]["search_key"] = "HeadG"
SIDE_BODY["biomechanical_analysis"]["analysis_content"]["foot"]["texts"]["overstride_title"] = "No overstride"
BACK_BODY: dict[str, Any] = {
    "video_id": "a1",
    "status": "success",
    "percentage": 100,
    **LINKS,
    "biomechanical_analysis": {
        "analysis_content": {
            part: {"left": leg("left"), "right": leg("right")}
            for part in ("knee_adduction", "pelvic_drop", "pronation")
        },
        "total_score": 0.7,
    },
}
SIDE_DATA: dict[str, Any] = {
    "metrics": {
        "speed_meter_per_second": 2.123,
        "step_length_meter": 1.15,
        "pace_min_per_km": 7.511,
        "step_frequency_steps_per_min": 110,
        "ground_contact_time_ms": 280,
        "time_of_flight_ms": 120,
    },
    "overstride": {"mean_angle": 3.47, "score": "score_good"},
    "foot_landing": ["midfoot", "rearfoot"],
    "joint_angles": {"ankle": {"left": [1, 2]}, "knee": [3], "hip": None, "shoulder": 4, "elbow": {}},
    "running_styles": [STYLE],
    "total_score": 0.588,
}
BACK_DATA: dict[str, Any] = {"gait_cycle": {"pronation": {"left": 3.5}, "knee_adduction": [1], "pelvic_drop": None}}
SUBJECT = {
    "id": "s1",
    "email": "ada@example.com",
    "name": "Ada",
    "height": 1.7,
    "weight": 60,
    "created_at": "2025-01-31T08:00:00Z",
}
EXERCISE: dict[str, Any] = {
    "title": "Heel raises",
    "kind": "exercise",
    "difficulty": "easy",
    "exercise_format": "duration",
    "effort_per_rep": {"min_ms": 30_000, "max_ms": 45_000},
    "number_of_series": 3,
    "media": {"image": "https://m.example/i.jpg", "video": "https://m.example/v.mp4", "video_portrait": None},
}
RAW_BODY: dict[str, Any] = {
    "video_input_information": {"resolution": "1920x1080", "fps": 60, "duration": 4.0},
    "frames": {"0": {"nose": {"x": 1.5, "y": 2.5}}},
}
NO_FACTS: dict[str, None] = dict.fromkeys(("email", "name", "height", "weight"))
UPLOAD = Upload((), "video", "a.mp4", "video/mp4", 1, lambda: pytest.fail("nothing is sent here"))

CALLS: dict[str, tuple[Call[Any], Any]] = {
    "start": (start_call(UPLOAD), {"message": "Analysis started", "video_id": "a1"}),
    "side results": (results_call(SIDE), SIDE_BODY),
    "back results": (results_call(BACK), BACK_BODY),
    "results of an id": (results_call("a1"), SIDE_BODY),
    "side data": (calculated_call(SIDE), SIDE_DATA),
    "back data": (calculated_call(BACK), BACK_DATA),
    "data of an id": (calculated_call("a1"), BACK_DATA),
    "raw data": (landmarks_call("a1"), RAW_BODY),
    "analyses": (list_call(), {"analyses": [{"video_id": "a1", "subject_id": "s1"}]}),
    "a subject's analyses": (list_call("s1"), ["a1", "a2"]),
    "create subject": (create_subject_call(**NO_FACTS), {"subject_id": "s1", "created_at": "2025-01-31T08:00:00Z"}),
    "subjects": (list_subjects_call(), {"subjects": [SUBJECT]}),
    "subject": (get_subject_call("s1"), SUBJECT),
    "update subject": (update_subject_call("s1", **NO_FACTS), {"message": "Updated"}),
    "delete subject": (delete_subject_call("s1"), {"message": "Deleted"}),
    "webhook": (
        get_webhook_call(),
        {"url": "https://e.example", "enabled": True, "updated_at": "2025-01-31T08:00:00Z"},
    ),
    "configure webhook": (configure_webhook_call("https://e.example", enabled=True), {"url": None}),
    "exercises": (exercises_call(["HeadG"]), [EXERCISE]),
    "any": (custom_call("GET", "/subjects", (), None), {"subjects": []}),
}
EVERY_CALL = pytest.mark.parametrize(("call", "body"), CALLS.values(), ids=CALLS)
JSON_ANSWERS = {name: each for name, each in CALLS.items() if name not in ("raw data", "any")}


@EVERY_CALL
def test_a_documented_answer_has_no_drift_note(call: Call[Any], body: Any) -> None:
    """The vendor's samples are read without any note."""
    assert outcome(call, body)[1] == []


def test_a_start_gives_an_id() -> None:
    """The answer to a start is an id and a message."""
    answer = read(start_call(UPLOAD), {"message": "Analysis started", "video_id": "a1"}, 202)
    assert (answer.video_id, answer.message) == ("a1", "Analysis started")


@pytest.mark.parametrize("body", [{}, {"video_id": None}, {"video_id": ""}, {"video_id": ["a1"]}, {"video_id": {}}, []])
def test_a_start_without_an_id_cannot_be_read(body: Any) -> None:
    """An accepted start without an id is never taken for one with an id."""
    with pytest.raises(UnreadableAnswer):
        read(start_call(UPLOAD), body, 202)


def test_side_view_results_are_read_completely() -> None:
    """The vendor's side view sample, value by value."""
    state = read(results_call(SIDE), SIDE_BODY)
    assert (state.analysis_id, state.status, state.percentage, state.finished) == ("a1", Status.SUCCESS, 100, True)
    results = state.results
    assert isinstance(results, SideViewResults)
    assert (results.analysis_id, results.total_score) == ("a1", 0.588)
    assert results.arm.score_number == 0.8
    assert results.arm.range_good == Ranges(((78, 88),))
    assert results.arm.range_okay == Ranges(((74, 92),))
    assert results.back_cycle.range_okay == Ranges(((98, 107),))
    assert results.foot.foot_strike_pattern is FootStrike.MIDFOOT
    assert results.foot.texts is not None
    assert results.foot.texts.overstride_title == "No overstride"
    assert results.arm.texts is not None
    assert (results.arm.texts.title, results.arm.texts.position) == ("Arms", "Good")
    assert results.arm.texts.recap == ("Relaxed", "Close")
    assert results.arm.texts.exercice == ("bi_reinforcement",)
    assert results.head.texts is not None
    assert results.head.texts.search_key == ("HeadG",)
    assert [part.score_number for part in (results.forward_cycle, results.trunk)] == [0.8, 0.8]
    (style,) = results.running_styles
    assert (style.title, style.animal, style.percentage) == ("The Gazelle", "gazelle", 72)
    assert style.summary == "Light and springy"
    assert results.thumbnail is not None
    assert results.thumbnail.reveal() == LINKS["thumbnail"]
    assert results.output_video == SignedUrl(LINKS["output_video"])


def test_back_view_results_are_read_completely() -> None:
    """The vendor's back view sample, value by value."""
    results = read(results_call(BACK), BACK_BODY).results
    assert isinstance(results, BackViewResults)
    assert results.total_score == 0.7
    left = results.pronation.left
    assert left is not None
    assert left.texts is not None
    assert (left.range_bad, left.range_good, left.range_okay) == (
        Ranges(((8, 20),)),
        Ranges(((0, 4),)),
        Ranges(((4, 8),)),
    )
    assert (left.score_number, left.texts.side, left.texts.explanation) == (0.6, "left", "Rolls in")
    assert results.knee_adduction is not None
    assert results.knee_adduction.right is not None
    assert results.pelvic_drop is not None


def test_side_view_data_is_read_completely() -> None:
    """The vendor's calculated data of a side view, value by value."""
    data = read(calculated_call(SIDE), SIDE_DATA)
    assert isinstance(data, SideViewCalculated)
    assert data.metrics is not None
    assert data.overstride is not None
    assert data.joint_angles is not None
    metrics = data.metrics
    assert (metrics.speed, metrics.step_length, metrics.cadence) == (2.123, 1.15, 110)
    assert (metrics.ground_contact_time, metrics.flight_time, metrics.pace_min_per_km) == (280, 120, 7.511)
    assert (data.overstride.mean_angle, data.overstride.score) == (3.47, "score_good")
    assert data.foot_landing == ["midfoot", "rearfoot"]
    assert (data.joint_angles.ankle, data.joint_angles.hip) == ({"left": [1, 2]}, None)
    assert data.total_score == 0.588


def test_back_view_data_is_passed_on() -> None:
    """Nothing below `gait_cycle` is documented."""
    data = read(calculated_call(BACK), BACK_DATA)
    assert isinstance(data, BackViewCalculated)
    assert data.gait_cycle is not None
    assert (data.gait_cycle.pronation, data.gait_cycle.knee_adduction) == ({"left": 3.5}, [1])
    assert data.gait_cycle.raw == BACK_DATA["gait_cycle"]


def test_subjects_are_read_completely() -> None:
    """The vendor's subject, alone and in the list."""
    alone = read(get_subject_call("s1"), SUBJECT)
    assert (alone.subject_id, alone.email, alone.name) == ("s1", "ada@example.com", "Ada")
    assert (alone.height, alone.weight) == (1.7, 60)
    assert alone.created_at == datetime(2025, 1, 31, 8, tzinfo=UTC)
    listed = read(list_subjects_call(), {"subjects": [SUBJECT]})
    assert (list(listed), len(listed)) == ([alone], 1)
    made = read(create_subject_call(**NO_FACTS), {"subject_id": "s1", "created_at": "2025-01-31T08:00:00Z"}, 201)
    assert (made.subject_id, made.created_at) == ("s1", alone.created_at)
    assert read(update_subject_call("s1", **NO_FACTS), {"message": "Updated"}).message == "Updated"


def test_a_webhook_that_is_not_stored_is_empty() -> None:
    """`{}` is the documented answer while the account has no webhook."""
    settings_ = read(get_webhook_call(), {})
    assert (settings_.stored, settings_.url, settings_.enabled, settings_.updated_at) == (False, None, None, None)
    stored = read(get_webhook_call(), {"url": "https://e.example", "enabled": False})
    assert (stored.stored, stored.enabled) == (True, False)


def test_exercises_are_read_completely() -> None:
    """The vendor's exercise, value by value."""
    (exercise,) = read(exercises_call(["HeadG"]), [EXERCISE])
    assert (exercise.title, exercise.kind, exercise.difficulty) == ("Heel raises", "exercise", "easy")
    assert (exercise.exercise_format, exercise.number_of_series) == ("duration", 3)
    assert (exercise.effort_per_rep.min_ms, exercise.effort_per_rep.max_ms) == (30_000, 45_000)
    assert (exercise.media.image, exercise.media.video_portrait) == ("https://m.example/i.jpg", None)


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "http", "finished"),
    [("pending", 200, False), ("analyzing", 202, False), ("failed", 400, True), ("success", 200, True)],
)
@pytest.mark.parametrize("started", [SIDE, "a1"], ids=["started", "bare id"])
def test_every_documented_status_is_a_state(
    started: Started[Any, Any] | str, status: str, http: int, finished: bool
) -> None:
    """The body is read before the HTTP status: `failed` comes as a 400 and is still a state."""
    body = SIDE_BODY if status == "success" else {"video_id": "a1", "status": status}
    state = read(results_call(started), body, http)
    assert (state.status, state.finished) == (Status(status), finished)
    assert (state.results is not None) == (status == "success")


@pytest.mark.parametrize("http", [200, 202, 400])
def test_an_unknown_status_is_not_final(http: int) -> None:
    """It stays text, waiting continues, and it is noted."""
    state, notes = outcome(results_call(SIDE), {"video_id": "a1", "status": "queued_v2"}, http)
    assert (state.status, state.finished, state.results) == ("queued_v2", False, None)
    assert [(note.path, note.what) for note in notes] == [("status", "unknown value (text)")]


@pytest.mark.parametrize(
    ("http", "body", "error"),
    [
        (400, {"detail": "no", "status": "failed"}, RequestRefused),
        (400, {"detail": "no"}, RequestRefused),
        (404, {"detail": "unknown"}, NotFound),
        (404, {"status": "pending"}, NotFound),
        (403, {"status": "failed"}, KeyRefused),
        (500, {"status": "pending"}, ServerError),
        (400, {"status": 400}, RequestRefused),
        (400, {"status": None}, RequestRefused),
        (400, [], RequestRefused),
    ],
)
def test_a_body_with_a_detail_is_an_error(http: int, body: Any, error: type[OchyError]) -> None:
    """Only a 2xx or a 400 is a state, and only with a `status` and no `detail` in the body."""
    with pytest.raises(error) as caught:
        read(results_call(SIDE), body, http)
    assert (caught.value.status, caught.value.analysis_id) == (http, "a1")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, None),
        ({"percentage": None}, None),
        ({"percentage": 0}, 0),
        ({"percentage": 45.5}, 45.5),
        ({"percentage": 130}, 130),
        ({"percentage": -1}, -1),
        ({"percentage": "45"}, 45),
        ({"percentage": "nan"}, None),
        ({"percentage": "soon"}, None),
        ({"percentage": True}, None),
        ({"percentage": [45]}, None),
    ],
    ids=repr,
)
def test_any_percentage_is_accepted(given_: dict[str, Any], expected: float | None) -> None:
    """A missing, null, too large, textual or invalid percentage never breaks a poll."""
    state = read(results_call(SIDE), {"video_id": "a1", "status": "pending", **given_})
    assert state.percentage == expected


def test_a_state_keeps_its_json() -> None:
    """The untouched answer stays beside every state."""
    body = {"video_id": "a1", "status": "pending", "queue": 4}
    assert read(results_call(SIDE), body).raw == body


@pytest.mark.parametrize(
    ("call", "error"),
    [(calculated_call(SIDE), NotReady), (landmarks_call("a1"), NotReady), (start_call(UPLOAD), ClipRefused)],
)
def test_a_400_means_what_its_route_says(call: Call[Any], error: type[OchyError]) -> None:
    """Data requested too early is not ready; a refused upload is a refused clip."""
    with pytest.raises(error):
        read(call, {"detail": "no"}, 400)


# --- shapes that are not documented --------------------------------------------------------------------


def side_body(**analysis: Any) -> dict[str, Any]:
    """The side view sample with another `biomechanical_analysis`."""
    body = copy.deepcopy(SIDE_BODY)
    body["biomechanical_analysis"].update(analysis)
    return body


@pytest.mark.parametrize(
    ("sent", "animals"),
    [
        (STYLE, ["gazelle"]),
        ([STYLE], ["gazelle"]),
        ([STYLE, {"animal": "bear"}], ["gazelle", "bear"]),
        ([STYLE, "bear", None], ["gazelle"]),
        ([], []),
        ({}, [None]),
        (None, []),
        ("gazelle", []),
        (7, []),
    ],
    ids=repr,
)
def test_running_styles_are_always_a_tuple(sent: Any, animals: list[str | None]) -> None:
    """They come as an object, an array or nothing, and an invalid item does not hide the others."""
    results = read(results_call(SIDE), side_body(running_styles=sent)).results
    assert [style.animal for style in results.running_styles] == animals


@pytest.mark.parametrize(
    ("percentage", "share"), [(72, 0.72), (0.72, 0.72), (1, 1), (100, 1), (0, 0), (None, None), ("72", 0.72)]
)
def test_a_running_style_has_a_share(percentage: Any, share: float | None) -> None:
    """Whether the vendor counts to 1 or to 100, `share` is a fraction."""
    results = read(results_call(SIDE), side_body(running_styles={"percentage": percentage})).results
    assert results.running_styles[0].share == share


@pytest.mark.parametrize(
    ("sent", "intervals"),
    [
        ([78, 88], ((78, 88),)),
        ([88, 78.5], ((78.5, 88),)),
        ([[0, 4], [8, 20]], ((0, 4), (8, 20))),
        ([[0, 4]], ((0, 4),)),
    ],
    ids=repr,
)
def test_a_range_is_a_pair_or_pairs(sent: Any, intervals: tuple[tuple[float, float], ...]) -> None:
    """A pair and a list of pairs both make intervals, lower bound first."""
    body = copy.deepcopy(SIDE_BODY)
    body["biomechanical_analysis"]["analysis_content"]["arm"]["range_good"] = sent
    ranges = read(results_call(SIDE), body).results.arm.range_good
    assert ranges == Ranges(intervals)
    assert (ranges.low, ranges.high) == (intervals[0][0], intervals[-1][1])
    assert intervals[0][0] in ranges
    assert 1e6 not in ranges


@pytest.mark.parametrize(
    "sent", [[], [1], [1, 2, 3], ["1", "2"], [[1, 2], 3], {"lo": 1}, 7, "1-2", [True, 2]], ids=repr
)
def test_an_invalid_range_is_none_and_noted(sent: Any) -> None:
    """It does not break the results of a paid analysis."""
    body = copy.deepcopy(SIDE_BODY)
    body["biomechanical_analysis"]["analysis_content"]["arm"]["range_good"] = sent
    state, notes = outcome(results_call(SIDE), body)
    assert state.results.arm.range_good is None
    assert [note.path for note in notes] == ["biomechanical_analysis.analysis_content.arm.range_good"]


@pytest.mark.parametrize(
    "wrapper",
    [None, "analyses", "analysis", "analysis_ids", "videos", "video_ids", "results", "items", "data", "any"],
)
def test_a_list_is_bare_or_wrapped(wrapper: str | None) -> None:
    """Lists come bare or under any likely key, items as texts or objects, ids under three keys."""
    objects = [[{name: "a1"}, {name: "a2"}] for name in ("id", "video_id", "analysis_id")]
    for items in (["a1", "a2"], ["a1", {"id": "a2"}], *objects):
        body: Any = items if wrapper is None else {wrapper: items}
        listed = read(list_call(), body)
        assert [each.analysis_id for each in listed] == ["a1", "a2"]
        assert (listed.ids, len(listed), listed.raw) == ({"a1", "a2"}, 2, body)


def test_a_wrapper_may_hold_more_than_the_list() -> None:
    """Totals and cursors beside the list are noted and do not hide it."""
    body = {"total": 2, "next": None, "tags": ["x"], "analyses": ["a1"]}
    assert [each.analysis_id for each in read(list_call(), body)] == ["a1"]
    assert notes_of(list_call(), body) == {
        "total": "unknown key (number)",
        "next": "unknown key (null)",
        "tags": "unknown key (array)",
    }


def test_a_listed_analysis_has_the_fields_that_were_sent() -> None:
    """Subject, view, status and time are read if they are sent."""
    item = {"id": "a1", "subject_id": "s1", "analysis_type": "back_view", "status": "success"}
    (each,) = read(list_call(), [{**item, "created_at": "2025-01-31T08:00:00+02:00"}])
    assert (each.subject_id, each.view, each.status) == ("s1", "back_view", Status.SUCCESS)
    assert each.created_at == datetime(2025, 1, 31, 6, tzinfo=UTC)


def test_an_invalid_item_does_not_hide_the_others() -> None:
    """An item without an id is left out and noted."""
    assert [each.analysis_id for each in read(list_call(), ["a1", 7, None, {}, "a2"])] == ["a1", "a2"]
    assert set(notes_of(list_call(), ["a1", {}])) == {"items"}


@pytest.mark.parametrize(
    "body", [{}, {"analyses": None}, {"analyses": "a1"}, "a1", {"x": ["a1"], "y": ["a2"]}], ids=repr
)
def test_an_answer_without_a_clear_list_is_unreadable(body: Any) -> None:
    """With no list, or two candidates, no answer is better than a wrong one."""
    with pytest.raises(UnreadableAnswer):
        read(list_call(), body)


@pytest.mark.parametrize(
    "body", [b'["a1", NaN]', b'["a1"] x', b'["a1"', b'{"analyses": ["a1"', b'["a1",]', b"", b"\xff"]
)
def test_a_list_that_is_not_json_is_unreadable(body: bytes) -> None:
    """A list that was cut short is never taken for a shorter list."""
    with pytest.raises(UnreadableAnswer, match="not JSON"):
        value_of(list_call(), Response(200, {}, body))


def test_an_error_of_a_list_is_read_as_of_any_other_call() -> None:
    """Only a success is read in slices."""
    with pytest.raises(KeyRefused):
        read(list_call(), {"detail": "Invalid API Key"}, 403)


def test_a_long_list_is_read_in_many_slices() -> None:
    """Each slice has few items, so that no list blocks the event loop."""
    body = {"analyses": [{"video_id": f"a{number}"} for number in range(10_000)], "total": 10_000}
    reader = list_call().outcome(Response(200, {}, json.dumps(body).encode()))[0]
    slices = 1
    while not reader.advance():
        slices += 1
    assert len(reader.result()) == 10_000
    assert slices > 2 * 10_000 / 250


def test_an_object_with_many_members_is_read_in_many_slices() -> None:
    """Also where the list is not the only array, or none."""
    body: dict[str, Any] = {str(number): {"id": "a"} for number in range(10_000)} | {"analyses": []}
    reader, slices = list_call().read(Response(200, {}, json.dumps(body).encode())), 1
    while not reader.advance():
        slices += 1
    assert slices > 10_000 / 250
    assert len(reader.result()) == 0


def test_items_that_are_not_wanted_are_dropped_before_they_are_read() -> None:
    """An item that could not even be read is dropped without a note."""
    body = {"analyses": [{"id": "a1"}, {"id": "a2"}, {"no id": 1}, "a4"]}
    call = list_call(keep=lambda item: ItemFacts.of(item).analysis_id in ("a2", "a4"))
    listed, notes = outcome(call, body)
    assert ([each.analysis_id for each in listed], notes) == (["a2", "a4"], [])


def test_the_facts_of_an_item_are_those_that_it_is_read_with() -> None:
    """Whatever is not as expected is left to the reader."""
    day = datetime(2025, 1, 31, tzinfo=UTC)
    assert ItemFacts.of("a1") == ItemFacts("a1", None)
    assert ItemFacts.of({"video_id": None, "id": "a1", "created_at": "2025-01-31"}) == ItemFacts("a1", day)
    for item in (7, None, {}, {"id": 7}, {"id": ["a1"], "created_at": 7}, {"created_at": "yesterday"}):
        assert ItemFacts.of(item) == ItemFacts(None, None)


@pytest.mark.parametrize("name", ["video_id", "analysis_id", "id"])
def test_an_id_has_three_names(name: str) -> None:
    """Results and starts are read whichever name the id has; a number is read as text."""
    body = {**{key: value for key, value in SIDE_BODY.items() if key != "video_id"}, name: "a7"}
    assert read(results_call(SIDE), body).results.analysis_id == "a7"
    assert read(start_call(UPLOAD), {"video_id": None, name: 12}).video_id == "12"


def test_the_view_of_a_bare_id_is_recognized_by_the_keys() -> None:
    """Answers do not name the view."""
    assert isinstance(read(results_call("a1"), SIDE_BODY).results, SideViewResults)
    assert isinstance(read(results_call("a1"), BACK_BODY).results, BackViewResults)
    assert isinstance(read(calculated_call("a1"), SIDE_DATA), SideViewCalculated)
    assert isinstance(read(calculated_call("a1"), BACK_DATA), BackViewCalculated)


@pytest.mark.parametrize("others", ["absent", None, {}], ids=repr)
@pytest.mark.parametrize("started", [BACK, "a1"], ids=["started", "bare id"])
def test_pronation_alone_is_a_back_view(started: Started[Any, Any] | str, others: Any) -> None:
    """With `full_body=False` the other joints may be absent, null or empty; they are always None."""
    body = copy.deepcopy(BACK_BODY)
    content = body["biomechanical_analysis"]["analysis_content"]
    for part in ("knee_adduction", "pelvic_drop"):
        if others == "absent":
            del content[part]
        else:
            content[part] = others
    results = read(results_call(started), body).results
    assert isinstance(results, BackViewResults)
    assert (results.knee_adduction, results.pelvic_drop) == (None, None)
    assert results.pronation.left is not None


@pytest.mark.parametrize("missing", ["left", "right"])
def test_one_leg_may_be_missing(missing: str) -> None:
    """A leg that was not sent is None."""
    body = copy.deepcopy(BACK_BODY)
    del body["biomechanical_analysis"]["analysis_content"]["pronation"][missing]
    pronation = read(results_call(BACK), body).results.pronation
    assert [getattr(pronation, side) is None for side in ("left", "right")] == [missing == "left", missing == "right"]


def metrics(**given: Any) -> Any:
    """The metrics of a side view with these keys."""
    return read(calculated_call(SIDE), {"metrics": given}).metrics


@pytest.mark.parametrize(
    ("speed", "pace"),
    [
        (2.123, timedelta(minutes=7, seconds=51.0315)),
        (4, timedelta(seconds=250)),
        *((slow, None) for slow in (0, -1, None, 1e-300, 5e-324)),
    ],
)
def test_a_pace_is_derived_from_the_speed(speed: float | None, pace: timedelta | None) -> None:
    """`pace_min_per_km` packs seconds behind the point (7.511 is 7 min 51.1 s), so the speed is used."""
    found = metrics(speed_meter_per_second=speed, pace_min_per_km=7.511).pace
    assert (found is None) == (pace is None)
    assert found is None or abs(found - pace) < timedelta(milliseconds=1)
    assert metrics(pace_min_per_km=7.511).pace is None


@pytest.mark.parametrize("name", ["duty_factor", "duty_factor_percentage"])
@pytest.mark.parametrize(("sent", "read_"), [(0.35, 0.35), (35, 0.35), (1, 1), (0, 0), (None, None)])
def test_a_duty_factor_is_a_fraction(name: str, sent: float | None, read_: float | None) -> None:
    """It is sent as a fraction or in per cent."""
    assert metrics(**{name: sent}).duty_factor == read_


@pytest.mark.parametrize("foot", ["rearfoot", "midfoot", "forefoot", "toes", None, 7])
def test_a_foot_strike_is_an_open_set(foot: Any) -> None:
    """Known patterns are members of the enum, and unknown ones stay text."""
    body = copy.deepcopy(SIDE_BODY)
    body["biomechanical_analysis"]["analysis_content"]["foot"]["foot_strike_pattern"] = foot
    found = read(results_call(SIDE), body).results.foot.foot_strike_pattern
    assert found == (None if foot is None else str(foot))
    assert isinstance(found, FootStrike) == (foot in ("rearfoot", "midfoot", "forefoot"))


# --- missing, unexpected and unknown values ---------------------------------------------------------------------


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything below a body."""
    for key, value in body.items() if isinstance(body, dict) else enumerate(body):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a body with another value at one path."""
    changed = copy.deepcopy(body)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


REQUIRED = {
    "start": {"video_id"},
    "side results": {
        "video_id",
        "status",
        "biomechanical_analysis",
        "analysis_content",
        "total_score",
        *("arm", "back_cycle", "foot", "forward_cycle", "head", "trunk"),
    },
    "back results": {
        "video_id",
        "status",
        "biomechanical_analysis",
        "analysis_content",
        "total_score",
        "pronation",
    },
    "create subject": {"subject_id"},
    "subjects": {"subjects"},
    "subject": {"id"},
}


@pytest.mark.parametrize("name", ["start", "side results", "back results", "create subject", "subject"])
def test_null_for_a_required_field_is_unreadable(name: str) -> None:
    """For any other field it reads as None."""
    call, body = JSON_ANSWERS[name]
    for path in places(body):
        if isinstance(path[-1], int):
            continue
        result = value_or_error(call, with_value(body, path, None))
        if path[-1] in REQUIRED[name]:
            assert isinstance(result, UnreadableAnswer), path
            assert f"{'.'.join(path)} should be" in str(result)
            assert "missing" in str(result)
        else:
            assert not isinstance(result, OchyError), path


def test_any_type_at_any_path_is_handled() -> None:
    """An answer with it is a value or an `UnreadableAnswer`."""
    unexpected_values: list[Any] = [7, "unexpected", [[]], {}]
    for call, body in JSON_ANSWERS.values():
        for path in places(body):
            for unexpected in unexpected_values:
                result = value_or_error(call, with_value(body, path, unexpected))
                assert not isinstance(result, OchyError) or isinstance(result, UnreadableAnswer)


def test_an_unexpected_type_is_none_and_noted() -> None:
    """The note of an optional field holds its path and the type."""
    data, notes = outcome(calculated_call(SIDE), {"metrics": {"speed_meter_per_second": ["fast"]}, "overstride": 3})
    assert (data.metrics.speed, data.overstride) == (None, None)
    assert {(note.path, note.what) for note in notes} == {
        ("metrics.speed_meter_per_second", "expected a number (array)"),
        ("overstride", "expected an object (number)"),
    }


@pytest.mark.parametrize(("sent", "speed"), [("2.5", 2.5), ("fast", None), ("inf", None), ("nan", None), ("", None)])
def test_a_number_may_come_as_text(sent: str, speed: float | None) -> None:
    """A number in quotes is read and noted; any other text is None."""
    assert metrics(speed_meter_per_second=sent).speed == speed
    assert notes_of(calculated_call(SIDE), {"metrics": {"speed_meter_per_second": sent}})


@pytest.mark.parametrize("sent", ["yesterday", 1738310400, [], "2025-13-01T00:00:00Z"], ids=repr)
def test_an_invalid_time_is_none(sent: Any) -> None:
    """It does not hide the subject."""
    assert read(get_subject_call("s1"), {**SUBJECT, "created_at": sent}).created_at is None


def test_a_time_without_a_zone_is_utc() -> None:
    """The vendor's times are UTC, and every time that is read has a zone."""
    read_ = read(get_subject_call("s1"), {**SUBJECT, "created_at": "2025-01-31T08:00:00.250"}).created_at
    assert read_ == datetime(2025, 1, 31, 8, 0, 0, 250_000, tzinfo=UTC)


SECRET = "Mxq7-marker"
NEW: list[tuple[Any, str]] = [
    (SECRET, "text"),
    ([SECRET], "array"),
    ({"inner": SECRET}, "object"),
    (5, "number"),
    (True, "boolean"),
    (None, "null"),
]


@pytest.mark.parametrize("name", [name for name in JSON_ANSWERS if name not in ("analyses", "a subject's analyses")])
def test_an_unknown_key_is_kept_and_noted(name: str) -> None:
    """It stays in `raw` at its level, and one note holds its path and type."""
    call, body = JSON_ANSWERS[name]
    objects = [path for path in [(), *places(body)] if isinstance(inside(body, path), dict)]
    seen = 0
    for path in objects:
        if {"gait_cycle", "joint_angles"} & set(path):
            continue  # below these nothing is documented, so nothing is new
        for value, kind in NEW:
            result, notes = outcome(call, with_value(body, (*path, "brand_new"), value))
            wanted = ".".join(each for each in (*path, "brand_new") if isinstance(each, str))
            assert [(note.path, note.what) for note in notes] == [(wanted, f"unknown key ({kind})")]
            assert any("brand_new" in raw and raw["brand_new"] == value for raw in raws_of(result))
            seen += 1
    assert seen


def test_without_a_documented_layout_no_key_is_drift() -> None:
    """Keys of listed analyses and below `gait_cycle` and `joint_angles` are kept."""
    listed, notes = outcome(list_call(), [{"id": "a1", "brand_new": 1}])
    assert (listed.analyses[0].raw, notes) == ({"id": "a1", "brand_new": 1}, [])
    data, notes = outcome(calculated_call(BACK), {"gait_cycle": {"cadence": 180}})
    assert (data.gait_cycle.raw, notes) == ({"cadence": 180}, [])
    data, notes = outcome(calculated_call(SIDE), {"joint_angles": {"wrist": [1]}})
    assert (data.joint_angles.raw, notes) == ({"wrist": [1]}, [])


def inside(body: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path of a body."""
    for key in path:
        body = body[key]
    return body


def raws_of(value: Any) -> Iterator[RawJson]:
    """The untouched JSON of a value and of every answer inside it."""
    if isinstance(value, tuple):
        for each in value:
            yield from raws_of(each)
    elif hasattr(value, "raw"):
        yield value.raw
        for name in getattr(type(value), "__attrs_attrs__", ()):
            yield from raws_of(getattr(value, name.name))


def marked(body: Any, rng: random.Random, marks: list[str]) -> Any:
    """A body in which all texts and numbers but states and ids are random marks, and every object has a new key."""
    if isinstance(body, dict):
        kept = {"status", "percentage", "video_id", "id", "subject_id", "analysis_type"}
        new = {key: value if key in kept else marked(value, rng, marks) for key, value in body.items()}
        return {**new, "brand_new": marked("", rng, marks)}
    if isinstance(body, list):
        return [marked(each, rng, marks) for each in body]
    if isinstance(body, str) or body is None:
        marks.append(f"mk{rng.getrandbits(64):016x}")
        return marks[-1]
    if not isinstance(body, bool):
        marks.append(str(rng.randrange(10**8, 10**9)))
        return float(marks[-1])
    return body


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(CALLS)))
@settings(max_examples=60, deadline=None)
def test_no_repr_and_no_note_shows_a_value(rng: random.Random, name: str) -> None:
    """Answers are health data, so their values are in no repr, no drift note and no error."""
    call, body = CALLS[name]
    marks: list[str] = []
    sent = marked(body, rng, marks)
    shown: list[str] = []
    try:
        value, notes = outcome(call, sent)
    except UnreadableAnswer as unreadable:
        shown += [str(unreadable), unreadable.excerpt, safe_repr(unreadable), safe_repr(vars(unreadable))]
    else:
        if name == "any":
            return
        shown += [str(note) for note in notes] + [safe_repr(notes)]
        shown += [safe_repr(each) for each in answers_of(value)]  # `str` is shown only to a caller who prints it
    assert shown
    assert not [mark for mark in marks if any(mark in text for text in shown)]


def answers_of(value: Any) -> Iterator[Any]:
    """A value and every object of our classes inside it."""
    if isinstance(value, tuple):
        for each in value:
            yield from answers_of(each)
    elif not isinstance(value, str | float):
        yield value
    for attribute in getattr(type(value), "__attrs_attrs__", ()):
        inner = getattr(value, attribute.name)
        if isinstance(inner, Answer | RawJson | tuple | SignedUrl | Ranges | Landmarks):
            yield from answers_of(inner)


def test_the_error_of_an_unreadable_answer_holds_no_value() -> None:
    """It names the path, the expected type, the route and the paid analysis."""
    body = with_value(SIDE_BODY, ("biomechanical_analysis", "total_score"), {SECRET: SECRET})
    with pytest.raises(UnreadableAnswer) as caught:
        read(results_call(SIDE), with_value(body, ("thumbnail",), SECRET))
    error = caught.value
    assert (error.status, error.analysis_id) == (200, "a1")
    assert error.route == "GET /analysis/{analysis_id}/results"
    assert "biomechanical_analysis.total_score should be a number but is object" in str(error)
    assert "total_score: {…: text}" in error.excerpt
    assert SECRET not in str(error) + error.excerpt + repr(vars(error))
    assert "paid" in str(error)
    assert "report" in str(error)


def test_the_notes_of_one_answer_are_bounded() -> None:
    """A hostile answer may have a million unknown keys."""
    body = {**SUBJECT, **{f"key_{n}": n for n in range(5_000)}}
    subject, notes = outcome(get_subject_call("s1"), body)
    assert 0 < len(notes) <= 100
    assert len(subject.raw) == len(body)


# --- results are values ----------------------------------------------------------------------------------


def without_signed_links(value: Any) -> Any:
    """A state whose results have no links; anything else unchanged."""
    results = getattr(value, "results", None)
    return value if results is None else evolve(value, results=evolve(results, thumbnail=None, output_video=None))


@EVERY_CALL
def test_values_survive_pickling(call: Call[Any], body: Any) -> None:
    """A value and its JSON are equal in another process; only signed links are removed."""
    value = read(call, body)
    if call.name == "Landmarks":
        while not value.advance():
            pass
        value = value.result()
    again = pickle.loads(pickle.dumps(value))
    assert without_signed_links(again) == without_signed_links(value)
    assert getattr(again, "raw", None) == redact_signed_links(getattr(value, "raw", None))


def test_values_are_compared_by_their_fields() -> None:
    """Two polls of one analysis give equal results, although the untouched JSON differs."""
    state = read(results_call(SIDE), SIDE_BODY)
    again = read(results_call(SIDE), {**SIDE_BODY, "brand_new": 1})
    other = read(results_call(SIDE), side_body(total_score=0.1))
    assert state == again
    assert state.results != other.results


@pytest.mark.parametrize("raw_is_used", [False, True])
def test_a_link_is_never_shown(*, raw_is_used: bool) -> None:
    """A signed link is a secret while it is valid, also where an answer holds JSON that nobody has used yet."""
    state = read(results_call(SIDE), SIDE_BODY)
    results = state.results
    assert not raw_is_used or "storage.example" in results.raw["thumbnail"]
    for each in (state, results, copy.copy(results), copy.deepcopy(results), evolve(results), vars(results)):
        assert "storage.example" not in f"{each!r}{each}{pformat(each)}"
    assert "storage.example" not in repr(state.raw) + repr(results.thumbnail)
    assert b"storage.example" not in pickle.dumps(state.results)
    assert "SignedUrl" in repr(results.thumbnail)


def test_an_answer_shares_its_json_until_raw_is_used() -> None:
    """Then `raw` is made once, at each level, and holds what was sent."""
    results = read(results_call(SIDE), SIDE_BODY).results
    trunk = results.trunk
    assert "raw" not in vars(trunk)
    assert trunk.raw is trunk.raw
    assert trunk.raw == SIDE_BODY["biomechanical_analysis"]["analysis_content"]["trunk"]
    assert results.raw == SIDE_BODY


# --- unreadable answers -----------------------------------------------------------------------------------

NO_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"  \n",
    "html": b"<!DOCTYPE html><html><body>welcome " + SECRET.encode() + b"</body></html>",
    "cut": b'{"video_id": "a1"',
    "NaN": b'{"video_id": "a1", "status": "pending", "percentage": NaN}',
    "infinity": b'{"video_id": "a1", "status": "pending", "percentage": 1e999}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep but complete": b'{"frames":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"video_id": "\xff"}',
    "two values": b"{} {}",
    "a number": b"7",
    "a text": b'"a1"',
    "null": b"null",
    "true": b"true",
    "a list of lists": b"[[[]]]",
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_an_invalid_success_is_unreadable(body: bytes) -> None:
    """The error for a body that is not the expected JSON does not hold its content."""
    for name in ("start", "side results", "results of an id", "side data", "raw data", "subject", "webhook"):
        with pytest.raises(UnreadableAnswer) as caught:
            value_of(CALLS[name][0], Response(200, {}, body))
        assert caught.value.status == 200
        assert caught.value.excerpt
        assert SECRET not in str(caught.value)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["success", "failed", "a1", "5", "nan", "2025-01-31T08:00:00Z", 10**400, "\ud800"])
)
known = {key for _, body in CALLS.values() for path in places(body) for key in path if isinstance(key, str)}
keys = st.sampled_from([*sorted(known), "analysis_id", "detail", "code", "loc", "msg", "items", "1", "-1", "--1"])
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(anything, st.sampled_from([200, 202, 204, 400, 401, 404, 422, 500]))
@settings(max_examples=60, deadline=None)
def test_any_json_is_a_value_or_an_ochy_error(body: Any, status: int) -> None:
    """No answer makes a call raise anything but an `OchyError`."""
    for call, _ in CALLS.values():
        result = value_or_error(call, body, status)
        assert (getattr(result, "route", None) == str(call.request.route)) == isinstance(result, OchyError)


@given(st.sampled_from(sorted(CALLS)), st.data())
@settings(max_examples=100, deadline=None)
def test_a_sample_with_any_value_is_a_value_or_an_ochy_error(name: str, data: st.DataObject) -> None:
    """Neither does a valid answer with any JSON at one of its paths."""
    call, body = CALLS[name]
    path = data.draw(st.sampled_from(list(places(body)) or [()])) if body else ()
    result = value_or_error(call, with_value(body, path, data.draw(anything)) if path else data.draw(anything))
    assert not isinstance(result, OchyError) or isinstance(result, UnreadableAnswer)


@given(st.binary(max_size=40), st.sampled_from([200, 400, 502]))
@settings(max_examples=25, deadline=None)
def test_any_bytes_are_a_value_or_an_ochy_error(body: bytes, status: int) -> None:
    """Neither does a body that is not JSON."""
    for call, _ in CALLS.values():
        result = value_or_error(call, body, status)
        assert status == 200 or isinstance(result, OchyError)
