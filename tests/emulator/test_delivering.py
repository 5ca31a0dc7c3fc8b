"""Deliveries that are really sent: posted by the server to a receiver on this machine, and handed over in process."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
import trustme
from aiohttp import web

from ochy_async.emulator import DeliverySettings, Emulator, EmulatorSettings, InProcessTransport, sample_clip
from ochy_async.emulator.dispatcher import MAX_POSTS
from ochy_async.emulator.in_process import EPOCH
from ochy_async.emulator.messages import Form, ServiceRequest, UploadedVideo
from ochy_async.emulator.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from ochy_async.emulator import LoggedDelivery, Service

pytestmark = pytest.mark.anyio

TOKEN = "token-5e8c"
TEST_EVENT = DeliverySettings(retry_seconds=())


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio only."""
    return "asyncio"


class Receiver:
    """What answers at the URL of a webhook: every request that came, and the answer to the next ones."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.accept
        self.under_way = 0
        self.most_under_way = 0
        self.url = ""

    async def accept(self, _: web.Request) -> web.StreamResponse:
        """204, as a receiver should."""
        return web.Response(status=204)

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.headers.append(request.headers)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self.answer(request)
        finally:
            self.under_way -= 1

    def events(self) -> list[str]:
        return [json.loads(body)["event"].rpartition(".")[2] for body in self.bodies]


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    """A receiver on a port of this machine."""
    receiver, app = Receiver(), web.Application(client_max_size=1_000_000)
    app.router.add_post(f"/hooks/{TOKEN}", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "http" if tls is None else "https"
        receiver.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/hooks/{TOKEN}"
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    """A receiver that answers 204."""
    async with receiving() as running:
        yield running


async def start(emulator: Emulator, notify: str = "true") -> str:
    data = aiohttp.FormData({"notify_via_webhook": notify})
    data.add_field("video", sample_clip(1), filename="run.mp4")
    query = {"apiKey": emulator.api_key}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{emulator.url}/analysis/start", params=query, data=data) as answer,
    ):
        analysis_id: str = (await answer.json())["video_id"]
        return analysis_id


async def until(condition: Callable[[], Any]) -> None:
    """Waits for something that another task does."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - the condition is that of another task
            await asyncio.sleep(0.005)


async def send_test(emulator: Emulator) -> LoggedDelivery:
    """The test event of the dashboard, once it has ended."""
    before = len(emulator.deliveries)
    emulator.send_test_event()
    await until(lambda: len(emulator.deliveries) > before)
    return emulator.deliveries[-1]


def dispatchers() -> list[asyncio.Task[Any]]:
    """The tasks of emulators that deliver."""
    return [task for task in asyncio.all_tasks() if "Dispatcher" in repr(task)]


# A receiver on this machine


async def test_an_analysis_is_delivered_over_a_real_socket(receiver: Receiver) -> None:
    """Every update arrives as JSON, and the log has the answers. `speed` applies."""
    async with Emulator(speed=200) as emulator:
        emulator.set_webhook(receiver.url)
        analysis_id = await start(emulator)
        await until(lambda: len(emulator.deliveries) == 6)
    assert receiver.events() == ["queued", "started", "progress", "progress", "progress", "completed"]
    assert {headers["content-type"] for headers in receiver.headers} == {"application/json"}
    assert [each.body for each in emulator.deliveries] == receiver.bodies
    assert {(each.analysis_id, each.status) for each in emulator.deliveries} == {(analysis_id, 204)}


async def test_an_analysis_without_notifications_is_not_delivered(receiver: Receiver) -> None:
    """The webhook alone is not enough."""
    async with Emulator(speed=200) as emulator:
        emulator.set_webhook(receiver.url)
        await start(emulator, notify="false")
        assert (await send_test(emulator)).kind == "test"
    assert receiver.events() == ["test"]


async def test_a_delivery_is_repeated_until_it_is_accepted(receiver: Receiver) -> None:
    """`on_delivery` sees each attempt."""
    answers = iter((500, 302, 404))

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=next(answers, 200), headers={"location": "/elsewhere"})

    receiver.answer = answer
    seen: list[LoggedDelivery] = []
    async with Emulator(speed=200, on_delivery=seen.append) as emulator:
        emulator.set_webhook(receiver.url)
        emulator.send_test_event()
        await until(lambda: len(seen) == 4)
    assert [(each.attempt, each.status) for each in seen] == [(1, 500), (2, 302), (3, 404), (4, 200)]
    assert tuple(seen) == emulator.deliveries


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Neither to the same machine nor elsewhere."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": str(request.url)})

    receiver.answer = elsewhere
    async with Emulator(EmulatorSettings(deliveries=TEST_EVENT)) as emulator:
        emulator.set_webhook(receiver.url)
        assert (await send_test(emulator)).status == 307
    assert len(receiver.bodies) == 1


