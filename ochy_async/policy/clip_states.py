"""The states of a clip, the transitions between them, and the next step in each state.

Invariant: an uncertain start is never sent again unless the user says so. A start is uncertain from `SENDING` on; its
last chunk has never left before.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from .start_fate import CUT_SHORT_IS_FREE

__all__ = ["FINISHED", "NEXT_STEP", "TRANSITIONS", "UNRESOLVED", "UNSENT", "State", "Step"]


class State(enum.StrEnum):
    """What the journal knows about a clip."""

    OPEN = "open"
    """Certainly not started: it may be started. An earlier attempt did not happen, or the user released the clip."""
    INTENDED = "intended"
    """A start is being sent, but its last chunk has not left. If another process finds this state, the start certainly
    did not happen, because the sender first needs `SENDING`."""
    SENDING = "sending"
    """The last chunk of a start may have left. If another process finds this state, the start is uncertain."""
    UNCERTAIN = "uncertain"
    """The clip may have been started and charged. The start is reconciled, never sent again unless the user says so."""
    STARTED = "started"
    """The analysis is paid for and its id is known."""
    ANALYZED = "analyzed"
    """The results are stored."""
    FAILED = "failed"
    """The vendor's analysis finished without results; the credit is spent."""
    REFUSED = "refused"
    """The server refused this content. Whether that was charged is not documented, so the clip is not sent again."""


class Step(enum.Enum):
    """What a batch does next with a clip."""

    START = "start"
    RECONCILE = "reconcile"
    WATCH = "watch"
    NOTHING = "nothing"


NEXT_STEP: Final[Mapping[State | None, Step]] = {
    None: Step.START,
    State.OPEN: Step.START,
    State.INTENDED: Step.START if CUT_SHORT_IS_FREE else Step.RECONCILE,
    State.SENDING: Step.RECONCILE,
    State.UNCERTAIN: Step.RECONCILE,
    State.STARTED: Step.WATCH,
    State.ANALYZED: Step.NOTHING,
    State.FAILED: Step.NOTHING,
    State.REFUSED: Step.NOTHING,
}
"""The next step for each state that a batch finds; None is a clip that the journal does not know. The functions that
carry the steps out are in `batch.pipeline.STAGES`."""

UNRESOLVED: Final = frozenset(state for state in State if NEXT_STEP[state] is Step.RECONCILE)
"""The start may have been charged, and no id is known."""

UNSENT: Final = frozenset({State.INTENDED}) - UNRESOLVED
"""A start that a process left behind in this state certainly did not happen, so its credit is not spent."""

TRANSITIONS: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({State.INTENDED}),
    State.OPEN: frozenset({State.INTENDED}),
    State.INTENDED: frozenset({State.SENDING, State.OPEN, State.REFUSED, State.STARTED, State.UNCERTAIN}),
    State.SENDING: frozenset({State.INTENDED, State.OPEN, State.REFUSED, State.STARTED, State.UNCERTAIN}),
    State.UNCERTAIN: frozenset({State.STARTED, State.OPEN}),
    State.STARTED: frozenset({State.ANALYZED, State.FAILED}),
    State.ANALYZED: frozenset({State.ANALYZED, State.OPEN}),
    State.FAILED: frozenset({State.OPEN}),
    State.REFUSED: frozenset({State.OPEN}),
}
"""Every allowed change of state. Only the user moves an uncertain, failed, refused or analyzed clip to `OPEN`, and only
the process that sends a start moves it back from `SENDING`, once it knows that the start did not happen. A server may
answer before the last chunk: then `INTENDED` ends without `SENDING`.
`ANALYZED` to itself adds data that was collected later."""

FINISHED: Final = frozenset({State.ANALYZED, State.FAILED, State.REFUSED})
"""Nothing of the clip is under way or uncertain: the user may have it bought again."""
