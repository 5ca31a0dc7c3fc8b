"""The ASGI application without a server: how it is mounted, its other scopes, and what a cancellation leaves."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

import anyio
import pytest

from ochy_async import Webhooks
from ochy_async.protocol.deliveries import Delivery
from tests.support.canary import HOOK_TOKEN
from tests.support.hook_servers import MOUNT, PATH

pytestmark = pytest.mark.anyio

DELIVERY = b'{"event": "analysis.completed", "video_id": "a1", "sequence": 3}'


def scope_of(path: str = PATH, **more: Any) -> dict[str, Any]:
    """The scope of a delivery."""
    headers = [(b"content-type", b"application/json")]
    return {"type": "http", "method": "POST", "path": path, "headers": headers, "http_version": "1.1", **more}


async def call(
    hooks: Webhooks, scope: dict[str, Any], messages: Iterable[dict[str, Any]] = ({"body": DELIVERY},)
) -> list[dict[str, Any]]:
    """What the application sends."""
    sent: list[Any] = []
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", **next(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    await hooks.asgi(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        (PATH, ""),
        (PATH, MOUNT),
        (f"/{HOOK_TOKEN}", MOUNT),
        (f"/api{PATH}", "/api"),
        (HOOK_TOKEN, ""),
    ],
    ids=["bare", "mounted by Starlette 0.33 or later", "mounted by Starlette before 0.33", "proxied", "no slash"],
)
async def test_the_token_is_found_however_the_application_is_mounted(path: str, root_path: str) -> None:
    """Frameworks disagree on whether the path still has the prefix of the mount; the token ends it in any case."""
    assert (await call(Webhooks(), scope_of(path, root_path=root_path)))[0]["status"] == 204


@pytest.mark.parametrize("path", ["", "/", MOUNT, f"/{HOOK_TOKEN}/x", "/\udcff\ud800" * 9, "/caf\xe9" * 9, "/\x00"])
async def test_odd_paths_are_unknown(path: str) -> None:
    """No path raises, also not one that cannot be encoded."""
    sent = await call(Webhooks(), scope_of(path))
    assert [each.get("status", each.get("body")) for each in sent] == [404, b"Not Found"]


async def test_the_start_and_end_of_a_server_are_acknowledged() -> None:
    """Served alone, the application listens from the start of the server to its end."""
    hooks, seen = Webhooks(), list[str]()

    async def receive() -> dict[str, str]:
        seen.append("listening" if logging.getLogger("uvicorn.access").filters else "idle")
        return {"type": "lifespan"}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    await hooks.asgi({"type": "lifespan"}, receive, send)
    assert seen == ["idle", "lifespan.startup.complete", "listening", "lifespan.shutdown.complete"]


async def test_a_websocket_is_refused() -> None:
    """It is closed before it is accepted, which servers answer with 403."""
    assert await call(Webhooks(), {"type": "websocket", "path": PATH}) == [{"type": "websocket.close"}]


async def test_an_unknown_scope_is_an_error() -> None:
    """ASGI asks applications to raise for scopes that they do not know."""
    with pytest.raises(NotImplementedError, match="'carrier-pigeon'"):
        await call(Webhooks(), {"type": "carrier-pigeon"})


@pytest.mark.parametrize(("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)])
async def test_the_connection_is_closed_by_a_header_of_http_1_only(version: str, closes: bool) -> None:
    """HTTP/2 forbids the header."""
    scope = scope_of(http_version=version)
    scope["headers"] = [*scope["headers"], (b"content-length", b"65537")]
    sent = await call(Webhooks(), scope, messages=())
    assert sent[0]["status"] == 413
    assert ((b"connection", b"close") in sent[0]["headers"]) is closes


@pytest.mark.parametrize(
    "length", ["", "-5", "1e9", "٣", "0x10", "99999999999999999999999999999", "5, 5", "9" * 5000], ids=range(8)
)
async def test_an_odd_length_raises_nothing(length: str) -> None:
    """What is no number counts as not declared, and what is a huge one is refused."""
    scope = scope_of()
    scope["headers"] = [*scope["headers"], (b"content-length", length.encode("utf-8"))]
    assert (await call(Webhooks(), scope))[0]["status"] == (413 if length.startswith("9") else 204)


async def test_reading_stops_at_the_cap() -> None:
    """A body without a declared length is not read further than 64 KiB."""
    read = 0

    def messages() -> Iterator[dict[str, Any]]:
        nonlocal read
        for _ in range(1000):
            read += 1024
            yield {"body": b" " * 1024, "more_body": True}

    assert (await call(Webhooks(), scope_of(), messages()))[0]["status"] == 413
    assert read == 65 * 1024


async def test_strangers_take_nothing_from_the_rate() -> None:
    """A request without the token is not counted, so that nobody else can starve the vendor's deliveries."""
    hooks = Webhooks(deliveries_per_second=1)
    statuses = [(await call(hooks, scope_of(path)))[0]["status"] for path in ("/x", "/x", "/x", PATH, PATH, PATH)]
    assert statuses == [404, 404, 404, 204, 204, 429]


