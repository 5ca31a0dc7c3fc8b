"""The emulated service without a socket: a transport and a storage for the client, in the same process and event loop.

Invariant: the only module of the emulator that imports from the client, and only `protocol.wire` and `errors`. All
waits use the event loop, so on a `VirtualTimeLoop` hours pass in an instant.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import anyio

from .. import errors
from ..errors import Phase
from ..protocol import wire
from .dispatcher import Dispatcher
from .faults import FaultEffect, FaultInjector
from .handlers import STORAGE
from .messages import Form, ServiceRequest, ServiceResponse
from .service import Service
from .settings import EmulatorSettings
from .video_hash import VideoHasher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from .faults import FaultSource
    from .messages import DeliveryOutcome
    from .outbox import DueDelivery

__all__ = ["EPOCH", "InProcessStorage", "InProcessTransport"]

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z: the time of day at which a loop's clock is 0."""

MAX_RESPONSE_BYTES = 64 * 2**20
"""Larger responses, after decompression, are an error, as with a real transport."""

STORAGE_ROUTE = f"GET {STORAGE}"
PIECE_BYTES = 8_192
"""Stored files are handed over in pieces of this size."""


def loop_clock() -> float:
    """The running loop's time, as seconds since the epoch."""
    return EPOCH + anyio.current_time()


class InProcessTransport:
    """Calls a `Service` directly. `service` and `faults` may be read and replaced between requests.

    `latency` is the number of seconds from request to response, or a function that returns it for each request. Half
    of it passes before the service processes the request, half after.
    """

    def __init__(
        self,
        service: Service | EmulatorSettings | None = None,
        faults: FaultSource | None = None,
        *,
        api_key: str | None = None,
        clock: Callable[[], float] = loop_clock,
        latency: float | Callable[[], float] = 0.0,
    ) -> None:
        self.service: Service = service if isinstance(service, Service) else Service(service)
        """The emulated service: its settings, its analyses and what it received."""
        self.faults: FaultSource | None = faults
        """What goes wrong; may be replaced at any time."""
        self._api_key = self.service.api_key if api_key is None else api_key
        self._clock = clock
        self._latency = latency
        self._injector = FaultInjector()
        self._closed = False

    @property
    def origin(self) -> str:
        """A placeholder for the base URL."""
        return "http://emulator.invalid"

    @property
    def account(self) -> str:
        """An identifier of the account that does not reveal the key."""
        return hashlib.sha256(self._api_key.encode()).hexdigest()[:32]

    async def send(self, request: wire.Request) -> wire.Response:
        """The service's response; raises `ConnectionFailed` where a network would have failed."""
        if self._closed:
            raise RuntimeError("the transport is closed")
        effect = self._injector.effect(self.faults, str(request.route))
        half = (self._latency() if callable(self._latency) else self._latency) / 2
        if not effect.connects:
            await anyio.sleep(half)
            raise _connection_failed(request, Phase.NOT_SENT, "no connection")
        await anyio.sleep(half + effect.wait_before)
        return await self._exchange(request, effect, half)

    async def aclose(self) -> None:
        """Later requests are an error; there is nothing to close."""
        self._closed = True

    @asynccontextmanager
    async def delivering(self, receive: Callable[[bytes, Mapping[str, str]], Any]) -> AsyncGenerator[None]:
        """Hands each delivery to `receive(body, headers)` at its time, while the block runs.

        `receive`, which may be async, stands for what answers at the URL of the stored webhook, wherever that is. It
        returns the HTTP status of its answer, or None for 204. What it raises, or the block, comes in an exception
        group.
        """
        service = self.service

        async def post(due: DueDelivery) -> tuple[DeliveryOutcome, int | None]:
            with anyio.move_on_after(service.settings.deliveries.timeout_seconds):
                answer = receive(due.delivery.body, due.delivery.headers)
                status = await answer if inspect.isawaitable(answer) else answer
                return "answered", 204 if status is None else status
            return "timed_out", None

        dispatcher = Dispatcher(service.outbox, post, lambda: self._clock() + service.settings.clock_offset)
        async with anyio.create_task_group() as group:
            group.start_soon(dispatcher.run)
            yield
            group.cancel_scope.cancel()

    async def _exchange(self, request: wire.Request, effect: FaultEffect, half: float) -> wire.Response:
        form, complete = await _received_form(request, effect)
        response = ServiceResponse(200)
        if effect.read_limit is None and effect.reaches_service:
            response = self.service.handle(self._service_request(request, form), self._clock())
        await anyio.sleep(half + effect.wait_after)
        if effect.response is None:
            raise _connection_failed(request, Phase.COMPLETE if complete else Phase.INCOMPLETE, "the connection broke")
        response = effect.response(response)
        if request.upload is not None:
            request.upload.on_status(response.status)
        await anyio.sleep(0.0 if effect.response_rate is None else len(response.body) / effect.response_rate)
        if effect.sent_limit is not None:
            raise _connection_failed(request, Phase.COMPLETE, "the response was interrupted")
        return _wire_response(request, response, complete=complete)

    def _service_request(self, request: wire.Request, form: Form | None) -> ServiceRequest:
        return ServiceRequest(
            method=request.route.method,
            path=request.path,
            query={**dict(request.query), "apiKey": self._api_key},
            body=b"" if request.json is None else json.dumps(request.json).encode(),
            form=form,
        )


