"""The emulated service on a real port, with a plain HTTP client and raw sockets."""

# The filter of the log is private.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import io
import logging
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    Emulator,
    EmulatorSettings,
    FaultPlan,
    FaultRule,
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
    sample_clip,
    server,
)

if TYPE_CHECKING:
    from ochy_async.emulator import Fault

pytestmark = pytest.mark.anyio

START = "POST /analysis/start"
CLIP = sample_clip(1, size=300_000)
SHA256 = hashlib.sha256(CLIP).hexdigest()
VIDEO = b'--b\r\nContent-Disposition: form-data; name="video"; filename="run.mp4"\r\n\r\nclip\r\n'
QUICK = EmulatorSettings(queue_seconds=0, analysis_seconds=(0, 0))


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio only."""
    return "asyncio"


def form(clip: bytes = CLIP, /, filename: str = "run.mp4", **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("video", clip, filename=filename, content_type="video/mp4")
    return data


class Customer:
    """A plain client of one emulator."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.http = http

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        query = {"apiKey": self.emulator.api_key}
        url = self.emulator.url + path
        async with self.http.request(method, url, params=query, allow_redirects=False, **more) as answer:
            content = await answer.json() if answer.content_type == "application/json" else await answer.read()
            return answer.status, content

    async def start(self, **fields: str) -> tuple[int, Any]:
        return await self.ask("POST", "/analysis/start", data=form(**fields))


def planned(fault: Fault, route: str = "*") -> FaultPlan:
    return FaultPlan([FaultRule(route, fault)])


# Without faults


async def test_a_clip_is_analyzed_over_a_real_socket() -> None:
    """Form, results, data, lists and signed URLs."""
    async with Emulator(QUICK) as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        status, body = await customer.start(height="1.8", analysis_type="back_view")
        results = f"/analysis/{body['video_id']}/results"
        assert status == 202
        assert emulator.service.charges_of(SHA256) == 1
        status, body = await customer.ask("GET", results)
        assert (status, body["status"]) == (200, "success")
        assert (await customer.ask("GET", f"{results}/raw_data"))[0] == 200
        async with http.get(body["thumbnail"], headers={"Range": "bytes=0-2"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"\xff\xd8\xff")


async def test_storage_has_an_origin_of_its_own() -> None:
    """The signed URLs have another port, as the vendor's have another host."""
    async with Emulator(QUICK) as emulator:
        assert emulator.service.storage_url != emulator.url
        assert emulator.service.storage_url.startswith("http://127.0.0.1:")


async def test_json_bodies_and_errors_over_a_socket() -> None:
    """Subjects by POST and PUT, errors with their codes."""
    async with Emulator(EmulatorSettings(credits=0)) as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        status, body = await customer.ask("POST", "/subjects", json={"name": "Zoë"})
        assert status == 201
        assert (await customer.ask("GET", f"/subjects/{body['subject_id']}"))[1]["name"] == "Zoë"
        assert (await customer.start())[1]["code"] == "insufficient_credits"
        assert (await customer.ask("POST", "/subjects", data=io.BytesIO(b" " * 1_100_000 + b"{}")))[0] == 422


async def test_emulators_can_share_a_service() -> None:
    """Two emulators, one after the other, have the same account."""
    service = Service(QUICK)
    for _ in range(2):
        async with Emulator(service) as emulator, aiohttp.ClientSession() as http:
            await Customer(emulator, http).start()
    assert service.charges_of(SHA256) == 2


async def test_speed_shortens_analyses() -> None:
    """At a hundred times the speed an analysis of half a minute takes less than half a second."""
    async with Emulator(EmulatorSettings(), speed=200) as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        _, started = await customer.start()
        status = ""
        while status != "success":
            _, body = await customer.ask("GET", f"/analysis/{started['video_id']}/results")
            status = body["status"]
            await asyncio.sleep(0.01)


async def test_the_clock_can_be_replaced() -> None:
    """The service uses the clock of the test."""
    moments = [1000.0]
    emulator = Emulator(clock=lambda: moments[0], speed=2)
    moments[0] += 5
    assert emulator.now == 1010.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b"no boundary at all",
        b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\nabc',
        b'--b\r\nContent-Disposition: form-data; name="height"\r\n\r\n\xff\xfe\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--\r\n",
        VIDEO + b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"1" * 70_000 + b"\r\n--b--\r\n",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
        VIDEO + b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 70 + b"--b--\r\n",
    ],
    ids=["empty", "short", "text", "open", "bytes", "nameless", "large", "nested", "many"],
)
async def test_a_malformed_form_is_a_422(body: bytes) -> None:
    """It is rejected and not charged."""
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        status, _ = await Customer(emulator, http).ask("POST", "/analysis/start", data=body, headers=headers)
        assert (status, emulator.service.ledger) == (422, ())


