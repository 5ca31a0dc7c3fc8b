"""The emulated service without a socket: transport and storage for the client, in the same process and loop.

Invariant: the only module of the emulator that speaks the client's language, of which it knows
the words (`wire`, `errors`) and nothing more. All waiting goes through the loop, so a loop with
virtual time passes hours in an instant.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

import anyio

from .. import errors
from ..errors import Phase
from ..protocol import wire
from .faults import FaultEffect
from .handlers import STORAGE
from .messages import Form, ServiceRequest, ServiceResponse
from .service import Service
from .settings import EmulatorSettings
from .video_hash import VideoHasher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from .faults import FaultSource
    from .settings import EmulatorSettings

__all__ = ["EPOCH", "InProcessStorage", "InProcessTransport"]

EPOCH = 1_767_225_600.0
"""2026-01-01T00:00:00Z: what the loop's time is counted from."""

ANSWER_BYTES = 64 * 2**20
"""Larger answers, counted after decompression, are refused as a real transport would."""


STORED = f"GET {STORAGE}"
PIECE_BYTES = 8_192
"""Stored files come in pieces of this size."""


def loop_clock() -> float:
    """The running loop's time, as seconds since the epoch."""
    return EPOCH + anyio.current_time()


class InProcessTransport:
    """Asks a `Service` directly. `service` and `faults` may be looked at and replaced between requests.

    `latency` is the seconds from request to answer, or makes them for each request; half of it passes
    before the service acts and half after.
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
        self.service = service if isinstance(service, Service) else Service(service)
        self.faults = faults
        self._api_key = self.service.api_key if api_key is None else api_key
        self._clock = clock
        self._latency = latency
        self._counts: Counter[str] = Counter()
        self._closed = False

    @property
    def origin(self) -> str:
        """Stands for the base URL."""
        return "http://emulator.invalid"

    @property
    def account(self) -> str:
        """Tells accounts apart without telling the key."""
        return hashlib.sha256(self._api_key.encode()).hexdigest()[:32]

    async def send(self, request: wire.Request) -> wire.Response:
        """The service's answer, or `ConnectionFailed` as a network would have made of it."""
        if self._closed:
            raise RuntimeError("the transport is closed")
        effect = self._course(str(request.route))
        half = (self._latency() if callable(self._latency) else self._latency) / 2
        if not effect.connects:
            await anyio.sleep(half)
            raise _trouble(request, Phase.NOT_SENT, "no connection")
        await anyio.sleep(half + effect.wait_before)
        return await self._play(request, effect, half)

    async def aclose(self) -> None:
        """Nothing is open; what is sent from now on is an error."""
        self._closed = True

    def _course(self, route: str) -> FaultEffect:
        self._counts[route] += 1
        fault = None if self.faults is None else self.faults.fault_for(route, self._counts[route])
        return FaultEffect() if fault is None else fault.effect()

    async def _play(self, request: wire.Request, effect: FaultEffect, half: float) -> wire.Response:
        form, whole = await _uploaded(request, effect)
        answer = ServiceResponse(200)
        if effect.read is None and effect.acts:
            answer = self.service.handle(self._ask(request, form), self._clock())
        if effect.answer is None:
            await anyio.sleep(half + effect.wait_after)
            raise _trouble(request, Phase.COMPLETE if whole else Phase.INCOMPLETE, "the connection broke")
        answer = effect.answer(answer)
        trickle = 0.0 if effect.answer_rate is None else len(answer.body) / effect.answer_rate
        await anyio.sleep(half + effect.wait_after)
        if request.upload is not None:
            request.upload.answered(answer.status)
        await anyio.sleep(trickle)
        if effect.keep is not None:
            raise _trouble(request, Phase.COMPLETE, "the answer broke off")
        return _response(request, answer, whole=whole)

    def _ask(self, request: wire.Request, form: Form | None) -> ServiceRequest:
        return ServiceRequest(
            method=request.route.method,
            path=request.path,
            query={**dict(request.query), "apiKey": self._api_key},
            body=b"" if request.json is None else json.dumps(request.json).encode(),
            form=form,
        )


class Link(Protocol):
    """A signed URL, as far as it is known here."""

    def reveal(self) -> str:
        """The URL itself."""
        ...


