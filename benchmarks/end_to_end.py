"""Processor time of a complete analysis, from the clip to typed results, against a server without delay."""

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

from .comparison import OURS, Figure, Table, alternate
from .sink_server import Sink, sink

__all__ = ["benchmarks"]

SIZE: Final = 5_000_000
"""Bytes of a clip."""
ANALYSES: Final = 64
AT_ONCE: Final = 8
KEY: Final = "benchmark-key"
BASELINE: Final = "aiohttp by hand"

Analyze = Callable[[Path], Awaitable[float]]
"""Analyzes a clip and returns the score."""


@asynccontextmanager
async def _ours(url: str) -> AsyncGenerator[Analyze]:
    request, polling = (
        SideView(height=1.75, weight=68),
        Polling(interval=0.01, shortest=0.01, requests_per_second=1_000),
    )
    async with OchySession(KEY, base_url=url, polling=polling, preflight="off") as ochy:

        async def analyze(clip: Path) -> float:
            return (await ochy.analyze(clip, request)).total_score

        yield analyze


@asynccontextmanager
async def _by_hand(url: str) -> AsyncGenerator[Analyze]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def started(clip: Path) -> str:
            with clip.open("rb") as file:
                form = aiohttp.FormData({"view": "side_view", "height": "1.75", "weight": "68.0"})
                form.add_field("video", file, filename=clip.name, content_type="video/mp4")
                async with http.post(f"{url}/analysis/start", params={"apiKey": KEY}, data=form) as response:
                    return str(orjson.loads(await response.read())["video_id"])

        async def analyze(clip: Path) -> float:
            address = f"{url}/analysis/{await started(clip)}/results"
            while True:
                await asyncio.sleep(0.01)
                async with http.get(address, params={"apiKey": KEY}) as response:
                    state: dict[str, Any] = orjson.loads(await response.read())
                if state["status"] == "success":
                    return float(state["biomechanical_analysis"]["total_score"])

        yield analyze


Client = Callable[[str], AbstractAsyncContextManager[Analyze]]
CLIENTS: Final[dict[str, Client]] = {BASELINE: _by_hand, OURS: _ours}


async def _measured(client: Client, url: str, clip: Path) -> float:
    """Milliseconds of processor time per analysis, with several at once."""
    slots = CapacityLimiter(AT_ONCE)
    async with client(url) as analyze:

        async def one() -> float:
            async with slots:
                return await analyze(clip)

        began = time.process_time()
        scores = await asyncio.gather(*(one() for _ in range(ANALYSES)))
        took = time.process_time() - began
    assert len(set(scores)) == 1
    assert scores[0] > 0
    return took / ANALYSES * 1000


def _end_to_end(listening: Sink, clip: Path, rounds: int) -> Table:
    def run(client: Client) -> float:
        before = listening.received()
        took = asyncio.run(_measured(client, listening.url(False), clip))
        assert SIZE * ANALYSES <= listening.received() - before <= (SIZE + 4096) * ANALYSES
        return took

    took = alternate({contender: partial(run, client) for contender, client in CLIENTS.items()}, rounds)
    figures = {contender: Figure.of(values) for contender, values in took.items()}
    table = Table(f"processor time per analysis, {SIZE // 1_000_000} MB", "ms", figures, BASELINE)
    return evolve(table, goals=(table.goal(1.5),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    with TemporaryDirectory() as folder, sink() as listening:
        clip = Path(folder) / "clip.mp4"
        clip.write_bytes(os.urandom(SIZE))
        yield _end_to_end(listening, clip, rounds)
