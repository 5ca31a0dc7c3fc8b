"""Faults between client and service as frozen values, and the plans that say which request meets which fault.

Invariant: a fault only describes what happens, as a `FaultEffect`. The server applies it to a socket and the
in-process transport applies it without one. Pure, and every number is bounded.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, get_args

from attrs import NOTHING, Factory, evolve, field, frozen
from attrs.validators import and_, ge, in_, le, optional
from attrs.validators import instance_of as a

from .messages import ServiceResponse
from .seeded_random import uniform

__all__ = [
    "Delay",
    "DisconnectAfter",
    "DisconnectBefore",
    "DisconnectDuring",
    "Fault",
    "FaultEffect",
    "FaultInjector",
    "FaultPlan",
    "FaultRule",
    "FaultSource",
    "RandomFaults",
    "Redirect",
    "RefuseConnection",
    "ReplaceBody",
    "Respond",
    "RespondAfter",
    "RespondHtml",
    "RetryAfter",
    "Throttle",
    "TruncateBody",
    "gzip_bomb",
]

DAY = 86_400
GIGABYTE = 1_000_000_000

Direction = Literal["download", "upload"]
ResponseRewrite = Callable[[ServiceResponse], ServiceResponse]


def _unchanged(response: ServiceResponse) -> ServiceResponse:
    return response


@frozen(kw_only=True)
class FaultEffect:
    """What happens to one request, in the order of the fields. The defaults are a request without a fault."""

    connects: bool = True
    """Whether the client can connect. The emulator's server disconnects instead, because it has already accepted the
    connection."""

    wait_before: float = 0.0
    """Seconds until the request is read."""

    upload_rate: float | None = None
    """Bytes per second at which the request's body is read; None is no limit."""

    read_limit: int | None = None
    """Bytes of the request's body that are read; None is all. The service never sees a request that is cut here."""

    reaches_service: bool = True
    """Whether the service processes the request, and so charges for a start."""

    wait_after: float = 0.0
    """Seconds between processing the request and sending the response."""

    response: ResponseRewrite | None = _unchanged
    """Turns the service's own response (an empty 200 if the service never sees the request) into the one that is sent.

    None disconnects without a response.
    """

    sent_limit: int | None = None
    """Bytes of the response's body that are sent before the connection breaks; None is all, without a break."""

    response_rate: float | None = None
    """Bytes per second at which the response's body is sent; None is no limit."""


class Fault(Protocol):
    """One thing that goes wrong with one request."""

    def effect(self) -> FaultEffect:
        """What happens to the request."""
        ...


class FaultSource(Protocol):
    """Decides which requests meet a fault. It is asked once for every request, in the order of arrival."""

    def fault_for(self, route: str, count: int) -> Fault | None:
        """The fault of the `count`-th request (from 1) to `route`, such as `GET /analysis`, or None."""
        ...


class FaultInjector:
    """Counts the requests to each route and asks a source for the fault of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def effect(self, source: FaultSource | None, route: str) -> FaultEffect:
        """What happens to the next request to `route`."""
        self._counts[route] += 1
        fault = None if source is None else source.fault_for(route, self._counts[route])
        return FaultEffect() if fault is None else fault.effect()


def _seconds() -> float:
    return field(validator=and_(ge(0), le(DAY)))


def _bytes() -> int:
    return field(validator=and_(a(int), ge(0), le(GIGABYTE)))


def _status(default: Any = NOTHING) -> Any:
    return field(default=default, validator=and_(a(int), ge(200), le(599)))


def _fixed(status: int, headers: Mapping[str, str], body: bytes | None = None) -> ResponseRewrite:
    content = f'{{"detail":"HTTP {status} by plan"}}'.encode() if body is None else body
    return lambda _: ServiceResponse(status, headers, content)


@frozen
class Delay:
    """Delays the response and changes nothing else."""

    seconds: float = _seconds()
    after: bool = field(default=False, kw_only=True, validator=a(bool))
    """Whether the service processes the request before the wait, so that a client that gives up has been charged."""

    def effect(self) -> FaultEffect:
        return FaultEffect(wait_after=self.seconds) if self.after else FaultEffect(wait_before=self.seconds)


@frozen
class Respond:
    """Sends this response; the service never sees the request. The default body is a short JSON `detail`."""

    status: int = _status()
    body: bytes | None = None
    headers: Mapping[str, str] = Factory(lambda: {"content-type": "application/json"})
    early: bool = field(default=False, kw_only=True, validator=a(bool))
    """Whether the response is sent before the request's body is read."""

    def effect(self) -> FaultEffect:
        response = _fixed(self.status, self.headers, self.body)
        return FaultEffect(read_limit=0 if self.early else None, reaches_service=False, response=response)


