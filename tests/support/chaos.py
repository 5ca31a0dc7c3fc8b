"""A TCP proxy on loopback that breaks or slows down the connections that go through it, each by a seeded draw.

Invariant: it makes up nothing but an early head of an answer; whatever else a side hears, the other side said.
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
"""Bytes that the proxy takes at once: with more, clips are handed over before anything can go wrong."""
LONGEST: Final = 4_000_000
"""Bytes of a connection within which it may be broken."""
STALL_SECONDS: Final = 3.0
EARLY_HEAD: Final = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
RESET: Final = struct.pack("ii", 1, 0)
"""A linger of zero seconds: whoever is at the other end sees a reset and no tidy end."""
_URL: Final = re.compile(rb"(?:GET|POST|PUT) /\S*")


class Fault(StrEnum):
    """How a connection is broken."""

    CLOSE = "close"
    RESET = "reset"
    HALF_CLOSE = "half-close"
    """The receiver sees the end of the stream; the other direction goes on."""
    STALL = "stall"
    """Nothing is passed on in this direction for a while; then both sides see a reset."""
    EARLY_HEAD = "early head"
    """The client gets the head of a 202 now, and the body of the answer when it comes."""


@frozen(kw_only=True)
class Behavior:
    """What happens to one connection; by default nothing does."""

    delay: float = 0.0
    """Seconds before anything is passed on."""
    rate: float | None = None
    """Bytes per second that are passed on in each direction; None is as fast as they come."""
    fault: Fault | None = None
    upward: bool = True
    """Whether `after` counts what the client says, or what the server says."""
    after: int = 0
    """Bytes that are passed on before the fault."""


def random_behavior(chance: random.Random) -> Behavior:
    """Most connections are to be broken, if so many bytes go through them; some of all are slow."""
    fault = chance.choice((*list(Fault)[:4] * 2, Fault.EARLY_HEAD)) if chance.random() < 0.7 else None
    upward = fault is Fault.EARLY_HEAD or chance.random() < 0.5
    return Behavior(
        delay=chance.choice((0.0, 0.0, chance.uniform(0.0, 0.3))),
        rate=chance.choice((None, None, chance.uniform(1_000_000, 20_000_000))),
        fault=fault,
        upward=upward,
        after=chance.randrange(chance.choice((300, 2_000, 20_000, LONGEST) if upward else (1, 200, 2_000))),
    )


@define(eq=False)
class ChaosProxy:
    """Stands before a server on this machine."""

    url: str
    transparent: bool = False
    """Whether new connections pass unharmed from now on."""
    faults: Counter[str] = field(factory=Counter)
    """How often a connection was broken, and how, or none was accepted for a while."""
    said: list[bytes] = field(factory=list)
    """What each client said, without the URLs of its requests: those hold the key."""
    open: int = 0
    """Connections that go through it at the moment."""


@frozen(eq=False)
class _Connection:
    """One connection of a client, and the one to the server that it leads to."""

    proxy: ChaosProxy
    behavior: Behavior
    client: tuple[StreamReader, StreamWriter]
    server: tuple[StreamReader, StreamWriter]
    said: bytearray
    early: asyncio.Event = field(factory=asyncio.Event)
    """Whether the early head was sent."""

    async def pass_on(self) -> None:
        """Passes on what both sides say, until both have ended, or the connection is broken."""
        await asyncio.sleep(self.behavior.delay)
        async with create_task_group() as group:
            for upward in (True, False):
                group.start_soon(self._one_way, upward, group.cancel_scope)

    async def _one_way(self, upward: bool, connection: CancelScope) -> None:
        (source, _), (_, target) = (self.client, self.server) if upward else (self.server, self.client)
        try:
            if upward is not self.behavior.upward or await self._goes_on(source, target):
                await self._pass(source, target)
                target.write_eof()
        except OSError:  # one side broke it, or we did
            connection.cancel()

    async def _pass(self, source: StreamReader, target: StreamWriter, most: int = 1 << 40) -> bool:
        """Passes on so many bytes. False where the source ends before."""
        while most > 0 and (data := await source.read(min(most, BUFFER))):
            most -= len(data)
            if target is self.server[1]:
                self.said.extend(data)
            elif self.early.is_set():
                await _send(target, data.partition(b"\r\n\r\n")[2])
                raise ConnectionAbortedError
            await _send(target, data)
            if self.behavior.rate is not None:
                await asyncio.sleep(len(data) / self.behavior.rate)
        return most == 0

    async def _goes_on(self, source: StreamReader, target: StreamWriter) -> bool:
        """Passes on what comes before the fault, then plays it. Whether the direction goes on."""
        fault = self.behavior.fault
        if fault is None or not await self._pass(source, target, self.behavior.after):
            return True
        self.proxy.faults[fault] += 1
        if fault is Fault.EARLY_HEAD:
            self.early.set()
            await _send(self.client[1], EARLY_HEAD)
            return True
        if fault is Fault.HALF_CLOSE:
            target.write_eof()
            return False
        if fault is Fault.STALL:
            await asyncio.sleep(STALL_SECONDS)
        if fault is not Fault.CLOSE:
            for _, writer in (self.client, self.server):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise ConnectionAbortedError


async def _send(target: StreamWriter, data: bytes) -> None:
    """Gives the kernel all of it."""
    target.transport.set_write_buffer_limits(0)
    target.write(data)
    await target.drain()


@asynccontextmanager
async def chaos_proxy(server_port: int, seed: int) -> AsyncGenerator[ChaosProxy]:
    """A proxy before the server on that port, as long as the block runs."""
    chance = random.Random(seed)
    with _bound(0) as held:  # keeps the port ours while nothing listens there
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
    """Accepts connections, and now and then refuses them for a while."""
    async with create_task_group() as group:

        def accepted(reader: StreamReader, writer: StreamWriter) -> None:
            proxy.open += 1
            behavior = Behavior() if proxy.transparent else random_behavior(chance)
            group.start_soon(_serve, proxy, behavior, (reader, writer), server_port)

        while True:
            with closing(await asyncio.start_server(accepted, sock=_bound(port), limit=BUFFER)):
                await asyncio.sleep(chance.uniform(1.0, 4.0))
            if not proxy.transparent:
                proxy.faults["refusal"] += 1
                await asyncio.sleep(chance.uniform(0.0, 0.4))


async def _serve(
    proxy: ChaosProxy, behavior: Behavior, client: tuple[StreamReader, StreamWriter], server_port: int
) -> None:
    said, writers = bytearray(), [client[1]]
    try:
        server = await asyncio.open_connection(HOST, server_port, limit=BUFFER)
        writers.append(server[1])
        await _Connection(proxy, behavior, client, server, said).pass_on()
    finally:
        for writer in writers:
            writer.transport.abort()
        proxy.said.append(_URL.sub(b"", bytes(said)))
        proxy.open -= 1
