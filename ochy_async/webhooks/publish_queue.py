"""Holds the messages that wait until a bus has sent them.

Invariant: `put` never waits. While nobody sends, or too many messages wait, it refuses.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from anyio import Event, move_on_after

from .bus import BusError
from .messages import MAX_MESSAGE

__all__ = ["PublishQueue"]

MAX_WAITING: Final = 1_000


class PublishQueue:
    """Messages on their way to the server of a bus. One task takes them out; any task puts them in."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._filled: Event | None = None
        """None while no connection exists that could send."""

    def put(self, message: str) -> None:
        """Adds a message. Raises `BusError`, without the message in its text, if it cannot be sent."""
        if not (len(message) <= MAX_MESSAGE and message.isascii() and message.isprintable()):
            raise BusError(f"The message is not printable ASCII of at most {MAX_MESSAGE} characters. It was not sent.")
        if self._filled is None:
            raise BusError("The bus has no connection at the moment. The message was not sent; waits poll as usual.")
        if len(self._waiting) >= MAX_WAITING:
            raise BusError(f"{MAX_WAITING} messages wait already. The message was not sent; waits poll as usual.")
        self._waiting.append(message)
        self._filled.set()

    @contextmanager
    def sending(self) -> Generator[None]:
        """The block in which messages are accepted. Those that wait when it ends are dropped."""
        if self._filled is not None:
            raise BusError("The bus is in use. Give each Webhooks a bus of its own.")
        self._filled = Event()
        try:
            yield
        finally:
            self._filled = None
            self._waiting.clear()

    async def take(self, seconds: float) -> list[str]:
        """All messages that wait; no message if none came for `seconds`, or `interrupt` was called."""
        if self._filled is None:
            raise RuntimeError("take is called inside of sending")
        with move_on_after(seconds):
            await self._filled.wait()
        messages, self._waiting, self._filled = self._waiting, [], Event()
        return messages

    def interrupt(self) -> None:
        """Ends a `take` early."""
        if self._filled is not None:
            self._filled.set()