@frozen
class RespondAfter:
    """The service processes the request (and charges), and then this response is sent instead of its own."""

    status: int = _status()
    body: bytes | None = None
    headers: Mapping[str, str] = Factory(lambda: {"content-type": "application/json"})

    def effect(self) -> FaultEffect:
        return FaultEffect(response=_fixed(self.status, self.headers, self.body))


@frozen
class RefuseConnection:
    """The connection is refused. On the server, which has already accepted it, the same as `DisconnectBefore`."""

    def effect(self) -> FaultEffect:
        return FaultEffect(connects=False, read_limit=0, reaches_service=False, response=None)


@frozen
class DisconnectBefore:
    """The connection breaks before the request's body is read."""

    def effect(self) -> FaultEffect:
        return FaultEffect(read_limit=0, reaches_service=False, response=None)


@frozen
class DisconnectDuring:
    """The connection breaks while the request's body is read."""

    after_bytes: int = _bytes()

    def effect(self) -> FaultEffect:
        return FaultEffect(read_limit=self.after_bytes, reaches_service=False, response=None)


@frozen
class DisconnectAfter:
    """The entire request is read, then the connection breaks without a response."""

    charged: bool = field(default=True, validator=a(bool))
    """Whether the service processes the request (and charges) before the break: the client cannot know."""

    def effect(self) -> FaultEffect:
        return FaultEffect(reaches_service=self.charged, response=None)


@frozen
class TruncateBody:
    """The service processes the request; only the first bytes of the response's body are sent before a break."""

    keep_bytes: int = _bytes()

    def effect(self) -> FaultEffect:
        return FaultEffect(sent_limit=self.keep_bytes)


@frozen
class RespondHtml:
    """Sends a proxy's error page; the service never sees the request."""

    status: int = _status(502)

    def effect(self) -> FaultEffect:
        page = f"<html><head><title>{self.status}</title></head><body><h1>{self.status}</h1></body></html>"
        response = _fixed(self.status, {"content-type": "text/html"}, page.encode())
        return FaultEffect(reaches_service=False, response=response)


@frozen
class RetryAfter:
    """Sends a response with a `Retry-After` header; the service never sees the request."""

    value: str = field(validator=a(str))
    """The header's value as it is: seconds, an HTTP date, or an invalid one."""
    status: int = _status(429)

    def effect(self) -> FaultEffect:
        headers = {"content-type": "application/json", "retry-after": self.value}
        return FaultEffect(reaches_service=False, response=_fixed(self.status, headers))


@frozen
class Throttle:
    """Limits the rate at which the response's body is sent (`download`) or the request's body is read (`upload`)."""

    bytes_per_second: float = field(validator=and_(ge(1), le(GIGABYTE)))
    direction: Direction = field(default="download", kw_only=True, validator=in_(get_args(Direction)))

    def effect(self) -> FaultEffect:
        rate = self.bytes_per_second
        return FaultEffect(upload_rate=rate) if self.direction == "upload" else FaultEffect(response_rate=rate)


@frozen
class ReplaceBody:
    """The service processes the request; its response keeps the status and gets another body, other headers, or both.

    `body` is the new bytes, or a function that makes them from the service's own; None leaves the body.
    """

    body: bytes | Callable[[bytes], bytes] | None = None
    headers: Mapping[str, str] = Factory(dict)
    """Added to the headers of the response; they replace those of the same name."""

    def effect(self) -> FaultEffect:
        return FaultEffect(response=self._rewritten)

    def _rewritten(self, response: ServiceResponse) -> ServiceResponse:
        body = self.body(response.body) if callable(self.body) else self.body
        headers = {**response.headers, **{name.lower(): value for name, value in self.headers.items()}}
        return evolve(response, headers=headers, body=response.body if body is None else body)


