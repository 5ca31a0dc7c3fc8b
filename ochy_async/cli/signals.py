"""Ctrl-C, twice: the first asks to end, the second ends.

Invariant: while it is entered no signal raises anything anywhere; it calls on the loop. What
stood before is put back.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from attrs import define, field

__all__ = ["Interrupts"]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@define(eq=False)
class Interrupts:
    """Counts Ctrl-C and SIGTERM while it listens."""

    first: Callable[[], None]
    """Called on the loop for the first signal."""
    later: Callable[[], None]
    """Called on the loop for every other."""
    count: int = field(default=0, init=False)

    @contextmanager
    def listening(self) -> Generator[None]:
        """Takes the signals over; to be entered on the loop. In any thread but the main one it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def handle(_: int, __: FrameType | None) -> None:
            # The loop's own handlers do not exist on Windows; asyncio itself does it this way for Ctrl-C.
            loop.call_soon_threadsafe(self._arrived)

        # What the parent turned off stays off: so a shell keeps Ctrl-C from what runs in the background.
        heard = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        before: dict[signal.Signals, Any] = {each: signal.signal(each, handle) for each in heard}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler if handler is not None else signal.SIG_DFL)

    def _arrived(self) -> None:
        self.count += 1
        (self.first if self.count == 1 else self.later)()
