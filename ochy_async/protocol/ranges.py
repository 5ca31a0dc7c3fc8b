"""Transfers from the storage, complete or resumed: the request headers, and what the head of the answer means.

Invariant: only an equal strong ETag proves that two parts belong to one file. The body of an error is never read,
because storages repeat the signature of the link in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from ..errors import NotFound, OchyError, RateLimited, RequestRefused, ServerError, UnreadableAnswer
from .wire import ResponseHead

__all__ = ["EXPIRED", "TRANSFER", "FileRange", "file_range", "range_headers"]

TRANSFER: Final = "GET (storage)"
"""The route in errors of a transfer. The host and the path are part of a secret and are not shown."""

EXPIRED: Final = frozenset({400, 401, 403, 404, 410})
"""The statuses of an expired link; the results call returns a fresh one (inferred)."""


@frozen
class FileRange:
    """The bytes that follow the head of an answer."""

    start: int
    """Offset in the file of the first byte; 0 if the complete file follows, whatever was requested."""
    total: int | None
    """Bytes of the complete file; None for chunked transfers, where HTTP marks the end."""
    etag: str | None
    """Identifies this content; None without a strong ETag."""


def range_headers(offset: int, etag: str | None) -> Mapping[str, str]:
    """The headers that request a file from `offset` on, or the complete file if it has changed."""
    return {"Range": f"bytes={offset}-", "If-Range": etag} if offset and etag else {}


def file_range(head: ResponseHead, offset: int, etag: str | None, most: int) -> FileRange:
    """The bytes that follow `head`; `most` is the largest file that is accepted. Raises the error that `head` means."""
    if head.status not in (200, 206):
        raise _refusal(head)
    if head.headers.get("content-encoding", "identity").lower() != "identity":
        raise _rejected(head, "it is compressed, which was not requested")
    found = _complete(head) if head.status == 200 else _partial(head)
    if head.status == 206 and (found.start != offset or not offset or found.etag != etag):
        raise _rejected(head, "it is not the range that was requested")
    if found.total is not None and not found.start < found.total <= most:
        why = "it is empty" if found.total == 0 else f"it is larger than {most:,} bytes"
        raise _rejected(head, f"{why}. If that is right, raise Limits.media_bytes" if found.total else why)
    return found


def _complete(head: ResponseHead) -> FileRange:
    length = head.headers.get("content-length", "")
    if _NUMBER.fullmatch(length):
        return FileRange(0, int(length), _strong_etag(head))
    if head.headers.get("transfer-encoding", "").lower() != "chunked":
        raise _rejected(head, "it does not state its length, so a transfer that is cut short would go unnoticed")
    return FileRange(0, None, _strong_etag(head))


def _partial(head: ResponseHead) -> FileRange:
    content_range = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
    if content_range is None:
        raise _rejected(head, "it does not state its range")
    return FileRange(int(content_range[1]), int(content_range[3]), _strong_etag(head))


def _strong_etag(head: ResponseHead) -> str | None:
    etag = head.headers.get("etag", "")
    return etag if _ETAG.fullmatch(etag) else None


def _refusal(head: ResponseHead) -> OchyError:
    status = head.status
    if 300 <= status < 400:
        return _rejected(head, "it is a redirect, and redirects are never followed")
    for statuses, error, advice in _REFUSALS:
        if status in statuses:
            return error(f"{TRANSFER}: the storage answered {status}. {advice}.", status=status, route=TRANSFER)
    return _rejected(head, "the status has no meaning here. Report it")


def _rejected(head: ResponseHead, why: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"{TRANSFER}: the answer ({head.status}) was rejected: {why}.", status=head.status, route=TRANSFER
    )


_LATER: Final = "Try again later"
_FRESH_LINK: Final = "Request the results again to get a fresh link"
_REFUSALS: Final[tuple[tuple[range, type[OchyError], str], ...]] = (
    (range(404, 405), NotFound, f"The link has expired, or the file is gone. {_FRESH_LINK}"),
    (range(408, 409), ServerError, _LATER),
    (range(429, 430), RateLimited, _LATER),
    (range(400, 500), RequestRefused, f"The link has expired, or gives no access. {_FRESH_LINK}"),
    (range(500, 600), ServerError, _LATER),
)
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]{1,500}"')
