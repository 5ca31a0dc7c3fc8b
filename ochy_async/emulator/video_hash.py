"""What the service keeps of a video: size, hash and a small head, taken chunk by chunk.

Invariant: pure, and its memory does not grow with the video.
"""

from __future__ import annotations

import hashlib

from .messages import UploadedVideo

__all__ = ["HEAD_BYTES", "VideoHasher"]

HEAD_BYTES = 65_536


class VideoHasher:
    """Takes the chunks of a video and leaves a `UploadedVideo`."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes so far."""
        self._hash = hashlib.sha256()
        self._head = b""

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        self.size += len(chunk)
        self._hash.update(chunk)
        self._head += bytes(chunk[: HEAD_BYTES - len(self._head)])

    def video(self, filename: str) -> UploadedVideo:
        """What has been fed, under this name."""
        return UploadedVideo(filename, self.size, self._hash.hexdigest(), self._head)