async def test_other_files_in_the_form_are_ignored() -> None:
    """Only the part named `video` is the video."""
    data = form()
    data.add_field("thumbnail", b"x" * 100_000, filename="x.jpg")
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        assert (await Customer(emulator, http).ask("POST", "/analysis/start", data=data))[0] == 202
        assert emulator.service.charges_of(SHA256) == 1


async def test_a_client_that_disconnects_during_its_upload_is_not_charged(caplog: pytest.LogCaptureFixture) -> None:
    """An incomplete form never reaches the service, and nothing is logged."""
    async with Emulator() as emulator:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
        writer.write(head_of_a_start(emulator, 1_000_000) + OPENING + bytes(10_000))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        assert (emulator.service.requests, emulator.service.ledger) == ((), ())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# Faults, with an HTTP client


@pytest.mark.parametrize(
    ("fault", "charged"),
    [
        (DisconnectBefore(), 0),
        (RefuseConnection(), 0),
        (DisconnectDuring(1000), 0),
        (DisconnectAfter(charged=False), 0),
        (DisconnectAfter(), 1),
        (TruncateBody(5), 1),
        (TruncateBody(10_000), 1),
    ],
    ids=repr,
)
async def test_a_disconnect_is_charged_as_planned(fault: Fault, charged: int) -> None:
    """The client always sees a broken connection; only the ledger shows the difference."""
    async with Emulator(faults=planned(fault)) as emulator, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await Customer(emulator, http).start()
        assert emulator.service.charges_of(SHA256) == charged


@pytest.mark.parametrize(
    ("fault", "status", "charged"),
    [
        (Respond(503), 503, 0),
        (Respond(413, early=True), 413, 0),
        (RespondAfter(500), 500, 1),
        (RespondHtml(502), 502, 0),
        (RetryAfter("1"), 429, 0),
        (Redirect("https://example.com/"), 302, 0),
        (Redirect("https://example.com/", 307, reaches_service=True), 307, 1),
        (ReplaceBody(b"not json", {"content-type": "text/plain"}), 202, 1),
        (Delay(0.02), 202, 1),
        (Throttle(2_000), 202, 1),
        (Throttle(10_000_000, direction="upload"), 202, 1),
    ],
    ids=repr,
)
async def test_the_response_and_the_charge_of_each_fault(fault: Fault, status: int, charged: int) -> None:
    """The next start has no fault."""
    async with Emulator(faults=planned(fault)) as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        assert (await customer.start())[0] == status
        assert emulator.service.charges_of(SHA256) == charged
        assert (await customer.start())[0] == 202


async def test_headers_of_a_fault_arrive() -> None:
    """`Retry-After` is sent unchanged."""
    async with Emulator(faults=planned(RetryAfter("soon"))) as emulator, aiohttp.ClientSession() as http:
        answer = await http.get(f"{emulator.url}/webhook")
        assert (answer.status, answer.headers["Retry-After"]) == (429, "soon")


async def test_a_gzip_bomb_is_sent_compressed() -> None:
    """Only the client decompresses it."""
    async with (
        Emulator(faults=planned(gzip_bomb(5_000_000))) as emulator,
        aiohttp.ClientSession(auto_decompress=False) as packed,
        aiohttp.ClientSession() as unpacked,
    ):
        _, body = (
            await Customer(emulator, packed).ask("GET", "/webhook", headers={"Accept": "*/*"})
            if False
            else (
                0,
                await fetched(packed, emulator),
            )
        )
        emulator.faults = planned(gzip_bomb(5_000_000))
        assert len(body) < 10_000
        assert len(await fetched(unpacked, emulator)) == 5_000_000


