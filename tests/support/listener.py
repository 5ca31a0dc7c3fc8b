"""A server that records what it receives of a start, byte by byte, and may answer before it has all of it.

Unlike the emulator it shows what is on the wire at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from attrs import define, field

ACCEPTED: Final = b'{"message": "started", "video_id": "a1"}'
READ_BYTES: Final = 65_536


@define
class Listener:
    """A server that records what it receives, and accepts what is complete. `early` may answer before that."""

    url: str = ""
    bodies: list[bytearray] = field(factory=list)
    declared: int = 0
    complete: int = 0
    """Complete requests."""
    ended: anyio.Event = field(factory=anyio.Event)
    """Set when a client closes a connection whose request is not complete."""
    early: list[bytes] = field(factory=list)
    """Answers to the first requests, sent when `answer_early` is set."""
    answer_early: anyio.Event = field(factory=anyio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length")]
        if not lengths:  # no start
            writer.write(answer(404, b"{}"))
            writer.close()
            return
        self.declared, body = lengths[0], bytearray()
        self.bodies.append(body)
        early = self.early.pop(0) if self.early else None
        async with anyio.create_task_group() as tasks:
            if early is not None:
                tasks.start_soon(self._answer_early, writer, early)
            while len(body) < self.declared and (data := await reader.read(READ_BYTES)):
                body.extend(data)
            tasks.cancel_scope.cancel()
        if len(body) == self.declared:
            self.complete += 1
            writer.write(answer(202, ACCEPTED))
        else:
            self.ended.set()
        writer.close()

    async def _answer_early(self, writer: asyncio.StreamWriter, early: bytes) -> None:
        await self.answer_early.wait()
        writer.write(early)


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


@asynccontextmanager
async def listening() -> AsyncGenerator[Listener]:
    """Listens on a free port of this machine."""
    listener = Listener()
    server = await asyncio.start_server(listener.handle, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield listener
