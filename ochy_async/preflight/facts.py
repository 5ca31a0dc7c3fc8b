"""The facts of a clip that can be known before it is sent.

Invariant: an unknown fact is None and never a guess. Every fact was read from the file itself.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["ClipFacts"]


@frozen(kw_only=True)
class ClipFacts:
    """The facts of one clip. `readable`, `video` and `decodable` say how far the content could be read."""

    name: str
    """The name that is sent, with the extension by which the server recognizes the type."""
    size: int
    """Bytes."""
    container: str | None = None
    """`mp4`, `mov`, `avi`, `webm` or `matroska`, by its signature; an empty text for any other content."""
    readable: bool | None = None
    """Whether the container could be opened."""
    video: bool | None = None
    """Whether there is a video in it."""
    decodable: bool | None = None
    """Whether a picture could be decoded."""
    codec: str | None = None
    """FFmpeg's name, such as `h264`."""
    seconds: float | None = None
    """The duration of the video."""
    width: int | None = None
    """Pixels as displayed: after rotation, and with square pixels."""
    height: int | None = None
    """Pixels as displayed: after rotation, and with square pixels."""
    rotation: int | None = None
    """Degrees by which players rotate the picture: 0, 90, 180 or 270."""
    fps: float | None = None
    """Pictures per second, on average."""
    varying: bool | None = None
    """Whether the time between pictures varies by more than rounding."""
    frames: int | None = None
    """Number of pictures."""
    cut_short: bool | None = None
    """Whether the file ends before the end that its header announces."""
    unread: str = ""
    """Why the content could not be read, and what to do about it; empty if it was read."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The facts that a complete check needs and that are unknown, in words."""
        known = {
            "length": self.seconds,
            "picture size": self.width and self.height,
            "frame rate": self.fps,
            "whether a picture can be decoded": self.decodable,
        }
        return tuple(name for name, value in known.items() if value is None)
