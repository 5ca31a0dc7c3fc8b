"""How many uploads at once: more while all is well, half as many after trouble.

Invariant: additive increase, multiplicative decrease. One burst of trouble is one piece of
news: uploads that were under way together do not halve the width one after the other.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from ..errors import OchyError, TryLater, UncertainStart

__all__ = ["UploadLimit"]

REST: Final = 5.0
"""Seconds after a decrease in which no other follows."""


@define
class UploadLimit:
    """The width of the upload stage, between `least` and `most`; with both alike it never changes."""

    least: int
    most: int
    _width: float = field(init=False)
    _rested: float = float("-inf")

    def __attrs_post_init__(self) -> None:
        self._width = float(min(self.most, max(self.least, FIRST)))

    @classmethod
    def of(cls, uploads: int | None) -> UploadLimit:
        """A fixed width, or one that adapts where `uploads` is None."""
        return cls(1, MOST) if uploads is None else cls(uploads, uploads)

    @property
    def width(self) -> int:
        """Uploads that may be under way together."""
        return int(self._width)

    def went_well(self, seconds: float) -> None:
        """An upload was accepted: with each round of them the width grows by one, unless they take long as it is."""
        if seconds < LONG:
            self._width = min(float(self.most), self._width + 1 / self._width)

    def trouble(self, error: OchyError, now: float) -> None:
        """An attempt failed. What the clip or the request is to blame for changes nothing."""
        if isinstance(error, TryLater | UncertainStart) and now >= self._rested:
            self._width = max(float(self.least), self._width / 2)
            self._rested = now + REST


FIRST: Final = 3
"""A few to begin with."""
LONG: Final = 30.0
"""Seconds of an upload beside which what is saved by others at its side, such as a handshake, is nothing: on a slow
line they only make each take longer, and what takes longer is cut more often, or not done before its deadline."""
MOST: Final = 16
"""Where adapting ends: beyond that, uploads only share the line with each other."""
