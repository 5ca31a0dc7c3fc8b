"""The emulated service, asked directly: pure values in and out, no loop and no waiting."""

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
    """Asks a service and moves the time by hand."""

    def __init__(self, **world: Any) -> None:
        self.service = Service(EmulatorSettings(**world))
        self.now = NOW

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = KEY, **more: Any) -> ServiceResponse:
        url = urlsplit(path)
        query = dict(parse_qsl(url.query)) | ({"apiKey": key} if key is not None else {})
        told = b"" if body is None else json.dumps(body).encode()
        return self.service.handle(ServiceRequest(method, url.path, query, body=told, **more), self.now)

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
    """A request without `apiKey` is refused in the vendor's words."""
    answer = Customer().ask("GET", "/subjects", key=None)
    assert (answer.status, detail(answer)) == (401, "API Key is missing")


def test_a_wrong_key_is_a_403() -> None:
    """A key that was never given out is refused in the vendor's words."""
    answer = Customer().ask("GET", "/subjects", key="guessed")
    assert (answer.status, detail(answer)) == (403, "Invalid API Key")


def test_rotation_kills_the_old_key_at_once() -> None:
    """After a rotation only the new key is accepted."""
    customer = Customer()
    customer.service.rotate_key(KEY, "second-key")
    statuses = [customer.ask("GET", "/subjects", key=key).status for key in (KEY, "second-key")]
    assert statuses == [403, 200]
    assert customer.service.api_key == "second-key"


def test_rotating_an_unknown_key_is_refused() -> None:
    """What is not accepted cannot be rotated."""
    with pytest.raises(ValueError, match="rotate"):
        Customer().service.rotate_key("guessed", "second-key")


# Start


def test_a_start_answers_202_with_message_and_id() -> None:
    """The answer to a start is the documented one."""
    answer = Customer().send()
    body = json.loads(answer.body)
    assert answer.status == 202
    assert set(body) == {"message", "video_id"}
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", body["video_id"])


def test_a_start_takes_one_credit_and_the_ledger_says_for_what() -> None:
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
    """There is no idempotency: that is what the client is for."""
    customer = Customer()
    assert customer.start() != customer.start()
    assert customer.service.charges_of(hashlib.sha256(b"clip").hexdigest()) == 2


def test_without_credits_a_start_is_a_402_and_not_charged() -> None:
    """The last credit is taken, the next start refused, and bought credits help."""
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
def test_the_fields_of_a_start_are_judged(fields: dict[str, str], status: int) -> None:
    """Each field has its bounds, and a refusal is not charged."""
    customer = Customer()
    assert customer.send(**fields).status == status
    assert len(customer.service.ledger) == (status == 202)


def test_422_carries_a_list_in_detail() -> None:
    """What FastAPI says names the field."""
    assert detail(Customer().send(height="175"))[0]["loc"] == ["body", "height"]


def test_a_start_without_a_video_is_a_422() -> None:
    """A form without its file, and no form at all, are refused."""
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
def test_the_video_is_judged_by_size_and_name(size: int, filename: str, status: int, code: str | None) -> None:
    """30 MB that really arrived, and four extensions."""
    customer = Customer()
    answer = customer.ask("POST", "/analysis/start", form=Form({}, UploadedVideo(filename, size, "00" * 32)))
    assert (answer.status, json.loads(answer.body).get("code")) == (status, code)


def movie_header(seconds: float, *, wide: bool = False) -> bytes:
    times, width = (bytes(16), 8) if wide else (bytes(8), 4)
    length = int(seconds * 1000).to_bytes(width, "big")
    return sample_clip(1, size=100)[:24] + b"mvhd" + bytes([wide, 0, 0, 0]) + times + b"\x00\x00\x03\xe8" + length


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(("seconds", "status"), [(9.9, 202), (10.0, 202), (10.1, 400), (0, 202)])
def test_a_video_longer_than_ten_seconds_is_refused_where_its_header_tells(
    seconds: float, status: int, wide: bool
) -> None:
    """An MP4 whose movie header is at its front is judged by it, in both versions of the header."""
    assert Customer().send(movie_header(seconds, wide=wide)).status == status


def test_a_clip_can_be_declared_too_long() -> None:
    """Bytes that tell no length can be refused as too long by name or digest."""
    assert Customer(too_long_clips={"run.mp4"}).send().status == 400


