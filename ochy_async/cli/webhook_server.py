"""Serves a webhook on a port of this machine, and reports every request that it answers.

Invariant: what is reported of a request holds neither its path, which ends in the token, nor the value of a header
other than its content type.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from ssl import SSLContext
from typing import Final

import click
from aiohttp import web
from aiohttp.http import HttpProcessingError
from anyio import CancelScope, sleep
from attrs import define, field, frozen

from ..protocol.deliveries import Delivery
from ..webhooks.hooks import Webhooks
from .display.deliveries import AnsweredRequest
from .webhook_url import WebhookToken

__all__ = ["ServerAddress", "WebhookServer"]

SHUTDOWN_SECONDS: Final = 1.0
"""How long requests that have begun are awaited at the end."""
TLS_SECONDS: Final = 0.1
"""For the farewell of TLS connections, which asyncio goes on with after aiohttp has closed them."""
MALFORMED: Final = 400
MAX_HEADERS: Final = 40
_HEADER_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")


def _answered(request: web.Request, status: int, delivery: Delivery | None = None) -> AnsweredRequest:
    """What may be reported of a request."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return AnsweredRequest(
        at=datetime.now(UTC),
        status=status,
        method=request.method,
        media_type=media_type if not media_type or _MEDIA_TYPE.fullmatch(media_type) else "…",
        size=request.content_length,
        headers=_names(request),
        delivery=delivery,
    )


def _names(request: web.Request) -> tuple[str, ...]:
    names = sorted({name.lower() for name in request.headers})[:MAX_HEADERS]
    return tuple(name if _HEADER_NAME.fullmatch(name) else "…" for name in names)


@frozen(kw_only=True)
class ServerAddress:
    """Where a server listens."""

    host: str
    """An IP address."""
    port: int
    """0 for any free port."""
    ssl: SSLContext | None = field(default=None, repr=False)

    def url(self, port: int) -> str:
        """The URL of the server, if it was given that port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.ssl is None else 'https'}://{host}:{port}"


@define(eq=False)
class WebhookServer:
    """Answers requests as `Webhooks` does, on any path that ends in the token."""

    report: Callable[[AnsweredRequest], None]
    """Called on the loop with each request, after it was answered."""
    _delivered: ContextVar[list[Delivery]] = field(factory=lambda: ContextVar("delivered"), init=False)
    """The deliveries of the request that is being answered, which are none or one."""

    @asynccontextmanager
    async def listening(self, address: ServerAddress, token: WebhookToken | None) -> AsyncGenerator[str]:
        """Listens while the block runs, and yields the URL. Without a token it comes from `OCHY_WEBHOOK_TOKEN`.

        Raises `InvalidSettings` without a usable token, and `ClickException` if the address cannot be used.
        """
        hooks = Webhooks(None if token is None else token.text, on_delivery=self._remember)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", partial(self._answer, hooks))
        runner = web.AppRunner(app, access_log=None, logger=self._logger(), shutdown_timeout=SHUTDOWN_SECONDS)
        async with hooks:
            await runner.setup()
            try:
                await _bind(runner, address)
                yield address.url(runner.addresses[0][1])
            finally:
                with CancelScope(shield=True):
                    await runner.cleanup()
                    await sleep(0 if address.ssl is None else TLS_SECONDS)

    def _remember(self, delivery: Delivery) -> None:
        self._delivered.get().append(delivery)

    async def _answer(self, hooks: Webhooks, request: web.Request) -> web.StreamResponse:
        delivered: list[Delivery] = []
        self._delivered.set(delivered)
        try:
            response = await hooks.aiohttp(request)
        except web.HTTPException as refused:
            self.report(_answered(request, refused.status))
            raise
        self.report(_answered(request, response.status, next(iter(delivered), None)))
        return response

    def _logger(self) -> logging.Logger:
        """A logger of this server alone, outside the tree of loggers."""
        logger = logging.Logger(__name__, logging.DEBUG)  # noqa: LOG001 - one of the tree would be shared by all servers
        logger.addHandler(_ServerLog(self.report))
        return logger


async def _bind(runner: web.AppRunner, address: ServerAddress) -> None:
    try:
        await web.TCPSite(runner, address.host, address.port, ssl_context=address.ssl).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(
            f"Cannot listen on {address.host}, port {address.port}: {reason}. Choose another --port, or 0 for any."
        ) from None


class _ServerLog(logging.Handler):
    """Reports requests that are no HTTP, and passes errors of our own on to the log of the library.

    aiohttp logs the former with their first line, which may hold the token.
    """

    def __init__(self, report: Callable[[AnsweredRequest], None]) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            self._report(AnsweredRequest(at=datetime.now(UTC), status=MALFORMED))
        elif record.levelno >= logging.ERROR:
            logging.getLogger("ochy_async").handle(record)
