"""What the vendor takes: size, length, file types, pictures.

Invariant: hard limits are the documented ones, and where a unit is open the smaller is meant.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CONTENT_TYPES",
    "LENGTH_TOLERANCE",
    "MAX_BYTES",
    "MAX_SECONDS",
    "MAX_SHORT_SIDE",
    "MIN_ACCEPTED_FPS",
    "MIN_FPS",
    "extension",
]

MAX_BYTES: Final = 30_000_000
"""30 MB (documented); MB or MiB is open, so the smaller."""
MAX_SECONDS: Final = 10.0
"""Documented."""
LENGTH_TOLERANCE: Final = 0.25
"""Seconds that are let pass: cameras and containers round, and a clip that was cut at 10 s is seldom exactly that."""
MAX_SHORT_SIDE: Final = 1080
"""Pixels. Documented as "max 1080p height" while portrait clips are 1080x1920; so read as the short side."""
MIN_FPS: Final = 30.0
"""Documented as the least; 60 is recommended."""
MIN_ACCEPTED_FPS: Final = 29.5
"""What is still called 30: television's 29.97, and a camera that dropped a picture."""
CONTENT_TYPES: Final = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".webm": "video/webm",
}
"""The documented extensions, with their registered media types."""


def extension(name: str) -> str:
    """The lower-case extension of a file name, with its dot, or an empty text."""
    stem, dot, last = name.rpartition(".")
    return f".{last.lower()}" if dot and stem else ""
