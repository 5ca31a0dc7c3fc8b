"""One contract for the door, however a request reaches it: aiohttp.web, or ASGI alone, in Starlette or in FastAPI."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from ochy_async import Webhooks
from ochy_async.protocol.deliveries import MAX_DELIVERY_BYTES, Delivery
from ochy_async.webhooks import door
from tests.support import hook_servers
from tests.support.canary import HOOK_TOKEN
from tests.support.hook_servers import JSON, MOUNT, PATH, Received, Serve, ask, head_of, send

pytestmark = pytest.mark.anyio

FINISHED = json.dumps({"event": "analysis.completed", "analysis_id": "a1", "sequence": 7}).encode()
SERVERS: dict[str, Serve] = {
    "aiohttp": hook_servers.aiohttp_server,
    "uvicorn": hook_servers.bare,
    "starlette": hook_servers.starlette,
    "fastapi": hook_servers.fastapi,
}


class Served:
    """Webhooks behind a real server, and what they took."""

    def __init__(self, **settings: Any) -> None:
        self.taken: list[Delivery] = []
        self.hooks = Webhooks(on_delivery=self.taken.append, **settings)
        self.port = 0

    async def ask(self, *arguments: Any, **named: Any) -> Received:
        return await ask(self.port, *arguments, **named)


@pytest.fixture(params=list(SERVERS.values()), ids=list(SERVERS))
def serve(request: pytest.FixtureRequest) -> Serve:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def served(serve: Serve) -> AsyncGenerator[Served]:
    """The door behind each of the servers in turn."""
    made = Served()
    async with made.hooks, serve(made.hooks) as made.port:
        yield made


async def test_a_delivery_is_answered_without_content(served: Served) -> None:
    """A delivery is answered with 204 and handed on."""
    answer = await served.ask(FINISHED)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert [(each.analysis_id, each.sequence) for each in served.taken] == [("a1", 7)]


async def test_every_json_object_is_taken(served: Served) -> None:
    """Test events and deliveries for unknown analyses are successes: the vendor shows the HTTP status only."""
    unknown_id = b'{"data": {"id": "nobody-knows-it", "status": "success"}}'
    for body in (b'{"type": "test"}', b"{}", unknown_id, b'{"sequence": -1e99}'):
        assert (await served.ask(body)).status == 204


async def test_what_is_no_json_object_is_refused(served: Served) -> None:
    """Anything else is answered with 400, and changes nothing."""
    for body in (b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 60_000, b'{"a":' * 10_000):
        assert (await served.ask(body)).status == 400, body[:10]
    assert served.taken == []


SECOND_TOKEN = "another-token-0123456789"
WRONG = (
    *("", SECOND_TOKEN[:-1], SECOND_TOKEN + "x", SECOND_TOKEN.upper(), SECOND_TOKEN + "/", SECOND_TOKEN + "%00"),
    *("%C3%A9" * 8, "%FF%FE", "%ED%A0%80", "a" * 5000, "x?token=" + SECOND_TOKEN),
)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_wrong_token_is_answered_as_an_unknown_path(serve: Serve, method: str) -> None:
    """Status, headers and body are those of a path that does not exist, whatever the method."""
    made = Served(token=[HOOK_TOKEN, SECOND_TOKEN])
    async with made.hooks, serve(made.hooks) as made.port:
        for segment in WRONG:
            unknown = await made.ask(path=f"/nothing/{segment}", method=method)
            wrong = await made.ask(FINISHED, path=f"{MOUNT}/{segment}", method=method)
            assert wrong.status == unknown.status == 404, segment
            assert wrong.body == unknown.body
            assert {**wrong.headers, "date": ""} == {**unknown.headers, "date": ""}
    assert made.taken == []


async def test_a_deeper_path_with_the_token_is_taken(served: Served) -> None:
    """The token is the last part of the path, so a reverse proxy may add to its beginning."""
    assert (await served.ask(path=f"{MOUNT}/eu/{HOOK_TOKEN}")).status == 204


async def test_another_method_is_refused_with_the_right_one(served: Served) -> None:
    """405 names POST."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = await served.ask(b"", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_another_content_type_is_refused(served: Served) -> None:
    """Only JSON is read."""
    for given in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert (await served.ask(FINISHED, headers={"Content-Type": given})).status == 415
    assert served.taken == []


async def test_every_spelling_of_json_is_taken(served: Served) -> None:
    """Parameters, case and suffixes do not matter."""
    for given in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.ochy.v2+json"):
        assert (await served.ask(FINISHED, headers={"Content-Type": given})).status == 204


async def test_a_compressed_body_is_refused(served: Served) -> None:
    """A server may unpack it and another may not, and a small body may unpack to a huge one."""
    assert (await served.ask(FINISHED, headers={**JSON, "Content-Encoding": "gzip"})).status == 415


async def test_the_largest_body_is_read(served: Served) -> None:
    """64 KiB are taken."""
    body = b'{"a": "%s"}' % (b"x" * (MAX_DELIVERY_BYTES - 9))
    assert len(body) == MAX_DELIVERY_BYTES
    assert (await served.ask(body)).status == 204


async def test_a_body_that_is_declared_too_large_is_refused_unread(served: Served) -> None:
    """The answer comes before the body, and the connection is closed."""
    head = head_of(headers={**JSON, "Content-Length": str(MAX_DELIVERY_BYTES + 1)})
    answer = await send(served.port, [head], closes=True)
    assert (answer.status, answer.closed) == (413, True)


