"""What happens, as frozen values: for logs, progress bars and traces.

Invariant: an event holds no secret and no health data. Listeners are called on the event
loop and must return at once. `clip` is the label given to `OchySession.start`, else the name that was
sent.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from .errors import Finding, StartAttempt
from .protocol.drift import DriftNote

__all__ = [
    "AnalysisProgress",
    "AnalysisStarted",
    "AnalysisWatched",
    "BytesSent",
    "ClipDoubted",
    "DriftSeen",
    "Event",
    "Listener",
    "Retried",
    "StartLookedUp",
    "StartUncertain",
    "SubjectCreated",
]


@frozen
class ClipDoubted:
    """A clip goes on although it may not fit: what was found did not stop it."""

    clip: str
    findings: tuple[Finding, ...]


@frozen
class BytesSent:
    """Bytes of a clip were handed to the network. `sent` goes back to 0 when an attempt begins anew."""

    clip: str
    sent: int
    total: int


@frozen
class AnalysisStarted:
    """The server accepted a start: a credit is spent."""

    clip: str
    analysis_id: str


@frozen
class AnalysisWatched:
    """A batch waits for an analysis that is paid for, by this run or an earlier one: whose the id is."""

    clip: str
    analysis_id: str


@frozen
class StartUncertain:
    """A start may or may not have been charged, and is not sent again.

    `start` is what a lookup with `OchySession.reconcile` needs: kept here because a start that is
    cancelled has no error to carry it.
    """

    clip: str
    start: StartAttempt
    reason: str = ""
    """What happened, in words for people."""


@frozen
class StartLookedUp:
    """A lookup of an uncertain start ended without settling it."""

    clip: str
    attempt: int
    """1 is the first lookup of this run."""
    attempts: int
    """How many lookups this run makes at most."""
    next_in: float | None
    """Seconds until the next one; None: this was the last."""
    left: float
    """Seconds until the last one of this run."""
    reached: bool
    """Whether the server answered; False: it could not be reached, so the lookup says nothing."""


@frozen
class SubjectCreated:
    """A batch made a subject of a name that nobody had."""

    clip: str
    """The first clip that it is for, or where that was named."""
    subject_id: str


@frozen
class AnalysisProgress:
    """A look at an analysis showed this."""

    analysis_id: str
    status: str
    percentage: float | None


@frozen
class Retried:
    """An attempt failed and another follows after `delay` seconds."""

    route: str
    attempt: int
    """The attempt that failed; the first is 1."""
    delay: float
    reason: str
    """The class of the error."""


@frozen
class DriftSeen:
    """An answer differs from what the vendor documents; told once for each difference."""

    note: DriftNote


Event = (
    ClipDoubted
    | BytesSent
    | AnalysisStarted
    | AnalysisWatched
    | StartUncertain
    | SubjectCreated
    | StartLookedUp
    | AnalysisProgress
    | Retried
    | DriftSeen
)
Listener = Callable[[Event], None]
