"""Pictures of 8 × 8 squares as JPEG files: real ones, small, and drawn without a library for images.

A baseline JPEG stores each square of 8 × 8 pixels as its mean and 63 details. A picture whose squares have one color
each needs no details, and so no cosine transform.

Invariant: pure. Source of the format: ITU-T T.81.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["mosaic_jpeg"]

Color = tuple[int, int, int]  # luminance, blue difference, red difference; 0 to 255

_SQUARE = 8
_CHANNELS = 3
# The code of each size (in bits) of a difference between means: the table of T.81, K.3.1.
_SIZE_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110")
_END_OF_SQUARE = "0"  # the only code of the table for details


def mosaic_jpeg(rows: Sequence[Sequence[Color]]) -> bytes:
    """The picture with these squares: rows from top to bottom, each from left to right and of the same length."""
    height, width = _SQUARE * len(rows), _SQUARE * len(rows[0])
    frame = bytes([8, *height.to_bytes(2, "big"), *width.to_bytes(2, "big"), _CHANNELS])
    channels = range(1, _CHANNELS + 1)
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _segment(0xDB, bytes([0, *[_SQUARE] * 64])),  # a mean is stored in eighths, so this makes its unit 1
            _segment(0xC0, frame + b"".join(bytes([channel, 0x11, 0]) for channel in channels)),
            _segment(0xC4, bytes([0x00, 0, 1, 5, 1, 1, 1, *[0] * 10, *range(len(_SIZE_CODES))])),
            _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0])),
            _segment(0xDA, bytes([_CHANNELS, *(byte for each in channels for byte in (each, 0)), 0, 63, 0])),
            _packed("".join(_codes(rows))),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def _codes(rows: Sequence[Sequence[Color]]) -> Iterator[str]:
    """The bits of all squares: for each channel the difference to the last square's mean, and no details."""
    last = (128,) * _CHANNELS
    for color in (color for row in rows for color in row):
        for before, mean in zip(last, color, strict=True):
            yield _difference(mean - before) + _END_OF_SQUARE
        last = color


def _difference(value: int) -> str:
    size = abs(value).bit_length()
    return _SIZE_CODES[size] + (f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else "")


def _packed(bits: str) -> bytes:
    """The bits as bytes, the last one filled with ones; a zero byte follows each 0xFF, which would be a marker."""
    whole = bits + "1" * (-len(bits) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8, "big").replace(b"\xff", b"\xff\0")