async def test_a_receiver_that_does_not_answer_is_a_time_out(receiver: Receiver) -> None:
    """It is given up after the time that a receiver has."""

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    receiver.answer = never
    settings = DeliverySettings(timeout_seconds=0.05, retry_seconds=())
    async with Emulator(EmulatorSettings(deliveries=settings)) as emulator:
        emulator.set_webhook(receiver.url)
        ended = await send_test(emulator)
    assert (ended.outcome, ended.status) == ("timed_out", None)
    assert ended.seconds >= 0.05


async def test_a_receiver_that_is_not_there_is_a_failed_connection() -> None:
    """Nothing listens on the port."""
    async with receiving() as gone:
        url = gone.url
    async with Emulator(EmulatorSettings(deliveries=TEST_EVENT)) as emulator:
        emulator.set_webhook(url)
        assert (await send_test(emulator)).outcome == "connection_failed"


async def test_a_slow_receiver_gets_a_bounded_number_of_deliveries_at_once(receiver: Receiver) -> None:
    """A flood waits its turn. The receiver answers nothing before the bound is reached, and then lets more come."""

    async def slowly(_: web.Request) -> web.StreamResponse:
        await until(lambda: receiver.most_under_way >= MAX_POSTS)
        await asyncio.sleep(0.05)
        return web.Response(status=204)

    receiver.answer = slowly
    flood = DeliverySettings(forgeries_per_second=1000, kinds=())
    async with Emulator(EmulatorSettings(deliveries=flood)) as emulator:
        emulator.set_webhook(receiver.url)
        await start(emulator)
        await until(lambda: len(receiver.bodies) > 3 * MAX_POSTS)
    assert receiver.most_under_way == MAX_POSTS


async def test_a_webhook_behind_tls(receiver: Receiver) -> None:
    """With the context that trusts the receiver's certificate; without it nothing is sent."""
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)
    async with receiving(served) as secure:
        for context, outcome in ((trusting, "answered"), (None, "connection_failed")):
            async with Emulator(EmulatorSettings(deliveries=TEST_EVENT), webhook_ssl=context) as emulator:
                emulator.set_webhook(secure.url)
                assert (await send_test(emulator)).outcome == outcome
    assert len(secure.bodies) == 1