@frozen
class Redirect:
    """Sends a redirect."""

    location: str = field(validator=a(str))
    status: int = field(default=302, validator=in_((301, 302, 303, 307, 308)))
    reaches_service: bool = field(default=False, kw_only=True, validator=a(bool))
    """Whether the service processes the request (and charges) before the redirect."""

    def effect(self) -> FaultEffect:
        response = _fixed(self.status, {"location": self.location}, b"")
        return FaultEffect(reaches_service=self.reaches_service, response=response)


def gzip_bomb(size: int = 200_000_000) -> ReplaceBody:
    """A response whose gzip body, a thousandth of `size` on the wire, decompresses to `size` blanks (at most 1 GB)."""
    if not 0 < size <= GIGABYTE:
        raise ValueError(f"size: 1 to {GIGABYTE} bytes, not {size}")

    def compressed(_: bytes) -> bytes:
        compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
        blanks, (chunks, rest) = b" " * 1_000_000, divmod(size, 1_000_000)
        parts = [*(compressor.compress(blanks) for _ in range(chunks)), compressor.compress(blanks[:rest])]
        return b"".join([*parts, compressor.flush()])

    return ReplaceBody(compressed, {"content-encoding": "gzip"})


@frozen
class FaultRule:
    """One rule of a `FaultPlan`: which requests meet which fault."""

    route: str = field(validator=a(str))
    """`POST /analysis/start`, or a pattern such as `GET *` (`*`, `?` as in file names)."""

    fault: Fault

    occurrence: int | None = field(default=None, validator=optional(and_(a(int), ge(1))))
    """Which of the matching requests, from 1; None is the next one that no earlier rule takes."""

    times: int = field(default=1, validator=and_(a(int), ge(1), le(1_000_000)))
    """How many requests the rule applies to; with `occurrence` they are successive matching requests."""


class FaultPlan:
    """Rules that each apply a limited number of times. The first that matches a request and is not used up gives the
    fault."""

    def __init__(self, rules: Iterable[FaultRule] = ()) -> None:
        self._rules = tuple(rules)
        self._remaining = [rule.times for rule in self._rules]
        self._matches = [0] * len(self._rules)

    @property
    def remaining(self) -> tuple[FaultRule, ...]:
        """The rules that are not used up; empty when everything planned has happened."""
        return tuple(rule for rule, times in zip(self._rules, self._remaining, strict=True) if times)

    def fault_for(self, route: str, count: int) -> Fault | None:  # noqa: ARG002 - each rule has its own count
        matching = [index for index, rule in enumerate(self._rules) if _matches(rule.route, route)]
        for index in matching:
            self._matches[index] += 1
        due = next((index for index in matching if self._is_due(index)), None)
        if due is None:
            return None
        self._remaining[due] -= 1
        return self._rules[due].fault

    def _is_due(self, index: int) -> bool:
        occurrence = self._rules[index].occurrence
        return self._remaining[index] > 0 and (occurrence is None or self._matches[index] >= occurrence)


def _matches(pattern: str, route: str) -> bool:
    # Path templates have no square brackets, and to `fnmatch` braces are plain characters.
    return pattern == route or fnmatchcase(route, pattern)


def _tuple(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


@frozen
class RandomFaults:
    """Faults drawn from a seed: the same seed gives the n-th request to a route the same fault in every run."""

    seed: int
    rate: float = field(validator=and_(ge(0), le(1)))
    """Share of the requests that meet a fault."""
    faults: tuple[Fault, ...] = field(converter=_tuple)
    """The faults to draw from, each equally likely; not empty."""
    route: str = "*"
    """The requests that can meet a fault, as in `FaultRule`."""

    def __attrs_post_init__(self) -> None:
        if not self.faults:
            raise ValueError("faults: at least one fault is needed")

    def fault_for(self, route: str, count: int) -> Fault | None:
        if not _matches(self.route, route) or uniform(self.seed, "whether", route, count) >= self.rate:
            return None
        return self.faults[int(uniform(self.seed, "which", route, count) * len(self.faults))]
