"""What can go wrong between client and service, as frozen values, and plans that say when.

Invariant: pure. A fault only says what happens, as a `FaultEffect`; the server and the direct
transport play the same course, the one on a socket, the other without. Every number is bounded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from attrs import Factory, field, frozen
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


def _same(answer: ServiceResponse) -> ServiceResponse:
    return answer


@frozen(kw_only=True)
class FaultEffect:
    """What happens to one request, in the order of the fields."""

    connects: bool = True
    """Whether the client reaches anybody. A server cannot play this and cuts instead."""

    wait_before: float = 0.0
    """Seconds until the request is read."""

    upload_rate: float | None = None
    """Bytes per second at which the request's body is read; None is as fast as it comes."""

    read: int | None = None
    """Bytes of the request's body that are read at most; None is all. Less than all is never acted upon."""

    acts: bool = True
    """Whether the service sees the request."""

    wait_after: float = 0.0
    """Seconds between the deed and the answer."""

    answer: Callable[[ServiceResponse], ServiceResponse] | None = _same
    """What becomes of the service's answer, or of an empty one if it does not act; None is no answer: a cut."""

    keep: int | None = None
    """Bytes of the answer's body that are sent before a cut; None is all and no cut."""

    answer_rate: float | None = None
    """Bytes per second at which the answer's body is sent; None is as fast as it goes."""


class Fault(Protocol):
    """One thing that goes wrong with one request."""

    def effect(self) -> FaultEffect:
        """What happens."""
        ...


class FaultSource(Protocol):
    """A plan: asked once for every request, in the order of their coming."""

    def fault_for(self, route: str, count: int) -> Fault | None:
        """The fault of the `count`-th request (from 1) to `route`, such as `GET /analysis`; None is none."""
        ...


def _seconds() -> float:
    return field(validator=and_(ge(0), le(DAY)))


def _bytes() -> int:
    return field(validator=and_(a(int), ge(0), le(GIGABYTE)))


def _status(default: int | None = None) -> int:
    validator = and_(a(int), ge(200), le(599))
    return field(validator=validator) if default is None else field(default=default, validator=validator)


def _fixed(status: int, headers: Mapping[str, str], body: bytes) -> Callable[[ServiceResponse], ServiceResponse]:
    return lambda _: ServiceResponse(status, {name.lower(): value for name, value in headers.items()}, body)


def _detail(status: int) -> bytes:
    return f'{{"detail":"HTTP {status} by plan"}}'.encode()


@frozen
class Delay:
    """The answer comes late; everything else is as it should be."""

    seconds: float = _seconds()
    after: bool = field(default=False, kw_only=True, validator=a(bool))
    """Whether the service acts before the wait, so that giving up comes too late."""

    def effect(self) -> FaultEffect:
        return FaultEffect(wait_after=self.seconds) if self.after else FaultEffect(wait_before=self.seconds)


@frozen
class Respond:
    """Another answer instead; the service never sees the request. Without a body it is a short JSON detail."""

    status: int = _status()
    body: bytes | None = None
    headers: Mapping[str, str] = Factory(lambda: {"content-type": "application/json"})
    early: bool = field(default=False, kw_only=True, validator=a(bool))
    """Whether the answer comes before the request's body was read."""

    def effect(self) -> FaultEffect:
        body = _detail(self.status) if self.body is None else self.body
        return FaultEffect(read=0 if self.early else None, acts=False, answer=_fixed(self.status, self.headers, body))


@frozen
class RespondAfter:
    """The service acts (and charges), and then this answer is sent instead of its own."""

    status: int = _status()
    body: bytes | None = None
    headers: Mapping[str, str] = Factory(lambda: {"content-type": "application/json"})

    def effect(self) -> FaultEffect:
        body = _detail(self.status) if self.body is None else self.body
        return FaultEffect(answer=_fixed(self.status, self.headers, body))


@frozen
class RefuseConnection:
    """The connection is refused. On a server, which has accepted it already, the same as `DisconnectBefore`."""

    def effect(self) -> FaultEffect:
        return FaultEffect(connects=False, read=0, acts=False, answer=None)


@frozen
class DisconnectBefore:
    """The connection breaks before the request's body is read."""

    def effect(self) -> FaultEffect:
        return FaultEffect(read=0, acts=False, answer=None)


@frozen
class DisconnectDuring:
    """The connection breaks while the request's body is read."""

    after_bytes: int = _bytes()

    def effect(self) -> FaultEffect:
        return FaultEffect(read=self.after_bytes, acts=False, answer=None)


@frozen
class DisconnectAfter:
    """The whole request is read, then the connection breaks without an answer."""

    charged: bool = field(default=True, validator=a(bool))
    """Whether the service acts (and charges) before the break: the client cannot tell."""

    def effect(self) -> FaultEffect:
        return FaultEffect(acts=self.charged, answer=None)


@frozen
class TruncateBody:
    """The service acts; of its answer's body only the first bytes come, then the connection breaks."""

    keep_bytes: int = _bytes()

    def effect(self) -> FaultEffect:
        return FaultEffect(keep=self.keep_bytes)


@frozen
class RespondHtml:
    """A proxy's error page instead; the service never sees the request."""

    status: int = _status(502)

    def effect(self) -> FaultEffect:
        page = f"<html><head><title>{self.status}</title></head><body><h1>{self.status}</h1></body></html>"
        return FaultEffect(acts=False, answer=_fixed(self.status, {"content-type": "text/html"}, page.encode()))


