"""What looks like chance in the emulator: numbers drawn from hashes, the same in every run.

Invariant: pure, and nothing is drawn from anything but the arguments. Each draw has a name rather than a place
in a row, so that a new one leaves all others as they were.
"""

from __future__ import annotations

import hashlib

__all__ = ["bounded_normal", "digest", "seeded_uuid", "uniform"]


def digest(*parts: object) -> bytes:
    """32 bytes that depend on all `parts` and on their order; bytes are taken as they are."""
    told = (part if isinstance(part, bytes) else str(part).encode() for part in parts)
    return hashlib.sha256(b"\x00".join(told)).digest()


def uniform(*parts: object) -> float:
    """A number from 0 up to but not including 1."""
    return _share(digest(*parts), 0)


def bounded_normal(*parts: object) -> float:
    """Bell-shaped about 0 with deviation 1, and never beyond 3: the sum of three even draws."""
    drawn = digest(*parts)
    return 2 * sum(_share(drawn, at) for at in (0, 6, 12)) - 3


def seeded_uuid(*parts: object) -> str:
    """An id that looks like a random UUID (version 4)."""
    text = digest(*parts).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def _share(drawn: bytes, at: int) -> float:
    return int.from_bytes(drawn[at : at + 6]) / 2**48