async def test_a_client_that_leaves_gets_no_answer() -> None:
    """A disconnect in the middle of the body sends and takes nothing."""
    taken: list[Delivery] = []
    messages: list[dict[str, Any]] = [{"body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert await call(Webhooks(on_delivery=taken.append), scope_of(), messages) == []
    assert taken == []


async def test_a_client_that_leaves_before_the_answer_has_delivered() -> None:
    """The delivery was complete, so it counts."""
    taken: list[Delivery] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": DELIVERY}

    async def send(message: Any) -> None:
        raise ConnectionResetError

    await Webhooks(on_delivery=taken.append).asgi(scope_of(), receive, send)
    assert len(taken) == 1


async def test_a_delivery_is_answered_before_it_is_acted_on() -> None:
    """The callback runs once the answer is complete, so that a slow one delays no answer."""
    order: list[Any] = []
    hooks = Webhooks(on_delivery=lambda delivery: order.append(delivery.sequence))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": DELIVERY}

    async def send(message: Any) -> None:
        order.append(message["type"])

    await hooks.asgi(scope_of(), receive, send)
    assert order == ["http.response.start", "http.response.body", 3]


async def test_a_cancelled_request_leaves_nothing() -> None:
    """Cancelled while the body comes: nothing is answered or taken, and the body is no longer read."""
    taken: list[Delivery] = []
    hooks = Webhooks(on_delivery=taken.append)
    before = len(anyio.get_running_tasks())

    async def receive() -> dict[str, Any]:
        await anyio.sleep(60)
        return {}

    async def send(message: Any) -> None:
        taken.append(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hooks.asgi, scope_of(), receive, send)
        await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert taken == []
    assert len(anyio.get_running_tasks()) == before


HOSTILE = {
    "deep arrays": b"[" * 65_536,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "many keys": b"{" + b",".join(b'"k%d":{"id":1}' % n for n in range(3_000)) + b"}",
    "one long text": b'{"id":"' + b"x" * 65_000 + b'"}',
    "many backslashes": b'{"id":"' + b"\\\\" * 32_000 + b'"}',
    "links": b'{"id":"' + b"https://h/?signature=" * 3_000 + b'"}',
    "numbers": b'{"a":[' + b"1e308," * 10_000 + b"1]}",
    "spaces": b" " * 65_536,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_no_body_holds_the_event_loop(body: bytes) -> None:
    """Whatever 64 KiB hold, none takes time that grows with the square of its size, which would be seconds."""
    hooks, took = Webhooks(), list[float]()
    for _ in range(5):
        began = time.perf_counter()
        sent = await call(hooks, scope_of(), [{"body": body[:65_536]}])
        took.append(time.perf_counter() - began)
        assert sent[0]["status"] in (204, 400)
    assert min(took) < 0.5
