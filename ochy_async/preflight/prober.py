"""The facts of clips, read by child processes that are used again and never trusted.

Invariant: a look ends in time and harms nobody. A child that hangs or is broken off is killed, one
that dies is replaced, and none outlives the block. No clip is blamed for what is the decoder's fault.
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

logger = logging.getLogger("ochy_async")
INSTALL: Final = "pip install 'ochy-async[video]'"
MISSING: Final = f"PyAV is not installed; install it with: {INSTALL}"
CHILDREN: Final = 2
"""Looks at once: each takes a processor while it lasts."""
UNTIL_TRIED_AGAIN: Final = 300.0
"""Seconds for which a decoder that could not read the proof clip is left alone: each try may take half a minute."""


@cache
def unavailable_here() -> str:
    """Why no clip can be looked into, and what to do about it; empty where it can be."""
    if find_spec("av") is None:
        return MISSING
    # A frozen program or a server with Python inside would be started anew here, and buy again.
    if getattr(sys, "frozen", False) or not PurePath(sys.executable or "").stem.lower().startswith(("python", "pypy")):
        return "there is no Python interpreter to look into it with; use `ochy check` before"
    return ""


@define(eq=False)
class Prober:
    """Looks into clips; used as `async with Prober() as prober:`. Children are started when they are needed."""

    seconds: float = 20.0
    """For one look."""
    hindrance: Callable[[], str] = unavailable_here
    _room: CapacityLimiter = field(factory=lambda: CapacityLimiter(CHILDREN), init=False)
    _idle: list[DecoderProcess] = field(factory=list, init=False)
    _open: bool = field(default=False, init=False)
    _unusable: Decoder | None = field(default=None, init=False)
    """What could not read the proof clip."""
    _try_again: float = field(default=0.0, init=False)
    """When another try is worth its time."""

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
        async with AsyncExitStack() as closing:  # a cancellation of one must not keep another open
            for child in self._idle:
                child.kill()
                closing.push_async_callback(child.close)
            self._idle.clear()

    async def look(self, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        """What is `known` of a clip and what its content tells: the file at `path`, else what `chunks` opens.

        Raises what `chunks` raises and nothing else; `unread` tells what could not be had.
        """
        if why := self.hindrance():
            return evolve(known, unread=why)
        if path is None and known.size > MAX_BYTES:
            return evolve(known, unread="it is too large to be looked into from memory")
        async with self._room:
            try:
                return await self._looked(known, path, chunks)
            except DecoderUnusable as found:
                return evolve(known, unread=f"{found.decoder.library} is not usable here: {found.decoder.trouble}")

    async def decoder(self) -> Decoder:
        """What would look into clips, tried out now."""
        if why := self.hindrance():
            return Decoder(trouble=why)
        async with self._room:
            try:
                child = await self._child(fresh=False)
            except DecoderUnusable as found:
                return found.decoder
            await self._keep(child)
            return child.decoder

    async def _looked(self, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        """Raises `DecoderUnusable`."""
        # What a child of before dies of may have been something else. A fresh one dies of this clip, or of none.
        trouble = ""
        for fresh in (False, True):
            child = await self._child(fresh=fresh)
            with move_on_after(self.seconds):
                try:
                    return await self._asked(child, known, path, chunks)
                except ChildDied:
                    trouble = ""
                    continue
                except ProbeFailed as told:
                    trouble = f"{child.decoder.library} could not look into it: {told}"
                    continue
            why = f"a look took longer than {self.seconds:g} s; raise Limits.look if this is usual"
            return evolve(known, unread=why)
        if trouble:
            return evolve(known, unread=trouble)
        # It proved itself and died; that another proves itself now shows that it was not the machine.
        await self._keep(await self._child(fresh=True))
        return evolve(known, readable=False, unread="a decoder dies of it")

    async def _child(self, *, fresh: bool) -> DecoderProcess:
        """One that has read the proof clip; a `fresh` one just now. Raises `DecoderUnusable`."""
        if self._idle and not fresh:
            return self._idle.pop()
        if self._unusable is not None and time.monotonic() < self._try_again:
            raise DecoderUnusable(self._unusable)
        try:
            child = await DecoderProcess.start(self.seconds)
        except DecoderUnusable as found:
            self._unusable, self._try_again = found.decoder, time.monotonic() + UNTIL_TRIED_AGAIN
            _debug(f"{found.decoder} is not usable here: {found.decoder.trouble}", found.decoder.said)
            raise
        self._unusable = None
        return child

    async def _asked(self, child: DecoderProcess, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        """The child's answer. It is kept for the next look only if it gave one."""
        answered = False
        try:
            facts = await child.ask(path, known.size, chunks)
            answered = True
        except (ChildDied, ProbeFailed) as trouble:
            _debug(f"a look failed ({str(trouble) or 'the decoder died'})", child.errors.tail(path))
            raise
        finally:
            await (self._keep(child) if answered else child.close())
        return evolve(known, **facts)

    async def _keep(self, child: DecoderProcess) -> None:
        if self._open:
            self._idle.append(child)
        else:
            await child.close()


def _debug(what: str, said: str) -> None:
    logger.debug("%s%s", what, f"; its process said:\n{said}" if said else "")
