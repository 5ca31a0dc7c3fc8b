"""The transport: where the key is added, how errors are translated, and what a hostile server can do."""

from __future__ import annotations

import asyncio
import gzip
import json
import platform
import socket
import ssl
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from types import FrameType, SimpleNamespace
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
import trustme

from ochy_async import BackView, Clip, Limits, OchySession, Retry, SideView, transport
from ochy_async.clips import CHUNK
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    Emulator,
    FaultPlan,
    FaultRule,
    Redirect,
    Respond,
    RespondHtml,
    TruncateBody,
)
from ochy_async.errors import (
    ConnectionFailed,
    DeadlinePassed,
    InvalidSettings,
    KeyRefused,
    OchyError,
    Phase,
    ServerError,
    UncertainStart,
    UnreadableAnswer,
)
from ochy_async.protocol.answer import SignedUrl
from ochy_async.protocol.compression import PIECE
from ochy_async.protocol.converter import structure
from ochy_async.protocol.drift import DriftLog
from ochy_async.protocol.subjects import Subject
from ochy_async.protocol.wire import Upload
from ochy_async.transport import ERROR_BYTES, KEYS_AT_ONCE, MAX_JOINED_CHUNKS, SCAN_BYTES, ApiKey, RoundRobin, VideoPart
from tests.conftest import CLIP, Recorded, real_session, world
from tests.support import canary
from tests.support.canary import API_KEY


class Peer:
    """A server's end of a connection. It buffers no more than it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        """Some bytes. Raises `ConnectionError` at the end."""
        data = await self._reader.read(65_536)
        if not data:
            raise ConnectionResetError
        return data

    async def send(self, data: bytes) -> None:
        """Sends, as fast as the client takes it."""
        self._writer.write(data)
        await self._writer.drain()


Answering = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def raw_server(answer: Answering, kind: type[Peer] = Peer) -> AsyncGenerator[str]:
    """A server that reads some of a request and then calls `answer`; yields its base URL."""
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        peer = kind(reader, writer)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):  # the client or the test closed the connection
                await peer.receive()
                await answer(peer)
        finally:
            writer.close()

    taking = socket.socket()
    taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # so that the kernel buffers little
    taking.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(serve, sock=taking, limit=65_536):
        yield f"http://127.0.0.1:{taking.getsockname()[1]}"
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def once(base_url: str, *, stall: float = 5, call: float = 10, answer_bytes: int = 8_000_000) -> OchySession:
    """A session that makes one attempt and gives up soon."""
    limits = Limits(stall=stall, call=call, answer_bytes=answer_bytes)
    return OchySession(base_url=base_url, retry=Retry(attempts=1), limits=limits)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://partner-api.ochy-prod.com", "must be https"),
        ("http://10.0.0.1", "must be https"),
        ("http://127.0.0.1.evil.example", "must be https"),
        ("ftp://127.0.0.1", "begin with https"),
        ("partner-api.ochy-prod.com", "begin with https"),
        ("https://user:pass@host.example", "no user"),
        ("https://host.example/?a=1", "no user, query"),
        ("https://host.example/#x", "fragment"),
        ("https://", "host"),
        ("https://[::1", "cannot be parsed"),
        ("https://host.example:99999", "cannot be parsed"),
    ],
)
def test_a_base_url_that_could_leak_the_key_is_refused(url: str, why: str) -> None:
    """The key is in every URL, so requests use https, or stay on this machine."""
    with pytest.raises(InvalidSettings, match=why):
        OchySession(base_url=url)


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.2", "http://[::1]:80/", "https://h.example/v1/"]
)
def test_a_base_url_may_be_https_or_loopback(url: str) -> None:
    """https anywhere, http on loopback, with or without a path."""
    assert "closed" in repr(OchySession(base_url=url))


@pytest.mark.parametrize(
    ("key", "why"),
    [("", "no API key"), ("two words-long", "blank"), ("line\nbreak-long", "blank"), ("tiny", "too short")],
)
def test_an_invalid_key_is_refused_without_showing_it(key: str, why: str) -> None:
    """A missing or invalid key raises at once, with a text that does not repeat it."""
    with pytest.raises(KeyRefused, match=why) as caught:
        OchySession(key)
    assert not key or key not in str(caught.value)
    ours = [frame for frame in _frames(caught.value) if "/ochy_async/" in frame.f_code.co_filename]
    assert ours
    assert not key or not any(key in canary.safe_repr(value) for frame in ours for value in frame.f_locals.values())


def _frames(error: BaseException) -> list[FrameType]:
    found, step = [], error.__traceback__
    while step is not None:
        found.append(step.tb_frame)
        step = step.tb_next
    return found


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OCHY_API_KEY and without an argument no session can be made."""
    monkeypatch.delenv("OCHY_API_KEY")
    with pytest.raises(KeyRefused, match="OCHY_API_KEY"):
        OchySession()