async def fetched(http: aiohttp.ClientSession, emulator: Emulator) -> bytes:
    async with http.get(f"{emulator.url}/webhook", params={"apiKey": emulator.api_key}) as answer:
        return await answer.read()


async def test_a_delay_after_the_service_is_charged_when_the_client_gives_up() -> None:
    """A delay before the service is not."""
    plan = FaultPlan([FaultRule(START, Delay(30, after=True)), FaultRule(START, Delay(30))])
    async with Emulator(faults=plan) as emulator, aiohttp.ClientSession() as http:
        for charged in (1, 1):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(Customer(emulator, http).start(), 0.3)
            assert emulator.service.charges_of(SHA256) == charged


async def test_faults_can_be_replaced_while_it_runs() -> None:
    """The current source of faults is used for each request."""
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        seen = [(await customer.ask("GET", "/webhook"))[0]]
        emulator.faults = planned(RespondHtml(502))
        seen += [(await customer.ask("GET", "/webhook"))[0] for _ in range(2)]
        assert seen == [200, 502, 200]


# Faults, with a raw socket

OPENING = b'--b\r\nContent-Disposition: form-data; name="video"; filename="run.mp4"\r\n\r\n'
CLOSING = b"\r\n--b--\r\n"


def port_of(emulator: Emulator) -> int:
    return int(emulator.url.rsplit(":", 1)[1])


