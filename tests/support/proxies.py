"""A small CONNECT proxy on loopback for tests. It behaves as configured and records what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing, suppress
from ssl import SSLContext

from attrs import define, field

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@define(eq=False)
class Tunnels:
    """A proxy that maps every host name to this machine, with the requested port."""

    answer: bytes | None = ESTABLISHED
    """What a CONNECT is answered with; None is nothing, ever."""
    up: int = 1 << 40
    """Bytes of a tunnel that are passed on to the server; then it is cut."""
    cut: Callable[[], bool] = lambda: False
    """Whether a tunnel is cut instead of passing on what the server says."""
    port: int = 0
    heads: list[str] = field(factory=list)
    """The head of each request that came."""
    _serving: list[asyncio.Task[None]] = field(factory=list)

    @property
    def request_lines(self) -> list[str]:
        """The first line of each request."""
        return [head.partition("\r\n")[0] for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if self.answer is None:
                await asyncio.sleep(60)
            writer.write(self.answer or b"")
            if self.answer == ESTABLISHED:
                port = int(head.split()[1].rpartition(":")[2])
                await self._tunnel(reader, writer, *await asyncio.open_connection("127.0.0.1", port))

    async def _tunnel(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.ensure_future(_pass(reader, far_writer, self.up, lambda: False)),
            asyncio.ensure_future(_pass(far_reader, writer, 1 << 40, self.cut)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter, most: int, cut: Callable[[], bool]) -> None:
    while most > 0 and (data := await source.read(min(most, 65_536))) and not cut():
        most -= len(data)
        target.write(data)
        await target.drain()


@asynccontextmanager
async def tunnels(ssl: SSLContext | None = None) -> AsyncGenerator[Tunnels]:
    """A proxy that runs inside the block."""
    made = Tunnels()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=ssl) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made
        await made.close()
