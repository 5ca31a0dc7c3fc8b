"""Events: frozen values that report what the library does, for logs, progress bars and traces.

Invariant: an event holds no secret and no health data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from attrs import define, field, frozen

from .errors import Finding, StartAttempt
from .protocol.drift import DriftNote

__all__ = [
    "AnalysisProgress",
    "AnalysisStarted",
    "BytesSent",
    "ClipFlagged",
    "DeliveryReceived",
    "DriftDetected",
    "Event",
    "Listener",
    "ReconciliationAttempted",
    "ResponseLog",
    "ResponseReceived",
    "Retried",
    "StartUncertain",
    "SubjectCreated",
    "WatchStarted",
]

# The field `clip` of an event is the label that was given to `OchySession.start`, else the file name that is sent.


@frozen
class ClipFlagged:
    """The preflight check found something wrong with a clip, but nothing that stops it."""

    clip: str
    findings: tuple[Finding, ...]


@frozen
class BytesSent:
    """Bytes of a clip were handed to the network. `sent` returns to 0 when a new attempt begins."""

    clip: str
    sent: int
    total: int


@frozen
class AnalysisStarted:
    """The server accepted a start: a credit is spent."""

    clip: str
    analysis_id: str


@frozen
class WatchStarted:
    """A batch began to wait for a paid analysis, which this run or an earlier one started."""

    clip: str
    analysis_id: str


@frozen
class StartUncertain:
    """A start may or may not have been charged, and is not sent again.

    `start` is what `OchySession.reconcile` needs to look it up. The event carries it because a start that is cancelled
    raises no `UncertainStart`.
    """

    clip: str
    start: StartAttempt
    reason: str = ""
    """What happened, as text for people."""


@frozen
class ReconciliationAttempted:
    """A batch looked up an uncertain start, and the lookup did not resolve it."""

    clip: str
    attempt: int
    """1 is the first lookup of this run."""
    max_attempts: int
    """The most lookups that this run makes."""
    next_in: float | None
    """Seconds until the next lookup; None after the last one."""
    seconds_left: float
    """Seconds until the last lookup of this run."""
    server_answered: bool
    """False: the server could not be reached, so the lookup proves nothing."""


@frozen
class SubjectCreated:
    """A batch created a subject for a name that no existing subject had."""

    clip: str
    """The first clip that the subject is for: where the input names it, or its name."""
    subject_id: str


@frozen
class AnalysisProgress:
    """A poll returned this state of an analysis."""

    analysis_id: str
    status: str
    percentage: float | None


@frozen
class ResponseReceived:
    """An answer came from the API, whatever its status. A start emits it after its `AnalysisStarted`."""

    route: str
    """Method and route template, such as `GET /analysis/{analysis_id}/results`."""
    status: int
    headers: Mapping[str, str]
    """Values by lower-case name: `date`, `content-type`, `retry-after`, and ids of the request such as
    `x-request-id`, as far as the answer has them. No other header is kept."""
    attempt: int
    """The attempt that was answered; the first is 1."""
    seconds: float
    """From the beginning of the attempt until its answer was complete."""
    analysis_id: str | None = None
    """The analysis that the request names, if any."""


@frozen
class Retried:
    """An attempt failed, and the next one follows after `delay` seconds."""

    route: str
    attempt: int
    """The attempt that failed; the first is 1."""
    delay: float
    reason: str
    """The name of the error's class."""


@frozen
class DriftDetected:
    """An answer differs from the vendor's documentation. Emitted once per session for each difference."""

    note: DriftNote


@frozen(kw_only=True)
class DeliveryReceived:
    """A request with the webhook's token was answered. What a delivery says is a hint, never a fact.

    Emitted to the sessions that use the `Webhooks`, in the process that received the request.
    """

    http_status: int = 204
    """The answer: 204, or 400, 408, 413, 415 or 429, in which case nothing else is known of the request."""
    analysis_id: str | None = None
    event: str | None = None
    """The vendor's name of the event, such as `analysis.started`."""
    status: str | None = None
    percentage: float | None = None
    sequence: int | None = None
    """Rises with each delivery about one analysis."""


Event = (
    ClipFlagged
    | BytesSent
    | AnalysisStarted
    | WatchStarted
    | StartUncertain
    | SubjectCreated
    | ReconciliationAttempted
    | AnalysisProgress
    | ResponseReceived
    | Retried
    | DriftDetected
    | DeliveryReceived
)
"""Anything that a session or a batch tells."""
Listener = Callable[[Event], None]
"""Called with each event, on the event loop: it must return at once."""


@define(eq=False)
class ResponseLog:
    """A listener that keeps the answers of calls: `await ochy.with_options(on_event=log).status(started)`.

    It has the answer of every attempt, the last one last, also if the call raised an error.
    """

    listener: Listener | None = None
    """Another listener, which is called with every event; for example that of the session."""
    _responses: deque[ResponseReceived] = field(factory=lambda: deque(maxlen=1000), init=False)

    def __call__(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self._responses.append(event)
        if self.listener is not None:
            self.listener(event)

    def __iter__(self) -> Iterator[ResponseReceived]:
        return iter(tuple(self._responses))

    def __len__(self) -> int:
        return len(self._responses)

    @property
    def last(self) -> ResponseReceived | None:
        """The last answer; None if there was none."""
        return self._responses[-1] if self._responses else None
