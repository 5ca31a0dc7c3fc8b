"""Serves the emulated service on a port of this machine, and delivers to its webhook.

Invariant: it listens and posts on loopback only, logs nothing that could contain a key or a token, and nothing outlives
the `async with`. `faults` decides what goes wrong; this module applies it to the socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from anyio import CancelScope

from .dispatcher import Dispatcher
from .faults import FaultEffect, FaultInjector
from .loopback import LOOPBACK_ADDRESSES, is_loopback
from .loopback_poster import LoopbackPoster
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
    from .messages import Form, LoggedDelivery

__all__ = ["Emulator"]

MAX_JSON_BYTES = 1_000_000
CHUNK_BYTES = 65_536
# aiohttp waits this long for handlers, and again this long after it has cancelled them.
SHUTDOWN_SECONDS = 0.05
# After a response that was sent before the end of an upload, the rest is read and dropped for this long.
LINGERING_SECONDS = 2.0
# A throttled body is sent in this many writes a second.
WRITES_PER_SECOND = 20


class Emulator:
    """The emulated service on a loopback port, as an async context manager.

    `faults` may be replaced while it runs. `speed` is how many seconds pass for the service in one real second; the
    waits of faults are real seconds. The signed URLs lead to a second port, as the vendor's lead to another host.

    While it runs, it delivers to the stored webhook if that is on this machine. `webhook_ssl` verifies an https
    webhook; by default what the system trusts does. `on_delivery` is called for every entry of `deliveries`.
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
        webhook_ssl: SSLContext | None = None,
        on_delivery: Callable[[LoggedDelivery], None] | None = None,
    ) -> None:
        if not 0 < speed <= 1_000_000:
            raise ValueError(f"speed: must be above 0 and at most 1,000,000, not {speed}")
        self.service: Service = service if isinstance(service, Service) else Service(service)
        """The emulated service: its settings, its analyses and what it received."""
        self.faults: FaultSource | None = faults
        """What goes wrong; may be replaced while the emulator runs."""
        self._host = _loopback(host)
        self._port = port
        self._clock = clock
        self._epoch = clock()
        self._speed = speed
        self._ssl = ssl
        self._webhook_ssl = webhook_ssl
        self._on_delivery = on_delivery
        self._injector = FaultInjector()
        self._running: AsyncExitStack | None = None
        self._runner: web.ServerRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:54321`."""
        if self._running is None:
            raise RuntimeError("the emulator has a URL only inside its `async with`")
        return self._url

    @property
    def api_key(self) -> str:
        """An API key that is accepted now."""
        return self.service.api_key

    @property
    def now(self) -> float:
        """The service's time, in seconds since the epoch."""
        return self._epoch + (self._clock() - self._epoch) * self._speed

    @property
    def deliveries(self) -> tuple[LoggedDelivery, ...]:
        """What was delivered to the webhook, oldest first, with the answers and without the URL."""
        return self.service.deliveries

    def set_webhook(self, url: str, *, enabled: bool = True) -> None:
        """`Service.set_webhook`, now. Safe from any thread."""
        self.service.set_webhook(url, enabled=enabled, now=self.now)

    def send_test_event(self) -> None:
        """`Service.send_test_event`, now. Safe from any thread."""
        self.service.send_test_event(self.now)

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("the emulator is already running")
        async with AsyncExitStack() as stack:
            self._url = await self._serve(stack)
            await self._deliver(stack)
            self._running = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running, self._running = self._running, None
        # Shielded, since a cancelled test must not leave a port open. It takes a fraction of a second.
        with CancelScope(shield=True):
            if running is not None:
                await running.aclose()

    async def _serve(self, stack: AsyncExitStack) -> str:
        """Listens on both ports and returns the base URL."""
        server = web.Server(self._respond, access_log=None, logger=_logger(), lingering_time=LINGERING_SECONDS)
        self._runner = runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        url = await self._listen(runner, self._port)
        self.service.storage_url = await self._listen(runner, 0)
        return url

    async def _deliver(self, stack: AsyncExitStack) -> None:
        """Delivers to the webhook until the stack is closed."""
        if self._on_delivery is not None:
            self.service.outbox.observers.append(self._on_delivery)
            stack.callback(self.service.outbox.observers.remove, self._on_delivery)
        service, timeout = self.service, self.service.settings.deliveries.timeout_seconds
        poster = await stack.enter_async_context(LoopbackPoster(timeout, self._webhook_ssl))
        clock = lambda: self.now + service.settings.clock_offset  # noqa: E731
        dispatcher = Dispatcher(service.outbox, poster.post, clock, self._speed)
        # asyncio's task group, not anyio's: a test framework may leave a fixture in another task than it entered it.
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(group.create_task(dispatcher.run()).cancel)

    async def _listen(self, runner: web.ServerRunner, port: int) -> str:
        site = web.TCPSite(runner, self._host, port, ssl_context=self._ssl)
        await site.start()
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._ssl is None else 'https'}://{host}:{runner.addresses[-1][1]}"

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        route = template_of(request.method, request.rel_url.raw_path)
        effect = self._injector.effect(self.faults, route)
        try:
            return await self._apply(request, effect)
        except (ConnectionError, web.RequestPayloadError):
            # The client disconnected, in its request (then the service has not seen it) or in the response.
            return _disconnect(request)

    async def _apply(self, request: web.BaseRequest, effect: FaultEffect) -> web.StreamResponse:
        await asyncio.sleep(effect.wait_before)
        if effect.read_limit is not None and effect.response is None:
            await _skip(request.content, effect.read_limit)
            return _disconnect(request)
        response = ServiceResponse(200)
        if effect.read_limit is None:
            received = await _receive(request, effect.upload_rate)
            response = self.service.handle(received, self.now) if effect.reaches_service else response
        await asyncio.sleep(effect.wait_after)
        if effect.response is None:
            return _disconnect(request)
        return await _send(request, effect.response(response), effect)


def _logger() -> logging.Logger:
    """For errors of the emulator, without those of malformed HTTP: aiohttp quotes its first line, a URL with a key."""
    logger = logging.getLogger("ochy_async.emulator")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    # By the module of its class: aiohttp does not document the class itself.
    kind = record.exc_info[0] if record.exc_info else None
    return not any(each.__module__.partition(".")[0] == "aiohttp" for each in (kind.__mro__ if kind else ()))


def _loopback(host: str) -> str:
    # A host name would be bound on each of its addresses, with different ports.
    if is_loopback(host):
        return LOOPBACK_ADDRESSES[0] if host == "localhost" else host
    raise ValueError(f"host: must be a loopback address such as 127.0.0.1, not {host!r}")


async def _receive(request: web.BaseRequest, rate: float | None) -> ServiceRequest:
    multipart = request.content_type.startswith("multipart/")
    return ServiceRequest(
        method=request.method,
        path=request.rel_url.raw_path,
        query=dict(request.query),
        headers=dict(request.headers),
        body=b"" if multipart else await _json_body(request.content),
        form=await _form(request, rate) if multipart else None,
    )


async def _form(request: web.BaseRequest, rate: float | None) -> Form | None:
    try:
        return await read_form(
            request.headers, request.content, None if rate is None else partial(_sleep_at_rate, rate)
        )
    except ValueError:
        # Without a form the service responds with a 422, as FastAPI does.
        return None


async def _sleep_at_rate(rate: float, size: int) -> None:
    await asyncio.sleep(size / rate)


async def _json_body(content: StreamReader) -> bytes:
    body = b""
    while chunk := await content.readany():
        # A body that is too long is read to its end and becomes an empty one, which the service rejects.
        body = (body + chunk)[: MAX_JSON_BYTES + 1]
    return body if len(body) <= MAX_JSON_BYTES else b""


async def _skip(content: StreamReader, size: int) -> None:
    while size > 0 and (chunk := await content.read(min(size, CHUNK_BYTES))):
        size -= len(chunk)


def _disconnect(request: web.BaseRequest) -> web.Response:
    """Resets the connection; the response that is returned is never sent."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        if raw is not None:
            # With a linger of zero seconds the peer sees a reset instead of a regular close.
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return web.Response()


async def _send(request: web.BaseRequest, content: ServiceResponse, effect: FaultEffect) -> web.StreamResponse:
    if effect.sent_limit is None and effect.response_rate is None:
        return web.Response(status=content.status, headers=content.headers, body=content.body)
    body = content.body[: effect.sent_limit]
    response = web.StreamResponse(status=content.status, headers=content.headers)
    # A limit of the full length or more still breaks the response, so one more byte is promised then.
    response.content_length = len(content.body) + (effect.sent_limit is not None and len(body) == len(content.body))
    await response.prepare(request)
    await _write(response, body, effect.response_rate)
    if effect.sent_limit is not None and request.transport is not None:
        request.transport.close()
    return response


async def _write(response: web.StreamResponse, body: bytes, rate: float | None) -> None:
    size = CHUNK_BYTES if rate is None else max(1, int(rate / WRITES_PER_SECOND))
    for first in range(0, len(body), size):
        chunk = body[first : first + size]
        await response.write(chunk)
        if rate is not None:
            await _sleep_at_rate(rate, len(chunk))
