"""The wire to the API: the only holder of the API key.

Invariant: `send(Request) -> Response`, nothing else. The key enters here, below everything
that can be seen: it is in no request, repr, log, trace or error. Every error of aiohttp, the operating
system and TLS turns into a `ConnectionFailed` here, without a cause that could hold a URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from functools import cached_property
from io import BytesIO
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import aiohttp
import aiohttp.payload
from aiohttp.abc import AbstractStreamWriter
from anyio import fail_after
from anyio.lowlevel import checkpoint
from attrs import field, frozen
from yarl import URL

from .errors import ConnectionFailed, InvalidSettings, KeyRefused, OchyError, Phase, UnreadableAnswer
from .network import Connecting, TooLarge, ask, forget, is_loopback, plain_client, proxy_status, told, unconnected
from .policy.limits import Limits
from .policy.origins import normalized
from .protocol.compression import ENCODINGS, decoder_for
from .protocol.routes import RAW_DATA
from .protocol.wire import Request, Response, Upload
from .proxies import NONE, Proxy

__all__ = ["ApiKey", "BaseUrl", "HttpTransport", "Transport"]

SHORTEST_KEY: Final = 8
SLICE: Final = 256 * 1024
"""Bytes of an answer that are searched for the key at a time: a millisecond of work."""
CHUNKS: Final = 500
"""Small chunks of an answer that are taken in one turn of the loop: about a millisecond of work."""
SMALL: Final = 256
"""Bytes. What is larger is a turn's work by itself."""
LONGEST_SPELLING: Final = len("\\u002f")


class Transport(Protocol):
    """Whatever takes requests to a server: `HttpTransport`, or the emulator without a socket."""

    @property
    def origin(self) -> str:
        """The base URL: another one is another server, with other books, unless RFC 3986 makes them equal."""
        ...

    @property
    def account(self) -> str:
        """A digest that tells accounts apart, and from which the key cannot be had."""
        ...

    async def send(self, request: Request) -> Response:
        """The answer, whatever its status. Raises `ConnectionFailed` where none came."""
        ...

    async def aclose(self) -> None:
        """Gives everything back."""
        ...


@frozen(repr=False)
class ApiKey:
    """The API key, hidden from every repr and pickle."""

    _key: str = field(repr=False)  # rich and other printers go by the field, not by the class's repr

    def check(self) -> None:
        """Raises `KeyRefused` for what cannot be a key.

        Not done at construction: whoever makes an `ApiKey` can first drop the text from its own
        frame, which an error would lay open.
        """
        what = "OCHY_API_KEY, or the api_key argument"
        if not isinstance(self._key, str) or not self._key:
            raise KeyRefused(f"There is no API key. Set {what}.")
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise KeyRefused(f"The API key has a blank or an unprintable character. Check {what}.")
        if len(self._key) < SHORTEST_KEY:
            raise KeyRefused(f"The API key is too short to be one and could not be kept out of logs. Check {what}.")

    def query(self) -> str:
        """The query parameter that carries the key."""
        return f"apiKey={quote(self._key, safe='')}"

    def digest(self) -> str:
        """What tells this key from others without telling it: 32 hex digits. Keys are too long to be guessed."""
        return hashlib.blake2b(self._key.encode(), digest_size=16, person=b"ochy account").hexdigest()

    async def redact(self, body: bytes) -> bytes:
        """`body` without the key, should the server echo it, in any spelling of URLs and JSON.

        Searched in slices: megabytes at once would hold the event loop.
        """
        overlap = LONGEST_SPELLING * len(self._key)
        for start in range(0, len(body), SLICE):
            if start:
                await checkpoint()
            if self._spelt.search(body, start, start + SLICE + overlap):
                return self._spelt.sub(b"[key]", body)
        return body

    @cached_property
    def _spelt(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(map(_spellings, self._key)))

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> Any:
        raise TypeError("the API key cannot be pickled; make a new session in the other process")


def _spellings(character: str) -> bytes:
    """A pattern for a character as it is, after a backslash, as a JSON escape, or percent-encoded."""
    plain = re.escape(character)
    code = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(character):02x}")
    # Each branch begins with a literal, which `re` looks for several times as fast as for anything else.
    return rf"(?:{plain}|\\(?:{plain}|u00{code})|%{code})".encode()


