"""Copies of objects on this machine while a batch works with them: temporary files, of a bounded size in total.

Invariant: a copy is a file without a name, so that it ends with its process at the latest, and nobody else can open it.
Whoever waits for space holds nothing that the owner of a copy may wait for; `batch.pipeline` sees to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from io import FileIO
from typing import Final, TypeVar

from anyio import Event, Lock, to_thread
from attrs import define, field

from ..cancellation import run_to_completion
from ..clips import Chunks, read_blocking, read_cached
from ..durable_files import write_all
from ..errors import SourceError

__all__ = ["SPOOL_BYTES", "Copy", "Spool"]

T = TypeVar("T")

SPOOL_BYTES: Final = 512 * 1024 * 1024
"""The bytes of all copies together, unless `objects` is given another number."""


@define(eq=False)
class Copy:
    """A copy of an object."""

    size: int
    _file: FileIO
    _resources: AsyncExitStack

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Reads it from its beginning."""
        position = 0
        while position < self.size and (
            chunk := read_cached(self._file, position) or await _in_thread(partial(read_blocking, self._file, position))
        ):
            position += len(chunk)
            yield chunk

    async def delete(self) -> None:
        """Frees its space."""
        await self._resources.aclose()


@define(eq=False)
class Spool:
    """The space for copies."""

    capacity: int
    used: int = field(default=0, init=False)
    _turn: Lock = field(factory=Lock, init=False)
    _freed: Event | None = field(default=None, init=False)

    async def copy(self, size: int, chunks: Chunks) -> Copy:
        """Copies what `chunks` opens, once there is space for it. Raises what that raises, and `SourceError`."""
        async with AsyncExitStack() as stack:
            await self._reserve(size)
            stack.callback(self._free, size)
            file = await _in_thread(_nameless_file)
            stack.push_async_callback(run_to_completion, partial(to_thread.run_sync, file.close))
            async with aclosing(chunks()) as source:
                async for chunk in source:
                    await _in_thread(partial(write_all, file, chunk))
            return Copy(size, file, stack.pop_all())

    async def _reserve(self, size: int) -> None:
        async with self._turn:  # in the order of arrival, so that no large clip is overtaken for ever
            while self.used + size > self.capacity:
                self._freed = Event()
                await self._freed.wait()
            self.used += size

    def _free(self, size: int) -> None:
        self.used -= size
        if self._freed is not None:
            self._freed.set()


def _nameless_file() -> FileIO:
    return tempfile.TemporaryFile(buffering=0)


async def _in_thread(work: Callable[[], T]) -> T:
    """Runs work on a temporary file in a thread. Raises `SourceError` for errors of the disk."""
    try:
        return await to_thread.run_sync(work)
    except OSError as error:
        reason = error.strerror
    raise SourceError(
        f"The clip could not be copied to {tempfile.gettempdir()!r}: {reason}. Nothing was charged. Free some space "
        "there, or set TMPDIR to another folder, and run again."
    )
