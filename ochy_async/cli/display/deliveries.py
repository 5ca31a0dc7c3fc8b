"""Webhook deliveries, as lines of text and as JSON records.

Invariant: without `body`, only what was recognized, keys and types are shown. No link is shown in any case.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from ...protocol.deliveries import Delivery
from ...protocol.drift import DriftNote
from ...protocol.json_outline import outline
from ...protocol.redaction import redact_links
from ...protocol.text_summary import NOTHING, count_of, display_text, format_number

__all__ = [
    "AnsweredRequest",
    "body_lines",
    "delivery_line",
    "delivery_record",
    "drift_lines",
    "outline_lines",
    "refusal_text",
]

_NO_HTTP: Final = "not HTTP; HTTPS needs --cert"
INDENT: Final = " " * len("12:00:00Z  ")
DEPTH, WIDTH = 8, 60
"""How much of a body its outline describes."""

_REASONS: Final[Mapping[int, str]] = {
    400: "no JSON object ({media_type}, {size})",
    404: "another token",
    405: "{method} instead of POST",
    408: "the body was too slow",
    413: "more than 64 KiB",
    415: "{media_type} is not JSON ({size})",
    429: "too many at once",
}


@frozen(kw_only=True)
class AnsweredRequest:
    """A request, and how it was answered."""

    at: datetime
    status: int
    method: str = ""
    """Empty if the request was no HTTP that could be read."""
    media_type: str = ""
    """The declared one; empty if there is none."""
    size: int | None = None
    """The declared bytes of its body."""
    headers: tuple[str, ...] = ()
    """The names of its headers."""
    delivery: Delivery | None = field(default=None, repr=False)
    """What was delivered, if that could be read."""


def delivery_line(request: AnsweredRequest, delivery: Delivery) -> str:
    """Time, event, status, sequence, percentage and analysis. The id goes to a row of its own if it would be folded."""
    known = "  ".join(
        (
            f"{request.at:%H:%M:%S}Z",
            f"{display_text(delivery.event):18}",
            f"{display_text(delivery.status):9}",
            f"{NOTHING if delivery.sequence is None else f'#{delivery.sequence}':>4}",
            f"{format_number(delivery.percentage, '%'):>5}",
        )
    )
    analysis_id = display_text(delivery.analysis_id, 200)
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or len(known) + 2 + len(analysis_id) <= columns:
        return f"{known}  {analysis_id}"
    return f"{known}\n{INDENT[: max(0, columns - len(analysis_id))]}{analysis_id}"


def drift_lines(notes: Iterable[DriftNote]) -> Iterator[str]:
    """What was not expected of a delivery: paths and types."""
    return (f"{INDENT}unexpected: {each.path}: {each.what}" for each in notes)


def outline_lines(request: AnsweredRequest, delivery: Delivery) -> tuple[str, ...]:
    """The keys and types of a delivery, and the names of its headers. A signature would be one of them."""
    return f"{INDENT}{_outline(delivery)}", f"{INDENT}headers: {', '.join(request.headers)}"


def body_lines(delivery: Delivery) -> Iterator[str]:
    """The JSON of a delivery in plain ASCII, without links."""
    return (f"{INDENT}{line}" for line in json.dumps(_body(delivery), indent=2).splitlines())


def delivery_record(request: AnsweredRequest, delivery: Delivery, *, body: bool) -> dict[str, Any]:
    """The delivery as JSON values."""
    record = {
        "at": request.at.isoformat(),
        "event": delivery.event,
        "status": delivery.status,
        "percentage": delivery.percentage,
        "sequence": delivery.sequence,
        "analysis_id": delivery.analysis_id,
        "timestamp": None if delivery.timestamp is None else delivery.timestamp.isoformat(),
        "still_running": delivery.still_running,
        "outline": _outline(delivery),
        "headers": list(request.headers),
        "drift": [f"{each.path}: {each.what}" for each in sorted(delivery.drift)],
    }
    return {**record, "body": _body(delivery)} if body else record


def _outline(delivery: Delivery) -> str:
    return outline(delivery.raw, DEPTH, WIDTH)


def _body(delivery: Delivery) -> Any:
    return redact_links(delivery.raw)


def refusal_text(request: AnsweredRequest) -> str:
    """Why a request was refused, in a line."""
    reason = _REASONS.get(request.status, "{method} that cannot be answered") if request.method else _NO_HTTP
    if request.status == 415 and "content-encoding" in request.headers:
        reason = "a compressed body ({size})"
    size = "unknown size" if request.size is None else count_of(request.size, "byte")
    method, media_type = display_text(request.method, 10), request.media_type or "no content type"
    text = reason.format(method=method, media_type=media_type, size=size)
    return f"{request.at:%H:%M:%S}Z  refused with {request.status}: {text}"
