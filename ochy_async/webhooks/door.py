"""The door: what a web server passes on of one request, and how it is answered.

Invariant: nothing of a request is read before its token matched, at most 64 KiB of it are, for a few seconds at most,
and neither its token nor its body is logged.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from anyio import current_time, move_on_after
from attrs import evolve, field, frozen

from ..errors import InvalidDelivery
from ..policy.delivery_limit import DeliveryRateLimit
from ..protocol.deliveries import MAX_DELIVERY_BYTES, Delivery, check_content_type, parse_delivery
from .tokens import HookTokens

__all__ = ["BODY_SECONDS", "Disconnected", "Door", "Head", "Reply", "last_segment"]

BODY_SECONDS: Final = 5.0
"""Seconds for a whole body. A delivery is a few hundred bytes."""


class Disconnected(Exception):
    """The client left before its body was complete."""


@frozen
class Head:
    """The head of a request."""

    method: str
    token: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """By their names in lower case."""


@frozen
class Reply:
    """How a request is answered. No reply has a body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False
    """Whether the connection must be closed, because more of the body may follow."""
    delivery: Delivery | None = field(default=None, repr=False)
    """What was delivered, if that could be read."""

    @property
    def is_to_delivery(self) -> bool:
        """Whether the request had the token and the method of a delivery, whatever else was wrong with it."""
        return self.status not in (NOT_FOUND.status, WRONG_METHOD.status)


NO_CONTENT: Final = Reply(204)
BAD_REQUEST: Final = Reply(400)
NOT_FOUND: Final = Reply(404)
WRONG_METHOD: Final = Reply(405, (("allow", "POST"),))
TOO_SLOW: Final = Reply(408, closes=True)
TOO_LARGE: Final = Reply(413, closes=True)
WRONG_TYPE: Final = Reply(415)


@frozen(eq=False)
class Door:
    """Decides how requests are answered, whatever server and framework they come through."""

    tokens: HookTokens
    rate_limit: DeliveryRateLimit

    async def take(self, head: Head, body: AsyncGenerator[bytes]) -> Reply:
        """Reads a request as far as it deserves, and returns the answer. Raises `Disconnected` if nobody awaits it."""
        refused = self.check_head(head, current_time())
        if refused is not None:
            return refused
        content = None
        with move_on_after(BODY_SECONDS):
            content = await _read(body)
        if content is None:
            return TOO_SLOW
        if len(content) > MAX_DELIVERY_BYTES:
            return TOO_LARGE
        try:
            return evolve(NO_CONTENT, delivery=parse_delivery(bytes(content), head.headers))
        except InvalidDelivery as error:
            return Reply(error.status or BAD_REQUEST.status)

    def check_head(self, head: Head, now: float) -> Reply | None:
        """The answer that the head alone decides; None if the body is to be read.

        The rate is counted after the token matched: a stranger, who does not know it, takes nothing away from the
        vendor's deliveries. Whoever knows it cannot be told from the vendor; what is refused then is found by polling.
        """
        if not self.tokens.match(head.token):
            return NOT_FOUND
        if head.method != "POST":
            return WRONG_METHOD
        seconds = self.rate_limit.admit(now)
        if seconds:
            return Reply(429, (("retry-after", str(math.ceil(seconds))),))
        try:
            check_content_type(head.headers)
        except InvalidDelivery:
            return WRONG_TYPE
        if head.headers.get("content-encoding", "identity") != "identity":  # a small body may unpack to a huge one
            return WRONG_TYPE
        return TOO_LARGE if _declared_length(head.headers) > MAX_DELIVERY_BYTES else None


def last_segment(path: str) -> str:
    """The last part of a path: the token, whether the door is mounted below a prefix or not.

    Servers and frameworks disagree on whether `path` still has the prefix; its end is the same everywhere.
    """
    return path.rpartition("/")[2]


def _declared_length(headers: Mapping[str, str]) -> int:
    """The declared length in bytes; 0 if there is none, or none that can be read."""
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isascii() and text.isdecimal() else 0


async def _read(body: AsyncGenerator[bytes]) -> bytearray:
    """The body, or what came of it until it was too large."""
    content = bytearray()
    async with aclosing(body) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > MAX_DELIVERY_BYTES:
                break
    return content
