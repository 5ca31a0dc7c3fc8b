"""Tests of how many clips are uploaded and analyzed at the same time: of the limits alone, and in a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from anyio import current_time

from ochy_async import Clip, SideView
from ochy_async.emulator import Service
from ochy_async.emulator.messages import ServiceRequest
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    BuyCredits,
    ClipRefused,
    ConnectionFailed,
    InvalidSettings,
    KeyRefused,
    OchyError,
    RateLimited,
    ServerError,
    UncertainStart,
)
from ochy_async.policy.concurrency import INITIAL_IN_FLIGHT, Concurrency, InFlightLimit, UploadLimit
from tests.conftest import direct_session, world
from tests.support.batches import SlowClip, clips

# --- parallel uploads -----------------------------------------------------------------------------


def slots_after(*results: OchyError | None, every: float = 10.0) -> list[int]:
    limit, found = UploadLimit.of(None), []
    for moment, error in enumerate(results):
        if error is None:
            limit.succeeded(1.0)
        else:
            limit.failed(error, moment * every)
        found.append(limit.slots)
    return found


ERRORS = [RateLimited(), ServerError(), ConnectionFailed(), UncertainStart()]


def test_the_upload_limit_grows_by_one_with_each_round() -> None:
    """Additive increase: 3, after three successful uploads 4, after four more 5."""
    assert slots_after(*[None] * 8) == [3, 3, 3, 4, 4, 4, 4, 5]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_halves_the_upload_limit(error: OchyError) -> None:
    """Multiplicative decrease, down to one and no further."""
    assert slots_after(error, error, error) == [1, 1, 1]


def test_errors_that_come_together_count_once() -> None:
    """Uploads that ran at the same time do not halve the limit one after the other."""
    limit = UploadLimit.of(None)
    for _ in range(100):
        limit.succeeded(1.0)
    before = limit.slots
    for _ in range(10):
        limit.failed(RateLimited(), 1.0)
    assert limit.slots == before // 2


@pytest.mark.parametrize("error", [ClipRefused(), BuyCredits(), KeyRefused()], ids=lambda error: type(error).__name__)
def test_errors_of_the_clip_or_account_do_not_change_the_upload_limit(error: OchyError) -> None:
    """A bad clip is no congestion."""
    assert slots_after(error) == [3]


def test_a_fixed_upload_limit_does_not_adapt() -> None:
    """Only the default adapts."""
    limit = UploadLimit.of(5)
    limit.succeeded(1.0)
    limit.failed(RateLimited(), 0.0)
    assert limit.slots == 5


@pytest.mark.parametrize(("seconds", "least", "most"), [(10.0, 5, 16), (40.0, 3, 3)])
def test_parallel_uploads_increase_only_while_uploads_are_fast(seconds: float, least: int, most: int) -> None:
    """With little bandwidth, more uploads at once only make each take longer, up to its deadline."""
    SlowClip.under_way = SlowClip.most = 0

    async def story() -> list[str]:
        async with direct_session(world(concurrent_analyses=100)) as ochy, ochy.batch(SideView()) as batch:
            films = [SlowClip(number, seconds).clip for number in range(40)]
            return [outcome.word async for outcome in batch.run(films)]

    assert in_virtual_time(story()) == ["analyzed"] * 40
    assert least <= SlowClip.most <= most


# --- analyses in flight ---------------------------------------------------------------------------


class Crowded(Service):
    """Records the maximum number of unfinished analyses."""

    most = 0

    def handle(self, request: ServiceRequest, now: float) -> Any:
        answer = super().handle(request, now)
        waiting = sum(each.ends_at > now for each in self._account.analyses.values())
        self.most = max(self.most, waiting)
        return answer


async def duration(service: Service, count: int, **settings: Any) -> float:
    """Seconds that a batch takes; all clips are analyzed, and each is charged once."""
    async with direct_session(service) as ochy, ochy.batch(SideView(), **settings) as batch:
        began = current_time()
        words = [outcome.word async for outcome in batch.run(clips(count))]
        assert words == ["analyzed"] * count
        assert len({charge.sha256 for charge in service.ledger}) == len(service.ledger) == count
        return current_time() - began


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


def test_uploads_that_wait_keep_the_in_flight_limit() -> None:
    """An analysis that runs raises it only if the network could carry one more clip; a queued one always lowers it."""
    limit = InFlightLimit(512)
    limit.first_poll(queued=False)
    limit.first_poll(queued=False, uploads_wait=True)
    assert limit.slots == INITIAL_IN_FLIGHT + 1
    limit.first_poll(queued=True, uploads_wait=True)
    assert limit.slots == INITIAL_IN_FLIGHT


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


def test_an_idle_server_and_a_fast_network_get_hundreds_of_clips() -> None:
    """By default a batch reaches several hundred in flight, and polls often enough to notice their ends."""
    service = Crowded(world(concurrent_analyses=1000, analysis_seconds=(30.0, 30.0)))
    assert in_virtual_time(duration(service, 700)) < 150
    assert 256 < service.most <= Concurrency().in_flight


def test_a_slow_network_gets_few_clips() -> None:
    """While clips wait for their uploads, only the first few dozen and a few more are read, however idle the server."""
    SlowClip.most = read = 0

    async def counted() -> AsyncIterator[Clip]:
        nonlocal read
        for number in range(200):
            read += 1
            yield SlowClip(number, 10.0).clip

    async def story() -> int:
        concurrency, idle = Concurrency(uploads=2), world(concurrent_analyses=1000)
        async with direct_session(idle) as ochy, ochy.batch(SideView(), concurrency=concurrency) as batch:
            outcomes = batch.run(counted())
            for _ in range(50):
                await anext(outcomes)
            return read

    assert in_virtual_time(story()) <= 50 + INITIAL_IN_FLIGHT + Concurrency().extra_slots + 2


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


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [{"uploads": 0}, {"in_flight": 0}, {"checks": 1.5}, {"collecting": True}], ids=str)
def test_invalid_concurrency_is_refused(bad: dict[str, Any]) -> None:
    """The message has the bound."""
    with pytest.raises(InvalidSettings, match=f"Concurrency.{next(iter(bad))} must be a whole number"):
        Concurrency(**bad)
