"""Defines what a bus must do: carry hints between the replicas of a program.

Without a bus, a delivery wakes the waits of the process that received it, and nothing needs to be carried.

Invariant: a bus carries short texts and promises nothing. A message may be lost, doubled or late; then a wait polls
when it would have polled anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import OchyError

__all__ = ["Bus", "BusError"]


class BusError(OchyError):
    """The bus has no connection, or does not take the message. Waits poll as usual; nothing is lost or charged."""


class Bus(Protocol):
    """Carries short texts to every replica that listens, usually including the sender."""

    async def publish(self, message: str) -> None:
        """Hands a message over to be sent. Returns at once, and raises `BusError` if it cannot be sent."""
        ...

    async def listen(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        """Connects, calls `ready` once, and then `receive` for every message, until it is cancelled.

        Raises `BusError` when the connection fails or is lost; the caller waits a while and calls it again. Neither
        callback may raise. `publish` works while this method runs.
        """
        ...
