"""Waits that hints wake: the poll comes at once, and only the poll decides.

All tests run in virtual time.
"""

from __future__ import annotations

import anyio

from ochy_async import OchySession, SideView
from ochy_async.emulator import Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.protocol.routes import RESULTS
from ochy_async.wakes import Wakes
from tests.conftest import CLIP, Recorded, direct_session, world

TWENTY = world(analysis_seconds=(20.0, 20.0), queue_seconds=0.0)
"""Every analysis takes 20 s."""


def wakes_of(ochy: OchySession) -> Wakes:
    """Where the waits of a session listen for hints."""
    return ochy._scheduler.wakes  # pyright: ignore[reportPrivateUsage]


async def hint_at(wakes: Wakes, analysis_id: str, *moments: float) -> None:
    """Hints at these seconds from now."""
    began = anyio.current_time()
    for moment in moments:
        await anyio.sleep_until(began + moment)
        wakes.hint(analysis_id)


async def waited(ochy: OchySession, *hints: float) -> float:
    """Seconds from the start of an analysis to its results, with hints at these seconds from the start."""
    began = anyio.current_time()
    started = await ochy.start(CLIP, SideView())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_at, wakes_of(ochy), started.analysis_id, *hints)
        await ochy.wait(started)
        tasks.cancel_scope.cancel()
    return anyio.current_time() - began


def test_a_hint_makes_the_next_poll_come_at_once() -> None:
    """The results are known a poll after the hint, not up to three seconds later."""

    async def scenario() -> None:
        async with direct_session(TWENTY) as ochy:
            assert await waited(ochy, 20.2) < 20.5

    in_virtual_time(scenario())


def test_a_hint_never_ends_a_wait() -> None:
    """An early hint costs one poll; the wait ends when a poll shows the end, and costs no second credit."""

    async def scenario() -> None:
        service, polls = Service(TWENTY), Recorded()
        async with direct_session(service, polls) as ochy:
            assert await waited(ochy, 1.0) >= 20
        assert polls.routes.count(str(RESULTS)) <= 9
        assert len(service.ledger) == 1

    in_virtual_time(scenario())
