"""Webhook deliveries: what a server takes for each, beside a handler that reads the body and does nothing.

Each server runs in a process of its own: `python -m benchmarks.deliveries aiohttp hooks`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from typing import Any, Final

from aiohttp import web

from ochy_async import Webhooks

from .alternatives import alternative
from .comparison import OURS, Figure, Table, alternate

__all__ = ["benchmarks"]

TOKEN: Final = "benchmark-token-0123456789"  # noqa: S105 - of no account
BARE: Final = "a handler that does nothing"
CONNECTIONS: Final = 4
DELIVERIES: Final = 500
"""By each connection in each round."""
_number: Final = count()


@contextmanager
def _server(framework: str, handler: str) -> Generator[int]:
    started = [sys.executable, "-m", __spec__.name, framework, handler]
    with subprocess.Popen(started, stdout=subprocess.PIPE) as child:  # noqa: S603
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


def _request() -> bytes:
    """A delivery as the documentation lets one expect it, about an analysis of its own."""
    number = next(_number)
    delivery = {
        "event": "analysis.completed",
        "video_id": f"analysis-{number}",
        "status": "success",
        "sequence": number,
    }
    body = json.dumps({**delivery, "percentage": 100, "timestamp": "2026-01-01T00:00:00Z"}).encode()
    head = f"POST /hooks/ochy/{TOKEN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _deliver(port: int, requests: list[bytes]) -> None:
    """Sends one delivery after the other over one connection, each after the answer to the one before."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            answer = connection.recv(4096)
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 204"), answer


def _round(port: int) -> float:
    """Microseconds per delivery."""
    requests = [[_request() for _ in range(DELIVERIES)] for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as clients:
        began = time.perf_counter()
        list(clients.map(partial(_deliver, port), requests))
        return (time.perf_counter() - began) / (CONNECTIONS * DELIVERIES) * 1e6


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    alternative("uvicorn")
    for framework, name in (("aiohttp", "aiohttp.web"), ("asgi", "uvicorn")):
        with ExitStack() as servers:
            ports = {
                BARE: servers.enter_context(_server(framework, "bare")),
                OURS: servers.enter_context(_server(framework, "hooks")),
            }
            for port in ports.values():
                _round(port)
            took = alternate({contender: partial(_round, port) for contender, port in ports.items()}, rounds)
        # Copies, because a round's processor time is that of the clients here, not of the servers.
        figures = {contender: Figure.of(list(values)) for contender, values in took.items()}
        note = f"{1e6 / figures[OURS].median:,.0f} deliveries a second, over {CONNECTIONS} connections"
        yield Table(f"deliveries to {name}", "µs", figures, BARE, notes=(note,))


# --- the servers --------------------------------------------------------------------------------------------


async def _bare_aiohttp(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=204)


async def _bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def _serving(framework: str, hooks: Webhooks | None) -> AsyncGenerator[None]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        if framework == "asgi":
            app = _bare_asgi if hooks is None else hooks.asgi
            uvicorn = alternative("uvicorn")
            await uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="error")).serve([listener])
        aiohttp_app = web.Application()
        aiohttp_app.router.add_route("*", "/hooks/ochy/{token}", _bare_aiohttp if hooks is None else hooks.aiohttp)
        runner = web.AppRunner(aiohttp_app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield


async def _serve(framework: str, handler: str) -> None:
    hooks = Webhooks(TOKEN, deliveries_per_second=100_000) if handler == "hooks" else None
    async with _serving(framework, hooks):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
