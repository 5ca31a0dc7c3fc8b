"""The relay: one connection to the bus for each process, that heals, takes over, and ends with its block."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from ochy_async import SideView, Webhooks
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.wakes import Wakes
from ochy_async.webhooks.bus import BusError
from ochy_async.webhooks.messages import Hint
from ochy_async.webhooks.relay import BusRelay
from tests.conftest import CLIP, direct_session
from tests.webhooks.test_asgi import call, scope_of

SECRET = "postgres://user:canary-dsn@h/db"


class Channel:
    """A bus in one process, which can be broken in several ways."""

    def __init__(self) -> None:
        self.listening: list[Callable[[str], None]] = []
        self.connected = 0
        self.failures: list[BaseException | None] = []
        """What the next attempts to listen raise; None ends at once without an error."""
        self.published: list[str] = []
        self.break_now = anyio.Event()

    async def publish(self, message: str) -> None:
        if not self.listening:
            raise BusError("not connected")
        self.published.append(message)
        for receive in tuple(self.listening):
            receive(message)

    async def listen(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        if self.failures:
            failure = self.failures.pop(0)
            if failure is not None:
                raise failure
            return
        self.connected += 1
        self.listening.append(receive)
        ready()
        try:
            await self.break_now.wait()
        finally:
            self.listening.remove(receive)
        self.break_now = anyio.Event()
        raise BusError("the connection was lost")


def relay_of(channel: Channel) -> tuple[BusRelay, list[str]]:
    """A relay, and the ids of the hints that reach its process."""
    hints: list[str] = []

    class Heard(Wakes):
        def hint(self, analysis_id: str, sequence: int | None = None) -> None:  # noqa: ARG002 - the base's signature
            hints.append(analysis_id)

    return BusRelay(channel, Heard(), chance=lambda: 1.0), hints


def test_a_hint_reaches_the_other_processes_and_not_the_sender() -> None:
    """The sender has woken its own waits already."""

    async def run() -> None:
        channel = Channel()
        (sender, own), (other, heard) = relay_of(channel), relay_of(channel)
        async with sender.listening(), other.listening():
            await anyio.sleep(0.1)
            await sender.publish("a1", 5)
        assert (own, heard) == ([], ["a1"])

    in_virtual_time(run())


@pytest.mark.parametrize("message", ["", "rubbish", "{}", "[" * 900, Hint("n", "x" * 2000).text()])
def test_other_messages_on_the_channel_are_ignored(message: str) -> None:
    """Whatever others write there raises nothing and wakes nobody."""

    async def run() -> None:
        relay, heard = relay_of(channel := Channel())
        async with relay.listening():
            await anyio.sleep(0.1)
            await channel.publish(message)
        assert heard == []

    in_virtual_time(run())


def test_a_lost_connection_heals(caplog: pytest.LogCaptureFixture) -> None:
    """The attempts come after growing delays; one line is logged when it is lost, and one when it is back."""
    caplog.set_level(logging.INFO)

    async def run() -> None:
        channel = Channel()
        relay, heard = relay_of(channel)
        async with relay.listening():
            await anyio.sleep(0.1)
            channel.failures = [BusError("no route")] * 3
            channel.break_now.set()
            await anyio.sleep(7.6)  # 0.5 + 1 + 2 + 4 s
            assert channel.connected == 2
            await channel.publish(Hint("other", "a1").text())
        assert heard == ["a1"]

    in_virtual_time(run())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "the connection was lost" in caplog.text


FAILURES: dict[str, BaseException | None] = {
    "OSError": OSError(SECRET),
    "RuntimeError": RuntimeError(SECRET),
    "TimeoutError": TimeoutError(SECRET),
    "group": ExceptionGroup(SECRET, [OSError(SECRET)]),
    "ends by itself": None,
    "cancelled elsewhere": asyncio.CancelledError(),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_whatever_a_bus_raises_never_ends_the_block(failure: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A bus of somebody else's making may raise anything. Its text may hold a password and is not logged."""
    caplog.set_level(logging.DEBUG)

    async def run() -> bool:
        channel = Channel()
        channel.failures = [failure]
        relay, _ = relay_of(channel)
        async with relay.listening():
            await anyio.sleep(1)
            assert channel.connected == 1
        return True

    assert in_virtual_time(run())
    assert "canary-dsn" not in caplog.text


