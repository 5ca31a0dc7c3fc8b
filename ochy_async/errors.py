"""Every error of the library, grouped by what the caller can do about it.

    OchyError
    ├── FixRequest                 change what you asked for
    │   ├── InvalidRequest         found before anything was sent; `problems` lists everything that is wrong
    │   ├── InvalidSettings        a setting of the session is wrong (base URL, limits, polling)
    │   ├── KeyRefused             401 or 403, or there is no usable key
    │   ├── NotFound               404
    │   └── RequestRefused         any other 4xx
    ├── BuyCredits                 402
    ├── FilmAgain                  the problem is the clip
    │   ├── ClipUnusable           found before anything was sent
    │   ├── ClipRefused            400 or 413 to a start
    │   └── AnalysisFailed         the analysis has the status `failed`; the credit is spent
    ├── WaitLonger                 the analysis is paid for and still running; ask again with its id
    │   ├── NotReady               data was requested before `success`
    │   └── WaitTimeout            the wait timed out before the analysis finished
    ├── TryLater                   the request is fine; the network or the server failed
    │   ├── ConnectionFailed       no usable answer came; `phase` says how far the request got
    │   ├── DeadlinePassed         the call did not finish within its deadline
    │   ├── RateLimited            429
    │   └── ServerError            408 or 5xx
    ├── UncertainStart             a start that may or may not have been charged: look it up
    ├── JournalError               the journal of a batch cannot be used; nothing new is bought
    │   ├── JournalBusy            another process has it open: wait, or end that process
    │   ├── JournalUnusable        wrong file, place or account: use another, or fix what the text names
    │   ├── JournalFull            the disk is full: free some space
    │   ├── JournalDamaged         its content is not what was written: restore a copy
    │   ├── JournalConflict        somebody else changed the entry in the meantime
    │   └── LimitReached           all workers together may spend no more: raise the limit, or stop
    ├── SourceError                a store of clips cannot be read: grant access, or run again
    ├── OutputError                the output folder cannot be written: use another, or free some space
    ├── InvalidDelivery            a request to your webhook is not a delivery: answer it with `status`
    └── UnreadableAnswer           the answer makes no sense: report it

Invariant: errors hold plain values and text only. No error holds a request, a response, a URL or an exception of the
network library, so none can carry the API key. All errors can be pickled.
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
    "InvalidDelivery",
    "InvalidRequest",
    "InvalidSettings",
    "JournalBusy",
    "JournalConflict",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalUnusable",
    "KeyRefused",
    "LimitReached",
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
    "SourceError",
    "StartAttempt",
    "TryLater",
    "UncertainStart",
    "UnreadableAnswer",
    "WaitLonger",
    "WaitTimeout",
]


Severity = Literal["error", "warning"]
"""Whether a finding stops a clip by default."""


class Phase(enum.Enum):
    """How far a request got before the connection failed."""

    NOT_SENT = "not sent"
    """No connection was made, so the server does not know of the request."""

    INCOMPLETE = "incomplete"
    """The declared body was cut short, so the server cannot have read a complete request."""

    COMPLETE = "complete"
    """The last byte was handed to the network, so the server may have acted on the request."""


@frozen
class Problem:
    """One thing that is wrong with an input, and how to correct it."""

    field: str
    """The name of the argument or field."""

    message: str
    """What is wrong and what would be right. Never contains a secret."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@frozen
class Finding(Problem):
    """Something that is wrong with a clip, or may be. Its `str` includes the command that fixes it."""

    code: str = field(default="", kw_only=True)
    """Stable between versions: `too_big`, `too_long`, `wrong_type`, …"""
    severity: Severity = field(default="error", kw_only=True)
    fix_command: str = field(default="", kw_only=True)
    """A shell command that fixes the clip; empty if no command can."""

    @property
    def help(self) -> str:
        """Where the documentation explains the finding: page and anchor, such as `reference/findings.html#too_big`."""
        return f"reference/findings.html#{self.code}"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}{'; fix it with: ' if self.fix_command else ''}{self.fix_command}"


@frozen
class StartAttempt:
    """What is known of a start that may or may not have been charged: enough to look it up later."""

    clip: str
    """The file name that was sent with the video."""

    view: str
    """`side_view` or `back_view`."""

    earliest: datetime
    """UTC. The server cannot have taken the start before this moment."""

    latest: datetime
    """UTC. When the library stopped waiting for an answer."""

    subject_id: str | None = None
    """The subject that the start was linked to, if any. A subject with a single start makes the lookup exact."""


