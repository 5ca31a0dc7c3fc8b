"""How long and how large anything may be.

Law of this room: everything that is waited for has a deadline, everything that is read has a cap.
"""

from __future__ import annotations

from attrs import field, frozen

from .checks import between

__all__ = ["Limits"]


@frozen(kw_only=True)
class Limits:
    """Deadlines in seconds and caps in bytes. Raises `InvalidSettings` for nonsense."""

    connect: float = field(default=15.0, validator=between(0.01, 300))
    """Seconds to connect, TLS included."""
    stall: float = field(default=60.0, validator=between(0.01, 3600))
    """Seconds without any progress (bytes taken or given) after which an attempt is given up."""
    call: float = field(default=90.0, validator=between(0.01, 3600))
    """Seconds for a whole call with all its retries, uploads apart."""
    upload_rate: float = field(default=30_000.0, validator=between(1, 1e9))
    """Bytes per second that an upload must reach on average: its deadline is `call` plus size by rate."""
    answer_bytes: int = field(default=8_000_000, validator=between(1_000, 1e9, whole=True))
    """The largest answer that is read, after decompression."""
    raw_data_bytes: int = field(default=64_000_000, validator=between(1_000, 1e9, whole=True))
    """The largest answer to a raw data request that is read, after decompression."""

    def upload(self, size: int) -> float:
        """Seconds for a whole start of `size` bytes with all its attempts."""
        return self.call + size / self.upload_rate