async def test_localhost_is_this_machine_whatever_a_resolver_says(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name is looked up."""
    loop = asyncio.get_running_loop()

    def lookup(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    async with Emulator() as emulator:
        emulator.set_webhook(receiver.url.replace("127.0.0.1", "localhost"))
        assert (await send_test(emulator)).status == 204


# Elsewhere


@pytest.mark.parametrize(
    "host",
    [
        *("hooks.example.org", "192.168.1.1", "0.0.0.0", "[::]", "127.0.0.1.example.org", "2130706433"),  # noqa: S104
        *("127.0.0.1@example.org", "127.0.0.1:80@example.org", "localhost.", "example.org\\@127.0.0.1", "☃.net"),
        "127.0.0.1\\.example.org",
    ],
)
async def test_nothing_is_sent_to_another_machine(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so once, and `deliveries` for each, without the URL."""
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        query, body = {"apiKey": emulator.api_key}, {"url": f"https://{host}/{TOKEN}", "enabled": True}
        async with http.put(f"{emulator.url}/webhook", params=query, json=body) as answer:
            assert answer.status == 200
        outcomes = [(await send_test(emulator)).outcome for _ in range(2)]
    assert outcomes == ["not_loopback"] * 2
    assert [record.levelname for record in caplog.records if "does not deliver" in record.message] == ["WARNING"]
    assert TOKEN not in caplog.text


async def test_a_refused_webhook_is_not_tried_again() -> None:
    """There is nothing to wait for."""
    async with Emulator(speed=1000) as emulator:
        emulator.service.set_webhook(f"https://hooks.example.org/{TOKEN}")
        emulator.send_test_event()
        await asyncio.sleep(0.1)
        assert len(emulator.deliveries) == 1


# Safety and cleanup


async def test_the_token_is_in_no_log(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Not at the lowest level, and not when the receiver fails or is gone."""
    caplog.set_level(logging.DEBUG)

    async def broken(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with Emulator(EmulatorSettings(deliveries=TEST_EVENT)) as emulator:
        emulator.set_webhook(receiver.url)
        await send_test(emulator)
        receiver.answer = broken
        await send_test(emulator)
        emulator.set_webhook(f"http://127.0.0.1:9/{TOKEN}")
        await send_test(emulator)
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # the receiver's own log
    assert TOKEN not in "".join(f"{record.getMessage()}{record.args!r}" for record in ours)


async def test_it_stops_quickly_while_deliveries_are_under_way(receiver: Receiver) -> None:
    """No task is left, and nothing more is sent."""

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError

    receiver.answer = never
    flood = DeliverySettings(forgeries_per_second=1000)
    async with Emulator(EmulatorSettings(deliveries=flood)) as emulator:
        emulator.set_webhook(receiver.url)
        await start(emulator)
        await until(lambda: receiver.under_way == MAX_POSTS)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    received = len(receiver.bodies)
    await until(lambda: receiver.under_way == 0)
    await asyncio.sleep(0.05)
    assert len(receiver.bodies) == received
    assert not dispatchers()
    assert emulator.service.outbox.listeners == []


async def test_it_may_be_left_in_another_task_than_it_was_entered_in(receiver: Receiver) -> None:
    """Some test frameworks set up and tear down a fixture in different tasks."""
    emulator = Emulator()
    await asyncio.ensure_future(emulator.__aenter__())
    assert len(dispatchers()) == 1
    emulator.set_webhook(receiver.url)
    assert (await send_test(emulator)).status == 204
    await asyncio.ensure_future(emulator.__aexit__(None, None, None))
    assert not dispatchers()


async def test_a_cancelled_block_leaves_nothing_behind(receiver: Receiver) -> None:
    """Neither the port nor a task."""
    emulator = Emulator()
    with anyio.move_on_after(0.2):
        async with emulator:
            emulator.set_webhook(receiver.url)
            await send_test(emulator)
            await anyio.sleep_forever()
    assert not dispatchers()
    with pytest.raises(RuntimeError, match="async with"):
        _ = emulator.url


async def test_a_webhook_can_be_set_and_tested_from_another_thread(receiver: Receiver) -> None:
    """As a test with the fixture `ochy_emulator` does."""
    async with Emulator() as emulator:
        await asyncio.to_thread(emulator.set_webhook, receiver.url)
        await asyncio.to_thread(emulator.send_test_event)
        await until(lambda: emulator.deliveries)
    assert receiver.events() == ["test"]


async def test_what_is_due_while_it_does_not_run_is_sent_when_it_runs_again(receiver: Receiver) -> None:
    """The service keeps its deliveries."""
    emulator = Emulator()
    async with emulator:
        emulator.set_webhook(receiver.url)
    emulator.send_test_event()
    async with emulator:
        await until(lambda: emulator.deliveries)
    assert receiver.events() == ["test"]


# In process, in virtual time


def start_in_process(service: Service) -> str:
    form = Form({"notify_via_webhook": "true"}, UploadedVideo("run.mp4", 9, "ab" * 32))
    ask = ServiceRequest("POST", "/analysis/start", {"apiKey": service.api_key}, form=form)
    analysis_id: str = json.loads(service.handle(ask, EPOCH + anyio.current_time()).body)["video_id"]
    return analysis_id


def transport(**deliveries: Any) -> InProcessTransport:
    made = InProcessTransport(EmulatorSettings(deliveries=DeliverySettings(**deliveries)))
    made.service.set_webhook("https://hooks.example.org/anything")
    return made


def test_deliveries_are_handed_over_in_virtual_time() -> None:
    """At the very second, without a socket; the URL may lead anywhere, since nothing is sent there."""
    found: list[tuple[float, str]] = []

    async def story() -> None:
        client = transport(latency_seconds=(0.5, 0.5))

        def receive(body: bytes, headers: Mapping[str, str]) -> None:
            assert headers["content-type"] == "application/json"
            found.append((anyio.current_time() - 1_000, json.loads(body)["event"]))

        async with client.delivering(receive):
            start_in_process(client.service)
            await anyio.sleep(100)
        assert {each.status for each in client.service.deliveries} == {204}
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(story())
    assert [event for _, event in found][:2] == ["analysis.queued", "analysis.started"]
    assert [round(at, 3) for at, _ in found][:2] == [0.5, 1.5]
    assert len(found) == 6


def test_an_async_receiver_may_refuse_and_be_slow() -> None:
    """What it returns is the status of its answer, and it has as long as a real one."""
    attempts: list[int] = []

    async def story() -> tuple[LoggedDelivery, ...]:
        client = transport(kinds={"queued"}, timeout_seconds=5, retry_seconds=(1, 1))

        async def receive(_: bytes, __: Mapping[str, str]) -> int:
            attempts.append(1)
            await anyio.sleep(30 if len(attempts) == 1 else 0)
            return 503 if len(attempts) == 2 else 200

        async with client.delivering(receive):
            start_in_process(client.service)
            await anyio.sleep(100)
        return client.service.deliveries

    found = in_virtual_time(story())
    assert [(each.outcome, each.status) for each in found] == [
        ("timed_out", None),
        ("answered", 503),
        ("answered", 200),
    ]


def test_an_error_of_the_receiver_ends_the_block() -> None:
    """A test must not pass over it."""

    async def story() -> None:
        client = transport()

        def receive(body: bytes, headers: Mapping[str, str]) -> None:
            raise LookupError(len(body), len(headers))

        async with client.delivering(receive):
            start_in_process(client.service)
            await anyio.sleep(100)

    with pytest.raises(BaseExceptionGroup) as caught:
        in_virtual_time(story())
    assert caught.group_contains(LookupError)


def test_nothing_is_handed_over_outside_of_the_block() -> None:
    """What is due later stays in the outbox."""
    found: list[bytes] = []

    async def story() -> None:
        client = transport()
        async with client.delivering(lambda body, _: found.append(body)):
            start_in_process(client.service)
            await anyio.sleep(3)
        await anyio.sleep(100)
        assert client.service.outbox.next_at is not None

    in_virtual_time(story())
    assert len(found) == 2