def head_of_a_start(emulator: Emulator, length: int) -> bytes:
    return (
        f"POST /analysis/start?apiKey={emulator.api_key} HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def raw_start(emulator: Emulator, clip: bytes) -> bytes | type[Exception]:
    """Everything that the server sends in response to one start, or the error of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
    body = OPENING + clip + CLOSING
    try:
        writer.write(head_of_a_start(emulator, len(body)) + body)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError as broken:
        return type(broken)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "fault", [DisconnectBefore(), DisconnectDuring(10), DisconnectAfter(), DisconnectAfter(charged=False)], ids=repr
)
async def test_a_disconnect_resets_the_connection_without_a_byte(fault: Fault) -> None:
    """The peer sees a reset, not a regular close."""
    async with Emulator(faults=planned(fault)) as emulator:
        assert await raw_start(emulator, b"clip") is ConnectionResetError


async def test_a_disconnect_during_a_large_upload_stops_it() -> None:
    """The client cannot send its last byte, since the server has stopped reading."""
    async with Emulator(faults=planned(DisconnectDuring(100_000))) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
        writer.write(head_of_a_start(emulator, 50_000_000) + OPENING)
        with pytest.raises(ConnectionError):
            await poured(writer, 50_000_000)
        assert reader.at_eof() or reader.exception() is not None
        writer.transport.abort()


async def poured(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // 100_000):
        writer.write(bytes(100_000))
        await writer.drain()


async def test_a_truncated_response_declares_its_full_length() -> None:
    """It sends less than it declares."""
    async with Emulator(faults=planned(TruncateBody(7))) as emulator:
        received = await raw_start(emulator, b"clip")
        assert isinstance(received, bytes)
        head, body = received.split(b"\r\n\r\n")
        assert len(body) == 7
        assert b"Content-Length: 9" in head or b"Content-Length: 1" in head


async def test_a_throttled_response_is_sent_gradually() -> None:
    """The first bytes arrive long before the last."""
    async with Emulator(faults=planned(Throttle(400))) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
        writer.write(b"GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()
        assert len(await reader.readexactly(20)) == 20
        first = time.monotonic() - begun
        await reader.readuntil(b"}")
        assert time.monotonic() - begun > first
        writer.transport.abort()


async def test_an_early_response_is_sent_before_the_body_is_read() -> None:
    """The upload has not been sent yet."""
    async with Emulator(faults=planned(Respond(413, early=True))) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
        writer.write(head_of_a_start(emulator, 1_000_000))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 413")
        writer.transport.abort()


# Safety and cleanup


@pytest.mark.parametrize("host", ["0.0.0.0", "example.com", "192.168.1.1", "::", ""])  # noqa: S104 - it is refused
def test_only_loopback_is_listened_on(host: str) -> None:
    """No other machine can reach the emulator."""
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), 1e9])
def test_an_invalid_speed_is_an_error(speed: float) -> None:
    """Time must go forward."""
    with pytest.raises(ValueError, match="speed"):
        Emulator(speed=speed)


async def test_it_runs_only_inside_its_context() -> None:
    """It has no URL and no open port outside; it can be entered again, but not while it runs."""
    emulator = Emulator(host="localhost")
    with pytest.raises(RuntimeError, match="async with"):
        _ = emulator.url
    async with emulator:
        port = port_of(emulator)
        with pytest.raises(RuntimeError, match="already"):
            await emulator.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        _ = emulator.url
    with pytest.raises(OSError, match=r".+"):
        await asyncio.open_connection("127.0.0.1", port)
    async with emulator:
        assert emulator.url


async def test_it_stops_quickly_whatever_is_open() -> None:
    """Idle connections, waits and incomplete uploads are closed at once, and no task is left."""
    before = asyncio.all_tasks()
    plan = FaultPlan([FaultRule("GET /webhook", Delay(1000)), FaultRule("GET /subjects", Throttle(1))])
    async with Emulator(faults=plan) as emulator:
        asked = b"GET /webhook HTTP/1.1\r\nHost: x\r\n\r\n"
        writers: list[asyncio.StreamWriter] = []
        for hello in (b"", asked, asked.replace(b"webhook", b"subjects"), head_of_a_start(emulator, 1000) + OPENING):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
            writer.write(hello)
            writers.append(writer)
        await asyncio.sleep(0.05)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not at the lowest level, and not when connections break."""
    caplog.set_level(logging.DEBUG)
    async with Emulator(faults=planned(DisconnectAfter(), START)) as emulator, aiohttp.ClientSession() as http:
        customer = Customer(emulator, http)
        with pytest.raises(aiohttp.ClientError):
            await customer.start()
        await customer.ask("GET", "/subjects")
    assert emulator.api_key not in caplog.text


async def test_a_port_in_use_leaves_nothing_open() -> None:
    """Entering fails, and the emulator can be entered again."""
    async with Emulator() as first:
        second = Emulator(port=port_of(first))
        with pytest.raises(OSError, match=r".+"):
            await second.__aenter__()
    async with second:
        assert second.url == first_url(second)


def first_url(emulator: Emulator) -> str:
    return f"http://127.0.0.1:{port_of(emulator)}"


async def test_an_ssl_context_enables_tls() -> None:
    """The URLs are https, and plain HTTP is rejected."""
    async with Emulator(ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as emulator, aiohttp.ClientSession() as http:
        assert emulator.url.startswith("https://")
        assert emulator.service.storage_url.startswith("https://")
        with pytest.raises(aiohttp.ClientError):
            await http.get(emulator.url.replace("https", "http"))


async def test_malformed_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """aiohttp would log the line that it cannot read, which is a URL with a key."""
    async with Emulator() as emulator:
        host, _, port = emulator.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"BREW /webhook?apiKey=very-secret HTTP/1.1\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400")
        writer.close()
        await writer.wait_closed()
    assert "very-secret" not in caplog.text


_Garbled = type("_Garbled", (Exception,), {"__module__": "aiohttp.wherever_it_is_then"})


@pytest.mark.parametrize(("error", "shown"), [(_Garbled(), False), (KeyError("x"), True), (None, True)], ids=str)
def test_errors_of_aiohttp_are_not_logged(error: Exception | None, shown: bool) -> None:
    """They quote the first line of a request, a URL with a key. Errors of the emulator are logged."""
    info = None if error is None else (type(error), error, None)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "…", (), info)
    assert server._is_ours(record) is shown


def test_forms_are_read_without_an_undocumented_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future aiohttp may not have its class for malformed messages."""
    monkeypatch.setitem(sys.modules, "aiohttp.http_exceptions", None)
    spec = importlib.util.find_spec("ochy_async.emulator.multipart")
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert copy.BadHttpMessage is RuntimeError
    assert callable(copy.read_form)
