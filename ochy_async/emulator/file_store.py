"""The storage behind the signed URLs: made-up bytes, real expiry, real ranges.

Invariant: pure; the signature covers the whole query, so an API key that strays into a
storage URL makes it invalid, as with the real thing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from attrs import field, frozen

from .error_responses import HttpError
from .messages import ServiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FileStore"]

CONTENT_TYPES: Mapping[str, str] = {"thumbnail.jpg": "image/jpeg", "output_video.mp4": "video/mp4"}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
JPEG_TAIL = bytes.fromhex("ffd9")
MP4_HEAD = bytes.fromhex("0000001866747970") + b"isom" + bytes(4) + b"isommp42"


@frozen
class FileStore:
    """Signs, checks and serves."""

    secret: bytes = field(repr=False)

    lifetime: float
    """Seconds until a URL is dead."""

    def url(self, origin: str, analysis_id: str, name: str, now: float) -> str:
        """A fresh signed URL."""
        expires = str(int(now + self.lifetime))
        query = urlencode({"expires": expires, "signature": self._signature(analysis_id, name, expires)})
        return f"{origin}/storage/{analysis_id}/{name}?{query}"

    def check(self, analysis_id: str, name: str, query: Mapping[str, str], now: float) -> None:
        """Refuses with 403 what is not signed exactly so, and what is dead."""
        expires = query.get("expires", "")
        right = self._signature(analysis_id, name, expires)
        if set(query) != {"expires", "signature"} or not hmac.compare_digest(
            query["signature"].encode(), right.encode()
        ):
            raise HttpError(403, "SignatureDoesNotMatch")
        if now >= int(expires):
            raise HttpError(403, "Request has expired")

    def serve(self, sha256: str, name: str, wanted: str | None, same: str | None = None) -> ServiceResponse:
        """The file made up for a clip, or the `wanted` range of it (a Range header).

        All of it where it is not the `same` any more (an If-Range header).
        """
        content = _content(sha256, name)
        headers = {"content-type": CONTENT_TYPES[name], "accept-ranges": "bytes", "etag": f'"{sha256[:16]}"'}
        span = _span(wanted, len(content)) if same in (None, headers["etag"]) else None
        if span is None:
            return ServiceResponse(200, headers, content)
        first, last = span
        headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
        return ServiceResponse(206, headers, content[first : last + 1])

    def _signature(self, analysis_id: str, name: str, expires: str) -> str:
        told = f"{analysis_id}\n{name}\n{expires}".encode()
        return hmac.new(self.secret, told, hashlib.sha256).hexdigest()


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    found = RANGE.fullmatch(wanted) if wanted else None
    if found is None or found[0] == "bytes=-":
        # What is not a single range of bytes is ignored, as RFC 9110 allows.
        return None
    first, last = found[1], found[2]
    span = (int(first), min(int(last or size), size - 1)) if first else (max(0, size - int(last)), size - 1)
    if span[0] > span[1]:
        raise HttpError(416, "Range not satisfiable", headers={"content-range": f"bytes */{size}"})
    return span


def _content(sha256: str, name: str) -> bytes:
    seed = bytes.fromhex(sha256)
    if name == "thumbnail.jpg":
        return JPEG_HEAD + seed * 60 + JPEG_TAIL
    media = seed * 1500
    return MP4_HEAD + (8 + len(media)).to_bytes(4, "big") + b"mdat" + media
