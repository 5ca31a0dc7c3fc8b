"""Sends requests to the API; the only module that holds the API key.

Invariant: the key is added below everything that others can see. It is in no request, repr, log, trace or error. Every
error of aiohttp, the operating system and TLS becomes a `ConnectionFailed` here, without a cause that could hold a URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import copy
from functools import cached_property
from io import BytesIO
from typing import Any, Final, Protocol, Self
from urllib.parse import quote, urlsplit

import aiohttp
import aiohttp.payload
from aiohttp.abc import AbstractStreamWriter
from anyio import fail_after
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen
from yarl import URL

from .errors import ConnectionFailed, InvalidSettings, KeyRefused, OchyError, Phase, UnreadableAnswer
from .http_client import (
    AnswerTooLarge,
    CallerCode,
    ClientPool,
    ConnectionTrace,
    client_timeout,
    describe,
    drop_frames,
    is_loopback,
    never_connected,
    proxy_status,
    send_request,
    split_url,
)
from .policy.base_urls import normalized
from .policy.limits import Limits
from .policy.start_fate import CUT_SHORT_IS_FREE
from .protocol.compression import ENCODINGS, decoder_for
from .protocol.headers import PUBLIC_HEADERS
from .protocol.routes import LIST_ANALYSES, LIST_SUBJECT_ANALYSES, RAW_DATA, Route
from .protocol.wire import Request, Response, Upload
from .proxies import NONE, Proxy

__all__ = ["ApiKey", "BaseUrl", "HttpTransport", "Transport"]

MIN_KEY_LENGTH: Final = 8
"""A shorter text could not be searched for, and so not be kept out of logs."""
SCAN_BYTES: Final = 256 * 1024
"""Bytes of an answer that are searched for the key without a checkpoint: about a millisecond of work."""
ERROR_BYTES: Final = 64 * 1024
"""The most that is read of an answer that is no success. A longer one is no JSON then, and only its status counts."""
KEYS_AT_ONCE: Final = 500
"""Occurrences of the key in an answer that are replaced without a checkpoint: about a millisecond of work."""
MAX_JOINED_CHUNKS: Final = 500
"""Small chunks of an answer that are read without a checkpoint: about a millisecond of work."""
EMULATOR_KEY: Final = "emulator-key"
"""The key that the emulator accepts unless it is told another one."""
SMALL_CHUNK: Final = 256
"""Bytes. A larger chunk is never joined with others."""
READ_AT_ONCE: Final = 4096
"""Bytes of a body that is there already, which are read at once: a millisecond of work even if each is a chunk."""
LONGEST_ENCODING: Final = len("\\u002f")
"""The most bytes that one character of the key takes in a URL or in JSON."""


class Transport(Protocol):
    """Sends requests to a server: `HttpTransport` over the network, or the emulator's transport in this process."""

    @property
    def origin(self) -> str:
        """The base URL. Two base URLs that are not equal by RFC 3986 count as two servers."""
        ...

    @property
    def account(self) -> str:
        """A stable identifier of the account, from which the key cannot be computed."""
        ...

    async def send(self, request: Request) -> Response:
        """Sends a request and returns the answer, whatever its status. Raises `ConnectionFailed` if none came."""
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


@frozen(repr=False)
class ApiKey:
    """The API key, hidden from every repr and pickle."""

    _key: str = field(repr=False)  # rich and other printers go by the field, not by the class's repr

    def check(self) -> None:
        """Raises `KeyRefused` for a text that cannot be a key.

        The constructor does not check: the caller can first delete the text from its own frame, which a traceback
        would expose.
        """
        source = "OCHY_API_KEY, or the api_key argument"
        if not isinstance(self._key, str) or not self._key:
            raise KeyRefused(f"There is no API key. Nothing was sent. Set {source}.")
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise KeyRefused(
                f"The API key has a blank or a character that is not printable ASCII. Nothing was sent. Check {source}."
            )
        if len(self._key) < MIN_KEY_LENGTH:
            raise KeyRefused(f"The API key is too short to be a real one. Nothing was sent. Check {source}.")

    @cached_property
    def query(self) -> str:
        """The query parameter that carries the key."""
        return f"apiKey={quote(self._key, safe='')}"

    @property
    def simulated(self) -> bool:
        """Whether it is the emulator's key, which no account of the vendor's has."""
        return self._key == EMULATOR_KEY

    def digest(self) -> str:
        """A digest that identifies the key without revealing it: 32 hex digits. Keys are too long to be guessed."""
        return hashlib.blake2b(self._key.encode(), digest_size=16, person=b"ochy account").hexdigest()

    async def redact(self, body: bytes) -> bytes:
        """Returns `body` with the key replaced by `[key]`, in case the server echoes it, in any URL or JSON encoding.

        The search is done in slices: megabytes at once would block the event loop.
        """
        overlap = LONGEST_ENCODING * len(self._key)
        for start in range(0, len(body), SCAN_BYTES):
            if start:
                await checkpoint()
            if self._pattern.search(body, start, start + SCAN_BYTES + overlap):
                return await self._without_key(body, overlap)
        return body

    async def _without_key(self, body: bytes, overlap: int) -> bytes:
        redacted, copied = BytesIO(), 0
        while copied < len(body):
            end = copied + SCAN_BYTES
            for number, found in enumerate(self._pattern.finditer(body, copied, end + overlap)):
                if found.start() >= end:
                    break
                if number % KEYS_AT_ONCE == KEYS_AT_ONCE - 1:
                    await checkpoint()
                redacted.write(body[copied : found.start()] + b"[key]")
                copied = found.end()
            redacted.write(body[copied:end])
            copied = max(copied, end)
            await checkpoint()
        return redacted.getvalue()

    def redact_header(self, value: str) -> str:
        """Returns the value of a header with the key replaced by `[key]`."""
        encoded = value.encode(errors="surrogateescape")
        if not self._pattern.search(encoded):
            return value
        return self._pattern.sub(b"[key]", encoded).decode(errors="surrogateescape")

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(map(_encodings_of, self._key)))

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> Any:
        raise TypeError("The API key cannot be pickled. Make a new session in the other process.")


