"""Again or not, and after how long.

Invariant: what may have happened is repeated only where repeating is harmless, and an outage
is not multiplied: all retries of a session draw on one budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define, field, frozen

from ..errors import ConnectionFailed, OchyError, Phase, RateLimited, ServerError
from ..field_docs import documented
from .validators import between

__all__ = ["Retry", "RetryBudget", "may_repeat", "retry_after"]


@documented
@frozen(kw_only=True)
class Retry:
    """How often and how patiently a request is repeated. Raises `InvalidSettings` for nonsense."""

    attempts: int = field(default=5, validator=between(1, 20, whole=True))
    """All attempts of one request, the first included."""
    first_delay: float = field(default=0.5, validator=between(0, 60))
    """Seconds; doubles with each attempt. The real delay is drawn from 0 to this (full jitter)."""
    longest_delay: float = field(default=20.0, validator=between(0, 600))
    """Seconds: where the doubling ends."""
    longest_retry_after: float = field(default=60.0, validator=between(0, 3600))
    """Seconds. A server that asks for more gets no sleep: the call ends with its error at once."""
    budget: float = field(default=20.0, validator=between(0, 10_000))
    """Retries that the whole session may make in a row; `earned` of one comes back with each success."""
    earned: float = field(default=0.2, validator=between(0, 1))
    """How much of a retry each success gives back to the budget."""

    def delay(self, error: OchyError, attempt: int, chance: float) -> float | None:
        """Seconds until the next attempt after `attempt` ended with `error`; None to give up.

        `chance` is from 0 to 1. A `Retry-After` is the least that is waited, jitter comes on top.
        """
        if attempt >= self.attempts:
            return None
        jitter = chance * min(self.longest_delay, self.first_delay * 2.0 ** (attempt - 1))
        asked = getattr(error, "retry_after", None)
        if asked is None:
            return jitter
        return asked + jitter if asked <= self.longest_retry_after else None


@define
class RetryBudget:
    """What is left for retries in a session: spent by each, earned back by successes."""

    settings: Retry
    left: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.settings.budget

    def spend(self) -> bool:
        """Takes one retry; False where none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def earn(self) -> None:
        """Books a success."""
        self.left = min(self.settings.budget, self.left + self.settings.earned)


def may_repeat(error: OchyError, repeatable: bool) -> bool:
    """Whether a request that ended with `error` may be sent again.

    A request that creates or charges (`repeatable` False) only where it surely did not happen: it
    never left, it was cut short, or the server refused it for its rate alone.
    """
    if isinstance(error, ConnectionFailed):
        if error.status == _PROXY_WANTS_CREDENTIALS:  # the same ones again only get an account locked
            return False
        return repeatable or error.phase is not Phase.COMPLETE
    return isinstance(error, RateLimited) or (repeatable and isinstance(error, ServerError))


_PROXY_WANTS_CREDENTIALS: Final = 407
_FUTURE: Final = 10.0 * 365 * 86400


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number, a date, or None for garbage.

    A date is measured against the answer's own `Date`, else against `now` (UTC).
    """
    said = headers.get("retry-after", "").strip()
    if said.replace(".", "", 1).isdecimal() and said.isascii():
        return min(float(said), _FUTURE)
    until = _date(said)
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
