"""The facts of clips, read by child processes that are used again and never trusted.

Law of this room: a look ends in time and harms nobody. A child that hangs or is broken off is killed, one
that dies is replaced, and none outlives the block.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from subprocess import DEVNULL
from types import TracebackType
from typing import Any, Final, Self

import anyio
from anyio import (
    BrokenResourceError,
    CancelScope,
    CapacityLimiter,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    IncompleteRead,
    fail_after,
    move_on_after,
)
from anyio.abc import ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, evolve, field

from ..protocol.facts import ClipFacts
from ..protocol.video_limits import MAX_BYTES

__all__ = ["INSTALL", "Prober", "hindrance_here"]

INSTALL: Final = "pip install 'ochy-async[video]'"
MISSING: Final = f"to look into clips, install PyAV: {INSTALL}"
CHILDREN: Final = 2
"""Looks at once: each takes a processor while it lasts."""
MEMORY: Final = 2 << 30
"""Bytes of address space for a child."""
TO_START: Final = 30.0
"""Seconds for a child to load the decoder, on a slow disk too."""
LONGEST_ANSWER: Final = 65_536
CHILD: Final = str(Path(__file__).with_name("child.py"))

Chunks = Callable[[], AsyncGenerator[bytes]]
_GONE: Final = (BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead)


class _Died(Exception):
    """The child is gone, or talks nonsense."""


@cache
def hindrance_here() -> str:
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
    hindrance: Callable[[], str] = hindrance_here
    _room: CapacityLimiter = field(factory=lambda: CapacityLimiter(CHILDREN), init=False)
    _idle: list[_Child] = field(factory=list, init=False)
    _open: bool = field(default=False, init=False)

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
        while self._idle:
            await self._idle.pop().close()

    async def look(self, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        """What is `known` of a clip and what its content tells: the file at `path`, else what `chunks` opens.

        Raises what `chunks` raises and nothing else; `unread` tells what could not be had.
        """
        if why := self.hindrance():
            return evolve(known, unread=why)
        if path is None and known.size > MAX_BYTES:
            return evolve(known, unread="it is too large to be looked into from memory")
        async with self._room:
            return await self._looked(known, path, chunks)

    async def _looked(self, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        # What a child of before dies of may have been something else. A fresh one dies of this clip, or of none.
        for fresh in (False, True):
            try:
                child = await self._child(fresh=fresh)
            except (OSError, NotImplementedError) as trouble:
                why = f"no process could be started to look into it ({type(trouble).__name__})"
                return evolve(known, unread=why)
            with move_on_after(self.seconds):
                try:
                    return await self._asked(child, known, path, chunks)
                except _Died:
                    continue
            why = f"a look took longer than {self.seconds:g} s; raise Limits.look if this is usual"
            return evolve(known, unread=why)
        return evolve(known, readable=False, unread="a decoder dies of it")

    async def _child(self, *, fresh: bool) -> _Child:
        """Raises `OSError` where no process can be had."""
        if self._idle and not fresh:
            return self._idle.pop()
        with fail_after(TO_START):
            return await _Child.start(self.seconds)

    async def _asked(self, child: _Child, known: ClipFacts, path: Path | None, chunks: Chunks) -> ClipFacts:
        """The child's answer. It is kept for the next look only if it gave one."""
        answered = False
        try:
            facts = await child.ask(path, known.size, chunks)
            answered = True
        finally:
            if answered and self._open:
                self._idle.append(child)
            else:
                await child.close()
        return evolve(known, **facts)


@define(eq=False)
class _Child:
    process: Process
    orders: ByteSendStream
    answers: BufferedByteReceiveStream
    trouble: str = ""
    """Why it cannot read anything."""

    @classmethod
    async def start(cls, seconds: float) -> Self:
        """Raises `OSError` where no process can be had."""
        # Isolated: neither the folder that we are in nor the user's own variables decide what it runs.
        process = await anyio.open_process(
            [sys.executable, "-I", CHILD], stderr=DEVNULL, env=_without_secrets(os.environ), start_new_session=True
        )
        if process.stdin is None or process.stdout is None:
            raise OSError("a process without pipes")
        child = cls(process, process.stdin, BufferedByteReceiveStream(process.stdout))
        try:
            await child._send({"modules": sys.path, "memory": MEMORY, "seconds": seconds + 5})
            child.trouble = (await child._answer())["trouble"]
        except _Died:
            await child.close()
            raise ChildProcessError("it ended at once") from None
        except BaseException:
            await child.close()
            raise
        return child

    async def ask(self, path: Path | None, size: int, chunks: Chunks) -> dict[str, Any]:
        """What it finds in a film. Raises `_Died`, and what `chunks` raises."""
        if self.trouble:
            return {"unread": f"{self.trouble}; {MISSING}"}
        if path is not None:
            await self._send({"path": str(path.absolute())})  # noqa: ASYNC240 - asks no disk
            return await self._answer()
        await self._send({"bytes": size})
        async with aclosing(chunks()) as content:
            async for chunk in content:
                await self._put(chunk)
        return await self._answer()

    async def _send(self, order: Mapping[str, Any]) -> None:
        await self._put(json.dumps(order).encode() + b"\n")

    async def _put(self, data: bytes) -> None:
        try:
            await self.orders.send(data)
        except (*_GONE, OSError):
            raise _Died from None

    async def _answer(self) -> dict[str, Any]:
        try:
            answer = json.loads(await self.answers.receive_until(b"\n", LONGEST_ANSWER))
        except (*_GONE, OSError, ValueError):
            raise _Died from None
        if not isinstance(answer, dict):
            raise _Died
        return answer

    async def close(self) -> None:
        """Ends it, whatever it is doing."""
        with CancelScope(shield=True):
            if self.process.returncode is None:
                self.process.kill()
            await self.process.aclose()


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process needs that decodes strangers' files: no key, nor where one is."""
    return {name: value for name, value in environment.items() if not name.upper().startswith("OCHY_")}
