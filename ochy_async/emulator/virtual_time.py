"""An event loop on virtual time: instead of sleeping it advances its clock to the next timer.

It is for tests without sockets and threads, such as those over an `InProcessTransport`: a ten-minute wait takes
milliseconds and is exact.

Invariant: the clock advances only where the loop would have slept.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "in_virtual_time"]

T = TypeVar("T")


class _NonBlockingSelector(selectors.DefaultSelector):
    """Never sleeps: adds to the clock what the loop would have slept."""

    now = 1_000.0
    """Seconds. Not 0, so that tests notice a clock that starts elsewhere."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._selector_clock = _NonBlockingSelector()
        super().__init__(self._selector_clock)

    def time(self) -> float:
        return self._selector_clock.now


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an event loop that never sleeps: when nothing is ready, it jumps to the next timer.

    Connect sessions with `InProcessTransport`. What comes from outside the loop takes real time and may lose against a
    timer: sockets, threads and other processes, and so also the preflight of clips. Raises what `main` raises.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
