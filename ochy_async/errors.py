"""Every error of the library, grouped by what the caller can do about it.

::

    OchyError
    ├── FixRequest                 change what was asked
    │   ├── InvalidRequest         found before anything was sent; `problems` lists them all
    │   ├── InvalidSettings        the session itself is set up wrongly (base URL, limits)
    │   ├── KeyRefused             401, 403, or no key at all
    │   ├── NotFound               404
    │   └── RequestRefused         any other 4xx
    ├── BuyCredits                 402
    ├── FilmAgain                  the clip is the matter
    │   ├── ClipUnusable           found before anything was sent
    │   ├── ClipRefused            400 or 413 to a start
    │   └── AnalysisFailed         the analysis ended as `failed`; the credit is gone
    ├── WaitLonger                 the analysis is paid and goes on; ask again with its id
    │   ├── NotReady               data was asked for before `success`
    │   └── WaitTimeout            our patience ended before the analysis did
    ├── TryLater                   nothing is wrong with the request
    │   ├── ConnectionFailed      no answer came; `phase` tells how far the request got
    │   ├── DeadlinePassed         the call did not end within its deadline
    │   ├── RateLimited            429
    │   └── ServerError          408 or 5xx
    ├── UncertainStart             a start that may or may not have been charged: look it up
    ├── JournalError             the memory of a batch cannot be used; nothing new is bought
    │   ├── JournalBusy            another process has it open: wait, or end that one
    │   ├── JournalUnusable        the wrong file, place or account: choose another, or mend what the text names
    │   ├── JournalFull            no room on the disk: make some
    │   ├── JournalDamaged         its content is not what was written: restore a copy
    │   └── JournalConflict        an entry was changed by somebody else meanwhile
    ├── OutputError              the output folder cannot be written: choose another, or make room
    └── UnreadableAnswer           the answer makes no sense: report it to us

Invariant: plain values and text only. No error holds a request, a response, a URL or a
cause from the network library, so none can carry the API key; all survive pickling.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Literal

from attrs import field, frozen

__all__ = [
    "AnalysisFailed",
    "BuyCredits",
    "ClipRefused",
    "ClipUnusable",
    "ConnectionFailed",
    "DeadlinePassed",
    "FilmAgain",
    "Finding",
    "FixRequest",
    "InvalidRequest",
    "InvalidSettings",
    "JournalBusy",
    "JournalConflict",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalUnusable",
    "KeyRefused",
    "NotFound",
    "NotReady",
    "OchyError",
    "OutputError",
    "Phase",
    "Problem",
    "RateLimited",
    "RequestRefused",
    "ServerError",
    "Severity",
    "StartAttempt",
    "TryLater",
    "UncertainStart",
    "UnreadableAnswer",
    "WaitLonger",
    "WaitTimeout",
]


Severity = Literal["error", "warning"]


class Phase(enum.Enum):
    """How far a request got before the connection failed."""

    NOT_SENT = "not sent"
    """No connection was made: the server knows nothing of the request."""

    INCOMPLETE = "incomplete"
    """The declared body was cut short: the server cannot have read a whole request."""

    COMPLETE = "complete"
    """The last byte was handed over: the server may have acted on the request."""


@frozen
class Problem:
    """One thing that is wrong with an input, and what to do about it."""

    field: str
    """The name of the argument or field."""

    message: str
    """What is wrong and what would be right. Never repeats a secret."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@frozen
class Finding(Problem):
    """Something that is wrong with a clip, or may be. `str` of it is the whole sentence, command included."""

    code: str = field(default="", kw_only=True)
    """Stable: `too_big`, `too_long`, `wrong_type`, …"""
    severity: Severity = field(default="error", kw_only=True)
    fix_command: str = field(default="", kw_only=True)
    """A command that mends it, ready for a shell; empty where none does."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}{'; mend it with: ' if self.fix_command else ''}{self.fix_command}"


@frozen
class StartAttempt:
    """What is known of a start whose fate is not: enough to look it up later."""

    clip: str
    """The name that was sent with the video, as the server saw it."""

    view: str
    """`side_view` or `back_view`."""

    earliest: datetime
    """UTC. The server cannot have taken the start before this moment."""

    latest: datetime
    """UTC. When we stopped listening for an answer."""

    subject_id: str | None = None
    """The subject that the start was linked to, if any: it makes the lookup exact."""


class OchyError(Exception):
    """Anything that went wrong between the caller and the vendor.

    All facts are keyword arguments with a default, so that the class and the text are enough to
    rebuild an error (pickling does exactly that).
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        detail: str | None = None,
        route: str | None = None,
        attempt: int | None = None,
        analysis_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, if an answer came."""
        self.code = code
        """The vendor's machine-readable code, if the answer had one."""
        self.detail = detail
        """The vendor's own words: cut to a line, addresses and URLs masked."""
        self.route = route
        """Method and route template, such as `GET /analysis/{analysis_id}/results`."""
        self.attempt = attempt
        """Which attempt of the request ended this way; the first is 1."""
        self.analysis_id = analysis_id
        """The analysis this is about, whenever one exists."""


