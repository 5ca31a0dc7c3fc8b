"""One decoding child process, as its parent handles it: started, tested with the proof clip, asked, and ended.

Invariant: a child never blocks its parent and never outlives `close`. What it writes to stderr is kept within bounds
and reveals no secret.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
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
"""Bytes of address space of a child."""
START_TIMEOUT: Final = 30.0
"""Seconds to load the decoder and to read the proof clip, on a slow disk too."""
GRACE: Final = 5.0
"""Seconds after a time limit at which a child ends by itself, in case its parent is gone."""
EXIT_TIMEOUT: Final = 1.0
"""Seconds for a child that has closed its pipes to return its exit code."""
MAX_ANSWER: Final = 65_536
MAX_STDERR: Final = 8_192
"""Bytes from the end of stderr that are kept."""

_ENVIRONMENT: Final = frozenset(
    (
        *("LANG", "LC_ALL", "LC_CTYPE"),  # the encoding of file names
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),  # where Python itself may be
        *(("SYSTEMROOT", "PATH") if os.name == "nt" else ()),
    )
)
"""The variables that a child gets."""

Chunks = Callable[[], AsyncGenerator[bytes]]
_GONE: Final = (BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead)


@frozen
class Decoder:
    """The decoder on this machine, as far as its process reported it."""

    versions: Mapping[str, str] = field(factory=dict)
    """The versions of `PyAV` and `FFmpeg`."""
    problem: str = ""
    """Why it cannot be used; empty if it read the proof clip correctly."""
    stderr: str = ""
    """The end of what its process wrote to stderr."""

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self.versions.items()) or _installed()

    @property
    def library(self) -> str:
        """`PyAV` and its version."""
        return f"PyAV {self.versions['PyAV']}" if "PyAV" in self.versions else _installed()


def _installed() -> str:
    from importlib.metadata import PackageNotFoundError, version

    with suppress(PackageNotFoundError):
        return f"PyAV {version('av')}"
    return "PyAV"


class ChildDied(Exception):
    """The child has exited, or does not follow the protocol."""


class ProbeFailed(Exception):
    """The child cannot report the facts of this clip, for a reason that is not the clip's fault."""


