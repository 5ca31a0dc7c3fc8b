"""Whether one more credit may be spent. Every start asks this guard first.

Invariant: a credit counts as spent from the moment that a start is intended, and is released only if the start
certainly did not happen.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen

from ..errors import BuyCredits, KeyRefused, OchyError
from ..protocol.text_summary import count_of

__all__ = ["RETRY_INTERVAL", "CreditGuard", "StopReason"]

RETRY_INTERVAL: Final = 60.0
"""Seconds between the starts by which a batch finds out whether credits were bought meanwhile."""


@frozen
class StopReason:
    """Why no new start is made."""

    reason: str
    error: OchyError | None = None


@define
class CreditGuard:
    """Counts credits and admits starts. All times are seconds on one clock."""

    limit: int | None = None
    """Credits that may be spent in total, earlier runs included; None is no limit."""
    limit_per_run: int | None = None
    """Credits that this run may spend; None is no limit."""
    patience: float = 0.0
    """Seconds for which starts are paused after the account ran out of credits, before they are stopped."""
    spent_earlier: int = 0
    """Credits that earlier runs may have spent."""
    spent: int = 0
    """Starts that this run intended, minus those that certainly did not happen."""
    stopped: StopReason | None = None
    _empty_since: float | None = field(default=None, init=False)
    _next_attempt: float = field(default=0.0, init=False)

    def admit(self, now: float) -> float | StopReason:
        """Counts one credit as spent and returns 0; else the seconds to wait before asking again, or why to stop."""
        if self.stopped is not None:
            return self.stopped
        if self.remaining == 0:
            return StopReason(self._limit_reached())
        if self._empty_since is not None:
            if now < self._next_attempt:
                return self._next_attempt - now
            self._next_attempt = now + RETRY_INTERVAL  # only one start finds out whether there are credits again
        self.spent += 1
        return 0.0

    @property
    def committed(self) -> int:
        """Credits that may be spent by now, earlier runs included."""
        return self.spent_earlier + self.spent

    @property
    def remaining(self) -> int | None:
        """Credits that may still be spent; None is no limit."""
        in_total = None if self.limit is None else self.limit - self.committed
        this_run = None if self.limit_per_run is None else self.limit_per_run - self.spent
        return min((max(0, each) for each in (in_total, this_run) if each is not None), default=None)

    def _limit_reached(self) -> str:
        if self.limit is not None and self.committed >= self.limit:
            return f"The limit of {count_of(self.limit, 'credit')} is reached. Raise max_credits and run again."
        return f"The limit of {count_of(self.limit_per_run or 0, 'credit')} for one run is reached. Run again."

    def release_credit(self) -> None:
        """Takes back the credit of a start that certainly did not happen."""
        self.spent -= 1

    def limit_reached(self, committed: int) -> None:
        """Takes back a credit that the journal refused, because all workers together have committed so many."""
        self.release_credit()
        self.spent_earlier = max(committed, self.limit or 0) - self.spent

    def accepted(self) -> None:
        """Notes an accepted start: the account has credits."""
        self._empty_since = None

    def refused(self, error: OchyError, now: float) -> bool:
        """Pauses or stops new starts if the account or its key was refused. Returns whether that is the case."""
        if isinstance(error, KeyRefused):
            self.stop(StopReason(f"No new start: {error}", error))
        elif isinstance(error, BuyCredits):
            self._pause(error, now)
        return isinstance(error, BuyCredits | KeyRefused)

    def _pause(self, error: BuyCredits, now: float) -> None:
        if self._empty_since is None:
            self._empty_since = now
        self._next_attempt = now + RETRY_INTERVAL
        if self._next_attempt - self._empty_since > self.patience:
            self.stop(StopReason(f"No new start: {error}", error))

    def stop(self, reason: StopReason) -> None:
        """Admits no new start from now on. The first reason is the one that is reported."""
        self.stopped = self.stopped or reason