@pytest.mark.parametrize("charged", [False, True])
def test_whether_a_refused_upload_is_charged_is_a_setting(charged: bool) -> None:
    """The documentation does not say; both worlds exist."""
    customer = Customer(charge_refused_uploads=charged)
    assert customer.send(filename="run.mkv").status == 400
    assert [charge.analysis_id for charge in customer.service.ledger] == [None] * charged


# Results


def test_an_analysis_goes_from_pending_over_analyzing_to_success() -> None:
    """Statuses and their HTTP codes come in the documented order, within the documented time."""
    customer = Customer()
    analysis_id = customer.start()
    told: dict[str, int] = {}
    while customer.now < NOW + 40:
        answer = customer.results(analysis_id)
        told.setdefault(json.loads(answer.body)["status"], answer.status)
        customer.now += 0.5
    assert list(told.items()) == [("pending", 200), ("analyzing", 202), ("success", 200)]


def test_percentages_rise_stick_and_reach_100_at_success_only() -> None:
    """The curve has a plateau, and only the end is 100."""
    customer = Customer()
    analysis_id = customer.start()
    told: list[tuple[str, int]] = []
    while customer.now < NOW + 40:
        body = json.loads(customer.results(analysis_id).body)
        told.append((body["status"], body["percentage"]))
        customer.now += 0.5
    numbers = [number for _, number in told]
    assert numbers == sorted(numbers)
    assert all((number == 100) == (status == "success") for status, number in told)
    assert max(numbers.count(number) for number in set(numbers) - {0, 100}) >= 5


def test_success_carries_urls_and_analysis() -> None:
    """A success has everything, under the documented keys."""
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
    """A failed analysis gives no reason, and its credit is gone."""
    customer = Customer(failing_clips={"run.mp4"})
    analysis_id = customer.finish()
    answer = customer.results(analysis_id)
    assert answer.status == 400
    assert json.loads(answer.body) == {"video_id": analysis_id, "status": "failed"}
    assert customer.service.credits == 999


def test_failures_can_be_a_share_of_the_clips() -> None:
    """The share is drawn by content, so the same clip fails in every run."""

    def failed(share: float) -> set[int]:
        customer = Customer(failure_rate=share)
        ids = {seed: customer.start(str(seed).encode()) for seed in range(40)}
        customer.now += 10_000
        return {seed for seed, analysis_id in ids.items() if customer.results(analysis_id).status == 400}

    assert failed(0.3) == failed(0.3)
    assert 4 < len(failed(0.3)) < 20
    assert len(failed(1.0)) == 40


def test_a_refund_is_a_setting() -> None:
    """In a world that refunds, the credit of a failed analysis is back once it has failed."""
    customer = Customer(failure_rate=1.0, refund_failed_analyses=True, credits=1)
    analysis_id = customer.start()
    assert customer.service.credits == 0
    customer.now += 100
    customer.results(analysis_id)
    assert customer.service.credits == 1


def test_an_unknown_analysis_is_a_404() -> None:
    """All three calls about an analysis need one that exists."""
    customer = Customer()
    paths = [f"/analysis/nobody/results{rest}" for rest in ("", "/calculated_data", "/raw_data")]
    assert [customer.ask("GET", path).status for path in paths] == [404] * 3


def test_analyses_queue_for_slots() -> None:
    """With one slot, the second clip is pending until the first is done."""
    customer = Customer(concurrent_analyses=1, analysis_seconds=(10, 10), queue_seconds=0)
    first, second = customer.start(b"1"), customer.start(b"2")
    seen: list[tuple[str, str]] = []
    for later in (5, 15, 25):
        customer.now = NOW + later
        states = [json.loads(customer.results(it).body)["status"] for it in (first, second)]
        seen.append((states[0], states[1]))
    assert seen == [("analyzing", "pending"), ("success", "analyzing"), ("success", "success")]


def test_two_services_with_the_same_seed_agree() -> None:
    """Ids and answers are a function of what was asked; another seed gives other ids."""
    told = [Customer(seed=seed).results(Customer(seed=seed).start()).status for seed in (1, 1)]
    ids = [Customer(seed=seed).start() for seed in (1, 1, 2)]
    assert told == [404, 404]
    assert ids[0] == ids[1] != ids[2]


