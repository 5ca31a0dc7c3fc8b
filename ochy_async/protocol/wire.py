"""The nouns that both ends of the wire share: requests and answers as plain values.

Invariant: nothing here opens, sends or waits. A `Request` never holds the API key: the
transport adds it below everything that can be seen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from .routes import Route

__all__ = ["Request", "Response", "ResponseHead", "Sink", "Upload"]


def _unheard(_: int) -> None:
    pass


@frozen
class Upload:
    """A multipart form with one file part, whose bytes are streamed."""

    fields: tuple[tuple[str, str], ...] = field(repr=False)
    """The text fields of the form, in the order they are sent. Not in the repr: health data."""

    part: str
    """The name of the file part."""

    filename: str
    """The name sent with the file: ASCII letters, digits, dot, dash and underscore only."""

    content_type: str
    """The media type sent with the file."""

    size: int
    """Exactly how many bytes `chunks` gives."""

    chunks: Callable[[], AsyncGenerator[bytes]] = field(repr=False, eq=False)
    """Opens the content anew from its first byte; called once for each attempt, and closed after it.

    What it gives can be joined, sent and hashed like bytes; of a file it may be a `bytearray`, which spares a copy.
    """

    answered: Callable[[int], None] = field(default=_unheard, repr=False, eq=False)
    """Told the status of an answer as soon as its head has come, before its body is read, which may never end."""


@frozen
class Request:
    """One request, whole but for the origin and the key."""

    route: Route
    """Which call this is."""

    path: str
    """The route's template, filled in and percent-encoded. Begins with `/`."""

    query: tuple[tuple[str, str], ...] = ()
    """Query parameters other than the key."""

    json: Any = field(default=None, repr=False)
    """A JSON body, or None. Not in the repr: it may be health data."""

    upload: Upload | None = None
    """A form body, or None."""


@frozen
class Response:
    """One answer, whole."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(repr=False)
    """Header values by lower-case name."""

    body: bytes = field(repr=False)
    """The body after decompression. Not in the repr: health data."""

    request_complete: bool = True
    """False when the answer came before our body had handed over its last chunk."""


@frozen
class ResponseHead:
    """What the storage says before the bytes of a file come."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(repr=False)
    """Header values by lower-case name. Not in the repr: a redirect holds a link."""


class Sink(Protocol):
    """Where a stored file goes, piece by piece. What it raises ends the transfer and reaches the caller as it is."""

    async def begin(self, head: ResponseHead) -> None:
        """Called once, before the first piece, whatever the status."""
        ...

    async def take(self, piece: bytes) -> None:
        """Takes the next piece."""
        ...
