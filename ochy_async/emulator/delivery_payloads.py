"""The bodies of deliveries: what an update says, in the chosen shapes, and what forged deliveries say instead.

Invariant: pure. A forged body looks like a true one, except for what it lies about, and is drawn from its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from .analysis import timestamp
from .delivery_settings import DeliveryShapes, Forgery, UpdateKind
from .error_responses import json_bytes
from .response_shapes import with_unknown_keys
from .seeded_random import seeded_uuid, uniform

__all__ = ["Update", "forged_payload", "payload"]

Headers = Mapping[str, str]
JSON_HEADERS: Headers = {"content-type": "application/json", "user-agent": "Ochy-Emulator"}

API_WORDS: Mapping[UpdateKind, str] = {
    "queued": "pending",
    "started": "analyzing",
    "progress": "analyzing",
    "success": "success",
    "failure": "failed",
    "test": "pending",
}
GUIDE_WORDS = {kind: {"pending": "queued", "analyzing": "running"}.get(word, word) for kind, word in API_WORDS.items()}

WRONG_PERCENTAGES = (-1, 0, 100, 250.5, 1e308, "99", None)
HUGE_SEQUENCES = (10**9, 2**63, 10**40, -1, "7", 1.5)
RUBBISH = (
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe\x00",
    b'"success"',
    b"[" * 5_000,
    b'{"video_id": {"id": null}, "status": ["success"], "sequence": {}}',
    b'{"percentage": NaN, "timestamp": "yesterday"}',
    b'{"padding": "' + b"x" * 70_000 + b'"}',
)
RUBBISH_TYPES = ("application/json", "text/plain", "application/x-www-form-urlencoded")


@frozen
class Update:
    """What a delivery says about an analysis."""

    kind: UpdateKind
    analysis_id: str
    percentage: Any
    """0-100, unless it is forged."""
    sequence: Any
    """An integer, unless it is forged."""
    at: float
    """Seconds since the epoch."""


def payload(shapes: DeliveryShapes, update: Update) -> bytes:
    """The JSON of an update."""
    words = API_WORDS if shapes.status_words == "api" else GUIDE_WORDS
    state = {
        shapes.id_key: update.analysis_id,
        shapes.status_key: words[update.kind],
        shapes.percentage_key: _percentage(shapes, update.percentage),
    }
    rest = {
        shapes.event_key: getattr(shapes, f"{update.kind}_event"),
        shapes.sequence_key: update.sequence,
        shapes.timestamp_key: _TIMESTAMPS[shapes.timestamps](update.at),
    }
    body = _without_none(rest | state)
    if shapes.envelope is not None and shapes.enveloped == "everything":
        body = {shapes.envelope: body}
    elif shapes.envelope is not None:
        body = {**_without_none(rest), shapes.envelope: _without_none(state)}
    return json_bytes(with_unknown_keys(body) if shapes.extra_keys else body)


def _without_none(fields: Mapping[str | None, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key is not None}


def _percentage(shapes: DeliveryShapes, percentage: Any) -> Any:
    if shapes.percentages == "fraction" and isinstance(percentage, int | float):
        return percentage / 100
    return percentage


_TIMESTAMPS: Mapping[str, Callable[[float], Any]] = {
    "iso": timestamp,
    "seconds": int,
    "milliseconds": lambda at: int(at * 1000),
}


def forged_payload(shapes: DeliveryShapes, forgery: Forgery, true: Update, *seed: object) -> tuple[bytes, Headers]:
    """The body of a forged delivery and its headers; `true` is an update that could have been delivered instead."""
    drawn = uniform(*seed)
    if forgery == "rubbish":
        kind = _one_of(RUBBISH_TYPES, uniform("type", *seed))
        return _one_of(RUBBISH, drawn), {**JSON_HEADERS, "content-type": kind}
    return payload(shapes, _LIES[forgery](true, drawn)), JSON_HEADERS


def _one_of(values: tuple[Any, ...], drawn: float) -> Any:
    return values[int(drawn * len(values))]


_LIES: Mapping[Forgery, Callable[[Update, float], Update]] = {
    "success": lambda true, _: evolve(true, kind="success", percentage=100),
    "failure": lambda true, _: evolve(true, kind="failure"),
    "percentage": lambda true, drawn: evolve(true, percentage=_one_of(WRONG_PERCENTAGES, drawn)),
    "sequence": lambda true, drawn: evolve(true, sequence=_one_of(HUGE_SEQUENCES, drawn)),
    "unknown_id": lambda true, drawn: evolve(true, kind="success", analysis_id=seeded_uuid("forged", drawn)),
}
