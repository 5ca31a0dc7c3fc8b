"""Event loops with a time of their own: one whose clock jumps, and one that is only in a hurry.

When nobody can run on the first, it is at once the time of the next timer: for stories without sockets
and threads a ten-minute wait takes milliseconds and is exact. The second runs some times faster than
life, sockets and threads included.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Never sleeps: what the loop would have slept is added to the clock instead."""

    now = 1_000.0
    """Seconds. Not 0, so that a clock that was forgotten is noticed."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(story: Coroutine[Any, Any, T]) -> T:
    """Runs a story to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(story)


HURRY = 20
"""How much faster than life a `HurriedLoop` waits."""


class _Hurried(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / HURRY)


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop on which seconds pass quickly: a program that waits as a user does takes no three seconds."""

    def __init__(self) -> None:
        super().__init__(_Hurried())

    def time(self) -> float:
        return super().time() * HURRY


def hurried(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, in a hurry."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(main)
