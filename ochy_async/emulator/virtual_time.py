"""An event loop with a time of its own: when nobody can run, it is at once the time of the next timer.

For stories without sockets and threads, such as those over a `InProcessTransport`: a ten-minute wait takes
milliseconds and is exact.

Invariant: the time jumps only where the loop would have slept.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "in_virtual_time"]

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