class OchyError(Exception):
    """The base class of all errors of the library.

    All facts are keyword arguments with a default: pickling rebuilds an error from its class and its text, then adds
    the facts.
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
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status: int | None = status
        """The HTTP status, if an answer came."""
        self.code: str | None = code
        """The vendor's machine-readable code, if the answer had one."""
        self.detail: str | None = detail
        """The vendor's own text: cut to one line, with addresses and URLs masked."""
        self.route: str | None = route
        """Method and route template, such as `GET /analysis/{analysis_id}/results`."""
        self.attempt: int | None = attempt
        """The attempt of the request that failed; the first is 1."""
        self.analysis_id: str | None = analysis_id
        """The analysis that the error is about, if one exists."""
        self.problems: tuple[Problem, ...] = problems
        """Everything that is wrong with an input; empty unless it is an `InvalidRequest` or a `ClipUnusable`."""

    @property
    def help(self) -> str:
        """Where the documentation explains the error: page and anchor, such as `reference/errors.html#keyrefused`."""
        kind = next(each for each in type(self).__mro__ if each.__module__.startswith("ochy_async."))
        return f"reference/errors.html#{kind.__name__.lower()}"


class FixRequest(OchyError):
    """The request cannot be served as it is; repeating it unchanged cannot help.

    Nothing is charged for a start that the library refuses. The vendor documents no charge for a start that the server
    refuses in this way (inferred: none). If `analysis_id` is set, the error is about that analysis, such as a
    `KeyRefused` that ended a wait. An analysis that was started is paid for: wait for its id again, and do not start
    the clip again.
    """


class InvalidRequest(FixRequest, ValueError):
    """The library refused the request before anything was sent: nothing was charged.

    Correct what `problems` lists, and call again.
    """

    @classmethod
    def of(cls, what: str, problems: tuple[Problem, ...]) -> InvalidRequest:
        """The error that lists all `problems` of `what`."""
        lines = "".join(f"\n  - {problem}" for problem in problems)
        return cls(f"{what} cannot be sent as it is; nothing was sent or charged.{lines}", problems=problems)


class InvalidSettings(FixRequest, ValueError):
    """A setting of the session is wrong (base URL, limits, polling), or the session is not open.

    Nothing was charged. Correct the setting that the text names, or open the session with `async with`.
    """


class KeyRefused(FixRequest):
    """The API key is missing (401), or wrong, rotated or revoked (403).

    Set `OCHY_API_KEY` to a key that is valid; `ochy doctor` checks it and spends nothing. If the key was rotated, open
    the journal of a batch with `same_account=True` (`--same-account`).
    """


class NotFound(FixRequest):
    """No such analysis, or the subject is missing or deleted (404).

    Check the id, and whether the key is of the account that the id belongs to. `list_analyses` and `list_subjects` of
    the session show what the account has.
    """


class RequestRefused(FixRequest):
    """The server refused the request (a 4xx without a class of its own).

    `status`, `code` and `detail` are what the server said. Change the request accordingly, and do not repeat it as it
    is.
    """


class BuyCredits(OchyError):
    """The account has no credits left (402): the start was refused and not charged.

    Buy credits from the vendor, and start the clip again. A batch waits for them with `wait_for_credits`
    (`--wait-for-credits`).
    """


class FilmAgain(OchyError):
    """The problem is the clip itself.

    Convert the clip, or film the runner again: the class says what went wrong. `ochy check` names what does not fit,
    and spends nothing.
    """


class ClipUnusable(FilmAgain, ValueError):
    """The library refused the clip before anything was sent: nothing was charged.

    Each of the `problems` says what to do, and some have a command that fixes the clip.
    """


class ClipRefused(FilmAgain):
    """The server refused the upload: too large, too long or of the wrong type.

    Whether the vendor charges for a refused upload is not documented. `code` and `detail` are what the server said.
    Change the clip before you send it again: a batch does not repeat it as it is.
    """


class AnalysisFailed(FilmAgain):
    """The analysis has the status `failed`. The vendor gives no reason; whether it refunds is not documented.

    Check the view, the orientation and the length of the clip with `ochy check`, and film the runner again. Another
    start costs another credit.
    """


class WaitLonger(OchyError):
    """The analysis is paid for and still running: ask again later with `analysis_id`."""


class NotReady(WaitLonger):
    """Calculated or raw data was requested before the analysis had succeeded.

    Wait for the analysis first, with `OchySession.wait`.
    """


class WaitTimeout(WaitLonger, TimeoutError):
    """The wait timed out. The analysis is still running: wait again with `analysis_id`."""