@frozen
class RetryAfter:
    """A request for a pause; the service never sees the request."""

    value: str = field(validator=a(str))
    """The header as it is: seconds, an HTTP date, or nonsense."""
    status: int = _status(429)

    def effect(self) -> FaultEffect:
        headers = {"content-type": "application/json", "retry-after": self.value}
        return FaultEffect(acts=False, answer=_fixed(self.status, headers, _detail(self.status)))


@frozen
class Throttle:
    """Bytes trickle: of the answer, or of the upload."""

    bytes_per_second: float = field(validator=and_(ge(1), le(GIGABYTE)))
    side: Literal["answer", "upload"] = field(default="answer", kw_only=True, validator=in_(("answer", "upload")))

    def effect(self) -> FaultEffect:
        rate = self.bytes_per_second
        return FaultEffect(answer_rate=rate) if self.side == "answer" else FaultEffect(upload_rate=rate)


@frozen
class ReplaceBody:
    """The service acts; its answer keeps its status but gets another body, other headers, or both.

    `body` is the bytes themselves or makes them from the service's own; None leaves them.
    """

    body: bytes | Callable[[bytes], bytes] | None = None
    headers: Mapping[str, str] = Factory(dict)
    """Added to those of the answer, or in their place."""

    def effect(self) -> FaultEffect:
        return FaultEffect(answer=self._rewritten)

    def _rewritten(self, answer: ServiceResponse) -> ServiceResponse:
        headers = {**answer.headers, **{name.lower(): value for name, value in self.headers.items()}}
        body = self.body(answer.body) if callable(self.body) else self.body
        return ServiceResponse(answer.status, headers, answer.body if body is None else body)


@frozen
class Redirect:
    """A redirect; whether the service acts before it is for the plan to say."""

    location: str = field(validator=a(str))
    status: int = field(default=302, validator=in_((301, 302, 303, 307, 308)))
    acts: bool = field(default=False, kw_only=True, validator=a(bool))

    def effect(self) -> FaultEffect:
        return FaultEffect(acts=self.acts, answer=_fixed(self.status, {"location": self.location}, b""))


def gzip_bomb(size: int = 200_000_000) -> ReplaceBody:
    """A compressed body that unfolds to `size` bytes of blanks, at most 1 GB; it is a thousandth on the wire."""
    if not 0 < size <= GIGABYTE:
        raise ValueError(f"size: 1 to {GIGABYTE} bytes, not {size}")

    def packed(_: bytes) -> bytes:
        press = zlib.compressobj(9, zlib.DEFLATED, 31)
        blanks, (full, rest) = b" " * 1_000_000, divmod(size, 1_000_000)
        return b"".join([*(press.compress(blanks) for _ in range(full)), press.compress(blanks[:rest]), press.flush()])

    return ReplaceBody(packed, {"content-encoding": "gzip"})


@frozen
class FaultRule:
    """One line of a `FaultPlan`: which requests meet which fault."""

    route: str = field(validator=a(str))
    """`POST /analysis/start`, or a pattern such as `GET *` (`*`, `?` as in file names)."""

    fault: Fault

    occurrence: int | None = field(default=None, validator=optional(and_(a(int), ge(1))))
    """Which of the requests that fit the route, from 1; None is the next that no earlier line takes."""

    times: int = field(default=1, validator=and_(a(int), ge(1), le(1_000_000)))
    """For how many requests the line holds; with `occurrence` they are in a row."""


class FaultPlan:
    """A plan that is used up: the first line that fits a request and is left gives the fault."""

    def __init__(self, rules: Iterable[FaultRule] = ()) -> None:
        self._rules = tuple(rules)
        self._left = [rule.times for rule in self._rules]
        self._seen = [0] * len(self._rules)

    @property
    def left(self) -> tuple[FaultRule, ...]:
        """The lines that are not used up; empty when everything planned has happened."""
        return tuple(rule for rule, left in zip(self._rules, self._left, strict=True) if left)

    def fault_for(self, route: str, count: int) -> Fault | None:  # noqa: ARG002 - it counts for each line itself
        fitting = [index for index, rule in enumerate(self._rules) if _fits(rule.route, route)]
        for index in fitting:
            self._seen[index] += 1
        due = next((index for index in fitting if self._due(index)), None)
        if due is None:
            return None
        self._left[due] -= 1
        return self._rules[due].fault

    def _due(self, index: int) -> bool:
        occurrence = self._rules[index].occurrence
        return self._left[index] > 0 and (occurrence is None or self._seen[index] >= occurrence)


def _fits(pattern: str, route: str) -> bool:
    # Templates have no brackets of the kind that patterns know, and braces are plain characters.
    return pattern == route or fnmatchcase(route, pattern)


def _many(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


@frozen
class RandomFaults:
    """A plan by hashes: the same seed gives the n-th request to a route the same fault in every run."""

    seed: int
    rate: float = field(validator=and_(ge(0), le(1)))
    """Share of the requests that meet a fault."""
    menu: tuple[Fault, ...] = field(converter=_many)
    """What is drawn from, evenly; not empty."""
    routes: str = "*"
    """The routes that are meant, as in `FaultRule`."""

    def __attrs_post_init__(self) -> None:
        if not self.menu:
            raise ValueError("menu: at least one fault is needed")

    def fault_for(self, route: str, count: int) -> Fault | None:
        if not _fits(self.routes, route) or uniform(self.seed, "whether", route, count) >= self.rate:
            return None
        return self.menu[int(uniform(self.seed, "which", route, count) * len(self.menu))]
