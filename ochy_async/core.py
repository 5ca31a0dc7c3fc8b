"""One call, as often as it takes: where the retry policy meets the wire.

Invariant: it sends, reads and sleeps; whether and how long, `policy` says. Every call ends
within its deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from anyio import current_effective_deadline, current_time, get_cancelled_exc_class, move_on_after, sleep
from attrs import define, field

from .errors import DeadlinePassed, InvalidSettings, OchyError, RateLimited, ServerError
from .events import DriftSeen, Event, Listener, Retried
from .policy.limits import Limits
from .policy.retry import Retry, RetryBudget, may_repeat, retry_after
from .protocol.call import Call
from .protocol.drift import DriftNote
from .protocol.wire import Request, Response
from .storage import Storage
from .transport import Transport

__all__ = ["SessionCore"]

T = TypeVar("T")
logger = logging.getLogger("ochy_async")
_MOST_NOTES: Final = 1000


@define(eq=False)
class SessionCore:
    """What all calls of a session share: the wire, the patience, the drift seen, the listener."""

    transport: Transport
    retry: Retry
    limits: Limits
    clock: Callable[[], datetime]
    """The time of day, UTC."""
    chance: Callable[[], float]
    """A number from 0 to 1."""
    listener: Listener | None = None
    storage: Storage | None = None
    """Where signed URLs lead; None where nothing can be fetched."""
    open: bool = False
    """Whether the session is inside its block: a call that is left over from it sends nothing more."""
    budget: RetryBudget = field(init=False)
    drift: set[DriftNote] = field(factory=set)
    started: set[str] = field(factory=set)
    """The ids of all analyses that the session started: none of them is a candidate for a doubt."""

    def __attrs_post_init__(self) -> None:
        self.budget = RetryBudget(self.retry)

    async def perform(self, call: Call[T]) -> T:
        """The value that a call gives, within `Limits.call` seconds and all its attempts.

        Raises the `OchyError` of the last attempt, or `DeadlinePassed`.
        """
        attempt = 1
        with move_on_after(self.limits.call):
            while True:
                try:
                    return await self.once(call, attempt)
                except OchyError as error:
                    failure = error
                if not may_repeat(failure, call.repeatable) or not await self.pause(failure, attempt):
                    raise failure
                attempt += 1
        raise self.deadline_passed(call.request, attempt, self.limits.call, call.analysis_id)

    async def once(self, call: Call[T], attempt: int = 1) -> T:
        """One attempt of a call, without a deadline of its own."""
        try:
            response = await self.send(call.request)
            value = self.read(call, response)
        except OchyError as error:
            error.attempt = attempt
            error.analysis_id = error.analysis_id or call.analysis_id
            raise
        self.budget.earn()
        return value

    async def send(self, request: Request) -> Response:
        """The answer to a request. Raises `InvalidSettings` outside of the session's block."""
        self.check_open()
        response = await self.transport.send(request)
        logger.debug("%s: HTTP %d", request.route, response.status)
        return response

    def check_open(self) -> None:
        """Raises `InvalidSettings` outside of the session's block."""
        if not self.open:
            raise InvalidSettings("The session is not open; use it inside `async with OchySession() as ochy:`.")

    def read(self, call: Call[T], response: Response) -> T:
        """The value in an answer, its drift noted. Raises the error that the answer means."""
        try:
            value, notes = call.outcome(response)
        except (RateLimited, ServerError) as error:
            error.retry_after = retry_after(response.headers, self.clock())
            raise
        self.note(notes)
        return value

    async def pause(self, error: OchyError, attempt: int) -> bool:
        """Sleeps until the next attempt; False where policy, budget or the call's deadline leave none."""
        delay = self.retry.delay(error, attempt, self.chance())
        if delay is None or current_time() + delay >= current_effective_deadline() or not self.budget.spend():
            return False
        self.tell(Retried(error.route or "", attempt, delay, type(error).__name__))
        logger.info("%s: attempt %d failed (%s), next in %.1f s", error.route, attempt, type(error).__name__, delay)
        await sleep(delay)
        return True

    def deadline_passed(
        self, request: Request, attempt: int, seconds: float, analysis_id: str | None = None
    ) -> DeadlinePassed:
        """The error for a call that took too long."""
        return DeadlinePassed(
            f"{request.route}: not done within {seconds:g} s. Try again later, or raise the deadline in Limits.",
            route=str(request.route),
            attempt=attempt,
            analysis_id=analysis_id,
        )

    def note(self, notes: frozenset[DriftNote]) -> None:
        """Books drift; each difference is logged and told once in the life of the session."""
        if not notes:
            return
        for new in sorted(notes - self.drift)[: _MOST_NOTES - len(self.drift)]:
            self.drift.add(new)
            logger.warning("the API differs from its documentation: %s", new)
            self.tell(DriftSeen(new))

    def tell(self, event: Event) -> None:
        """Tells the listener. Its faults are logged and stay its own: a paid analysis must not die of them."""
        if self.listener is None:
            return
        try:
            self.listener(event)
        except (Exception, get_cancelled_exc_class()):
            logger.exception("the event listener failed on %s", type(event).__name__)
