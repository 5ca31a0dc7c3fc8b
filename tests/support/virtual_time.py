"""An event loop that is in a hurry: it runs some times faster than life, sockets and threads included.

The loop whose clock jumps comes with the emulator.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from ochy_async.emulator.virtual_time import VirtualTimeLoop, in_virtual_time

__all__ = ["HURRY", "HurriedLoop", "VirtualTimeLoop", "hurried", "in_virtual_time"]

T = TypeVar("T")

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
