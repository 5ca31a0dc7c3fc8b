"""An event loop on which seconds pass faster than in reality, sockets and threads included.

The loop whose clock jumps comes with the emulator: `ochy_async.emulator.virtual_time`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["ACCELERATION", "AcceleratedLoop", "run_accelerated"]

T = TypeVar("T")

ACCELERATION = 20
"""How many times faster than in reality time passes on an `AcceleratedLoop`."""


class _AcceleratedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / ACCELERATION)


class AcceleratedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes `ACCELERATION` times faster than in reality."""

    def __init__(self) -> None:
        super().__init__(_AcceleratedSelector())

    def time(self) -> float:
        return super().time() * ACCELERATION


def run_accelerated(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an `AcceleratedLoop`."""
    with asyncio.Runner(loop_factory=AcceleratedLoop) as runner:
        return runner.run(main)