class InProcessStorage:
    """Fetches from the storage of a `Service` directly: the counterpart of `InProcessTransport`."""

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
        self._count = 0

    async def fetch(self, url: Link, sink: wire.Sink, headers: Mapping[str, str]) -> None:
        """Hands the storage's answer to `sink`, in pieces, as far as the faults let it come."""
        self._count += 1
        fault = None if self.faults is None else self.faults.fault_for(STORED, self._count)
        effect = FaultEffect() if fault is None else fault.effect()
        await anyio.sleep(self._latency + effect.wait_before)
        if not effect.connects:
            raise errors.ConnectionFailed(f"{STORED}: no connection", route=STORED)
        answer = self.service.handle(_asked(url, headers), self._clock()) if effect.acts else ServiceResponse(200)
        await anyio.sleep(effect.wait_after)
        if effect.answer is None:
            raise _broken()
        await _hand_over(effect.answer(answer), effect, sink)

    async def aclose(self) -> None:
        """Nothing is open."""


def _asked(url: Link, headers: Mapping[str, str]) -> ServiceRequest:
    parts = urlsplit(url.reveal())
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return ServiceRequest("GET", parts.path, query, {name.lower(): value for name, value in headers.items()})


async def _hand_over(answer: ServiceResponse, effect: FaultEffect, sink: wire.Sink) -> None:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    await sink.begin(wire.ResponseHead(answer.status, {"content-length": str(len(answer.body)), **headers}))
    body = answer.body[: effect.keep]
    for first in range(0, len(body), PIECE_BYTES):
        piece = body[first : first + PIECE_BYTES]
        await anyio.sleep(0 if effect.answer_rate is None else len(piece) / effect.answer_rate)
        await sink.take(piece)
    if effect.keep is not None:
        raise _broken()


def _broken() -> errors.ConnectionFailed:
    return errors.ConnectionFailed(f"{STORED}: the connection broke", phase=Phase.COMPLETE, route=STORED)


async def _uploaded(request: wire.Request, effect: FaultEffect) -> tuple[Form | None, bool]:
    """The form as far as it is read, and whether the request was handed over whole.

    A body of JSON leaves together with its headers, so only an upload can be cut inside; and that goes
    by bytes, however large the chunks are.
    """
    upload = request.upload
    if upload is None:
        return None, True
    if effect.read is not None and effect.read < upload.size:
        await _digested(upload, effect.read, effect.upload_rate)
        return None, False
    digester = await _digested(upload, upload.size + 1, effect.upload_rate)
    if digester.size != upload.size:
        raise _trouble(request, Phase.INCOMPLETE, f"the upload has not the declared {upload.size} bytes")
    video = digester.video(upload.filename) if upload.part == "video" else None
    return Form(dict(upload.fields), video), True


async def _digested(upload: wire.Upload, most: int, rate: float | None) -> VideoHasher:
    """Reads until `most` bytes have come or there are no more."""
    digester = VideoHasher()
    chunks = upload.chunks()
    try:
        while digester.size < most and (chunk := await anext(chunks, None)) is not None:
            digester.feed(chunk)
            await anyio.sleep(0 if rate is None else len(chunk) / rate)
    finally:
        await _close(chunks)
    return digester


async def _close(chunks: AsyncIterator[bytes]) -> None:
    # A generator that is left half-read would be closed by the collector, whenever that comes.
    close = getattr(chunks, "aclose", None)
    if close is not None:
        with anyio.CancelScope(shield=True):
            await close()


def _response(request: wire.Request, answer: ServiceResponse, *, whole: bool) -> wire.Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = answer.body
    if headers.get("content-encoding") in ("gzip", "deflate"):
        del headers["content-encoding"]
        body = _unpacked(request, body)
    if len(body) > ANSWER_BYTES:
        route = str(request.route)
        raise errors.UnreadableAnswer(f"{route}: the answer is larger than {ANSWER_BYTES:,} bytes", route=route)
    return wire.Response(answer.status, headers, body, request_complete=whole)


def _unpacked(request: wire.Request, body: bytes) -> bytes:
    # 32 more than the largest window: gzip and zlib are told apart by their headers.
    press = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = press.decompress(body, ANSWER_BYTES + 1)
    except zlib.error:
        raise _trouble(request, Phase.COMPLETE, "the answer is garbled") from None
    if not press.eof and len(unpacked) <= ANSWER_BYTES:
        raise _trouble(request, Phase.COMPLETE, "the answer is garbled")
    return unpacked


def _trouble(request: wire.Request, phase: Phase, what: str) -> errors.ConnectionFailed:
    route = str(request.route)
    return errors.ConnectionFailed(f"{route}: {what} ({phase.value})", phase=phase, route=route)
