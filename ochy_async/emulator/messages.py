"""The values of the emulated service: requests, responses, uploaded videos, charges and the request log.

Invariant: pure and frozen, and whatever may hold the API key or health data stays out of every repr.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Charge", "Form", "LoggedRequest", "ServiceRequest", "ServiceResponse", "UploadedVideo"]

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
