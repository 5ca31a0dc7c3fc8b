"""Defines the message that replicas of a program send each other: which analysis a delivery was about.

::

    {"ochy":1,"node":"5f0c…","analysis":"an-42","sequence":7}

Invariant: a message holds ids only, and anything that is not such a message is ignored. Other programs may use the same
channel, and a later version of this library may send other messages on it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import frozen

__all__ = ["MAX_MESSAGE", "Hint", "read_hint"]

MAX_MESSAGE: Final = 1_024
"""The longest message, in characters. All are ASCII. NOTIFY of Postgres takes less than 8,000 bytes."""

_VERSION: Final = 1


@frozen
class Hint:
    """Tells other replicas to look at an analysis now."""

    node: str
    """The replica that received the delivery. It skips its own hints when they come back."""

    analysis_id: str
    """The analysis that the delivery was about."""

    sequence: int | None = None
    """The sequence number of the delivery, if it had one."""

    def text(self) -> str:
        """The message, in printable ASCII. May be longer than `MAX_MESSAGE`, which no bus takes."""
        message = {"ochy": _VERSION, "node": self.node, "analysis": self.analysis_id, "sequence": self.sequence}
        return json.dumps(message, separators=(",", ":"))


def read_hint(text: str) -> Hint | None:
    """The hint of a message; None for everything else that may stand on a channel. Never raises."""
    message = _object(text)
    if message is None or type(message.get("ochy")) is not int or message["ochy"] != _VERSION:
        return None
    node, analysis_id, sequence = message.get("node"), message.get("analysis"), message.get("sequence")
    if not (isinstance(node, str) and isinstance(analysis_id, str) and node and analysis_id):
        return None
    return Hint(node, analysis_id, sequence if type(sequence) is int else None)


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > MAX_MESSAGE:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
