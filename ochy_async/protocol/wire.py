"""The values that a transport takes and returns: requests and responses.

Invariant: a `Request` never holds the API key. The transport adds it where no log and no trace shows it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from .routes import Route

__all__ = ["Request", "Response", "ResponseHead", "Sink", "Upload"]


def _ignore(_: int) -> None:
    pass


@frozen
class Upload:
    """A multipart form with one file part, which is streamed."""

    fields: tuple[tuple[str, str], ...] = field(repr=False)
    """The text fields of the form, in order. Not in the repr, because they are health data."""

    part: str
    """The name of the file part."""

    filename: str
    """The name sent with the file: ASCII letters, digits, dot, dash and underscore only."""

    content_type: str
    """The media type sent with the file."""

    size: int
    """The exact number of bytes that `chunks` yields."""

    chunks: Callable[[], AsyncGenerator[bytes]] = field(repr=False, eq=False)
    """Opens the content from its first byte. It is called once for each attempt, and the generator is closed after it.

    A chunk can be joined, sent and hashed like bytes. For a file it may be a `bytearray`, which saves a copy.
    """

    on_status: Callable[[int], None] = field(default=_ignore, repr=False, eq=False)
    """Called with the status as soon as the head of an answer arrives. Reading the body may take arbitrarily long."""


@frozen
class Request:
    """One request, without the origin and the key."""

    route: Route
    """The route of the call."""

    path: str
    """The template of the route with its parts, percent-encoded. Begins with `/`."""

    query: tuple[tuple[str, str], ...] = ()
    """Query parameters other than the key."""

    json: Any = field(default=None, repr=False)
    """A JSON body, or None. Not in the repr, because it may be health data."""

    upload: Upload | None = None
    """A form body, or None."""


@frozen
class Response:
    """One complete response."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(repr=False)
    """Header values by lower-case name."""

    body: bytes = field(repr=False)
    """The body after decompression. Not in the repr, because it may be health data."""

    request_complete: bool = True
    """False if the response came before the last chunk of our body was handed over."""


@frozen
class ResponseHead:
    """The head of a response of the storage, before the bytes of a file."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(repr=False)
    """Header values by lower-case name. Not in the repr, because a redirect holds a link."""


class Sink(Protocol):
    """Receives a file piece by piece. An exception ends the transfer and reaches the caller unchanged."""

    async def begin(self, head: ResponseHead) -> None:
        """Called once before the first piece, whatever the status."""
        ...

    async def write(self, piece: bytes) -> None:
        """Receives the next piece."""
        ...
