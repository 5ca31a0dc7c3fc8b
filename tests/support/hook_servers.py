"""Serves webhooks with real servers and frameworks, and speaks HTTP with them byte by byte."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web
from attrs import evolve, frozen

from ochy_async import Webhooks
from tests.support.canary import HOOK_TOKEN

MOUNT = "/hooks/ochy"
PATH = f"{MOUNT}/{HOOK_TOKEN}"
JSON = {"Content-Type": "application/json"}

Serve = Callable[[Webhooks], AbstractAsyncContextManager[int]]
"""Serves webhooks below `MOUNT` on the returned port of this machine."""


def _need(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        pytest.skip(f"{module} is not installed")


@asynccontextmanager
async def aiohttp_server(hooks: Webhooks) -> AsyncGenerator[int]:
    """aiohttp.web, with its access log."""
    app = web.Application()
    app.router.add_route("*", MOUNT + "/{token:.*}", hooks.aiohttp)
    async with aiohttp_app(app) as port:
        yield port


@asynccontextmanager
async def aiohttp_app(app: web.Application) -> AsyncGenerator[int]:
    """Serves an application of aiohttp.web."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def uvicorn_app(app: Any, lifespan: str = "on") -> AsyncGenerator[int]:
    """Serves an ASGI application with uvicorn, with its access log."""
    uvicorn = _need("uvicorn")
    config = uvicorn.Config(app, log_config=None, lifespan=lifespan)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listener])  # without its handlers of signals
            while not server.started:  # noqa: ASYNC110 - uvicorn sets a flag
                await anyio.sleep(0.005)
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True


def bare(hooks: Webhooks) -> AbstractAsyncContextManager[int]:
    """Uvicorn, which serves nothing else."""
    return uvicorn_app(hooks.asgi)


def starlette(hooks: Webhooks) -> AbstractAsyncContextManager[int]:
    """Mounted in Starlette, below uvicorn."""
    app = _need("starlette.applications").Starlette()
    app.mount(MOUNT, hooks.asgi)
    return uvicorn_app(app)


def fastapi(hooks: Webhooks) -> AbstractAsyncContextManager[int]:
    """Mounted in FastAPI, below uvicorn."""
    app = _need("fastapi").FastAPI()
    app.mount(MOUNT, hooks.asgi)
    return uvicorn_app(app)


@frozen
class Received:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    closed: bool = False
    """Whether the server closed the connection soon after it, if that was waited for."""


def head_of(path: str = PATH, method: str = "POST", headers: Mapping[str, str] = JSON) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def ask(
    port: int, body: bytes = b"{}", path: str = PATH, method: str = "POST", headers: Mapping[str, str] = JSON
) -> Received:
    """Sends one request and returns the answer."""
    head = head_of(path, method, {"Content-Length": str(len(body)), **headers})
    return await send(port, [head, body])


async def send(port: int, pieces: Iterable[bytes], pause: float = 0.0, *, closes: bool = False) -> Received:
    """Sends pieces of a request until there is an answer, and returns that; with `closes` waits for the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        received = Received(0, {}, b"")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, writer, pieces, pause)
            received = await asyncio.wait_for(_read(reader), 10)
            tasks.cancel_scope.cancel()
        return evolve(received, closed=closes and await _closes(reader))
    finally:
        writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, pieces: Iterable[bytes], pause: float) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await anyio.sleep(pause)
    except OSError:  # the server has answered and closed
        pass


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(int(head[0].split()[1]), headers, body)


async def _closes(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection soon."""
    with anyio.move_on_after(1):
        try:
            return not await reader.read(1)
        except OSError:
            return True
    return False
