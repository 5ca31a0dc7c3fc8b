"""What the polls of one analysis show about its remaining time, compared with earlier analyses.

Invariant: a percentage is trusted only as far as earlier predictions from similar percentages were right. No poll shows
the moment at which an analysis begins or finishes: both lie between two polls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

__all__ = ["DurationHistory", "ProgressModel", "Sample"]

_MIN_RECORDS: Final = 5
_LATEST: Final = 4  # durations that by themselves show that the server became quicker
_BUCKET_WIDTH: Final = 10  # percentages in the same range of ten share their records


@define
class DurationHistory:
    """How long the latest analyses of the session took, and how right the predictions were."""

    _ratios: dict[int, deque[float]] = field(factory=dict)

    def add(self, seconds: float, percentage: float = 0, predicted: float = 1) -> None:
        """Adds the seconds that a finished analysis took from a percentage on, and how many had been predicted there.

        Percentage 0 is the beginning: nothing is predicted there, so its ratio is the duration in seconds.
        """
        self._ratios.setdefault(_bucket(percentage), deque(maxlen=64)).append(seconds / predicted)

    def ratios(self, percentage: float) -> Sequence[float]:
        """Ratios of actual to predicted remaining time at this percentage (at 0 %: seconds); empty if unknown."""
        known = self._ratios.get(_bucket(percentage), ())
        return known if len(known) >= _MIN_RECORDS else ()

    def soonest(self) -> float | None:
        """Seconds after which the next analysis may be finished; None while too few are known.

        One in ten was finished by then, or one of the latest four: the server may have become quicker.
        """
        known = self.ratios(0)
        return min(sorted(known)[len(known) // 10], *list(known)[-_LATEST:]) if known else None


def _bucket(percentage: float) -> int:
    return int(percentage // _BUCKET_WIDTH) if percentage else -1


@frozen
class Sample:
    """A time at which the percentage rose, and the remaining seconds that it predicts. The beginning predicts
    nothing."""

    at: float
    percentage: float = 0
    predicted: float = 1


@define
class ProgressModel:
    """What the polls of one analysis showed. All times are seconds on one clock.

    `last_unfinished` is the last time at which the analysis was certainly not finished, or None.
    """

    started: float | None = None
    last_unfinished: float | None = None
    _was_queued: bool = False
    _origin: Sample | None = None  # where the measurement of speed begins
    _last: Sample | None = None
    _samples: dict[int, Sample] = field(factory=dict)  # the last one of each bucket

    def age(self, now: float) -> float:
        """Seconds since the analysis was started, or began, or first made progress, whichever is known."""
        began = self.started if self.started is not None else self._origin.at if self._origin else now
        return max(0.0, now - began)

    def add_queued(self, now: float) -> None:
        """Adds a poll that showed the analysis in the queue: only what follows shows how long the analysis takes."""
        self._origin = self._last = None
        self._samples.clear()
        self.last_unfinished, self._was_queued = now, True

    def add_running(self, percentage: float | None, now: float) -> Sample | None:
        """Adds a poll that showed the analysis running. Returns a sample if the percentage rose."""
        if self._origin is None:
            self._begin(now)
        sample = self._sample(percentage, now) if percentage is not None and 0 < percentage < 100 else None
        if sample:
            self._store(sample)
        self.last_unfinished = now
        return sample

    def _store(self, sample: Sample) -> None:
        self._last = self._samples[_bucket(sample.percentage)] = sample

    def _begin(self, now: float) -> None:
        began = self.started
        if self._was_queued and self.last_unfinished is not None:
            began = (self.last_unfinished + now) / 2
        if began is not None:
            self._origin = Sample(began)
            self._store(self._origin)

    def _sample(self, percentage: float, now: float) -> Sample | None:
        self._origin = origin = self._origin or Sample(now, percentage)
        if now <= origin.at or percentage <= (self._last or origin).percentage:
            return None
        predicted = (now - origin.at) * (100 - percentage) / (percentage - origin.percentage)
        return Sample(now, percentage, predicted)

    def remaining(self, now: float, durations: DurationHistory) -> list[float]:
        """For each earlier analysis, the remaining seconds if this one continues as that one did; sorted, empty if
        unknown."""
        last = self._last
        if last is None:
            return []
        passed = now - last.at
        remaining = [ratio * last.predicted - passed for ratio in durations.ratios(last.percentage)]
        return sorted([seconds for seconds in remaining if seconds > 0])

    def succeeded(self, now: float, durations: DurationHistory, *, announced: bool = False) -> None:
        """Adds what the analysis took to `durations`, after a poll that showed success.

        Adds nothing if it may have finished long before that poll. If a hint `announced` the end, it has just finished.
        """
        if self.last_unfinished is None:
            return
        entire = [Sample(self.last_unfinished)] if self._was_queued or self.started is not None else []
        finished = now if announced else self._finished(now, self.last_unfinished)
        for sample in self._samples.values() or entire:
            durations.add(max(0.0, finished - sample.at), sample.percentage, sample.predicted)

    def _finished(self, now: float, before: float) -> float:
        """When it finished: the time that the percentage predicts, if between the last two polls, else their middle.

        With the time of the poll itself, recorded durations would be too long, and each analysis would be polled later
        than the one before.
        """
        last = self._last
        predicted = last.at + last.predicted if last and last.percentage else now
        return predicted if before < predicted < now else (before + now) / 2
