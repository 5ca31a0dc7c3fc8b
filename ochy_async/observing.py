"""What an observer sees of a session: every event, and operations with their beginnings and ends.

Invariant: an operation and its end hold no secret, no name of a clip, nothing of a runner, and no exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from anyio import get_cancelled_exc_class
from attrs import field, frozen

from .errors import ConnectionFailed, Phase
from .events import Event
from .protocol.analysis import Started, analysis_id_of
from .protocol.call import Call
from .protocol.routes import ROUTES

__all__ = [
    "AttemptOperation",
    "BatchOperation",
    "ClipOperation",
    "Ended",
    "Observation",
    "Observer",
    "Operation",
    "PollCause",
    "StartOperation",
    "WaitOperation",
]

REDACTED: Final = "REDACTED"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARAMETER: Final = re.compile(r"\{\w+\}")

PollCause = Literal["first", "scheduled", "woken", "repeated"]
"""Why an analysis is polled: for the first time by this wait, by its schedule, because of a webhook delivery, or
because the previous poll failed."""


@frozen
class AttemptOperation:
    """A request is sent to the API, once. Ends as `answered` (whatever the answer says), `error` or `cancelled`."""

    method: str
    """The HTTP method, such as `GET`."""
    route: str | None
    """The template of the path; None for a path that the library does not know (`OchySession.request`)."""
    url: str
    """Without the key: `REDACTED` stands for it, for every other value of the query, for the id of a subject, and for
    a path that the library does not know."""
    number: int = 1
    """The first attempt of a call is 1."""
    analysis_id: str | None = None
    """The analysis that the request is about, if its id looks like one."""
    cause: PollCause | None = None
    """Why an analysis is polled by a wait; None for any other request."""

    @classmethod
    def of(cls, origin: str, call: Call[Any], number: int = 1, cause: PollCause | None = None) -> AttemptOperation:
        """The attempt that sends the request of `call` to the server at `origin`."""
        request = call.request
        known = request.route in ROUTES
        analysis_id = _plain_id(call.analysis_id)
        path = request.route.template.replace("{analysis_id}", analysis_id or REDACTED) if known else f"/{REDACTED}"
        query = "".join(f"{name}={REDACTED}&" for name, _ in request.query) if known else ""
        return cls(
            request.route.method,
            request.route.template if known else None,
            f"{_shown_origin(origin)}{_PARAMETER.sub(REDACTED, path)}?{query}apiKey={REDACTED}",
            number,
            analysis_id,
            cause,
        )


@frozen
class StartOperation:
    """An analysis is started, with as many attempts as it takes. Ends as `accepted`, `refused`, `not_happened` (nothing
    was charged) or `uncertain`."""

    view: str
    """`side_view` or `back_view`."""


@frozen
class WaitOperation:
    """An analysis is polled until it is finished. Ends as `success`, `failed`, `timeout`, `error`, `cancelled`, or
    `left` if the caller stopped watching."""

    analysis_id: str | None
    """None if what the caller passed does not look like an id."""
    view: str | None
    """None if only the id is known."""

    @classmethod
    def of(cls, started: Started[Any, Any] | str) -> WaitOperation:
        """The wait for what `OchySession.start` returned, or for an id."""
        return cls(_plain_id(analysis_id_of(started)), None if isinstance(started, str) else started.view)


@frozen
class ClipOperation:
    """A batch processes one clip. Ends as the outcome: `analyzed`, `refused`, `failed`, `uncertain` or `unfinished`;
    else as `error` or `cancelled`."""

    view: str
    """`side_view` or `back_view`."""


@frozen
class BatchOperation:
    """`Batch.run` processes its clips. Ends as `finished`, `stopped`, `left` (by its caller), `error` or
    `cancelled`."""


Operation = AttemptOperation | StartOperation | WaitOperation | ClipOperation | BatchOperation
"""What an observer is told of."""


def _error_name(error: type[BaseException] | str | None) -> str | None:
    """The full name of a class of errors; a word as it is."""
    return f"{error.__module__}.{error.__qualname__}" if isinstance(error, type) else error


def _plain_id(analysis_id: str | None) -> str | None:
    """An id that looks like one. A caller may pass any text as an id, even a link with a signature."""
    return analysis_id if analysis_id is not None and _ID.fullmatch(analysis_id) else None


@frozen(kw_only=True)
class Ended:
    """How an operation ended."""

    outcome: str
    """A word that the class of the operation lists."""
    error: str | None = field(default=None, converter=_error_name)
    """The full name of the class of the error with which it ended, or `cancelled`; None if it ended with none."""
    status: int | None = None
    """The HTTP status of an attempt, if an answer came."""
    phase: Phase | None = None
    """How far a request got whose connection failed."""
    analysis_id: str | None = field(default=None, converter=_plain_id)
    """The analysis that a start or a clip has, if it has one."""
    seconds: float | None = None
    """How long the finished analysis took since its start was accepted; None if that was not seen."""
    spent: int | None = None
    """Credits that a start, a clip or a batch certainly spent."""
    counts: Mapping[str, int] = field(factory=dict)
    """The number of clips of a batch by outcome."""

    @classmethod
    def of(cls, error: BaseException | None, **facts: Any) -> Ended:
        """The end of an operation that raised `error`, with what else is known of it."""
        found: dict[str, Any] = {"outcome": "error", "error": None}
        if error is None or isinstance(error, GeneratorExit):
            found["outcome"] = "ended" if error is None else "left"
        elif isinstance(error, get_cancelled_exc_class()):
            found = {"outcome": "cancelled", "error": "cancelled"}
        else:
            found["error"] = type(error)
            found["phase"] = error.phase if isinstance(error, ConnectionFailed) else None
        return cls(**found | facts)


class Observation:
    """One operation under way, as its observer sees it. This base class does nothing.

    It is entered while code runs that belongs to the operation, by one task at a time, and may be entered again.
    """

    def __enter__(self) -> object:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Always called without an error: see `end`."""

    def end(self, ended: Ended) -> None:
        """Called once, when the operation has ended."""


class Observer:
    """Sees what a session does: `OchySession(telemetry=…)`. This base class does nothing.

    All methods are called on the event loop and must return at once. Their errors are logged and not raised.
    """

    def on_event(self, event: Event) -> None:
        """Called with every event. Events may hold names of clips."""

    def operation(self, operation: Operation) -> Observation:  # noqa: ARG002 - for subclasses
        """Called when an operation begins. Operations that it causes begin while the returned value is entered."""
        return Observation()


@lru_cache(maxsize=8)
def _shown_origin(origin: str) -> str:
    """The base URL without a user and a password, which that of a transport of the caller's own might have."""
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
