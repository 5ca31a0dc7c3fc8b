"""When to poll an analysis again, and when to stop.

Invariant: an unfinished analysis and a failed poll are different things, each with a time limit of its own. The vendor
advises polling every 3 to 5 s, and most analyses take 10 to 30 s (both documented); no upper bound is documented.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import Factory, define, field, frozen
from attrs.validators import optional

from ..errors import InvalidSettings, NotFound, OchyError, TryLater, UnreadableAnswer
from ..field_docs import documented
from .concurrency import COOLDOWN
from .hints import AnnouncedEnds
from .progress import DurationHistory, ProgressModel
from .validators import between

__all__ = ["PollRateLimit", "PollSchedule", "Polling", "poll_delay"]


@documented
@frozen(kw_only=True)
class Polling:
    """How to wait for an analysis. Raises `InvalidSettings` for invalid values."""

    interval: float = field(default=3.0, validator=between(0.01, 300))
    """Seconds between polls until the session has learned better (the vendor advises 3 to 5), and from then on the
    longest time between polls once the analysis may be finished, give or take the jitter."""
    shortest: float = field(default=1.0, validator=between(0.01, 300))
    """The shortest time between polls in seconds, give or take the jitter, however likely an answer is. A shorter
    `interval` lowers it."""
    longest: float = field(default=10.0, validator=between(0.01, 600))
    """The longest time between polls in seconds, give or take the jitter."""
    timeout: float = field(default=600.0, validator=between(0.01, 86_400))
    """Seconds until a wait raises `WaitTimeout`, unless the call has a timeout of its own."""
    patience: float = field(default=120.0, validator=between(0, 86_400))
    """Seconds for which every poll may fail before the wait raises the error of the last one."""
    requests_per_second: float | None = field(default=None, validator=optional(between(0.01, 1000)))
    """The maximum rate of polls for all waits of the session together. None adapts: from 10 a second up to one in 3 s
    for each wait (the vendor advises one in 3 to 5 s for each analysis) while they are answered, fewer after errors."""
    rest: float | None = field(default=None, validator=optional(between(0.01, 3600)))
    """Seconds between polls once webhook deliveries have announced the last three ends of the session in a row, give
    or take the jitter. Fewer polls, but an end that is not announced is noticed up to this much later; normal polling
    resumes after it. None: deliveries save no poll."""

    def __attrs_post_init__(self) -> None:
        if self.shortest > self.longest:
            raise InvalidSettings(f"Polling.shortest must be at most Polling.longest, {self.longest:g}")


_ACCEPTED_LATENESS: Final = 1 / 6  # seconds by which an answer may come late to save a poll, per second of the interval
_MAX_DELAY_BY_AGE: Final = 0.5  # the longest delay per second waited so far: earlier durations guarantee nothing
_PREDICTION_SHARE: Final = 0.8  # of the predicted remaining time, until the session has compared such predictions
_MAX_UNREADABLE: Final = 3  # unreadable answers in a row; one or two may come from a proxy
_ADVISED_INTERVAL: Final = 3.0  # seconds between two polls of one analysis: the least that the vendor advises
_LEAST_RATE: Final = 10.0  # polls a second for all waits, however few there are and whatever fails
_MORE_BY_ANSWER: Final = 0.1  # polls a second, for each answered poll: a tenth more in each second
_ID_LAG: Final = 30.0  # seconds in which a new id may be unknown to some of the vendor's servers (not documented)


@define
class PollSchedule:
    """Decides when to poll one analysis, from what each poll showed.

    All times are seconds on one clock. `started` is when the analysis was started, or None if that is unknown.
    """

    polling: Polling
    started: float | None = None
    _ends: AnnouncedEnds = field(factory=AnnouncedEnds)
    _progress: ProgressModel = field(default=Factory(lambda self: ProgressModel(self.started), takes_self=True))
    _durations: DurationHistory = field(factory=DurationHistory)
    _delay: float = 0.0
    _failing_since: float | None = None
    _unreadable: int = 0
    _due: float = 0.0  # when the next poll comes without a hint
    _may_rest: bool = True
    _announced: bool = False  # by a hint since the last answer

    def first_delay(self, now: float, durations: DurationHistory) -> float:
        """Seconds until the first poll: 0, unless the analysis is known to be too young to be finished."""
        self._durations = durations
        if self.started is None:
            return 0.0
        expected = durations.soonest()
        wanted = self.polling.interval if expected is None else min(expected, 3 * self.polling.longest)
        wanted = max(wanted, self._rest)
        delay = min(wanted, max(0.0, self.started + wanted - now))
        self._progress.last_unfinished = self.started if delay else None
        return self._scheduled(delay, now)

    def after_poll(self, percentage: float | None, now: float, chance: float, *, pending: bool = False) -> float:
        """Seconds until the next poll, after one that showed `percentage`, or that the analysis is `pending`.

        Once the session knows the durations of earlier analyses, it polls when an answer is likely enough. A pause that
        is longer than the interval ends when the soonest of them would be finished, and takes at most half the time
        that the analysis took so far. Until then it polls after most of the time that the percentage predicts. While
        the percentage does not rise, or the analysis is queued, the delay grows. Jitter of up to a tenth keeps waits
        that began together from polling together; `chance` is from 0 to 1.
        """
        self._failing_since, self._unreadable = None, 0
        delay = self._queued_delay(now) if pending else self._running_delay(percentage, now)
        self._delay = min(self.polling.longest, max(self._shortest, delay))
        return self._scheduled(max(self._delay, self._rest) * (0.95 + 0.1 * chance), now)

    def hinted(self) -> None:
        """A hint came, so the next poll may show the end. If not, this analysis is polled normally from now on: the
        hook may be ahead of the API, and no second hint may come."""
        self._announced, self._may_rest = True, False

    def finished(self, now: float, *, succeeded: bool) -> None:
        """Adds this analysis to the history of the session, after a poll that showed its end."""
        self._ends.add(announced=self._announced)
        if succeeded:
            self._progress.succeeded(now, self._durations, announced=self._announced)

    def _scheduled(self, delay: float, now: float) -> float:
        """Notes when the next poll is due. A hint adds a poll and does not postpone the one that was due before."""
        if self._announced:
            delay = min(delay, max(self._shortest, self._due - now))
        self._announced, self._due = False, now + delay
        return delay

    @property
    def _rest(self) -> float:
        """The least seconds between polls while hints announce the ends."""
        return self.polling.rest or 0.0 if self._may_rest and self._ends.reliable else 0.0

    @property
    def _shortest(self) -> float:
        return min(self.polling.shortest, self.polling.interval)

    def _queued_delay(self, now: float) -> float:
        """An analysis that has not begun cannot finish sooner than the fastest ones do."""
        self._progress.add_queued(now)
        return self._durations.soonest() or self._delay * 1.25 or self.polling.interval

    def _running_delay(self, percentage: float | None, now: float) -> float:
        sample = self._progress.add_running(percentage, now)
        remaining = self._progress.remaining(now, self._durations)
        if remaining:
            unfinished = min(remaining[0], _MAX_DELAY_BY_AGE * self._progress.age(now))
            longest = max(self.polling.interval, unfinished)
            return min(longest, poll_delay(remaining, _ACCEPTED_LATENESS * self.polling.interval))
        if sample is not None:
            early = _PREDICTION_SHARE * sample.predicted
            return early if sample.predicted - early >= self._shortest else sample.predicted
        if percentage is None or not 0 < percentage < 100 or self._durations.ratios(0):
            return self.polling.interval
        return self._delay * 1.25 or self.polling.interval

    def after_error(self, error: OchyError, now: float, chance: float) -> float | None:
        """Seconds until the next poll, after one that failed; None if polling again cannot help."""
        self._unreadable = self._unreadable + 1 if isinstance(error, UnreadableAnswer) else 0
        if not (isinstance(error, TryLater) or self._is_new(error, now) or 0 < self._unreadable < _MAX_UNREADABLE):
            return None
        if self._failing_since is None:
            self._failing_since = now
        delay = max(self.polling.interval * (1 + chance), getattr(error, "retry_after", None) or 0.0)
        return delay if now + delay - self._failing_since <= self.polling.patience else None

    def _is_new(self, error: OchyError, now: float) -> bool:
        """Whether the id may be unknown only because the analysis was started a moment ago."""
        return isinstance(error, NotFound) and self.started is not None and now - self.started < _ID_LAG


def poll_delay(remaining: Sequence[float], lateness: float) -> float:
    """The shortest delay that, times the share of `remaining` below it, reaches `lateness`. All values are seconds.

    So polls are frequent when an answer is likely and rare when it is not. `remaining` holds the possible remaining
    times, sorted.
    """
    soonest = math.inf
    for count, seconds in enumerate(remaining, 1):
        if seconds * count >= lateness * len(remaining):
            return min(soonest, seconds)
        soonest = lateness * len(remaining) / count
    return soonest


@define
class PollRateLimit:
    """The maximum rate of polls, shared by all waits of a session and of the sessions derived from it.

    A rate that adapts grows with each answer up to what the vendor advises for so many waits, and an error halves it.
    Errors that come together count once.
    """

    _waits: int = 0
    _answered_rate: float = _LEAST_RATE
    _cooldown_until: float = -math.inf
    _next_free: float = 0.0
    _paused_until: float = 0.0

    def ahead(self, now: float) -> float:
        """Seconds until somebody may poll; not positive if somebody may now."""
        return max(self._next_free, self._paused_until) - now

    def paused(self, now: float) -> bool:
        """Whether the server has asked for a pause that is not over."""
        return now < self._paused_until

    def reserve(self, now: float, per_second: float | None) -> float:
        """Returns when the caller may poll; None is a rate that adapts. For one divided by the rate nobody else may."""
        at = now + max(0.0, self.ahead(now))
        self._next_free = at + 1 / (per_second or self.adapted)
        return at

    @property
    def adapted(self) -> float:
        """Polls a second, for all waits together, if the user sets no rate."""
        return min(self._answered_rate, self._advised)

    @property
    def _advised(self) -> float:
        return max(_LEAST_RATE, self._waits / _ADVISED_INTERVAL)

    @contextmanager
    def waiting(self) -> Generator[None]:
        """A block in which one more analysis is waited for."""
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1

    def answered(self) -> None:
        """Raises the rate that adapts, after a poll that was answered."""
        self._answered_rate = min(self._advised, self._answered_rate + _MORE_BY_ANSWER)

    def failed(self, error: OchyError, now: float) -> None:
        """Lowers the rate that adapts, after a poll that failed, unless the request caused the error."""
        if isinstance(error, TryLater) and now >= self._cooldown_until:
            self._answered_rate = max(_LEAST_RATE, self._answered_rate / 2)
            self._cooldown_until = now + COOLDOWN

    def pause_until(self, until: float) -> None:
        """Allows no poll before `until`, because the server asked for a pause."""
        self._paused_until = max(self._paused_until, until)