# --- the key ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_redirects_are_never_followed() -> None:
    """A redirect is an error, and its target never receives the key."""
    elsewhere = Recorded()
    async with Emulator(world(), elsewhere) as other:
        script = FaultPlan([FaultRule("*", Redirect(f"{other.url}/webhook", status=307), times=10)])
        async with Emulator(world(), script) as emulator, real_session(emulator) as ochy:
            with pytest.raises(UnreadableAnswer, match="redirect") as caught:
                await ochy.get_webhook()
    assert caught.value.status == 307
    assert elsewhere.routes == []


@pytest.mark.anyio
async def test_a_borrowed_session_lends_its_connections_and_nothing_else(emulator: Emulator) -> None:
    """Its traces, cookies and headers would see the key. It stays open: the caller owns it."""
    seen: list[str] = []
    async with aiohttp.ClientSession(trace_configs=[_trace(seen)], headers={"X-Mine": "1"}) as http:
        async with OchySession(base_url=emulator.url, http=http) as ochy:
            await ochy.start(CLIP, SideView())
        assert not http.closed
        async with http.get(f"{emulator.url}/webhook", params={"apiKey": "x"}) as answer:
            assert answer.status == 403
    assert seen, "the trace works"
    assert not any(canary.leaks(line) for line in seen)


@pytest.mark.anyio
async def test_instrumentation_of_every_session_does_not_see_the_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing libraries add themselves to each new aiohttp session; the library removes them."""
    seen: list[str] = []
    make = aiohttp.ClientSession.__init__

    def instrumented(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **{**kwargs, "trace_configs": [_trace(seen)]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with OchySession(base_url=emulator.url) as ochy:
        await ochy.get_webhook()
    assert seen == []


async def _see(seen: list[str], request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
    seen.append(str(request.url))
    return await handler(request)


@pytest.mark.anyio
async def test_middlewares_do_not_see_the_key(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of a borrowed session, nor those that are put into every session."""
    seen: list[str] = []
    make = aiohttp.ClientSession.__init__

    def instrumented(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **{**kwargs, "middlewares": (partial(_see, seen),)})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with aiohttp.ClientSession() as http:
        for borrowed in (http, None):
            async with OchySession(base_url=emulator.url, http=borrowed) as ochy:
                await ochy.get_webhook()
                await ochy.start(CLIP, SideView())
        assert seen == []
        await http.get(f"{emulator.url}/webhook")
    assert seen, "the middleware works"


@pytest.mark.anyio
async def test_methods_patched_after_import_do_not_see_the_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some recording and measuring tools replace aiohttp's request methods."""
    seen: list[str] = []
    for name in ("_request", "request", "get"):
        usual = getattr(aiohttp.ClientSession, name)

        def watched(self: Any, *args: Any, _usual: Any = usual, **kwargs: Any) -> Any:
            seen.append(repr(args))
            return _usual(self, *args, **kwargs)

        monkeypatch.setattr(aiohttp.ClientSession, name, watched)
    async with aiohttp.ClientSession() as http, OchySession(base_url=emulator.url, http=http) as ochy:
        results = await ochy.analyze(CLIP, SideView())
        assert results.thumbnail is not None
        assert seen == []
        await http.get(f"{emulator.url}/webhook")
    assert seen, "it works for others"


BEFORE = """
import asyncio, functools, sys, aiohttp
seen = []
usual = aiohttp.ClientSession._request
@functools.wraps(usual)
async def watched(self, *args, **kwargs):
    seen.append(repr(args))
    return await usual(self, *args, **kwargs)
aiohttp.ClientSession._request = watched
class Watched(aiohttp.ClientSession):
    async def _request(self, *args, **kwargs):
        seen.append(repr(args))
        return await super()._request(*args, **kwargs)
aiohttp.ClientSession = Watched
from ochy_async import OchySession
async def main():
    async with OchySession("a-key-that-is-long-enough", base_url=sys.argv[1]) as ochy:
        try:
            await ochy.get_webhook()
        except Exception as error:
            print(type(error).__name__)
asyncio.run(main())
print(seen)
"""


