"""Tests of how many clips a batch handles at the same time, against the emulator in virtual time."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import pytest
from anyio import current_time, sleep

from ochy_async import Clip, SideView
from ochy_async.emulator import Service, sample_clip
from ochy_async.emulator.messages import ServiceRequest
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.policy.concurrency import INITIAL_IN_FLIGHT, Concurrency, InFlightLimit
from tests.conftest import direct_session, world


class Crowded(Service):
    """Records the maximum number of unfinished analyses."""

    most = 0

    def handle(self, request: ServiceRequest, now: float) -> Any:
        answer = super().handle(request, now)
        waiting = sum(each.ends_at > now for each in self._account.analyses.values())
        self.most = max(self.most, waiting)
        return answer


def clips(count: int) -> list[bytes]:
    return [sample_clip(number, size=300) for number in range(count)]


async def duration(service: Service, count: int, **settings: Any) -> float:
    """Seconds that a batch takes; all clips are analyzed, and each is charged once."""
    async with direct_session(service) as ochy, ochy.batch(SideView(), **settings) as batch:
        began = current_time()
        words = [outcome.word async for outcome in batch.run(clips(count))]
        assert words == ["analyzed"] * count
        assert len({charge.sha256 for charge in service.ledger}) == len(service.ledger) == count
        return current_time() - began


# --- in flight ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maximum", "polls", "slots"),
    [
        (128, "", 32),
        (128, "rr", 34),
        (128, "rrq", 33),
        (128, "qqq", 32),
        (33, "rrrr", 33),
        (8, "rr", 8),
        (8, "qq", 8),
    ],
)
def test_first_polls_adjust_the_in_flight_limit(maximum: int, polls: str, slots: int) -> None:
    """One more for an analysis that runs (r), one less for one that is queued (q), within the limits."""
    limit = InFlightLimit(maximum)
    for poll in polls:
        limit.first_poll(queued=poll == "q")
    assert limit.slots == slots


def test_an_idle_server_gets_more_clips() -> None:
    """If a hundred are analyzed at once, more than the first few dozen are sent, and the batch ends sooner."""
    narrow, wide = (Crowded(world(concurrent_analyses=100, analysis_seconds=(30.0, 30.0))) for _ in range(2))
    most = in_virtual_time(duration(narrow, 200, concurrency=Concurrency(in_flight=INITIAL_IN_FLIGHT)))
    assert in_virtual_time(duration(wide, 200)) < 0.75 * most
    assert narrow.most <= INITIAL_IN_FLIGHT < 2 * INITIAL_IN_FLIGHT < wide.most <= Concurrency().in_flight


def test_a_busy_server_gets_no_long_queue() -> None:
    """If four are analyzed at once, few clips wait behind the first few dozen."""
    service = Crowded(world(concurrent_analyses=4, analysis_seconds=(30.0, 30.0)))
    in_virtual_time(duration(service, 80))
    assert service.most <= INITIAL_IN_FLIGHT + 4


def test_in_flight_is_a_limit_for_an_idle_server_too() -> None:
    """`in_flight` is the maximum, not only the initial value."""
    service = Crowded(world(concurrent_analyses=100, analysis_seconds=(30.0, 30.0)))
    in_virtual_time(duration(service, 80, concurrency=Concurrency(in_flight=40)))
    assert INITIAL_IN_FLIGHT < service.most <= 40


def test_clips_are_read_only_as_the_in_flight_limit_grows() -> None:
    """While the server is busy, only the first few dozen clips and a few more are read."""
    concurrency, read = Concurrency(), 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        for each in clips(200):
            read += 1
            yield each

    async def story() -> int:
        settings = world(concurrent_analyses=1, analysis_seconds=(30.0, 30.0))
        async with direct_session(settings) as ochy, ochy.batch(SideView()) as batch:
            await anext(batch.run(counted()))
            return read

    assert in_virtual_time(story()) <= INITIAL_IN_FLIGHT + concurrency.extra_slots + 2 < concurrency.total


# --- uploads --------------------------------------------------------------------------------------


class SlowClip:
    """A clip whose bytes are sent slowly; counts how many such uploads run now, and how many ran at most."""

    under_way = most = 0

    def __init__(self, number: int, seconds: float) -> None:
        self._content, self._seconds, self._opened = sample_clip(number, size=300), seconds, 0

    @property
    def clip(self) -> Clip:
        return Clip.stream(self._chunks, name="film.mp4", size=300)

    async def _chunks(self) -> AsyncIterator[bytes]:
        self._opened += 1
        if self._opened == 1:  # to be hashed
            yield self._content
            return
        SlowClip.under_way += 1
        SlowClip.most = max(SlowClip.most, SlowClip.under_way)
        await sleep(self._seconds)
        yield self._content
        SlowClip.under_way -= 1


@pytest.mark.parametrize(("seconds", "least", "most"), [(10.0, 5, 16), (40.0, 3, 3)])
def test_parallel_uploads_increase_only_while_uploads_are_fast(seconds: float, least: int, most: int) -> None:
    """With little bandwidth, more uploads at once only make each take longer, up to its deadline."""
    SlowClip.most = 0

    async def story() -> list[str]:
        async with direct_session(world(concurrent_analyses=100)) as ochy, ochy.batch(SideView()) as batch:
            films = [SlowClip(number, seconds).clip for number in range(40)]
            return [outcome.word async for outcome in batch.run(films)]

    assert in_virtual_time(story()) == ["analyzed"] * 40
    assert least <= SlowClip.most <= most


# --- memory ---------------------------------------------------------------------------------------


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
