"""The core of a session: performs one API call with its retries.

Invariant: every call ends within its deadline. Whether a failed attempt is repeated, and after how long, `policy.retry`
decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from typing import Any, Final, ParamSpec, TypeVar

from anyio import CancelScope, current_effective_deadline, current_time, sleep
from anyio.lowlevel import checkpoint
from attrs import define, evolve, field, frozen

from .errors import DeadlinePassed, InvalidSettings, OchyError, RateLimited, ServerError
from .events import DriftDetected, Event, Listener, ResponseReceived, Retried
from .observing import AttemptOperation, Observer, Operation, PollCause
from .policy.limits import Limits
from .policy.retry import Retry, RetryBudget, may_repeat, retry_after
from .protocol.call import Call
from .protocol.drift import DriftNote
from .protocol.headers import public_headers
from .protocol.routes import Route
from .protocol.sliced_reader import SlicedReader
from .protocol.wire import Request, Response
from .storage import Storage
from .tracking import Tracked, guarded, track
from .transport import Transport

__all__ = ["SessionCore", "SessionState", "deadline_passed"]

P = ParamSpec("P")
S = TypeVar("S", bound=Transport | Storage | None)
T = TypeVar("T")
logger: logging.Logger = logging.getLogger("ochy_async")
_MAX_DRIFT_NOTES: Final = 1000


@frozen
class CallTimeout:
    """How long one call may take, all its steps and retries together, instead of what `Limits` allow."""

    seconds: float
    until: float
    """The end of these seconds, on the clock of the event loop."""


@define(eq=False)
class SessionState:
    """What a session shares with the sessions that `with_options` derives from it, and what changes while it runs."""

    open: bool = False
    """Whether the session is inside its `async with` block. Outside of it no request is sent."""
    budget: RetryBudget = field(factory=RetryBudget)
    drift: set[DriftNote] = field(factory=set)
    started_ids: set[str] = field(factory=set)
    """The ids of all analyses that this session started. None of them can be what an uncertain start became."""


@define(eq=False)
class SessionCore:
    """What all calls of a session share: transport, settings, listener, and the state of the session."""

    transport: Transport
    retry: Retry
    limits: Limits
    clock: Callable[[], datetime]
    """The time of day, UTC."""
    chance: Callable[[], float]
    """Random numbers from 0 to 1, for jitter."""
    listener: Listener | None = None
    storage: Storage | None = None
    """Fetches the files behind signed URLs; None where none can be fetched."""
    observer: Observer | None = None
    notify_via_webhook: bool = False
    """Whether every start asks for webhook deliveries, because somebody receives them."""
    state: SessionState = field(factory=SessionState)
    """Shared with the cores that are derived from this one."""
    timeout: CallTimeout | None = None
    """For a core that performs a single call: the time that the caller allows it."""

    @property
    def simulated(self) -> bool:
        """Whether the emulator answers, so that results are simulated. A transport of another kind need not say it."""
        return getattr(self.transport, "simulated", False)

    def with_options(self, retry: Retry | None, limits: Limits | None, listener: Listener | None) -> SessionCore:
        """A core with other settings, on the same connections and with the same state. None keeps a setting."""
        return evolve(
            self,
            retry=retry or self.retry,
            limits=limits or self.limits,
            listener=self.listener if listener is None else listener,
            transport=self.transport if limits is None else with_limits(self.transport, limits),
            storage=self.storage if limits is None else with_limits(self.storage, limits),
        )

    def within(self, seconds: float) -> SessionCore:
        """A core for one call that begins now and may take so many seconds."""
        return evolve(self, timeout=CallTimeout(seconds, current_time() + seconds))

    def allowed(self, size: int = 0) -> float:
        """Seconds for a call that transfers `size` bytes."""
        return self.limits.transfer(size) if self.timeout is None else self.timeout.seconds

    def cancel_scope(self, size: int = 0) -> CancelScope:
        """Cancels its block once the seconds for a call that transfers `size` bytes have passed."""
        until = current_time() + self.limits.transfer(size) if self.timeout is None else self.timeout.until
        return CancelScope(deadline=until)

    async def perform(self, call: Call[T]) -> T:
        """Performs a call, with retries, within `Limits.call` seconds or its own timeout, and returns its value.

        Raises the `OchyError` of the last attempt, or `DeadlinePassed`.
        """
        attempt = 1
        with self.cancel_scope():
            while True:
                try:
                    return await self.perform_once(call, attempt)
                except OchyError as error:
                    failure = error
                if not may_repeat(failure, call.repeatable) or not await self.back_off(failure, attempt):
                    raise failure
                attempt += 1
        meaning = "" if call.repeatable else "The server may have acted on it. "
        raise deadline_passed(call.request.route, self.allowed(), attempt, call.analysis_id, meaning)

    async def perform_in_slices(self, call: Call[SlicedReader[T]]) -> T:
        """Performs a call whose answer may be long, and reads it without blocking other tasks.

        Both together may take as long as a call of `perform`, and raise what it raises.
        """
        core = self if self.timeout is not None else self.within(self.limits.call)
        reading = await core.perform(call)
        with core.deadline(call.request.route, call.analysis_id):
            while not reading.advance():
                await checkpoint()
        self.record_drift(reading.notes)
        return reading.result()

    async def perform_once(self, call: Call[T], attempt: int = 1, cause: PollCause | None = None) -> T:
        """Makes one attempt of a call, without retries and without a deadline of its own."""
        began = current_time() if self.heard else 0.0
        try:
            with self.attempt(call, attempt, cause) as tracked:
                response = await self.send(call.request, tracked)
                self.report_response(call, response, attempt, began)
                value = self.read(call, response)
        except OchyError as error:
            error.attempt = attempt
            error.analysis_id = error.analysis_id or call.analysis_id
            raise
        self.state.budget.earn(self.retry)
        return value

    async def send(self, request: Request, tracked: Tracked) -> Response:
        """Sends a request and returns the answer. Raises `InvalidSettings` outside of the session's block."""
        self.check_open()
        response = await self.transport.send(request)
        tracked.answered(response.status)
        logger.debug("%s: HTTP %d", request.route, response.status)
        return response

    async def aclose(self) -> None:
        """Closes transport and storage, each even if closing the other fails or is cancelled."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.transport.aclose)
            if self.storage is not None:
                closing.push_async_callback(self.storage.aclose)

    def check_open(self) -> None:
        """Raises `InvalidSettings` outside of the session's block."""
        if not self.state.open:
            raise InvalidSettings(
                "The session is not open, so nothing was sent. Use it inside `async with OchySession() as ochy:`, or "
                "after `await ochy.open()`."
            )

    def read(self, call: Call[T], response: Response) -> T:
        """Reads the value of a call from its answer and records drift. Raises the error that the answer means."""
        try:
            value, notes = call.outcome(response)
        except (RateLimited, ServerError) as error:
            error.retry_after = retry_after(response.headers, self.clock())
            raise
        self.record_drift(notes)
        return value

    async def back_off(self, error: OchyError, attempt: int) -> bool:
        """Sleeps until the next attempt. Returns False where policy, budget or the call's deadline allow none."""
        delay = self.retry.delay(error, attempt, self.chance())
        if delay is None or current_time() + delay >= current_effective_deadline():
            return False
        if not self.state.budget.spend(self.retry):
            return False
        self.emit(Retried(error.route or "", attempt, delay, type(error).__name__))
        logger.info("%s: attempt %d failed (%s), next in %.1f s", error.route, attempt, type(error).__name__, delay)
        await sleep(delay)
        return True

    @contextmanager
    def deadline(self, route: Route | str, analysis_id: str | None = None, *, meaning: str = "") -> Generator[None]:
        """Cancels its block after `Limits.call` seconds or the call's own timeout, and raises `DeadlinePassed`."""
        with self.cancel_scope() as scope:
            yield
        if scope.cancelled_caught:
            raise deadline_passed(route, self.allowed(), 1, analysis_id, meaning)

    def record_drift(self, notes: frozenset[DriftNote]) -> None:
        """Adds drift to the session's report. Each difference is logged and emitted once per session."""
        if not notes:
            return
        known = self.state.drift
        for new in sorted(notes - known)[: _MAX_DRIFT_NOTES - len(known)]:
            known.add(new)
            logger.warning("the API differs from its documentation: %s", new)
            self.emit(DriftDetected(new))

    def report_response(self, call: Call[Any], response: Response, attempt: int, began: float) -> None:
        """Emits a `ResponseReceived` if somebody listens. The attempt began at `began` on the loop's clock."""
        if not self.heard:
            return
        seconds, headers = current_time() - began, public_headers(response.headers)
        route, analysis_id = str(call.request.route), call.analysis_id
        self.emit(ResponseReceived(route, response.status, headers, attempt, seconds, analysis_id))

    @property
    def heard(self) -> bool:
        """Whether somebody gets events."""
        return self.listener is not None or self.observer is not None

    def emit(self, event: Event) -> None:
        """Calls the listener and the observer. Their errors are logged and not raised."""
        if self.listener is not None:
            with guarded(f"the event listener failed on {type(event).__name__}"):
                self.listener(event)
        if self.observer is not None:
            with guarded(f"the observer failed on {type(event).__name__}"):
                self.observer.on_event(event)

    def track(self, make: Callable[P, Operation], *args: P.args, **facts: P.kwargs) -> Tracked:
        """Begins the operation `make(*args, **facts)` for the observer, if there is one."""
        return track(self.observer, make, *args, **facts)

    def attempt(self, call: Call[Any], number: int, cause: PollCause | None = None) -> Tracked:
        """Begins an attempt of a call for the observer, if there is one."""
        return track(self.observer, AttemptOperation.of, self.transport.origin, call, number, cause)


def with_limits(sender: S, limits: Limits) -> S:
    """A transport or storage with other limits on the same connections; itself, if it has no limits of its own."""
    derive: Callable[[Limits], S] | None = getattr(sender, "with_limits", None)
    return sender if derive is None else derive(limits)


def deadline_passed(
    route: Route | str, seconds: float, attempt: int, analysis_id: str | None = None, meaning: str = ""
) -> DeadlinePassed:
    """The error for a call that did not end within `seconds`. `meaning` says what is known of its effect."""
    return DeadlinePassed(
        f"{route}: not done within {seconds:g} s. {meaning}Try again later, or allow more time (timeout or Limits).",
        route=str(route),
        attempt=attempt,
        analysis_id=analysis_id,
    )
