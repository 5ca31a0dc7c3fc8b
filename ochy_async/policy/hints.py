"""Which hints may wake a wait, and when: a webhook delivery is a hint to poll, and anyone may have sent it.

Invariant: hints move polls forward and do nothing else. However many come, and whatever they say, an analysis is polled
only a few more times than without them, and the memory that they take is bounded.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

from attrs import define, field

__all__ = ["AnnouncedEnds", "EarlyHints", "Hints"]

MAX_VAIN: Final = 4  # woken polls of one analysis that do not show its end
MIN_PAUSE: Final = 1.0  # seconds between two woken polls of one analysis
MAX_AGE: Final = 120.0  # seconds for which a hint counts that came before anyone waited
MAX_EARLY: Final = 1024  # analyses whose hints are remembered although nobody waits for them
MAX_SEQUENCES: Final = 64  # of one analysis
MAX_ID: Final = 200  # characters of an id that nobody waits for
RELIABLE: Final = 3  # announced ends in a row after which polls may rest


@define
class Hints:
    """The hints for one analysis. All times are seconds on one clock.

    Whether a woken poll was vain need not be reported: once one shows the end, nobody waits any more.
    """

    _left: int = MAX_VAIN
    _wake_at: float = -math.inf
    _sequences: deque[int] = field(factory=lambda: deque(maxlen=MAX_SEQUENCES))

    def is_new(self, sequence: int | None) -> bool:
        """Whether a hint is no exact repeat of an earlier one, as a doubled delivery is.

        A lower sequence is new: otherwise a single forged high number would silence all real deliveries.
        """
        if sequence is None:
            return True
        if sequence in self._sequences:
            return False
        self._sequences.append(sequence)
        return True

    def wake_at(self, now: float) -> float | None:
        """When a new hint wakes those who wait; None if too many were vain."""
        if self._wake_at <= now:
            if not self._left:
                return None
            self._left -= 1
            self._wake_at = max(now, self._wake_at + MIN_PAUSE)
        return self._wake_at


@define
class EarlyHints:
    """The latest hints for analyses that nobody waits for yet."""

    _hints: OrderedDict[str, tuple[float, Hints]] = field(factory=OrderedDict)

    def add(self, analysis_id: str, sequence: int | None, now: float) -> None:
        """Remembers a hint. If there are too many, the oldest is forgotten."""
        if len(analysis_id) > MAX_ID:
            return
        came, hints = self._pop(analysis_id, now)
        self._hints[analysis_id] = now if hints.is_new(sequence) else came, hints
        if len(self._hints) > MAX_EARLY:
            self._hints.popitem(last=False)

    def take(self, analysis_id: str, now: float) -> tuple[Hints, float | None]:
        """Removes and returns the hints for an analysis, and when they wake its first wait; None if none counts."""
        came, hints = self._pop(analysis_id, now)
        return hints, hints.wake_at(now) if came > -math.inf else None

    def _pop(self, analysis_id: str, now: float) -> tuple[float, Hints]:
        """When the last new hint for an analysis came, and the hints; none if that was too long ago."""
        came, hints = self._hints.pop(analysis_id, (-math.inf, None))
        return (came, hints) if hints and now - came <= MAX_AGE else (-math.inf, Hints())


@define
class AnnouncedEnds:
    """Whether hints announce the ends of analyses so reliably that polls may be rare."""

    _in_a_row: int = 0

    def add(self, *, announced: bool) -> None:
        """Adds the end of an analysis."""
        self._in_a_row = self._in_a_row + 1 if announced else 0

    @property
    def reliable(self) -> bool:
        """Whether the latest ends were announced."""
        return self._in_a_row >= RELIABLE
