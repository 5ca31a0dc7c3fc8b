"""Reproducible random numbers for the emulator: hashes of their arguments, the same in every run.

Invariant: pure. Every draw has a name instead of a position in a sequence, so that a new draw leaves all others as
they were.
"""

from __future__ import annotations

import hashlib

__all__ = ["bounded_normal", "digest", "seeded_uuid", "uniform"]


def digest(*parts: object) -> bytes:
    """32 bytes that depend on all `parts` and their order; bytes are hashed as they are, anything else as text."""
    encoded = (part if isinstance(part, bytes) else str(part).encode() for part in parts)
    return hashlib.sha256(b"\x00".join(encoded)).digest()


def uniform(*parts: object) -> float:
    """A number from 0 up to but not including 1."""
    return _fraction(digest(*parts), 0)


def bounded_normal(*parts: object) -> float:
    """A nearly normal number: mean 0, standard deviation 1, between -3 and 3. It is the sum of three uniform ones."""
    drawn = digest(*parts)
    return 2 * sum(_fraction(drawn, at) for at in (0, 6, 12)) - 3


def seeded_uuid(*parts: object) -> str:
    """An id that looks like a random UUID (version 4)."""
    text = digest(*parts).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def _fraction(drawn: bytes, at: int) -> float:
    return int.from_bytes(drawn[at : at + 6]) / 2**48
