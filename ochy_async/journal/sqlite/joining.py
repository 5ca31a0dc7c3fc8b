"""Work that must come to its end: in a thread of its own, which is joined.

Invariant: whoever waits comes back after the thread has ended, never before, whatever is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from anyio import CancelScope

__all__ = ["joined"]

T = TypeVar("T")


async def joined(work: Callable[[], T]) -> T:
    """What `work` gives or raises, once it has ended; a cancellation that came meanwhile is raised then.

    A worker of anyio is no place for it: a task's own `cancel()` leaves that behind, or keeps it from beginning.
    """
    loop, ended, answer = asyncio.get_running_loop(), asyncio.Event(), Future[T]()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            answer.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    thread = Thread(target=run, name="ochy-journal")
    thread.start()
    try:
        cancelled = await _until(ended)
    finally:
        thread.join()
    if cancelled is not None:
        raise cancelled
    return answer.result()


async def _until(ended: asyncio.Event) -> asyncio.CancelledError | None:
    """Waits for an event, and gives the last cancellation that came before it."""
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):  # else a cancelled scope would knock in every turn
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled
