"""The values of the emulated service: requests, responses, uploaded videos, charges, deliveries and the logs.

Invariant: pure and frozen, and whatever may hold the API key or health data stays out of every repr.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from .delivery_settings import Forgery, UpdateKind

__all__ = [
    "Charge",
    "DeliveryOutcome",
    "Form",
    "LoggedDelivery",
    "LoggedRequest",
    "ScheduledDelivery",
    "ServiceRequest",
    "ServiceResponse",
    "UploadedVideo",
]

DeliveryOutcome = Literal["answered", "timed_out", "connection_failed", "not_loopback", "disabled", "lost"]

NOTHING: Mapping[str, str] = MappingProxyType({})


def _lower_case(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@frozen
class UploadedVideo:
    """The file part of a form as the service stores it: never the content itself."""

    filename: str
    """The name sent with the file."""

    size: int
    """Bytes that arrived."""

    sha256: str
    """Hex digest of those bytes."""

    head: bytes = field(default=b"", repr=False)
    """The first bytes, enough to find the header of a container."""

    @property
    def seconds(self) -> float | None:
        """The length of an MP4 or MOV whose movie header is in `head` and contains it, else None."""
        at = self.head.find(b"mvhd")
        if at < 0:
            return None
        # Version 1 has 64-bit times and a 64-bit length around the 32-bit time scale.
        first, width = (24, 8) if self.head[at + 4 : at + 5] == b"\x01" else (16, 4)
        field_bytes = self.head[at + first : at + first + 4 + width]
        scale, length = int.from_bytes(field_bytes[:4], "big"), int.from_bytes(field_bytes[4:], "big")
        if len(field_bytes) < 4 + width or not scale or length in (0, 2 ** (8 * width) - 1):
            return None
        return length / scale


@frozen
class Form:
    """A multipart form that was read completely."""

    fields: Mapping[str, str] = field(repr=False)
    """Text fields; of a repeated field the last one counts."""

    file: UploadedVideo | None = None
    """The part named `video`, if there was one."""


@frozen
class ServiceRequest:
    """One request as it reaches the service."""

    method: str
    """In capitals."""

    path: str
    """Percent-encoded, without the query."""

    query: Mapping[str, str] = field(default=NOTHING, repr=False)
    """Decoded, `apiKey` included."""

    headers: Mapping[str, str] = field(default=NOTHING, repr=False, converter=_lower_case)
    """By lower-case name. The service reads only `range` and `if-range`."""

    body: bytes = field(default=b"", repr=False)
    """A JSON body."""

    form: Form | None = None
    """A form body; None when there was none or it could not be read."""


@frozen
class ServiceResponse:
    """One complete response."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(default=NOTHING, repr=False, converter=_lower_case)
    """By lower-case name, without `content-length`."""

    body: bytes = field(default=b"", repr=False)
    """The bytes as they go over the wire: still compressed if there is a `content-encoding`."""


@frozen
class Charge:
    """One credit taken."""

    analysis_id: str | None
    """The analysis it was taken for; None when a rejected upload was charged."""

    sha256: str
    """Hex digest of the clip."""

    filename: str
    """The name sent with the clip."""

    at: float
    """Seconds since the epoch."""

    subject_id: str | None
    """The subject that the start was linked to, if any."""


@frozen
class LoggedRequest:
    """One entry of the request log: a request that was answered, without key, query and path."""

    method: str
    template: str
    """The path with placeholders for ids, such as `/analysis/{analysis_id}/results`; `?` when unknown."""

    status: int
    """The HTTP status of the service's own response, before any fault changes it."""

    at: float
    """Seconds since the epoch."""


@frozen
class ScheduledDelivery:
    """One POST to the webhook, before it is sent."""

    at: float
    """When it is sent, in seconds since the epoch."""

    kind: UpdateKind | Literal["forged"]

    analysis_id: str
    """The analysis that it is about. A forged one may name another in its body, or none."""

    sequence: int | None
    """Its number among the updates of the analysis; None for a forged one, which may hold any number."""

    body: bytes = field(repr=False)

    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""

    lost: bool = field(default=False, kw_only=True)
    """Whether it never arrives."""

    forgery: Forgery | None = field(default=None, kw_only=True)
    """What a forged delivery lies about."""


@frozen
class LoggedDelivery:
    """One entry of the log of deliveries, without the webhook's URL."""

    kind: UpdateKind | Literal["forged"]

    analysis_id: str

    sequence: int | None

    forgery: Forgery | None
    """What a forged delivery lies about."""

    attempt: int
    """1 for the first; a delivery that was not answered with a 2xx is repeated."""

    at: float
    """When it ended, in seconds since the epoch."""

    outcome: DeliveryOutcome
    """`answered`, or why there is no answer. Nothing was sent if it is `not_loopback` (the webhook is not on this
    machine), `disabled` (or no webhook is stored any more) or `lost`."""

    status: int | None
    """The HTTP status of the answer."""

    seconds: float
    """Seconds from sending to the answer."""

    body: bytes = field(repr=False)

    @classmethod
    def of(
        cls,
        delivery: ScheduledDelivery,
        attempt: int,
        at: float,
        outcome: DeliveryOutcome,
        *,
        status: int | None,
        seconds: float,
    ) -> Self:
        """The entry for a delivery that has ended."""
        return cls(
            delivery.kind,
            delivery.analysis_id,
            delivery.sequence,
            delivery.forgery,
            attempt,
            at,
            outcome,
            status,
            seconds,
            delivery.body,
        )
