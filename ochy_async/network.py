"""What the network is like: a client that nothing looks over the shoulder of, and its errors in plain words.

Invariant: whatever aiohttp raises may hold a URL, in its text, its chain or its frames, and every
URL here is a secret. What leaves is a word from the table below.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from inspect import unwrap
from typing import Any, Final

import aiohttp
from attrs import define
from yarl import URL

from ._version import __version__
from .errors import InvalidSettings
from .policy.limits import Limits
from .protocol.compression import CorruptContent

__all__ = [
    "Connecting",
    "TooLarge",
    "ask",
    "check_loop",
    "forget",
    "is_loopback",
    "plain_client",
    "proxy_status",
    "told",
    "unconnected",
]

PROXY_AUTHENTICATION_REQUIRED: Final = 407


class TooLarge(Exception):
    """The answer is larger than its cap."""


@define
class Connecting:
    """How far the connection for a request got, told by aiohttp: the `trace_request_ctx` of the request."""

    begun: bool = False
    made: bool = False

    @property
    def failed(self) -> bool:
        """Whether a request that failed surely never had a connection: one was begun, and none stood.

        Errors do not tell: a proxy that closes the connection before the tunnel stands looks like a server that
        closes it after the request.
        """
        return self.begun and not self.made


async def _begin(_session: Any, context: Any, _told: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.begun = True


async def _make(_session: Any, context: Any, _told: Any) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.made = True


def _trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_begin)
    trace.on_connection_create_end.append(_make)
    trace.on_connection_reuseconn.append(_make)
    return trace


def _genuine() -> tuple[type[aiohttp.ClientSession], Any]:
    """aiohttp's own client and its way to ask, beneath whatever instrumentation has put over them.

    The public `request` goes through `_request`, which is what instrumentation replaces.
    """
    own = (each for each in aiohttp.ClientSession.__mro__ if each.__module__ == "aiohttp.client")
    client: Any = next(own, aiohttp.ClientSession)
    return client, unwrap(getattr(client, "_request", client.request))


_CLIENT, _ASK = _genuine()
"""Found once: what is put over them later does not see what is asked either."""


async def ask(http: aiohttp.ClientSession, method: str, url: URL, **how: Any) -> aiohttp.ClientResponse:
    """The head of an answer, to be used as `async with`; redirects are not followed, and nobody looks on."""
    response: aiohttp.ClientResponse = await _ASK(http, method, url, allow_redirects=False, middlewares=(), **how)
    return response


def plain_client(
    connector: aiohttp.BaseConnector,
    limits: Limits,
    headers: Mapping[str, str],
    *,
    tunnelled: bool = False,
    **settings: Any,
) -> aiohttp.ClientSession:
    """An aiohttp client without cookies, proxies of the environment, or anybody else who listens in.

    `tunnelled` where it may go through a proxy: aiohttp waits for the proxy's answer without a time-out of its own.
    """
    connect = limits.connect if tunnelled else None
    trace = _trace()
    http = _CLIENT(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"ochy-async/{__version__}", **headers},
        timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=limits.connect, sock_read=limits.stall),
        trust_env=False,
        request_class=aiohttp.ClientRequest,
        response_class=aiohttp.ClientResponse,
        trace_configs=[trace],
        **settings,
    )
    # Instrumentation adds itself to every new session, and would see the URLs.
    http.trace_configs[:] = [each for each in http.trace_configs if each is trace]
    return http


def check_loop() -> None:
    """Raises `InvalidSettings` where no asyncio runs: aiohttp needs it."""
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


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def forget(error: BaseException) -> None:
    """Drops the frames and the chain of an error that must go on as it is: they know the URL."""
    error.__traceback__ = None
    error.__context__ = None
    error.__cause__ = None


def unconnected(trouble: Exception) -> bool:
    """Whether there never was a connection, by the error alone."""
    return isinstance(
        trouble, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )


def proxy_status(trouble: Exception) -> int | None:
    """407 where a proxy wants credentials, which no repetition brings; None for everything else."""
    refused = isinstance(trouble, aiohttp.ClientHttpProxyError) and trouble.status == PROXY_AUTHENTICATION_REQUIRED
    return PROXY_AUTHENTICATION_REQUIRED if refused else None


def told(trouble: Exception) -> str:
    """What happened, in words that hold no URL."""
    if isinstance(trouble, aiohttp.ClientHttpProxyError):
        why = "it asks for a user and a password, or for other ones" if proxy_status(trouble) else "see its log"
        return f"the proxy refused the tunnel to the host (HTTP {trouble.status}; {why})"
    what = next(words for kinds, words in _WORDS if isinstance(trouble, kinds))
    reason = getattr(trouble, "strerror", None)
    return f"{what} ({reason})" if isinstance(reason, str) and "://" not in reason else what


_WORDS: Final[tuple[tuple[Any, str], ...]] = (
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "the host's certificate is not valid"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorDNSError, "the host's name could not be resolved"),
    (aiohttp.ClientProxyConnectionError, "no connection to the proxy could be made"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ConnectionTimeoutError, "no connection was made in time"),
    (TimeoutError, "nothing moved for too long"),
    (TooLarge, "the answer is too large"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    ((aiohttp.ClientPayloadError, CorruptContent), "the answer was cut short or garbled"),
    (aiohttp.ClientResponseError, "the answer is no HTTP"),
    (Exception, "the connection broke"),
)
