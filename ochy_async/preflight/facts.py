"""What can be known of a clip before it is sent, as one frozen value.

Invariant: unknown is None, never a guess. Whatever is known was read from the file itself, and no
more of its content than that stays here.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["ClipFacts"]


@frozen(kw_only=True)
class ClipFacts:
    """A clip as it is. `readable`, `video` and `decodable` tell how far a look at the content got."""

    name: str
    """The name that is sent, with the extension by which the server judges the type."""
    size: int
    """Bytes."""
    container: str | None = None
    """`mp4`, `mov`, `avi`, `webm` or `matroska` by its signature; an empty text where it is none of these."""
    readable: bool | None = None
    """Whether the container could be opened."""
    video: bool | None = None
    """Whether there is a video in it."""
    decodable: bool | None = None
    """Whether a picture could be decoded."""
    codec: str | None = None
    """As FFmpeg calls it, such as `h264`."""
    seconds: float | None = None
    """How long the video is."""
    width: int | None = None
    """Pixels as it is shown: after rotation, and with square pixels."""
    height: int | None = None
    """Pixels as it is shown: after rotation, and with square pixels."""
    rotation: int | None = None
    """Degrees by which players turn the picture: 0, 90, 180 or 270."""
    fps: float | None = None
    """Pictures per second, on average."""
    varying: bool | None = None
    """Whether the time between pictures varies by more than rounding."""
    frames: int | None = None
    """Pictures."""
    cut_short: bool | None = None
    """Whether the file ends before what it announces."""
    unread: str = ""
    """Why the content was not looked into, and what to do about it; empty where it was."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known and should be, in words."""
        known = {
            "length": self.seconds,
            "picture size": self.width and self.height,
            "frame rate": self.fps,
            "whether a picture can be decoded": self.decodable,
        }
        return tuple(name for name, value in known.items() if value is None)
