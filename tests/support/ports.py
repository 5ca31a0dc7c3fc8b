"""Ports for servers that are told theirs before they listen."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import Final

__all__ = ["free_port"]

PORTS: Final = range(20_000, 32_000)
"""Below those that Linux and macOS give to whoever asks for any, so that nobody takes the port of a server that is
down, or not up yet."""


def free_port() -> int:
    """A port that nobody uses."""
    for port in random.SystemRandom().sample(PORTS, 100):  # a seeded one gives other processes the same
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port in {PORTS}")