class FixRequest(OchyError):
    """What was asked cannot be done; asking again unchanged cannot help."""


class InvalidRequest(FixRequest, ValueError):
    """The request was refused here, before anything was sent: nothing was charged."""

    def __init__(self, message: str = "", *, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        """Everything that is wrong, not only the first."""

    @classmethod
    def of(cls, what: str, problems: tuple[Problem, ...]) -> InvalidRequest:
        """The error that tells all `problems` of `what` at once."""
        lines = "".join(f"\n  - {problem}" for problem in problems)
        return cls(f"{what} cannot be sent as it is; nothing was sent or charged.{lines}", problems=problems)


class InvalidSettings(FixRequest, ValueError):
    """The session is set up wrongly (base URL, limits, polling, use after closing)."""


class KeyRefused(FixRequest):
    """The API key is missing (401), or wrong, rotated or revoked (403)."""


class NotFound(FixRequest):
    """No such analysis, or the subject is missing or deleted (404)."""


class RequestRefused(FixRequest):
    """The server refused the request (a 4xx without a class of its own)."""


class BuyCredits(OchyError):
    """The account has no credits left (402): the start was refused and not charged."""


class FilmAgain(OchyError):
    """The clip itself is the matter."""


class ClipUnusable(FilmAgain, ValueError):
    """The clip was refused here, before anything was sent: nothing was charged."""

    def __init__(self, message: str = "", *, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        """Everything that is wrong, not only the first."""


class ClipRefused(FilmAgain):
    """The server refused the upload: too large, too long or of the wrong type."""


class AnalysisFailed(FilmAgain):
    """The analysis ended as `failed`. The vendor gives no reason; whether it refunds is unknown."""


class WaitLonger(OchyError):
    """The analysis is paid for and goes on: ask again later with `analysis_id`."""


class NotReady(WaitLonger):
    """Calculated or raw data was asked for before the analysis had succeeded."""


class WaitTimeout(WaitLonger, TimeoutError):
    """The deadline of the wait passed. The analysis goes on; wait again with `analysis_id`."""


class TryLater(OchyError):
    """Nothing is wrong with the request; the network or the server is the matter."""


class ConnectionFailed(TryLater):
    """No usable answer came: refused, reset, TLS, DNS, time-out."""

    def __init__(
        self,
        message: str = "",
        *,
        phase: Phase = Phase.NOT_SENT,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.phase = phase
        """How far the request got."""


class DeadlinePassed(TryLater, TimeoutError):
    """The call did not end within its deadline; it is not known whether the server acted on it."""


class RateLimited(TryLater):
    """The server asks for a pause (429)."""

    retry_after: float | None = None
    """Seconds that the server asked for, if it said."""


class ServerError(TryLater):
    """The server or a proxy before it failed (408, 5xx)."""

    retry_after: float | None = None
    """Seconds that the server asked for, if it said."""


class UncertainStart(OchyError):
    """A start whose answer was lost: it may have been charged, so it is never sent again.

    `start` says what is needed to look it up; `OchySession.reconcile` does so.
    """

    start: StartAttempt | None = None
    """Clip, time window, subject: what a lookup needs."""
    why: str = ""
    """What happened, in one sentence and without the advice."""


class JournalError(OchyError):
    """The journal of a batch cannot be read or written. What is paid is still collected."""


class JournalBusy(JournalError):
    """Another process, or another batch of this one, has the journal open."""


class JournalUnusable(JournalError, ValueError):
    """The journal cannot serve as one: a foreign or newer file, read-only, a network drive, another account."""


class JournalFull(JournalError):
    """The disk has no room for another line."""


class JournalDamaged(JournalError):
    """What is read is not what was written. Nothing is bought on a guess: restore a copy of the journal."""


class JournalConflict(JournalError):
    """The entry is not as it was when it was read, or the change is none that there is."""


class OutputError(OchyError):
    """A file of the output folder cannot be written or read. What is paid is in the journal all the same."""


class UnreadableAnswer(OchyError):
    """The answer is not what the API promises: not JSON, too large, or a required fact is missing."""

    excerpt: str = ""
    """The outline of the answer: keys and types, never values."""
