"""Whose cancellation a `CancelledError` is.

Invariant: a cancellation of the running task itself goes on as it is. One that only came out of what the task awaits is
an error: a task that ended with it would be taken for one that was asked to end, and nobody would be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["cancelled_elsewhere"]


@contextmanager
def cancelled_elsewhere(error: Callable[[], Exception]) -> Generator[None]:
    """Raises `error` where something was cancelled that is awaited inside, and not the running task."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    else:
        return
    raise error()
