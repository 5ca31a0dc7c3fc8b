"""Hints cut sleeps short, and do nothing else.

All tests run in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.policy.hints import MAX_EARLY
from ochy_async.wakes import Waker, Wakes


async def slept(waker: Waker, seconds: float) -> tuple[bool, float]:
    """Whether a hint cut a sleep short, and how long it was. The hint is taken, as by a poll."""
    began = anyio.current_time()
    cut_short = await waker.sleep(seconds)
    waker.take_hint()
    return cut_short, round(anyio.current_time() - began, 3)


async def hinting(wakes: Wakes, *hints: tuple[float, int | None], analysis_id: str = "a1") -> None:
    """Hints at these moments from now, each with its sequence."""
    began = anyio.current_time()
    for moment, sequence in hints:
        await anyio.sleep_until(began + moment)
        wakes.hint(analysis_id, sequence)


def sleeps(*hints: tuple[float, int | None], analysis_id: str = "a1", times: int = 1) -> list[tuple[bool, float]]:
    """Sleeps of ten seconds one after the other, with hints at these moments."""

    async def scenario() -> list[tuple[bool, float]]:
        wakes, came = Wakes(), list[tuple[bool, float]]()
        with wakes.listening("a1") as waker:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: hinting(wakes, *hints, analysis_id=analysis_id))
                came.extend([await slept(waker, 10) for _ in range(times)])
        return came

    return in_virtual_time(scenario())


def test_a_hint_cuts_a_sleep_short() -> None:
    """The sleep of ten seconds ends when the hint comes, and says so."""
    assert sleeps((4, 1)) == [(True, 4)]


@pytest.mark.parametrize("waits", [True, False], ids=["during a wait", "before the wait"])
def test_a_hint_may_come_from_a_callback(waits: bool) -> None:
    """Outside of any task, as asyncpg calls. Earlier versions of anyio find no event loop there."""

    async def scenario() -> bool:
        wakes, called = Wakes(), asyncio.Event()

        def callback() -> None:
            wakes.hint("a1", 1)
            called.set()

        if not waits:
            asyncio.get_running_loop().call_soon(callback)
            await called.wait()
        with wakes.listening("a1") as waker:
            if waits:
                asyncio.get_running_loop().call_soon(callback)
            return await waker.sleep(10)

    assert in_virtual_time(scenario())


def test_without_a_hint_a_sleep_lasts_its_time() -> None:
    """Nor does a hint for another analysis end it."""
    assert sleeps() == [(False, 10)]
    assert sleeps((4, 1), analysis_id="a2") == [(False, 10)]


def test_a_hint_between_two_sleeps_ends_the_next() -> None:
    """It came after the last poll was sent, whose answer may be older than the hint."""

    async def scenario() -> None:
        wakes = Wakes()
        with wakes.listening("a1") as waker:
            wakes.hint("a1", 1)
            assert await slept(waker, 10) == (True, 0)
            assert await slept(waker, 10) == (False, 10)

    in_virtual_time(scenario())


def test_a_flood_wakes_once_a_second_and_four_times() -> None:
    """Two hundred hints in ten seconds, each with a sequence of its own."""
    flood = [(n / 20, n) for n in range(1, 200)]
    woken = sleeps(*flood, times=6)
    assert [cut_short for cut_short, _ in woken] == [True] * 4 + [False] * 2
    assert [seconds for _, seconds in woken[1:4]] == [1, 1, 1]


def test_a_doubled_hint_wakes_once() -> None:
    """The second delivery with a sequence is the first one again; a lower sequence is another one."""
    assert sleeps((1, 7), (3, 7), times=2) == [(True, 1), (False, 10)]
    assert sleeps((1, 7), (3, 6), times=2) == [(True, 1), (True, 2)]


@pytest.mark.parametrize(("age", "first"), [(119, (True, 0)), (121, (False, 10))])
def test_a_hint_before_anyone_waits_counts_for_two_minutes(age: float, first: tuple[bool, float]) -> None:
    """The first wait that begins by then polls at once; those beside it and after it do not."""

    async def scenario() -> None:
        wakes = Wakes()
        wakes.hint("a1", 1)
        await anyio.sleep(age)
        with wakes.listening("a1") as waker, wakes.listening("a1") as second:
            assert await slept(waker, 10) == first
            assert await slept(second, 10) == (False, 10)

    in_virtual_time(scenario())


def test_all_waits_for_an_analysis_wake() -> None:
    """One hint wakes each of them."""

    async def scenario() -> list[tuple[bool, float]]:
        wakes, came = Wakes(), list[tuple[bool, float]]()

        async def wait() -> None:
            with wakes.listening("a1") as waker:
                came.append(await slept(waker, 10))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            tasks.start_soon(hinting, wakes, (4, 1))
        return came

    assert in_virtual_time(scenario()) == [(True, 4)] * 3


def test_a_wait_that_ends_leaves_the_others_listening() -> None:
    """Hints still reach the second of two waits, and nothing is left after both."""

    async def scenario() -> None:
        wakes = Wakes()
        with wakes.listening("a1") as waker:
            with wakes.listening("a1"):
                pass
            wakes.hint("a1", 1)
            assert await slept(waker, 10) == (True, 0)
        assert_empty(wakes)

    in_virtual_time(scenario())


def assert_empty(wakes: Wakes) -> None:
    assert not wakes._awaited  # pyright: ignore[reportPrivateUsage]


async def _before_the_hint(wakes: Wakes, waker: Waker) -> None:
    await waker.sleep(10)


async def _before_the_wake(wakes: Wakes, waker: Waker) -> None:
    wakes.hint("a1", 1)
    await slept(waker, 10)
    wakes.hint("a1", 2)
    await waker.sleep(10)  # until a second after the first wake


@pytest.mark.parametrize("sleep", [_before_the_hint, _before_the_wake])
def test_a_cancelled_sleep_leaves_nothing_behind(sleep: Callable[[Wakes, Waker], Awaitable[None]]) -> None:
    """Neither an entry nor a task, wherever it is cancelled; and no task ran before."""

    async def scenario() -> None:
        wakes = Wakes()
        with anyio.move_on_after(0.5) as scope, wakes.listening("a1") as waker:
            assert len(asyncio.all_tasks()) == 1
            await sleep(wakes, waker)
        assert scope.cancelled_caught
        assert_empty(wakes)
        assert len(asyncio.all_tasks()) == 1

    in_virtual_time(scenario())


def test_forged_ids_do_not_silence_what_is_waited_for() -> None:
    """However many ids a flood has, they take bounded memory and wake nobody, and the real hint still wakes."""

    async def scenario() -> None:
        wakes = Wakes()
        with wakes.listening("a1") as waker:
            for n in range(3 * MAX_EARLY):
                wakes.hint(f"forged {n}", n)
            assert len(wakes._early._hints) <= MAX_EARLY  # pyright: ignore[reportPrivateUsage]
            assert await slept(waker, 1) == (False, 1)
            wakes.hint("a1", 1)
            assert await slept(waker, 10) == (True, 0)

    in_virtual_time(scenario())


def test_a_sleep_of_no_time_still_yields() -> None:
    """So that a wait whose polls are all due cannot hold the event loop."""

    async def scenario() -> None:
        ran = list[str]()

        async def other() -> None:
            ran.append("other")

        with Wakes().listening("a1") as waker:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other)
                assert await waker.sleep(0) is False
                assert ran

    in_virtual_time(scenario())
