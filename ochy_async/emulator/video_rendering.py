"""Renders small videos of a simulated runner, for demos and tests. Needs PyAV (extra `video`).

Simulated results from the built-in emulator. Do not base health or training decisions on them.

Invariant: the file has exactly the properties that were requested, and shows the runner that the emulated service
measures.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from importlib import import_module
from typing import Any, Final, Literal, get_args

from .biomechanics.camera import film_runner
from .biomechanics.runner import runner_of
from .sample_clips import Container

__all__ = ["CODECS", "encode_pictures", "render_video", "rotate_track"]

View = Literal["side_view", "back_view"]
Codec = tuple[str, Mapping[str, str]]
"""FFmpeg's names of a codec and its options."""
Picture = tuple[int, bytes]
"""The time in ticks of the time base, and the brightness of the pixels, row by row."""

INSTALL: Final = "Rendering videos needs PyAV, which is not installed. Install it with: pip install 'ochy-async[video]'"
CODECS: Final[Mapping[Container, Codec]] = {
    "mp4": ("libx264", {"preset": "ultrafast", "crf": "30", "threads": "1"}),
    "mov": ("libx264", {"preset": "ultrafast", "crf": "30", "threads": "1"}),
    "avi": ("mpeg4", {"threads": "1"}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "threads": "1"}),
}
TICKS: Final = 24_000
"""Of a second: a multiple of 24, 25, 30, 48, 50, 60, 120 and 240."""
BONES: Final[Sequence[tuple[str, str]]] = (
    *((f"{side}_{upper}", f"{side}_{lower}") for side in ("left", "right") for upper, lower in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"),
        ("ankle", "heel"), ("heel", "foot_index"), ("ankle", "foot_index"),
    )),
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("nose", "left_shoulder"), ("nose", "right_shoulder"),
)  # fmt: skip
SKY, FIELD, STRIPE, BODY = 200, 110, 60, 16
"""Brightness."""


def render_video(
    seed: int,
    *,
    container: Container = "mp4",
    view: View = "side_view",
    width: int = 320,
    height: int = 180,
    fps: float = 30,
    seconds: float = 2.0,
    rotation: Literal[0, 90, 180, 270] = 0,
    variable_rate: bool = False,
    truncate_to: float = 1.0,
) -> bytes:
    """A video of a runner: `seconds` of `fps` pictures of `width` x `height` pixels as stored in the file.

    `rotation` (MP4 and MOV only) is the number of degrees CLOCKWISE by which players rotate the stored picture: a phone
    held upright stores landscape and 90. FFmpeg, and with it the preflight of this package, counts the same rotation
    counterclockwise. `variable_rate` makes every fifth picture late. `truncate_to` is the share of the file that is
    returned, as if a copy had been interrupted. Raises `ModuleNotFoundError` without PyAV.
    """
    _check(container, width, height, fps, seconds, rotation, truncate_to)
    rate, file = Fraction(fps).limit_denominator(1000), io.BytesIO()
    # AVI has no times, only a frame rate.
    time_base = 1 / rate if container == "avi" else Fraction(1, TICKS)
    pictures = (
        (number if container == "avi" else _time(number, fps, late=variable_rate and number % 5 == 4), picture)
        for number, picture in enumerate(_pictures(seed, view, width, height, fps, seconds))
    )
    with _pyav().open(file, "w", format=container) as output:
        encode_pictures(output, pictures, CODECS[container], (width, height), rate, time_base)
    content = rotate_track(file.getvalue(), rotation) if rotation else file.getvalue()
    return content[: max(1, round(len(content) * truncate_to))]


def _check(
    container: str, width: int, height: int, fps: float, seconds: float, rotation: int, truncate_to: float
) -> None:
    if container not in get_args(Container):
        raise ValueError(f"container: must be one of {', '.join(get_args(Container))}, not {container!r}")
    if not (16 <= width <= 4096 and 16 <= height <= 4096 and width % 2 == height % 2 == 0):
        raise ValueError(f"width, height: must be even and 16 to 4096, not {width} x {height}")
    if not (1 <= fps <= 240 and 0 < seconds <= 60 and 0 < truncate_to <= 1):
        raise ValueError("fps: 1 to 240; seconds: above 0, at most 60; truncate_to: above 0, at most 1")
    if rotation not in (0, 90, 180, 270) or (rotation and container not in ("mp4", "mov")):
        raise ValueError(f"rotation: 0, 90, 180 or 270, and only in MP4 and MOV, not {rotation} in {container}")


