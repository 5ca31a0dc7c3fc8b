"""A TCP proxy on loopback that can stop to forward what a connection sends, or close it instead."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress

import anyio
from attrs import define, field


@define
class SilencingProxy:
    """The connections so far, by the order in which they came."""

    port: int = 0
    heard: list[int] = field(factory=list)
    """How many bytes the server has sent on each."""
    silent: set[int] = field(factory=set)
    """The numbers of the connections on which nothing is forwarded any more."""
    cuts: int = 0
    """So many of the next answers close their connection instead of being forwarded."""

    async def forward(self, reader: StreamReader, writer: StreamWriter, number: int, counted: bool) -> None:
        """Forwards one direction until it ends. A client that ends with unread bytes resets its connection."""
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if counted and self.cuts:
                    self.cuts -= 1
                    return
                if number not in self.silent:
                    writer.write(data)
                    self.heard[number] += len(data) * counted


@asynccontextmanager
async def silencing_proxy(server_port: int) -> AsyncGenerator[SilencingProxy]:
    """A proxy to this port while the block runs."""
    proxy = SilencingProxy()
    async with anyio.create_task_group() as tasks:

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            number = len(proxy.heard)
            proxy.heard.append(0)
            upward, downward = await asyncio.open_connection("127.0.0.1", server_port)
            with closing(writer), closing(downward):
                async with anyio.create_task_group() as directions:
                    directions.start_soon(proxy.forward, reader, downward, number, False)
                    await proxy.forward(upward, writer, number, True)
                    directions.cancel_scope.cancel()

        listener = await asyncio.start_server(lambda *pair: tasks.start_soon(serve, *pair), "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield proxy
            tasks.cancel_scope.cancel()
