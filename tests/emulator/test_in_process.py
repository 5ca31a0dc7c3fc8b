"""The in-process transport: requests of the client in virtual time, without a socket."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    EmulatorSettings,
    FaultPlan,
    FaultRule,
    InProcessTransport,
    Redirect,
    RefuseConnection,
    ReplaceBody,
    Respond,
    RespondAfter,
    RespondHtml,
    RetryAfter,
    Service,
    Throttle,
    TruncateBody,
    gzip_bomb,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import ConnectionFailed, Phase, UnreadableAnswer
from ochy_async.protocol import routes
from ochy_async.protocol.wire import Request, Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ochy_async.emulator import Fault
    from ochy_async.protocol.wire import Response

CLIP = bytes(range(250)) * 400
SHA256 = hashlib.sha256(CLIP).hexdigest()


class ChunkedClip:
    """A clip in ten chunks that records how much was read and whether it was closed."""

    def __init__(self, content: bytes = CLIP) -> None:
        self.content = content
        self.taken = 0
        self.closed = False
        self.opened: list[AsyncGenerator[bytes]] = []

    def chunks(self) -> AsyncGenerator[bytes]:
        # Held on to, so that the collector cannot close what the transport forgot.
        self.opened.append(self._chunks())
        return self.opened[-1]

    async def _chunks(self) -> AsyncGenerator[bytes]:
        try:
            for first in range(0, len(self.content), 10_000):
                chunk = self.content[first : first + 10_000]
                self.taken += len(chunk)
                yield chunk
        finally:
            self.closed = True

    def request(self, size: int = len(CLIP), **fields: str) -> Request:
        upload = Upload(tuple(fields.items()), "video", "run.mp4", "video/mp4", size, self.chunks)
        return Request(routes.START, routes.START.path(), upload=upload)


def planned(fault: Fault) -> FaultPlan:
    return FaultPlan([FaultRule("*", fault)])


def asked(transport: InProcessTransport, request: Request | None = None) -> Response:
    return in_virtual_time(transport.send(request or ChunkedClip().request()))


def get(route: routes.Route, **parts: str) -> Request:
    return Request(route, route.path(**parts))


def connection_error(fault: Fault, request: Request) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        asked(InProcessTransport(faults=planned(fault)), request)
    return caught.value


# Without faults


def test_a_clip_arrives_completely_and_is_hashed() -> None:
    """The service sees every byte, the fields and the name; the transport adds the key."""
    service = Service()
    clip = ChunkedClip()
    response = asked(InProcessTransport(service), clip.request(height="1.8"))
    assert (response.status, response.request_complete) == (202, True)
    assert (service.charges_of(SHA256), clip.taken, clip.closed) == (1, len(CLIP), True)


def test_an_analysis_takes_no_real_time() -> None:
    """Half a minute of the service is half a minute of the virtual clock."""

    async def story() -> list[str]:
        transport = InProcessTransport()
        started = json.loads((await transport.send(ChunkedClip().request())).body)
        found: list[str] = []
        for _ in range(3):
            response = await transport.send(get(routes.RESULTS, analysis_id=started["video_id"]))
            found.append(json.loads(response.body)["status"])
            await anyio.sleep(15.5)
        return found

    assert in_virtual_time(story()) == ["pending", "analyzing", "success"]


def test_json_is_sent_and_received() -> None:
    """Bodies are JSON in both directions, and header names are lower-case."""
    transport = InProcessTransport()
    response = asked(transport, Request(routes.CREATE_SUBJECT, "/subjects", json={"name": "Zoë"}))
    assert (response.status, response.headers["content-type"]) == (201, "application/json")
    subject_id = json.loads(response.body)["subject_id"]
    profile = json.loads(asked(transport, get(routes.GET_SUBJECT, subject_id=subject_id)).body)
    assert profile["name"] == "Zoë"


def test_the_query_of_a_request_is_sent() -> None:
    """Parameters besides the key reach the service, and cannot replace the key."""
    request = Request(routes.GET_WEBHOOK, "/webhook", query=(("page", "2"), ("apiKey", "mine")))
    assert asked(InProcessTransport(), request).status == 200


@pytest.mark.parametrize(("key", "status"), [(None, 200), ("guessed", 403), ("", 401)])
def test_the_default_key_is_that_of_the_service(key: str | None, status: int) -> None:
    """Without an explicit key it uses an accepted one."""
    assert asked(InProcessTransport(EmulatorSettings(), api_key=key), get(routes.GET_WEBHOOK)).status == status


def test_the_clock_can_be_replaced() -> None:
    """A clock returns seconds since the epoch."""
    service = Service()
    asked(InProcessTransport(service, clock=lambda: 12.0))
    assert service.ledger[0].at == 12.0


@pytest.mark.parametrize("latency", [3.0, lambda: 3.0])
def test_latency_passes_before_and_after_the_service(latency: Any) -> None:
    """Half of it before the service sees the request, half after."""

    async def story() -> tuple[float, float]:
        transport = InProcessTransport(latency=latency, clock=anyio.current_time)
        begun = anyio.current_time()
        await transport.send(ChunkedClip().request())
        return transport.service.ledger[0].at - begun, anyio.current_time() - begun

    assert in_virtual_time(story()) == (1.5, 3.0)


@pytest.mark.parametrize("size", [len(CLIP) - 1, len(CLIP) + 1])
def test_an_upload_with_a_wrong_declared_size_never_arrives(size: int) -> None:
    """A form that is shorter or longer than declared is an incomplete request."""
    service, clip = Service(), ChunkedClip()
    with pytest.raises(ConnectionFailed) as caught:
        asked(InProcessTransport(service), clip.request(size))
    assert (caught.value.phase, service.ledger, clip.closed) == (Phase.INCOMPLETE, (), True)


def test_an_empty_upload_is_complete() -> None:
    """Its declared size is 0."""
    assert asked(InProcessTransport(), ChunkedClip(b"").request(0)).status == 202


def test_an_error_of_the_clip_reaches_the_caller() -> None:
    """It is not a network error, and nothing is charged."""

    async def broken() -> AsyncGenerator[bytes]:
        yield CLIP[:10]
        raise OSError("the disk is gone")

    upload = Upload((), "video", "run.mp4", "video/mp4", 100, broken)
    service = Service()
    with pytest.raises(OSError, match="the disk"):
        asked(InProcessTransport(service), Request(routes.START, "/analysis/start", upload=upload))
    assert service.requests == ()


def test_a_closed_transport_sends_nothing() -> None:
    """A request after `aclose` is an error."""

    async def story() -> None:
        transport = InProcessTransport()
        await transport.aclose()
        await transport.aclose()
        await transport.send(get(routes.GET_WEBHOOK))

    with pytest.raises(RuntimeError, match="closed"):
        in_virtual_time(story())


# Faults


@pytest.mark.parametrize(
    ("fault", "phase", "charged", "taken"),
    [
        (RefuseConnection(), Phase.NOT_SENT, 0, 0),
        (DisconnectBefore(), Phase.INCOMPLETE, 0, 0),
        (DisconnectDuring(25_000), Phase.INCOMPLETE, 0, 30_000),
        (DisconnectDuring(len(CLIP)), Phase.COMPLETE, 0, len(CLIP)),
        (DisconnectAfter(charged=False), Phase.COMPLETE, 0, len(CLIP)),
        (DisconnectAfter(), Phase.COMPLETE, 1, len(CLIP)),
        (TruncateBody(5), Phase.COMPLETE, 1, len(CLIP)),
    ],
    ids=repr,
)
def test_the_phase_of_an_interrupted_start(fault: Fault, phase: Phase, charged: int, taken: int) -> None:
    """The phase is what a client can know over a network; the ledger shows whether it was charged."""
    service, clip = Service(), ChunkedClip()
    with pytest.raises(ConnectionFailed) as caught:
        asked(InProcessTransport(service, planned(fault)), clip.request())
    assert (caught.value.phase, caught.value.route) == (phase, "POST /analysis/start")
    assert (len(service.ledger), clip.taken) == (charged, taken)
    assert clip.closed or not clip.taken


@pytest.mark.parametrize("fault", [DisconnectDuring(25_000), Throttle(1000, direction="upload")], ids=repr)
def test_a_clip_is_closed_before_the_call_ends(fault: Fault) -> None:
    """Also when the call is interrupted or cancelled, and not later by the garbage collector."""
    clip = ChunkedClip()

    async def story() -> bool:
        with anyio.move_on_after(35), suppress(ConnectionFailed):
            await InProcessTransport(faults=planned(fault)).send(clip.request())
        return clip.closed

    assert in_virtual_time(story())


@pytest.mark.parametrize(
    "fault", [DisconnectBefore(), DisconnectDuring(5), DisconnectAfter(), TruncateBody(0)], ids=repr
)
@pytest.mark.parametrize(
    "request_",
    [get(routes.GET_WEBHOOK), Request(routes.CREATE_SUBJECT, "/subjects", json={})],
    ids=["GET", "JSON"],
)
def test_an_interrupted_request_without_an_upload_was_complete(fault: Fault, request_: Request) -> None:
    """Headers and a small body are sent at once, so whether they arrived is unknown."""
    assert connection_error(fault, request_).phase is Phase.COMPLETE


def test_a_refused_connection_sends_nothing() -> None:
    """Whatever the request is."""
    assert connection_error(RefuseConnection(), get(routes.GET_WEBHOOK)).phase is Phase.NOT_SENT


@pytest.mark.parametrize(
    ("fault", "status", "charged", "complete"),
    [
        (Respond(503), 503, 0, True),
        (Respond(413, early=True), 413, 0, False),
        (RespondAfter(500), 500, 1, True),
        (RespondHtml(502), 502, 0, True),
        (RetryAfter("1"), 429, 0, True),
        (Redirect("https://example.com/"), 302, 0, True),
        (Redirect("https://example.com/", reaches_service=True), 302, 1, True),
        (ReplaceBody(b"not json"), 202, 1, True),
        (Delay(600), 202, 1, True),
        (Throttle(1), 202, 1, True),
    ],
    ids=repr,
)
def test_the_response_and_the_charge_of_each_fault(fault: Fault, status: int, charged: int, complete: bool) -> None:
    """The same as over a socket, but minutes pass in an instant."""
    service = Service()
    response = asked(InProcessTransport(service, planned(fault)))
    assert (response.status, response.request_complete) == (status, complete)
    assert service.charges_of(SHA256) == charged


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(Delay(60), 60), (Delay(60, after=True), 60), (Throttle(2), 1), (Throttle(1000, direction="upload"), 100)],
    ids=repr,
)
def test_waits_are_exact_in_virtual_time(fault: Fault, seconds: float) -> None:
    """A throttled body takes its size divided by the rate."""

    async def story() -> float:
        transport = InProcessTransport(faults=planned(fault))
        begun = anyio.current_time()
        request = ChunkedClip().request() if fault == Throttle(1000, direction="upload") else get(routes.GET_WEBHOOK)
        await transport.send(request)
        return anyio.current_time() - begun

    assert in_virtual_time(story()) == pytest.approx(seconds)


@pytest.mark.parametrize(("fault", "charged"), [(Delay(60), 0), (Delay(60, after=True), 1)], ids=repr)
def test_a_cancelled_start_is_charged_if_the_service_saw_it(fault: Fault, charged: int) -> None:
    """It did if the delay was after the service. The clip is closed."""
    service, clip = Service(), ChunkedClip()

    async def story() -> None:
        with anyio.move_on_after(30):
            await InProcessTransport(service, planned(fault)).send(clip.request())

    in_virtual_time(story())
    assert len(service.ledger) == charged
    assert clip.closed == bool(charged)


def test_compressed_responses_are_decompressed() -> None:
    """As a real transport does."""
    response = asked(InProcessTransport(faults=planned(gzip_bomb(1_000_000))), get(routes.GET_WEBHOOK))
    assert (len(response.body), "content-encoding" in response.headers) == (1_000_000, False)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (gzip_bomb(70_000_000), UnreadableAnswer),
        (ReplaceBody(bytes(65 * 2**20)), UnreadableAnswer),
        (ReplaceBody(b"no gzip", {"Content-Encoding": "gzip"}), ConnectionFailed),
        (ReplaceBody(b"\x1f\x8b", {"Content-Encoding": "gzip"}), ConnectionFailed),
    ],
    ids=["bomb", "large", "corrupt", "short"],
)
def test_responses_that_no_transport_accepts(fault: Fault, error: type[Exception]) -> None:
    """Too large after decompression, or corrupt."""
    with pytest.raises(error):
        asked(InProcessTransport(faults=planned(fault)), get(routes.GET_WEBHOOK))


def test_requests_are_counted_by_route() -> None:
    """A source of faults gets the route's template and the number of the request to it."""
    found: list[tuple[str, int]] = []

    class Plan:
        def fault_for(self, route: str, count: int) -> Fault | None:
            found.append((route, count))
            return None

    transport = InProcessTransport(faults=Plan())
    for request in (
        get(routes.GET_WEBHOOK),
        get(routes.RESULTS, analysis_id="a"),
        get(routes.RESULTS, analysis_id="b"),
    ):
        asked(transport, request)
    results = "GET /analysis/{analysis_id}/results"
    assert found == [("GET /webhook", 1), (results, 1), (results, 2)]


def test_every_route_of_the_client_is_known_to_the_service() -> None:
    """Both were written independently: no call may be an unknown path or method."""
    transport = InProcessTransport()
    parts = {"analysis_id": "a", "subject_id": "s"}
    for route in routes.ROUTES:
        names = {name: value for name, value in parts.items() if f"{{{name}}}" in route.template}
        asked(transport, get(route, **names))
    assert [f"{it.method} {it.template}" for it in transport.service.requests] == [str(it) for it in routes.ROUTES]
    assert all(it.status != 405 for it in transport.service.requests)
