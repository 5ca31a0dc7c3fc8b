"""Small real videos, drawn in a moment: a grey picture that changes, in any container."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import av
import av.video
import numpy as np

Container = Literal["mp4", "mov", "avi", "webm", "matroska", "mpegts"]

CODECS: Final = {"webm": "libvpx", "matroska": "mpeg4"}
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
) -> bytes:
    """A video in memory; `times` in 600ths of a second take the place of even ones."""
    if faststart:  # FFmpeg reads again what it wrote, so this needs a disk
        with TemporaryDirectory() as folder:
            path = Path(folder, "film")
            _draw(path, {"movflags": "faststart"}, container, size, fps, range(frames), rotation)
            return path.read_bytes()
    file = io.BytesIO()
    _draw(file, {}, container, size, fps, times or range(frames), rotation, TICKS if times else None)
    return file.getvalue()


def _draw(
    file: io.BytesIO | Path,
    options: dict[str, str],
    container: Container,
    size: tuple[int, int],
    fps: int,
    times: Sequence[int],
    rotation: int,
    ticks: int | None = None,
) -> None:
    base = Fraction(1, ticks or fps)
    with av.open(file, "w", format=container, options=options) as film:
        stream = film.add_stream(CODECS.get(container, "mpeg4"), rate=fps)
        assert isinstance(stream, av.video.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            picture = np.full((size[1], size[0], 3), number * 8 % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, base
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def sound() -> bytes:
    """An MP4 without any picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        stream = film.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return file.getvalue()