class DecoderUnusable(Exception):
    """No child could be started that reads the proof clip correctly."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder.problem)
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
    async def start(cls) -> Self:
        """Starts a child. Raises `DecoderUnusable`."""
        errors = _ErrorPipe.create()
        try:
            child = cls(*await _open_process(errors), errors)
        except (OSError, NotImplementedError) as error:
            errors.close()
            raise DecoderUnusable(Decoder(problem=f"no process could be started ({type(error).__name__})")) from None
        except BaseException:
            errors.close()
            raise
        try:
            with move_on_after(START_TIMEOUT):
                child.decoder = await child._prove()
                return child
            raise DecoderUnusable(Decoder(problem=f"it did not start within {START_TIMEOUT:g} s", stderr=errors.tail()))
        except BaseException:
            await child.close()
            raise

    async def _prove(self) -> Decoder:
        limits = {"memory": MEMORY, "start_seconds": START_TIMEOUT + GRACE}
        try:
            await self._send({"modules": sys.path, **limits})
            answer = await self._receive()
        except ChildDied:
            raise DecoderUnusable(Decoder(problem=await self._exit_reason(), stderr=self.errors.tail())) from None
        problem = _sanitized(str(answer.get("error", "it did not report the result of its test")))
        decoder = Decoder(_versions(answer.get("decoder")), problem)
        if decoder.problem:
            raise DecoderUnusable(Decoder(decoder.versions, decoder.problem, self.errors.tail()))
        self.errors.tail()  # discards the warnings of imports, which do not concern a clip
        return decoder

    async def _exit_reason(self) -> str:
        """Why the child did not start."""
        with move_on_after(EXIT_TIMEOUT):
            code = await self.process.wait()
            return f"its process ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
        return "its process gave an invalid answer"

    async def ask(self, path: Path | None, size: int, chunks: Chunks, seconds: float) -> dict[str, Any]:
        """The facts that the child reads from a clip. It ends itself if that takes clearly longer than `seconds`.

        Raises `ChildDied`, `ProbeFailed`, and what `chunks` raises.
        """
        self.errors.tail()  # discards what concerns earlier clips
        limit = {"seconds": seconds + GRACE}
        if path is not None:
            await self._send({"path": str(path.absolute()), **limit})  # noqa: ASYNC240 - does not access the disk
        else:
            await self._send({"bytes": size, **limit})
            async with aclosing(chunks()) as content:
                async for chunk in content:
                    await self._write(chunk)
        answer = await self._receive()
        if error := answer.get("error"):
            raise ProbeFailed(_sanitized(str(error), path))
        facts = answer.get("facts")
        if not isinstance(facts, dict):
            raise ChildDied
        return facts

    async def _send(self, order: Mapping[str, Any]) -> None:
        await self._write(json.dumps(order).encode() + b"\n")

    async def _write(self, data: bytes) -> None:
        try:
            await self.orders.send(data)
        except (*_GONE, OSError):
            raise ChildDied from None

    async def _receive(self) -> dict[str, Any]:
        try:
            answer = json.loads(await self.answers.receive_until(b"\n", MAX_ANSWER))
        except (*_GONE, OSError, ValueError):
            raise ChildDied from None
        if not isinstance(answer, dict):
            raise ChildDied
        return answer

    def kill(self) -> None:
        """Kills the child. Call `close` afterwards."""
        # Only once: a second kill could reap the process before asyncio does, which then warns on stderr.
        if not self._killed and self.process.returncode is None:
            self._killed = True
            self.process.kill()

    async def close(self) -> None:
        """Ends the child, whatever it is doing, and however often the task is cancelled meanwhile."""
        self.kill()
        try:
            await run_to_completion(self.process.aclose)
        finally:
            self.errors.close()


async def _open_process(errors: _ErrorPipe) -> tuple[Process, ByteSendStream, BufferedByteReceiveStream]:
    """A child and its pipes. Raises `OSError`."""
    # Isolated mode: neither the working directory nor the user's variables decide which modules it imports.
    process = await anyio.open_process(
        [sys.executable, "-I", CHILD],
        stderr=errors.for_child,
        env=child_environment(os.environ),
        start_new_session=True,
    )
    errors.close_write_end()
    if process.stdin is None or process.stdout is None:
        raise OSError("a process without pipes")
    return process, process.stdin, BufferedByteReceiveStream(process.stdout)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter needs to start and to decode file names. No other is passed: no secret is."""
    return {name: value for name, value in environment.items() if name.upper() in _ENVIRONMENT}


def _versions(answer: object) -> dict[str, str]:
    found = answer if isinstance(answer, dict) else {}
    return {str(name): _sanitized(str(value))[:40] for name, value in found.items()}


# --- stderr -----------------------------------------------------------------------------------------


@define(eq=False)
class _ErrorPipe:
    """A pipe that never blocks its writer: what does not fit is dropped, so nobody has to drain it.

    It is read only when needed. A file would need disk space, and a concurrent reader would need a task of its own.
    """

    _read: int | None = None
    _write: int | None = None

    @classmethod
    def create(cls) -> _ErrorPipe:
        """A new pipe. Where the system has no non-blocking pipes it has no ends, and stderr is discarded."""
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
    def for_child(self) -> int:
        """The stderr of the child."""
        return DEVNULL if self._write is None else self._write

    def close_write_end(self) -> None:
        """Call it once the child has its own copy; ours would keep the pipe open."""
        write, self._write = self._write, None
        if write is not None:
            os.close(write)

    def tail(self, hidden: Path | None = None) -> str:
        """The end of what was written since the last call, sanitized; the path `hidden` is left out."""
        written = b""
        with suppress(OSError):
            while self._read is not None and (more := os.read(self._read, MAX_ANSWER)):
                written = (written + more)[-MAX_STDERR:]
        return _sanitized(written.decode(errors="replace"), hidden)

    def close(self) -> None:
        """Closes both ends."""
        self.close_write_end()
        read, self._read = self._read, None
        if read is not None:
            os.close(read)


_UNPRINTABLE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # the complement takes milliseconds to compile
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def _sanitized(text: str, hidden: Path | None = None) -> str:
    """Foreign text for people, without addresses, control characters, the home directory, and the name of the clip."""
    if hidden is not None:
        text = text.replace(str(hidden.absolute()), "(the clip)").replace(hidden.name, "(the clip)")
    home = str(Path.home()) if "HOME" in os.environ or os.name == "nt" else ""
    if len(home) > 1:
        text = text.replace(home, "~")
    return _ADDRESS.sub("(an address)", _UNPRINTABLE.sub("", text)).strip()
