"""A process that decodes, as the other side sees it: started, proven, asked, ended.

Invariant: whatever it does, it neither blocks whoever asks nor outlives `close`; what it says on stderr is kept
in bounds and tells no secret.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Final, Self

import anyio
from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    IncompleteRead,
    move_on_after,
)
from anyio.abc import ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, field, frozen

from ..cancellation import run_to_completion

__all__ = ["CHILD", "ChildDied", "Chunks", "Decoder", "DecoderProcess", "DecoderUnusable", "ProbeFailed"]

CHILD: Final = str(Path(__file__).with_name("child.py"))
MEMORY: Final = 2 << 30
"""Bytes of address space for a process."""
TO_START: Final = 30.0
"""Seconds to load the decoder and to read the proof clip, on a slow disk too."""
TO_END: Final = 1.0
"""Seconds for a process that closed its pipes to tell its exit code."""
LONGEST_ANSWER: Final = 65_536
LONGEST_TAIL: Final = 8_192
"""Bytes of stderr that are kept."""

_NEEDED: Final = frozenset(
    (
        *("LANG", "LC_ALL", "LC_CTYPE"),  # how names of files are encoded
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),  # where Python itself may lie
        *(("SYSTEMROOT", "PATH") if os.name == "nt" else ()),
    )
)
"""Variables that a process is given."""

Chunks = Callable[[], AsyncGenerator[bytes]]
_GONE: Final = (BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead)


@frozen
class Decoder:
    """What reads clips on this machine, as far as its process told."""

    versions: Mapping[str, str] = field(factory=dict)
    """Of `PyAV` and `FFmpeg`."""
    trouble: str = ""
    """Why nothing can be read with it; empty where it read the proof clip right."""
    said: str = ""
    """The end of what its process wrote to stderr."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self.versions.items()) or _installed()

    @property
    def library(self) -> str:
        """`PyAV` and its version."""
        return f"PyAV {self.versions['PyAV']}" if "PyAV" in self.versions else _installed()


def _installed() -> str:
    with suppress(PackageNotFoundError):
        return f"PyAV {version('av')}"
    return "PyAV"


class ChildDied(Exception):
    """The process is gone, or talks nonsense."""


class ProbeFailed(Exception):
    """The process cannot tell of this clip, for a reason that is not the clip's."""


class DecoderUnusable(Exception):
    """No process came up that reads the proof clip right. Holds a `Decoder`."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder.trouble)
        self.decoder = decoder


@define(eq=False)
class DecoderProcess:
    """A running child that has read the proof clip."""

    process: Process
    orders: ByteSendStream
    answers: BufferedByteReceiveStream
    errors: _ErrorPipe
    decoder: Decoder = Decoder()
    _killed: bool = field(default=False, init=False)

    @classmethod
    async def start(cls, seconds: float) -> Self:
        """Raises `DecoderUnusable`. `seconds` is for one look: what takes clearly longer ends itself."""
        errors = _ErrorPipe.opened()
        try:
            child = cls(*await _opened(errors), errors)
        except (OSError, NotImplementedError) as trouble:
            errors.close()
            raise DecoderUnusable(Decoder(trouble=f"no process could be started ({type(trouble).__name__})")) from None
        except BaseException:
            errors.close()
            raise
        try:
            with move_on_after(TO_START):
                child.decoder = await child._proven(seconds)
                return child
            raise DecoderUnusable(Decoder(trouble=f"it did not start within {TO_START:g} s", said=errors.tail()))
        except BaseException:
            await child.close()
            raise

    async def _proven(self, seconds: float) -> Decoder:
        settings = {"modules": sys.path, "memory": MEMORY, "seconds": seconds + 5, "to_start": TO_START + 5}
        try:
            await self._send(settings)
            answer = await self._answer()
        except ChildDied:
            raise DecoderUnusable(Decoder(trouble=await self._end(), said=self.errors.tail())) from None
        decoder = Decoder(_texts(answer.get("decoder")), _plain(str(answer.get("trouble", "it told nothing"))))
        if decoder.trouble:
            raise DecoderUnusable(Decoder(decoder.versions, decoder.trouble, self.errors.tail()))
        self.errors.tail()  # warnings of an import say nothing of a clip
        return decoder

    async def _end(self) -> str:
        """How a process ended that was to start."""
        with move_on_after(TO_END):
            code = await self.process.wait()
            return f"its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
        return "its process answered nonsense"

    async def ask(self, path: Path | None, size: int, chunks: Chunks) -> dict[str, Any]:
        """What it finds in a film. Raises `ChildDied`, `ProbeFailed`, and what `chunks` raises."""
        self.errors.tail()
        if path is not None:
            await self._send({"path": str(path.absolute())})  # noqa: ASYNC240 - asks no disk
        else:
            await self._send({"bytes": size})
            async with aclosing(chunks()) as content:
                async for chunk in content:
                    await self._put(chunk)
        answer = await self._answer()
        if trouble := answer.get("trouble"):
            raise ProbeFailed(_plain(str(trouble), path))
        facts = answer.get("facts")
        if not isinstance(facts, dict):
            raise ChildDied
        return facts

    async def _send(self, order: Mapping[str, Any]) -> None:
        await self._put(json.dumps(order).encode() + b"\n")

    async def _put(self, data: bytes) -> None:
        try:
            await self.orders.send(data)
        except (*_GONE, OSError):
            raise ChildDied from None

    async def _answer(self) -> dict[str, Any]:
        try:
            answer = json.loads(await self.answers.receive_until(b"\n", LONGEST_ANSWER))
        except (*_GONE, OSError, ValueError):
            raise ChildDied from None
        if not isinstance(answer, dict):
            raise ChildDied
        return answer

    def kill(self) -> None:
        """Lets it do nothing more; it is still to be closed."""
        # Once only: to kill it again would reap it behind the back of asyncio, which warns of that on stderr.
        if not self._killed and self.process.returncode is None:
            self._killed = True
            self.process.kill()

    async def close(self) -> None:
        """Ends it, whatever it is doing, and however often the task is cancelled meanwhile."""
        self.kill()
        try:
            await run_to_completion(self.process.aclose)
        finally:
            self.errors.close()


async def _opened(errors: _ErrorPipe) -> tuple[Process, ByteSendStream, BufferedByteReceiveStream]:
    """A process and its pipes. Raises `OSError`."""
    # Isolated: neither the folder that we are in nor the user's own variables decide what it runs.
    process = await anyio.open_process(
        [sys.executable, "-I", CHILD], stderr=errors.given, env=child_environment(os.environ), start_new_session=True
    )
    errors.handed_over()
    if process.stdin is None or process.stdout is None:
        raise OSError("a process without pipes")
    return process, process.stdin, BufferedByteReceiveStream(process.stdout)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter needs to start, and to spell the names of files; a stranger's film needs nothing else."""
    return {name: value for name, value in environment.items() if name.upper() in _NEEDED}