def _encodings_of(character: str) -> bytes:
    """A pattern that matches a character as it is, after a backslash, as a JSON escape, or percent-encoded."""
    plain = re.escape(character)
    code = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(character):02x}")
    # Each branch begins with a literal: `re` searches for those several times as fast.
    return rf"(?:{plain}|\\(?:{plain}|u00{code})|%{code})".encode()


def _without_slash(text: str) -> str:
    return text.rstrip("/")


@frozen
class BaseUrl:
    """The base URL of the API: https, or http on loopback. Raises `InvalidSettings` for anything else."""

    given: str = field(converter=_without_slash)
    """As it was given."""

    def __attrs_post_init__(self) -> None:
        # Both are checked: one parser may accept what another one, such as the HTTP client's, reads differently.
        why = _base_url_problem(self.given) or _base_url_problem(self.text)
        if why:
            raise InvalidSettings(
                f"The base URL {why}. Nothing was sent. Check OCHY_BASE_URL, or the base_url argument."
            )

    @property
    def on_loopback(self) -> bool:
        """Whether the API runs on this machine."""
        return is_loopback(urlsplit(self.text).hostname or "")

    @cached_property
    def text(self) -> str:
        """The normalized form: requests are sent to it, and clip identities are computed from it."""
        return normalized(self.given)


def _base_url_problem(text: str) -> str | None:
    parts = split_url(text)
    if parts is None:
        return "cannot be parsed"
    if not text.isprintable() or " " in text:
        return "must contain no blanks and no line breaks"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must begin with https:// and a host"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must contain no user, query or fragment"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "must be https, since every URL carries the API key; http is for loopback only"
    return None


class RoundRobin:
    """Lets uploads hand over one chunk in each iteration of the event loop, in the order in which they ask.

    Without it, a fast network would let one upload block the loop, and many uploads would add up to a long iteration.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def wait(self) -> None:
        """Returns in an iteration of the loop in which no other upload hands over a chunk."""
        self._bind(asyncio.get_running_loop())
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            if not self._waiting:  # otherwise the next upload that waits is woken in the next iteration
                await asyncio.sleep(0)
        finally:
            self._lock.release()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:  # the lock of a loop that has ended cannot be used on another one
            self._loop, self._lock, self._waiting = loop, asyncio.Lock(), 0


class VideoPart(aiohttp.payload.Payload):
    """The video in the form: streams and counts its chunks, and never sends the last one after `stop`."""

    def __init__(self, upload: Upload, stall: float, round_robin: RoundRobin) -> None:
        super().__init__(None, content_type=upload.content_type)
        self._upload = upload
        self.stall = stall
        """Seconds without progress after which the attempt is given up."""
        self._round_robin = round_robin
        self._stopped = False
        self.complete: bool = False
        """Whether the last chunk was handed over: from then on the server may know the complete form."""
        self._source = CallerCode()

    @property
    def size(self) -> int:
        """Bytes. The declared length of the form includes them."""
        return self._upload.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        raise TypeError("a video is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        sent, loop = 0, asyncio.get_running_loop()
        async with aclosing(self._upload.chunks()) as chunks:
            with fail_after(self.stall) as timeout:
                await self._round_robin.wait()
                while chunk := await self._source.run(anext(chunks, b"")):
                    if self._stopped and not self.complete:
                        raise ConnectionResetError
                    sent += len(chunk)
                    self.complete = sent >= self._upload.size
                    await writer.write(chunk)
                    await writer.drain()  # `write` itself waits after large chunks only
                    timeout.deadline = loop.time() + self.stall
                    await self._round_robin.wait()

    @property
    def failure(self) -> Exception | None:
        """What the caller's own stream raised before it was complete."""
        return None if self.complete else self._source.error

    def stop(self) -> None:
        """Prevents that chunks that were not sent yet are ever sent."""
        self._stopped = True


