"""Fetches the files behind signed URLs from the storage host, without ever knowing the API key.

Invariant: a signed URL is a secret, and this module is the last to hold it. No error, frame, chain or log contains it,
redirects are not followed, and the request tells the host nothing about the caller but the URL itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Final, Protocol, Self

import aiohttp
from anyio import to_thread
from yarl import URL

from .errors import ConnectionFailed, Phase, UnreadableAnswer
from .http_client import (
    CallerCode,
    ClientPool,
    client_timeout,
    describe,
    drop_frames,
    is_loopback,
    never_connected,
    proxy_status,
    send_request,
    split_url,
)
from .policy.limits import Limits
from .protocol.answer import SignedUrl
from .protocol.ranges import TRANSFER
from .protocol.wire import ResponseHead, Sink
from .proxies import NONE, Proxy

__all__ = ["HttpStorage", "Storage"]


class Storage(Protocol):
    """Fetches files behind signed URLs: `HttpStorage` over the network, or the emulator's storage in this process."""

    async def fetch(self, url: SignedUrl, sink: Sink, headers: Mapping[str, str]) -> None:
        """Passes the answer to `sink`, whatever its status. Returns once the sink has all of it.

        Raises `ConnectionFailed` if the transfer is interrupted, and whatever the sink raises.
        """
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


class HttpStorage:
    """Fetches with aiohttp, on connections of its own: it shares none with the API."""

    def __init__(self, limits: Limits, proxy: Proxy | None = None, *, loopback: bool = False) -> None:
        """`loopback`: the API is on this machine, so its links may lead to this machine, and use http."""
        self._loopback = loopback
        self._proxy = proxy or Proxy.of(NONE)
        self._pool = ClientPool({"Accept": "*/*", "Accept-Encoding": "identity"})
        self.timeout: aiohttp.ClientTimeout = client_timeout(limits, proxied=self._proxy.address is not None)

    def with_limits(self, limits: Limits) -> Self:
        """A storage with other limits on the same connections: closing one closes both."""
        derived = copy(self)
        derived.timeout = client_timeout(limits, proxied=self._proxy.address is not None)
        return derived

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()

    def __repr__(self) -> str:
        return "<HttpStorage>"

    async def fetch(self, url: SignedUrl, sink: Sink, headers: Mapping[str, str]) -> None:
        """Passes the answer to `sink`.

        The link must be https, or lead to this machine where the API does too. Raises `UnreadableAnswer` otherwise.
        """
        http = await self._pool.client()
        error = await self._error_of(http, url, sink, headers)
        if error is not None:
            raise error

    async def _error_of(
        self, http: aiohttp.ClientSession, url: SignedUrl, sink: Sink, headers: Mapping[str, str]
    ) -> Exception | None:
        """Fetches a file and returns the error, if any, for the caller to raise.

        Raised here, it would carry frames that hold the URL as its traceback or context.
        """
        caller = CallerCode()
        try:
            if not _is_allowed(url, loopback=self._loopback):
                return UnreadableAnswer(_NOT_ALLOWED, route=TRANSFER)
            await _transfer(http, url, sink, caller, headers, self._proxy, self.timeout)
        except Exception as error:  # noqa: BLE001 - whatever aiohttp raises, its frames and text may hold the URL
            return caller.error or _translated(error)
        except BaseException as interruption:  # a cancellation, or a signal that arrives inside of aiohttp
            drop_frames(interruption)
            raise
        return None


async def _transfer(
    http: aiohttp.ClientSession,
    url: SignedUrl,
    sink: Sink,
    caller: CallerCode,
    headers: Mapping[str, str],
    proxy: Proxy,
    timeout: aiohttp.ClientTimeout,
) -> None:
    """Passes the answer to the sink. Its frame holds the URL, so it must never be part of an error that leaves here."""
    link = url.reveal()
    options = proxy.arguments() if await to_thread.run_sync(proxy.serves, link) else {}
    target = URL(link, encoded=True)
    async with await send_request(http, "GET", target, timeout, headers=headers, **options) as response:
        head = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        await caller.run(sink.begin(ResponseHead(response.status, head)))
        async for piece in response.content.iter_any():
            await caller.run(sink.write(piece))


def _is_allowed(url: SignedUrl, *, loopback: bool) -> bool:
    link = url.reveal()
    parts = split_url(link)
    host = parts and parts.hostname
    if not parts or not host or parts.username or parts.password or not link.isprintable() or " " in link:
        return False
    if is_loopback(host):  # a remote server must not make us send requests to this machine
        return loopback and parts.scheme in ("http", "https")
    return parts.scheme == "https"


def _translated(error: Exception) -> ConnectionFailed:
    phase = Phase.NOT_SENT if never_connected(error) else Phase.COMPLETE
    text = f"{TRANSFER}: {describe(error)}. Run again later."
    return ConnectionFailed(text, phase=phase, status=proxy_status(error), route=TRANSFER)


_NOT_ALLOWED: Final = f"{TRANSFER}: the link is not https, or leads to this machine, so it was not fetched. Report it."
_HEADERS: Final = ("content-length", "content-range", "content-encoding", "transfer-encoding", "etag", "retry-after")
