"""Waits for analyses: one scheduler for all polls of a session.

Invariant: a wait runs in its caller's own task, so nothing keeps running when the caller leaves. When to poll,
`policy.polling` decides.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from anyio import CancelScope, Lock, current_time, sleep
from attrs import define, evolve, field

from .core import SessionCore
from .errors import AnalysisFailed, OchyError, WaitTimeout
from .events import AnalysisProgress
from .observing import Ended, PollCause, WaitOperation
from .policy.hints import AnnouncedEnds
from .policy.polling import Polling, PollRateLimit, PollSchedule
from .policy.progress import DurationHistory
from .protocol.analysis import AnalysisState, Started, Status, analysis_id_of, results_call
from .protocol.answer import Answer
from .protocol.routes import RESULTS
from .wakes import Waker, Wakes

__all__ = ["PollScheduler", "analysis_failed", "wait_timeout"]

R = TypeVar("R", bound=Answer)
logger: logging.Logger = logging.getLogger("ochy_async")
_SHORTEST_SLEEP: Final = 0.002
"""Seconds. A shorter wait for the rate limit is left out: later polls make up for it."""
_MOST_STATUSES: Final = 100
"""Unknown statuses of which each is warned of once: a status may hold a number that counts down."""
_CATCH_UP: Final = 0.1
"""Seconds by which polls that come late, because the event loop was busy, may come closer together afterwards."""


def _given_or_new(wakes: Wakes | None) -> Wakes:
    return wakes or Wakes()


def _new_line() -> Lock:
    return Lock(fast_acquire=True)  # whoever is alone in line needs no turn of the event loop


@define(eq=False)
class PollScheduler:
    """Schedules the polls of all waits of a session."""

    core: SessionCore
    polling: Polling
    wakes: Wakes = field(default=None, converter=_given_or_new)
    """Where hints come from. Without webhooks there are none."""
    durations: DurationHistory = field(factory=DurationHistory)
    announced_ends: AnnouncedEnds = field(factory=AnnouncedEnds)
    rate_limit: PollRateLimit = field(factory=PollRateLimit)
    reserve_elsewhere: Callable[[], Awaitable[float]] | None = None
    """Reserves the next poll of a rate that other processes share. Returns the seconds until its turn."""
    line: Lock = field(factory=_new_line)
    """The polls that are due, in the order in which they wait for the rate limit."""
    line_elsewhere: Lock = field(factory=_new_line)
    """Those of them that also keep to the rate that other processes share."""
    _unknown_statuses: set[str] = field(factory=set)

    def with_options(self, core: SessionCore, polling: Polling | None) -> PollScheduler:
        """A scheduler with other settings that shares everything else: the rate limit and what was learned."""
        return evolve(self, core=core, polling=polling or self.polling)

    def sharing(self, reserve: Callable[[], Awaitable[float]]) -> PollScheduler:
        """A scheduler whose polls also keep to a rate that other processes share."""
        return evolve(self, reserve_elsewhere=reserve, line_elsewhere=_new_line())

    async def watch(self, started: Started[R, Answer] | str, seconds: float) -> AsyncGenerator[AnalysisState[R]]:
        """Polls an analysis until it is finished, and yields every state that a poll returns.

        A poll that fails does not mean that the analysis failed: polling continues for `Polling.patience` seconds, then
        the error of the last poll is raised. A refusal (of the key, of an unknown id) is raised at once. A hint makes
        the next poll come at once, except after a poll that failed; whether the analysis is finished, the poll decides.
        Raises `WaitTimeout` after `seconds`.
        """
        until, begun_at = current_time() + seconds, self._started_at(started)
        schedule = PollSchedule(self.polling, begun_at, self.announced_ends)
        watched, unfinished_seen = self.core.track(WaitOperation.of, started), False
        with watched.ending():
            async with aclosing(self._polls(started, schedule)) as states:
                while True:
                    state = None
                    with CancelScope(deadline=until) as scope, watched.active():
                        state = await anext(states, None)
                    if scope.cancelled_caught:
                        watched.end(Ended, outcome="timeout", error=WaitTimeout)
                        raise wait_timeout(started, seconds)
                    if state is None:
                        return
                    if state.finished:
                        took = current_time() - begun_at if begun_at is not None and unfinished_seen else None
                        watched.end(_end_of_wait, state, took)
                    unfinished_seen = True
                    yield state

    async def _polls(
        self, started: Started[R, Answer] | str, schedule: PollSchedule
    ) -> AsyncGenerator[AnalysisState[R]]:
        """The states of an analysis, without a time limit."""
        call = results_call(started)
        cause: PollCause = "first"
        delay = schedule.first_delay(current_time(), self.durations)
        with self.rate_limit.waiting(), self.wakes.listening(analysis_id_of(started)) as waker:
            while True:
                if await self._wait_for_turn(delay, waker):
                    schedule.hinted()
                    cause = "woken"
                try:
                    state = await self.core.perform_once(call, cause=cause)
                except OchyError as error:
                    await sleep(self._delay_after(error, schedule))
                    delay, cause = 0.0, "repeated"
                    continue
                self.rate_limit.answered()
                self._report(state)
                if state.finished:
                    schedule.finished(current_time(), succeeded=state.status == Status.SUCCESS)
                yield state
                if state.finished:
                    return
                pending = state.status == Status.PENDING
                delay = schedule.after_poll(state.percentage, current_time(), self.core.chance(), pending=pending)
                cause = "scheduled"

    async def wait(
        self,
        started: Started[R, Answer] | str,
        seconds: float,
        on_first: Callable[[AnalysisState[R]], None] = lambda _: None,
    ) -> AnalysisState[R]:
        """Polls an analysis until it has succeeded or failed, and returns that state.

        `on_first` is called with what the first poll shows. Raises what `watch` raises.
        """
        async with aclosing(self.watch(started, seconds)) as states:
            state = await anext(states)
            on_first(state)
            async for state in states:  # noqa: B007 - the last one is the finished one
                pass
        return state

    def _delay_after(self, error: OchyError, schedule: PollSchedule) -> float:
        """Seconds until the poll after one that failed. Raises `error` if there is no further poll."""
        now = current_time()
        self.rate_limit.failed(error, now)
        retry_after = getattr(error, "retry_after", None)
        if retry_after is not None:
            self.rate_limit.pause_until(now + retry_after)
        delay = schedule.after_error(error, now, self.core.chance())
        if delay is None:
            raise error
        logger.info("%s: a poll failed (%s); the wait continues", error.route, type(error).__name__)
        return delay

    async def _wait_for_turn(self, delay: float, waker: Waker) -> bool:
        """Sleeps for `delay` seconds or until a hint comes, and longer if a rate limit requires it.

        Returns whether a hint came.
        """
        await waker.sleep(delay)
        if self.reserve_elsewhere is None:
            await self._take_turn()
        else:
            async with self.line_elsewhere:
                await self._take_shared_turn(self.reserve_elsewhere)
        return waker.take_hint()

    async def _take_turn(self) -> None:
        """Waits in line until the rate limit allows a poll.

        Only the first in line has a time. So a wait that leaves the line takes none with it, and all of them keep to a
        rate that has changed and to a pause that the server has asked for meanwhile.
        """
        came = current_time()
        async with self.line:
            while (ahead := self.rate_limit.ahead(current_time())) > _SHORTEST_SLEEP:  # noqa: ASYNC110 - a time, no event
                await sleep(ahead)
            self.rate_limit.reserve(max(came, current_time() - _CATCH_UP), self.polling.requests_per_second)

    async def _take_shared_turn(self, reserve: Callable[[], Awaitable[float]]) -> None:
        """As `_take_turn`, and reserves the poll elsewhere last: polls that a pause made wait must not come at once."""
        while True:
            await self._take_turn()
            if (ahead := await reserve()) > 0:
                await sleep(ahead)
            if not self.rate_limit.paused(current_time()):
                return

    def _started_at(self, started: Started[R, Answer] | str) -> float | None:
        """When the analysis was started, on the clock of the event loop; None if that is not known."""
        if isinstance(started, str) or started.started_at is None:
            return None
        age: float = (self.core.clock() - _utc(started.started_at)).total_seconds()
        return current_time() - max(0.0, age)

    def _report(self, state: AnalysisState[R]) -> None:
        if self.core.heard:
            self.core.emit(AnalysisProgress(state.analysis_id, str(state.status), state.percentage))
        known = isinstance(state.status, Status) or len(self._unknown_statuses) >= _MOST_STATUSES
        if not known and (status := state.status[:100]) not in self._unknown_statuses:
            self._unknown_statuses.add(status)
            logger.warning("an analysis has a status that this version does not know; the wait continues")


def _end_of_wait(state: AnalysisState[Any], seconds: float | None) -> Ended:
    error = AnalysisFailed if state.status == Status.FAILED else None
    return Ended(outcome=str(state.status), error=error, seconds=seconds)


def wait_timeout(started: Started[Any, Any] | str, seconds: float) -> WaitTimeout:
    """The error for an analysis that did not finish in time."""
    analysis_id = analysis_id_of(started)
    return WaitTimeout(
        f"The analysis {analysis_id} did not finish within {seconds:g} s. It is paid for and still running: "
        "wait for it again with its id. A new start would cost a second credit.",
        route=str(RESULTS),
        analysis_id=analysis_id,
    )


def analysis_failed(state: AnalysisState[Any]) -> AnalysisFailed:
    """The error for an analysis with the status `failed`."""
    return AnalysisFailed(
        f"The analysis {state.analysis_id} failed. The vendor gives no reason; check the clip's "
        "orientation, length and frame rate before you film again. Whether the credit is refunded is not "
        "documented: see the vendor's dashboard.",
        status=400,
        route=str(RESULTS),
        analysis_id=state.analysis_id,
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
