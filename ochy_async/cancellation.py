"""How code behaves when a task is cancelled while it waits.

Invariant: a cancellation of the running task is always raised. A cancellation of something that the task awaits becomes
an error: a task that ended with it would look like one that was asked to end, and nobody would learn of the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from anyio import CancelScope

__all__ = ["cancelled_elsewhere", "run_to_completion"]


@contextmanager
def cancelled_elsewhere(error: Callable[[], Exception]) -> Generator[None]:
    """Raises `error` if what is awaited inside was cancelled, but the running task was not."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    else:
        return
    raise error()


async def run_to_completion(step: Callable[[], Awaitable[object]]) -> None:
    """Awaits `step` until it completes, however often the task is cancelled, and only then raises the cancellation.

    `Task.cancel()` goes through every shield. An interrupted `step` is called again, so it must allow that.
    """
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):  # otherwise a cancelled scope would interrupt every attempt
        while True:
            try:
                await step()
                break
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
