"""Whether one more credit may be spent: the guard before every start.

Law of this room: what cannot be undone is counted before it is done. A credit counts as spent from the
moment that a start is intended, and comes back only if the start surely did not happen.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen

from ..errors import BuyCredits, KeyRefused, OchyError

__all__ = ["Closed", "Guard"]

ASK_AGAIN: Final = 60.0
"""Seconds between starts that try whether credits were bought meanwhile."""


@frozen
class Closed:
    """Why nothing more is started."""

    reason: str
    error: OchyError | None = None


@define
class Guard:
    """Counts credits and says who may go. All times are seconds on one clock."""

    most: int | None = None
    """Credits that may be spent at all, those of earlier runs included; None is no bound."""
    patience: float = 0.0
    """Seconds for which starts are paused, and not given up, once the account is empty."""
    spent: int = 0
    """Starts that were intended, less those that surely did not happen."""
    closed: Closed | None = None
    _empty_since: float | None = field(default=None, init=False)
    _next_try: float = field(default=0.0, init=False)

    def admit(self, now: float) -> float | Closed:
        """Takes a credit and gives 0, or the seconds after which to ask again, or why there is none."""
        if self.closed is not None:
            return self.closed
        if self.most is not None and self.spent >= self.most:
            return Closed(f"The limit of {self.most} credits is reached. Raise max_credits and run again.")
        if self._empty_since is not None:
            if now < self._next_try:
                return self._next_try - now
            self._next_try = now + ASK_AGAIN  # this one tries for all
        self.spent += 1
        return 0.0

    def give_back(self) -> None:
        """A start surely did not happen."""
        self.spent -= 1

    def accepted(self) -> None:
        """A start was accepted: there are credits."""
        self._empty_since = None

    def refused(self, error: OchyError, now: float) -> bool:
        """A start was refused. Whether it was for the account: then the clip has to wait its turn again."""
        if isinstance(error, KeyRefused):
            self.close(Closed(f"No new start: {error}", error))
        elif isinstance(error, BuyCredits):
            self._pause(error, now)
        return isinstance(error, BuyCredits | KeyRefused)

    def _pause(self, error: BuyCredits, now: float) -> None:
        if self._empty_since is None:
            self._empty_since = now
        self._next_try = now + ASK_AGAIN
        if self._next_try - self._empty_since > self.patience:
            self.close(Closed(f"No new start: {error}", error))

    def close(self, why: Closed) -> None:
        """Nothing more is started. The first reason stays."""
        self.closed = self.closed or why