# Data


@pytest.mark.parametrize("kind", ["calculated_data", "raw_data"])
def test_data_before_success_is_a_400(kind: str) -> None:
    """Calculated and raw data exist after success only, so never for a failed analysis."""
    customer = Customer(failing_clips={"bad.mp4"})
    good, bad = customer.start(), customer.start(filename="bad.mp4")
    assert customer.ask("GET", f"/analysis/{good}/results/{kind}").status == 400
    customer.now += 100
    told = [customer.ask("GET", f"/analysis/{it}/results/{kind}").status for it in (good, bad)]
    assert told == [200, 400]


def test_calculated_data_has_the_documented_keys() -> None:
    """The keys of a side view are those of the documentation."""
    customer = Customer()
    told = customer.get(f"/analysis/{customer.finish()}/results/calculated_data")
    assert {"metrics", "overstride", "total_score"} <= set(told)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (1920, 1080)),
        ({"treadmill": "true", "pace": "05:00"}, (1080, 1920)),
        ({"analysis_type": "back_view"}, (1080, 1920)),
    ],
)
def test_raw_data_tells_the_orientation_of_the_view(fields: dict[str, str], size: tuple[int, int]) -> None:
    """Landscape for a side view overground, portrait otherwise; frames by number."""
    customer = Customer(frames_per_second=30, default_video_seconds=1)
    told = customer.get(f"/analysis/{customer.finish(**fields)}/results/raw_data")
    video = told["video_input_information"]
    assert (video["width"], video["height"]) == size
    assert sorted(told["frames"], key=int) == [str(number) for number in range(30)]


def test_data_is_kept_for_the_next_time() -> None:
    """Raw data asked for twice is made once, and a key is needed all the same."""
    customer = Customer()
    path = f"/analysis/{customer.finish()}/results/raw_data"
    first = customer.ask("GET", path)
    assert customer.ask("GET", path) is first
    assert customer.ask("GET", path, key="guessed").status == 403


# Signed URLs


def test_a_signed_url_needs_no_key() -> None:
    """Both files can be fetched with what results told, and look like what they are."""
    customer = Customer()
    body = json.loads(customer.results(customer.finish()).body)
    thumbnail, video = (customer.ask("GET", body[name], key=None) for name in ("thumbnail", "output_video"))
    assert (thumbnail.status, thumbnail.headers["content-type"], thumbnail.body[:3]) == (
        200,
        "image/jpeg",
        b"\xff\xd8\xff",
    )
    assert (video.status, video.headers["content-type"], video.body[4:8]) == (200, "video/mp4", b"ftyp")


def test_a_signed_url_dies_after_an_hour_and_asking_again_renews_it() -> None:
    """A dead URL is a 403; results give a fresh one."""
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
    """The signature covers path and whole query: not even the API key may be added."""
    customer = Customer()
    url = json.loads(customer.results(customer.finish()).body)["thumbnail"]
    assert customer.ask("GET", spoil(url), key=None).status == 403


def test_an_unknown_file_is_a_404() -> None:
    """Only two files exist for each analysis."""
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
    """One range of bytes is served, nonsense ignored, and what lies behind the end refused."""
    customer = Customer()
    url = json.loads(customer.results(customer.finish()).body)["thumbnail"]
    whole = customer.ask("GET", url, key=None).body
    answer = customer.ask("GET", url, key=None, headers={"range": wanted})
    assert answer.status == status
    if status != 416:
        assert answer.body == whole[first:] if last is None else whole[first : last + 1]
    if status == 206:
        assert answer.headers["content-range"].endswith(f"/{len(whole)}")


# Lists and subjects


def test_all_analyses_are_listed_newest_first() -> None:
    """Each item tells id, status and time, and the subject when there is one."""
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
    """Only what was linked at the start is listed."""
    customer = Customer()
    subject_id = customer.post("/subjects", {})["subject_id"]
    linked = customer.start(b"1", subject_id=subject_id)
    customer.start(b"2")
    assert customer.get(f"/analysis/subjects/{subject_id}") == {"analyses": [linked]}


def test_lists_may_lag() -> None:
    """In a world with lag a new analysis does not show at once."""
    customer = Customer(listing_lag=30)
    customer.start()
    assert customer.get("/analysis") == {"analyses": []}
    customer.now += 30
    assert len(customer.get("/analysis")["analyses"]) == 1