class Link(Protocol):
    """A signed URL: the part of the client's class that is used here."""

    def reveal(self) -> str:
        """The URL itself."""
        ...


class InProcessStorage:
    """Fetches files from a `Service` directly: the counterpart of `InProcessTransport`."""

    def __init__(
        self,
        service: Service,
        faults: FaultSource | None = None,
        *,
        clock: Callable[[], float] = loop_clock,
        latency: float = 0.0,
    ) -> None:
        self.service = service
        self.faults = faults
        self._clock = clock
        self._latency = latency
        self._injector = FaultInjector()

    async def fetch(self, url: Link, sink: wire.Sink, headers: Mapping[str, str]) -> None:
        """Hands the response to `sink` in pieces, as far as the faults allow."""
        effect = self._injector.effect(self.faults, STORAGE_ROUTE)
        await anyio.sleep(self._latency + effect.wait_before)
        if not effect.connects:
            raise errors.ConnectionFailed(f"{STORAGE_ROUTE}: no connection", route=STORAGE_ROUTE)
        response = ServiceResponse(200)
        if effect.reaches_service:
            response = self.service.handle(_file_request(url, headers), self._clock())
        await anyio.sleep(effect.wait_after)
        if effect.response is None:
            raise _download_failed()
        await _hand_over(effect.response(response), effect, sink)

    async def aclose(self) -> None:
        """There is nothing to close."""


def _file_request(url: Link, headers: Mapping[str, str]) -> ServiceRequest:
    parts = urlsplit(url.reveal())
    return ServiceRequest("GET", parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)


async def _hand_over(response: ServiceResponse, effect: FaultEffect, sink: wire.Sink) -> None:
    length = {"content-length": str(len(response.body))}
    await sink.begin(wire.ResponseHead(response.status, {**length, **response.headers}))
    body = response.body[: effect.sent_limit]
    for first in range(0, len(body), PIECE_BYTES):
        piece = body[first : first + PIECE_BYTES]
        await anyio.sleep(0 if effect.response_rate is None else len(piece) / effect.response_rate)
        await sink.write(piece)
    if effect.sent_limit is not None:
        raise _download_failed()


def _download_failed() -> errors.ConnectionFailed:
    text = f"{STORAGE_ROUTE}: the connection broke"
    return errors.ConnectionFailed(text, phase=Phase.COMPLETE, route=STORAGE_ROUTE)


async def _received_form(request: wire.Request, effect: FaultEffect) -> tuple[Form | None, bool]:
    """The form, if it is read completely, and whether the client sent the complete request.

    A JSON body is sent together with its headers, so only an upload can be interrupted, after any byte, however large
    the chunks are.
    """
    upload = request.upload
    if upload is None:
        return None, True
    if effect.read_limit is not None and effect.read_limit < upload.size:
        await _read(upload, effect.read_limit, effect.upload_rate)
        return None, False
    hasher = await _read(upload, upload.size + 1, effect.upload_rate)
    if hasher.size != upload.size:
        raise _connection_failed(request, Phase.INCOMPLETE, f"the upload is not {upload.size} bytes as declared")
    video = hasher.uploaded(upload.filename) if upload.part == "video" else None
    return Form(dict(upload.fields), video), True


async def _read(upload: wire.Upload, limit: int, rate: float | None) -> VideoHasher:
    """Reads chunks until there are at least `limit` bytes or no more chunks."""
    hasher = VideoHasher()
    chunks = upload.chunks()
    try:
        while hasher.size < limit and (chunk := await anext(chunks, None)) is not None:
            hasher.update(chunk)
            await anyio.sleep(0 if rate is None else len(chunk) / rate)
    finally:
        await _close(chunks)
    return hasher


async def _close(chunks: AsyncIterator[bytes]) -> None:
    # Otherwise the garbage collector would close a generator that is not exhausted, at any later time.
    close = getattr(chunks, "aclose", None)
    if close is not None:
        with anyio.CancelScope(shield=True):
            await close()


def _wire_response(request: wire.Request, response: ServiceResponse, *, complete: bool) -> wire.Response:
    headers, body = dict(response.headers), response.body
    if headers.get("content-encoding") in ("gzip", "deflate"):
        del headers["content-encoding"]
        body = _decompressed(request, body)
    if len(body) > MAX_RESPONSE_BYTES:
        route = str(request.route)
        raise errors.UnreadableAnswer(f"{route}: the answer is larger than {MAX_RESPONSE_BYTES:,} bytes", route=route)
    return wire.Response(response.status, headers, body, request_complete=complete)


def _decompressed(request: wire.Request, body: bytes) -> bytes:
    # 32 more than the largest window: gzip and zlib are distinguished by their headers.
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        decompressed = decompressor.decompress(body, MAX_RESPONSE_BYTES + 1)
    except zlib.error:
        raise _connection_failed(request, Phase.COMPLETE, "the response is corrupt") from None
    if not decompressor.eof and len(decompressed) <= MAX_RESPONSE_BYTES:
        raise _connection_failed(request, Phase.COMPLETE, "the response is corrupt")
    return decompressed


def _connection_failed(request: wire.Request, phase: Phase, text: str) -> errors.ConnectionFailed:
    route = str(request.route)
    return errors.ConnectionFailed(f"{route}: {text} ({phase.value})", phase=phase, route=route)
