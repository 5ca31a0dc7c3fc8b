"""Tests of the clips that a batch has in memory."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

from ochy_async import Clip, SideView
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.policy.concurrency import Concurrency
from tests.conftest import direct_session, world
from tests.support.batches import SlowClip


def test_finished_clips_are_released_from_memory() -> None:
    """Of a long batch only the clips and outcomes that are under way are in memory."""
    given: list[ref[Clip]] = []
    yielded: list[ref[Any]] = []
    concurrency = Concurrency(in_flight=8)

    async def fresh() -> AsyncIterator[Clip]:
        for number in range(100):
            given.append(ref(made := SlowClip(number, 0.0).clip))
            yield made
            del made

    async def story() -> tuple[int, int]:
        async with (
            direct_session(world(concurrent_analyses=100)) as ochy,
            ochy.batch(SideView(), concurrency=concurrency) as batch,
        ):
            async for outcome in batch.run(fresh()):
                yielded.append(ref(outcome))
                del outcome
                if len(yielded) == 80:
                    gc.collect()
                    return living(given), living(yielded)
        raise AssertionError("there were fewer than eighty")

    clips_, outcomes = in_virtual_time(story())
    assert clips_ <= concurrency.total + 1
    assert outcomes <= 1


def living(refs: list[ref[Any]]) -> int:
    return sum(each() is not None for each in refs)