async def test_a_body_that_grows_too_large_is_cut_off(served: Served) -> None:
    """Without a declared length, reading stops at the cap."""
    sent = 0

    def chunks() -> Any:
        nonlocal sent
        yield head_of(headers={**JSON, "Transfer-Encoding": "chunked"})
        for _ in range(20_000):
            sent += 1024
            yield b"400\r\n" + b"x" * 1024 + b"\r\n"

    answer = await send(served.port, chunks(), pause=0.0001, closes=True)
    assert (answer.status, answer.closed) == (413, True)
    assert sent < 20 * MAX_DELIVERY_BYTES


async def test_a_body_in_many_pieces_is_read(served: Served) -> None:
    """Chunks of one byte make the same delivery."""
    chunks = [b"1\r\n%c\r\n" % each for each in FINISHED]
    answer = await send(served.port, [head_of(headers={**JSON, "Transfer-Encoding": "chunked"}), *chunks, b"0\r\n\r\n"])
    assert answer.status == 204
    assert served.taken[0].analysis_id == "a1"


async def test_a_slow_body_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a byte now and then is answered with 408 and disconnected."""
    made = Served()
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    async with made.hooks, serve(made.hooks) as port:
        began = time.monotonic()
        pieces = [head_of(headers={**JSON, "Content-Length": "1000"}), *[b" "] * 1000]
        answer = await send(port, pieces, pause=0.01, closes=True)
    assert (answer.status, answer.closed) == (408, True)
    assert 0.15 < time.monotonic() - began < 5
    assert made.taken == []


async def test_a_flood_is_slowed_down(serve: Serve) -> None:
    """What exceeds the rate is answered with 429 and the seconds to wait; later deliveries are taken again."""
    made = Served(deliveries_per_second=2.0)
    async with made.hooks, serve(made.hooks) as port:
        answers = [await ask(port) for _ in range(6)]
        assert [each.status for each in answers] == [204] * 4 + [429] * 2
        assert answers[-1].headers["retry-after"] == "1"
        await anyio.sleep(0.6)
        assert (await ask(port)).status == 204


async def test_strangers_take_nothing_from_the_rate(serve: Serve) -> None:
    """Requests without the token are not counted, so nobody who does not know it can starve the vendor's."""
    made = Served(deliveries_per_second=2.0)
    async with made.hooks, serve(made.hooks) as port:
        assert {(await ask(port, path=f"{MOUNT}/{'x' * 20}")).status for _ in range(30)} == {404}
        assert (await ask(port)).status == 204


async def test_a_client_that_leaves_is_quiet(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is taken, answered or logged as an error, and the server goes on."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head_of(headers={**JSON, "Content-Length": "1000"}) + b'{"analysis_id"')
    await writer.drain()
    await anyio.sleep(0.05)
    writer.transport.abort()
    await anyio.sleep(0.1)
    assert served.taken == []
    assert [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []
    assert (await served.ask(FINISHED)).status == 204


async def test_a_malformed_chunk_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that breaks HTTP is answered with 400 by the server itself, or is cut off; nothing of it is taken."""
    made = Served()
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    pieces = [head_of(headers={**JSON, "Transfer-Encoding": "chunked"}), b"1\r\n{\r\n", b"zz\r\n}"]
    async with made.hooks, serve(made.hooks) as port:
        assert (await send(port, pieces, pause=0.02)).status in (400, 408)
    assert made.taken == []


async def test_a_callback_that_fails_costs_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The answer was sent already, and the error is logged without the delivery."""

    def fail(delivery: Delivery) -> None:
        raise RuntimeError("mine")

    hooks = Webhooks(on_delivery=fail)
    async with hooks, serve(hooks) as port:
        assert (await ask(port, FINISHED)).status == 204
        assert (await ask(port, FINISHED)).status == 204
    assert "a1" not in caplog.text
    assert caplog.text.count("RuntimeError: mine") == 2


async def test_both_tokens_are_valid_during_a_rotation(serve: Serve) -> None:
    """Several tokens open the same door, and others do not."""
    made, new = Served(token=[HOOK_TOKEN, SECOND_TOKEN]), f"{MOUNT}/{SECOND_TOKEN}"
    async with made.hooks, serve(made.hooks) as port:
        statuses = [(await ask(port, path=path)).status for path in (PATH, new, new + "x")]
    assert statuses == [204, 204, 404]


async def test_deliveries_on_one_connection_are_all_taken(served: Served) -> None:
    """The connection stays open between deliveries, and refused ones do not break it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    statuses: list[int] = []
    for body in (FINISHED, b"[]", FINISHED):
        writer.write(head_of(headers={**JSON, "Content-Length": str(len(body))}) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        statuses.append(int(head.split()[1]))
    writer.transport.abort()
    assert statuses == [204, 400, 204]
    assert len(served.taken) == 2


async def test_a_route_for_post_alone_takes_deliveries() -> None:
    """With `add_post`, aiohttp answers other methods itself, before the token is looked at."""
    hooks, app = Webhooks(), web.Application()
    app.router.add_post(MOUNT + "/{token}", hooks.aiohttp)
    async with hooks, hook_servers.aiohttp_app(app) as port:
        statuses = [(await ask(port, path=path)).status for path in (PATH, f"{MOUNT}/{SECOND_TOKEN}")]
        other = await ask(port, method="GET", path=f"{MOUNT}/{SECOND_TOKEN}")
    assert statuses == [204, 404]
    assert other.status == 405


async def test_middlewares_of_aiohttp_see_the_answer() -> None:
    """A middleware gets the response that was sent, with its status, and the answer comes once."""
    seen: list[int] = []

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        seen.append(response.status)
        return response

    hooks, app = Webhooks(), web.Application(middlewares=[count])
    app.router.add_post(MOUNT + "/{token}", hooks.aiohttp)
    async with hooks, hook_servers.aiohttp_app(app) as port:
        assert [(await ask(port, body)).status for body in (FINISHED, b"[]")] == [204, 400]
    assert seen == [204, 400]
