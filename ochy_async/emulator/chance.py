"""What looks like chance in the emulator: numbers drawn from hashes, the same in every run.

Law of this room: pure, and nothing is drawn from anything but the arguments.
"""

from __future__ import annotations

import hashlib

__all__ = ["digest", "share", "uuid_like"]


def digest(*parts: object) -> bytes:
    """32 bytes that depend on all `parts` and on their order."""
    return hashlib.sha256("\x00".join(map(str, parts)).encode()).digest()


def share(*parts: object) -> float:
    """A number from 0 up to but not including 1."""
    return int.from_bytes(digest(*parts)[:6], "big") / 2**48


def uuid_like(*parts: object) -> str:
    """An id that looks like a random UUID (version 4)."""
    text = digest(*parts).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"