@pytest.mark.anyio
async def test_methods_patched_before_import_do_not_see_the_key(emulator: Emulator) -> None:
    """Instrumentation is usually imported first; it wraps the method, or replaces the client class."""
    command = [sys.executable, "-W", "ignore", "-c", BEFORE, emulator.url]
    done = await anyio.run_process(command, check=False)
    assert done.stdout.decode().splitlines() == ["KeyRefused", "[]"], done.stderr.decode()


def test_another_kind_of_loop_is_refused() -> None:
    """Under trio the first line says which loops are supported; nothing is left open."""
    entering = OchySession().__aenter__()
    with pytest.raises(InvalidSettings, match=r"^OchySession runs on asyncio's event loops \(uvloop's too\)"):
        entering.send(None)


def _trace(seen: list[str]) -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def see(_session: Any, _context: Any, requests: Any) -> None:
        seen.append(f"{getattr(requests, 'url', '')} {requests!r}")

    for signal in (
        trace.on_request_start,
        trace.on_request_end,
        trace.on_request_chunk_sent,
        trace.on_request_headers_sent,
    ):
        signal.append(see)
    return trace


@pytest.mark.anyio
async def test_an_echoed_key_is_redacted() -> None:
    """Wherever an answer contains the key, it is replaced before anyone reads it."""
    escaped = API_KEY.replace("/", "\\/").replace("+", "\\u002B")
    body = f'{{"detail": "no {API_KEY}, {escaped}, https://h/?apiKey=canary-key-4f1d9c%2f7e%2B2"}}'.encode()
    for status in (403, 418, 500):
        script = FaultPlan([FaultRule("*", Respond(status, body), times=10)])
        async with Emulator(world(), script) as emulator, once(emulator.url) as ochy:
            with pytest.raises(OchyError) as caught:
                await ochy.get_webhook()
        assert "[key]" in (caught.value.detail or "")


@pytest.mark.anyio
async def test_a_long_answer_is_searched_for_the_key_in_slices() -> None:
    """Ten seconds of raw data at 240 frames per second are megabytes: other tasks run during the search."""
    answer, iterations = b'{"x": 0.8444218515250481, "link": "a%2Fb"}' * 200_000, 0

    async def others() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        assert await ApiKey(API_KEY).redact(answer) == answer
        group.cancel_scope.cancel()
    assert iterations > len(answer) / 500_000


@pytest.mark.anyio
@pytest.mark.parametrize("spelt", [API_KEY, API_KEY.replace("/", "\\/"), "canary-key-4f1d9c%2f7e%2B2"])
async def test_the_key_is_found_across_the_edge_of_a_slice(spelt: str) -> None:
    """Wherever the key is in a long answer, nothing of it remains."""
    for before in range(SCAN_BYTES - len(spelt), SCAN_BYTES + 1):
        assert await ApiKey(API_KEY).redact(b"." * before + spelt.encode() + b".") == b"." * before + b"[key]."


