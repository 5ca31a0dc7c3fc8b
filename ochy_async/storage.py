"""The way to the storage host: fetches what a signed URL leads to, without ever knowing the API key.

Invariant: a link is a secret, and it ends here. No error, frame, chain or log holds it; redirects
are not followed, and nothing but the link tells the host who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from anyio import to_thread
from attrs import define, field
from yarl import URL

from .errors import ConnectionFailed, InvalidSettings, Phase, UnreadableAnswer
from .network import ask, forget, is_loopback, plain_client, proxy_status, told, unconnected
from .policy.limits import Limits
from .protocol.answer import SignedUrl
from .protocol.ranges import TRANSFER
from .protocol.wire import ResponseHead, Sink
from .proxies import NONE, Proxy

__all__ = ["HttpStorage", "Storage"]


class Storage(Protocol):
    """Whatever fetches files behind signed URLs: `HttpStorage`, or the emulator without a socket."""

    async def fetch(self, url: SignedUrl, sink: Sink, headers: Mapping[str, str]) -> None:
        """Hands the answer to `sink`, whatever its status; returns once all of it was handed over.

        Raises `ConnectionFailed` where it broke off, and whatever the sink raised.
        """
        ...

    async def aclose(self) -> None:
        """Gives everything back."""
        ...


@define(eq=False)
class _Guarded:
    """The sink, with what it raised: on its way through aiohttp an error grows frames that know the URL."""

    sink: Sink
    _failure: tuple[Exception, TracebackType | None] | None = field(default=None, init=False, repr=False)

    async def __call__(self, step: Awaitable[None]) -> None:
        try:
            await step
        except Exception as failure:
            self._failure = failure, failure.__traceback__
            raise

    @property
    def failure(self) -> Exception | None:
        """What the sink raised, with the traceback that it came with."""
        return None if self._failure is None else self._failure[0].with_traceback(self._failure[1])


class HttpStorage:
    """Fetches with aiohttp, on connections of its own: nothing is shared with the API's."""

    def __init__(self, limits: Limits, proxy: Proxy | None = None, *, loopback: bool = False) -> None:
        """`loopback` where the API is on this machine: its links may lead here then, and over http."""
        self._limits = limits
        self._loopback = loopback
        self._proxy = proxy or Proxy.of(NONE)
        self._http: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return "<HttpStorage>"

    async def fetch(self, url: SignedUrl, sink: Sink, headers: Mapping[str, str]) -> None:
        """Hands the answer to `sink`. Https only, unless all is on loopback; raises `UnreadableAnswer` otherwise."""
        http = await self._client()
        failure = await self._outcome(http, url, _Guarded(sink), headers)
        if failure is not None:
            raise failure

    async def aclose(self) -> None:
        """Closes all connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def _outcome(
        self, http: aiohttp.ClientSession, url: SignedUrl, guarded: _Guarded, headers: Mapping[str, str]
    ) -> Exception | None:
        """The choke point. Errors are returned and raised by the caller, so that no frame that knows the URL
        hangs on to them as traceback or context."""
        try:
            if not _may_be_asked(url, loopback=self._loopback):
                return UnreadableAnswer(_NOT_ASKED, route=TRANSFER)
            await _handed_over(http, url, guarded, headers, self._proxy)
        except Exception as trouble:  # noqa: BLE001 - whatever aiohttp raises, its frames and text may hold the URL
            return guarded.failure or _translated(trouble)
        except BaseException as leaving:  # a cancellation, or a signal that strikes in the midst of aiohttp
            forget(leaving)
            raise
        return None

    async def _client(self) -> aiohttp.ClientSession:
        """The client of the running loop; one that belongs to a loop of the past is given up first."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise InvalidSettings("The session is in use by another event loop; make one for each thread.")
            await self.aclose()
            self._loop = loop
        if self._http is None or self._http.closed:
            headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
            tunnelled = self._proxy.address is not None
            self._http = plain_client(
                aiohttp.TCPConnector(limit=0), self._limits, headers, tunnelled=tunnelled, auto_decompress=False
            )
        return self._http


async def _handed_over(
    http: aiohttp.ClientSession, url: SignedUrl, guarded: _Guarded, headers: Mapping[str, str], proxy: Proxy
) -> None:
    """Has the URL in reach: its frame must never be part of what leaves this room."""
    link = url.reveal()
    through = proxy.arguments() if await to_thread.run_sync(proxy.serves, link) else {}
    async with await ask(http, "GET", URL(link, encoded=True), headers=headers, **through) as response:
        kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
        await guarded(guarded.sink.begin(ResponseHead(response.status, kept)))
        async for piece in response.content.iter_any():
            await guarded(guarded.sink.take(piece))


def _may_be_asked(url: SignedUrl, *, loopback: bool) -> bool:
    link = url.reveal()
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or not link.isprintable() or " " in link:
        return False
    if is_loopback(host):  # a server elsewhere has no business with what runs on this machine
        return loopback and parts.scheme in ("http", "https")
    return parts.scheme == "https"


def _translated(trouble: Exception) -> ConnectionFailed:
    phase = Phase.NOT_SENT if unconnected(trouble) else Phase.COMPLETE
    said = f"{TRANSFER}: {told(trouble)}. Run again later."
    return ConnectionFailed(said, phase=phase, status=proxy_status(trouble), route=TRANSFER)


_NOT_ASKED: Final = f"{TRANSFER}: the link may not be asked: https only, and nothing on this machine. Report it."
_KEPT: Final = (
    *("content-length", "content-range", "content-encoding", "transfer-encoding"),
    *("etag", "retry-after"),
)