def test_a_subject_lives_from_creation_to_deletion() -> None:
    """Create, get, update in part, delete; afterwards it is a 404 everywhere."""
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
def test_a_nonsense_profile_is_a_422(body: Any) -> None:
    """Profiles have types and bounds."""
    assert Customer().ask("POST", "/subjects", body).status == 422


# Webhook and exercises


def test_the_webhook_is_empty_until_it_is_set() -> None:
    """`{}` first, then what was put, with its time."""
    customer = Customer()
    assert customer.get("/webhook") == {}
    put = customer.ask("PUT", "/webhook", {"url": "https://example.com/hook", "enabled": True})
    told = {"url": "https://example.com/hook", "enabled": True, "updated_at": "2026-01-01T00:00:00.000Z"}
    assert (put.status, json.loads(put.body), customer.get("/webhook")) == (200, told, told)


@pytest.mark.parametrize(
    "body", [{"url": "http://example.com", "enabled": True}, {"url": "https://e.com"}, {"enabled": True}, None]
)
def test_a_bad_webhook_is_a_422(body: Any) -> None:
    """https only, and both fields."""
    assert Customer().ask("PUT", "/webhook", body).status == 422


def test_exercises_come_as_a_bare_array() -> None:
    """Known keys give exercises, and an unknown language English."""
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
    """404 for what is not there, 405 with `allow` for what is there otherwise."""
    answer = Customer().ask(method, path)
    assert answer.status == status
    assert ("allow" in answer.headers) == (status == 405)


def test_the_log_knows_no_key_and_no_id() -> None:
    """Requests are counted by template and status; secrets and ids are not kept."""
    customer = Customer()
    analysis_id = customer.start()
    customer.results(analysis_id)
    customer.ask("GET", "/subjects", key="guessed-secret")
    service = customer.service
    assert service.count("POST /analysis/start") == 1
    assert service.count("GET /analysis/{analysis_id}/results", 200) == 1
    assert (service.count("GET /subjects", 403), service.count("GET /subjects", 200)) == (1, 0)
    assert not re.search(f"{KEY}|guessed|{analysis_id}", repr(service.requests))


def test_the_log_is_bounded_and_the_counts_go_on() -> None:
    """Memory does not grow with the number of requests."""
    customer = Customer(log_limit=3)
    for _ in range(10):
        customer.ask("GET", "/webhook")
    assert (len(customer.service.requests), customer.service.count("GET /webhook")) == (3, 10)


def test_no_repr_shows_a_key_or_health_data() -> None:
    """What could end in a test report stays out of reprs."""
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
def test_the_id_has_three_names(key: Any) -> None:
    """Start, results and lists can name the id each way."""
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
def test_lists_come_bare_or_wrapped(lists: Any, items: Any, outline: Any) -> None:
    """Every wrapper, with bare ids in it."""
    customer, analysis_id = shaped(lists=lists, items=items)
    assert json.dumps(customer.get("/analysis")).replace(analysis_id, "ID") == json.dumps(outline)


def test_a_subjects_list_may_have_objects() -> None:
    """Bare ids are a guess; objects are the other one."""
    customer = Customer(shapes=ResponseShapes(subject_items="objects"))
    subject_id = customer.post("/subjects", {})["subject_id"]
    customer.start(subject_id=subject_id)
    assert customer.get(f"/analysis/subjects/{subject_id}")["analyses"][0]["subject_id"] == subject_id


@pytest.mark.parametrize(("style", "kind"), [("object", dict), ("array", list)])
@pytest.mark.parametrize(("scale", "most"), [("fraction", 1), ("percent", 100)])
def test_running_styles_have_two_forms_and_two_scales(style: Any, kind: type, scale: Any, most: int) -> None:
    """An object or an array of one, 0-1 or 0-100."""
    customer, analysis_id = shaped(running_styles=style, running_percentage=scale)
    told = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["running_styles"]
    assert isinstance(told, kind)
    one: Any = told[0] if isinstance(told, list) else told
    assert most / 100 < one["percentage"] <= most


def test_ranges_may_be_lists_of_pairs() -> None:
    """A range as a pair in a list, in side and back view alike."""
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