@define(repr=False, eq=False)
class _Attempt:
    """One request on the wire, and how far it got."""

    request: Request
    max_bytes: int
    part: VideoPart | None
    status: int | None = None
    """The status of the answer, once its head came."""
    connection: ConnectionTrace = field(factory=ConnectionTrace)

    @property
    def phase(self) -> Phase:
        """How far a request that failed had got.

        A success that comes before the complete body was sent makes no sense, so the request counts as complete.
        """
        if self.connection.failed:
            return Phase.NOT_SENT
        cut = self.part is not None and not self.part.complete and not 200 <= (self.status or 0) < 300
        return Phase.INCOMPLETE if cut else Phase.COMPLETE

    async def read(self, response: aiohttp.ClientResponse, key: ApiKey) -> Response:
        """Reads the answer. An answer that comes early stops the upload."""
        self.status, received = response.status, response.headers
        if self.request.upload is not None:
            self.request.upload.on_status(response.status)
        stopped = self.part if self.part is not None and not self.part.complete else None
        if stopped is not None:
            stopped.stop()
        if stopped is None:
            body = await self._body(response)
        else:
            with fail_after(stopped.stall):  # aiohttp's own time-out begins only once the request is written
                body = await self._body(response)
        headers = {name: key.redact_header(received[name]) for name in PUBLIC_HEADERS if name in received}
        return Response(response.status, headers, await key.redact(body), stopped is None)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The decompressed body. Raises `AnswerTooLarge` as soon as it is too large, and `CorruptContent`.

        There is a checkpoint between two pieces, so that no answer can block the event loop. Of an error, only the
        first `ERROR_BYTES` are read: it is parsed at once.
        """
        failed = not 200 <= response.status < 300
        max_bytes = ERROR_BYTES if failed else self.max_bytes
        if not failed and (response.content_length or 0) > max_bytes:
            raise AnswerTooLarge
        decoder = decoder_for(response.headers.get("Content-Encoding", ""))
        body = BytesIO()  # returns its bytes without a copy, which would block the loop for megabytes
        first = True
        async for data in _pieces(response.content):
            for piece in decoder.pieces(data):
                if not first:
                    await checkpoint()
                first = False
                if body.tell() + body.write(piece) > max_bytes:
                    if failed:
                        return body.getvalue()[:max_bytes]
                    raise AnswerTooLarge
        decoder.finish()
        return body.getvalue()


async def _pieces(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """The raw body as it arrives. Chunks of a byte or two, of which there may be many, are joined."""
    if content.is_eof() and content.total_bytes <= READ_AT_ONCE:
        yield content.read_nowait()
    while not content.at_eof():
        small: list[bytes] = []
        for _ in range(MAX_JOINED_CHUNKS):
            piece, _ = await content.readchunk()
            small.append(piece)
            if len(piece) > SMALL_CHUNK or content.at_eof():
                break
        yield b"".join(small)


class HttpTransport:
    """Sends requests with aiohttp, on connections of its own or on those of a borrowed session.

    Each upload gets a new connection of its own. A kept-alive connection may be closed by the server at the moment at
    which the upload begins, and then nobody would know whether the start was charged.

    Of a borrowed `aiohttp.ClientSession` only the connector (pool, TLS, resolver) is used: its traces, cookies, headers
    and middlewares would see the key, and so would instrumentation of aiohttp's client. A proxy is used with either.
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
        self._base_url = base_url
        proxy = proxy or Proxy.of(NONE)
        self._proxy = proxy if proxy.serves(base_url.text) else None
        self._round_robin = RoundRobin()
        self._pool = ClientPool(
            {"Accept": "application/json", "Accept-Encoding": ENCODINGS}, borrowed, proxied=self._proxy is not None
        )
        self.limits: Limits = limits
        self.timeout: aiohttp.ClientTimeout = client_timeout(limits, proxied=self._proxy is not None)

    def with_limits(self, limits: Limits) -> Self:
        """A transport with other limits on the same connections: closing one closes both."""
        derived = copy(self)
        derived.limits, derived.timeout = limits, client_timeout(limits, proxied=self._proxy is not None)
        return derived

    async def aclose(self) -> None:
        """Closes all connections of our own; borrowed ones stay open."""
        await self._pool.aclose()

    def __repr__(self) -> str:
        through = "" if self._proxy is None else f" through {self._proxy.address}"
        return f"<HttpTransport to {self._base_url.text}{through}>"

    @property
    def origin(self) -> str:
        """The base URL, normalized."""
        return self._base_url.text

    @property
    def given_origin(self) -> str:
        """The base URL as it was given: journals of older versions identify their clips by it."""
        return self._base_url.given

    @property
    def simulated(self) -> bool:
        """Whether the emulator answers, by its key."""
        return self._key.simulated

    @property
    def account(self) -> str:
        """A digest of the key."""
        return self._key.digest()

    async def send(self, request: Request) -> Response:
        """Sends a request and returns the answer, whatever its status.

        Raises `ConnectionFailed` if none came, `UnreadableAnswer` if it is too large, and whatever the caller's own
        video stream raises.
        """
        http = await self._pool.client(upload=request.upload is not None)
        result = await self._response_or_error(http, request)
        if isinstance(result, Exception):
            raise result
        return result

    async def _response_or_error(self, http: aiohttp.ClientSession, request: Request) -> Response | Exception:
        """Sends a request and returns its error, if any, for the caller to raise.

        Raised here, it would carry frames of aiohttp, which all hold the URL, as its traceback or context.
        """
        part = VideoPart(request.upload, self.limits.stall, self._round_robin) if request.upload is not None else None
        attempt = _Attempt(request, _max_bytes(request.route, self.limits), part)
        try:
            return await self._send(http, attempt)
        except Exception as error:  # noqa: BLE001 - whatever aiohttp raises, its frames and text may hold the URL
            return (part and part.failure) or _translated(error, attempt)
        except BaseException as interruption:  # a cancellation, or a signal that arrives inside of aiohttp
            drop_frames(interruption)
            raise

    async def _send(self, http: aiohttp.ClientSession, attempt: _Attempt) -> Response:
        """Sends one attempt. Its frame holds the URL, so it must never be part of an error that leaves this module."""
        request = attempt.request
        options: dict[str, Any] = {} if self._proxy is None else self._proxy.arguments()
        if request.upload is not None and attempt.part is not None:
            await self._round_robin.wait()  # many starts do not open all their connections at once either
            options["data"] = form_of(request.upload, attempt.part)
        elif request.json is not None:
            options["json"] = request.json
        method, url = request.route.method, self._url(request)
        options["trace_request_ctx"] = attempt.connection
        async with await send_request(http, method, url, self.timeout, **options) as response:
            return await attempt.read(response, self._key)

    def _url(self, request: Request) -> URL:
        """The URL with the key, always at the configured origin. The key is added nowhere else."""
        query = "".join(f"{quote(name, safe='')}={quote(value, safe='')}&" for name, value in request.query)
        return URL(f"{self._base_url.text}{request.path}?{query}{self._key.query}", encoded=True)


