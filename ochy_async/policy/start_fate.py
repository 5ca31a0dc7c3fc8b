"""Whether a start happened: the one request that costs a credit and has no idempotency key.

Invariant: a start is uncertain unless its fate is known. Only a start that certainly did not happen may be sent again.
That a start which was cut short did not happen is an assumption, and `CUT_SHORT_IS_FREE` is its only switch.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from ..errors import Phase
from ..protocol.answer import ID_KEYS
from ..protocol.error_mapping import parse_json
from ..protocol.wire import Response

__all__ = ["CUT_SHORT_IS_FREE", "Fate", "fate_of_answer", "fate_while_sending", "fate_without_answer"]

CUT_SHORT_IS_FREE: Final[bool] = True
"""Whether a start costs nothing if its last chunk never left, so that the server cannot have read the complete form.

The vendor does not document it. If this is False, a start that was cut short is uncertain and never sent again, and so
is an intent that a process left behind.
"""


class Fate(enum.Enum):
    """What is known about a start."""

    ACCEPTED = "accepted"
    """The server returned an id: the start is charged, and never sent again."""
    REFUSED = "refused"
    """The server refused the start with a documented answer: nothing was started."""
    NOT_HAPPENED = "not happened"
    """The complete request cannot have reached the server: the start may be sent again."""
    UNCERTAIN = "uncertain"
    """The start may have been charged: it is reconciled, never sent again."""


REFUSALS: Final = frozenset({400, 401, 402, 403, 404, 413, 429})
"""The documented refusals, and 429, which means a refusal by its definition. 422 counts only with the vendor's own JSON
(inferred, not documented)."""


def fate_while_sending(*, complete: bool) -> Fate:
    """The fate of a start whose body is being sent. `complete` says that its last chunk may have left."""
    return Fate.NOT_HAPPENED if CUT_SHORT_IS_FREE and not complete else Fate.UNCERTAIN


def fate_without_answer(phase: Phase) -> Fate:
    """The fate of a start that got no answer."""
    return Fate.NOT_HAPPENED if phase is Phase.NOT_SENT else fate_while_sending(complete=phase is Phase.COMPLETE)


def fate_of_answer(response: Response) -> Fate:
    """The fate of a start that got this answer. An answer with an id is never a refusal, whatever its status.

    The id is found as `StartAnswer` finds it: under the first key that has a value.
    """
    body = _body(response)
    analysis_id = next((body[key] for key in ID_KEYS if body.get(key) not in (None, "")), None)
    if 200 <= response.status < 300:
        return Fate.ACCEPTED if _is_id(analysis_id) else Fate.UNCERTAIN
    if analysis_id is not None:
        return Fate.UNCERTAIN  # an analysis exists, whatever the status says
    if response.status in REFUSALS or (response.status == 422 and "detail" in body):
        return Fate.REFUSED
    return fate_while_sending(complete=response.request_complete)


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _body(response: Response) -> dict[str, Any]:
    try:
        body = parse_json(response)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
