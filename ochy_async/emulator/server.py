"""The emulated service on a real port of this machine.

Invariant: loopback only, nothing is logged that could hold a key, and nothing outlives the
`async with`. What goes wrong is decided in `faults`; here it is only played on the socket.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import struct
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from anyio import CancelScope

from .faults import FaultEffect
from .messages import ServiceRequest, ServiceResponse
from .multipart import read_form
from .service import Service, template_of
from .settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext
    from types import TracebackType
    from typing import Self

    from aiohttp import StreamReader

    from .faults import FaultSource
    from .messages import Form

__all__ = ["Emulator"]

JSON_BYTES = 1_000_000
CHUNK_BYTES = 65_536
# aiohttp waits this long for handlers, and as long again once they are cancelled.
SHUTDOWN_SECONDS = 0.05
# After an answer that came before the end of an upload, the rest is read away for this long.
LINGERING_SECONDS = 2.0
# Trickled bytes come this many times a second, so that a reader sees them trickle.
TRICKLES_PER_SECOND = 20


class Emulator:
    """A small Ochy on a loopback port, as an async context manager.

    `faults` may be replaced while it runs. `speed` is how many seconds pass for the service in one
    real second; the waits of faults are real seconds. The signed URLs lead to a second port, as the
    vendor's lead to another host.
    """

    def __init__(
        self,
        service: Service | EmulatorSettings | None = None,
        faults: FaultSource | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        speed: float = 1.0,
        ssl: SSLContext | None = None,
    ) -> None:
        if not 0 < speed <= 1_000_000:
            raise ValueError(f"speed: above 0 and at most 1,000,000, not {speed}")
        self.service = service if isinstance(service, Service) else Service(service)
        self.faults = faults
        self._host = _loopback(host)
        self._port = port
        self._clock = clock
        self._epoch = clock()
        self._speed = speed
        self._ssl = ssl
        self._counts: Counter[str] = Counter()
        self._runner: web.ServerRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:54321`."""
        if self._runner is None:
            raise RuntimeError("the emulator runs inside its `async with` only")
        return self._url

    @property
    def api_key(self) -> str:
        """A key that is accepted at the moment."""
        return self.service.api_key

    @property
    def now(self) -> float:
        """The service's time, in seconds since the epoch."""
        return self._epoch + (self._clock() - self._epoch) * self._speed

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the emulator runs already")
        server = web.Server(self._respond, access_log=None, logger=_log(), lingering_time=LINGERING_SECONDS)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            url = await self._listen(runner, self._port)
            self.service.storage_url = await self._listen(runner, 0)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._url = runner, url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        # Shielded, for a cancelled test must not leave a port open; it takes a fraction of a second.
        with CancelScope(shield=True):
            if runner is not None:
                await runner.cleanup()

    async def _listen(self, runner: web.ServerRunner, port: int) -> str:
        site = web.TCPSite(runner, self._host, port, ssl_context=self._ssl)
        await site.start()
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._ssl is None else 'https'}://{host}:{runner.addresses[-1][1]}"

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        route = template_of(request.method, request.rel_url.raw_path)
        self._counts[route] += 1
        fault = None if self.faults is None else self.faults.fault_for(route, self._counts[route])
        try:
            return await self._play(request, FaultEffect() if fault is None else fault.effect())
        except (ConnectionError, web.RequestPayloadError):
            # The client went away: inside its request, so that the service has not seen it, or inside the answer.
            return _cut(request)

    async def _play(self, request: web.BaseRequest, effect: FaultEffect) -> web.StreamResponse:
        await asyncio.sleep(effect.wait_before)
        if effect.read is not None and effect.answer is None:
            await _skip(request.content, effect.read)
            return _cut(request)
        answer = ServiceResponse(200)
        if effect.read is None:
            ask = await _ask(request, effect.upload_rate)
            answer = self.service.handle(ask, self.now) if effect.acts else answer
        await asyncio.sleep(effect.wait_after)
        if effect.answer is None:
            return _cut(request)
        return await _send(request, effect.answer(answer), effect)


def _log() -> logging.Logger:
    """For what goes wrong here. What is no HTTP stays out: aiohttp quotes its first line, a URL with a key."""
    logger = logging.getLogger("ochy_async.emulator")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    # By where the error comes from: its class is not part of what aiohttp documents.
    return record.exc_info is None or not _of_aiohttp(record.exc_info[0])


def _of_aiohttp(kind: type[BaseException] | None) -> bool:
    return any(each.__module__.partition(".")[0] == "aiohttp" for each in (kind.__mro__ if kind else ()))


def _loopback(host: str) -> str:
    # A name would be bound on every address it has, each with a port of its own.
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise ValueError(f"host: the emulator listens on a loopback address such as 127.0.0.1 only, not on {host!r}")


async def _ask(request: web.BaseRequest, rate: float | None) -> ServiceRequest:
    multipart = request.content_type.startswith("multipart/")
    return ServiceRequest(
        method=request.method,
        path=request.rel_url.raw_path,
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=b"" if multipart else await _json_body(request.content),
        form=await _form(request, rate) if multipart else None,
    )


async def _form(request: web.BaseRequest, rate: float | None) -> Form | None:
    try:
        return await read_form(request.headers, request.content, None if rate is None else partial(_trickled, rate))
    except ValueError:
        # No form: the service answers that as FastAPI does, with a 422.
        return None


async def _trickled(rate: float, size: int) -> None:
    await asyncio.sleep(size / rate)


async def _json_body(content: StreamReader) -> bytes:
    body = b""
    while chunk := await content.readany():
        # What is too long is read to its end and makes no sense, so the service refuses it.
        body = (body + chunk)[: JSON_BYTES + 1]
    return body if len(body) <= JSON_BYTES else b""


async def _skip(content: StreamReader, size: int) -> None:
    while size > 0 and (chunk := await content.read(min(size, CHUNK_BYTES))):
        size -= len(chunk)


def _cut(request: web.BaseRequest) -> web.Response:
    """Resets the connection; what is returned is never sent."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        if raw is not None:
            # With a linger of zero seconds the peer sees a reset and not a tidy end.
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response()


async def _send(request: web.BaseRequest, answer: ServiceResponse, effect: FaultEffect) -> web.StreamResponse:
    if effect.keep is None and effect.answer_rate is None:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    body = answer.body if effect.keep is None else answer.body[: effect.keep]
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    # Where everything is to be kept, one byte more is promised: truncated is truncated.
    response.content_length = len(answer.body) + (effect.keep is not None and len(body) == len(answer.body))
    await response.prepare(request)
    await _trickle(response, body, effect.answer_rate)
    if effect.keep is not None and request.transport is not None:
        request.transport.close()
    return response


async def _trickle(response: web.StreamResponse, body: bytes, rate: float | None) -> None:
    size = CHUNK_BYTES if rate is None else max(1, int(rate / TRICKLES_PER_SECOND))
    for first in range(0, len(body), size):
        chunk = body[first : first + size]
        await response.write(chunk)
        if rate is not None:
            await asyncio.sleep(len(chunk) / rate)
