"""What became of a start: the one request that costs money and has no idempotency key.

Invariant: uncertain unless it is known. Only a start that surely did not happen may be sent
again; nothing is ever bought twice on a guess.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from ..errors import Phase
from ..protocol.answer import ID_KEYS
from ..protocol.error_mapping import json_of
from ..protocol.wire import Response

__all__ = ["Fate", "fate_of_answer", "fate_of_trouble"]


class Fate(enum.Enum):
    """What is known of a start."""

    ACCEPTED = "accepted"
    """The server gave an id: charged, and never to be sent again."""
    REFUSED = "refused"
    """The server refused it by a documented answer: not started."""
    NOT_HAPPENED = "not happened"
    """It cannot have reached the server whole: may be sent again."""
    UNCERTAIN = "uncertain"
    """It may have been charged: to be looked up, never sent again."""


REFUSALS: Final = frozenset({400, 401, 402, 403, 404, 413, 429})
"""The documented refusals, and 429, which by its meaning is one. 422 counts only in the vendor's own form."""


def fate_of_trouble(phase: Phase) -> Fate:
    """The fate of a start that got no answer."""
    return Fate.UNCERTAIN if phase is Phase.COMPLETE else Fate.NOT_HAPPENED


def fate_of_answer(response: Response) -> Fate:
    """The fate of a start that got this answer. An id settles it, whatever else is odd.

    The id is looked for as the reader of the answer does: under the first key that holds something.
    """
    body = _body(response)
    named = next((body[key] for key in ID_KEYS if body.get(key) not in (None, "")), None)
    if 200 <= response.status < 300:
        return Fate.ACCEPTED if _is_id(named) else Fate.UNCERTAIN
    if named is not None:
        return Fate.UNCERTAIN  # an analysis exists, whatever the status says
    if response.status in REFUSALS or (response.status == 422 and "detail" in body):
        return Fate.REFUSED
    return Fate.UNCERTAIN if response.request_complete else Fate.NOT_HAPPENED


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _body(response: Response) -> dict[str, Any]:
    try:
        body = json_of(response)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
