"""Sleeps that a hint cuts short: how a webhook delivery makes a wait poll at once.

Which hints wake, `policy.hints` decides.

Invariant: a hint ends a sleep, never a wait. No task runs here, and nothing is left of a wait that has ended.

A hint may come from a callback of the event loop, where earlier versions of anyio have no clock: they ask for a task.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from contextlib import contextmanager

from attrs import define, field

from .policy.hints import EarlyHints, Hints

__all__ = ["Waker", "Wakes"]


@define(eq=False)
class Waker:
    """The sleeps of one wait between its polls."""

    hinted: bool = False
    """Whether a hint has come since it was last taken."""
    _wake_at: float = math.inf
    _sleeping: asyncio.Future[bool] | None = None

    def wake(self, at: float) -> None:
        """Ends the current sleep, or else the next one, at this time of the event loop's clock."""
        self.hinted, self._wake_at = True, at
        if self._sleeping is not None:
            asyncio.get_running_loop().call_at(at, _end, self._sleeping, True)

    def take_hint(self) -> bool:
        """Whether a hint has come; from now on only new ones count."""
        hinted, self.hinted = self.hinted, False
        return hinted

    async def sleep(self, seconds: float) -> bool:
        """Sleeps for `seconds`. Returns True if a hint cut it short."""
        loop = asyncio.get_running_loop()
        until, self._sleeping = loop.time() + seconds, loop.create_future()
        hinted = self.hinted and self._wake_at < until
        timer = loop.call_at(self._wake_at if hinted else until, _end, self._sleeping, hinted)
        try:
            return await self._sleeping
        finally:
            self._sleeping = None
            timer.cancel()


@define(eq=False)
class _Awaited:
    """An analysis that somebody waits for: its hints, and a waker for each wait."""

    hints: Hints
    wakers: set[Waker] = field(factory=set)

    def wake(self) -> None:
        """A new hint came. A wait that has yet to poll because of an earlier hint needs no further one."""
        wakers = [waker for waker in self.wakers if not waker.hinted]
        at = self.hints.wake_at(_now()) if wakers else None
        if at is not None:
            for waker in wakers:
                waker.wake(at)


@define(eq=False)
class Wakes:
    """Brings hints to the waits for the same analysis. For one event loop, and used on its thread only."""

    _awaited: dict[str, _Awaited] = field(factory=dict)
    _early: EarlyHints = field(factory=EarlyHints)

    def hint(self, analysis_id: str, sequence: int | None = None) -> None:
        """Somebody says that the analysis may have finished: whoever waits for it polls now.

        If nobody waits for it, the next to wait within two minutes does. Each analysis is polled at most once a second
        for hints, and four times in vain; exact repeats of a sequence are ignored.
        """
        awaited = self._awaited.get(analysis_id)
        if awaited is None:
            self._early.add(analysis_id, sequence, _now())
        elif awaited.hints.is_new(sequence):
            awaited.wake()

    @contextmanager
    def listening(self, analysis_id: str) -> Generator[Waker]:
        """Inside the block, hints for the analysis reach the `Waker`."""
        waker = Waker()
        awaited = self._awaited.get(analysis_id) or self._begin(analysis_id, waker)
        awaited.wakers.add(waker)
        try:
            yield waker
        finally:
            awaited.wakers.discard(waker)
            if not awaited.wakers:
                del self._awaited[analysis_id]

    def _begin(self, analysis_id: str, first: Waker) -> _Awaited:
        """Nobody waited for the analysis so far, so a hint that came early is for the first who does."""
        hints, wake_at = self._early.take(analysis_id, _now())
        if wake_at is not None:
            first.wake(wake_at)
        self._awaited[analysis_id] = awaited = _Awaited(hints)
        return awaited


def _end(sleeping: asyncio.Future[bool], hinted: bool) -> None:
    if not sleeping.done():
        sleeping.set_result(hinted)


def _now() -> float:
    return asyncio.get_running_loop().time()
