"""One contract for every bus, tested with real servers: Postgres and Redis.

Without a bus, hints stay in the process, and there is nothing to test here.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from ochy_async.webhooks.bus import BusError
from ochy_async.webhooks.messages import MAX_MESSAGE, Hint, read_hint
from ochy_async.webhooks.postgres_bus import PostgresBus
from ochy_async.webhooks.publish_queue import MAX_WAITING
from ochy_async.webhooks.remote_bus import DEFAULT_CHANNEL
from tests.support import canary
from tests.support.buses import KINDS, BusKind, Listener, listening, until, until_connections
from tests.support.servers import Server, running
from tests.support.silencing_proxy import silencing_proxy

pytestmark = pytest.mark.anyio


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> BusKind:
    """Each kind of bus."""
    found = KINDS[request.param]
    pytest.importorskip(found.bus.library, reason=f"needs the extra {found.bus.extra}: {found.bus.library} is missing")
    return found


@pytest.fixture
def server(kind: BusKind, request: pytest.FixtureRequest) -> Server:
    """The server of a bus, which the test leaves as it is."""
    found: Server = request.getfixturevalue(f"{kind.server.name}_server")
    return found


async def received_by(listener: Listener, count: int) -> list[str]:
    """The first messages that come, as soon as there are so many."""
    await until(lambda: len(listener.received) >= count)
    return listener.received


# --- messages ---------------------------------------------------------------------------------------


async def test_a_message_reaches_every_replica(kind: BusKind, server: Server) -> None:
    """Everybody who listens receives it once, the sender too."""
    first, second = kind.make(server), kind.make(server)
    async with listening(first, second) as listeners:
        await first.publish("one")
        for listener in listeners:
            assert await received_by(listener, 1) == ["one"]


async def test_messages_keep_their_order_and_none_is_doubled(kind: BusKind, server: Server) -> None:
    """Messages of one sender arrive as they were sent, in bursts or one by one."""
    first, second = kind.make(server), kind.make(server)
    sent = [f"message {number}" for number in range(400)]
    async with listening(first, second) as (_, listener):
        for number, text in enumerate(sent):
            await first.publish(text)
            if number % 50 == 0:
                await anyio.sleep(0.002)
        assert await received_by(listener, len(sent)) == sent


async def test_a_hint_crosses_the_bus_whatever_its_id_holds(kind: BusKind, server: Server) -> None:
    """Ids are the vendor's: letters beyond ASCII, quotes, NUL and half a surrogate come through."""
    hint = Hint("node", "Läufer 🏃 \x00 \ud800 '\";--", 7)
    bus = kind.make(server)
    async with listening(bus) as (listener,):
        await bus.publish(hint.text())
        (text,) = await received_by(listener, 1)
    assert read_hint(text) == hint


async def test_another_channel_is_not_heard(kind: BusKind, server: Server) -> None:
    """Two services can share a server if they have different channels. Names keep their case."""
    ours, theirs = kind.make(server, channel="Ochy:hints-1.a"), kind.make(server, channel="ochy:hints-1.a")
    async with listening(ours, theirs) as (listener, _):
        await theirs.publish("not for us")
        await ours.publish("for us")
        assert await received_by(listener, 1) == ["for us"]


@pytest.mark.parametrize("message", ["x" * (MAX_MESSAGE + 1), "é", "two\nlines", "\0", "\ud800"], ids=ascii)
async def test_what_a_server_might_not_take_is_refused_and_harms_nothing(
    kind: BusKind, server: Server, message: str
) -> None:
    """NOTIFY takes less than 8,000 bytes and no NUL. A message that is too long ends neither bus nor connection."""
    bus = kind.make(server)
    async with listening(bus) as (listener,):
        with pytest.raises(BusError, match="printable ASCII of at most 1024"):
            await bus.publish(message)
        await bus.publish("x" * MAX_MESSAGE)
        assert await received_by(listener, 1) == ["x" * MAX_MESSAGE]


async def test_messages_of_other_programs_are_no_hints(kind: BusKind, server: Server) -> None:
    """Whatever stands on the channel, hints that come after it are read."""
    garbage = ["", "null", "[" * 1000, '{"ochy": 2}', '{"ochy":true,"node":"a","analysis":"b"}', "\xff\xfe", "x" * 7999]
    bus, hint = kind.make(server), Hint("node", "an-1")
    async with listening(bus) as (listener,):
        await kind.send_raw(server.url, DEFAULT_CHANNEL, garbage)
        await bus.publish(hint.text())
        texts = await received_by(listener, len(garbage) + 1)
    assert [read_hint(text) for text in texts] == [None] * len(garbage) + [hint]


