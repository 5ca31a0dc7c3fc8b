"""The limits that the vendor documents for videos. Where a unit is ambiguous, the smaller one is used."""

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
"""30 MB (documented). Whether MB or MiB is not documented, so the smaller one."""
MAX_SECONDS: Final = 10.0
"""Documented."""
LENGTH_TOLERANCE: Final = 0.25
"""Seconds. Cameras and containers round, so a clip that was cut at 10 s is rarely exactly as long."""
MAX_SHORT_SIDE: Final = 1080
"""Pixels of the short side (inferred: the vendor documents "max 1080p height", and portrait clips of 1080x1920)."""
MIN_FPS: Final = 30.0
"""The documented minimum; 60 is recommended."""
MIN_ACCEPTED_FPS: Final = 29.5
"""Still accepted as 30: the 29.97 of television, and a camera that dropped a picture."""
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
