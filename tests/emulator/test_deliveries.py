"""Deliveries of the emulated service, as values: what is sent when, without an event loop and without a receiver."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from ochy_async.emulator import (
    DeliverySettings,
    DeliveryShapes,
    EmulatorSettings,
    Form,
    Service,
    ServiceRequest,
    UploadedVideo,
)

if TYPE_CHECKING:
    from ochy_async.emulator import LoggedDelivery
    from ochy_async.emulator.messages import DeliveryOutcome

NOW = 1_767_225_600.0
URL = "https://hooks.example.org/secret-token"
LONG = 10_000.0
"""Seconds after which everything has been sent."""


class Account:
    """A service with a webhook, whose deliveries are answered at once."""

    def __init__(self, *, webhook: bool = True, world: dict[str, Any] | None = None, **deliveries: Any) -> None:
        self.service = Service(EmulatorSettings(deliveries=DeliverySettings(**deliveries), **(world or {})))
        if webhook:
            self.service.set_webhook(URL, now=NOW)

    def start(self, name: str = "run.mp4", at: float = NOW, notify: str = "true") -> str:
        """Starts an analysis and returns its id."""
        form = Form({"notify_via_webhook": notify}, UploadedVideo(name, 9, hashlib.sha256(name.encode()).hexdigest()))
        ask = ServiceRequest("POST", "/analysis/start", {"apiKey": self.service.api_key}, form=form)
        analysis_id: str = json.loads(self.service.handle(ask, at).body)["video_id"]
        return analysis_id

    def put_webhook(self, *, enabled: bool) -> None:
        """Stores the webhook as the API does."""
        body = json.dumps({"url": URL, "enabled": enabled}).encode()
        ask = ServiceRequest("PUT", "/webhook", {"apiKey": self.service.api_key}, body=body)
        assert self.service.handle(ask, NOW).status == 200

    def deliver(self, until: float = NOW + LONG, status: int | None = 204) -> list[LoggedDelivery]:
        """Sends what is due, each delivery at its time, and returns everything that was sent until then."""
        outbox, outcome = self.service.outbox, "timed_out" if status is None else "answered"
        while outbox.next_at is not None and outbox.next_at <= until:
            now = outbox.next_at
            if (due := outbox.take(now)) is not None:
                outbox.answered(due, now, _outcome(outcome), status=status, seconds=0.1)
        return list(self.service.deliveries)


def _outcome(word: str) -> DeliveryOutcome:
    return "timed_out" if word == "timed_out" else "answered"


def bodies(deliveries: list[LoggedDelivery]) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in deliveries]


def delivered(**deliveries: Any) -> list[LoggedDelivery]:
    """The deliveries of one analysis with these settings."""
    account = Account(**deliveries)
    account.start()
    return account.deliver()


# The updates


def test_an_analysis_is_reported_from_queued_to_success() -> None:
    """With event, status, percentage, a rising `sequence` and a timestamp, as documented."""
    account = Account()
    analysis_id = account.start()
    found = bodies(account.deliver())
    assert [each["event"].removeprefix("analysis.") for each in found] == [
        *("queued", "started", "progress", "progress", "progress", "completed")
    ]
    assert [each["status"] for each in found] == ["queued", *["running"] * 4, "success"]
    assert [each["percentage"] for each in found] == [0, 0, 25, 50, 75, 100]
    assert [each["sequence"] for each in found] == [1, 2, 3, 4, 5, 6]
    assert {each["video_id"] for each in found} == {analysis_id}
    assert found[0]["timestamp"] == "2026-01-01T00:00:00.000Z"


def test_a_failed_analysis_is_reported_as_failed() -> None:
    """The last update says so."""
    account = Account(world={"failure_rate": 1.0})
    account.start()
    last = bodies(account.deliver())[-1]
    assert (last["event"], last["status"], last["percentage"]) == ("analysis.failed", "failed", 75)


def test_a_milestone_is_reported_when_polls_show_it() -> None:
    """The same moment, so that deliveries and polls do not contradict each other."""
    account = Account(latency_seconds=(0, 0), milestones=(10, 45, 60, 99))
    analysis_id = account.start()
    for each in account.deliver()[2:-1]:
        path = f"/analysis/{analysis_id}/results"
        ask = ServiceRequest("GET", path, {"apiKey": account.service.api_key})
        shown = json.loads(account.service.handle(ask, each.at + 0.01).body)["percentage"]
        assert abs(shown - json.loads(each.body)["percentage"]) <= 1


def test_updates_are_delivered_in_order_and_soon() -> None:
    """By default none overtakes another, however short the analysis is."""
    account = Account(world={"analysis_seconds": (0, 0.1)}, latency_seconds=(0, 5))
    account.start()
    found = account.deliver()
    assert [each.sequence for each in found] == [1, 2, 3, 4, 5, 6]
    assert all(first.at <= second.at for first, second in pairwise(found))
    assert found[-1].at <= NOW + 6.2


def test_the_same_seed_gives_the_same_deliveries() -> None:
    """And another seed gives others."""
    unreliable: dict[str, Any] = {
        "loss_rate": 0.3,
        "duplicate_rate": 0.3,
        "shuffle_rate": 0.3,
        "forgeries_per_second": 1,
    }
    worlds = [Account(world={"seed": seed}, **unreliable) for seed in (1, 1, 2)]
    for account in worlds:
        account.start()
    first, second, third = (account.deliver() for account in worlds)
    assert first == second
    assert [each.at for each in first] != [each.at for each in third]


# Who is notified


def test_only_what_was_started_with_notifications_is_delivered() -> None:
    """`notify_via_webhook` is fixed at the start."""
    account = Account()
    account.start(notify="false")
    assert account.deliver() == []


def test_a_webhook_that_is_stored_after_the_start_gets_nothing() -> None:
    """An enabled webhook must be stored when the analysis starts."""
    account = Account(webhook=False)
    account.start()
    account.service.set_webhook(URL)
    assert account.deliver() == []


def test_a_webhook_that_was_disabled_at_the_start_gets_nothing() -> None:
    """Even if it is enabled later."""
    account = Account(webhook=False)
    account.put_webhook(enabled=False)
    account.start()
    account.put_webhook(enabled=True)
    assert account.deliver() == []


def test_disabling_stops_all_deliveries() -> None:
    """They are logged as not sent, and are not made up for once the webhook is enabled again."""
    account = Account()
    account.start()
    account.deliver(until=NOW + 2.5)
    account.put_webhook(enabled=False)
    account.deliver(until=NOW + 10)
    account.put_webhook(enabled=True)
    outcomes = [each.outcome for each in account.deliver()]
    assert outcomes == ["answered", "answered", "disabled", "disabled", "answered", "answered"]


def test_an_upload_that_is_refused_is_not_reported() -> None:
    """There is no analysis."""
    account = Account(world={"too_long_clips": {"run.mp4"}, "list_refused_uploads": True})
    with pytest.raises(KeyError):
        account.start()
    assert account.deliver() == []


# Retries


@pytest.mark.parametrize("status", [None, 200 - 1, 302, 400, 404, 500])
def test_a_delivery_without_a_2xx_is_repeated(status: int | None) -> None:
    """After each of the pauses, and no further; a time-out counts as no answer."""
    found = [each for each in [*_answered_with(status)] if each.sequence == 1]
    assert [each.attempt for each in found] == [1, 2, 3]
    assert [round(later.at - each.at) for each, later in pairwise(found)] == [7, 11]
    assert {each.outcome for each in found} == {"timed_out" if status is None else "answered"}


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_a_delivery_with_a_2xx_is_not_repeated(status: int) -> None:
    """Every 2xx is as good as 200."""
    assert {each.attempt for each in _answered_with(status)} == {1}


def _answered_with(status: int | None) -> list[LoggedDelivery]:
    account = Account(retry_seconds=[7, 11])
    account.start()
    return account.deliver(status=status)


def test_retries_can_be_switched_off() -> None:
    """Whether the vendor repeats deliveries is unknown."""
    account = Account(retry_seconds=())
    account.start()
    assert len(account.deliver(status=500)) == 6


# Loss, doubles and order


def test_deliveries_can_be_lost() -> None:
    """They take their number with them, and the log shows them as lost."""
    found = _many(loss_rate=0.3)
    assert 0.2 < sum(each.outcome == "lost" for each in found) / len(found) < 0.4
    assert {each.status for each in found if each.outcome == "lost"} == {None}


def test_deliveries_can_be_doubled() -> None:
    """A duplicate is the same delivery with the same number, a little later."""
    found = _many(duplicate_rate=0.3, duplicate_seconds=(1, 1))
    doubles = len(found) - len({each.body for each in found})
    assert 0.2 < doubles / (len(found) - doubles) < 0.4
    assert len(delivered(duplicate_rate=1.0)) == 12


def test_deliveries_can_be_shuffled() -> None:
    """Some arrive after later ones."""
    found = delivered(shuffle_rate=0.5, shuffle_seconds=(20, 40))
    assert sorted(each.sequence or 0 for each in found) == [1, 2, 3, 4, 5, 6]
    assert [each.sequence for each in found] != [1, 2, 3, 4, 5, 6]


def _many(**deliveries: Any) -> list[LoggedDelivery]:
    """The deliveries of fifty analyses."""
    account = Account(**deliveries)
    for number in range(50):
        account.start(f"{number}.mp4")
    return account.deliver()


# Forgery


def test_forged_deliveries_come_at_the_given_rate_until_after_the_end() -> None:
    """They are marked in the log, and are never repeated."""
    account = Account(forgeries_per_second=5.0, kinds=(), world={"analysis_seconds": (20, 20)})
    account.start()
    found = account.deliver(status=500)
    assert {(each.kind, each.sequence, each.attempt) for each in found} == {("forged", None, 1)}
    assert 5 * 30 <= len(found) <= 5 * 32
    assert found[-1].at > NOW + 30


def test_a_flood_is_made_as_it_is_sent() -> None:
    """Memory does not follow the rate."""
    account = Account(forgeries_per_second=1000, world={"log_limit": 10})
    for number in range(20):
        account.start(f"{number}.mp4")
    assert len(account.service.outbox._waiting) == 20  # pyright: ignore[reportPrivateUsage]
    assert len(account.deliver(until=NOW + 2)) == 10


def test_a_forged_success_comes_before_the_end() -> None:
    """It names a real analysis that is still running."""
    account = Account(forgeries_per_second=1, forgeries={"success"}, kinds=())
    analysis_id = account.start()
    (first, *_) = bodies(account.deliver(until=NOW + 2))
    assert (first["video_id"], first["status"], first["percentage"]) == (analysis_id, "success", 100)


def test_a_forged_failure_names_a_real_analysis() -> None:
    """Nothing distinguishes it from a true one."""
    account = Account(forgeries_per_second=1, forgeries={"failure"}, kinds=())
    analysis_id = account.start()
    found = bodies(account.deliver())
    assert {(each["video_id"], each["status"]) for each in found} == {(analysis_id, "failed")}


def test_forged_percentages_are_wrong() -> None:
    """Negative, over 100, huge, a text, or null."""
    found = bodies(delivered(forgeries_per_second=20, forgeries={"percentage"}, kinds=()))
    assert {each["percentage"] for each in found} == {-1, 0, 100, 250.5, 1e308, "99", None}


def test_forged_sequence_numbers_are_huge() -> None:
    """One of them must not deafen the receiver to later, lower ones."""
    found = bodies(delivered(forgeries_per_second=20, forgeries={"sequence"}, kinds=()))
    assert {2**63, 10**40} < {each["sequence"] for each in found}


def test_forged_deliveries_may_name_unknown_analyses() -> None:
    """Each names another one."""
    account = Account(forgeries_per_second=5, forgeries={"unknown_id"}, kinds=())
    analysis_id = account.start()
    found = {each["video_id"] for each in bodies(account.deliver())}
    assert len(found) > 50
    assert analysis_id not in found


def test_rubbish_is_no_delivery_at_all() -> None:
    """Not JSON, not an object, too large, too deep, or of another type."""
    account = Account(forgeries_per_second=20, forgeries={"rubbish"}, kinds=())
    account.start()
    outbox, kinds = account.service.outbox, set[str]()
    while (due := outbox.take(NOW + LONG)) is not None:
        kinds.add(due.delivery.headers["content-type"])
        outbox.answered(due, NOW, "answered", status=400)
    found = {each.body for each in account.service.deliveries}
    assert {b"", b"null", b"[]", b"{"} < found
    assert max(map(len, found)) > 65_536
    assert kinds == {"application/json", "text/plain", "application/x-www-form-urlencoded"}


# Shapes


def test_every_key_and_event_can_have_another_name() -> None:
    """Only `sequence` and `analysis.started` are documented."""
    shapes = DeliveryShapes(
        id_key="analysisId",
        event_key="type",
        status_key="state",
        percentage_key="progress",
        sequence_key="seq",
        timestamp_key="sent_at",
        queued_event="q",
        started_event="s",
        progress_event="p",
        success_event="ok",
    )
    found = bodies(delivered(shapes=shapes))
    assert [each["type"] for each in found] == ["q", "s", "p", "p", "p", "ok"]
    assert {*found[0]} == {"analysisId", "type", "state", "progress", "seq", "sent_at"}
    failed = Account(shapes=DeliveryShapes(failure_event="oh"), world={"failure_rate": 1.0})
    failed.start()
    assert bodies(failed.deliver())[-1]["event"] == "oh"


@pytest.mark.parametrize("key", ["id", "event", "status", "percentage", "sequence", "timestamp"])
def test_a_key_that_is_none_is_left_out(key: str) -> None:
    """Every key may be missing."""
    missing: dict[str, Any] = {f"{key}_key": None}
    found = bodies(delivered(shapes=DeliveryShapes(**missing)))
    assert all(len(each) == 5 for each in found)


@pytest.mark.parametrize(
    ("enveloped", "outer", "inner"),
    [
        ("state", {"event", "sequence", "timestamp", "data"}, {"video_id", "status", "percentage"}),
        ("everything", {"data"}, {"video_id", "status", "percentage", "event", "sequence", "timestamp"}),
    ],
)
def test_an_envelope_holds_the_state_or_everything(enveloped: Any, outer: set[str], inner: set[str]) -> None:
    """One level down."""
    for body in bodies(delivered(shapes=DeliveryShapes(envelope="data", enveloped=enveloped))):
        assert ({*body}, {*body["data"]}) == (outer, inner)


def test_the_words_of_the_status_can_be_those_of_the_api() -> None:
    """Which words the deliveries use is not documented."""
    found = bodies(delivered(shapes=DeliveryShapes(status_words="api")))
    assert [each["status"] for each in found] == ["pending", *["analyzing"] * 4, "success"]


def test_percentages_can_be_fractions() -> None:
    """0-1 instead of 0-100; of a forged text nothing changes."""
    found = bodies(delivered(shapes=DeliveryShapes(percentages="fraction")))
    assert [each["percentage"] for each in found] == [0, 0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(("form", "first"), [("seconds", 1767225600), ("milliseconds", 1767225600000)])
def test_timestamps_can_be_numbers(form: Any, first: int) -> None:
    """Seconds or milliseconds since the epoch."""
    assert bodies(delivered(shapes=DeliveryShapes(timestamps=form)))[0]["timestamp"] == first


def test_unknown_keys_can_be_everywhere() -> None:
    """In the envelope too."""
    found = bodies(delivered(shapes=DeliveryShapes(extra_keys=True, envelope="data")))
    assert all("x_unknown" in each and "x_unknown" in each["data"] for each in found)


def test_milestones_kinds_and_the_first_number_can_be_chosen() -> None:
    """Which updates there are is hardly documented."""
    found = bodies(delivered(milestones=(), kinds={"started", "success"}, first_sequence=0))
    assert [(each["status"], each["sequence"]) for each in found] == [("running", 0), ("success", 1)]


def test_headers_can_be_added() -> None:
    """Besides the type and the sender."""
    account = Account(headers={"x-ochy-event": "yes"})
    account.start()
    due = account.service.outbox.take(NOW + 3)
    assert due is not None
    assert dict(due.delivery.headers) == {
        "content-type": "application/json",
        "user-agent": "Ochy-Emulator",
        "x-ochy-event": "yes",
    }


# The dashboard


def test_the_dashboard_sends_a_test_event() -> None:
    """At once, with the form of an update, about an analysis that does not exist."""
    account = Account()
    known = account.start()
    account.service.send_test_event(NOW)
    (sent,) = [each for each in account.deliver() if each.kind == "test"]
    body = json.loads(sent.body)
    assert (sent.at, sent.status, body["event"]) == (NOW, 204, "webhook.test")
    assert body["video_id"] != known


@pytest.mark.parametrize("stored", [False, True])
def test_a_test_event_needs_an_enabled_webhook(stored: bool) -> None:
    """There is nowhere to send it."""
    account = Account(webhook=False)
    if stored:
        account.put_webhook(enabled=False)
    with pytest.raises(ValueError, match="set_webhook"):
        account.service.send_test_event(NOW)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:5/x", "https://any.org/x"])
def test_the_dashboard_takes_https_and_this_machine(url: str) -> None:
    """Receivers under test rarely have TLS."""
    service = Service()
    service.set_webhook(url)
    ask = ServiceRequest("GET", "/webhook", {"apiKey": service.api_key})
    assert json.loads(service.handle(ask, NOW).body)["url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/tok",
        "ftp://127.0.0.1/tok",
        "tok",
        "",
        "http://127.0.0.1.evil/tok",
        "http://[::1/tok",
        "http://[::1]:x/tok",
    ],
)
def test_the_dashboard_refuses_other_urls_without_repeating_them(url: str) -> None:
    """The rest of the URL may be a token."""
    with pytest.raises(ValueError, match="https URL") as caught:
        Service().set_webhook(url)
    assert "tok" not in str(caught.value)


def test_the_api_takes_https_only() -> None:
    """As documented, also for this machine."""
    service = Service()
    body = json.dumps({"url": "http://127.0.0.1:1/x", "enabled": True}).encode()
    ask = ServiceRequest("PUT", "/webhook", {"apiKey": service.api_key}, body=body)
    assert service.handle(ask, NOW).status == 422


def test_no_repr_shows_the_url() -> None:
    """Its path may be a token."""
    account = Account()
    account.start()
    due = account.service.outbox.take(NOW + 3)
    assert due is not None
    account.service.outbox.answered(due, NOW, "answered", status=204)
    shown = repr((due, account.service.deliveries, account.service.outbox, account.service, account.service.settings))
    assert "secret-token" not in shown


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": {"finished"}},
        {"milestones": (0,)},
        {"milestones": (100,)},
        {"first_sequence": 1.5},
        {"latency_seconds": (2, 1)},
        {"latency_seconds": (1,)},
        {"timeout_seconds": 0},
        {"retry_seconds": (-1,)},
        {"loss_rate": 1.1},
        {"duplicate_rate": -1},
        {"duplicate_seconds": (-1, 0)},
        {"shuffle_rate": 2},
        {"shuffle_seconds": (0, 4000)},
        {"forgeries_per_second": 1001},
        {"forgeries": {"lie"}},
        {"headers": {"x": "a\r\nb"}},
        {"headers": {"": "b"}},
        {"shapes": None},
    ],
    ids=str,
)
def test_invalid_settings_are_an_error(wrong: dict[str, Any]) -> None:
    """Settings are validated when they are made, not in the middle of a test."""
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        DeliverySettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id_key": ""},
        {"event_key": 3},
        {"status_words": "both"},
        {"enveloped": "nothing"},
        {"percentages": "words"},
        {"timestamps": "never"},
        {"queued_event": None},
        {"extra_keys": "yes"},
        {"status_key": "event"},
    ],
    ids=str,
)
def test_an_invalid_shape_is_an_error(wrong: dict[str, Any]) -> None:
    """Two parts of a delivery cannot have one key."""
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        DeliveryShapes(**wrong)


def test_one_string_is_not_a_set_of_kinds() -> None:
    """It would become a set of letters."""
    with pytest.raises(TypeError, match="not one string"):
        DeliverySettings(kinds="test")