async def test_a_flooded_channel_leaves_the_event_loop_free(kind: BusKind, server: Server) -> None:
    """Other tasks get their turn while 6,000 foreign messages are read, and every message is read."""
    bus = kind.make(server)
    most = 0
    """Messages in one turn of the event loop. asyncpg reads up to 256 KiB in a turn."""

    async def beat(listener: Listener) -> None:
        nonlocal most
        while True:
            before = len(listener.received)
            await checkpoint()
            most = max(most, len(listener.received) - before)

    async with listening(bus) as (listener,), anyio.create_task_group() as tasks:
        tasks.start_soon(beat, listener)
        await anyio.run_process([sys.executable, "-m", "tests.support.flood", kind.server.name, server.url])
        await received_by(listener, 6_000)
        tasks.cancel_scope.cancel()
    assert most < {"postgres": 4_000, "redis": 10}[kind.server.name]


# --- connections ------------------------------------------------------------------------------------


async def test_nothing_can_be_published_while_nobody_listens(kind: BusKind, server: Server) -> None:
    """Before and after listening, publishing fails at once instead of waiting for a connection."""
    bus = kind.make(server)
    for _ in range(2):
        with pytest.raises(BusError, match="no connection"), anyio.fail_after(0.1):
            await bus.publish("lost")
        async with listening(bus) as (listener,):
            await bus.publish("sent")
            assert await received_by(listener, 1) == ["sent"]


async def test_a_bus_is_ready_once(kind: BusKind, server: Server) -> None:
    """`ready` is called once for each connection, and the connection is healthy after a silence."""
    bus = kind.make(server)
    bus.health_seconds = 0.05
    async with listening(bus) as (listener,):
        await anyio.sleep(0.4)
        await bus.publish("still there")
        assert await received_by(listener, 1) == ["still there"]
        assert listener.ready_count == 1


async def test_no_task_and_no_connection_is_left(kind: BusKind, server: Server) -> None:
    """When the listening is cancelled, also in the middle of sending, everything that it opened is gone."""
    before, tasks = await kind.count_connections(server.url), asyncio.all_tasks()
    bus = kind.make(server)
    for pause in (0.0, 0.001, 0.01):
        async with listening(bus):
            for _ in range(100):
                await bus.publish("x" * 1000)
            await anyio.sleep(pause)
        assert asyncio.all_tasks() <= tasks
    await until_connections(kind, server, before)


@pytest.mark.parametrize("number", [0, 1])
async def test_each_connection_that_goes_dead_is_noticed(kind: BusKind, server: Server, number: int) -> None:
    """A firewall that forgets a connection tells neither side. Redis has one to listen and one to send."""
    async with silencing_proxy(server.port) as proxy:
        bus = kind.bus(server.url.replace(f":{server.port}/", f":{proxy.port}/"))
        bus.reply_seconds, bus.health_seconds = 0.5, 0.1
        async with listening(bus) as (listener,):
            await until(lambda: len(proxy.heard) == {"postgres": 1, "redis": 2}[kind.server.name])
            proxy.silent.add(min(number, len(proxy.heard) - 1))
            await listener.until_lost()


@pytest.mark.parametrize("seconds", [0, 0.001, 0.002, 0.004, 0.008, 0.016])
async def test_connecting_can_be_cancelled(kind: BusKind, server: Server, seconds: float) -> None:
    """At any moment of the handshake, without a task or an error that is left, and without the password in a frame."""
    tasks = asyncio.all_tasks()
    cancelled: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(_check_loop_error)

    async def connect() -> None:
        try:
            await kind.make(server).listen(lambda _: None, lambda: None)
        except BaseException as error:
            cancelled.append(error)
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(connect)
        await anyio.sleep(seconds)
        group.cancel_scope.cancel()
    await checkpoint()
    assert asyncio.all_tasks() <= tasks
    assert [canary.leaks_in_error(error) for error in cancelled] in ([], [[]])


