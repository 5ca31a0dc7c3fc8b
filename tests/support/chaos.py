"""A TCP proxy on loopback that breaks or slows down the connections that go through it, each by a seeded draw.

Invariant: except for an early head of a response, each side receives only what the other side sent.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from enum import StrEnum
from typing import Final

from anyio import CancelScope, create_task_group
from attrs import define, field, frozen

HOST: Final = "127.0.0.1"
BUFFER: Final = 16_384
"""Bytes that the proxy reads at once. With more, a clip would be sent before anything can go wrong."""
LONGEST: Final = 4_000_000
"""Largest number of bytes after which a connection is broken."""
STALL_SECONDS: Final = 3.0
EARLY_HEAD: Final = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
RESET: Final = struct.pack("ii", 1, 0)
"""A linger of zero seconds: the peer sees a reset instead of a regular close."""
_URL: Final = re.compile(rb"(?:GET|POST|PUT) /\S*")


class ConnectionFault(StrEnum):
    """How a connection is broken."""

    CLOSE = "close"
    RESET = "reset"
    HALF_CLOSE = "half-close"
    """The receiver sees the end of the stream; the other direction goes on."""
    STALL = "stall"
    """Nothing is forwarded in this direction for a while; then both sides see a reset."""
    EARLY_HEAD = "early head"
    """The client receives the head of a 202 at once, and the body of the response when it arrives."""


@frozen(kw_only=True)
class ConnectionBehavior:
    """What happens to one connection; by default nothing."""

    delay: float = 0.0
    """Seconds before anything is forwarded."""
    rate: float | None = None
    """Bytes per second that are forwarded in each direction; None is no limit."""
    fault: ConnectionFault | None = None
    upward: bool = True
    """Whether `after` counts the bytes of the client or those of the server."""
    after: int = 0
    """Bytes that are forwarded before the fault."""


def random_connection_behavior(chance: random.Random) -> ConnectionBehavior:
    """Most connections break once enough bytes have passed; some are slow."""
    fault = (
        chance.choice((*list(ConnectionFault)[:4] * 2, ConnectionFault.EARLY_HEAD)) if chance.random() < 0.7 else None
    )
    upward = fault is ConnectionFault.EARLY_HEAD or chance.random() < 0.5
    return ConnectionBehavior(
        delay=chance.choice((0.0, 0.0, chance.uniform(0.0, 0.3))),
        rate=chance.choice((None, None, chance.uniform(1_000_000, 20_000_000))),
        fault=fault,
        upward=upward,
        after=chance.randrange(chance.choice((300, 2_000, 20_000, LONGEST) if upward else (1, 200, 2_000))),
    )


@define(eq=False)
class ChaosProxy:
    """A proxy in front of a server on this machine."""

    url: str
    transparent: bool = False
    """Whether new connections are left alone from now on."""
    faults: Counter[str] = field(factory=Counter)
    """How often connections broke in which way, or none was accepted for a while (`refusal`)."""
    sent: list[bytes] = field(factory=list)
    """The bytes that each client sent, without the URLs of its requests, which contain the key."""
    open: int = 0
    """The number of open connections."""


@frozen(eq=False)
class _Connection:
    """One connection of a client and the corresponding one to the server."""

    proxy: ChaosProxy
    behavior: ConnectionBehavior
    client: tuple[StreamReader, StreamWriter]
    server: tuple[StreamReader, StreamWriter]
    sent: bytearray
    early: asyncio.Event = field(factory=asyncio.Event)
    """Whether the early head was sent."""

    async def forward(self) -> None:
        """Forwards both directions until both are closed or the connection breaks."""
        await asyncio.sleep(self.behavior.delay)
        async with create_task_group() as group:
            for upward in (True, False):
                group.start_soon(self._one_way, upward, group.cancel_scope)

    async def _one_way(self, upward: bool, connection: CancelScope) -> None:
        (source, _), (_, target) = (self.client, self.server) if upward else (self.server, self.client)
        try:
            if upward is not self.behavior.upward or await self._forward_until_fault(source, target):
                await self._forward_bytes(source, target)
                target.write_eof()
        except OSError:  # a side or the proxy broke it
            connection.cancel()

    async def _forward_bytes(self, source: StreamReader, target: StreamWriter, most: int = 1 << 40) -> bool:
        """Forwards `most` bytes; False if the source closes earlier."""
        while most > 0 and (data := await source.read(min(most, BUFFER))):
            most -= len(data)
            if target is self.server[1]:
                self.sent.extend(data)
            elif self.early.is_set():
                await _send(target, data.partition(b"\r\n\r\n")[2])
                raise ConnectionAbortedError
            await _send(target, data)
            if self.behavior.rate is not None:
                await asyncio.sleep(len(data) / self.behavior.rate)
        return most == 0

    async def _forward_until_fault(self, source: StreamReader, target: StreamWriter) -> bool:
        """Forwards the bytes before the fault and applies it; returns whether the direction stays open."""
        fault = self.behavior.fault
        if fault is None or not await self._forward_bytes(source, target, self.behavior.after):
            return True
        self.proxy.faults[fault] += 1
        if fault is ConnectionFault.EARLY_HEAD:
            self.early.set()
            await _send(self.client[1], EARLY_HEAD)
            return True
        if fault is ConnectionFault.HALF_CLOSE:
            target.write_eof()
            return False
        if fault is ConnectionFault.STALL:
            await asyncio.sleep(STALL_SECONDS)
        if fault is not ConnectionFault.CLOSE:
            for _, writer in (self.client, self.server):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise ConnectionAbortedError


async def _send(target: StreamWriter, data: bytes) -> None:
    """Hands all bytes to the kernel."""
    target.transport.set_write_buffer_limits(0)
    target.write(data)
    await target.drain()


@asynccontextmanager
async def chaos_proxy(server_port: int, seed: int) -> AsyncGenerator[ChaosProxy]:
    """A proxy in front of the server on that port, for the duration of the block."""
    chance = random.Random(seed)
    with _bound(0) as held:  # reserves the port while nothing listens on it
        port = held.getsockname()[1]
        proxy = ChaosProxy(f"http://{HOST}:{port}")
        async with create_task_group() as group:
            group.start_soon(_listen, proxy, port, server_port, chance)
            yield proxy
            group.cancel_scope.cancel()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    made.bind((HOST, port))
    return made


async def _listen(proxy: ChaosProxy, port: int, server_port: int, chance: random.Random) -> None:
    """Accepts connections, and sometimes refuses them for a while."""
    async with create_task_group() as group:

        def accepted(reader: StreamReader, writer: StreamWriter) -> None:
            proxy.open += 1
            behavior = ConnectionBehavior() if proxy.transparent else random_connection_behavior(chance)
            group.start_soon(_serve, proxy, behavior, (reader, writer), server_port)

        while True:
            with closing(await asyncio.start_server(accepted, sock=_bound(port), limit=BUFFER)):
                await asyncio.sleep(chance.uniform(1.0, 4.0))
            if not proxy.transparent:
                proxy.faults["refusal"] += 1
                await asyncio.sleep(chance.uniform(0.0, 0.4))


async def _serve(
    proxy: ChaosProxy, behavior: ConnectionBehavior, client: tuple[StreamReader, StreamWriter], server_port: int
) -> None:
    sent, writers = bytearray(), [client[1]]
    try:
        server = await asyncio.open_connection(HOST, server_port, limit=BUFFER)
        writers.append(server[1])
        await _Connection(proxy, behavior, client, server, sent).forward()
    finally:
        for writer in writers:
            writer.transport.abort()
        proxy.sent.append(_URL.sub(b"", bytes(sent)))
        proxy.open -= 1