def test_a_bus_that_fails_to_publish_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Neither an error nor a bus that hangs keeps the caller for more than two seconds."""
    caplog.set_level(logging.DEBUG)

    class Broken(Channel):
        async def publish(self, message: str) -> None:  # noqa: ARG002 - the bus's signature
            await anyio.sleep(60)

    class Rude(Channel):
        async def publish(self, message: str) -> None:  # noqa: ARG002 - the bus's signature
            raise OSError(SECRET)

    async def run() -> None:
        for channel in (Broken(), Rude(), Channel()):
            relay, _ = relay_of(channel)
            began = anyio.current_time()
            await relay.publish("a1", None)
            assert anyio.current_time() - began <= 2.1

    in_virtual_time(run())
    assert "canary-dsn" not in caplog.text
    assert caplog.text.count("the bus is not connected") == 3


def test_one_block_listens_and_the_next_takes_over() -> None:
    """Several sessions of a process hold one connection together."""

    async def run() -> None:
        channel = Channel()
        relay, _ = relay_of(channel)

        async def block(seconds: float) -> None:
            async with relay.listening():
                await anyio.sleep(seconds)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(block, 5)
            await anyio.sleep(1)
            tasks.start_soon(block, 10)
            await anyio.sleep(1)
            assert (channel.connected, len(channel.listening)) == (1, 1)
            await anyio.sleep(5)
            assert (channel.connected, len(channel.listening)) == (2, 1)
        assert channel.listening == []

    in_virtual_time(run())


def test_sessions_are_closed_in_any_order_by_any_task() -> None:
    """A service that keeps a session for each tenant opens and closes them when it likes."""

    async def run() -> None:
        channel = Channel()
        hooks = Webhooks(bus=channel)
        sessions = [direct_session(webhooks=hooks) for _ in range(4)]
        async with anyio.create_task_group() as tasks:
            for each in sessions[:2]:
                tasks.start_soon(each.open)
        for each in sessions[2:]:
            await each.open()
        await anyio.sleep(1)
        assert len(channel.listening) == 1
        for each in (sessions[2], sessions[0], sessions[3]):
            await each.aclose()
        await anyio.sleep(1)
        assert len(channel.listening) == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions[1].aclose)
        assert channel.listening == []
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(run())


def test_a_bus_that_ignores_one_cancellation_is_cancelled_again() -> None:
    """A library may swallow a cancellation by mistake; the block ends all the same."""

    class Stubborn(Channel):
        async def listen(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
            try:
                await anyio.sleep(60)
            except asyncio.CancelledError:
                await super().listen(receive, ready)

    async def run() -> None:
        relay, _ = relay_of(Stubborn())
        with anyio.fail_after(5):
            async with relay.listening():
                await anyio.sleep(1)

    in_virtual_time(run())


def test_nothing_is_left_when_the_block_fails_or_is_cancelled() -> None:
    """The caller's own error comes out as it is, not in a group, and no task is left."""

    async def run() -> None:
        channel = Channel()
        relay, _ = relay_of(channel)

        async def fail() -> None:
            async with relay.listening():
                await anyio.sleep(1)
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await fail()
        with anyio.move_on_after(1) as scope:
            async with relay.listening():
                await anyio.sleep(60)
        assert scope.cancelled_caught
        assert channel.listening == []
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(run())


def test_a_session_with_a_bus_is_woken_by_another_process() -> None:
    """One process receives the delivery, another one waits: the hint crosses the bus, and the poll decides."""

    async def run() -> None:
        channel, polls = Channel(), list[Any]()
        receiving, waiting = Webhooks(bus=channel), Webhooks(bus=channel)
        async with receiving, direct_session(webhooks=waiting, on_event=polls.append) as ochy:
            began = anyio.current_time()
            started = await ochy.start(CLIP, SideView())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ochy.wait, started)
                await anyio.sleep(0.5)
                body = f'{{"video_id": "{started.analysis_id}", "event": "analysis.completed"}}'.encode()
                await _deliver(receiving, body)
                await anyio.sleep(0.5)
                assert any(type(each).__name__ == "AnalysisProgress" for each in polls)
                assert anyio.current_time() - began < 3
                tasks.cancel_scope.cancel()

    in_virtual_time(run())


async def _deliver(hooks: Webhooks, body: bytes) -> None:
    assert (await call(hooks, scope_of(), [{"body": body}]))[0]["status"] == 204


def test_a_forked_process_is_another_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that a server forks after it imported the program share the object, and must hear each other."""
    relay, _ = relay_of(Channel())
    before = relay.node
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert relay.node != before
