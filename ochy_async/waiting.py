"""Waiting for analyses: one scheduler for all waits of a session.

Invariant: it looks and sleeps; when to look, `policy.polling` says. A wait runs in its
caller's own task, so that nothing is left behind when the caller goes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

from anyio import current_time, move_on_after, sleep
from attrs import define, field

from .core import SessionCore
from .errors import AnalysisFailed, OchyError, WaitTimeout
from .events import AnalysisProgress
from .policy.polling import Polling, PollRateLimit, PollSchedule
from .policy.progress import DurationHistory
from .protocol.analysis import AnalysisState, Started, Status, results_call
from .protocol.answer import Answer
from .protocol.routes import RESULTS

__all__ = ["PollScheduler", "analysis_failed", "wait_timeout"]

R = TypeVar("R", bound=Answer)
logger = logging.getLogger("ochy_async")


@define(eq=False)
class PollScheduler:
    """Gives out the moments at which the waits of a session may look."""

    core: SessionCore
    polling: Polling
    durations: DurationHistory = field(factory=DurationHistory)
    pace: PollRateLimit = field(init=False)
    _strange: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.pace = PollRateLimit(self.polling.requests_per_second)

    async def watch(self, started: Started[R, Answer] | str) -> AsyncGenerator[AnalysisState[R]]:
        """Every state that a look shows, until the analysis is finished.

        A look that fails is not a failed analysis: it goes on until `Polling.patience` is spent, then
        raises that look's error. A refusal (key, unknown id) is raised at once.
        """
        look = results_call(started)
        watch = PollSchedule(self.polling, self._began(started))
        delay = watch.first_delay(current_time(), self.durations)
        while True:
            await self._turn(delay)
            try:
                state = await self.core.perform_once(look)
            except OchyError as trouble:
                delay = self._after_trouble(watch, trouble)
                continue
            self._told(state)
            if state.status == Status.SUCCESS:
                watch.succeeded(current_time())
            yield state
            if state.finished:
                return
            pending = state.status == Status.PENDING
            delay = watch.after_poll(state.percentage, current_time(), self.core.chance(), pending=pending)

    async def finished(self, started: Started[R, Answer] | str, seconds: float) -> AnalysisState[R]:
        """The state that an analysis ends with, failed or not. Raises `WaitTimeout`, and what `watch` raises."""
        with move_on_after(seconds):
            async with aclosing(self.watch(started)) as states:
                async for state in states:
                    if state.finished:
                        return state
        raise wait_timeout(started, seconds)

    def _after_trouble(self, watch: PollSchedule, trouble: OchyError) -> float:
        """Seconds until the next look after one that failed. Raises its error where there is none."""
        now = current_time()
        delay = watch.after_error(trouble, now, self.core.chance())
        if delay is None:
            raise trouble
        logger.info("%s: a look failed (%s), waiting on", trouble.route, type(trouble).__name__)
        asked = getattr(trouble, "retry_after", None)
        if asked is not None:
            self.pace.pause_until(now + asked)
        return delay

    async def _turn(self, delay: float) -> None:
        """Sleeps for `delay`, and on until the ceiling of the session gives this wait its moment."""
        await sleep(delay)
        now = current_time()
        ahead = self.pace.reserve(now) - now
        if ahead > 0:
            await sleep(ahead)

    def _began(self, started: Started[R, Answer] | str) -> float | None:
        """When the analysis was started, on the clock of the event loop; None if that is not known."""
        if isinstance(started, str) or started.started_at is None:
            return None
        age: float = (self.core.clock() - _utc(started.started_at)).total_seconds()
        return current_time() - max(0.0, age)

    def _told(self, state: AnalysisState[R]) -> None:
        self.core.emit(AnalysisProgress(state.analysis_id, str(state.status), state.percentage))
        if not isinstance(state.status, Status) and state.status not in self._strange:
            self._strange.add(state.status)
            logger.warning("an analysis has a status that this version does not know; waiting on")


def wait_timeout(started: Started[Any, Any] | str, seconds: float) -> WaitTimeout:
    """The error for an analysis that did not finish in time."""
    analysis_id = started if isinstance(started, str) else started.analysis_id
    return WaitTimeout(
        f"The analysis {analysis_id} did not finish within {seconds:g} s. It goes on and is paid: "
        "wait for it again with its id, do not start it anew.",
        route=str(RESULTS),
        analysis_id=analysis_id,
    )


def analysis_failed(state: AnalysisState[Any]) -> AnalysisFailed:
    """The error for an analysis that ended as `failed`."""
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
