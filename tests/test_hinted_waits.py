"""Waits that hints wake: the poll comes at once, and only the poll decides.

All tests run in virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import anyio
import pytest

from ochy_async import (
    AnalysisFailed,
    OchySession,
    Polling,
    SideView,
    SideViewCalculated,
    SideViewResults,
    Started,
    Status,
    WaitTimeout,
    parse_delivery,
)
from ochy_async.batch.outcomes import Outcome
from ochy_async.emulator import (
    DeliverySettings,
    DeliveryShapes,
    Fault,
    FaultPlan,
    FaultRule,
    InProcessTransport,
    ReplaceBody,
    Respond,
    RetryAfter,
    Service,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.events import AnalysisStarted, Event
from ochy_async.protocol.routes import RESULTS
from ochy_async.wakes import Wakes
from tests.conftest import CLIP, Recorded, direct_session, loop_clock, world
from tests.support.canary import API_KEY

TWENTY = world(analysis_seconds=(20.0, 20.0), queue_seconds=0.0)
"""Every analysis takes 20 s."""
END = 20.1
"""Seconds from the call of `start` after which a poll shows the end: the answer to the start takes 0.05 s."""


class Polls(Recorded):
    """Faults that also record when each poll is sent."""

    def __init__(self, *rules: FaultRule) -> None:
        super().__init__(FaultPlan(list(rules)))
        self.moments: list[float] = []

    def fault_for(self, route: str, count: int) -> Fault | None:
        if route == str(RESULTS):
            self.moments.append(anyio.current_time())
        return super().fault_for(route, count)

    @property
    def pauses(self) -> list[float]:
        """Seconds between two polls."""
        return [later - earlier for earlier, later in pairwise(sorted(self.moments))]


def wakes_of(ochy: OchySession) -> Wakes:
    """Where the waits of a session listen for hints."""
    return ochy._scheduler.wakes  # pyright: ignore[reportPrivateUsage]


async def hint_at(wakes: Wakes, analysis_id: str, *moments: float) -> None:
    """Hints at these seconds from now."""
    began = anyio.current_time()
    for moment in moments:
        await anyio.sleep_until(began + moment)
        wakes.hint(analysis_id)


async def waited(ochy: OchySession, *hints: float, clip: bytes = CLIP) -> float:
    """Like `waited_for`, for one clip."""
    return await waited_for(ochy, clip, *hints)


async def waited_for(ochy: OchySession, clip: bytes, *hints: float) -> float:
    """Seconds from the start of an analysis to its end, with hints at these seconds from the start."""
    began, states = anyio.current_time(), list[str]()
    async with anyio.create_task_group() as tasks:
        started = await ochy.start(clip, SideView())
        tasks.start_soon(hint_at, wakes_of(ochy), started.analysis_id, *hints)
        states += [state.status async for state in ochy.watch(started)]
        tasks.cancel_scope.cancel()
    assert states[-1] == Status.SUCCESS
    return anyio.current_time() - began


def test_a_hint_makes_the_next_poll_come_at_once() -> None:
    """The results are known a poll after the hint, not up to three seconds later."""

    async def scenario() -> None:
        async with direct_session(TWENTY) as ochy:
            assert await waited(ochy, END) <= END + 0.2

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


def test_only_polls_show_states() -> None:
    """A watch yields what polls returned, one state for each, although hints come at any time."""

    async def scenario() -> None:
        polls, finished = Polls(), list[bool]()
        async with direct_session(TWENTY, polls) as ochy, anyio.create_task_group() as tasks:
            started = await ochy.start(CLIP, SideView())
            tasks.start_soon(hint_at, wakes_of(ochy), started.analysis_id, 1.0, 4.0, 4.1)
            finished += [state.finished async for state in ochy.watch(started)]
        assert finished == [False] * (len(polls.moments) - 1) + [True]

    in_virtual_time(scenario())


def test_a_hint_for_a_failed_analysis_shows_the_failure() -> None:
    """A hint says only that there is something to see."""

    async def scenario() -> None:
        service = Service(world(analysis_seconds=(20.0, 20.0), queue_seconds=0.0, failure_rate=1.0))
        async with direct_session(service) as ochy, anyio.create_task_group() as tasks:
            started = await ochy.start(CLIP, SideView())
            tasks.start_soon(hint_at, wakes_of(ochy), started.analysis_id, END)
            with pytest.raises(AnalysisFailed):
                await ochy.wait(started)

    in_virtual_time(scenario())


def test_a_flood_of_hints_costs_a_few_polls() -> None:
    """A thousand forged hints wake four polls, a second apart, and the end is still noticed by polling."""

    async def scenario(hints: list[float]) -> tuple[int, float]:
        polls = Polls()
        async with direct_session(TWENTY, polls) as ochy:
            took = await waited(ochy, *hints)
        assert min(polls.pauses) >= 0.9
        return len(polls.moments), took

    calm = in_virtual_time(scenario([]))
    flooded = in_virtual_time(scenario([n / 50 for n in range(1, 1000)]))
    assert flooded[0] <= calm[0] + 6
    assert flooded[1] <= calm[1] + 1


def test_a_hint_that_came_before_the_wait_makes_it_poll_at_once() -> None:
    """The analysis finished between the start and the wait: nothing is slept."""

    async def scenario() -> None:
        instant = world(analysis_seconds=(0.0, 0.0), queue_seconds=0.0)
        async with direct_session(instant) as ochy:
            started = await ochy.start(CLIP, SideView())
            wakes_of(ochy).hint(started.analysis_id, 5)
            began = anyio.current_time()
            await ochy.wait(started)
            assert anyio.current_time() - began <= 0.2

    in_virtual_time(scenario())


@pytest.mark.parametrize("fault", [Respond(503), ReplaceBody(b"{")], ids=["503", "unreadable"])
def test_a_hint_does_not_hurry_the_poll_after_a_failed_one(fault: Fault) -> None:
    """Otherwise hints could use up the patience of a wait, or its unreadable answers, within a second."""

    async def scenario() -> None:
        polls = Polls(FaultRule(str(RESULTS), fault, 1, 2))
        async with direct_session(TWENTY, polls) as ochy:
            await waited(ochy, *[n / 10 for n in range(1, 200)])
        assert [pause >= 3 for pause in polls.pauses[:2]] == [True, True]

    in_virtual_time(scenario())


def test_woken_polls_keep_to_the_rate_limit() -> None:
    """Ten waits are woken at one moment, and two polls a second are allowed."""

    async def scenario() -> None:
        polls, polling = Polls(), Polling(interval=60, longest=60, requests_per_second=2)
        async with direct_session(TWENTY, polls, polling=polling) as ochy, anyio.create_task_group() as tasks:
            for n in range(10):
                tasks.start_soon(waited_for, ochy, CLIP + bytes([n]), END)
        assert len(polls.moments) >= 10
        assert min(polls.pauses) >= 0.49

    in_virtual_time(scenario())


def test_woken_polls_respect_a_pause_that_the_server_asked_for() -> None:
    """After a Retry-After of 20 s no wait polls, whatever hints come."""

    async def scenario() -> None:
        polls = Polls(FaultRule(str(RESULTS), RetryAfter("20"), 1))
        async with direct_session(TWENTY, polls) as ochy, anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(waited_for, ochy, CLIP + bytes([n]), *[5 + 0.5 * n + k for k in range(4)])
        asked = polls.moments[0]
        assert [at for at in polls.moments if asked + 1 < at < asked + 19] == []

    in_virtual_time(scenario())


def test_a_hint_wakes_all_waits_for_its_analysis() -> None:
    """Three waits, one of them by the bare id, end together."""

    async def scenario() -> None:
        began, ends = anyio.current_time(), list[float]()
        async with direct_session(TWENTY) as ochy, anyio.create_task_group() as tasks:
            started = await ochy.start(CLIP, SideView())

            async def one(which: Started[SideViewResults, SideViewCalculated] | str) -> None:
                await ochy.wait(which)
                ends.append(anyio.current_time() - began)

            for which in (started, started, started.analysis_id):
                tasks.start_soon(one, which)
            tasks.start_soon(hint_at, wakes_of(ochy), started.analysis_id, END)
        assert max(ends) <= END + 0.4

    in_virtual_time(scenario())


def test_batches_are_woken() -> None:
    """The clip of a batch is done a poll after the hint."""

    async def scenario() -> None:
        service, outcomes = Service(TWENTY), list[Outcome[Any, Any]]()
        async with anyio.create_task_group() as tasks:

            def hint_later(event: Event) -> None:
                if isinstance(event, AnalysisStarted):
                    tasks.start_soon(hint_at, wakes_of(ochy), event.analysis_id, END)

            async with direct_session(service, on_event=hint_later) as ochy, ochy.batch(SideView()) as batch:
                began = anyio.current_time()
                outcomes += [outcome async for outcome in batch.run([CLIP])]
                assert anyio.current_time() - began <= END + 0.3
        assert len(outcomes) == len(service.ledger) == 1

    in_virtual_time(scenario())


def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    """Neither a timeout nor a cancellation, before a hint or after one, leaves a listener."""

    async def scenario() -> None:
        async with direct_session(TWENTY) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(WaitTimeout):
                await ochy.wait(started, timeout=1)
            with anyio.move_on_after(1):
                await ochy.wait(started)
            wakes_of(ochy).hint(started.analysis_id)
            with anyio.move_on_after(0.01):
                await ochy.wait(started)
            assert not wakes_of(ochy)._awaited  # pyright: ignore[reportPrivateUsage]

    in_virtual_time(scenario())


# --- rare polls while hints are reliable --------------------------------------------------------------


def test_with_rest_polls_are_rare_once_three_ends_were_announced() -> None:
    """Three analyses are polled normally; then there is at most one poll before the end."""

    async def scenario(polling: Polling) -> list[int]:
        polls, counts = Polls(), list[int]()
        async with direct_session(TWENTY, polls, polling=polling) as ochy:
            for n in range(6):
                before = len(polls.moments)
                assert await waited(ochy, END, clip=CLIP + bytes([n])) <= END + 0.2
                counts.append(len(polls.moments) - before)
        return counts

    resting = in_virtual_time(scenario(Polling(rest=15)))
    assert min(resting[:3]) > 2
    normal = in_virtual_time(scenario(Polling()))
    assert max(resting[3:]) <= 2
    assert min(normal[:5]) > 2  # after five, the session has learned when analyses of 20 s finish


def test_with_rest_an_end_that_is_not_announced_is_found_and_ends_the_rest() -> None:
    """It is noticed within the 15 s, and the next analysis is polled normally."""

    async def scenario() -> None:
        polls = Polls()
        async with direct_session(TWENTY, polls, polling=Polling(rest=15)) as ochy:
            for n in range(3):
                await waited(ochy, END, clip=CLIP + bytes([n]))
            assert END + 5 < await waited(ochy, clip=CLIP + b"lost") <= END + 15
            before = len(polls.moments)
            assert await waited(ochy, clip=CLIP + b"next") <= END + 5
            assert len(polls.moments) - before > 2

    in_virtual_time(scenario())


def test_with_rest_a_hint_that_is_ahead_of_the_api_returns_to_normal_polling() -> None:
    """The hint comes two seconds before a poll can show the end; the next poll does not come 15 s later."""

    async def scenario() -> None:
        async with direct_session(TWENTY, polling=Polling(rest=15)) as ochy:
            for n in range(3):
                await waited(ochy, END, clip=CLIP + bytes([n]))
            assert await waited(ochy, END - 2, clip=CLIP + b"ahead") <= END + 4

    in_virtual_time(scenario())


def test_an_announced_end_that_polls_show_later_is_learned_as_it_was() -> None:
    """Durations that are learned while polls rest are those of the analyses, not middles between two polls."""

    async def scenario() -> None:
        async with direct_session(TWENTY, polling=Polling(rest=15)) as ochy:
            for n in range(9):
                await waited(ochy, END, clip=CLIP + bytes([n]))
            known = ochy._scheduler.durations.soonest()  # pyright: ignore[reportPrivateUsage]
        assert known == pytest.approx(20, abs=0.3)

    in_virtual_time(scenario())


# --- deliveries of the emulator -----------------------------------------------------------------------

SHAPES: dict[str, DeliveryShapes] = {
    "as assumed": DeliveryShapes(),
    "camel case": DeliveryShapes(id_key="analysisId", event_key="eventType", timestamp_key="createdAt"),
    "state in an envelope": DeliveryShapes(envelope="data", id_key="id", extra_keys=True),
    "everything in an envelope": DeliveryShapes(envelope="payload", enveloped="everything", timestamps="milliseconds"),
    "no event": DeliveryShapes(event_key=None, status_words="api"),
    "no status": DeliveryShapes(status_key=None, percentages="fraction"),
    "only a percentage": DeliveryShapes(status_key=None, event_key=None),
    "no sequence": DeliveryShapes(sequence_key=None, timestamps="seconds"),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_deliveries_of_any_layout_wake_a_wait_at_its_end_only(shapes: DeliveryShapes) -> None:
    """Deliveries about progress wake nobody, and the one about the end does, whatever their keys are called."""

    async def scenario() -> None:
        deliveries = DeliverySettings(latency_seconds=(0.1, 0.2), shapes=shapes)
        service = Service(world(analysis_seconds=(20.0, 20.0), queue_seconds=1.0, deliveries=deliveries))
        service.set_webhook("https://hooks.example/token", enabled=True, now=loop_clock().timestamp())
        transport = InProcessTransport(service, api_key=API_KEY, latency=0.05)
        polling = Polling(interval=300, longest=600)
        async with OchySession(transport=transport, clock=loop_clock, polling=polling) as ochy:
            wakes, woken = wakes_of(ochy), list[bool]()

            def receive(body: bytes, headers: Mapping[str, str]) -> None:
                delivery = parse_delivery(body, headers)
                woken.append(not delivery.still_running)
                if delivery.analysis_id and not delivery.still_running:
                    wakes.hint(delivery.analysis_id, delivery.sequence)

            async with transport.delivering(receive):
                began = anyio.current_time()
                await ochy.analyze(CLIP, SideView(notify_via_webhook=True))
                assert anyio.current_time() - began <= 21.5
        assert woken == [False] * (len(woken) - 1) + [True]
        assert len(woken) > 3

    in_virtual_time(scenario())
