"""Video containers, recognized by the signature at the beginning of a file."""

from __future__ import annotations

from typing import Final

__all__ = ["SIGNATURE_BYTES", "container_of"]

SIGNATURE_BYTES: Final = 64
"""How many bytes from the beginning of a file are enough to recognize its container."""

_QUICKTIME_BOXES: Final = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""The first boxes of QuickTime files that are older than the `ftyp` box."""


def container_of(head: bytes) -> str:
    """`mp4`, `mov`, `avi`, `webm` or `matroska` for a file that begins with `head`; an empty text for any other."""
    if head[4:8] == b"ftyp":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head[4:8] in _QUICKTIME_BOXES:
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska" if b"matroska" in head[:SIGNATURE_BYTES] else "webm"
    return ""