class TryLater(OchyError):
    """The request is fine; the network or the server failed.

    If `analysis_id` is set, the analysis is paid for: a wait raises this once its polls have failed for
    `Polling.patience`. Wait for that id again, and do not start the clip again.
    """


class ConnectionFailed(TryLater):
    """No usable answer came: the connection was refused, reset or timed out, or DNS or TLS failed.

    Check the network and the proxy. Then wait for `analysis_id` if it is set, and otherwise call again. A start that
    raises it was not sent completely; one that may have been charged raises `UncertainStart` instead.
    """

    def __init__(self, message: str = "", *, phase: Phase = Phase.NOT_SENT, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.phase: Phase = phase
        """How far the request got."""


class DeadlinePassed(TryLater, TimeoutError):
    """The call did not finish within its deadline. Whether the server acted on it is not known.

    Call again with a longer `timeout`. A start that raises it was not sent completely; one that may have been charged
    raises `UncertainStart` instead. If the call was to create a subject, first look whether the subject exists.
    """


class RateLimited(TryLater):
    """The server asks the client to slow down (429).

    Pause for `retry_after` seconds, or as long as you think fit if it is None. Then wait for `analysis_id` if it is
    set, and otherwise call again.
    """

    retry_after: float | None = None
    """The pause in seconds that the server asked for, if any."""


class ServerError(TryLater):
    """The server, or a proxy in front of it, failed (408, 5xx).

    Pause for `retry_after` seconds, or as long as you think fit if it is None. Then wait for `analysis_id` if it is
    set, and otherwise call again. A start that may have been charged raises `UncertainStart` instead.
    """

    retry_after: float | None = None
    """The pause in seconds that the server asked for, if any."""


class UncertainStart(OchyError):
    """A start without a usable answer: it may have been charged, so it is never sent again.

    Pass the error, or its `start`, to `OchySession.reconcile` to look it up.
    """

    start: StartAttempt | None = None
    """Clip, time window and subject: what a lookup needs."""
    why: str = ""
    """What happened, in one sentence and without advice."""


class JournalError(OchyError):
    """The journal of a batch cannot be read or written. The results of paid analyses are still collected.

    Correct what the text names, and run the batch again with the same journal.
    """


class JournalBusy(JournalError):
    """The journal is open elsewhere: in another process, in another batch, or in workers of an older version.

    Wait until they have ended, or end them, and run again. Only a journal in Postgres can be shared.
    """


class JournalUnusable(JournalError, ValueError):
    """The file cannot be used as the journal: foreign, newer, read-only, on a network drive, or of another account.

    The text says which, and what to do. Use another journal only for clips that this one has not bought.
    """


class JournalFull(JournalError):
    """The disk is full, so no further entry can be stored.

    Free some space and run again. Stored entries are intact.
    """


class JournalDamaged(JournalError):
    """The journal does not contain what was written to it. Nothing is bought until you restore a copy.

    `ochy journal repair` shows what the file still proves, and repairs it where nothing was altered.
    """


class JournalConflict(JournalError):
    """The entry changed after it was read, or it cannot change to the requested state.

    Run the command or the batch again: it reads the entry anew and decides by what it holds now.
    """

    about_subject: bool = False
    """Whether only the tagging subject of the start is in the way: with another one it can be stored."""


class LimitReached(JournalError):
    """One more start would commit more credits than all workers of the journal together may. Nothing was stored.

    Raise `max_credits` (`--max-credits`) and run again, or stop here.
    """

    committed: int = 0
    """The credits that are committed already."""


class SourceError(OchyError):
    """An object store cannot be listed, or a clip not be read from it now. The clip was not sent, or not completely.

    Grant read access or check the connection, as the text says, and run again.
    """


class OutputError(OchyError):
    """A file of the output folder cannot be written or read. The results of paid analyses remain in the journal.

    Use another folder, or free some space, and run again: what is paid for is not bought again.
    """


class InvalidDelivery(OchyError):
    """A request to your webhook is not a delivery. Nothing is lost: waits go on, and polls decide.

    `status` is the HTTP status to answer with: 413 (too large), 415 (not declared as JSON) or 400 (no JSON object).
    """


class UnreadableAnswer(OchyError):
    """The answer is not what the API promises: not JSON, too large, or without a required value.

    The API has changed, or something between you and it has answered, such as a proxy. If it was the API, report it
    with the text of the error, which holds no values. If `analysis_id` is set, that analysis is paid for: do not start
    the clip again.
    """

    excerpt: str = ""
    """The structure of the answer: keys and types, never values."""
