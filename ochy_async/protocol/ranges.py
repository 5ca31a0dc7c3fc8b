"""A file at the storage, whole or from somewhere on: what is asked for, and what the head of the answer means.

Invariant: nothing is taken on trust. Only a strong ETag proves that two halves belong to one file, and
the body of an error is never read: storages repeat the signature in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from ..errors import NotFound, OchyError, RateLimited, RequestRefused, ServerError, UnreadableAnswer
from .wire import Head

__all__ = ["DEAD", "FETCH", "Part", "asked", "part_of"]

FETCH: Final = "GET (storage)"
"""What errors call a transfer: neither host nor path may be told."""

DEAD: Final = frozenset({400, 401, 403, 404, 410})
"""The statuses of a link that has died: the results call gives a fresh one (inferred)."""


@frozen
class Part:
    """What is about to come."""

    start: int
    """Where the bytes that follow belong; 0 where the file comes whole, whatever was asked for."""
    total: int | None
    """Bytes of the whole file; None where they come in chunks of untold number, whose end HTTP marks."""
    etag: str | None
    """Tells this content from another; None where that cannot be told for sure."""


def asked(offset: int, etag: str | None) -> Mapping[str, str]:
    """The headers that ask for a file from `offset` on, or whole if it is another by now."""
    return {"Range": f"bytes={offset}-", "If-Range": etag} if offset and etag else {}


def part_of(head: Head, offset: int, etag: str | None, most: int) -> Part:
    """What comes. Raises the error that the head means: `most` is the largest file that is taken."""
    if head.status not in (200, 206):
        raise _refusal(head)
    if head.headers.get("content-encoding", "identity").lower() != "identity":
        raise _strange(head, "it is compressed, which was not asked for")
    part = _whole(head) if head.status == 200 else _rest(head)
    if head.status == 206 and (part.start != offset or not offset or part.etag != etag):
        raise _strange(head, "it is not the part that was asked for")
    if part.total is not None and not part.start < part.total <= most:
        why = "it is empty" if part.total == 0 else f"it is larger than {most:,} bytes"
        raise _strange(head, f"{why}. If that is right, raise Limits.media_bytes" if part.total else why)
    return part


def _whole(head: Head) -> Part:
    length = head.headers.get("content-length", "")
    if _NUMBER.fullmatch(length):
        return Part(0, int(length), _strong(head))
    if head.headers.get("transfer-encoding", "").lower() != "chunked":
        raise _strange(head, "it does not say how long it is, so nobody could tell whether it is whole")
    return Part(0, None, _strong(head))


def _rest(head: Head) -> Part:
    span = _SPAN.fullmatch(head.headers.get("content-range", ""))
    if span is None:
        raise _strange(head, "it does not say which part it is")
    return Part(int(span[1]), int(span[3]), _strong(head))


def _strong(head: Head) -> str | None:
    etag = head.headers.get("etag", "")
    return etag if _ETAG.fullmatch(etag) else None


def _refusal(head: Head) -> OchyError:
    status = head.status
    if 300 <= status < 400:
        return _strange(head, "it is a redirect, which is never followed")
    for statuses, kind, do in _REFUSALS:
        if status in statuses:
            return kind(f"{FETCH}: the storage answered {status}. {do}.", status=status, route=FETCH)
    return _strange(head, "it means nothing here. Report it")


def _strange(head: Head, why: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"{FETCH}: the answer ({head.status}) is not taken: {why}.", status=head.status, route=FETCH
    )


_AGAIN: Final = "Run again later"
_REFUSALS: Final[tuple[tuple[range, type[OchyError], str], ...]] = (
    (
        range(404, 405),
        NotFound,
        "The link is dead, or the file is gone. Ask for the results again: they hold a fresh link",
    ),
    (range(408, 409), ServerError, _AGAIN),
    (range(429, 430), RateLimited, _AGAIN),
    (
        range(400, 500),
        RequestRefused,
        "The link is dead, or not for us. Ask for the results again: they hold a fresh one",
    ),
    (range(500, 600), ServerError, _AGAIN),
)
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_SPAN: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]{1,500}"')
