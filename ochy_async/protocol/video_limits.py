"""What the vendor takes: size, length, file types.

Law of this room: hard limits are the documented ones, and where a unit is open the smaller is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import ClipUnusable, Problem

__all__ = ["CONTENT_TYPES", "MAX_BYTES", "check_clip"]

MAX_BYTES: Final = 30_000_000
"""30 MB (documented); MB or MiB is open, so the smaller."""
CONTENT_TYPES: Final = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".webm": "video/webm",
}
"""The documented extensions, with their registered media types."""


def check_clip(name: str, size: int) -> None:
    """Refuses what the vendor documents as refused. Raises `ClipUnusable` with all problems at once."""
    problems = tuple(_problems(name, size))
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ClipUnusable(f"The clip cannot be analysed; nothing was sent or charged.{lines}", problems=problems)


def extension(name: str) -> str:
    """The lower-case extension of a file name, with its dot, or an empty text."""
    stem, dot, last = name.rpartition(".")
    return f".{last.lower()}" if dot and stem else ""


def _problems(name: str, size: int) -> Iterator[Problem]:
    if extension(name) not in CONTENT_TYPES:
        wanted = ", ".join(CONTENT_TYPES)
        yield Problem("name", f"must end in one of {wanted}: the server judges the type by the extension")
    if size <= 0:
        yield Problem("size", "the clip is empty")
    if size > MAX_BYTES:
        yield Problem(
            "size", f"{size:,} bytes are more than the {MAX_BYTES:,} that the server takes; cut or compress it"
        )
