"""Whether one more credit may be spent: the guard before every start.

Invariant: what cannot be undone is counted before it is done. A credit counts as spent from the
moment that a start is intended, and comes back only if the start surely did not happen.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen

from ..errors import BuyCredits, KeyRefused, OchyError

__all__ = ["CreditGuard", "StopReason"]

ASK_AGAIN: Final = 60.0
"""Seconds between starts that try whether credits were bought meanwhile."""


@frozen
class StopReason:
    """Why nothing more is started."""

    reason: str
    error: OchyError | None = None


@define
class CreditGuard:
    """Counts credits and says who may go. All times are seconds on one clock."""

    most: int | None = None
    """Credits that may be spent at all, those of earlier runs included; None is no bound."""
    most_per_run: int | None = None
    """Credits that this run may spend, whatever earlier ones have; None is no bound."""
    patience: float = 0.0
    """Seconds for which starts are paused, and not given up, once the account is empty."""
    earlier: int = 0
    """What earlier runs may have spent."""
    spent: int = 0
    """Starts of this run that were intended, less those that surely did not happen."""
    closed: StopReason | None = None
    _empty_since: float | None = field(default=None, init=False)
    _next_try: float = field(default=0.0, init=False)

    def admit(self, now: float) -> float | StopReason:
        """Takes a credit and gives 0, or the seconds after which to ask again, or why there is none."""
        if self.closed is not None:
            return self.closed
        if self.left == 0:
            return StopReason(self._limit_reached())
        if self._empty_since is not None:
            if now < self._next_try:
                return self._next_try - now
            self._next_try = now + ASK_AGAIN  # this one tries for all
        self.spent += 1
        return 0.0

    @property
    def committed(self) -> int:
        """Credits that may be spent by now, those of earlier runs included."""
        return self.earlier + self.spent

    @property
    def left(self) -> int | None:
        """Credits that may still be spent; None is no bound."""
        over_all = None if self.most is None else self.most - self.committed
        this_run = None if self.most_per_run is None else self.most_per_run - self.spent
        return min((max(0, each) for each in (over_all, this_run) if each is not None), default=None)

    def _limit_reached(self) -> str:
        if self.most is not None and self.committed >= self.most:
            return f"The limit of {self.most} credits is reached. Raise max_credits and run again."
        return f"The limit of {self.most_per_run} credits for one run is reached. Run again."

    def give_back(self) -> None:
        """A start surely did not happen."""
        self.spent -= 1

    def accepted(self) -> None:
        """A start was accepted: there are credits."""
        self._empty_since = None

    def refused(self, error: OchyError, now: float) -> bool:
        """A start was refused. Whether it was for the account: then the clip has to wait its turn again."""
        if isinstance(error, KeyRefused):
            self.close(StopReason(f"No new start: {error}", error))
        elif isinstance(error, BuyCredits):
            self._pause(error, now)
        return isinstance(error, BuyCredits | KeyRefused)

    def _pause(self, error: BuyCredits, now: float) -> None:
        if self._empty_since is None:
            self._empty_since = now
        self._next_try = now + ASK_AGAIN
        if self._next_try - self._empty_since > self.patience:
            self.close(StopReason(f"No new start: {error}", error))

    def close(self, why: StopReason) -> None:
        """Nothing more is started. The first reason stays."""
        self.closed = self.closed or why
