"""Leaving a journal: whatever breaks in upon it, what was answered is there, and nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_journal import led, listed
from test_journal_files import held_by_us

from ochy_async.errors import JournalTrouble
from ochy_async.journal.sqlite import SqliteJournal
from ochy_async.policy.batching import State

pytestmark = pytest.mark.anyio

TURNS = range(40)
"""At which turns of the loop something breaks in: a dozen of them pass before the thread is all that is waited for."""
ENTRIES = 3

Leaving = Callable[[], None]
"""Says that the block is about to be left."""


# --- what breaks in -------------------------------------------------------------------------------


async def left(path: Path, leaving: Leaving) -> None:
    """Writes into a journal and leaves it."""
    async with SqliteJournal(path) as journal:
        for number in range(ENTRIES):
            await led(journal, State.STARTED, str(number), analysis_id=f"id-{number}")
        leaving()


async def after(turns: int, begun: asyncio.Event, deed: Callable[[], object]) -> None:
    """Does something some turns of the loop after something else has begun."""
    await begun.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    deed()


async def by_a_timeout(path: Path, turns: int) -> None:
    """The time of the whole block runs out."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:

        def out_of_time() -> None:
            if not scope.expired():
                scope.reschedule(loop.time())

        clock = asyncio.ensure_future(after(turns, begun, out_of_time))
        try:
            await left(path, begun.set)
        finally:
            clock.cancel()


async def by_a_sibling(path: Path, turns: int) -> None:
    """Another task of its group fails."""
    begun = asyncio.Event()

    def fail() -> None:
        raise LookupError

    async with asyncio.TaskGroup() as group:
        group.create_task(left(path, begun.set))
        group.create_task(after(turns, begun, fail))


async def by_hand(path: Path, turns: int, times: int = 1) -> None:
    """The task is cancelled, once or several times in a row."""
    begun = asyncio.Event()
    task = asyncio.ensure_future(left(path, begun.set))
    await after(turns, begun, lambda: None)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await task


async def by_hand_twice(path: Path, turns: int) -> None:
    """Somebody is in a hurry."""
    await by_hand(path, turns, times=2)


async def by_hand_for_long(path: Path, turns: int) -> None:
    """Somebody cancels in every turn, as a cancel scope does."""
    await by_hand(path, turns, times=50)


BREAKS: list[Callable[[Path, int], Coroutine[Any, Any, None]]] = [
    by_a_timeout,
    by_a_sibling,
    by_hand,
    by_hand_twice,
    by_hand_for_long,
]


# --- what is there afterwards ---------------------------------------------------------------------


async def lost(path: Path) -> str:
    """What is wrong with a journal that was left: "" if nothing is."""
    threads = [each.name for each in threading.enumerate() if "journal" in each.name]
    held = held_by_us(path)
    gc.collect()
    try:
        async with SqliteJournal(path) as journal:
            there = len(await listed(journal, State.STARTED))
    except JournalTrouble as trouble:
        return f"{type(trouble).__name__}: {trouble}"
    wrong = [f"{there} of {ENTRIES} entries"] if there != ENTRIES else []
    wrong += ["threads left"] if threads else []
    wrong += ["handles left"] if held else []
    return ", ".join(wrong)


async def swallowed(work: Awaitable[None]) -> None:
    """Waits for something, whatever it ends with."""
    with suppress(asyncio.CancelledError, TimeoutError, LookupError, ExceptionGroup):
        await work


@pytest.mark.parametrize("break_in", BREAKS)
async def test_a_journal_may_be_broken_off_at_any_turn(
    tmp_path: Path, break_in: Callable[[Path, int], Coroutine[Any, Any, None]]
) -> None:
    """While it is left: all that was answered is there at once, and no handle nor thread is left."""
    wrong: dict[int, str] = {}
    for turns in TURNS:
        path = tmp_path / f"{turns}.journal"
        await swallowed(break_in(path, turns))
        if found := await lost(path):
            wrong[turns] = found
    assert wrong == {}
