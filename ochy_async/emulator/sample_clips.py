"""Bytes that look like a video to whoever reads only the first of them, for demos and tests.

Invariant: pure. The same arguments give the same bytes, and another seed gives another content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import shake_128
from typing import Literal, get_args

__all__ = ["Container", "sample_clip"]

Container = Literal["mp4", "mov", "avi", "webm"]

SMALLEST = 64
LARGEST = 100_000_000


def sample_clip(seed: int, *, container: Container = "mp4", size: int = 200_000) -> bytes:
    """`size` bytes (64 to 100,000,000) that begin like a this container; the rest is noise.

    They are not a video: nothing can decode them, and they have neither length nor picture size. The emulated service
    accepts them, since it reads only headers and names; the real one would charge a credit. Use
    `video_rendering.render_video` for real videos.
    """
    if container not in get_args(Container):
        raise ValueError(f"container: must be one of {', '.join(get_args(Container))}, not {container!r}")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size: {SMALLEST} to {LARGEST} bytes, not {size}")
    return _CONTAINERS[container](lambda length: shake_128(f"{container} {seed}".encode()).digest(length), size)


Noise = Callable[[int], bytes]


def _boxes(brand: bytes, noise: Noise, size: int) -> bytes:
    kind = b"ftyp" + brand + (512).to_bytes(4, "big") + brand
    head = (4 + len(kind)).to_bytes(4, "big") + kind
    left = size - len(head)
    return head + left.to_bytes(4, "big") + b"mdat" + noise(left - 8)


def _avi(noise: Noise, size: int) -> bytes:
    # RIFF is little-endian and pads to even lengths, so an odd size has one byte after the end.
    inner = (size - 20) // 2 * 2
    head = b"RIFF" + (12 + inner).to_bytes(4, "little") + b"AVI JUNK" + inner.to_bytes(4, "little")
    return head + noise(size - len(head))


def _webm(noise: Noise, size: int) -> bytes:
    header = bytes.fromhex("42868101 42f78101 42f28104 42f38108") + bytes.fromhex("4282 84") + b"webm"
    head = bytes.fromhex("1a45dfa3") + (0x80 | len(header)).to_bytes(1, "big") + header
    # A segment of known size, its length in eight bytes, filled by one void element.
    left = size - len(head) - 12
    segment = bytes.fromhex("18538067") + (1 << 56 | left).to_bytes(8, "big")
    return head + segment + b"\xec" + (1 << 56 | left - 9).to_bytes(8, "big") + noise(left - 9)


_CONTAINERS: Mapping[Container, Callable[[Noise, int], bytes]] = {
    "mp4": partial(_boxes, b"isom"),
    "mov": partial(_boxes, b"qt  "),
    "avi": _avi,
    "webm": _webm,
}
