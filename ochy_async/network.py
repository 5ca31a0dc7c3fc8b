"""What the network is like: a client that nothing looks over the shoulder of, and its errors in plain words.

Law of this room: whatever aiohttp raises may hold a URL, in its text, its chain or its frames, and every
URL here is a secret. What leaves is a word from the table below.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from ._version import __version__
from .policy.limits import Limits

__all__ = ["TooLarge", "forget", "is_loopback", "plain_client", "told", "unconnected"]


class TooLarge(Exception):
    """The answer is larger than its cap."""


def plain_client(
    connector: aiohttp.BaseConnector, limits: Limits, headers: Mapping[str, str], **settings: Any
) -> aiohttp.ClientSession:
    """An aiohttp client without cookies, proxies of the environment, or anybody who listens in."""
    http = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"ochy-async/{__version__}", **headers},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect, sock_read=limits.stall),
        trust_env=False,
        **settings,
    )
    http.trace_configs.clear()  # instrumentation adds itself to every new session, and would see the URLs
    return http


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
    """Whether there never was a connection."""
    return isinstance(trouble, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def told(trouble: Exception) -> str:
    """What happened, in words that hold no URL."""
    what = next(words for kinds, words in _WORDS if isinstance(trouble, kinds))
    reason = getattr(trouble, "strerror", None)
    return f"{what} ({reason})" if isinstance(reason, str) and "://" not in reason else what


_WORDS: Final[tuple[tuple[Any, str], ...]] = (
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "the host's certificate is not valid"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection could be made"),
    (aiohttp.ClientConnectorDNSError, "the host's name could not be resolved"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ConnectionTimeoutError, "no connection was made in time"),
    (TimeoutError, "nothing moved for too long"),
    (TooLarge, "the answer is too large"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "the answer was cut short or garbled"),
    (aiohttp.ClientResponseError, "the answer is no HTTP"),
    (Exception, "the connection broke"),
)
