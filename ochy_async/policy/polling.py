"""When to look at an analysis again, and when to stop.

Invariant: not being finished and failing to ask are different things, each with a patience of
its own. The vendor advises a look every 3 to 5 s (documented); most analyses take 10 to 30 s
(documented), and no upper bound is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from attrs import Factory, define, field, frozen

from ..errors import InvalidSettings, NotFound, OchyError, TryLater, UnreadableAnswer
from ..field_docs import documented
from .progress import DurationHistory, ProgressModel
from .validators import between

__all__ = ["DurationHistory", "PollRateLimit", "PollSchedule", "Polling", "worthwhile"]


@documented
@frozen(kw_only=True)
class Polling:
    """How an analysis is waited for. Raises `InvalidSettings` for nonsense."""

    interval: float = field(default=3.0, validator=between(0.01, 300))
    """Seconds between looks while nothing better is known (the vendor advises 3 to 5)."""
    shortest: float = field(default=1.0, validator=between(0.01, 300))
    """Seconds (give or take the jitter): never look sooner, however likely an answer is; a shorter
    `interval` lowers it."""
    longest: float = field(default=10.0, validator=between(0.01, 600))
    """Seconds (give or take the jitter): never look later."""
    timeout: float = field(default=600.0, validator=between(0.01, 86_400))
    """Seconds until a wait ends with `WaitTimeout`, unless the call says otherwise."""
    patience: float = field(default=120.0, validator=between(0, 86_400))
    """Seconds for which every look may fail before the wait ends with that error."""
    requests_per_second: float = field(default=10.0, validator=between(0.01, 1000))
    """The ceiling on looks for all waits of the session together."""

    def __attrs_post_init__(self) -> None:
        if self.shortest > self.longest:
            raise InvalidSettings(f"Polling.shortest must be at most Polling.longest, {self.longest:g}")


_PRICE: Final = (1 / 45, 1 / 6)  # of the time waited so far, and of the interval at least: the lateness worth a request
_UNSEEN: Final = 0.5  # of the time waited so far: what earlier ones took is no promise, so no pause is longer
_AHEAD: Final = 0.8  # of what a percentage promises, as long as nothing is known of such promises
_GARBLED: Final = 3  # answers in a row that make no sense: one or two may be some proxy's
_LAG: Final = 30.0  # seconds in which an id that was just given may not be known everywhere yet


@define
class PollSchedule:
    """The waiting for one analysis: fed with what each look showed, it says when to look next.

    All times are seconds on one clock; `started` is when the analysis was started, if that is known.
    """

    polling: Polling
    started: float | None = None
    _course: ProgressModel = field(default=Factory(lambda watch: ProgressModel(watch.started), takes_self=True))
    _durations: DurationHistory = field(factory=DurationHistory)
    _delay: float = 0.0
    _failing_since: float | None = None
    _garbled: int = 0

    def first(self, now: float, durations: DurationHistory) -> float:
        """Seconds until the first look: at once, unless the analysis is known to be too young."""
        self._durations = durations
        if self.started is None:
            return 0.0
        expected = durations.early()
        wanted = self.polling.interval if expected is None else min(expected, 3 * self.polling.longest)
        delay = min(wanted, max(0.0, self.started + wanted - now))
        self._course.unfinished = self.started if delay else None
        return delay

    def after_look(self, percentage: float | None, now: float, chance: float, *, pending: bool = False) -> float:
        """Seconds until the next look, after one that showed `percentage` or that it is `pending`.

        Looks again when an end is likely enough, judged by earlier analyses, but at least after half as long
        as it took so far; while none are known, after most of the time that the percentage says is left. On a
        plateau, and in the queue, less and less often. Jitter of up to a tenth keeps waits that began together
        from asking together.
        """
        self._failing_since, self._garbled = None, 0
        guess = self._queued(now) if pending else self._running(percentage, now)
        self._delay = min(self.polling.longest, max(self._shortest, guess))
        return self._delay * (0.95 + 0.1 * chance)

    def ended(self, now: float) -> None:
        """A look showed success: what can be learned from this analysis, the next ones know."""
        self._course.ended(now, self._durations)

    @property
    def _shortest(self) -> float:
        return min(self.polling.shortest, self.polling.interval)

    def _price(self, now: float) -> float:
        """Seconds of lateness that are worth a request: the longer it took already, the more."""
        of_age, of_interval = _PRICE
        return max(of_age * self._course.age(now), of_interval * self.polling.interval)

    def _queued(self, now: float) -> float:
        """What has not begun cannot be finished sooner than the quickest are."""
        self._course.waits(now)
        return self._durations.early() or self._delay * 1.25 or self.polling.interval

    def _running(self, percentage: float | None, now: float) -> float:
        mark = self._course.runs(percentage, now)
        left = self._course.left(now, self._durations)
        if left:
            most = max(self.polling.interval, _UNSEEN * self._course.age(now))
            return min(most, worthwhile(left, self._price(now)))
        if mark is not None:
            ahead = _AHEAD * mark.promised
            return ahead if mark.promised - ahead >= self._shortest else mark.promised
        if percentage is None or not 0 < percentage < 100:
            return self.polling.interval
        return self._delay * 1.25 or self.polling.interval

    def after_trouble(self, error: OchyError, now: float, chance: float) -> float | None:
        """Seconds until the next look, after one that failed; None where looking on is of no use."""
        self._garbled = self._garbled + 1 if isinstance(error, UnreadableAnswer) else 0
        if not (isinstance(error, TryLater) or self._too_young(error, now) or 0 < self._garbled < _GARBLED):
            return None
        if self._failing_since is None:
            self._failing_since = now
        pause = max(self.polling.interval * (1 + chance), getattr(error, "retry_after", None) or 0.0)
        return pause if now + pause - self._failing_since <= self.polling.patience else None

    def _too_young(self, error: OchyError, now: float) -> bool:
        return isinstance(error, NotFound) and self.started is not None and now - self.started < _LAG


def worthwhile(left: Sequence[float], price: float) -> float:
    """The first delay at which *delay × share of the ends before it* reaches `price`, all in seconds.

    So looks are dense where an end is likely and rare where it is not. `left` is sorted: the ends that may come.
    """
    soonest = math.inf
    for n, end in enumerate(left, 1):
        if end * n >= price * len(left):
            return min(soonest, end)
        soonest = price * len(left) / n
    return soonest


@define
class PollRateLimit:
    """The ceiling on looks per second, shared by all waits of a session."""

    per_second: float
    _free: float = 0.0

    def reserve(self, now: float) -> float:
        """The moment at which the caller may look; each moment is given out once."""
        at = max(now, self._free)
        self._free = at + 1 / self.per_second
        return at

    def hold(self, until: float) -> None:
        """The server asked for a pause: nobody looks before `until`."""
        self._free = max(self._free, until)
