"""The whole life of an analysis, from the clip to typed results, against a server without delay."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import orjson
from anyio import CapacityLimiter
from attrs import evolve

from ochy_async import OchySession, Polling, SideView

from .race import OURS, Figure, Table, alternate
from .sinks import Sink, sink

__all__ = ["benchmarks"]

SIZE: Final = 5_000_000
"""Bytes of a clip."""
LIVES: Final = 64
AT_ONCE: Final = 8
KEY: Final = "benchmark-key"
FLOOR: Final = "aiohttp by hand"

Live = Callable[[Path], Awaitable[float]]
"""Has a clip analyzed, and gives the score."""


@asynccontextmanager
async def _ours(url: str) -> AsyncGenerator[Live]:
    request, polling = (
        SideView(height=1.75, weight=68),
        Polling(interval=0.01, shortest=0.01, requests_per_second=1_000),
    )
    async with OchySession(KEY, base_url=url, polling=polling, preflight="off") as ochy:

        async def live(clip: Path) -> float:
            return (await ochy.analyze(clip, request)).total_score

        yield live


@asynccontextmanager
async def _by_hand(url: str) -> AsyncGenerator[Live]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def started(clip: Path) -> str:
            with clip.open("rb") as file:
                form = aiohttp.FormData({"view": "side_view", "height": "1.75", "weight": "68.0"})
                form.add_field("video", file, filename=clip.name, content_type="video/mp4")
                async with http.post(f"{url}/analysis/start", params={"apiKey": KEY}, data=form) as response:
                    return str(orjson.loads(await response.read())["video_id"])

        async def live(clip: Path) -> float:
            address = f"{url}/analysis/{await started(clip)}/results"
            while True:
                await asyncio.sleep(0.01)
                async with http.get(address, params={"apiKey": KEY}) as response:
                    state: dict[str, Any] = orjson.loads(await response.read())
                if state["status"] == "success":
                    return float(state["biomechanical_analysis"]["total_score"])

        yield live


Client = Callable[[str], AbstractAsyncContextManager[Live]]
CLIENTS: Final[dict[str, Client]] = {FLOOR: _by_hand, OURS: _ours}


async def _lived(client: Client, url: str, clip: Path) -> float:
    """Milliseconds of the processor for one life, some of them going on at once."""
    limit = CapacityLimiter(AT_ONCE)
    async with client(url) as live:

        async def one() -> float:
            async with limit:
                return await live(clip)

        began = time.process_time()
        scores = await asyncio.gather(*(one() for _ in range(LIVES)))
        took = time.process_time() - began
    assert len(set(scores)) == 1
    assert scores[0] > 0
    return took / LIVES * 1000


def _lives(listening: Sink, clip: Path, rounds: int) -> Table:
    def run(client: Client) -> float:
        before = listening.received()
        took = asyncio.run(_lived(client, listening.url(False), clip))
        assert SIZE * LIVES <= listening.received() - before <= (SIZE + 4096) * LIVES
        return took

    took = alternate({who: partial(run, client) for who, client in CLIENTS.items()}, rounds)
    figures = {who: Figure.of(values) for who, values in took.items()}
    table = Table(f"CPU of a whole life, {SIZE // 1_000_000} MB", "ms", figures, FLOOR)
    return evolve(table, aims=(table.aim(1.5),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    with TemporaryDirectory() as folder, sink() as listening:
        clip = Path(folder) / "clip.mp4"
        clip.write_bytes(os.urandom(SIZE))
        yield _lives(listening, clip, rounds)
