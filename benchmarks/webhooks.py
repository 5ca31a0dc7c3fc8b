"""How late the end of an analysis is known, and how many polls that takes, with webhooks and without.

Real sessions await real analyses of the emulator over sockets of this machine, in real time: its analyses take 10 to 30
seconds. All contenders run side by side in one process, each with an emulator, a server and a session of its own.

Invariant: every contender awaits the same analyses to their end, and each of them is charged once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, nullcontext
from statistics import fmean
from typing import Final

from aiohttp import web
from attrs import evolve, frozen

from ochy_async import OchySession, Polling, SideView, Webhooks
from ochy_async.emulator import DeliverySettings, Emulator, EmulatorSettings, Service, sample_clip

from .comparison import Figure, Table

__all__ = ["benchmarks"]

ANALYSES: Final = 40
AT_ONCE: Final = 20
"""Analyses that the emulator works on at once; the others wait."""
TOKEN: Final = "benchmark-token-0123456789"  # noqa: S105 - it opens a server on loopback only
BASE: Final = "polling"
RESULTS: Final = "GET /analysis/{analysis_id}/results"


@frozen
class Contender:
    """How a session awaits its analyses."""

    deliveries: DeliverySettings | None = None
    """None for no webhook."""
    rest: float | None = None


JITTERED: Final = DeliverySettings(latency_seconds=(0.05, 1.0), duplicate_rate=0.5, shuffle_rate=0.2)
LOSSY: Final = evolve(JITTERED, loss_rate=0.3)
CONTENDERS: Final = {
    BASE: Contender(),
    "webhooks, doubled and jittered": Contender(JITTERED),
    "the same, 30 % lost": Contender(LOSSY),
    "the same, resting 15 s": Contender(LOSSY, rest=15.0),
    "none lost, resting 15 s": Contender(JITTERED, rest=15.0),
    "30 % lost, flooded with forgeries": Contender(evolve(LOSSY, forgeries_per_second=5.0)),
}


@frozen
class Measured:
    """What one contender has measured."""

    lateness: tuple[float, ...]
    """Seconds from the end of each analysis to the end of its wait."""
    polls: int
    deliveries: int
    """Those that were answered, forged ones included."""


@asynccontextmanager
async def _receiving(hooks: Webhooks) -> AsyncGenerator[str]:
    """A server on a port of this machine that takes deliveries; yields the URL."""
    app = web.Application()
    app.router.add_post("/hooks/ochy/{token}", hooks.aiohttp)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/ochy/{TOKEN}"
    finally:
        await runner.cleanup()


async def _measure(contender: Contender) -> Measured:
    """Awaits all analyses at once."""
    deliveries = contender.deliveries or DeliverySettings()
    settings = EmulatorSettings(concurrent_analyses=AT_ONCE, deliveries=deliveries, log_limit=1_000_000)
    hooks = None if contender.deliveries is None else Webhooks(TOKEN)
    async with Emulator(settings) as emulator, nullcontext() if hooks is None else _receiving(hooks) as url:
        if url is not None:
            emulator.set_webhook(url)
        polling = Polling(rest=contender.rest)
        async with OchySession(
            emulator.api_key, base_url=emulator.url, polling=polling, webhooks=hooks, preflight="off"
        ) as ochy:
            lateness = await asyncio.gather(*(_lateness(ochy, emulator.service, each) for each in range(ANALYSES)))
        if len(emulator.service.ledger) != ANALYSES:
            raise AssertionError("an analysis was charged twice, or not at all")
        answered = sum(each.status is not None for each in emulator.deliveries)
        return Measured(tuple(lateness), emulator.service.count(RESULTS), answered)


async def _lateness(ochy: OchySession, service: Service, number: int) -> float:
    started = await ochy.start(sample_clip(number), SideView())
    await ochy.wait(started)
    known = time.time()
    return known - service.ends_at(started.analysis_id)


async def _all() -> list[Measured]:
    return await asyncio.gather(*(_measure(contender) for contender in CONTENDERS.values()))


def benchmarks(rounds: int) -> Iterator[Table]:  # noqa: ARG001 - the analyses of one round take a minute
    """Both tables, from one round."""
    found = dict(zip(CONTENDERS, asyncio.run(_all()), strict=True))
    notes = tuple(
        f"{name}: {fmean(each.lateness):.2f} s late on average, {each.polls / ANALYSES:.1f} polls an analysis, "
        f"{each.deliveries:,} deliveries answered"
        for name, each in found.items()
    )
    late = {name: Figure.of(each.lateness) for name, each in found.items()}
    polls = {name: Figure.of([each.polls / ANALYSES]) for name, each in found.items()}
    yield Table(f"webhooks, {ANALYSES} analyses: delay", "s", late, BASE, notes=notes)
    yield Table(f"webhooks, {ANALYSES} analyses: polls per analysis", "polls", polls, BASE)
