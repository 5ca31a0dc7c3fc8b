"""The event loop of simulated workers: a paused process does nothing, and everything else goes on."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from tests.support.simulation.pausing import Crash, Process, Strike, in_pausing_time


async def _count(seconds: float, ticks: list[float]) -> None:
    """Notes the time again and again, from a task of its own."""
    async with anyio.create_task_group() as group:
        group.start_soon(_tick, seconds, ticks)


async def _tick(seconds: float, ticks: list[float]) -> None:
    for _ in range(10):
        await asyncio.sleep(seconds)
        ticks.append(asyncio.get_running_loop().time() - 1_000)


def test_a_paused_process_does_nothing_until_it_is_resumed() -> None:
    """Its timers neither; another process goes on."""
    paused, other = list[float](), list[float]()

    async def main() -> None:
        process = Process("paused")
        tasks = [process.start(_count(1.0, paused)), Process("other").start(_count(1.0, other))]
        await asyncio.sleep(2.5)
        process.pause(20.0)
        await asyncio.gather(*tasks)

    in_pausing_time(main())
    assert other == list(range(1, 11))
    assert paused == [1, 2, 22.5, *(22.5 + n for n in range(1, 8))]


def test_a_process_that_is_cancelled_while_it_is_paused_learns_of_it_afterwards() -> None:
    """Whoever cancels it waits until then."""
    ended = list[float]()

    async def main() -> None:
        process = Process("paused")
        task = process.start(_count(1.0, []))
        await asyncio.sleep(0.5)
        process.pause(7.0)
        task.cancel()
        await asyncio.wait({task})
        ended.append(asyncio.get_running_loop().time())

    in_pausing_time(main())
    assert ended == [1_007.5]


@pytest.mark.parametrize("after", range(1, 12))
def test_a_killed_process_is_dead_at_once(after: int) -> None:
    """Whichever step it was at; what it asks for afterwards is a crash."""
    crashes = list[BaseException]()

    async def work(process: Process) -> None:
        try:
            await _count(1.0, [])
        finally:
            try:
                await process.moment()
            except Crash as crash:
                crashes.append(crash)

    async def main() -> None:
        process = Process("killed", [Strike(seconds=None, counted="steps", after=after)])
        task = process.start(work(process))
        await asyncio.wait({task})
        assert process.dead
        assert asyncio.get_running_loop().time() <= 1_000 + after

    in_pausing_time(main())
    assert len(crashes) == (after > 1)  # with the first step, the process has not begun


def test_a_wait_that_is_shorter_than_the_resolution_of_the_loop_ends() -> None:
    """Otherwise its timer would be due, but its deadline never reached."""

    async def main() -> None:
        with anyio.move_on_after(1e-12) as scope:
            await asyncio.sleep(1.0)
        assert scope.cancelled_caught

    in_pausing_time(main())
