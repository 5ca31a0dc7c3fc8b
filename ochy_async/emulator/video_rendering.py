"""Small films of a made-up runner, for demos and tests: real containers, real pictures, real clocks.

Invariant: what is asked for is what the file says. PyAV (extra `video`) is loaded when a film is
made; the pictures come from the same runner that the emulated service measures.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, Literal, get_args

from .biomechanics.camera import raw_data
from .biomechanics.runner import runner_of

__all__ = ["Kind", "render_video"]

Kind = Literal["mp4", "mov", "avi", "webm"]
View = Literal["side_view", "back_view"]

INSTALL: Final = "Films need PyAV, which is not installed. Install it with: pip install 'ochy-async[video]'"
CODECS: Final[Mapping[Kind, tuple[str, Mapping[str, str]]]] = {
    "mp4": ("libx264", {"preset": "ultrafast", "crf": "30", "threads": "1"}),
    "mov": ("libx264", {"preset": "ultrafast", "crf": "30", "threads": "1"}),
    "avi": ("mpeg4", {"threads": "1"}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "threads": "1"}),
}
TICKS: Final = 24_000
"""Of a second: 24, 25, 30, 48, 50, 60, 120 and 240 pictures a second all fit."""
BONES: Final[Sequence[tuple[str, str]]] = (
    *((f"{side}_{upper}", f"{side}_{lower}") for side in ("left", "right") for upper, lower in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"),
        ("ankle", "heel"), ("heel", "foot_index"), ("ankle", "foot_index"),
    )),
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("nose", "left_shoulder"), ("nose", "right_shoulder"),
)  # fmt: skip
SKY, FIELD, LINE, BODY = 200, 110, 60, 16
"""Brightness."""


def render_video(
    seed: int,
    *,
    kind: Kind = "mp4",
    view: View = "side_view",
    width: int = 320,
    height: int = 180,
    fps: float = 30,
    seconds: float = 2.0,
    rotation: Literal[0, 90, 180, 270] = 0,
    varying: bool = False,
    keep: float = 1.0,
) -> bytes:
    """A film of a runner: `seconds` of `fps` pictures of `width` x `height` pixels, as they are stored.

    `rotation` (MP4 and MOV only) is by how many degrees players turn the picture clockwise; a phone held
    upright stores landscape and says 90. `varying` makes every fifth picture come late; `keep` is the share of the
    file that is there, as if copying had been broken off. Raises `ModuleNotFoundError` without PyAV.
    """
    _check(kind, width, height, fps, seconds, rotation, keep)
    content = _muxed(_frames(seed, view, width, height, fps, seconds), kind, width, height, fps, varying)
    if rotation:
        content = rotate_track(content, rotation)
    return content[: max(1, round(len(content) * keep))]


def _check(kind: str, width: int, height: int, fps: float, seconds: float, rotation: int, keep: float) -> None:
    if kind not in get_args(Kind):
        raise ValueError(f"kind: one of {', '.join(get_args(Kind))}, not {kind!r}")
    if not (16 <= width <= 4096 and 16 <= height <= 4096 and width % 2 == height % 2 == 0):
        raise ValueError(f"width, height: even, from 16 to 4096, not {width} x {height}")
    if not (1 <= fps <= 240 and 0 < seconds <= 60 and 0 < keep <= 1):
        raise ValueError("fps: 1 to 240; seconds: above 0 to 60; keep: above 0 to 1")
    if rotation not in (0, 90, 180, 270) or (rotation and kind not in ("mp4", "mov")):
        raise ValueError(f"rotation: 0, 90, 180 or 270, and of MP4 and MOV only, not {rotation} of {kind}")


# --- pictures -----------------------------------------------------------------------------------


def _frames(seed: int, view: str, width: int, height: int, fps: float, seconds: float) -> Iterator[bytearray]:
    """The brightness of each picture, row by row."""
    who = runner_of(sha256(f"film {seed}".encode()).digest(), height=1.75, weight=70, pace=None)
    told = raw_data(who, view=view, frames_per_second=fps, seconds=seconds, width=width, height=height)
    thick = max(1, height // 90)
    for number, points in enumerate(told["frames"].values()):
        picture = _scene(width, height, number * width // 40)
        for start, end in BONES:
            _line(picture, width, height, points[start], points[end], thick)
        yield picture


def _scene(width: int, height: int, moved: int) -> bytearray:
    """Sky, and a field with stripes that pass by."""
    ground = height * 9 // 10
    stripe, field = bytes([LINE]) * (width // 16), bytes([FIELD]) * (width // 16)
    row = (stripe + field) * 20
    first = moved % len(stripe + field)
    return bytearray(bytes([SKY]) * (width * ground) + row[first : first + width] * (height - ground))


def _line(
    picture: bytearray, width: int, height: int, start: Mapping[str, float], end: Mapping[str, float], thick: int
) -> None:
    across, down = end["x"] - start["x"], end["y"] - start["y"]
    steps = max(1, int(max(abs(across), abs(down))))
    ink = bytes([BODY]) * (2 * thick + 1)
    for step in range(steps + 1):
        x, y = int(start["x"] + across * step / steps) - thick, int(start["y"] + down * step / steps)
        if 0 <= x < width - len(ink):
            for row in range(max(0, y - thick), min(height, y + thick + 1)):
                picture[row * width + x : row * width + x + len(ink)] = ink


# --- files --------------------------------------------------------------------------------------


def _muxed(pictures: Iterator[bytearray], kind: Kind, width: int, height: int, fps: float, varying: bool) -> bytes:
    try:
        import av
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(INSTALL, name=missing.name) from None
    codec, options = CODECS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as out:
        stream: Any = out.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=dict(options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if kind != "avi":  # AVI knows one clock only: that of its pictures
            stream.codec_context.time_base = Fraction(1, TICKS)
        for number, picture in enumerate(pictures):
            frame = _frame(av, picture, width, height)
            late = varying and number % 5 == 4
            frame.pts, frame.time_base = _time(number, fps, late, kind)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def _time(number: int, fps: float, late: bool, kind: Kind) -> tuple[int, Fraction]:
    if kind == "avi":
        return number, 1 / Fraction(fps).limit_denominator(1000)
    return round((number + 0.8 * late) * TICKS / fps), Fraction(1, TICKS)


def _frame(av: Any, picture: bytearray, width: int, height: int) -> Any:
    frame = av.VideoFrame(width, height, "yuv420p")
    _fill(frame.planes[0], bytes(picture), width)
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def _fill(plane: Any, rows: bytes, width: int) -> None:
    """Rows of a plane may be longer than those of the picture."""
    if plane.line_size == width:
        plane.update(rows.ljust(plane.buffer_size, b"\0"))
        return
    rest = bytes(plane.line_size - width)
    padded = b"".join(rows[first : first + width] + rest for first in range(0, len(rows), width))
    plane.update(padded.ljust(plane.buffer_size, b"\0"))


_TURNS: Final[Mapping[int, tuple[int, int, int, int]]] = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""The upper left of a track's matrix, row by row."""
_TO_MATRIX: Final = 44
"""Bytes from the name of a track's header (version 0) to its matrix."""


def rotate_track(content: bytes, rotation: int) -> bytes:
    """The same MP4 or MOV with its track's matrix turned by 90, 180 or 270 degrees clockwise, which players obey."""
    at = content.index(b"tkhd") + _TO_MATRIX
    a, b, c, d = (value * 0x10000 for value in _TURNS[rotation])
    matrix = array("i", (a, b, 0, c, d, 0, 0, 0, 0x40000000))
    matrix.byteswap()
    return content[:at] + matrix.tobytes() + content[at + len(matrix) * 4 :]
