"""Keeps this process connected to the bus: listens, connects again when the connection is lost, and publishes.

Invariant: no error of a bus leaves this module, and one task at a time listens, in the block of the caller.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
from asyncio import TaskGroup
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from anyio import CancelScope, Lock, fail_after, sleep
from attrs import define, field

from ..cancellation import cancelled_elsewhere
from ..policy.delivery_limit import reconnect_delay
from ..wakes import Wakes
from .bus import Bus, BusError
from .messages import Hint, read_hint

__all__ = ["BusRelay"]

PUBLISH_SECONDS: Final = 2.0
logger: logging.Logger = logging.getLogger("ochy_async")


@define(eq=False, repr=False)
class BusRelay:
    """Carries hints between the wakes of this process and those of the others."""

    bus: Bus
    wakes: Wakes
    chance: Callable[[], float] = random.random
    """Random numbers from 0 to 1, for jitter."""
    _node: str = field(factory=lambda: secrets.token_hex(8), init=False)
    _turn: Lock = field(factory=Lock, init=False)
    _failures: int = field(default=0, init=False)
    _listeners: int = field(default=0, init=False)
    _warned: bool = field(default=False, init=False)

    @property
    def node(self) -> str:
        """Identifies this process among all on the bus: a forked child is another one."""
        return f"{self._node}-{os.getpid()}"

    async def publish(self, analysis_id: str, sequence: int | None) -> None:
        """Tells the other processes to look at an analysis. If that fails, they poll when they would have anyway."""
        if not self._listeners and not self._warned:
            self._warned = True
            logger.warning(
                "webhooks: the bus is not connected. Use `async with` on the Webhooks or on a session of it."
            )
        try:
            with fail_after(PUBLISH_SECONDS):
                await self.bus.publish(Hint(self.node, analysis_id, sequence).text())
        except Exception as error:  # noqa: BLE001 - whatever a bus raises, its text may hold the password
            logger.debug("webhooks: a hint was not published (%s)", type(error).__name__)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listens while the block runs. Of several such blocks one has the connection, and the next one takes over."""
        scope = CancelScope()
        # asyncio's task group, not anyio's: a service may close a session in another task than it opened it, and
        # sessions in any order. Without the caller's error, which it would raise inside an exception group.
        tasks = TaskGroup()
        await tasks.__aenter__()
        self._listeners += 1
        try:
            tasks.create_task(self._listen(scope))
            yield
        finally:
            self._listeners -= 1
            scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def _listen(self, scope: CancelScope) -> None:
        with scope:
            async with self._turn:
                while True:
                    reason = await self._listen_once()
                    delay = reconnect_delay(self._failures, self.chance())
                    self._note_failure(reason, delay)
                    await sleep(delay)

    async def _listen_once(self) -> str:
        """Listens until the connection is lost, and returns why."""
        try:
            with cancelled_elsewhere(lambda: BusError("Something that the bus awaits was cancelled.")):
                await self.bus.listen(self._receive, self._ready)
        except BusError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever a bus raises, its text may hold the password
            return type(error).__name__
        return "it ended by itself"

    def _note_failure(self, reason: str, delay: float) -> None:
        """Logs one warning for each outage."""
        level = logging.DEBUG if self._failures else logging.WARNING
        logger.log(level, "webhooks: no connection to the bus, so waits poll; next in %.1f s: %s", delay, reason)
        self._failures += 1

    def _ready(self) -> None:
        if self._failures:
            logger.info("webhooks: the bus is connected again")
        self._failures = 0

    def _receive(self, message: str) -> None:
        hint = read_hint(message)
        if hint is not None and hint.node != self.node:
            self.wakes.hint(hint.analysis_id, hint.sequence)
