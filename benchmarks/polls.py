"""Processor time per poll while many analyses are awaited at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Final

import aiohttp
import orjson
from attrs import evolve

from ochy_async import AnalysisFailed, OchySession, Polling, SideView, Started

from .alternatives import alternative
from .comparison import OURS, Figure, Table, alternate
from .sink_server import POLLS, Sink, sink

__all__ = ["benchmarks"]

KEY: Final = "benchmark-key"
BASELINE: Final = "aiohttp + orjson"
POLLS_PER_SECOND: Final = 800
"""Polls per second of all contenders; our own rate limit is a little higher."""

Wait = Callable[[str], Awaitable[None]]
"""Waits until an analysis has failed, which takes `POLLS` polls."""
_run: Final = count()


@asynccontextmanager
async def _ours(url: str, in_flight: int) -> AsyncGenerator[Wait]:
    pause = in_flight / POLLS_PER_SECOND
    polling = Polling(interval=pause, shortest=pause, longest=pause, requests_per_second=1_000)
    async with OchySession(KEY, base_url=url, polling=polling) as ochy:

        async def wait(analysis_id: str) -> None:
            try:
                await ochy.wait(Started.of(analysis_id, SideView))
            except AnalysisFailed:
                return
            raise AssertionError("the analysis must fail")

        yield wait


def _looping(get: Callable[[str], Awaitable[bytes]], url: str, in_flight: int) -> Wait:
    """A hand-written loop, with the polls of all analyses spread over time as ours are."""
    place = count()

    async def wait(analysis_id: str) -> None:
        await asyncio.sleep(next(place) / POLLS_PER_SECOND)
        for _ in range(POLLS - 1):
            assert orjson.loads(await get(f"{url}/analysis/{analysis_id}/results"))["status"] == "analyzing"
            await asyncio.sleep(in_flight / POLLS_PER_SECOND)
        assert orjson.loads(await get(f"{url}/analysis/{analysis_id}/results"))["status"] == "failed"

    return wait


@asynccontextmanager
async def _aiohttp(url: str, in_flight: int) -> AsyncGenerator[Wait]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def get(address: str) -> bytes:
            async with http.get(address, params={"apiKey": KEY}) as response:
                return await response.read()

        yield _looping(get, url, in_flight)


@asynccontextmanager
async def _httpx(url: str, in_flight: int) -> AsyncGenerator[Wait]:
    httpx = alternative("httpx")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:

        async def get(address: str) -> bytes:
            answer: bytes = (await http.get(address, params={"apiKey": KEY})).content
            return answer

        yield _looping(get, url, in_flight)


Client = Callable[[str, int], AbstractAsyncContextManager[Wait]]
CLIENTS: Final[dict[str, Client]] = {BASELINE: _aiohttp, OURS: _ours, "httpx": _httpx}


async def _waited(client: Client, url: str, in_flight: int) -> float:
    """Milliseconds of processor time per poll, with all analyses awaited at once."""
    run = next(_run)
    async with client(url, in_flight) as wait:
        began = time.process_time()
        await asyncio.gather(*(wait(f"{run}-{number}") for number in range(in_flight)))
        return (time.process_time() - began) / (POLLS * in_flight) * 1000


def _polls(listening: Sink, in_flight: int, rounds: int) -> Table:
    url = f"http://127.0.0.1:{listening.polls}"

    def run(client: Client) -> float:
        return asyncio.run(_waited(client, url, in_flight))

    took = alternate({contender: partial(run, client) for contender, client in CLIENTS.items()}, rounds)
    figures = {contender: Figure.of(values) for contender, values in took.items()}
    table = Table(f"processor time per poll, {in_flight:,} in flight", "ms", figures, BASELINE)
    return evolve(table, goals=(table.goal(1.2),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    with sink() as listening:
        yield _polls(listening, 2_000, rounds)
