"""Size, SHA-256 and first bytes of an uploaded video, computed chunk by chunk.

Invariant: pure, and the memory used does not grow with the video.
"""

from __future__ import annotations

import hashlib

from .messages import UploadedVideo

__all__ = ["VideoHasher"]

HEAD_BYTES = 65_536


class VideoHasher:
    """Takes the chunks of a video and makes an `UploadedVideo` of them."""

    def __init__(self) -> None:
        self.size: int = 0
        """Bytes so far."""
        self._hash = hashlib.sha256()
        self._head = b""

    def update(self, chunk: bytes) -> None:
        """Adds the next bytes."""
        self.size += len(chunk)
        self._hash.update(chunk)
        self._head += bytes(chunk[: HEAD_BYTES - len(self._head)])

    def uploaded(self, filename: str) -> UploadedVideo:
        """The video of all bytes so far, under this name."""
        return UploadedVideo(filename, self.size, self._hash.hexdigest(), self._head)
