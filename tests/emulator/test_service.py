"""The emulated service, called directly with values: no event loop and no waits."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

import ochy_async.emulator
from ochy_async.emulator import (
    BEHAVIORS,
    EmulatorSettings,
    Form,
    ResponseShapes,
    Service,
    ServiceRequest,
    ServiceResponse,
    UploadedVideo,
    sample_clip,
)

NOW = 1_767_225_600.0
KEY = "emulator-key"


class Customer:
    """Calls a service, with a clock that the test sets."""

    def __init__(self, **settings: Any) -> None:
        self.service = Service(EmulatorSettings(**settings))
        self.now = NOW

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = KEY, **more: Any) -> ServiceResponse:
        url = urlsplit(path)
        query = dict(parse_qsl(url.query)) | ({"apiKey": key} if key is not None else {})
        content = b"" if body is None else json.dumps(body).encode()
        return self.service.handle(ServiceRequest(method, url.path, query, body=content, **more), self.now)

    def get(self, path: str) -> Any:
        return json.loads(self.ask("GET", path).body)

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self.ask("POST", path, body).body)

    def send(self, clip: bytes = b"clip", /, filename: str = "run.mp4", **fields: str) -> ServiceResponse:
        form = Form(fields, UploadedVideo(filename, len(clip), hashlib.sha256(clip).hexdigest(), clip[:65_536]))
        return self.ask("POST", "/analysis/start", form=form)

    def start(self, clip: bytes = b"clip", /, filename: str = "run.mp4", **fields: str) -> str:
        answer = self.send(clip, filename, **fields)
        assert answer.status == 202
        analysis_id: str = json.loads(answer.body)["video_id"]
        return analysis_id

    def finish(self, clip: bytes = b"clip", /, **fields: str) -> str:
        analysis_id = self.start(clip, **fields)
        self.now += 100
        return analysis_id

    def results(self, analysis_id: str) -> ServiceResponse:
        return self.ask("GET", f"/analysis/{analysis_id}/results")


def detail(answer: ServiceResponse) -> Any:
    return json.loads(answer.body)["detail"]


# The key


def test_no_key_is_a_401() -> None:
    """A request without `apiKey` is rejected with the documented text."""
    answer = Customer().ask("GET", "/subjects", key=None)
    assert (answer.status, detail(answer)) == (401, "API Key is missing")


def test_a_wrong_key_is_a_403() -> None:
    """An unknown key is rejected with the documented text."""
    answer = Customer().ask("GET", "/subjects", key="guessed")
    assert (answer.status, detail(answer)) == (403, "Invalid API Key")


def test_rotation_invalidates_the_old_key_at_once() -> None:
    """After a rotation only the new key is accepted."""
    customer = Customer()
    customer.service.rotate_key(KEY, "second-key")
    statuses = [customer.ask("GET", "/subjects", key=key).status for key in (KEY, "second-key")]
    assert statuses == [403, 200]
    assert customer.service.api_key == "second-key"


def test_rotating_an_unknown_key_is_an_error() -> None:
    """Only an accepted key can be rotated."""
    with pytest.raises(ValueError, match="rotate"):
        Customer().service.rotate_key("guessed", "second-key")


# Start


def test_a_start_answers_202_with_message_and_id() -> None:
    """The response to a start is the documented one."""
    answer = Customer().send()
    body = json.loads(answer.body)
    assert answer.status == 202
    assert set(body) == {"message", "video_id"}
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", body["video_id"])


def test_a_start_takes_one_credit_and_is_in_the_ledger() -> None:
    """Every accepted start is one charge with clip, name, time and subject."""
    customer = Customer(credits=5)
    subject_id = customer.post("/subjects", {})["subject_id"]
    analysis_id = customer.start(b"clip", "run.mov", subject_id=subject_id)
    [charge] = customer.service.ledger
    sha256 = hashlib.sha256(b"clip").hexdigest()
    assert (charge.analysis_id, charge.sha256, charge.filename) == (analysis_id, sha256, "run.mov")
    assert (charge.at, charge.subject_id) == (NOW, subject_id)
    assert (customer.service.credits, customer.service.charges_of(sha256)) == (4, 1)


def test_the_same_clip_twice_is_charged_twice() -> None:
    """The API has no idempotency key, so the client must prevent duplicates."""
    customer = Customer()
    assert customer.start() != customer.start()
    assert customer.service.charges_of(hashlib.sha256(b"clip").hexdigest()) == 2


def test_without_credits_a_start_is_a_402_and_not_charged() -> None:
    """After the last credit the next start is rejected, until credits are bought."""
    customer = Customer(credits=1)
    customer.start()
    refused = customer.send()
    assert (refused.status, json.loads(refused.body)["code"]) == (402, "insufficient_credits")
    assert len(customer.service.ledger) == 1
    customer.service.add_credits(1)
    assert customer.send().status == 202


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"analysis_type": "top_view"}, 422),
        ({"height": "175"}, 422),
        ({"height": "0"}, 422),
        ({"height": "tall"}, 422),
        ({"height": "nan"}, 422),
        ({"weight": "-1"}, 422),
        ({"language": "tlh"}, 422),
        ({"treadmill": "yes"}, 422),
        ({"full_body": "1"}, 422),
        ({"treadmill": "true"}, 400),
        ({"pace": "5:30"}, 400),
        ({"pace": "05:30\n"}, 400),
        ({"treadmill": "true", "pace": "0530"}, 400),
        ({"subject_id": "nobody"}, 404),
        ({"treadmill": "true", "pace": "05:30"}, 202),
        ({"height": "1.75", "weight": "61.5", "language": "ja", "full_body": "false"}, 202),
        ({"analysis_type": "back_view", "notify_via_webhook": "true"}, 202),
        ({"x_unknown": "?"}, 202),
    ],
)
def test_the_fields_of_a_start_are_validated(fields: dict[str, str], status: int) -> None:
    """Each field has bounds, and a rejected start is not charged."""
    customer = Customer()
    assert customer.send(**fields).status == status
    assert len(customer.service.ledger) == (status == 202)


def test_a_422_has_a_list_in_detail() -> None:
    """The list names the field, as FastAPI does."""
    assert detail(Customer().send(height="175"))[0]["loc"] == ["body", "height"]


def test_a_start_without_a_video_is_a_422() -> None:
    """A form without a file is rejected, and so is a request without a form."""
    customer = Customer()
    assert customer.ask("POST", "/analysis/start", form=Form({})).status == 422
    assert customer.ask("POST", "/analysis/start").status == 422


@pytest.mark.parametrize(
    ("size", "filename", "status", "code"),
    [
        (30_000_000, "run.mp4", 202, None),
        (30_000_001, "run.mp4", 413, "file_too_large"),
        (10, "run.MOV", 202, None),
        (10, "run.avi", 202, None),
        (10, "run.webm", 202, None),
        (10, "run.mkv", 400, "invalid_file_type"),
        (10, "mp4", 400, "invalid_file_type"),
    ],
)
def test_the_video_is_validated_by_size_and_name(size: int, filename: str, status: int, code: str | None) -> None:
    """At most 30 MB that arrived, and four extensions."""
    customer = Customer()
    answer = customer.ask("POST", "/analysis/start", form=Form({}, UploadedVideo(filename, size, "00" * 32)))
    assert (answer.status, json.loads(answer.body).get("code")) == (status, code)


def movie_header(seconds: float, *, wide: bool = False) -> bytes:
    times, width = (bytes(16), 8) if wide else (bytes(8), 4)
    length = int(seconds * 1000).to_bytes(width, "big")
    return sample_clip(1, size=100)[:24] + b"mvhd" + bytes([wide, 0, 0, 0]) + times + b"\x00\x00\x03\xe8" + length


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("seconds", "status"), [(9.9, 202), (10.0, 202), (10.1, 400), (0, 202)])
def test_a_video_whose_header_says_more_than_ten_seconds_is_rejected(seconds: float, status: int, wide: bool) -> None:
    """The movie header of an MP4 is read in both versions if it is in the first bytes."""
    assert Customer().send(movie_header(seconds, wide=wide)).status == status


def test_a_clip_can_be_declared_too_long() -> None:
    """Settings can name clips that are rejected as too long."""
    assert Customer(too_long_clips={"run.mp4"}).send().status == 400


@pytest.mark.parametrize("charged", [False, True])
def test_a_setting_decides_whether_a_rejected_upload_is_charged(charged: bool) -> None:
    """The documentation does not say, so both are possible."""
    customer = Customer(charge_refused_uploads=charged)
    assert customer.send(filename="run.mkv").status == 400
    assert [charge.analysis_id for charge in customer.service.ledger] == [None] * charged


# Results


def test_an_analysis_is_pending_then_analyzing_then_successful() -> None:
    """Statuses and HTTP codes have the documented order within the documented time."""
    customer = Customer()
    analysis_id = customer.start()
    found: dict[str, int] = {}
    while customer.now < NOW + 40:
        answer = customer.results(analysis_id)
        found.setdefault(json.loads(answer.body)["status"], answer.status)
        customer.now += 0.5
    assert list(found.items()) == [("pending", 200), ("analyzing", 202), ("success", 200)]


def test_the_percentage_rises_with_a_plateau_and_is_100_only_at_success() -> None:
    """It never falls, and one value lasts for a while."""
    customer = Customer()
    analysis_id = customer.start()
    found: list[tuple[str, int]] = []
    while customer.now < NOW + 40:
        body = json.loads(customer.results(analysis_id).body)
        found.append((body["status"], body["percentage"]))
        customer.now += 0.5
    numbers = [number for _, number in found]
    assert numbers == sorted(numbers)
    assert all((number == 100) == (status == "success") for status, number in found)
    assert max(numbers.count(number) for number in set(numbers) - {0, 100}) >= 5


def test_a_success_has_urls_and_the_analysis() -> None:
    """All documented keys are there."""
    customer = Customer()
    body = json.loads(customer.results(customer.finish()).body)
    assert set(body) == {
        "video_id",
        "status",
        "percentage",
        "thumbnail",
        "output_video",
        "biomechanical_analysis",
    }
    assert set(body["biomechanical_analysis"]) == {"analysis_content", "running_styles", "total_score"}


def test_failed_is_a_400_with_id_and_status_only() -> None:
    """A failed analysis has no reason, and its credit is not refunded."""
    customer = Customer(failing_clips={"run.mp4"})
    analysis_id = customer.finish()
    answer = customer.results(analysis_id)
    assert answer.status == 400
    assert json.loads(answer.body) == {"video_id": analysis_id, "status": "failed"}
    assert customer.service.credits == 999


def test_a_share_of_the_clips_can_fail() -> None:
    """The share is drawn by content, so the same clip fails in every run."""

    def failed(share: float) -> set[int]:
        customer = Customer(failure_rate=share)
        ids = {seed: customer.start(str(seed).encode()) for seed in range(40)}
        customer.now += 10_000
        return {seed for seed, analysis_id in ids.items() if customer.results(analysis_id).status == 400}

    assert failed(0.3) == failed(0.3)
    assert 4 < len(failed(0.3)) < 20
    assert len(failed(1.0)) == 40


def test_a_setting_refunds_failed_analyses() -> None:
    """The credit is back once the analysis has failed."""
    customer = Customer(failure_rate=1.0, refund_failed_analyses=True, credits=1)
    analysis_id = customer.start()
    assert customer.service.credits == 0
    customer.now += 100
    customer.results(analysis_id)
    assert customer.service.credits == 1


def test_an_unknown_analysis_is_a_404() -> None:
    """All three calls for an analysis return a 404."""
    customer = Customer()
    paths = [f"/analysis/nobody/results{rest}" for rest in ("", "/calculated_data", "/raw_data")]
    assert [customer.ask("GET", path).status for path in paths] == [404] * 3


def test_the_end_of_an_analysis_can_be_read() -> None:
    """A test that measures how late a client notices it needs the moment."""
    customer = Customer()
    analysis_id = customer.start()
    customer.now = customer.service.ends_at(analysis_id) - 0.001
    assert json.loads(customer.results(analysis_id).body)["status"] == "analyzing"
    customer.now += 0.001
    assert json.loads(customer.results(analysis_id).body)["status"] == "success"
    with pytest.raises(KeyError):
        customer.service.ends_at("unknown")


def test_analyses_wait_for_a_slot() -> None:
    """With one slot, the second clip is pending until the first has finished."""
    customer = Customer(concurrent_analyses=1, analysis_seconds=(10, 10), queue_seconds=0)
    first, second = customer.start(b"1"), customer.start(b"2")
    seen: list[tuple[str, str]] = []
    for later in (5, 15, 25):
        customer.now = NOW + later
        states = [json.loads(customer.results(it).body)["status"] for it in (first, second)]
        seen.append((states[0], states[1]))
    assert seen == [("analyzing", "pending"), ("success", "analyzing"), ("success", "success")]


def test_services_with_the_same_seed_make_the_same_ids() -> None:
    """Ids follow from the seed and the requests; another seed gives other ids."""
    found = [Customer(seed=seed).results(Customer(seed=seed).start()).status for seed in (1, 1)]
    ids = [Customer(seed=seed).start() for seed in (1, 1, 2)]
    assert found == [404, 404]
    assert ids[0] == ids[1] != ids[2]


# Data


@pytest.mark.parametrize("kind", ["calculated_data", "raw_data"])
def test_data_before_success_is_a_400(kind: str) -> None:
    """Calculated and raw data exist only after a success, so never for a failed analysis."""
    customer = Customer(failing_clips={"bad.mp4"})
    good, bad = customer.start(), customer.start(filename="bad.mp4")
    assert customer.ask("GET", f"/analysis/{good}/results/{kind}").status == 400
    customer.now += 100
    found = [customer.ask("GET", f"/analysis/{it}/results/{kind}").status for it in (good, bad)]
    assert found == [200, 400]


def test_calculated_data_has_the_documented_keys() -> None:
    """The documented keys of a side view are there."""
    customer = Customer()
    found = customer.get(f"/analysis/{customer.finish()}/results/calculated_data")
    assert {"metrics", "overstride", "total_score"} <= set(found)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (1920, 1080)),
        ({"treadmill": "true", "pace": "05:00"}, (1080, 1920)),
        ({"analysis_type": "back_view"}, (1080, 1920)),
    ],
)
def test_raw_data_has_the_orientation_of_the_view(fields: dict[str, str], size: tuple[int, int]) -> None:
    """Landscape for a side view overground, portrait otherwise; frames are keyed by number."""
    customer = Customer(frames_per_second=30, default_video_seconds=1)
    found = customer.get(f"/analysis/{customer.finish(**fields)}/results/raw_data")
    video = found["video_input_information"]
    assert (video["width"], video["height"]) == size
    assert sorted(found["frames"], key=int) == [str(number) for number in range(30)]


def test_data_is_cached() -> None:
    """A repeated request gets the same response, and still needs a key."""
    customer = Customer()
    path = f"/analysis/{customer.finish()}/results/raw_data"
    first = customer.ask("GET", path)
    assert customer.ask("GET", path) is first
    assert customer.ask("GET", path, key="guessed").status == 403


# Signed URLs


def test_a_signed_url_needs_no_key() -> None:
    """Both files can be fetched by the URLs in results, and look like a JPEG and an MP4."""
    customer = Customer()
    body = json.loads(customer.results(customer.finish()).body)
    thumbnail, video = (customer.ask("GET", body[name], key=None) for name in ("thumbnail", "output_video"))
    assert (thumbnail.status, thumbnail.headers["content-type"], thumbnail.body[:3]) == (
        200,
        "image/jpeg",
        b"\xff\xd8\xff",
    )
    assert (video.status, video.headers["content-type"], video.body[4:8]) == (200, "video/mp4", b"ftyp")


def test_a_signed_url_expires_after_an_hour_and_results_have_a_fresh_one() -> None:
    """An expired URL is a 403."""
    customer = Customer()
    analysis_id = customer.finish()
    url = json.loads(customer.results(analysis_id).body)["thumbnail"]
    customer.now += 3601
    renewed = json.loads(customer.results(analysis_id).body)["thumbnail"]
    assert [customer.ask("GET", it, key=None).status for it in (url, renewed)] == [403, 200]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.replace("thumbnail.jpg", "output_video.mp4"),
        lambda url: url[:-1],
        lambda url: url.replace("expires=1", "expires=9"),
        lambda url: url.split("?")[0],
        lambda url: f"{url}&apiKey={KEY}",
        lambda url: url.replace("signature=", "signature=é"),
    ],
)
def test_an_altered_signed_url_is_a_403(spoil: Any) -> None:
    """The signature covers the path and the entire query: not even the API key may be added."""
    customer = Customer()
    url = json.loads(customer.results(customer.finish()).body)["thumbnail"]
    assert customer.ask("GET", spoil(url), key=None).status == 403


def test_an_unknown_file_is_a_404() -> None:
    """Each analysis has exactly two files."""
    assert Customer().ask("GET", "/storage/nobody/passwd", key=None).status == 404


@pytest.mark.parametrize(
    ("wanted", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=10-", 206, 10, None),
        ("bytes=-5", 206, -5, None),
        ("bytes=5-99999999", 206, 5, None),
        ("bytes=-", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=9-5", 416, 0, None),
        ("bytes=99999999-", 416, 0, None),
    ],
)
def test_storage_serves_ranges(wanted: str, status: int, first: int, last: int | None) -> None:
    """One range of bytes is served, an invalid header is ignored, and a range after the end is a 416."""
    customer = Customer()
    url = json.loads(customer.results(customer.finish()).body)["thumbnail"]
    complete = customer.ask("GET", url, key=None).body
    answer = customer.ask("GET", url, key=None, headers={"range": wanted})
    assert answer.status == status
    if status != 416:
        assert answer.body == complete[first:] if last is None else complete[first : last + 1]
    if status == 206:
        assert answer.headers["content-range"].endswith(f"/{len(complete)}")


# Lists and subjects


def test_all_analyses_are_listed_newest_first() -> None:
    """Each item has id, status and time, and the subject if there is one."""
    customer = Customer()
    subject_id = customer.post("/subjects", {})["subject_id"]
    first = customer.start(b"1")
    customer.now += 5
    second = customer.start(b"2", subject_id=subject_id)
    newer, older = customer.get("/analysis")["analyses"]
    assert (newer["video_id"], newer["subject_id"]) == (second, subject_id)
    assert (older["video_id"], older["created_at"]) == (first, "2026-01-01T00:00:00.000Z")
    assert "subject_id" not in older
    assert customer.get("/analysis/user") == customer.get("/analysis")


def test_a_subject_lists_its_own_analyses() -> None:
    """Only analyses that were linked at their start are listed."""
    customer = Customer()
    subject_id = customer.post("/subjects", {})["subject_id"]
    linked = customer.start(b"1", subject_id=subject_id)
    customer.start(b"2")
    assert customer.get(f"/analysis/subjects/{subject_id}") == {"analyses": [linked]}


def test_lists_can_lag() -> None:
    """With a lag, lists do not show a new analysis at once."""
    customer = Customer(listing_lag=30)
    customer.start()
    assert customer.get("/analysis") == {"analyses": []}
    customer.now += 30
    assert len(customer.get("/analysis")["analyses"]) == 1


def test_a_subject_from_creation_to_deletion() -> None:
    """It can be read, updated in part and deleted; then every call for it is a 404."""
    customer = Customer()
    created = customer.ask("POST", "/subjects", {"name": "Ada", "height": 1.7})
    subject_id = json.loads(created.body)["subject_id"]
    assert created.status == 201
    assert customer.ask("PUT", f"/subjects/{subject_id}", {"weight": 60}).status == 200
    profile = customer.get(f"/subjects/{subject_id}")
    assert profile == {
        "id": subject_id,
        "email": None,
        "name": "Ada",
        "height": 1.7,
        "weight": 60.0,
        "created_at": "2026-01-01T00:00:00.000Z",
    }
    assert customer.get("/subjects") == {"subjects": [profile]}
    assert customer.ask("POST", f"/subjects/{subject_id}/delete").status == 200
    assert customer.get("/subjects") == {"subjects": []}
    gone = [("GET", f"/subjects/{subject_id}"), ("PUT", f"/subjects/{subject_id}")]
    gone += [("POST", f"/subjects/{subject_id}/delete"), ("GET", f"/analysis/subjects/{subject_id}")]
    assert [customer.ask(method, path, {}).status for method, path in gone] == [404] * 4


@pytest.mark.parametrize("body", [[], "Ada", {"height": 170}, {"weight": True}, {"name": 1}, {"email": []}])
def test_an_invalid_profile_is_a_422(body: Any) -> None:
    """The fields of a profile have types and bounds."""
    assert Customer().ask("POST", "/subjects", body).status == 422


# Webhook and exercises


def test_the_webhook_is_empty_until_it_is_set() -> None:
    """`{}` first, then the stored settings with their time."""
    customer = Customer()
    assert customer.get("/webhook") == {}
    put = customer.ask("PUT", "/webhook", {"url": "https://example.com/hook", "enabled": True})
    found = {"url": "https://example.com/hook", "enabled": True, "updated_at": "2026-01-01T00:00:00.000Z"}
    assert (put.status, json.loads(put.body), customer.get("/webhook")) == (200, found, found)


@pytest.mark.parametrize(
    "body", [{"url": "http://example.com", "enabled": True}, {"url": "https://e.com"}, {"enabled": True}, None]
)
def test_an_invalid_webhook_is_a_422(body: Any) -> None:
    """Both fields are required, and the URL must be https."""
    assert Customer().ask("PUT", "/webhook", body).status == 422


def test_exercises_are_a_bare_array() -> None:
    """Known keys have exercises, and an unknown language gets English."""
    customer = Customer()
    english = customer.post("/exercises", {"search_keys": ["ArmG"], "language": "en"})
    assert english[0]["kind"] == "exercise"
    assert customer.post("/exercises", {"search_keys": ["ArmG"], "language": "tlh"}) == english
    assert customer.ask("POST", "/exercises", {"search_keys": "x"}).status == 422


# Paths and the log


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/analysis/", 404),
        ("GET", "/analysis//results", 404),
        ("GET", "/analysis/a/b/results", 404),
        ("GET", "/analysis/a%2Fb/results", 404),
        ("DELETE", "/webhook", 405),
        ("GET", "/analysis/start", 405),
    ],
)
def test_unknown_paths_and_methods(method: str, path: str, status: int) -> None:
    """An unknown path is a 404, a wrong method a 405 with `allow`."""
    answer = Customer().ask(method, path)
    assert answer.status == status
    assert ("allow" in answer.headers) == (status == 405)


def test_the_log_contains_no_key_and_no_id() -> None:
    """Requests are counted by template and status; secrets and ids are not stored."""
    customer = Customer()
    analysis_id = customer.start()
    customer.results(analysis_id)
    customer.ask("GET", "/subjects", key="guessed-secret")
    service = customer.service
    assert service.count("POST /analysis/start") == 1
    assert service.count("GET /analysis/{analysis_id}/results", 200) == 1
    assert (service.count("GET /subjects", 403), service.count("GET /subjects", 200)) == (1, 0)
    assert not re.search(f"{KEY}|guessed|{analysis_id}", repr(service.requests))


def test_the_log_is_bounded_and_the_counts_are_complete() -> None:
    """Memory does not grow with the number of requests."""
    customer = Customer(log_limit=3)
    for _ in range(10):
        customer.ask("GET", "/webhook")
    assert (len(customer.service.requests), customer.service.count("GET /webhook")) == (3, 10)


def test_no_repr_shows_a_key_or_health_data() -> None:
    """Neither can appear in a test report."""
    ask = ServiceRequest("GET", "/", {"apiKey": KEY}, body=b"secret", form=Form({"weight": "61"}))
    assert not re.search(f"{KEY}|secret|61", repr(ask) + repr(EmulatorSettings()))


# Shapes


def shaped(clip: bytes = b"clip", fields: dict[str, str] | None = None, **shapes: Any) -> tuple[Customer, str]:
    customer = Customer(shapes=ResponseShapes(**shapes))
    customer.now = NOW
    answer = customer.send(clip, **(fields or {}))
    body = json.loads(answer.body)
    customer.now += 100
    return customer, next(body[key] for key in ("id", "video_id", "analysis_id") if key in body)


@pytest.mark.parametrize("key", ["id", "video_id", "analysis_id"])
def test_the_id_can_have_three_keys(key: Any) -> None:
    """Start, results and lists can use each of them."""
    customer, analysis_id = shaped(id_key=key, list_id_key=key)
    assert json.loads(customer.results(analysis_id).body)[key] == analysis_id
    assert customer.get("/analysis")["analyses"][0][key] == analysis_id


@pytest.mark.parametrize(
    ("lists", "items", "outline"),
    [
        ("bare", "strings", ["ID"]),
        ("analyses", "strings", {"analyses": ["ID"]}),
        ("data", "strings", {"data": ["ID"]}),
    ],
)
def test_lists_can_be_bare_or_wrapped(lists: Any, items: Any, outline: Any) -> None:
    """Every wrapper, with bare ids."""
    customer, analysis_id = shaped(lists=lists, items=items)
    assert json.dumps(customer.get("/analysis")).replace(analysis_id, "ID") == json.dumps(outline)


def test_a_subjects_list_can_have_objects() -> None:
    """Bare ids are the assumed default."""
    customer = Customer(shapes=ResponseShapes(subject_items="objects"))
    subject_id = customer.post("/subjects", {})["subject_id"]
    customer.start(subject_id=subject_id)
    assert customer.get(f"/analysis/subjects/{subject_id}")["analyses"][0]["subject_id"] == subject_id


@pytest.mark.parametrize(("style", "kind"), [("object", dict), ("array", list)])
@pytest.mark.parametrize(("scale", "most"), [("fraction", 1), ("percent", 100)])
def test_running_styles_have_two_forms_and_two_scales(style: Any, kind: type, scale: Any, most: int) -> None:
    """An object or an array of one, 0-1 or 0-100."""
    customer, analysis_id = shaped(running_styles=style, running_percentage=scale)
    found = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["running_styles"]
    assert isinstance(found, kind)
    one: Any = found[0] if isinstance(found, list) else found
    assert most / 100 < one["percentage"] <= most


def test_ranges_can_be_lists_of_pairs() -> None:
    """A range can be a pair in a list, in side and back view."""
    customer, analysis_id = shaped(ranges="pairs", fields={"analysis_type": "back_view"})
    content = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["analysis_content"]
    [pair] = content["pronation"]["left"]["range_good"]
    assert len(pair) == 2


@pytest.mark.parametrize(
    ("landmarks", "outline"),
    [("xy", ["x", "y"]), ("pair", [0, 1]), ("xyz_score", ["x", "y", "z", "score"])],
)
def test_landmarks_have_three_forms(landmarks: Any, outline: list[Any]) -> None:
    """Every landmark of every frame has the chosen form."""
    customer, analysis_id = shaped(landmarks=landmarks)
    frames = customer.get(f"/analysis/{analysis_id}/results/raw_data")["frames"]
    point = next(iter(frames["0"].values()))
    assert (list(point) if isinstance(point, dict) else list(range(len(point)))) == outline


def test_frames_can_be_numbered_from_one() -> None:
    """The first frame is 0 or 1; nothing else changes."""
    customer, analysis_id = shaped(first_frame=1)
    frames = customer.get(f"/analysis/{analysis_id}/results/raw_data")["frames"]
    assert ("0" in frames, "1" in frames, str(len(frames)) in frames) == (False, True, True)


@pytest.mark.parametrize(
    ("gaps", "frame"),
    [("none", "complete"), ("missing", "short"), ("null", "null"), ("frames", "absent")],
)
def test_raw_data_can_have_gaps(gaps: Any, frame: str) -> None:
    """In every fifth frame a landmark is missing or null, or the frame is missing."""
    customer, analysis_id = shaped(gaps=gaps)
    frames = customer.get(f"/analysis/{analysis_id}/results/raw_data")["frames"]
    fifth = frames.get("4")
    if fifth is None:
        found = "absent"
    elif None in fifth.values():
        found = "null"
    else:
        found = "short" if len(fifth) < len(frames["0"]) else "complete"
    assert found == frame


@pytest.mark.parametrize(
    ("shape", "while_pending", "expected"),
    [
        ("number", [0], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("absent", ["absent"], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("null", [None], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("float", [0.0], lambda numbers: any(it != int(it) for it in numbers)),
        ("over", [0], lambda numbers: max(numbers) > 100),
        ("falling", [0], lambda numbers: numbers != sorted(numbers)),
    ],
)
def test_percentages_can_have_every_shape(shape: Any, while_pending: list[Any], expected: Any) -> None:
    """Integer, absent, null, fractional, above 100 and falling percentages."""
    customer = Customer(shapes=ResponseShapes(percentage=shape))
    analysis_id = customer.start()
    found: dict[str, list[Any]] = {"pending": [], "analyzing": [], "success": []}
    while customer.now < NOW + 40:
        body = json.loads(customer.results(analysis_id).body)
        found[body["status"]].append(body.get("percentage", "absent"))
        customer.now += 0.5
    assert found["pending"][:1] == while_pending
    assert expected(found["analyzing"])


@pytest.mark.parametrize(("others", "outline"), [("absent", "absent"), ("null", None), ("empty", {})])
def test_unrequested_joints_can_be_absent_null_or_empty(others: Any, outline: Any) -> None:
    """The two joints that `full_body=false` leaves out."""
    customer, analysis_id = shaped(
        unrequested_joints=others, fields={"analysis_type": "back_view", "full_body": "false"}
    )
    content = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["analysis_content"]
    assert "left" in content["pronation"]
    assert {content.get(name, "absent") == outline for name in ("knee_adduction", "pelvic_drop")} == {True}


def test_unknown_keys_can_be_everywhere() -> None:
    """States, analyses, errors and lists have an unknown key; frames do not."""
    customer, analysis_id = shaped(extra_keys=True)
    body = json.loads(customer.results(analysis_id).body)
    assert "x_unknown" in body
    assert "x_unknown" in body["biomechanical_analysis"]["analysis_content"]["arm"]["texts"]
    assert "x_unknown" in json.loads(customer.ask("GET", "/subjects", key=None).body)
    raw = customer.get(f"/analysis/{analysis_id}/results/raw_data")
    assert "x_unknown" in raw
    assert "x_unknown" not in raw["frames"]


def test_an_unknown_status_can_come_first() -> None:
    """It lasts for the chosen time; then the known statuses follow."""
    customer = Customer(shapes=ResponseShapes(unknown_status="queued_v2", unknown_status_seconds=3))
    analysis_id = customer.start()
    found: list[str] = []
    for later in (0, 2.9, 3.1, 100):
        customer.now = NOW + later
        found.append(json.loads(customer.results(analysis_id).body)["status"])
    assert found == ["queued_v2", "queued_v2", "analyzing", "success"]


def test_the_foot_strike_pattern_can_be_unknown() -> None:
    """The values of the pattern are an open set."""
    customer, analysis_id = shaped(foot_strike_pattern="toe_dance")
    content = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["analysis_content"]
    assert content["foot"]["foot_strike_pattern"] == "toe_dance"


def test_errors_can_lack_their_code() -> None:
    """`code` is optional even where it is documented."""
    customer = Customer(credits=0, shapes=ResponseShapes(error_codes=False))
    assert set(json.loads(customer.send().body)) == {"detail"}


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_keys": set()},
        {"api_keys": {""}},
        {"credits": -1},
        {"concurrent_analyses": 0},
        {"analysis_seconds": (30, 10)},
        {"analysis_seconds": (-1, 10)},
        {"failure_rate": 1.1},
        {"max_upload_bytes": 0},
        {"signed_url_seconds": 0},
        {"storage_url": "ftp://example.com"},
        {"storage_url": "https://example.com/"},
        {"frames_per_second": 1000},
        {"log_limit": 0},
    ],
)
def test_invalid_settings_are_an_error(wrong: dict[str, Any]) -> None:
    """Settings are validated when they are made, not in the middle of a test."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)


