"""How many clips in flight: more while the server begins at once with what it is given.

Invariant: what would only wait in the server's queue is not sent. A start is paid and cannot be called
back, and each that waits is asked about for nothing.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

__all__ = ["InFlightLimit"]

FIRST: Final = 32
"""Whatever the server does."""


@define
class InFlightLimit:
    """The width of the flight, up to `most`."""

    most: int
    width: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.width = min(FIRST, self.most)

    def first_look(self, *, queued: bool) -> None:
        """The first look at an analysis found it in the server's queue, or else under way: there was room for it, so
        there is for one more. The width doubles at most once in the time that it takes to have a look."""
        wanted = self.width - 1 if queued else self.width + 1
        self.width = min(self.most, max(FIRST, wanted))
