"""What several tests of policies share: errors, durations, and waits for analyses that last that long."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from ochy_async import Polling
from ochy_async.errors import OchyError, RateLimited, ServerError
from ochy_async.policy.polling import PollSchedule
from ochy_async.policy.progress import DurationHistory

chances = st.floats(0, 1)


def asking(cls: type[RateLimited] | type[ServerError], seconds: float | None) -> OchyError:
    """An error with a `Retry-After`."""
    error = cls("pause")
    error.retry_after = seconds
    return error


Percentage = Callable[[float], float | None]
"""The percentage that is shown at a share (0 to 1) of the run."""

PATIENT = Polling(longest=600)


def absent(_: float) -> None:
    """Never shows a percentage."""


def smooth(share: float) -> float:
    """Shows how much is done."""
    return 100 * share


def waited(known: DurationHistory, took: float, shown: Percentage = absent, chance: float = 0.5) -> tuple[float, int]:
    """Waits for an analysis. Returns how late its end was noticed, and the number of polls."""
    schedule, now, polls = PollSchedule(Polling(), 1000.0), 1000.0, 1
    now += schedule.first_delay(now, known)
    while now < 1000 + took:
        now += schedule.after_poll(shown((now - 1000) / took), now, chance)
        polls += 1
    schedule.finished(now, succeeded=True)
    return now - 1000 - took, polls


def durations(*seconds: float) -> DurationHistory:
    """A history of analyses that took this long."""
    known = DurationHistory()
    for each in seconds:
        known.add(each)
    return known


def schedule_with(known: DurationHistory, started: float | None = 1000.0, polling: Polling = PATIENT) -> PollSchedule:
    """A schedule for an analysis, with a history."""
    schedule = PollSchedule(polling, started)
    schedule.first_delay(1000, known)
    return schedule