def test_one_string_is_not_a_set_of_keys() -> None:
    """It would become a set of letters."""
    with pytest.raises(TypeError, match="not one string"):
        EmulatorSettings(api_keys="emulator-key")


@pytest.mark.parametrize(
    "wrong", [{"lists": "xml"}, {"first_frame": 2}, {"percentage": "none"}, {"unknown_status_seconds": -1}]
)
def test_an_invalid_shape_is_an_error(wrong: dict[str, Any]) -> None:
    """Shapes are validated when they are made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ResponseShapes(**wrong)


def test_at_least_one_credit_is_bought() -> None:
    """Zero credits are an error."""
    with pytest.raises(ValueError, match="at least 1"):
        Customer().service.add_credits(0)


# Clips and the table of behaviors


@pytest.mark.parametrize(
    ("kind", "at", "mark"),
    [("mp4", 4, b"ftypisom"), ("mov", 4, b"ftypqt  "), ("avi", 8, b"AVI "), ("webm", 0, b"\x1aE")],
)
@pytest.mark.parametrize("size", [64, 12_345, 200_000])
def test_a_sample_clip_has_the_signature_of_its_container(kind: Any, at: int, mark: bytes, size: int) -> None:
    """And exactly the requested size."""
    clip = sample_clip(1, container=kind, size=size)
    assert (len(clip), clip[at : at + len(mark)]) == (size, mark)


def test_sample_clips_differ_by_seed_and_are_the_same_in_every_run() -> None:
    """A range of seeds makes a batch of distinct clips."""
    assert sample_clip(1) == sample_clip(1) != sample_clip(2)
    assert hashlib.sha256(sample_clip(7, size=100)).hexdigest().startswith("329b49fd")


@pytest.mark.parametrize(("wrong", "word"), [({"size": 63}, "size"), ({"container": "mkv"}, "container")])
def test_an_invalid_sample_clip_is_an_error(wrong: dict[str, Any], word: str) -> None:
    """The message names the argument and its bounds."""
    with pytest.raises(ValueError, match=word):
        sample_clip(1, **wrong)


def test_every_behavior_has_a_source_and_is_listed_once() -> None:
    """Each is documented or assumed."""
    behaviors = [(it.topic, it.description) for it in BEHAVIORS]
    assert len(behaviors) == len(set(behaviors)) > 30
    assert {it.source for it in BEHAVIORS} == {"documented", "assumed"}


# Imports

PACKAGE = Path(ochy_async.emulator.__file__).parent
SOCKETS_AND_LOOPS = {
    "aiohttp",
    "anyio",
    "asyncio",
    "tempfile",
    "threading",
    "socket",
    "time",
    "os",
    "pathlib",
    "random",
}
IMPURE = {
    *("server.py", "in_process.py", "dispatcher.py", "loopback_poster.py"),
    *("multipart.py", "pytest_plugin.py", "virtual_time.py"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(dots, name) of every import in the file, in functions too; `from . import a` counts as `.a`."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [alias.name for alias in node.names] if node.module is None else [node.module]
            found += [(node.level, name) for name in inner]
            if node.level and node.module is not None:
                found += [(node.level, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_the_emulator_never_imports_the_client(path: Path) -> None:
    """No module imports from outside the package, except that the in-process transport uses two modules."""
    depth = len(path.relative_to(PACKAGE).parts)
    outside = {name for dots, name in imports_of(path) if dots > depth or (dots == 0 and name.startswith("ochy_async"))}
    allowed = {"errors", "errors.Phase", "protocol", "protocol.wire"} if path.name == "in_process.py" else set[str]()
    assert outside <= allowed


@pytest.mark.parametrize("path", [it for it in MODULES if it.name not in IMPURE], ids=lambda it: it.name)
def test_the_pure_modules_are_pure(path: Path) -> None:
    """They import no clock, random source, file system, event loop or socket, and no module that does."""
    roots = {name.split(".")[0] for dots, name in imports_of(path) if dots == 0}
    assert not roots & SOCKETS_AND_LOOPS
    neighbors = {f"{name.split('.')[0]}.py" for dots, name in imports_of(path) if dots > 0}
    # The package's `__init__` names its modules for type checkers and loads them on first use.
    assert path.name == "__init__.py" or not neighbors & IMPURE
