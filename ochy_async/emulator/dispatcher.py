"""Sends deliveries to the webhook when they become due.

Invariant: nothing runs outside of `Dispatcher.run`, which ends, with everything that it began, when it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from anyio import Semaphore, create_task_group, current_time, move_on_after
from attrs import define, field

if TYPE_CHECKING:
    from .messages import DeliveryOutcome
    from .outbox import DueDelivery, Outbox

__all__ = ["MAX_POSTS", "Dispatcher", "Post"]

MAX_POSTS = 16
"""Deliveries that are under way at once. A slow receiver delays the others."""
LONGEST_SLEEP = 1.0
"""Seconds after which the clock is read again, since the service's clock may be set while this sleeps."""

Post = Callable[["DueDelivery"], Awaitable[tuple["DeliveryOutcome", int | None]]]
"""Sends a delivery once, and returns how that ended, with the HTTP status of the answer if there was one."""


@define(eq=False)
class Dispatcher:
    """Takes what is due from an outbox, sends it, and reports the answers."""

    outbox: Outbox
    post: Post
    clock: Callable[[], float]
    """The service's time, in seconds since the epoch."""
    speed: float = 1.0
    """Seconds of the service in one second of the event loop."""
    _slots: Semaphore = field(factory=lambda: Semaphore(MAX_POSTS))

    async def run(self) -> None:
        """Sends deliveries until it is cancelled."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self.outbox.listeners.append(wake)
        try:
            async with create_task_group() as posts:
                while True:
                    changed.clear()
                    while (due := self.outbox.take(self.clock())) is not None:
                        await self._slots.acquire()
                        posts.start_soon(self._send, due)
                    with move_on_after(self._pause()):
                        await changed.wait()
        finally:
            self.outbox.listeners.remove(wake)

    def _pause(self) -> float | None:
        """Seconds until the next delivery is due, at most; None if there is none."""
        at = self.outbox.next_at
        return None if at is None else min(LONGEST_SLEEP, max(0.0, at - self.clock()) / self.speed)

    async def _send(self, due: DueDelivery) -> None:
        began = current_time()
        try:
            outcome, status = await self.post(due)
        finally:
            self._slots.release()
        self.outbox.answered(due, self.clock(), outcome, status=status, seconds=current_time() - began)
