"""What all clips of a batch share: the session, the journal, the limits and the counts.

Invariant: there is one context for each batch; what belongs to a single clip is in its `ClipJob`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from math import inf
from typing import Any, Final

from anyio import CancelScope, CapacityLimiter, Event, Lock, current_time, move_on_after
from attrs import define, field

from ..core import SessionCore
from ..errors import OchyError
from ..journal.contract import Entry, Journal
from ..policy.clip_states import UNRESOLVED
from ..policy.concurrency import InFlightLimit, UploadLimit
from ..policy.credit_guard import CreditGuard, StopReason
from ..protocol.analysis import AnalysisState, Status
from ..protocol.request import AnalysisRequest
from ..waiting import PollScheduler
from .account_lists import AccountLists
from .recorder import Recorder
from .report import Report
from .settings import Settings
from .tagging import SubjectPool
from .workers import Workers

__all__ = ["BatchContext"]

AFTER_FAILOVER: Final = (
    "Nothing is started: another server of the journal's database has taken over, and not all starts that it may have "
    "forgotten could be looked up yet. No credit was spent. Run again in a minute, with a connection to Ochy."
)


@define(eq=False)
class BatchContext:
    """What all clips of a batch share."""

    core: SessionCore
    scheduler: PollScheduler
    settings: Settings
    recorder: Recorder
    subject_pool: SubjectPool
    journal: Journal = field(init=False)
    workers: Workers = field(init=False)
    account: AccountLists = field(init=False)
    guard: CreditGuard = field(init=False)
    uploads: CapacityLimiter = field(init=False)
    in_flight: CapacityLimiter = field(init=False)
    refused: set[str] = field(factory=set, init=False)
    """Keys of the clips that the server refused in this batch: copies of them are not sent again."""
    spent: int = field(default=0, init=False)
    """Credits that this batch certainly spent."""
    uncertain: dict[str, bool] = field(factory=dict, init=False)
    """Uncertain starts by the key of their clip, and whether this batch sent them."""
    held_back: set[str] = field(factory=set, init=False)
    """Keys of the clips that were not started because a limit on credits was reached."""
    limit_reached: str = field(default="", init=False)
    """Which limit on credits holds clips back; empty while clips are started."""
    orphans_opened: float = field(default=-inf, init=False)
    """When the starts that dead workers left unsent were opened last, on the clock of the event loop."""
    orphans_lock: Lock = field(factory=Lock, init=False)
    failover_lock: Lock = field(factory=Lock, init=False)
    """Held while the starts that a failover may have hidden are looked up."""
    stopping: Event = field(factory=Event, init=False)
    """Set once the user wants the batch to stop. This ends waits for credits and for further lookups."""
    handing_over: bool = field(default=False, init=False)
    """Whether clips under way are left to other workers or the next run."""
    _interruptible: set[CancelScope] = field(factory=set, init=False)
    _upload_limit: UploadLimit = field(init=False)
    _in_flight_limit: InFlightLimit = field(init=False)
    _clip_limiters: list[CapacityLimiter] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.journal, self.guard = self.recorder.journal, self.recorder.guard
        self.workers = self.subject_pool.workers
        self.account = AccountLists(self.core, self.journal)
        if self.journal.ceilings.polls_per_second is not None:
            self.scheduler = self.scheduler.sharing(self.workers.reserve_poll)
        concurrency = self.settings.concurrency
        self._upload_limit = UploadLimit.of(concurrency.uploads)
        self._in_flight_limit = InFlightLimit(concurrency.in_flight)
        self.uploads = CapacityLimiter(self._upload_limit.slots)
        self.in_flight = CapacityLimiter(self._in_flight_limit.slots)

    def now(self) -> datetime:
        """The time of day, UTC."""
        return self.core.clock()

    async def wait_or_stop(self, seconds: float) -> None:
        """Sleeps until the time is over or the batch is stopped."""
        with move_on_after(seconds):
            await self.stopping.wait()

    def stop(self, reason: str) -> None:
        """Takes and starts no new clip; clips under way are finished."""
        self.guard.stop(StopReason(reason))
        self.stopping.set()

    def hand_over(self, reason: str) -> None:
        """Also ends every clip under way, except a start whose last chunk may have left: its answer is awaited."""
        self.handing_over = True
        self.stop(reason)
        for scope in tuple(self._interruptible):
            scope.cancel()

    @contextmanager
    def interruptible(self) -> Generator[CancelScope]:
        """A block that `hand_over` ends, between `expose` and `protect`. It begins exposed."""
        with CancelScope() as scope:
            self.expose(scope)
            try:
                yield scope
            finally:
                self.protect(scope)

    def protect(self, scope: CancelScope) -> None:
        """Lets the block go on although the batch hands over."""
        self._interruptible.discard(scope)

    def expose(self, scope: CancelScope) -> None:
        """Ends the block if the batch hands over, now or later."""
        self._interruptible.add(scope)
        if self.handing_over:
            scope.cancel()

    def admit(self) -> float | StopReason:
        """Reserves a credit for a start and returns 0; else the seconds to wait, or why nothing is started."""
        if self.journal.failover:
            return self.guard.stopped or StopReason(AFTER_FAILOVER)
        if (wrong := self.workers.clock_error) is not None:
            return self.guard.stopped or StopReason(str(wrong), wrong)
        paused = self.workers.paused_until - current_time()
        return self.guard.admit(current_time()) if paused <= 0 or self.guard.stopped is not None else paused

    def hold_back(self, key: str, limit: str) -> None:
        """Notes that a limit on credits keeps a clip from being started."""
        self.held_back.add(key)
        self.limit_reached = limit

    def go_ahead(self, key: str) -> None:
        """Notes that a clip may be started: if a limit was reached before, credits were given back."""
        self.held_back.discard(key)
        self.limit_reached = ""

    def server_refused(self, error: OchyError) -> bool:
        """Pauses or stops new starts if the error concerns the account or its key. Returns whether it does."""
        return self.guard.refused(error, current_time())

    def is_tagged(self, request: AnalysisRequest[Any, Any]) -> bool:
        """Whether the start gets a tagging subject. The user's own subject is never replaced."""
        return self.settings.tag_starts and request.subject_id is None

    def may_retry(self, key: str) -> bool:
        """Whether a clip that the server refused in an earlier run may be sent again."""
        return self.settings.retry_refused and key not in self.refused

    def upload_failed(self, error: OchyError) -> None:
        """Reduces the number of parallel uploads after a failed attempt, unless the clip or the request caused it."""
        self._upload_limit.failed(error, current_time())
        self.uploads.total_tokens = self._upload_limit.slots

    def start_accepted(self, seconds: float) -> None:
        """Counts a start that the server accepted after so many seconds, and may allow more parallel uploads."""
        self.spent += 1
        self.recorder.charged += 1
        self.guard.accepted()
        self._upload_limit.succeeded(seconds)
        self.uploads.total_tokens = self._upload_limit.slots

    def start_found(self, key: str) -> bool:
        """Counts an uncertain start that a lookup found: it was charged. Returns whether this batch sent it."""
        sent_by_this_batch = self.uncertain.pop(key)
        self.spent += sent_by_this_batch
        self.recorder.charged += 1
        return sent_by_this_batch

    def resolved_elsewhere(self, entry: Entry) -> bool:
        """Counts an uncertain start that another worker or a person has resolved. Returns whether this batch has bought
        its analysis."""
        if entry.key not in self.uncertain or entry.state in UNRESOLVED:
            return False
        if entry.analysis_id is not None:
            return self.start_found(entry.key)
        del self.uncertain[entry.key]
        return False

    def first_poll(self, state: AnalysisState[Any]) -> None:
        """Adjusts the number of clips in flight to what the first poll of an analysis showed."""
        uploads_wait = self.uploads.statistics().tasks_waiting > 0
        self._in_flight_limit.first_poll(queued=state.status == Status.PENDING, uploads_wait=uploads_wait)
        self.in_flight.total_tokens = self._in_flight_limit.slots
        for limiter in self._clip_limiters:
            limiter.total_tokens = self._clip_slots

    @property
    def _clip_slots(self) -> int:
        return self._in_flight_limit.slots + self.settings.concurrency.extra_slots

    @contextmanager
    def clip_limiter(self) -> Generator[CapacityLimiter]:
        """Limits the clips of one run, at any stage; follows the number of clips in flight."""
        limiter = CapacityLimiter(self._clip_slots)
        self._clip_limiters.append(limiter)
        try:
            yield limiter
        finally:
            self._clip_limiters.remove(limiter)

    @property
    def _stopped(self) -> str:
        if self.guard.stopped is not None:
            return self.guard.stopped.reason
        return AFTER_FAILOVER if self.journal.failover else ""

    def report(self, outcomes: Mapping[str, int], already_paid: int) -> Report:
        """The totals of the batch so far."""
        return Report(
            outcomes=outcomes,
            spent=self.spent,
            uncertain=len(self.uncertain),
            already_paid=already_paid,
            committed=self.guard.committed,
            charged=self.recorder.charged,
            held_back=len(self.held_back),
            limit_reached=self.limit_reached,
            stopped=self._stopped,
        )
