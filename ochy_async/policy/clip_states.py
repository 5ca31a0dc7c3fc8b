"""The states of a clip, the transitions between them, and the next step in each state.

Invariant: an uncertain start is never sent again unless the user says so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

__all__ = ["FINISHED", "NEXT_STEP", "TRANSITIONS", "State", "Step"]


class State(enum.StrEnum):
    """What the journal knows about a clip."""

    OPEN = "open"
    """Certainly not started: it may be started. An earlier attempt did not happen, or the user released the clip."""
    INTENDED = "intended"
    """A start was about to be sent. If another process finds this state, the start is uncertain."""
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
    State.INTENDED: Step.RECONCILE,
    State.UNCERTAIN: Step.RECONCILE,
    State.STARTED: Step.WATCH,
    State.ANALYZED: Step.NOTHING,
    State.FAILED: Step.NOTHING,
    State.REFUSED: Step.NOTHING,
}
"""The next step for each state; None is a clip that the journal does not know. The functions that carry the steps out
are in `batch.pipeline.STAGES`."""

TRANSITIONS: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({State.INTENDED}),
    State.OPEN: frozenset({State.INTENDED}),
    State.INTENDED: frozenset({State.OPEN, State.REFUSED, State.STARTED, State.UNCERTAIN}),
    State.UNCERTAIN: frozenset({State.STARTED, State.OPEN}),
    State.STARTED: frozenset({State.ANALYZED, State.FAILED}),
    State.ANALYZED: frozenset({State.ANALYZED, State.OPEN}),
    State.FAILED: frozenset({State.OPEN}),
    State.REFUSED: frozenset({State.OPEN}),
}
"""Every allowed change of state. Only the user moves an uncertain, failed, refused or analyzed clip to `OPEN`.
`ANALYZED` to itself adds data that was collected later."""

FINISHED: Final = frozenset({State.ANALYZED, State.FAILED, State.REFUSED})
"""Nothing of the clip is under way or uncertain: the user may have it bought again."""