def _check_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncpg forgets a future if it is cancelled when TCP has just connected. asyncio logs that; nothing is left."""
    assert str(context.get("exception")) == "unexpected connection_lost() call", context
    assert not canary.leaks(repr(context))


async def test_one_bus_listens_once_at_a_time(kind: BusKind, server: Server) -> None:
    """A second listener is refused and the first one goes on."""
    bus = kind.make(server)
    async with listening(bus) as (listener,):
        second = Listener(bus)
        await second.run()
        assert second.error is not None
        await bus.publish("first")
        assert await received_by(listener, 1) == ["first"]


async def test_many_replicas_hear_each_other(kind: BusKind, server: Server) -> None:
    """Thirty replicas receive what any of them sends."""
    buses = [kind.make(server) for _ in range(30)]
    for bus in buses:
        bus.connect_seconds = bus.reply_seconds = 10  # thirty handshakes at once take a while
    async with listening(*buses) as listeners:
        for number, bus in enumerate(buses):
            await bus.publish(f"from {number}")
        for listener in listeners:
            assert set(await received_by(listener, 30)) == {f"from {number}" for number in range(30)}


# --- faults -----------------------------------------------------------------------------------------


async def test_a_killed_server_is_noticed_and_the_bus_heals(kind: BusKind) -> None:
    """Hints flow again over the same bus when the server is back on its port; in between, publishing fails at once."""
    with running(kind.server) as server:
        bus = kind.make(server)
        async with listening(bus) as (listener,):
            await anyio.to_thread.run_sync(server.kill)
            await listener.until_lost()
            with pytest.raises(BusError), anyio.fail_after(0.1):
                await bus.publish("lost")
        down = Listener(bus)
        await down.run()
        assert down.error is not None
        await anyio.to_thread.run_sync(server.start)
        async with listening(bus) as (listener,):
            await bus.publish("back")
            assert await received_by(listener, 1) == ["back"]


async def test_a_server_that_is_killed_while_messages_are_sent_ends_the_listening(kind: BusKind) -> None:
    """Publishing never raises anything but `BusError`, before, during and after the end of the server."""
    with running(kind.server) as server:
        bus = kind.make(server)
        outcomes: set[str] = set()

        async def publish() -> None:
            while True:
                try:
                    await bus.publish("x" * 500)
                    outcomes.add("accepted")
                except BusError:
                    outcomes.add("refused")
                await checkpoint()

        async with listening(bus) as (listener,), anyio.create_task_group() as tasks:
            tasks.start_soon(publish)
            await received_by(listener, 100)
            await anyio.to_thread.run_sync(server.kill)
            await listener.until_lost()
            await until(lambda: "refused" in outcomes)
            tasks.cancel_scope.cancel()
        assert outcomes == {"accepted", "refused"}


async def test_a_server_that_hangs_while_nothing_is_sent_is_noticed(kind: BusKind) -> None:
    """Its connection stays open, so the bus asks after a silence."""
    with running(kind.server) as server:
        bus = kind.make(server)
        bus.health_seconds = 0.2
        async with listening(bus) as (listener,):
            server.hang()
            began = anyio.current_time()
            await listener.until_lost()
            assert anyio.current_time() - began < 20


async def test_a_server_that_hangs_never_makes_a_publisher_wait(kind: BusKind) -> None:
    """Messages are accepted until too many wait or the connection counts as lost, each in no time."""
    with running(kind.server) as server:
        bus, tasks = kind.make(server), asyncio.all_tasks()
        async with listening(bus) as (listener,):
            server.hang()
            with anyio.fail_after(1):
                for _ in range(MAX_WAITING):
                    await bus.publish("x")
                with pytest.raises(BusError, match="wait already"):
                    await bus.publish("x")
            await listener.until_lost()
        await anyio.sleep(0.01)
        assert asyncio.all_tasks() <= tasks


async def test_a_server_that_hangs_does_not_delay_the_end(kind: BusKind) -> None:
    """A session that ends while the server hangs in the middle of a message ends at once."""
    with running(kind.server) as server:
        bus, tasks = kind.make(server), asyncio.all_tasks()
        bus.reply_seconds = 60
        async with listening(bus):
            server.hang()
            await bus.publish("never answered")
            await anyio.sleep(0.05)
            began = anyio.current_time()
        assert anyio.current_time() - began < 20
        await anyio.sleep(0.01)
        assert asyncio.all_tasks() <= tasks


async def test_connecting_to_a_server_that_hangs_ends(kind: BusKind) -> None:
    """The system accepts the connection, and nobody answers on it."""
    with running(kind.server) as server:
        server.hang()
        listener = Listener(kind.make(server))
        with anyio.fail_after(3):
            await listener.run()
        assert listener.error is not None


# --- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["password", "port", "database"])
async def test_the_error_of_a_refused_connection_does_not_show_the_address(
    kind: BusKind, server: Server, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its text, args, chain or frames; it names the type of the library's error only."""
    address = {
        "password": server.url.replace("%2F9@", "%2F8@"),
        "port": server.url.replace(f":{server.port}/", ":1/"),
        "database": server.url.replace("/postgres", "/nowhere").replace("/0", "/999"),
    }[change]
    bus = kind.bus(address)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(BusError, match=r"^The connection to \w+ failed: \w+$") as raised,
    ):
        await bus.listen(lambda _: None, lambda: None)
    assert canary.leaks_in_error(raised.value) == []
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert not canary.leaks(caplog.text)
    assert canary.leaks_in_objects() == []


async def test_the_error_of_a_lost_connection_does_not_show_the_address(kind: BusKind) -> None:
    """Neither when the server ended nor when it did not answer in time."""
    with running(kind.server) as server:
        bus = kind.make(server)
        async with listening(bus) as (listener,):
            server.hang()
            await bus.publish("x")
            hung = await listener.until_lost()
        server.resume()
        async with listening(bus) as (listener,):
            await anyio.to_thread.run_sync(server.kill)
            killed = await listener.until_lost()
    assert [canary.leaks_in_error(error) for error in (hung, killed)] == [[], []]


def test_a_leak_of_the_password_would_be_found() -> None:
    """The search itself works: a bus that shows its address is reported."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")

    class Talkative(PostgresBus):
        __module__ = "ochy_async.planted"

        def __repr__(self) -> str:
            return self._address

    bus = Talkative(f"postgres://u:{canary.DSN_PASSWORD.replace('/', '%2F')}@127.0.0.1")
    assert canary.leaks_in_objects() == ["repr of Talkative"]
    del bus
