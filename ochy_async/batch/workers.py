"""What a batch asks of the other workers that share its journal: which of them acts on a clip now.

Invariant: a claim only says who looks at something now. Whether a change may be made, the version of the entry decides.
So a worker that wrongly believes to have a claim buys nothing twice. A journal of one worker is not asked at all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import cycle
from math import inf
from typing import Final

from anyio import CancelScope, CapacityLimiter, current_time, sleep
from attrs import define, field

from ..errors import JournalError, JournalUnusable
from ..journal.contract import BEAT, Journal

__all__ = ["Workers"]

logger: logging.Logger = logging.getLogger("ochy_async")
LONGEST_WAIT: Final = 3.0
"""Seconds after which a clip that another worker has claimed is looked at again."""
MOST_CLOCK_ERROR: Final = timedelta(minutes=5)
"""Between this machine and the journal's server. Lookups of any worker go by the times that each has stored, and allow
for three times as much (`policy.reconciliation.SKEW`) between a worker and the vendor."""


@define(eq=False)
class Workers:
    """One worker of a journal, as it deals with the others."""

    journal: Journal
    clock: Callable[[], datetime]
    held: set[str] = field(factory=set, init=False)
    """What this worker has claimed."""
    paused_until: float = field(default=0.0, init=False)
    """Until when no worker starts anything, on the clock of the event loop."""
    clock_error: JournalUnusable | None = field(default=None, init=False)
    """Why this worker starts nothing, if its clock is wrong by now."""
    closing: bool = field(default=False, init=False)
    """Whether the journal is about to be closed, which gives up every claim in one step."""
    _polls_freely_until: float = field(default=0.0, init=False)
    _beats: bool = field(default=True, init=False)
    _uploads: CapacityLimiter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._uploads = CapacityLimiter(self.journal.ceilings.uploads or inf)

    @asynccontextmanager
    async def claimed(self, name: str) -> AsyncGenerator[bool]:
        """Whether this worker may act on a name within the block. A name that it has claimed already is not free."""
        if not self.journal.shared:
            yield True
            return
        taken = await self.take(name) is not None
        try:
            yield taken
        finally:
            if taken:
                await self.leave(name)

    async def take(self, *names: str) -> str | None:
        """Claims the first name that nobody has claimed, this worker included; None if there is none."""
        free = [name for name in names if name not in self.held]
        self.held.update(free)  # until the answer comes, so that no other task of this worker takes one of them
        taken = None
        try:
            taken = await self.journal.take(*free) if free else None
        finally:
            self.held.difference_update(name for name in free if name != taken)
        return taken

    async def leave(self, name: str) -> None:
        """Gives up a claim. If the journal fails, the lease ends it."""
        if self.closing:
            return
        with CancelScope(shield=True), suppress(JournalError):
            await self.journal.leave(name)
        self.held.discard(name)

    async def wait_for(self, name: str) -> None:
        """Waits until the claim of another worker may have ended, for a few seconds at most."""
        await self.journal.changed(name, LONGEST_WAIT)

    @asynccontextmanager
    async def upload_slot(self) -> AsyncGenerator[None]:
        """Holds one of the uploads that all workers together may make, within the block. Raises `JournalError`."""
        slots, slot = [f"upload:{number}" for number in range(self.journal.ceilings.uploads or 0)], None
        async with self._uploads:  # so that this worker never waits for a claim of its own
            for other in cycle(slots):
                if (slot := await self.take(*slots)) is not None:
                    break
                await self.wait_for(other)
            try:
                yield
            finally:
                if slot is not None:
                    await self.leave(slot)

    async def reserve_poll(self) -> float:
        """Reserves the next poll that all workers together may make. Returns the seconds until then.

        A journal that fails delays no poll, and is not asked for a while, because the polls stand in line while it is
        asked: what is paid for is collected all the same.
        """
        per_second = self.journal.ceilings.polls_per_second
        if per_second is None or current_time() < self._polls_freely_until:
            return 0.0
        try:
            return await self.journal.reserve("polls", 1, per_second)
        except JournalError:
            self._polls_freely_until = current_time() + BEAT
            return 0.0

    async def pause(self, seconds: float) -> None:
        """Asks the other workers to start nothing for a while. If the journal fails, each finds out for itself why."""
        if self.journal.shared:
            with suppress(JournalError):
                await self.journal.pause(seconds)

    async def keep_alive(self) -> None:
        """Extends the lease of this worker and checks its clock, until cancelled."""
        while True:
            await sleep(BEAT)
            await self.beat()
            with suppress(JournalError):
                self.clock_error = await self.wrong_clock()

    async def wrong_clock(self) -> JournalUnusable | None:
        """Why the clock of this machine cannot be used, if that is so. Raises `JournalError`."""
        before = self.clock()
        right = await self.journal.now()
        if right is None or before - right <= MOST_CLOCK_ERROR >= right - self.clock():
            return None
        return JournalUnusable(
            f"The clock of this machine says {before:%Y-%m-%d %H:%M:%S} UTC, and that of the journal's server "
            f"{right:%Y-%m-%d %H:%M:%S} UTC. They may differ by {MOST_CLOCK_ERROR.seconds // 60} minutes, because "
            "starts are found by their times. Nothing was charged. Set the wrong clock, and run again."
        )

    async def beat(self) -> None:
        """Extends the lease of this worker, and learns of pauses. A worker whose lease ends may go on: the versions of
        the entries keep it from buying what another one buys."""
        try:
            paused = await self.journal.beat()
        except JournalError as error:
            if self._beats:
                logger.warning("the lease of this worker could not be extended, so others may take over: %s", error)
            self._beats = False
        else:
            self._beats, self.paused_until = True, current_time() + paused
