"""The nouns of the emulated service: what is asked, what is answered, what is charged.

Invariant: pure and frozen. Nothing here opens, waits, reads a clock or knows the client.
Whatever may hold the API key or health data stays out of every repr.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Charge", "Form", "LoggedRequest", "ServiceRequest", "ServiceResponse", "UploadedVideo"]

NOTHING: Mapping[str, str] = MappingProxyType({})


@frozen
class UploadedVideo:
    """The file part of a form, as the service remembers it: never the content itself."""

    filename: str
    """The name sent with the file."""

    size: int
    """Bytes that really arrived."""

    sha256: str
    """Hex digest of those bytes."""

    head: bytes = field(default=b"", repr=False)
    """The first bytes, enough to look into the header of a container."""


@frozen
class Form:
    """A multipart form that was read to its end."""

    fields: Mapping[str, str] = field(repr=False)
    """Text fields; of a repeated field the last one counts."""

    file: UploadedVideo | None = None
    """The part named `video`, if there was one."""


@frozen
class ServiceRequest:
    """One request, as it reaches the service."""

    method: str
    """In capitals."""

    path: str
    """Percent-encoded, without the query."""

    query: Mapping[str, str] = field(default=NOTHING, repr=False)
    """Decoded, `apiKey` included."""

    headers: Mapping[str, str] = field(default=NOTHING, repr=False)
    """By lower-case name. Only `range` and `if-range` are looked at."""

    body: bytes = field(default=b"", repr=False)
    """A JSON body."""

    form: Form | None = None
    """A form body; None when there was none or it could not be read."""


@frozen
class ServiceResponse:
    """One answer, whole."""

    status: int
    """The HTTP status."""

    headers: Mapping[str, str] = field(default=NOTHING, repr=False)
    """By lower-case name, without `content-length`."""

    body: bytes = field(default=b"", repr=False)
    """The bytes as they go over the wire, so still compressed if `content-encoding` says so."""


@frozen
class Charge:
    """One credit taken."""

    analysis_id: str | None
    """What it was taken for; None when an upload was refused and charged all the same."""

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
    """One request that was answered: a line of the request log, without key, query and path."""

    method: str
    template: str
    """The path with its ids left open, such as `/analysis/{analysis_id}/results`; `?` when unknown."""

    status: int
    """The HTTP status that the service gave; what a fault made of it is not seen here."""

    at: float
    """Seconds since the epoch."""
