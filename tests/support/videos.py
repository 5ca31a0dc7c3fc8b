"""Small real videos for tests: a gray picture that becomes brighter, in any container."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import pytest

# Without PyAV every test file that imports this is skipped, and says why.
pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")

import av

from ochy_async.emulator.video_rendering import encode_pictures, rotate_track

Container = Literal["mp4", "mov", "avi", "webm", "matroska", "mpegts"]

CODECS: Final = {"webm": "libvpx"}
TICKS: Final = 600
"""Of a second, for times that are given."""


def video(
    container: Container = "mp4",
    size: tuple[int, int] = (192, 108),
    *,
    fps: int = 30,
    frames: int = 30,
    rotation: int = 0,
    times: Sequence[int] = (),
    faststart: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A video in memory. `times`, in 600ths of a second, replace regular ones.

    `rotation` is counted counterclockwise, as `preflight.facts` does, and in MP4 and MOV only.
    """

    def encode(file: io.BytesIO | str, options: dict[str, str]) -> None:
        time_base, pictures = Fraction(1, TICKS if times else fps), _pictures(times or range(frames), size)
        with av.open(file, "w", format=container, options=options) as output:
            output.metadata.update(metadata or {})
            encode_pictures(output, pictures, (CODECS.get(container, "mpeg4"), {}), size, Fraction(fps), time_base)

    if faststart:  # FFmpeg reads the file again after writing it, so this needs a disk
        with TemporaryDirectory() as folder:
            path = Path(folder, "video")
            encode(str(path), {"movflags": "faststart"})
            return path.read_bytes()
    file = io.BytesIO()
    encode(file, {})
    return rotate_track(file.getvalue(), 360 - rotation) if rotation else file.getvalue()


def _pictures(times: Sequence[int], size: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
    width, height = size
    return ((time, bytes([number * 8 % 256]) * (width * height)) for number, time in enumerate(times))


def sound() -> bytes:
    """An MP4 with sound and without a picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44_100)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=4_096)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate = 44_100
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()
