"""How many webhook deliveries are read, and when a lost connection between processes is tried again.

Invariant: whatever is sent to the door, the work that it causes is bounded.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from .validators import between

__all__ = ["DeliveryRateLimit", "reconnect_delay"]

_BURST_SECONDS: Final = 2.0
_FIRST_RECONNECT: Final = 0.5
_LONGEST_RECONNECT: Final = 30.0


@define
class DeliveryRateLimit:
    """A token bucket: it admits `deliveries_per_second` on average, and what comes in two seconds at once."""

    deliveries_per_second: float = field(validator=between(0.1, 100_000))
    _free: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)

    def admit(self, now: float) -> float:
        """Admits a delivery and returns 0; else the seconds until the next one is admitted."""
        burst = max(1.0, _BURST_SECONDS * self.deliveries_per_second)
        passed = burst if self._since is None else (now - self._since) * self.deliveries_per_second
        self._free, self._since = min(burst, self._free + passed), now
        if self._free < 1:
            return (1 - self._free) / self.deliveries_per_second
        self._free -= 1
        return 0.0


def reconnect_delay(failures: int, chance: float) -> float:
    """Seconds until a connection is tried again that failed so many times in a row. `chance` is from 0 to 1.

    At least half of the growing delay, so that a connection that is lost at once is not tried in a tight loop.
    """
    longest: float = min(_LONGEST_RECONNECT, _FIRST_RECONNECT * 2.0 ** min(failures, 10))
    return longest * (0.5 + 0.5 * chance)
