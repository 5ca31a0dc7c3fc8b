"""Whether to retry a request, and after what delay.

Invariant: a request that may have been executed is repeated only if repeating it is harmless. All retries of a session
draw on one budget, so that retries do not multiply the load of an outage.
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
    """How often and after what delays a request is repeated. Raises `InvalidSettings` for invalid values."""

    attempts: int = field(default=5, validator=between(1, 20, integer=True))
    """The number of attempts of one request, including the first."""
    first_delay: float = field(default=0.5, validator=between(0, 60))
    """Seconds; doubles with each attempt. The actual delay is drawn between 0 and this value (full jitter)."""
    longest_delay: float = field(default=20.0, validator=between(0, 600))
    """Seconds; the delay does not grow beyond this."""
    longest_retry_after: float = field(default=60.0, validator=between(0, 3600))
    """Seconds. If a server asks for a longer pause, the call raises the error at once."""
    budget: float = field(default=20.0, validator=between(0, 10_000))
    """Retries that the whole session may make in a row; each success gives `earned` of one back. Sessions made by
    `with_options` share the count."""
    earned: float = field(default=0.2, validator=between(0, 1))
    """The share of a retry that each success gives back to the budget."""

    def delay(self, error: OchyError, attempt: int, chance: float) -> float | None:
        """Seconds until the next attempt, after attempt number `attempt` raised `error`; None if there is none.

        `chance` is from 0 to 1. `Retry-After` is the minimum; jitter is added to it.
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
    """The retries that a session has spent: each retry adds one, each success earns a part of one back.

    It counts what is spent, not what is left, so that calls with other settings can share it.
    """

    spent: float = 0.0

    def spend(self, settings: Retry) -> bool:
        """Takes one retry from the budget. Returns False if none is left."""
        if settings.budget - self.spent < 1:
            return False
        self.spent += 1
        return True

    def earn(self, settings: Retry) -> None:
        """Gives back what a success earns."""
        self.spent = max(0.0, self.spent - settings.earned)


def may_repeat(error: OchyError, repeatable: bool) -> bool:
    """Whether a request that raised `error` may be sent again.

    A request that creates or charges something (`repeatable` False) may be repeated only if it certainly did not
    happen: it was never sent, it was cut short, or the server refused it because of its rate alone.
    """
    if isinstance(error, ConnectionFailed):
        if error.status == _PROXY_AUTH_REQUIRED:  # repeating wrong credentials may lock the account
            return False
        return repeatable or error.phase is not Phase.COMPLETE
    return isinstance(error, RateLimited) or (repeatable and isinstance(error, ServerError))


_PROXY_AUTH_REQUIRED: Final = 407
_TEN_YEARS: Final = 10.0 * 365 * 86400


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for, as a number or a date; None if it holds neither.

    A date is compared with the answer's own `Date`, or else with `now` (UTC).
    """
    value = headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdecimal() and value.isascii():
        return min(float(value), _TEN_YEARS)
    until = _date(value)
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
