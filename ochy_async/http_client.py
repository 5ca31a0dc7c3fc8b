"""The aiohttp clients of the library, out of reach of cookies, proxies of the environment, and instrumentation.

Invariant: whatever aiohttp raises may hold a URL in its text, its chain or its frames, and every URL here is a secret.
Error texts therefore come from a fixed table.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from functools import cache
from inspect import unwrap
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

import aiohttp
from attrs import define, field
from yarl import URL

from ._version import __version__
from .errors import InvalidSettings
from .policy.limits import Limits
from .protocol.compression import CorruptContent

__all__ = [
    "AnswerTooLarge",
    "CallerCode",
    "ClientPool",
    "ConnectionTrace",
    "check_loop",
    "client_timeout",
    "describe",
    "drop_frames",
    "is_loopback",
    "keep_freed_memory",
    "never_connected",
    "proxy_status",
    "send_request",
    "split_url",
]

T = TypeVar("T")
PROXY_AUTHENTICATION_REQUIRED: Final = 407
KEPT: Final = 4 * 1024 * 1024
"""Bytes of the block that `keep_freed_memory` frees."""


@cache
def keep_freed_memory() -> None:
    """Lets the allocator of glibc keep up to 8 MiB of freed memory for the next chunks of uploads.

    By default it returns freed memory to the system at once, and each chunk is written to new pages, which the system
    has to provide and to clear. It keeps twice the largest block that it has ever mapped and freed, so such a block is
    allocated and freed here. Its pages are never used. Other allocators are not changed, and neither is one that the
    environment configures (`MALLOC_TRIM_THRESHOLD_`).
    """
    bytes(KEPT)


class AnswerTooLarge(Exception):
    """The answer is larger than its limit."""


@define
class ConnectionTrace:
    """How far the connection for one request got. aiohttp reports it to the `trace_request_ctx` of the request."""

    started: bool = False
    established: bool = False

    @property
    def failed(self) -> bool:
        """Whether a failed request surely never had a connection.

        Errors do not show that: a proxy that closes the connection before the tunnel is established looks like a
        server that closes it after the request.
        """
        return self.started and not self.established


async def _mark_started(_session: Any, context: Any, _params: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.started = True


async def _mark_established(_session: Any, context: Any, _params: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.established = True


def _trace_config() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_mark_started)
    trace.on_connection_create_end.append(_mark_established)
    trace.on_connection_reuseconn.append(_mark_established)
    return trace


def _uninstrumented() -> tuple[type[aiohttp.ClientSession], Any]:
    """aiohttp's own client class and request method, beneath any instrumentation that replaced them.

    The public `request` calls `_request`, which is what instrumentation replaces.
    """
    own = (each for each in aiohttp.ClientSession.__mro__ if each.__module__ == "aiohttp.client")
    client: Any = next(own, aiohttp.ClientSession)
    return client, unwrap(getattr(client, "_request", client.request))


# Found once, at import: instrumentation that comes later does not see the requests either.
_CLIENT, _REQUEST = _uninstrumented()


async def send_request(
    http: aiohttp.ClientSession, method: str, url: URL, timeout: aiohttp.ClientTimeout, **options: Any
) -> aiohttp.ClientResponse:
    """Sends a request and returns the response, to be used as `async with`. Never follows a redirect."""
    response: aiohttp.ClientResponse = await _REQUEST(
        http, method, url, timeout=timeout, allow_redirects=False, middlewares=(), **options
    )
    return response


def client_timeout(limits: Limits, *, proxied: bool) -> aiohttp.ClientTimeout:
    """The time-outs of one request. They are no property of a client, so that requests with other limits share it."""
    return aiohttp.ClientTimeout(
        total=None,
        # With a proxy, aiohttp waits for the answer to CONNECT without a time-out of its own.
        connect=limits.connect if proxied else None,
        sock_connect=limits.connect,
        sock_read=limits.stall,
    )


class ClientPool:
    """The aiohttp clients of one transport or storage: opened on first use, closed once.

    The clients belong to one event loop. A `borrowed` session lends its connector, and nothing else; it stays open.
    """

    def __init__(
        self, headers: Mapping[str, str], borrowed: aiohttp.ClientSession | None = None, *, proxied: bool = True
    ) -> None:
        self._headers = {"User-Agent": f"ochy-async/{__version__}", **headers}
        self._borrowed = borrowed
        self._proxied = proxied
        self._clients: dict[bool, aiohttp.ClientSession] = {}
        """For uploads (True) and for everything else."""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def aclose(self) -> None:
        """Closes all connections of our own; borrowed ones stay open."""
        clients, self._clients = self._clients, {}
        async with AsyncExitStack() as closing:  # a cancellation of one must not keep the other open
            for http in clients.values():
                if self._borrowed is not None:
                    http.detach()
                else:
                    closing.push_async_callback(http.close)

    async def client(self, *, upload: bool = False) -> aiohttp.ClientSession:
        """The client of the running event loop. Clients of a loop that has ended are closed first."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise InvalidSettings("The session is in use by another event loop. Make one session for each thread.")
            await self.aclose()
            self._loop = loop
        if upload not in self._clients or self._clients[upload].closed:
            if upload:
                keep_freed_memory()
            self._clients[upload] = self._open(self._connector(upload), traced=upload or self._proxied)
        return self._clients[upload]

    def _connector(self, upload: bool) -> aiohttp.BaseConnector:
        if self._borrowed is None:
            return aiohttp.TCPConnector(limit=0, force_close=upload)
        connector = self._borrowed.connector
        if connector is None or connector.closed:
            raise InvalidSettings("The borrowed aiohttp session is closed. Keep it open for as long as this session.")
        return connector

    def _open(self, connector: aiohttp.BaseConnector, *, traced: bool) -> aiohttp.ClientSession:
        # A trace costs a tenth of a poll. Without a proxy, errors show whether there was a connection; an upload
        # costs money and does not rely on that.
        traces = [_trace_config()] if traced else []
        http = _CLIENT(
            connector=connector,
            connector_owner=self._borrowed is None,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None),  # each request has its own
            trust_env=False,
            auto_decompress=False,
            request_class=aiohttp.ClientRequest,
            response_class=aiohttp.ClientResponse,
            trace_configs=traces,
        )
        # Instrumentation adds its own traces to every new session; they would see the URLs.
        http.trace_configs[:] = [each for each in http.trace_configs if each in traces]
        return http


