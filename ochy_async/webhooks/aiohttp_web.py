"""The door as a handler of aiohttp.web.

Invariant: this module translates between aiohttp.web and `Door`, and decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from .door import BAD_REQUEST, NOT_FOUND, Disconnected, Door, Head, Reply, last_segment

__all__ = ["respond"]


async def respond(door: Door, act: Callable[[Reply], Awaitable[None]], request: web.Request) -> web.StreamResponse:
    """Answers a request, and only then acts on it. Raises aiohttp's own `HTTPNotFound` as for an unknown path."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    head = Head(request.method, last_segment(request.path), headers)
    try:
        reply = await door.take(head, _body(request))
    except Disconnected:
        return web.Response(status=BAD_REQUEST.status)  # which nobody receives
    if reply.status == NOT_FOUND.status:
        raise web.HTTPNotFound
    response = web.Response(status=reply.status, headers=dict(reply.headers))
    with suppress(OSError):  # the client left: nobody misses the answer
        await _send(request, response, reply)
    await act(reply)
    return response


async def _send(request: web.Request, response: web.Response, reply: Reply) -> None:
    """Sends the response, which aiohttp would do only after the handler has returned."""
    if reply.closes:
        response.force_close()
    await response.prepare(request)
    await response.write_eof()
    if reply.closes and request.transport is not None:
        request.transport.close()  # aiohttp would go on reading the body for a while


async def _body(request: web.Request) -> AsyncGenerator[bytes]:
    try:
        async for piece in request.content.iter_any():
            yield piece
    except (OSError, web.RequestPayloadError):
        raise Disconnected from None