def _time(number: int, fps: float, *, late: bool) -> int:
    return round((number + 0.8 * late) * TICKS / fps)


# --- pictures -----------------------------------------------------------------------------------


def _pictures(seed: int, view: str, width: int, height: int, fps: float, seconds: float) -> Iterator[bytes]:
    """The brightness of the pixels of each picture, row by row."""
    runner = runner_of(sha256(f"film {seed}".encode()).digest(), height=1.75, weight=70, pace=None)
    frames = film_runner(runner, view=view, fps=fps, seconds=seconds, width=width, height=height)
    thickness = max(1, height // 90)
    for number, landmarks in enumerate(frames):
        picture = _background(width, height, number * width // 40)
        for start, end in BONES:
            _draw_line(picture, width, height, landmarks[start], landmarks[end], thickness)
        yield bytes(picture)


def _background(width: int, height: int, shift: int) -> bytearray:
    """Sky, and a field with stripes shifted by some pixels."""
    ground = height * 9 // 10
    stripe, field = bytes([STRIPE]) * (width // 16), bytes([FIELD]) * (width // 16)
    row = (stripe + field) * 20
    first = shift % len(stripe + field)
    return bytearray(bytes([SKY]) * (width * ground) + row[first : first + width] * (height - ground))


def _draw_line(
    picture: bytearray, width: int, height: int, start: Mapping[str, float], end: Mapping[str, float], thickness: int
) -> None:
    across, down = end["x"] - start["x"], end["y"] - start["y"]
    steps = max(1, int(max(abs(across), abs(down))))
    pixels = bytes([BODY]) * (2 * thickness + 1)
    for step in range(steps + 1):
        x, y = int(start["x"] + across * step / steps) - thickness, int(start["y"] + down * step / steps)
        if 0 <= x < width - len(pixels):
            for row in range(max(0, y - thickness), min(height, y + thickness + 1)):
                picture[row * width + x : row * width + x + len(pixels)] = pixels


# --- files --------------------------------------------------------------------------------------


def _pyav() -> Any:
    try:
        return import_module("av")
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(INSTALL, name=missing.name) from None


def encode_pictures(
    output: Any, pictures: Iterable[Picture], codec: Codec, size: tuple[int, int], rate: Fraction, time_base: Fraction
) -> None:
    """Encodes gray pictures into an open container of PyAV."""
    name, options = codec
    stream = output.add_stream(name, rate=rate, options=dict(options))
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.time_base = time_base
    for time, picture in pictures:
        frame = _pyav().VideoFrame(*size, "yuv420p")
        _fill(frame.planes[0], picture, size[0])
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = time, time_base
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _fill(plane: Any, rows: bytes, width: int) -> None:
    """Copies rows to a plane, whose own rows may be longer."""
    padding = bytes(plane.line_size - width)
    padded = (
        b"".join(rows[first : first + width] + padding for first in range(0, len(rows), width)) if padding else rows
    )
    plane.update(padded.ljust(plane.buffer_size, b"\0"))


_MATRICES: Final[Mapping[int, tuple[int, int, int, int]]] = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""The upper left of a track's matrix, row by row."""
_TO_MATRIX: Final = 44
"""Bytes from the name of a track's header (version 0) to its matrix."""


def rotate_track(content: bytes, rotation: int) -> bytes:
    """The same MP4 or MOV, which players rotate by 90, 180 or 270 degrees clockwise (by the matrix of its track)."""
    at = content.index(b"tkhd") + _TO_MATRIX
    a, b, c, d = (value * 0x10000 for value in _MATRICES[rotation])
    matrix = array("i", (a, b, 0, c, d, 0, 0, 0, 0x40000000))
    matrix.byteswap()
    return content[:at] + matrix.tobytes() + content[at + len(matrix) * 4 :]
