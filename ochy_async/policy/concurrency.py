"""How many clips are sent and analyzed at the same time.

Invariant: both limits stay within the user's `Concurrency`.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen
from attrs.validators import optional

from ..errors import OchyError, TryLater, UncertainStart
from ..field_docs import documented
from .validators import between

__all__ = ["INITIAL_IN_FLIGHT", "Concurrency", "InFlightLimit", "UploadLimit"]

INITIAL_IN_FLIGHT: Final = 32
"""Clips in flight to begin with. The limit never falls below it, however long the server's queue is."""
INITIAL_UPLOADS: Final = 3
MAX_UPLOADS: Final = 16
"""More uploads than this only share the same bandwidth."""
COOLDOWN: Final = 5.0
"""Seconds after a decrease in which no other decrease follows."""
SLOW_UPLOAD: Final = 30.0
"""Seconds. Uploads that take longer are limited by bandwidth. More of them in parallel would save little more than a
handshake each, and would slow each other down, so that more of them are cut or miss their deadlines."""


@documented
@frozen(kw_only=True)
class Concurrency:
    """How many clips of a batch may be at each stage at the same time. Raises `InvalidSettings` for invalid values."""

    checks: int = field(default=2, validator=between(1, 64, integer=True))
    """Clips that are read, checked and hashed."""
    uploads: int | None = field(default=None, validator=optional(between(1, 256, integer=True)))
    """Clips that are uploaded. None adapts: more while uploads succeed, fewer after errors."""
    in_flight: int = field(default=512, validator=between(1, 2_000, integer=True))
    """Clips that are uploaded or analyzed by the server. At first up to 32, more while the server starts analyses
    without queueing them and the network could carry more clips."""
    collecting: int = field(default=4, validator=between(1, 64, integer=True))
    """Clips whose files are downloaded."""

    @property
    def total(self) -> int:
        """Clips that may be at any stage: memory depends on this number, not on the length of the batch."""
        return self.extra_slots + self.in_flight

    @property
    def extra_slots(self) -> int:
        """Clips that may be checked or collected in addition to those in flight."""
        return self.checks + self.collecting


@define
class InFlightLimit:
    """How many clips may be in flight, up to `maximum`: more while the server starts analyses without queueing them and
    the network could carry more clips.

    A clip that would only wait in the server's queue is not sent: its start is paid for, cannot be undone, and would be
    polled in vain. A clip that would only wait for its upload is not prepared.
    """

    maximum: int
    slots: int = field(init=False)
    """Clips that may be in flight at the same time."""

    def __attrs_post_init__(self) -> None:
        self.slots = min(INITIAL_IN_FLIGHT, self.maximum)

    def first_poll(self, *, queued: bool, uploads_wait: bool = False) -> None:
        """Adjusts the limit to what the first poll of an analysis showed: whether the analysis is still `queued`.

        An analysis that runs shows that the server has capacity for one more, unless `uploads_wait` for the network
        already. So the limit at most doubles in the time that passes until a first poll.
        """
        wanted = self.slots - 1 if queued else self.slots + (not uploads_wait)
        self.slots = min(self.maximum, max(INITIAL_IN_FLIGHT, wanted))


@define
class UploadLimit:
    """How many uploads may run, from `minimum` to `maximum`: additive increase, multiplicative decrease.

    Errors that come together count once: uploads that ran at the same time do not halve the limit one after the other.
    """

    minimum: int
    maximum: int
    _slots: float = field(init=False)
    _cooldown_until: float = float("-inf")

    def __attrs_post_init__(self) -> None:
        self._slots = float(min(self.maximum, max(self.minimum, INITIAL_UPLOADS)))

    @classmethod
    def of(cls, uploads: int | None) -> UploadLimit:
        """A fixed limit, or one that adapts if `uploads` is None."""
        return cls(1, MAX_UPLOADS) if uploads is None else cls(uploads, uploads)

    @property
    def slots(self) -> int:
        """Uploads that may run at the same time."""
        return int(self._slots)

    def succeeded(self, seconds: float) -> None:
        """Raises the limit after an accepted upload: by one for each full round, unless uploads are slow already."""
        if seconds < SLOW_UPLOAD:
            self._slots = min(float(self.maximum), self._slots + 1 / self._slots)

    def failed(self, error: OchyError, now: float) -> None:
        """Halves the limit after a failed attempt, unless the clip or the request caused the error."""
        if isinstance(error, TryLater | UncertainStart) and now >= self._cooldown_until:
            self._slots = max(float(self.minimum), self._slots / 2)
            self._cooldown_until = now + COOLDOWN