@pytest.mark.anyio
@pytest.mark.parametrize("between", [0, 1, 20, 21, 300, 1_000_000])
async def test_an_answer_that_echoes_the_key_is_redacted_in_slices(between: int) -> None:
    """However often it does, and wherever: other tasks run meanwhile, and nothing else changes."""
    count = 8_000_000 // (between + len(API_KEY))
    steps, answer = 0, (b"." * between + API_KEY.encode()) * count

    class Redacting:
        def __await__(self) -> Generator[Any, Any, bytes]:
            nonlocal steps
            turns = ApiKey(API_KEY).redact(answer).__await__()
            while True:
                try:
                    yield next(turns)
                except StopIteration as end:
                    redacted: bytes = end.value
                    return redacted
                steps += 1

    assert await Redacting() == (b"." * between + b"[key]") * count
    assert steps >= max(8_000_000 // SCAN_BYTES - 1, count // KEYS_AT_ONCE - 1)


FAULTS = [
    pytest.param(DisconnectBefore(), id="cut before"),
    pytest.param(DisconnectAfter(), id="cut after"),
    pytest.param(TruncateBody(5), id="truncated"),
    pytest.param(RespondHtml(502), id="html"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_error_carries_an_error_of_aiohttp(fault: Any) -> None:
    """Errors of aiohttp hold the URL: ours have no cause, no context, and no frame of aiohttp."""
    async with Emulator(world(), FaultPlan([FaultRule("*", fault, times=10)])) as emulator, once(emulator.url) as ochy:
        for call in (ochy.get_webhook(), ochy.start(CLIP, SideView()), ochy.wait("a1b2c3d4", timeout=0.2)):
            with pytest.raises(OchyError) as caught:
                await call
            assert len(list(canary.chain(caught.value))) == 1
            files = [frame.f_code.co_filename for frame in _frames(caught.value)]
            assert not any("/aiohttp/" in name for name in files)


def test_printers_that_go_by_fields_show_no_secret() -> None:
    """rich prints attrs classes by their fields: neither the key, nor a link, nor health data is among them."""
    pretty = pytest.importorskip("rich.pretty", reason="needs the extra cli: rich is not installed")
    body = {"id": "s", "email": "ada@example.com", "weight": 61.25, "extra": {"deep": 61.25}}
    with DriftLog("Subject"):
        results = structure(body, Subject)
    shown = [pretty.pretty_repr(each) for each in (ApiKey(API_KEY), SignedUrl("https://s/?signature=x"), results)]
    shown += [pretty.pretty_repr(each) for each in (results.raw, SideView(height=1.83), OchySession())]
    assert not any(canary.leaks(text) for text in shown)
    assert not any(value in text for text in shown for value in ("ada@", "61.25", "1.83"))


@pytest.mark.anyio
async def test_a_cancelled_call_carries_no_url(emulator: Emulator) -> None:
    """A cancellation passes through aiohttp's frames, which hold the URL; they are removed."""
    emulator.faults = FaultPlan([FaultRule("*", Delay(60))])
    seen: list[BaseException] = []
    async with once(emulator.url) as ochy:
        with anyio.move_on_after(0.2):
            try:
                await ochy.get_webhook()
            except BaseException as error:
                seen.append(error)
                raise
    assert [canary.leaks_in_error(error) for error in seen] == [[]]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupted_call_carries_no_url(emulator: Emulator, kind: type[BaseException]) -> None:
    """A signal may arrive inside of aiohttp: its exception is raised without the frames that hold the URL."""

    class Struck(aiohttp.TCPConnector):
        async def connect(self, *_: Any, **__: Any) -> Any:
            raise kind

    async with aiohttp.ClientSession(connector=Struck()) as http, OchySession(base_url=emulator.url, http=http) as ochy:
        with pytest.raises(kind) as caught:
            await ochy.get_webhook()
    assert canary.leaks_in_error(caught.value) == []
    assert not any("/aiohttp/" in frame.f_code.co_filename for frame in _frames(caught.value))


# --- connections --------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_refused_connection_means_not_sent() -> None:
    """The error says that nothing was sent."""
    async with once("http://127.0.0.1:9") as ochy:
        with pytest.raises(ConnectionFailed, match="no connection could be made") as caught:
            await ochy.get_webhook()
    assert caught.value.phase is Phase.NOT_SENT


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority for the tests."""
    return trustme.CA()


def _server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.mark.anyio
async def test_an_untrusted_certificate_is_refused(authority: trustme.CA) -> None:
    """TLS is verified before anything is sent, above all the key."""
    async with Emulator(world(), ssl=_server_tls(authority)) as emulator, once(emulator.url) as ochy:
        with pytest.raises(ConnectionFailed, match="certificate") as caught:
            await ochy.start(CLIP, SideView())
    assert caught.value.phase is Phase.NOT_SENT


@pytest.mark.anyio
async def test_a_borrowed_session_uses_its_own_tls_context(authority: trustme.CA) -> None:
    """A company's own certificate authority works with a borrowed session that trusts it."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        Emulator(world(), ssl=_server_tls(authority), speed=50) as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http,
        real_session(emulator, http=http) as ochy,
    ):
        assert 0 <= (await ochy.analyze(CLIP, BackView())).total_score <= 1


@pytest.mark.anyio
async def test_a_closed_borrowed_session_is_refused(emulator: Emulator) -> None:
    """The error says that the borrowed session is closed."""
    http = aiohttp.ClientSession()
    await http.close()
    async with OchySession(base_url=emulator.url, http=http) as ochy:
        with pytest.raises(InvalidSettings, match="closed"):
            await ochy.get_webhook()


# --- hostile answers ------------------------------------------------------------------------------


async def _endless(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    for _ in range(16_384):  # one gigabyte
        await stream.send(block)


async def _declared(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    await anyio.sleep(60)


_BOMB = gzip.compress(b" " * 200_000_000, 9)


async def _bomb(stream: Peer) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(_BOMB)}\r\n\r\n"
    await stream.send(head.encode() + _BOMB)


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [_endless, _declared, _bomb], ids=["endless", "declared", "gzip bomb"])
async def test_a_gigabyte_is_refused_in_bounded_memory(answer: Answering) -> None:
    """However large an answer is, only its maximum size is held, counted after decompression."""
    async with raw_server(answer) as url, once(url, answer_bytes=1_000_000) as ochy:
        tracemalloc.start()
        try:
            with pytest.raises(UnreadableAnswer, match="larger than 1,000,000 bytes") as caught:
                await ochy.get_webhook()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 12_000_000
    assert caught.value.status == 200


async def _crumbs(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        await stream.send(b"1\r\n \r\n" * 50_000)
    await stream.send(b"0\r\n\r\n")


async def _bomb_in_crumbs(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    await stream.send(b"".join(b"7\r\n%b\r\n" % _BOMB[start : start + 7] for start in range(0, len(_BOMB) - 7, 7)))


async def _empty_members(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
    await stream.send(gzip.compress(b"") * 20_000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "iterations"),
    [
        pytest.param(_endless, 32_000_000 / (256 * 1024), id="endless: one for each read of the socket"),
        pytest.param(_bomb, 32_000_000 / PIECE, id="gzip bomb: one for each decompressed piece"),
        pytest.param(_bomb_in_crumbs, 32_000_000 / PIECE, id="gzip bomb in small chunks: the same"),
        pytest.param(_crumbs, 1_000_000 / MAX_JOINED_CHUNKS, id="small chunks: one for each group that is joined"),
        pytest.param(_empty_members, 20_000, id="empty members: one for each"),
    ],
)
async def test_other_tasks_run_between_the_pieces_of_an_answer(answer: Answering, iterations: float) -> None:
    """Whatever a server sends, and however it is compressed, other tasks run while it is read."""
    passed, last = 0, Limits(answer_bytes=32_000_000, stall=5, call=60)

    async def others() -> None:
        nonlocal passed
        while True:
            await anyio.lowlevel.checkpoint()
            passed += 1

    async with (
        raw_server(answer) as url,
        OchySession(base_url=url, retry=Retry(attempts=1), limits=last) as ochy,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(others)
        with pytest.raises(UnreadableAnswer):
            await ochy.get_webhook()
        tasks.cancel_scope.cancel()
    assert passed >= iterations


@pytest.mark.anyio
async def test_only_encodings_with_bounded_decompression_are_requested() -> None:
    """An installed package for another encoding changes nothing: the encoding is neither requested nor read."""
    heads: list[bytes] = []

    async def brotli(stream: Peer) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}")

    class Heard(Peer):
        async def receive(self) -> bytes:
            heads.append(await super().receive())
            return heads[-1]

    async with raw_server(brotli, Heard) as url, once(url) as ochy:
        with pytest.raises(ConnectionFailed, match="corrupt"):
            await ochy.get_webhook()
    assert b"\r\nAccept-Encoding: gzip, deflate\r\n" in heads[0]


@pytest.mark.anyio
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_compressed_answer_is_read(pack: Callable[[bytes], bytes]) -> None:
    """Servers, and proxies in front of them, may compress answers."""
    packed = pack(b'{"url": "https://h.example/", "enabled": true}')
    how = b"gzip" if pack is gzip.compress else b"deflate"

    async def answer(stream: Peer) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (how, len(packed))
        for byte in head + packed:
            await stream.send(bytes([byte]))

    async with raw_server(answer) as url, once(url) as ochy:
        assert (await ochy.get_webhook()).enabled


@pytest.mark.anyio
async def test_the_error_of_a_truncated_answer_has_its_status() -> None:
    """The status is in the error even if nothing else of the answer is usable."""
    async with (
        Emulator(world(), FaultPlan([FaultRule("*", TruncateBody(5), times=9)])) as emulator,
        once(emulator.url) as ochy,
    ):
        with pytest.raises(ConnectionFailed, match="cut short") as polled:
            await ochy.get_webhook()
        with pytest.raises(UncertainStart) as started:
            await ochy.start(CLIP, SideView())
    assert (polled.value.status, started.value.status) == (200, 202)


async def _garbage(stream: Peer) -> None:
    await stream.send(b"\x00\x01 this is no HTTP at all\r\n\r\n")


async def _drip(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        await stream.send(b" ")
        await anyio.sleep(0.05)


async def _silence(_: Peer) -> None:
    await anyio.sleep(60)


async def _half_a_head(stream: Peer) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_garbage, ConnectionFailed),
        (_drip, DeadlinePassed),
        (_silence, ConnectionFailed),
        (_half_a_head, ConnectionFailed),
    ],
    ids=["garbage", "drip", "silence", "half a head"],
)
async def test_a_server_that_does_not_speak_http_ends_the_call(answer: Answering, error: type[OchyError]) -> None:
    """Whatever a server does, the call ends in time with an OchyError."""
    async with raw_server(answer) as url, once(url, stall=0.5, call=1.5) as ochy:
        with pytest.raises(error), anyio.fail_after(5):
            await ochy.get_webhook()


@pytest.mark.anyio
async def test_a_server_that_stops_reading_ends_the_upload_uncharged() -> None:
    """An upload that stalls is given up; it was cut short, so it surely did not happen."""
    async with raw_server(_silence) as url, once(url, stall=0.5) as ochy:
        with pytest.raises(ConnectionFailed, match="no data moved") as caught, anyio.fail_after(5):
            await ochy.start(CLIP * 2_500, SideView())
    assert caught.value.phase is Phase.INCOMPLETE


@pytest.mark.anyio
async def test_a_start_never_uses_a_kept_alive_connection() -> None:
    """A server may close an idle connection at any moment: a start on it could be lost without a trace."""
    requests: list[bytes] = []

    async def keeping(stream: Peer) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        requests.append(await stream.receive())  # a second request on the same connection

    async with raw_server(keeping) as url, once(url, stall=0.5) as ochy:
        await ochy.get_webhook()
        with pytest.raises(OchyError):
            await ochy.start(CLIP, SideView())
        assert not [head for head in requests if head.startswith(b"POST /analysis/start")]
        await ochy.get_webhook()
        assert [head for head in requests if head.startswith(b"GET /webhook")], "other requests do use it"


@pytest.mark.anyio
async def test_each_start_has_a_connection_of_its_own() -> None:
    """Also after another start, on a server that keeps its connections open."""
    connections, later = 0, list[bytes]()

    async def keeping(stream: Peer) -> None:
        nonlocal connections
        connections += 1
        body = b""
        while not body.endswith(b"--\r\n"):
            body += await stream.receive()
        answer = b'{"message": "started", "video_id": "a%d"}' % connections
        await stream.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        later.append(await stream.receive())

    class Whole(Peer):
        def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            super().__init__(reader, writer)
            self.first = True

        async def receive(self) -> bytes:
            """Nothing at first: what begins a request is read by the one who answers it."""
            if self.first:
                self.first = False
                return b" "
            return await super().receive()

    async with raw_server(keeping, Whole) as url, once(url, stall=2) as ochy:
        started = [await ochy.start(CLIP + bytes([number]), SideView()) for number in range(3)]
    assert [each.analysis_id for each in started] == ["a1", "a2", "a3"]
    assert (connections, later) == (3, [])


@pytest.mark.anyio
async def test_uploads_send_one_chunk_per_loop_iteration() -> None:
    """Many uploads together block the loop for no longer than one, and alternate."""
    iterations, loop, now, passed = RoundRobin(), asyncio.get_running_loop(), 0, list[tuple[int, int]]()

    def tick() -> None:
        nonlocal now
        now += 1
        if len(passed) < 15:
            loop.call_soon(tick)

    async def upload(number: int) -> None:
        for _ in range(5):
            await iterations.wait()
            passed.append((now, number))

    loop.call_soon(tick)
    await asyncio.gather(*map(upload, range(3)))
    assert [number for _, number in passed] == [0, 1, 2] * 5
    assert len({iteration for iteration, _ in passed}) == 15


@pytest.mark.anyio
async def test_uploads_begin_in_separate_loop_iterations(ochy: OchySession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many concurrent starts do not make their forms and connections in one iteration of the loop."""
    loop, now, begun, make = asyncio.get_running_loop(), 0, list[int](), transport.form_of

    def tick() -> None:
        nonlocal now
        now += 1
        if len(begun) < 5:
            loop.call_soon(tick)

    def form(*given: Any) -> aiohttp.MultipartWriter:
        begun.append(now)
        return make(*given)

    monkeypatch.setattr(transport, "form_of", form)
    loop.call_soon(tick)
    await asyncio.gather(*(ochy.start(CLIP, SideView()) for _ in range(5)))
    assert len(set(begun)) == 5


@pytest.mark.anyio
async def test_an_upload_that_is_stopped_while_it_waits_is_never_completed() -> None:
    """If the answer arrives while the last chunk waits, that chunk is not sent."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield CLIP

    taken, iterations = list[bytes](), RoundRobin()
    writer: Any = SimpleNamespace(write=lambda chunk, **_: taken.append(chunk))
    part = VideoPart(Upload((), "video", "a.mp4", "video/mp4", len(CLIP), chunks), 5, iterations)
    waiting = asyncio.gather(*(iterations.wait() for _ in range(3)), part.write(writer), return_exceptions=True)
    await anyio.lowlevel.checkpoint()
    part.stop()
    *_, ended = await waiting
    assert isinstance(ended, ConnectionResetError)
    assert (taken, part.complete) == ([], False)


@pytest.mark.anyio
async def test_other_tasks_run_between_the_chunks_of_an_upload(emulator: Emulator, ochy: OchySession) -> None:
    """However fast the network accepts a clip, other tasks run while it is sent."""
    content, iterations, seen = CLIP * 2_500, 0, list[int]()

    async def others() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await anyio.lowlevel.checkpoint()

    async def source() -> AsyncGenerator[bytes]:
        for start in range(0, len(content), CHUNK):
            seen.append(iterations)
            yield content[start : start + CHUNK]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        await ochy.start(Clip.stream(source, name="runner.mp4", size=len(content)), SideView())
        tasks.cancel_scope.cancel()
    sent = seen[1:]  # one chunk is held back
    assert all(before < after for before, after in pairwise(sent))


@pytest.mark.anyio
@pytest.mark.parametrize("then", ["reset", "silence"])
async def test_an_early_success_that_is_lost_is_uncertain(then: str) -> None:
    """A success before the upload is complete makes no sense: it proves nothing, and nothing is sent again."""
    posts = 0

    async def early(stream: Peer) -> None:
        nonlocal posts
        posts += 1
        await stream.send(b'HTTP/1.1 202 Accepted\r\nContent-Length: 60\r\n\r\n{"vide')
        if then == "silence":
            await anyio.sleep(60)

    async with raw_server(early) as url:
        limits, retry = Limits(stall=0.5, call=10), Retry(first_delay=0.01)
        async with OchySession(base_url=url, limits=limits, retry=retry) as ochy:
            with pytest.raises(UncertainStart), anyio.fail_after(5):
                await ochy.start(CLIP * 2_500, SideView())
    assert posts == 1


@pytest.mark.anyio
async def test_an_early_answer_stops_the_upload() -> None:
    """A start that was answered with an error must not happen after all: its body is never completed."""
    content, arrived = CLIP * 2_500, 0

    async def early(stream: Peer) -> None:
        nonlocal arrived
        await stream.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n")
        while arrived < len(content):
            arrived += len(await stream.receive())
        await stream.send(b"{}")

    async with raw_server(early) as url, once(url, stall=0.5) as ochy:
        with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(5):
            await ochy.start(content, SideView())
        await anyio.sleep(0.2)
    assert caught.value.phase is Phase.INCOMPLETE
    assert 0 < arrived < len(content)


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [900, 100_000])
async def test_deep_nesting_is_an_error_not_a_crash(depth: int) -> None:
    """A hundred thousand brackets are unreadable, for ordinary answers and for raw data."""
    body = b'{"frames":' + b"[" * depth + b"]" * depth + b"}"
    script = FaultPlan([FaultRule("*", Respond(200, body), times=10)])
    async with Emulator(world(), script) as emulator, once(emulator.url) as ochy:
        for call in (ochy.list_subjects(), ochy.raw_data("a1b2c3d4")):
            with pytest.raises(UnreadableAnswer):
                await call


# --- what identities and answers depend on --------------------------------------------------------


def test_the_digest_of_a_key_never_changes() -> None:
    """Journals know their account by it: with another digest, all clips of a journal would be bought again."""
    assert ApiKey("an-example-key-0123456789").digest() == "99238b4870af002ef0c674699aba3b7a"


@pytest.mark.parametrize("url", ["https://host.example/a b", "https://host.example/a\nb", "https://host.example/\x7f"])
def test_a_base_url_has_no_blanks_and_control_characters(url: str) -> None:
    """Each of them alone is enough: what one parser drops, another sends."""
    with pytest.raises(InvalidSettings, match="blank"):
        OchySession(base_url=url)


@pytest.mark.anyio
async def test_a_compressed_answer_that_is_cut_short_is_corrupt() -> None:
    """Its JSON is complete, but the end of the gzip member, with its checksum, is missing."""
    packed = gzip.compress(b'{"url": "https://h.example/", "enabled": true}')[:-4]

    async def answer(stream: Peer) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        await stream.send(head + packed)

    async with raw_server(answer) as url, once(url) as ochy:
        with pytest.raises(ConnectionFailed, match="corrupt"):
            await ochy.get_webhook()


@pytest.mark.anyio
async def test_one_byte_more_than_the_cap_is_too_much() -> None:
    """An answer that does not declare its length is counted as it arrives; up to the cap it is read."""
    content = b'{"url": "https://h.example/", "enabled": true}'.ljust(1_001)

    async def answer(stream: Peer) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await stream.send(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(content), content))

    async with raw_server(answer) as url:
        async with once(url, answer_bytes=1_001) as ochy:
            assert (await ochy.get_webhook()).enabled
        async with once(url, answer_bytes=1_000) as ochy:
            with pytest.raises(UnreadableAnswer, match="larger than"):
                await ochy.get_webhook()


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("padding", "detail"), [(0, "try later"), (2 * ERROR_BYTES, None), (200_000_000, None)])
async def test_of_a_long_error_only_the_status_counts(declared: bool, padding: int, detail: str | None) -> None:
    """It is parsed at once, so little of it is read, however much a list may have."""
    content, block = b'{"detail": "try later"}', b" " * 65_536

    async def answer(stream: Peer) -> None:
        chunks = [block] * (padding // len(block)) + [content]
        head = b"HTTP/1.1 503 Unavailable\r\n"
        if declared:
            await stream.send(head + b"Content-Length: %d\r\n\r\n" % sum(map(len, chunks)))
            for chunk in chunks:
                await stream.send(chunk)
        else:
            await stream.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for chunk in [*chunks, b""]:
                await stream.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    async with raw_server(answer) as url, once(url) as ochy:
        for call in (ochy.list_analyses, ochy.get_webhook):
            with pytest.raises(ServerError) as caught:
                await call()
            assert (caught.value.status, caught.value.detail) == (503, detail)


@pytest.mark.anyio
async def test_lists_have_a_cap_of_their_own() -> None:
    """An account may have far more analyses than any other answer may have bytes; a larger list is an error."""
    content = json.dumps([f"analysis-{number}" for number in range(1_000)]).encode()

    async def answer(stream: Peer) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))

    async with raw_server(answer) as url:
        for list_bytes in (len(content), len(content) - 1):
            limits = Limits(answer_bytes=1_000, list_bytes=list_bytes)
            async with OchySession(api_key=API_KEY, base_url=url, limits=limits) as ochy:
                if list_bytes == len(content):
                    assert len(await ochy.list_analyses()) == len(await ochy.list_subject_analyses("s1")) == 1_000
                else:
                    with pytest.raises(UnreadableAnswer, match="larger than"):
                        await ochy.list_analyses()


