"""Ctrl-C and SIGTERM: the first signal asks the run to finish, each further one stops it.

Invariant: inside `listening` a signal raises no exception; it calls a function on the event loop. The former handlers
are restored.
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

    on_first: Callable[[], None]
    """Called on the loop for the first signal."""
    on_repeated: Callable[[], None]
    """Called on the loop for each further signal."""
    count: int = field(default=0, init=False)
    terminated: bool = field(default=False, init=False)
    """Whether one of them was SIGTERM."""

    @contextmanager
    def listening(self) -> Generator[None]:
        """Handles the signals inside the block. Enter it on the loop; outside the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def handle(number: int, _: FrameType | None) -> None:
            self.terminated |= number == signal.SIGTERM
            # Not `loop.add_signal_handler`, which Windows does not have. asyncio handles Ctrl-C in the same way.
            loop.call_soon_threadsafe(self._on_signal)

        # A signal that the parent ignores stays ignored: a shell does so to shield background jobs from Ctrl-C.
        handled = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        before: dict[signal.Signals, Any] = {each: signal.signal(each, handle) for each in handled}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler if handler is not None else signal.SIG_DFL)

    def _on_signal(self) -> None:
        self.count += 1
        (self.on_first if self.count == 1 else self.on_repeated)()
