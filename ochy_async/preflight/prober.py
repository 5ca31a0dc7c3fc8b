"""Reads the facts of clips with a small pool of child processes.

Invariant: a probe ends in time, and no child outlives the `async with`. A child that hangs or is interrupted is
killed, and one that dies is replaced. No clip is blamed for a fault of the decoder.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import TracebackType
from typing import Final, Self

from anyio import CapacityLimiter, move_on_after
from attrs import define, evolve, field

from ..protocol.video_limits import MAX_BYTES
from .facts import ClipFacts
from .process import ChildDied, Chunks, Decoder, DecoderProcess, DecoderUnusable, ProbeFailed

__all__ = ["INSTALL", "Prober", "unavailable_here"]

logger: logging.Logger = logging.getLogger("ochy_async")
INSTALL: Final = "pip install 'ochy-async[video]'"
MISSING: Final = f"PyAV is not installed; install it with: {INSTALL}"
CHILDREN: Final = 2
"""How many clips are probed at once. Each probe keeps one processor busy."""
RETRY_AFTER: Final = 300.0
"""Seconds before a decoder that misread the proof clip is tried again, because a try may take half a minute."""


@cache
def unavailable_here() -> str:
    """Why clips cannot be probed on this machine, and what to do about it; empty if they can."""
    if find_spec("av") is None:
        return MISSING
    # In a frozen program or a server that embeds Python, this executable would be the program itself: a child
    # would run it again, and buy again.
    if getattr(sys, "frozen", False) or not PurePath(sys.executable or "").stem.lower().startswith(("python", "pypy")):
        return "there is no Python interpreter to run the check with; run `ochy check` beforehand"
    return ""


@define(eq=False)
class Prober:
    """Probes clips; used as `async with Prober() as prober:`. Children are started when they are needed."""

    seconds: float = 20.0
    """The time limit of one probe."""
    unavailable: Callable[[], str] = unavailable_here
    _slots: CapacityLimiter = field(factory=lambda: CapacityLimiter(CHILDREN), init=False)
    _idle: list[DecoderProcess] = field(factory=list, init=False)
    _open: bool = field(default=False, init=False)
    _unusable: Decoder | None = field(default=None, init=False)
    """The decoder that misread the proof clip."""
    _retry_at: float = field(default=0.0, init=False)
    """When that decoder is tried again, by the monotonic clock."""

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the children."""
        self._open = False
        async with AsyncExitStack() as closing:  # closes the others if closing one is cancelled
            for child in self._idle:
                child.kill()
                closing.push_async_callback(child.close)
            self._idle.clear()

    async def probe(
        self, facts: ClipFacts, path: Path | None, chunks: Chunks, seconds: float | None = None
    ) -> ClipFacts:
        """Adds to `facts` what the content shows: of the file at `path`, or else of what `chunks` opens.

        `seconds` is the time limit of this probe, if it is another than that of the prober. Raises what `chunks` raises
        and nothing else. `unread` says why facts are missing.
        """
        if reason := self.unavailable():
            return evolve(facts, unread=reason)
        if path is None and facts.size > MAX_BYTES:
            return evolve(facts, unread="it is too large to be checked in memory")
        async with self._slots:
            try:
                return await self._probed(facts, path, chunks, seconds or self.seconds)
            except DecoderUnusable as error:
                reason = f"{error.decoder.library} does not work on this machine: {error.decoder.problem}"
                return evolve(facts, unread=reason)

    async def decoder(self) -> Decoder:
        """The decoder that would read clips, after a test with the proof clip."""
        if reason := self.unavailable():
            return Decoder(problem=reason)
        async with self._slots:
            try:
                child = await self._acquire(fresh=False)
            except DecoderUnusable as error:
                return error.decoder
            await self._release(child)
            return child.decoder

    async def _probed(self, facts: ClipFacts, path: Path | None, chunks: Chunks, seconds: float) -> ClipFacts:
        """Raises `DecoderUnusable`."""
        # A child that has read other clips may die of one of them. A fresh child dies of this clip only.
        failure = ""
        for fresh in (False, True):
            child = await self._acquire(fresh=fresh)
            with move_on_after(seconds):
                try:
                    return await self._ask(child, facts, path, chunks, seconds)
                except ChildDied:
                    failure = ""
                    continue
                except ProbeFailed as error:
                    failure = f"{child.decoder.library} could not check it: {error}"
                    continue
            reason = f"checking it took longer than {seconds:g} s; raise Limits.probe if this happens often"
            return evolve(facts, unread=reason)
        if failure:
            return evolve(facts, unread=failure)
        # The fresh child had read the proof clip before it died. If another child reads it now, the machine is not to
        # blame.
        await self._release(await self._acquire(fresh=True))
        return evolve(facts, readable=False, unread="it crashes the decoder")

    async def _acquire(self, *, fresh: bool) -> DecoderProcess:
        """A child that has read the proof clip; a `fresh` one has read nothing else. Raises `DecoderUnusable`."""
        if self._idle and not fresh:
            return self._idle.pop()
        if self._unusable is not None and time.monotonic() < self._retry_at:
            raise DecoderUnusable(self._unusable)
        try:
            child = await DecoderProcess.start()
        except DecoderUnusable as error:
            self._unusable, self._retry_at = error.decoder, time.monotonic() + RETRY_AFTER
            _debug(f"{error.decoder} does not work on this machine: {error.decoder.problem}", error.decoder.stderr)
            raise
        self._unusable = None
        return child

    async def _ask(
        self, child: DecoderProcess, facts: ClipFacts, path: Path | None, chunks: Chunks, seconds: float
    ) -> ClipFacts:
        """The child's answer. Only a child that gave one returns to the pool."""
        answered = False
        try:
            found = await child.ask(path, facts.size, chunks, seconds)
            answered = True
        except (ChildDied, ProbeFailed) as error:
            _debug(f"a probe failed ({str(error) or 'the decoder died'})", child.errors.tail(path))
            raise
        finally:
            await (self._release(child) if answered else child.close())
        return evolve(facts, **found)

    async def _release(self, child: DecoderProcess) -> None:
        if self._open:
            self._idle.append(child)
        else:
            await child.close()


def _debug(message: str, stderr: str) -> None:
    logger.debug("%s%s", message, f"; its process wrote:\n{stderr}" if stderr else "")
