"""Reads many frames of raw data at once when they differ only in numbers.

Most recordings write every frame in the same way, and reading fifteen such frames with one call of orjson is several
times faster than reading them one by one. A frame that differs in anything else is left to the reader of single frames.

How: a frame without the characters of numbers is its skeleton. Frames with equal skeletons differ only in numbers,
unless such a character occurs where no number belongs. Therefore everything between keys and values becomes a space,
all other characters are removed, and a misplaced character becomes a second number without a comma before it, which is
not JSON. What remains is one flat list of numbers.

Invariant: a block is read only if the reader of single frames would find the same numbers in it and nothing to note.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from attrs import frozen

__all__ = ["FRAMES_PER_BLOCK", "FrameBlock", "FrameTemplate"]

FRAMES_PER_BLOCK: Final = 15
"""A tenth of a millisecond of work for 33 landmarks."""

_SPACE: Final = b" \t\r\n"
_SMALL: Final = (b"e-", b"\1-")
"""Distinguishes the `e` of a number such as 1.5e-05 from the letters of names. JSON never contains the other byte."""
_NUMERIC: Final = b"0123456789.+-\1"
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
_NAME: Final = re.compile(f"[{_LETTERS.decode()}]+")
_NEXT: Final = re.compile(rb'([ \t\r\n]*,[ \t\r\n]*)"-?[0-9]{1,15}"([ \t\r\n]*:[ \t\r\n]*)')
"""From the end of a frame to the beginning of the next one."""
_TO_SPACES: Final = bytes.maketrans(b":}\1", b"  e")
_REMOVED: Final = _LETTERS + b'"{'


@frozen(repr=False)
class FrameBlock:
    """Consecutive frames."""

    numbers: Sequence[int]
    """The frame numbers."""
    values: array[float]
    """Frame after frame, landmark after landmark, coordinate after coordinate."""
    end: int
    """The offset in the body at which the last frame ends."""


@frozen(repr=False)
class FrameTemplate:
    """How the frames of one recording are written."""

    skeleton: bytes
    """A frame without its numbers and its tail."""
    tail: bytes
    """What follows the last number of a frame."""
    between: re.Pattern[bytes]
    """From the last number of a frame to the beginning of the next frame; its group is the frame number."""
    fixed: int
    """The length of that text without the frame number."""
    reach: int
    """How many bytes are certain to hold a block."""

    @classmethod
    def of(
        cls, body: bytes, start: int, end: int, names: Iterable[str], coordinates: Iterable[str]
    ) -> FrameTemplate | None:
        """The template of the frame from `start` to `end`; None unless each name has exactly these coordinates.

        Names of other characters than letters have no template, because a digit could be taken for a number.
        """
        names, coordinates = list(names), list(coordinates)
        following = _NEXT.match(body, end)
        frame = body[start:end]
        skeleton = frame.replace(*_SMALL).translate(None, _NUMERIC)
        if following is None or not all(map(_NAME.fullmatch, (*names, *coordinates))):
            return None
        point = ",".join(f'"{coordinate}":' for coordinate in coordinates)
        if skeleton.translate(None, _SPACE).decode() != "{" + ",".join(f'"{name}":{{{point}}}' for name in names) + "}":
            return None
        tail = frame[len(frame.rstrip(_SPACE + b"}")) :]
        before, after = tail + following[1], following[2]
        return cls(
            skeleton.removesuffix(tail),
            tail,
            re.compile(re.escape(before) + rb'"(-?[0-9]{1,15})"' + re.escape(after)),
            len(before + b'""' + after),
            (following.end() - start) * (FRAMES_PER_BLOCK + 1),
        )

    def block(self, body: bytes, at: int) -> FrameBlock | None:
        """The frames after the one that ends at `at`; None if they are the last ones or are written differently."""
        start = at - len(self.tail)
        text = body[start : start + self.reach]
        before, *pieces = self.between.split(text, FRAMES_PER_BLOCK + 1)
        numbers, frames = pieces[:-2:2], pieces[1:-1:2]
        if before or not frames:
            return None
        values = self._values(frames)
        if values is None:
            return None
        end = start + len(text) - len(pieces[-1]) - len(pieces[-2]) - self.fixed + len(self.tail)
        return FrameBlock(list(map(int, numbers)), values, end)

    def _values(self, frames: Sequence[bytes]) -> array[float] | None:
        joined = b",".join(frames)
        if b"\1" in joined:
            return None
        skeletons = b",".join([self.skeleton] * len(frames))
        return _numbers(joined, skeletons) or _numbers(joined.replace(*_SMALL), skeletons)


def _numbers(text: bytes, skeleton: bytes) -> array[float] | None:
    """The numbers of a text, if it has this skeleton."""
    if text.translate(None, _NUMERIC) != skeleton:
        return None
    try:
        numbers = orjson.loads(b"[" + text.translate(_TO_SPACES, _REMOVED) + b"]")
    except ValueError:
        return None
    # `array("d", numbers)` takes twice as long.
    return array("d", struct.pack(f"{len(numbers)}d", *numbers))
