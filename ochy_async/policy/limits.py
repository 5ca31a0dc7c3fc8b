"""How long and how large anything may be.

Invariant: everything that is waited for has a deadline, everything that is read has a cap.
"""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import optional

from ..field_docs import documented
from .validators import between

__all__ = ["Concurrency", "Limits"]


@documented
@frozen(kw_only=True)
class Limits:
    """Deadlines in seconds and caps in bytes. Raises `InvalidSettings` for nonsense."""

    connect: float = field(default=15.0, validator=between(0.01, 300))
    """Seconds to connect, TLS included."""
    stall: float = field(default=60.0, validator=between(0.01, 3600))
    """Seconds without any progress (bytes taken or given) after which an attempt is given up."""
    call: float = field(default=90.0, validator=between(0.01, 3600))
    """Seconds for a whole call with all its retries, uploads apart."""
    look: float = field(default=20.0, validator=between(0.01, 3600))
    """Seconds for a look into one clip before it is sent; what takes longer is not known."""
    upload_rate: float = field(default=30_000.0, validator=between(1, 1e9))
    """Bytes per second that an upload or a download must reach on average: its deadline is `call` plus size by rate."""
    answer_bytes: int = field(default=8_000_000, validator=between(1_000, 1e9, whole=True))
    """The largest answer that is read, after decompression."""
    raw_data_bytes: int = field(default=64_000_000, validator=between(1_000, 1e9, whole=True))
    """The largest answer to a raw data request that is read, after decompression."""
    media_bytes: int = field(default=200_000_000, validator=between(1_000, 1e12, whole=True))
    """The largest thumbnail or annotated video that is fetched."""

    def upload(self, size: int) -> float:
        """Seconds for a whole start of `size` bytes with all its attempts."""
        return self.call + size / self.upload_rate

    def download(self, size: int) -> float:
        """Seconds for one attempt to fetch `size` bytes from the storage."""
        return self.call + size / self.upload_rate


@documented
@frozen(kw_only=True)
class Concurrency:
    """How many clips of a batch may be at each stage together. Raises `InvalidSettings` for nonsense."""

    checks: int = field(default=2, validator=between(1, 64, whole=True))
    """Being read, checked and hashed."""
    uploads: int | None = field(default=None, validator=optional(between(1, 256, whole=True)))
    """Being sent. None adapts: wider while all is well, narrower after trouble."""
    in_flight: int = field(default=128, validator=between(1, 2_000, whole=True))
    """Being sent or analyzed at the server. Up to 32 to begin with, more while it begins at once with what it gets."""
    collecting: int = field(default=4, validator=between(1, 64, whole=True))
    """Having their files fetched."""

    @property
    def room(self) -> int:
        """Clips that may be at any stage together: memory follows this number, not the length of the batch."""
        return self.extra_slots + self.in_flight

    @property
    def extra_slots(self) -> int:
        """Clips that may be at a stage of their own beside those in flight."""
        return self.checks + self.collecting