def _max_bytes(route: Route, limits: Limits) -> int:
    """The largest answer of a route that is read."""
    if route == RAW_DATA:
        return limits.raw_data_bytes
    return limits.list_bytes if route in (LIST_ANALYSES, LIST_SUBJECT_ANALYSES) else limits.answer_bytes


def form_of(upload: Upload, part: VideoPart) -> aiohttp.MultipartWriter:
    """The multipart form. Its length is declared, so that a server can tell that it was cut short."""
    form = aiohttp.MultipartWriter("form-data")
    for name, value in upload.fields:
        form.append(value).set_content_disposition("form-data", name=name)
    form.append_payload(part)
    part.set_content_disposition("form-data", name=upload.part, filename=upload.filename)
    return form


def _translated(error: Exception, attempt: _Attempt) -> OchyError:
    route, status = attempt.request.route, attempt.status
    if isinstance(error, AnswerTooLarge) and attempt.part is None:
        return UnreadableAnswer(
            f"{route}: the answer is larger than {attempt.max_bytes:,} bytes. If you expect that, raise the cap in "
            "Limits.",
            status=status,
            route=str(route),
        )
    phase = Phase.NOT_SENT if never_connected(error) else attempt.phase
    text = f"{route}: {describe(error)}; {_PHASE_TEXTS[phase]}."
    return ConnectionFailed(text, phase=phase, status=status or proxy_status(error), route=str(route))


_PHASE_TEXTS: Final = {
    Phase.NOT_SENT: "nothing was sent. Check the network, the base URL and the proxy, if there is one",
    Phase.INCOMPLETE: "the request was cut short"
    + (", so the server cannot have acted on it" if CUT_SHORT_IS_FREE else ""),
    Phase.COMPLETE: "the request had been sent",
}
