"""The door as an ASGI application: mounted in FastAPI or Starlette, or served alone.

Invariant: this module translates between ASGI and `Door`, and decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from attrs import define

from .door import NOT_FOUND, Disconnected, Door, Head, Reply, last_segment

__all__ = ["AsgiApp"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@define(eq=False, repr=False)
class AsgiApp:
    """An ASGI 3 application. An object and not a function, because servers take a bound method for ASGI 2."""

    _door: Door
    _act: Callable[[Reply], Awaitable[None]]
    """Called with each reply after it was sent."""
    _listening: Callable[[], AbstractAsyncContextManager[None]]
    """Opens what is entered while a server runs that serves this application alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or the start and end of the server."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: the server answers with 403
        else:
            raise NotImplementedError(f"The webhook has no answer to the ASGI scope {scope['type']!r}.")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        head = Head(scope["method"], last_segment(scope["path"]), headers)
        try:
            reply = await self._door.take(head, _body(receive))
        except Disconnected:
            return
        with suppress(OSError):  # the client left: nobody misses the answer
            await self._send(scope, receive, send, reply)
        await self._act(reply)

    async def _send(self, scope: Scope, receive: Receive, send: Send, reply: Reply) -> None:
        if reply.status == NOT_FOUND.status:
            return await _not_found(scope, receive, send)
        headers = [(name.encode(), value.encode()) for name, value in reply.headers]
        if reply.closes and scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 knows no such header
            headers.append((b"connection", b"close"))
        if reply.status != 204:  # which must not have one
            headers.append((b"content-length", b"0"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._listening():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as an unknown path is answered: by the framework that the door is mounted in, else as Starlette does."""
    unknown_path = getattr(scope.get("router"), "default", None)
    if unknown_path is not None:
        await unknown_path(scope, receive, send)
        return
    text = b"Not Found"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def _body(receive: Receive) -> AsyncGenerator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        yield message.get("body", b"")
        more = message.get("more_body", False)