def _without_slash(text: str) -> str:
    return text.rstrip("/")


@frozen
class BaseUrl:
    """Where the API is: https, or http on loopback. Raises `InvalidSettings` for anything else."""

    given: str = field(converter=_without_slash)
    """As it was given."""

    def __attrs_post_init__(self) -> None:
        # Both: what looks harmless to one parser must be so to the one that sends.
        why = _base_url_problem(self.given) or _base_url_problem(self.text)
        if why:
            raise InvalidSettings(f"The base URL {why}. Check OCHY_BASE_URL, or the base_url argument.")

    @property
    def on_loopback(self) -> bool:
        """Whether the API is on this machine itself."""
        return is_loopback(urlsplit(self.text).hostname or "")

    @cached_property
    def text(self) -> str:
        """The one spelling of it: what requests are sent to, and identities are made of."""
        return normalized(self.given)


def _base_url_problem(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "cannot be parsed"
    if not text.isprintable() or " " in text:
        return "must hold no blanks and line breaks"
    if parts.scheme not in ("http", "https") or not host:
        return "must begin with https:// and a host"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must hold no user, query or fragment"
    if parts.scheme == "http" and not is_loopback(host):
        return "must be https, since every URL carries the API key; http is for loopback only"
    return None


class RoundRobin:
    """Lets one upload hand over one chunk in each turn of the loop, in the order in which they come.

    A network that takes all at once would else never let others go on, and many uploads would add up to a long turn.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def take(self) -> None:
        """Ends in a turn of the loop that is nobody else's."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            if not self._waiting:  # else whoever waits is woken in the next turn
                await asyncio.sleep(0)
        finally:
            self._lock.release()


class FilePart(aiohttp.payload.Payload):
    """The video in the form: streamed, counted, and never completed after `stop`."""

    def __init__(self, upload: Upload, stall: float, turns: RoundRobin) -> None:
        super().__init__(None, content_type=upload.content_type)
        self._upload = upload
        self.stall = stall
        """Seconds without progress after which the attempt is given up."""
        self._turns = turns
        self._stopped = False
        self.complete = False
        """The last chunk was handed over: from here on the server may know the whole form."""
        self._failure: tuple[Exception, TracebackType | None] | None = None

    @property
    def size(self) -> int:
        """Bytes; the form's declared length comes of it."""
        return self._upload.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        raise TypeError("a video is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        handed, loop = 0, asyncio.get_running_loop()
        async with aclosing(self._upload.chunks()) as chunks:
            with fail_after(self.stall) as patience:
                await self._turns.take()
                while chunk := await self._next(chunks):
                    if self._stopped and not self.complete:
                        raise ConnectionResetError
                    handed += len(chunk)
                    self.complete = handed >= self._upload.size
                    await writer.write(chunk)
                    await writer.drain()  # `write` itself waits after large chunks only
                    patience.deadline = loop.time() + self.stall
                    await self._turns.take()

    async def _next(self, chunks: AsyncGenerator[bytes]) -> bytes:
        """The next chunk, empty at the end. Remembers what the caller's own content raised."""
        try:
            return await anext(chunks, b"")
        except Exception as failure:
            self._failure = failure, failure.__traceback__
            raise

    @property
    def failure(self) -> Exception | None:
        """What the caller's own content raised before it was whole.

        With the traceback that it came with: on its way through aiohttp it grows frames that know the URL.
        """
        if self._failure is None or self.complete:
            return None
        return self._failure[0].with_traceback(self._failure[1])

    def stop(self) -> None:
        """Keeps what was not sent yet from ever being sent."""
        self._stopped = True


@frozen(repr=False, eq=False)
class _Attempt:
    """One request on the wire, with what is needed to say afterwards how far it got."""

    request: Request
    cap: int
    part: FilePart | None
    seen: list[int] = field(factory=list)
    """Takes the status of the answer, once its head came."""
    connecting: Connecting = field(factory=Connecting)

    @property
    def status(self) -> int | None:
        """The status of the answer, if its head came."""
        return next(iter(self.seen), None)

    @property
    def phase(self) -> Phase:
        """How far a request got that was under way when it failed.

        A success that came before the body was whole makes no sense, so it proves nothing.
        """
        if self.connecting.failed:
            return Phase.NOT_SENT
        cut = self.part is not None and not self.part.complete and not 200 <= (self.status or 0) < 300
        return Phase.INCOMPLETE if cut else Phase.COMPLETE

    async def answer(self, response: aiohttp.ClientResponse, key: ApiKey) -> Response:
        self.seen.append(response.status)
        if self.request.upload is not None:
            self.request.upload.answered(response.status)
        complete = self.part is None or self.part.complete
        if self.part is None or complete:
            body = await self._body(response)
        else:
            self.part.stop()
            with fail_after(self.part.stall):  # aiohttp's own time-out only begins once a body is written
                body = await self._body(response)
        kept = ("content-type", "date", "retry-after")
        headers = {name: found for name in kept if (found := response.headers.get(name)) is not None}
        return Response(response.status, headers, await key.redact(body), complete)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, unpacked. Raises `TooLarge` as soon as it is, `CorruptContent` where it is not what it says.

        Read and unpacked in steps, with a turn for others after each: what a server sends must not hold the loop.
        """
        if (response.content_length or 0) > self.cap:
            raise TooLarge
        packing = decoder_for(response.headers.get("Content-Encoding", ""))
        body = BytesIO()  # hands its bytes over without a copy, which of megabytes would take a long turn
        async for data in _pieces(response.content):
            for piece in packing.pieces(data):
                if body.tell() + body.write(piece) > self.cap:
                    raise TooLarge
                await checkpoint()
        packing.finish()
        return body.getvalue()


async def _pieces(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """What an answer consists of, as it comes. Chunks of a byte or two, which may be many, are joined."""
    while not content.at_eof():
        small: list[bytes] = []
        for _ in range(CHUNKS):
            piece, _ = await content.readchunk()
            small.append(piece)
            if len(piece) > SMALL or content.at_eof():
                break
        yield b"".join(small)


class HttpTransport:
    """Sends requests with aiohttp, on connections of its own or on those of a borrowed session.

    Of its own it makes a new connection for each upload: one that was kept alive may be closed by the
    server at just that moment, and then nobody would know whether a start was charged.

    Of a borrowed `aiohttp.ClientSession` only the connector (pool, TLS, resolver) is used: its traces,
    cookies, headers and middlewares would see the key, and so would what instrumentation puts over aiohttp's
    client. A proxy is used with either.
    """

    def __init__(
        self,
        key: ApiKey,
        base_url: BaseUrl,
        limits: Limits,
        borrowed: aiohttp.ClientSession | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._key = key
        proxy = proxy or Proxy.of(NONE)
        self._proxy = proxy if proxy.serves(base_url.text) else None
        self._base_url = base_url
        self._limits = limits
        self._borrowed = borrowed
        self._clients: dict[bool, aiohttp.ClientSession] = {}
        """For uploads (True) and for everything else."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = RoundRobin()

    def __repr__(self) -> str:
        through = "" if self._proxy is None else f" through {self._proxy.address}"
        return f"<HttpTransport to {self._base_url.text}{through}>"

    @property
    def origin(self) -> str:
        """The base URL, in the one spelling of it."""
        return self._base_url.text

    @property
    def spelling(self) -> str:
        """The base URL as it was given: older journals know their clips by that."""
        return self._base_url.given

    @property
    def account(self) -> str:
        """A digest of the key."""
        return self._key.digest()

    async def send(self, request: Request) -> Response:
        """The answer, whatever its status.

        Raises `ConnectionFailed` where none came, `UnreadableAnswer` for one that is too large, and
        whatever the caller's own video stream raised.
        """
        http = await self._client(request.upload is not None)
        outcome = await self._outcome(http, request)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        """Closes all connections of our own; borrowed ones stay open."""
        clients, self._clients = self._clients, {}
        async with AsyncExitStack() as closing:  # a cancellation of one must not keep the other open
            for http in clients.values():
                if self._borrowed is not None:
                    http.detach()
                else:
                    closing.push_async_callback(http.close)

    async def _outcome(self, http: aiohttp.ClientSession, request: Request) -> Response | Exception:
        """The choke point. Errors are returned and raised by the caller, so that no frame of aiohttp,
        which all know the URL, hangs on to them as traceback or context."""
        part = FilePart(request.upload, self._limits.stall, self._turns) if request.upload is not None else None
        cap = self._limits.raw_data_bytes if request.route == RAW_DATA else self._limits.answer_bytes
        attempt = _Attempt(request, cap, part)
        try:
            return await self._asked(http, attempt)
        except Exception as trouble:  # noqa: BLE001 - whatever aiohttp raises, its frames and text may hold the URL
            return (part and part.failure) or _translated(trouble, attempt)
        except BaseException as leaving:  # a cancellation, or a signal that strikes in the midst of aiohttp
            forget(leaving)
            raise

    async def _asked(self, http: aiohttp.ClientSession, attempt: _Attempt) -> Response:
        """Has the URL in reach: its frame must never be part of what leaves this room."""
        request = attempt.request
        body: dict[str, Any] = {} if self._proxy is None else self._proxy.arguments()
        if request.upload is not None and attempt.part is not None:
            await self._turns.take()  # connections are not made all at once either
            body["data"] = form_of(request.upload, attempt.part)
        elif request.json is not None:
            body["json"] = request.json
        way, url = request.route.method, self._url(request)
        async with await ask(http, way, url, trace_request_ctx=attempt.connecting, **body) as response:
            return await attempt.answer(response, self._key)

    def _url(self, request: Request) -> URL:
        """The one place where the key is added; always at the configured origin."""
        query = "".join(f"{quote(name, safe='')}={quote(value, safe='')}&" for name, value in request.query)
        return URL(f"{self._base_url.text}{request.path}?{query}{self._key.query()}", encoded=True)

    async def _client(self, upload: bool) -> aiohttp.ClientSession:
        """The client of the running loop; those that belong to a loop of the past are given up first."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise InvalidSettings("The session is in use by another event loop; make one for each thread.")
            await self.aclose()
            self._loop, self._turns = loop, RoundRobin()
        if upload not in self._clients or self._clients[upload].closed:
            self._clients[upload] = self._made(upload)
        return self._clients[upload]

    def _made(self, upload: bool) -> aiohttp.ClientSession:
        if self._borrowed is None:
            connector: aiohttp.BaseConnector | None = aiohttp.TCPConnector(limit=0, force_close=upload)
        else:
            connector = self._borrowed.connector
        if connector is None or connector.closed:
            raise InvalidSettings("The borrowed aiohttp session is closed; keep it open for as long as this session.")
        headers = {"Accept": "application/json", "Accept-Encoding": ENCODINGS}
        return plain_client(
            connector,
            self._limits,
            headers,
            tunnelled=self._proxy is not None,
            connector_owner=self._borrowed is None,
            auto_decompress=False,
        )


def form_of(upload: Upload, part: FilePart) -> aiohttp.MultipartWriter:
    """The multipart form. Its length is known, so it is declared: a server can tell it was cut short."""
    form = aiohttp.MultipartWriter("form-data")
    for name, value in upload.fields:
        form.append(value).set_content_disposition("form-data", name=name)
    form.append_payload(part)
    part.set_content_disposition("form-data", name=upload.part, filename=upload.filename)
    return form


def _translated(trouble: Exception, attempt: _Attempt) -> OchyError:
    route, status = attempt.request.route, attempt.status
    if isinstance(trouble, TooLarge) and attempt.part is None:
        return UnreadableAnswer(
            f"{route}: the answer is larger than {attempt.cap:,} bytes. If that is right, raise the cap in Limits.",
            status=status,
            route=str(route),
        )
    phase = Phase.NOT_SENT if unconnected(trouble) else attempt.phase
    said = f"{route}: {told(trouble)}; {_FAR[phase]}."
    return ConnectionFailed(said, phase=phase, status=status or proxy_status(trouble), route=str(route))


_FAR: Final = {
    Phase.NOT_SENT: "nothing was sent. Check the network, the base URL and the proxy, if there is one",
    Phase.INCOMPLETE: "the request was cut short, so the server cannot have acted on it",
    Phase.COMPLETE: "the request had been sent",
}
