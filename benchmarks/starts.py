"""What the journal costs: a batch of small clips with a journal on a disk, compared with one in memory.

Invariant: there is no network and no pause, so that the rest of a batch, the emulator included, is the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from ochy_async import Concurrency, OchySession, Polling, SideView
from ochy_async.emulator import EmulatorSettings, sample_clip
from ochy_async.emulator.in_process import InProcessTransport

from .comparison import OURS, Figure, Table, alternate
from .lag import Lags, measure_lag

__all__ = ["benchmarks"]

CLIPS: Final = 200
IN_MEMORY: Final = "a journal in memory"
POLLING: Final = Polling(interval=0.01, shortest=0.01, requests_per_second=1_000)


@frozen
class Cost:
    """What one batch took."""

    processor: float
    """Milliseconds per clip."""
    wall: float
    """Milliseconds per clip."""
    lag: float
    """The highest lag of the event loop, in milliseconds."""


async def _measured(uploads: int, journal: Path | None) -> Cost:
    clips = [sample_clip(number, size=300) for number in range(CLIPS)]
    transport = InProcessTransport(EmulatorSettings(queue_seconds=0, analysis_seconds=(0, 0)))
    concurrency, lags = Concurrency(uploads=uploads, in_flight=uploads), Lags()
    async with (
        OchySession(transport=transport, polling=POLLING, preflight="off") as ochy,
        ochy.batch(SideView(), journal=journal, concurrency=concurrency) as batch,
    ):
        measuring = asyncio.ensure_future(measure_lag(lags))
        processor, began = time.process_time(), time.perf_counter()
        words = {outcome.word async for outcome in batch.run(clips)}
        processor, wall = time.process_time() - processor, time.perf_counter() - began
        measuring.cancel()
    if words != {"analyzed"}:
        raise AssertionError(f"not all were analyzed: {words}")
    return Cost(processor / CLIPS * 1000, wall / CLIPS * 1000, max(lags) * 1000)


def _costs(uploads: int, rounds: int) -> Iterator[Table]:
    numbers, costs = count(), dict[str, list[Cost]]()
    with TemporaryDirectory() as folder:

        def measure(contender: str) -> float:
            path = Path(folder) / f"{next(numbers)}.journal" if contender == OURS else None
            costs.setdefault(contender, []).append(asyncio.run(_measured(uploads, path)))
            return 0.0

        alternate({each: partial(measure, each) for each in (IN_MEMORY, OURS)}, rounds)
    name = f"{CLIPS} clips, {'one' if uploads == 1 else uploads} at a time"
    for what in ("processor", "wall", "lag"):
        figures = {each: Figure.of([getattr(cost, what) for cost in found]) for each, found in costs.items()}
        unit = "highest event-loop lag" if what == "lag" else f"{what} time per clip"
        yield Table(f"{unit}, {name}", "ms", figures, IN_MEMORY)


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    for uploads in (1, 16):
        yield from _costs(uploads, rounds)
