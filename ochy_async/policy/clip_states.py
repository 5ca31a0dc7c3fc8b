"""What a clip needs next, from what the journal remembers of it.

Invariant: two tables, and nothing is ever bought on a doubt. Everything else that a batch
decides (how wide, how far, for how much) has a room of its own beside this one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

__all__ = ["FINISHED", "MOVES", "NEXT", "State", "Step"]


class State(enum.StrEnum):
    """What the journal knows of a clip."""

    OPEN = "open"
    """Surely not started: may be started, and was tried before."""
    INTENDED = "intended"
    """A start was about to be sent. Found by another process, it is a doubt like any other."""
    UNCERTAIN = "uncertain"
    """It may have been started and charged: to be looked up, never bought again unasked."""
    STARTED = "started"
    """Paid, and its id is known: to be watched."""
    ANALYZED = "analyzed"
    """The results are kept."""
    FAILED = "failed"
    """The vendor's analysis ended without results; the credit is gone."""
    REFUSED = "refused"
    """The server refused this very content. Whether that was charged is not documented, so it is not sent again."""


class Step(enum.Enum):
    """What is done next for a clip."""

    START = "start"
    LOOK_UP = "look up"
    WATCH = "watch"
    NOTHING = "nothing"


NEXT: Final[Mapping[State | None, Step]] = {
    None: Step.START,
    State.OPEN: Step.START,
    State.INTENDED: Step.LOOK_UP,
    State.UNCERTAIN: Step.LOOK_UP,
    State.STARTED: Step.WATCH,
    State.ANALYZED: Step.NOTHING,
    State.FAILED: Step.NOTHING,
    State.REFUSED: Step.NOTHING,
}
"""What the journal remembers (None: nothing) → what is done."""

MOVES: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({State.INTENDED}),
    State.OPEN: frozenset({State.INTENDED}),
    State.INTENDED: frozenset({State.OPEN, State.REFUSED, State.STARTED, State.UNCERTAIN}),
    State.UNCERTAIN: frozenset({State.STARTED, State.OPEN}),
    State.STARTED: frozenset({State.ANALYZED, State.FAILED}),
    State.ANALYZED: frozenset({State.ANALYZED, State.OPEN}),
    State.FAILED: frozenset({State.OPEN}),
    State.REFUSED: frozenset({State.OPEN}),
}
"""Every change of a state that there is. Those of a doubt, a failure, a refusal or an analysis to `OPEN` are made by
the user's word only; `ANALYZED` to itself adds what was collected later."""

FINISHED: Final = frozenset({State.ANALYZED, State.FAILED, State.REFUSED})
"""Nothing of it is under way or in doubt: what may be bought anew as a whole, if the user says so."""
