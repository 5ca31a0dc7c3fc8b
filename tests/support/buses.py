"""Buses of tests, by the name of their server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import define, field, frozen

from ochy_async.webhooks.bus import BusError
from ochy_async.webhooks.postgres_bus import PostgresBus
from ochy_async.webhooks.redis_bus import RedisBus
from ochy_async.webhooks.remote_bus import RemoteBus
from tests.support.servers import PostgresServer, RedisServer, Server

SECONDS = 60
"""How long a test waits for what takes milliseconds."""


@frozen
class BusKind:
    """One kind of bus, the server that it needs, and how to look at that server from outside."""

    bus: type[RemoteBus]
    server: type[Server]
    send_raw: Callable[[str, str, list[str]], Any]
    """Sends texts on a channel as another program would."""
    count_connections: Callable[[str], Any]
    """How many connections other than its own the server has."""

    def make(self, server: Server, **settings: Any) -> RemoteBus:
        """A bus of this kind. Skips the test, with the reason, if its library is missing."""
        pytest.importorskip(self.bus.library, reason=f"needs the extra {self.bus.extra}: {self.bus.library} is missing")
        bus = self.bus(server.url, **settings)
        bus.reply_seconds = bus.connect_seconds = 2
        return bus


async def _postgres(url: str) -> Any:
    import asyncpg

    return await asyncpg.connect(url)


async def _postgres_send(url: str, channel: str, texts: list[str]) -> None:
    connection = await _postgres(url)
    await connection.execute("SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text", channel, texts)
    await connection.close()


async def _postgres_count(url: str) -> int:
    connection = await _postgres(url)
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    count: int = await connection.fetchval(query)
    await connection.close()
    return count - 1


def _redis(url: str) -> Any:
    import redis.asyncio

    return redis.asyncio.Redis.from_url(url)


async def _redis_send(url: str, channel: str, texts: list[str]) -> None:
    client = _redis(url)
    commands = client.pipeline(transaction=False)
    for text in texts:
        commands.publish(channel, text.encode("latin-1"))
    await commands.execute()
    await client.aclose()


async def _redis_count(url: str) -> int:
    client = _redis(url)
    count = len(await client.client_list()) - 1
    await client.aclose()
    return count


KINDS = {
    "postgres": BusKind(PostgresBus, PostgresServer, _postgres_send, _postgres_count),
    "redis": BusKind(RedisBus, RedisServer, _redis_send, _redis_count),
}


@define
class Listener:
    """What one bus received so far, and how its listening ended."""

    bus: RemoteBus
    received: list[str] = field(factory=list)
    ready_count: int = 0
    error: BusError | None = None

    async def run(self) -> None:
        """Listens until the connection is lost or the task is cancelled."""
        try:
            await self.bus.listen(self.received.append, self._count)
        except BusError as error:
            self.error = error

    async def until_lost(self) -> BusError:
        """The error that ended the listening."""
        await until(lambda: self.error is not None)
        assert self.error is not None
        return self.error

    def _count(self) -> None:
        self.ready_count += 1


@asynccontextmanager
async def listening(*buses: RemoteBus) -> AsyncGenerator[list[Listener]]:
    """Listens on every bus while the block runs, from when all are ready."""
    listeners = [Listener(bus) for bus in buses]
    async with anyio.create_task_group() as tasks:
        for listener in listeners:
            tasks.start_soon(listener.run)
        await until(lambda: all(listener.ready_count for listener in listeners))
        yield listeners
        tasks.cancel_scope.cancel()


async def until_connections(kind: BusKind, server: Server, count: int) -> None:
    """Waits until the server has at most so many connections. It learns of an end a little later than the client."""
    with anyio.fail_after(SECONDS):
        while await kind.count_connections(server.url) > count:  # noqa: ASYNC110 - another process changes it
            await anyio.sleep(0.01)


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Waits until something is true."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - the conditions change in other processes too
            await anyio.sleep(0.005)


def count_ready(bus: RemoteBus) -> list[None]:
    """One entry for each time that the bus was connected."""
    listen, counted = bus.listen, list[None]()

    async def counting(receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        def count() -> None:
            counted.append(None)
            ready()

        await listen(receive, count)

    bus.listen = counting  # type: ignore[method-assign]
    return counted
