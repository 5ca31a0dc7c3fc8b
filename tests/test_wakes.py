"""Hints cut sleeps short, and do nothing else."""

from __future__ import annotations

import anyio

from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.wakes import Wakes


def test_a_hint_cuts_a_sleep_short() -> None:
    """The sleep of ten seconds ends when the hint comes, and says so."""

    async def scenario() -> None:
        wakes, began = Wakes(), anyio.current_time()
        with wakes.listening("a1") as waker:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_hint_after, wakes, 4.0)
                assert await waker.sleep(10) is True
                assert anyio.current_time() - began == 4

    in_virtual_time(scenario())


async def _hint_after(wakes: Wakes, seconds: float) -> None:
    await anyio.sleep(seconds)
    wakes.hint("a1")