@define(eq=False)
class CallerCode:
    """Runs the caller's own code inside of a request, and remembers the error that it raises.

    The error is remembered with its traceback so far: on its way through aiohttp it gains frames that hold the URL.
    """

    _raised: tuple[Exception, TracebackType | None] | None = field(default=None, init=False, repr=False)

    async def run(self, step: Awaitable[T]) -> T:
        """Awaits a step of the caller's code. Raises what it raises."""
        try:
            return await step
        except Exception as error:
            self._raised = error, error.__traceback__
            raise

    @property
    def error(self) -> Exception | None:
        """What the caller's code raised, with the traceback that it had then."""
        return None if self._raised is None else self._raised[0].with_traceback(self._raised[1])


def check_loop() -> None:
    """Raises `InvalidSettings` if no asyncio event loop runs: aiohttp needs one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return
    raise InvalidSettings(
        "OchySession runs on asyncio's event loops (uvloop's too), and this is not one: trio is not supported. Nothing "
        "was sent. Start the program with asyncio.run(…), or anyio.run(…, backend='asyncio')."
    )


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL; None if its host or port is invalid."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # they are checked only when they are read
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def drop_frames(error: BaseException) -> None:
    """Removes traceback and chain from an error that is raised again unchanged: their frames hold the URL."""
    error.__traceback__ = None
    error.__context__ = None
    error.__cause__ = None


def never_connected(error: Exception) -> bool:
    """Whether the error alone proves that there never was a connection."""
    return isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )


def proxy_status(error: Exception) -> int | None:
    """407 where a proxy wants (other) credentials, so that repeating cannot help; None for every other error."""
    refused = isinstance(error, aiohttp.ClientHttpProxyError) and error.status == PROXY_AUTHENTICATION_REQUIRED
    return PROXY_AUTHENTICATION_REQUIRED if refused else None


def describe(error: Exception) -> str:
    """What happened, as text that holds no URL."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        why = "it requires a user and a password, or other ones" if proxy_status(error) else "see its log"
        return f"the proxy refused the tunnel to the host (HTTP {error.status}; {why})"
    text = next(text for kinds, text in _TEXTS if isinstance(error, kinds))
    reason = getattr(error, "strerror", None)
    return f"{text} ({reason})" if isinstance(reason, str) and "://" not in reason else text


_TEXTS: Final[tuple[tuple[Any, str], ...]] = (
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "the host's certificate is not valid"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorDNSError, "the host's name could not be resolved"),
    (aiohttp.ClientProxyConnectionError, "no connection to the proxy could be made"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ConnectionTimeoutError, "no connection was made in time"),
    (TimeoutError, "no data moved in either direction for too long"),
    (AnswerTooLarge, "the answer is too large"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    ((aiohttp.ClientPayloadError, CorruptContent), "the answer was cut short or is corrupt"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (Exception, "the connection broke"),
)
