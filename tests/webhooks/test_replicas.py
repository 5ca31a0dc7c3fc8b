"""A delivery that one replica receives wakes the wait in another: in one process, over Postgres and over Redis."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio
import pytest
from anyio.to_thread import run_sync
from attrs import field, frozen

from ochy_async import OchySession, Webhooks
from ochy_async.emulator import Emulator
from ochy_async.wakes import Waker
from ochy_async.webhooks.remote_bus import RemoteBus
from tests.conftest import world
from tests.support import canary
from tests.support.buses import KINDS, BusKind, count_ready, until, until_connections
from tests.support.hook_servers import PATH, aiohttp_server, ask
from tests.support.servers import Server, running

pytestmark = pytest.mark.anyio


@frozen
class Replicas:
    """One replica that receives deliveries on a port, and one that waits. Without a bus they are the same."""

    waiting: Webhooks
    port: int
    ready: list[None] = field(factory=list)
    """One entry for each connection to the bus so far."""

    async def deliver(self, analysis_id: str, status: str = "success") -> None:
        """Delivers to the one that receives, which takes it."""
        answer = await ask(self.port, json.dumps({"analysisId": analysis_id, "status": status}).encode())
        assert answer.status == 204


async def enter(stack: AsyncExitStack, *buses: RemoteBus) -> Replicas:
    """Connected replicas on these buses, or one replica without a bus."""
    ready = [count_ready(bus) for bus in buses]
    hooks = [Webhooks(bus=bus) for bus in buses] or [Webhooks()]
    for each in hooks:
        await stack.enter_async_context(each)
    await until(lambda: all(ready))
    return Replicas(hooks[-1], await stack.enter_async_context(aiohttp_server(hooks[0])), ready[-1] if ready else [])


@pytest.fixture(params=["one process", *KINDS])
async def replicas(request: pytest.FixtureRequest) -> AsyncGenerator[Replicas]:
    """Each way for a hint from the replica that receives to the one that waits."""
    async with AsyncExitStack() as stack:
        if kind := KINDS.get(request.param):
            server = request.getfixturevalue(f"{kind.server.name}_server")
            yield await enter(stack, kind.make(server), kind.make(server))
        else:
            yield await enter(stack)


async def woken(waker: Waker, seconds: float) -> bool:
    """Whether a new hint comes in this time."""
    try:
        return await waker.sleep(seconds)
    finally:
        waker.take_hint()


async def test_a_delivery_wakes_the_wait_in_another_replica(replicas: Replicas) -> None:
    """At once, and once only, although the message also comes back to the replica that sent it."""
    with replicas.waiting.wakes.listening("an-1") as waker:
        await replicas.deliver("an-1")
        assert await woken(waker, 5)
        assert not await woken(waker, 0.2)


async def test_a_delivery_wakes_nobody_else(replicas: Replicas) -> None:
    """Neither a wait for another analysis, nor one that is told that the analysis still runs."""
    with replicas.waiting.wakes.listening("an-1") as first, replicas.waiting.wakes.listening("an-2") as second:
        await replicas.deliver("an-1", status="running")
        await replicas.deliver("an-2")
        assert await woken(second, 5)
        assert not await woken(first, 0.1)


async def test_a_delivery_can_come_before_the_wait(replicas: Replicas) -> None:
    """The id of a start may reach another replica, by a queue for example, after the delivery has."""
    await replicas.deliver("an-1")
    await anyio.sleep(0.2)
    with replicas.waiting.wakes.listening("an-1") as waker:
        assert await woken(waker, 5)


async def test_many_deliveries_at_once_all_arrive(replicas: Replicas) -> None:
    """Two hundred analyses that end at the same time are each polled at once."""
    ids = [f"an-{number}" for number in range(200)]
    async with AsyncExitStack() as stack:
        wakers = [stack.enter_context(replicas.waiting.wakes.listening(each)) for each in ids]
        async with anyio.create_task_group() as tasks:
            for each in ids:
                tasks.start_soon(replicas.deliver, each)
        for waker in wakers:
            assert await woken(waker, 5)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_an_outage_only_means_polling_and_heals(kind: BusKind, caplog: pytest.LogCaptureFixture) -> None:
    """While the server is down, deliveries are answered as ever, one warning names the type of the error, and hints
    flow again when the server is back."""
    with running(kind.server) as server, caplog.at_level(logging.INFO, "ochy_async"):
        async with AsyncExitStack() as stack:
            replicas = await enter(stack, kind.make(server), kind.make(server))
            await run_sync(server.kill)
            with replicas.waiting.wakes.listening("an-1") as waker:
                with anyio.fail_after(2):
                    for number in range(20):
                        await replicas.deliver(f"an-{number}")
                assert not await woken(waker, 0.1)
                await run_sync(server.start)
                await until(lambda: len(replicas.ready) > 1, seconds=30)
                for _ in range(100):  # the other replica may need a little longer to connect again
                    await replicas.deliver("an-1")
                    if await woken(waker, 0.1):
                        break
                else:
                    pytest.fail("no hint came")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    outages = [warning for warning in warnings if "Connection" in warning]
    assert len(outages) == 2, "one warning for each replica, with the type of the error"
    assert not canary.leaks(caplog.text)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_the_sessions_of_a_process_share_one_connection(
    kind: BusKind, request: pytest.FixtureRequest, emulator: Emulator
) -> None:
    """Fifty sessions with the same webhooks are one listener, and the last one to leave still hears."""
    server: Server = request.getfixturevalue(f"{kind.server.name}_server")
    bus = kind.make(server)
    await until_connections(kind, server, 0)
    ready, hooks = count_ready(bus), Webhooks(bus=bus)
    async with AsyncExitStack() as stack:
        for _ in range(50):
            await stack.enter_async_context(OchySession(base_url=emulator.url, webhooks=hooks))
        await until(lambda: bool(ready))
        await anyio.sleep(0.1)
        assert await kind.count_connections(server.url) <= 2
        assert len(ready) == 1
    await until_connections(kind, server, 0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_two_processes(kind: BusKind, request: pytest.FixtureRequest) -> None:
    """This process receives the emulator's delivery, and the wait in another process ends, a minute before its poll."""
    server: Server = request.getfixturevalue(f"{kind.server.name}_server")
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(world(), speed=20))
        replicas = await enter(stack, kind.make(server))
        emulator.set_webhook(f"http://127.0.0.1:{replicas.port}{PATH}")
        command = [sys.executable, "-m", "tests.support.waiting_replica", kind.server.name, emulator.url]
        with anyio.fail_after(30):
            process = await anyio.run_process(command, env={**os.environ, "BUS_URL": server.url})
        (charge,) = emulator.service.ledger
        assert process.stdout.decode().split() == [charge.analysis_id]
