"""What a frame of raw data looks like but for its numbers, and blocks of frames that look the same, read at a stroke.

Invariant: a block is read here only if the careful reading would find the same numbers in it and
nothing to note. In any doubt it is not read at all.

How: a frame without the characters of numbers is its skeleton. Frames with the same skeleton differ in
numbers only, unless such a character stands where no number belongs. So what keeps keys and values
apart becomes a space, other characters go, and whatever stood in a wrong place is now a second number
without a comma before it: no JSON. What is left is one flat list.
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
"""The `e` of a number such as 1.5e-05 is set apart from the letters of names; JSON has no use for the other sign."""
_NUMERIC: Final = b"0123456789.+-\1"
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
_NAME: Final = re.compile(f"[{_LETTERS.decode()}]+")
_NEXT: Final = re.compile(rb'([ \t\r\n]*,[ \t\r\n]*)"-?[0-9]{1,15}"([ \t\r\n]*:[ \t\r\n]*)')
"""From the end of a frame to the beginning of the next."""
_APART: Final = bytes.maketrans(b":}\1", b"  e")
_DROPPED: Final = _LETTERS + b'"{'


@frozen(repr=False)
class FrameBlock:
    """Some frames in a row."""

    numbers: Sequence[int]
    """The frame numbers."""
    values: array[float]
    """Frame after frame, landmark after landmark, coordinate after coordinate."""
    end: int
    """Where in the text the last of them ends."""


@frozen(repr=False)
class FrameTemplate:
    """How frames of one recording are written."""

    skeleton: bytes
    """A frame without its numbers and its tail."""
    tail: bytes
    """What comes after its last number."""
    between: re.Pattern[bytes]
    """From the last number of a frame to the beginning of the next one; its group is the frame number."""
    fixed: int
    """How long that is without the frame number."""
    reach: int
    """How many bytes hold a block."""

    @classmethod
    def of(cls, body: bytes, start: int, end: int, names: Iterable[str], form: Iterable[str]) -> FrameTemplate | None:
        """The template of the frame from `start` to `end`; None unless each of the names has just that form.

        Names of anything but letters have none: a digit in a name could be taken for a number.
        """
        names, form = list(names), list(form)
        following = _NEXT.match(body, end)
        frame = body[start:end]
        skeleton = frame.replace(*_SMALL).translate(None, _NUMERIC)
        if following is None or not all(map(_NAME.fullmatch, (*names, *form))):
            return None
        point = ",".join(f'"{coordinate}":' for coordinate in form)
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
        """The frames after the one that ends at `at`; None if they are the last or do not look the same."""
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
    """The numbers of a text that has this skeleton."""
    if text.translate(None, _NUMERIC) != skeleton:
        return None
    try:
        numbers = orjson.loads(b"[" + text.translate(_APART, _DROPPED) + b"]")
    except ValueError:
        return None
    # An array made of a list takes twice as long.
    return array("d", struct.pack(f"{len(numbers)}d", *numbers))
