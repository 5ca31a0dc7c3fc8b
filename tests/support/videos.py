"""Small real videos, drawn in a moment: a gray picture that changes, in any container."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import pytest

# Whoever draws videos needs both: without them the whole file of tests is skipped, and says why.
pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")
pytest.importorskip("numpy", reason="needs NumPy, of the extra dev, to draw videos")

import av
import av.video
import numpy as np

from ochy_async.emulator.video_rendering import rotate_track

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
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A video in memory; `times` in 600ths of a second take the place of even ones."""
    if faststart:  # FFmpeg reads again what it wrote, so this needs a disk
        with TemporaryDirectory() as folder:
            path = Path(folder, "film")
            _draw(path, {"movflags": "faststart"}, container, size, fps, range(frames))
            return path.read_bytes()
    file = io.BytesIO()
    _draw(file, {}, container, size, fps, times or range(frames), TICKS if times else None, metadata or {})
    return rotate_track(file.getvalue(), 360 - rotation) if rotation else file.getvalue()


def _draw(
    file: io.BytesIO | Path,
    options: dict[str, str],
    container: Container,
    size: tuple[int, int],
    fps: int,
    times: Sequence[int],
    ticks: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    base = Fraction(1, ticks or fps)
    with av.open(file, "w", format=container, options=options) as film:
        film.metadata.update(metadata or {})
        stream = film.add_stream(CODECS.get(container, "mpeg4"), rate=fps)
        assert isinstance(stream, av.video.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = base
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