def test_frames_may_be_numbered_from_one() -> None:
    """The first frame is 0 or 1; nothing else changes."""
    customer, analysis_id = shaped(first_frame=1)
    frames = customer.get(f"/analysis/{analysis_id}/results/raw_data")["frames"]
    assert ("0" in frames, "1" in frames, str(len(frames)) in frames) == (False, True, True)


@pytest.mark.parametrize(
    ("gaps", "frame"),
    [("none", "whole"), ("missing", "short"), ("null", "null"), ("frames", "gone")],
)
def test_raw_data_may_have_gaps(gaps: Any, frame: str) -> None:
    """Every fifth frame lacks a landmark, has a null, or is not there."""
    customer, analysis_id = shaped(gaps=gaps)
    frames = customer.get(f"/analysis/{analysis_id}/results/raw_data")["frames"]
    fifth = frames.get("4")
    if fifth is None:
        told = "gone"
    elif None in fifth.values():
        told = "null"
    else:
        told = "short" if len(fifth) < len(frames["0"]) else "whole"
    assert told == frame


@pytest.mark.parametrize(
    ("shape", "while_pending", "oddity"),
    [
        ("number", [0], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("absent", ["absent"], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("null", [None], lambda numbers: all(isinstance(it, int) for it in numbers)),
        ("float", [0.0], lambda numbers: any(it != int(it) for it in numbers)),
        ("over", [0], lambda numbers: max(numbers) > 100),
        ("falling", [0], lambda numbers: numbers != sorted(numbers)),
    ],
)
def test_percentages_have_every_oddity(shape: Any, while_pending: list[Any], oddity: Any) -> None:
    """Absent, null, fractional, over 100 and falling percentages can all be had."""
    customer = Customer(shapes=ResponseShapes(percentage=shape))
    analysis_id = customer.start()
    told: dict[str, list[Any]] = {"pending": [], "analyzing": [], "success": []}
    while customer.now < NOW + 40:
        body = json.loads(customer.results(analysis_id).body)
        told[body["status"]].append(body.get("percentage", "absent"))
        customer.now += 0.5
    assert told["pending"][:1] == while_pending
    assert oddity(told["analyzing"])


@pytest.mark.parametrize(("others", "outline"), [("absent", "absent"), ("null", None), ("empty", {})])
def test_pronation_only_leaves_the_others_open(others: Any, outline: Any) -> None:
    """With `full_body=false` the other joints are absent, null or empty."""
    customer, analysis_id = shaped(
        unrequested_joints=others, fields={"analysis_type": "back_view", "full_body": "false"}
    )
    content = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["analysis_content"]
    assert "left" in content["pronation"]
    assert {content.get(name, "absent") == outline for name in ("knee_adduction", "pelvic_drop")} == {True}


def test_unknown_keys_can_be_everywhere() -> None:
    """States, analyses, errors and lists get a key that nobody knows; frames do not."""
    customer, analysis_id = shaped(extra_keys=True)
    body = json.loads(customer.results(analysis_id).body)
    assert "x_unknown" in body
    assert "x_unknown" in body["biomechanical_analysis"]["analysis_content"]["arm"]["texts"]
    assert "x_unknown" in json.loads(customer.ask("GET", "/subjects", key=None).body)
    raw = customer.get(f"/analysis/{analysis_id}/results/raw_data")
    assert "x_unknown" in raw
    assert "x_unknown" not in raw["frames"]


def test_an_unknown_status_may_come_first() -> None:
    """The odd status is told for its time and then the known ones follow."""
    customer = Customer(shapes=ResponseShapes(unknown_status="queued_v2", unknown_status_seconds=3))
    analysis_id = customer.start()
    told: list[str] = []
    for later in (0, 2.9, 3.1, 100):
        customer.now = NOW + later
        told.append(json.loads(customer.results(analysis_id).body)["status"])
    assert told == ["queued_v2", "queued_v2", "analyzing", "success"]


def test_an_unknown_strike_pattern_can_be_put_in() -> None:
    """The pattern of results is an open set."""
    customer, analysis_id = shaped(foot_strike_pattern="toe_dance")
    content = json.loads(customer.results(analysis_id).body)["biomechanical_analysis"]["analysis_content"]
    assert content["foot"]["foot_strike_pattern"] == "toe_dance"


def test_errors_may_come_without_their_code() -> None:
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
def test_a_world_of_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    """Settings are judged when made, not in the middle of a test."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)


def test_one_text_is_no_set_of_keys() -> None:
    """A key given as it is would become a set of letters."""
    with pytest.raises(TypeError, match="not one string"):
        EmulatorSettings(api_keys="emulator-key")


@pytest.mark.parametrize(
    "wrong", [{"lists": "xml"}, {"first_frame": 2}, {"percentage": "none"}, {"unknown_status_seconds": -1}]
)
def test_a_nonsense_shape_is_refused(wrong: dict[str, Any]) -> None:
    """So are the shapes."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ResponseShapes(**wrong)


def test_credits_are_bought_one_by_one_at_least() -> None:
    """Nobody can buy nothing."""
    with pytest.raises(ValueError, match="at least 1"):
        Customer().service.add_credits(0)


# Clips and the table of behaviors


@pytest.mark.parametrize(
    ("kind", "at", "mark"),
    [("mp4", 4, b"ftypisom"), ("mov", 4, b"ftypqt  "), ("avi", 8, b"AVI "), ("webm", 0, b"\x1aE")],
)
@pytest.mark.parametrize("size", [64, 12_345, 200_000])
def test_a_sample_clip_begins_as_its_container_does(kind: Any, at: int, mark: bytes, size: int) -> None:
    """The signature is there and the size is exact."""
    clip = sample_clip(1, container=kind, size=size)
    assert (len(clip), clip[at : at + len(mark)]) == (size, mark)


def test_sample_clips_differ_by_seed_and_are_the_same_in_every_run() -> None:
    """A batch of distinct clips is a range of seeds."""
    assert sample_clip(1) == sample_clip(1) != sample_clip(2)
    assert hashlib.sha256(sample_clip(7, size=100)).hexdigest().startswith("329b49fd")


@pytest.mark.parametrize(("wrong", "word"), [({"size": 63}, "size"), ({"container": "mkv"}, "container")])
def test_a_nonsense_sample_clip_is_refused(wrong: dict[str, Any], word: str) -> None:
    """Bounds are in the message."""
    with pytest.raises(ValueError, match=word):
        sample_clip(1, **wrong)


def test_the_behaviours_are_marked_and_told_once() -> None:
    """Every line says something of its own and how it is known."""
    lines = [(it.topic, it.description) for it in BEHAVIORS]
    assert len(lines) == len(set(lines)) > 30
    assert {it.source for it in BEHAVIORS} == {"documented", "assumed"}


# The laws of the rooms

ROOM = Path(ochy_async.emulator.__file__).parent
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
IMPURE = {"server.py", "in_process.py", "multipart.py", "pytest_plugin.py", "virtual_time.py"}


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(dots, name) of every import in the file, in functions too; `from . import a` counts as `.a`."""
    told: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            told += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [alias.name for alias in node.names] if node.module is None else [node.module]
            told += [(node.level, name) for name in inner]
            if node.level and node.module is not None:
                told += [(node.level, f"{node.module}.{alias.name}") for alias in node.names]
    return told


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.name)
def test_the_emulator_never_imports_the_client(path: Path) -> None:
    """Nothing from outside the room, but for the words that the direct transport speaks."""
    outside = {name for dots, name in imports_of(path) if dots > 1 or (dots == 0 and name.startswith("ochy_async"))}
    allowed = {"errors", "errors.Phase", "protocol", "protocol.wire"} if path.name == "in_process.py" else set[str]()
    assert outside <= allowed


@pytest.mark.parametrize(
    "path", sorted(it for it in ROOM.glob("*.py") if it.name not in IMPURE), ids=lambda it: it.name
)
def test_the_pure_rooms_are_pure(path: Path) -> None:
    """No clock, chance, disk, loop or socket; and no detour through a neighbor that has them."""
    roots = {name.split(".")[0] for dots, name in imports_of(path) if dots == 0}
    assert not roots & SOCKETS_AND_LOOPS
    neighbors = {f"{name.split('.')[0]}.py" for dots, name in imports_of(path) if dots == 1}
    # The package's own face names its rooms for type checkers and loads them when asked for.
    assert path.name == "__init__.py" or not neighbors & IMPURE
