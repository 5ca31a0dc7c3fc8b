"""Deadlines and size limits.

Invariant: every wait has a deadline, and everything that is read has a maximum size.
"""

from __future__ import annotations

from attrs import field, frozen

from ..field_docs import documented
from .validators import between

__all__ = ["Limits"]


@documented
@frozen(kw_only=True)
class Limits:
    """Deadlines in seconds and sizes in bytes. Raises `InvalidSettings` for invalid values."""

    connect: float = field(default=15.0, validator=between(0.01, 300))
    """Seconds to connect, including TLS."""
    stall: float = field(default=60.0, validator=between(0.01, 3600))
    """Seconds without any byte sent or received after which an attempt is abandoned."""
    call: float = field(default=90.0, validator=between(0.01, 3600))
    """Seconds for a call with all its retries, except uploads."""
    probe: float = field(default=20.0, validator=between(0.01, 3600))
    """Seconds for probing one clip before it is sent; a clip that takes longer counts as unchecked."""
    upload_rate: float = field(default=30_000.0, validator=between(1, 1e9))
    """Bytes per second that an upload or a download must reach on average. Its deadline is `call` plus size divided by
    this rate."""
    answer_bytes: int = field(default=8_000_000, validator=between(1_000, 1e9, integer=True))
    """The largest answer that is read, after decompression."""
    raw_data_bytes: int = field(default=64_000_000, validator=between(1_000, 1e9, integer=True))
    """The largest answer to a raw data request that is read, after decompression."""
    list_bytes: int = field(default=128_000_000, validator=between(1_000, 1e9, integer=True))
    """The largest list of analyses that is read, after decompression. An analysis takes about 150 to 300 bytes. The
    list must arrive and be read within `call`, or the timeout of its call."""
    media_bytes: int = field(default=200_000_000, validator=between(1_000, 1e12, integer=True))
    """The largest thumbnail or annotated video that is downloaded."""

    def transfer(self, size: int) -> float:
        """Seconds for `size` bytes: for a start with all its attempts, or for one attempt of a download."""
        return self.call + size / self.upload_rate
