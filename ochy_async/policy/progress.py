"""What the looks at one analysis say about its end, in the light of what earlier analyses took.

Invariant: a percentage is a promise, worth what came of such promises before. Nobody sees an
analysis begin or end: both lie somewhere between two looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

__all__ = ["DurationHistory", "ProgressModel", "Sample"]

_ENOUGH: Final = 5
_ALIKE: Final = 10  # percentages of the same ten teach one another


@define
class DurationHistory:
    """How long the last analyses of the session took: the best guess for the next."""

    _seen: dict[int, deque[float]] = field(factory=dict)

    def learn(self, seconds: float, percentage: float = 0, promised: float = 1) -> None:
        """Books what a finished analysis took, all of it or from a percentage on that promised so many seconds."""
        self._seen.setdefault(_kind(percentage), deque(maxlen=64)).append(seconds / promised)

    def after(self, percentage: float) -> Sequence[float]:
        """How many times what such a percentage promised it took from there, after 0 in seconds; empty if unknown."""
        known = self._seen.get(_kind(percentage), ())
        return known if len(known) >= _ENOUGH else ()

    def early(self) -> float | None:
        """Seconds by which one in ten was finished; None while too few are known."""
        known = sorted(self.after(0))
        return known[len(known) // 10] if known else None


def _kind(percentage: float) -> int:
    return int(percentage // _ALIKE) if percentage else -1


@frozen
class Sample:
    """A moment at which the percentage rose, and how many seconds it promised; the beginning promises nothing."""

    at: float
    percentage: float = 0
    promised: float = 1


@define
class ProgressModel:
    """What the looks at one analysis showed. All times are seconds on one clock.

    `unfinished` is the last moment at which it was surely not finished, if one is known.
    """

    started: float | None = None
    unfinished: float | None = None
    _queued: bool = False
    _origin: Sample | None = None  # what speed is measured from
    _last: Sample | None = None
    _marks: dict[int, Sample] = field(factory=dict)  # the last of each kind

    def age(self, now: float) -> float:
        """Seconds since it was started, or begun, or first seen to move, whatever is known."""
        began = self.started if self.started is not None else self._origin.at if self._origin else now
        return max(0.0, now - began)

    def waits(self, now: float) -> None:
        """Books a look that showed it in the queue: all that is to be learned of it begins later."""
        self._origin = self._last = None
        self._marks.clear()
        self.unfinished, self._queued = now, True

    def runs(self, percentage: float | None, now: float) -> Sample | None:
        """Books a look that showed it at work; the mark that it made, if the percentage rose."""
        if self._origin is None:
            self._begin(now)
        mark = self._mark(percentage, now) if percentage is not None and 0 < percentage < 100 else None
        if mark:
            self._put(mark)
        self.unfinished = now
        return mark

    def _put(self, mark: Sample) -> None:
        self._last = self._marks[_kind(mark.percentage)] = mark

    def _begin(self, now: float) -> None:
        begun = self.started
        if self._queued and self.unfinished is not None:
            begun = (self.unfinished + now) / 2
        if begun is not None:
            self._origin = Sample(begun)
            self._put(self._origin)

    def _mark(self, percentage: float, now: float) -> Sample | None:
        self._origin = origin = self._origin or Sample(now, percentage)
        if now <= origin.at or percentage <= (self._last or origin).percentage:
            return None
        promised = (now - origin.at) * (100 - percentage) / (percentage - origin.percentage)
        return Sample(now, percentage, promised)

    def left(self, now: float, durations: DurationHistory) -> list[float]:
        """Seconds, sorted, in which it would end if it went on like this or that earlier one; empty if unknown."""
        mark = self._last
        if mark is None:
            return []
        passed = now - mark.at
        ends = [times * mark.promised - passed for times in durations.after(mark.percentage)]
        return sorted([end for end in ends if end > 0])

    def ended(self, now: float, durations: DurationHistory) -> None:
        """Teaches what a look that showed the end says; nothing where the end may be long ago."""
        if self.unfinished is None:
            return
        begun = [Sample(self.unfinished)] if self._queued or self.started is not None else []
        end = self._end(now, self.unfinished)
        for mark in self._marks.values() or begun:
            durations.learn(max(0.0, end - mark.at), mark.percentage, mark.promised)

    def _end(self, now: float, before: float) -> float:
        """The middle between two looks, as long as the percentage does not promise a moment between them.

        The moment of the look itself would not do: each would teach the next to look later.
        """
        last = self._last
        promised = last.at + last.promised if last and last.percentage else now
        return promised if before < promised < now else (before + now) / 2
