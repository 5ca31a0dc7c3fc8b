"""Video containers, told by the signature at the beginning of a file.

Invariant: the containers of the documented file types, Matroska, and nothing else.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD", "container_of"]

HEAD: Final = 64
"""Bytes of a file that are enough to tell its container."""

_BOXES: Final = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""What QuickTime files begin with that have no `ftyp`: it came later."""


def container_of(head: bytes) -> str:
    """The container whose signature `head`, the first bytes of a file, bears; an empty text for none that we know."""
    if head[4:8] == b"ftyp":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head[4:8] in _BOXES:
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska" if b"matroska" in head[:HEAD] else "webm"
    return ""