def _texts(told: object) -> dict[str, str]:
    return {str(name): _plain(str(value))[:40] for name, value in told.items()} if isinstance(told, dict) else {}


# --- what a process says ----------------------------------------------------------------------------


@define(eq=False)
class _ErrorPipe:
    """A pipe that never blocks its writer: what is too much for it is dropped, and nobody has to drain it.

    Read when there is a reason to. A file would need a disk with room, a reader beside it a task of its own.
    """

    _read: int | None = None
    _write: int | None = None

    @classmethod
    def opened(cls) -> _ErrorPipe:
        """Without one where the system cannot have it so: then nothing is kept."""
        try:
            read, write = os.pipe()
        except OSError:
            return cls()
        pipe = cls(read, write)
        try:
            for end in (read, write):
                os.set_blocking(end, False)
        except (AttributeError, OSError):  # Windows has it from Python 3.12 on
            pipe.close()
        return pipe

    @property
    def given(self) -> int:
        """What the process is to have as its stderr."""
        return DEVNULL if self._write is None else self._write

    def handed_over(self) -> None:
        """The process has its end; ours would keep the pipe open."""
        write, self._write = self._write, None
        if write is not None:
            os.close(write)

    def tail(self, hidden: Path | None = None) -> str:
        """The end of what was written since the last time, without what is nobody's business."""
        told = b""
        with suppress(OSError):
            while self._read is not None and (more := os.read(self._read, LONGEST_ANSWER)):
                told = (told + more)[-LONGEST_TAIL:]
        return _plain(told.decode(errors="replace"), hidden)

    def close(self) -> None:
        """Gives the pipe back."""
        self.handed_over()
        read, self._read = self._read, None
        if read is not None:
            os.close(read)


_UNPRINTABLE: Final = re.compile(r"[^\n\x20-\x7e\xa0-\U0010ffff]")
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def _plain(text: str, hidden: Path | None = None) -> str:
    """A stranger's text for people: no address, no control character, not whose computer it is, no clip's name."""
    if hidden is not None:
        text = text.replace(str(hidden.absolute()), "(the clip)").replace(hidden.name, "(the clip)")
    home = str(Path.home()) if "HOME" in os.environ or os.name == "nt" else ""
    if len(home) > 1:
        text = text.replace(home, "~")
    return _ADDRESS.sub("(an address)", _UNPRINTABLE.sub("", text)).strip()