@pytest.mark.anyio
async def test_an_early_redirect_that_is_lost_starts_nothing() -> None:
    """A 300 is no success, and the upload was not complete: the start certainly did not happen, and is sent again."""
    posts = 0

    async def early(stream: Peer) -> None:
        nonlocal posts
        posts += 1
        await stream.send(b'HTTP/1.1 300 Multiple Choices\r\nContent-Length: 60\r\n\r\n{"vide')

    async with (
        raw_server(early) as url,
        OchySession(base_url=url, limits=Limits(stall=0.5, call=10), retry=Retry(attempts=2, first_delay=0.01)) as ochy,
    ):
        with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(5):
            await ochy.start(CLIP * 2_500, SideView())
    assert (caught.value.phase, posts) == (Phase.INCOMPLETE, 2)


PAGE_FAULTS = """
import asyncio, resource
from ochy_async.http_client import ClientPool

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        [bytearray(256 * 1024) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

async def main() -> None:
    pool = ClientPool({})
    before = faults()
    await (await pool.client(upload=True)).close()
    faults()
    print(before, faults())

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="describes the allocator of glibc")
def test_the_memory_of_chunks_is_reused() -> None:
    """Once there is a client for uploads, chunks are written to pages that the process has already."""
    done = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    without, with_uploads = map(int, done.stdout.split())
    assert without > 5_000
    assert with_uploads < without / 20
