"""Waiting for analyses: not being finished and failing to ask are different things.

All but the last story run in virtual time, where ten minutes take milliseconds and are exact.
"""

from __future__ import annotations

from contextlib import aclosing
from itertools import pairwise

import anyio
import pytest

from ochy_async import AnalysisFailed, OchySession, Polling, SideView, SideViewResults, Status, WaitTimeout
from ochy_async.emulator import (
    DisconnectBefore,
    Fault,
    FaultPlan,
    FaultRule,
    RandomFaults,
    RefuseConnection,
    ReplaceBody,
    Respond,
    RespondHtml,
    ResponseShapes,
    RetryAfter,
    Service,
    Throttle,
    TruncateBody,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import ConnectionFailed, KeyRefused, NotFound, ServerError, TryLater
from ochy_async.events import AnalysisProgress, Event
from ochy_async.protocol.routes import RESULTS
from tests.conftest import CLIP, Recorded, direct_session, world


def on_look(fault: Fault, *, nth: int | None = None, times: int = 1) -> Recorded:
    """Looks meet a fault; every request is remembered."""
    return Recorded(FaultPlan([FaultRule(str(RESULTS), fault, nth, times)]))


def test_an_analysis_is_waited_for_until_it_succeeds() -> None:
    """`analyze` starts and waits; one credit, typed results, and looks no oftener than advised."""

    async def story() -> None:
        service, looks = Service(world(analysis_seconds=(30.0, 30.0))), Recorded()
        async with direct_session(service, looks) as ochy:
            began = anyio.current_time()
            results = await ochy.analyze(CLIP, SideView())
            took = anyio.current_time() - began
        assert isinstance(results, SideViewResults)
        assert len(service.ledger) == 1
        assert 30 <= took <= 42
        assert looks.routes.count(str(RESULTS)) <= took / 2

    in_virtual_time(story())


def test_watching_delivers_the_first_and_the_last_state() -> None:
    """The states begin with what is there at once and end with the finished one."""

    async def story() -> None:
        service = Service(world(concurrent_analyses=1))
        async with direct_session(service) as ochy:
            await ochy.start(CLIP + b"before", SideView())
            started = await ochy.start(CLIP, SideView())
            states = [state async for state in ochy.watch(started.analysis_id)]
        assert states[0].status == Status.PENDING
        assert states[-1].status == Status.SUCCESS
        assert states[-1].results is not None
        assert [state.finished for state in states] == [False] * (len(states) - 1) + [True]

    in_virtual_time(story())


def test_a_finished_analysis_is_seen_with_one_look() -> None:
    """Watching what is finished already delivers its one state, which is the first and the last."""

    async def story() -> None:
        looks = Recorded()
        async with direct_session(faults=looks) as ochy:
            started = await ochy.start(CLIP, SideView())
            await anyio.sleep(100)
            states = [state.status async for state in ochy.watch(started)]
        assert states == [Status.SUCCESS]
        assert looks.routes.count(str(RESULTS)) == 1

    in_virtual_time(story())


def test_a_failed_analysis_is_a_state_to_look_at_and_an_error_to_wait_for() -> None:
    """`failed` comes as an HTTP 400: `check` shows it, `wait` raises AnalysisFailed with the id."""

    async def story() -> None:
        async with direct_session(world(failure_rate=1.0)) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(AnalysisFailed) as caught:
                await ochy.wait(started)
            state = await ochy.status(started)
        assert caught.value.analysis_id == started.analysis_id
        assert (state.status, state.finished, state.results) == (Status.FAILED, True, None)

    in_virtual_time(story())


TROUBLES: list[tuple[str, Fault]] = [
    ("500", Respond(500)),
    ("a proxy's page", RespondHtml(200)),
    ("half an answer", ReplaceBody(b'{"status": "analy')),
    ("503", Respond(503)),
    ("HTML from a proxy", RespondHtml(502)),
    ("429", RetryAfter("7")),
    ("cut", DisconnectBefore()),
    ("not reachable", RefuseConnection()),
    ("truncated", TruncateBody(20)),
]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in TROUBLES])
def test_a_look_that_fails_is_not_a_failed_analysis(fault: Fault) -> None:
    """One look that goes wrong, of whatever kind, does not end the wait."""

    async def story() -> None:
        looks = on_look(fault, nth=2)
        async with direct_session(faults=looks) as ochy:
            results = await ochy.analyze(CLIP, SideView())
        assert isinstance(results, SideViewResults)
        assert looks.routes.count(str(RESULTS)) >= 3

    in_virtual_time(story())


def test_looks_that_keep_failing_end_the_wait_after_their_own_patience() -> None:
    """An outage ends the wait with the error of the last look, the id in it, before the deadline does."""

    async def story() -> None:
        async with direct_session(faults=on_look(Respond(503), times=1000), polling=Polling(patience=60)) as ochy:
            started = await ochy.start(CLIP, SideView())
            began = anyio.current_time()
            with pytest.raises(ServerError) as caught:
                await ochy.wait(started)
            assert 50 <= anyio.current_time() - began <= 70
        assert caught.value.analysis_id == started.analysis_id

    in_virtual_time(story())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Respond(403, b'{"detail": "Invalid API Key"}'), KeyRefused),
        (Respond(401, b'{"detail": "API Key is missing"}'), KeyRefused),
    ],
)
def test_a_refusal_ends_the_wait_at_once_with_the_id(fault: Fault, error: type[Exception]) -> None:
    """A key that is refused will be refused again; what is paid can still be found by its id."""

    async def story() -> None:
        looks = on_look(fault, times=100)
        async with direct_session(faults=looks) as ochy:
            with pytest.raises(error) as caught:
                await ochy.analyze(CLIP, SideView())
        assert getattr(caught.value, "analysis_id", None)
        assert looks.routes.count(str(RESULTS)) == 1

    in_virtual_time(story())


def test_an_id_that_nobody_knows_is_an_error_at_once() -> None:
    """A bare unknown id raises NotFound with the first look."""

    async def story() -> None:
        async with direct_session() as ochy:
            with pytest.raises(NotFound) as caught:
                await ochy.wait("a1b2c3d4")
        assert caught.value.analysis_id == "a1b2c3d4"

    in_virtual_time(story())


def test_an_id_that_is_not_known_everywhere_yet_is_given_time() -> None:
    """Right after a start a 404 may be lag: the wait goes on."""

    async def story() -> None:
        looks = on_look(Respond(404, b'{"detail": "Analysis not found"}'), times=2)
        async with direct_session(faults=looks) as ochy:
            await ochy.analyze(CLIP, SideView())
        assert looks.routes.count(str(RESULTS)) >= 3

    in_virtual_time(story())


def test_the_deadline_ends_the_wait_with_the_id() -> None:
    """WaitTimeout says which analysis goes on, and is a TimeoutError for whoever catches those."""

    async def story() -> None:
        async with direct_session(world(analysis_seconds=(3000.0, 3000.0))) as ochy:
            started = await ochy.start(CLIP, SideView())
            for wait in (ochy.wait(started, timeout=45), _last(ochy, started.analysis_id)):
                began = anyio.current_time()
                with pytest.raises(WaitTimeout, match="do not start it anew") as caught:
                    await wait
                assert anyio.current_time() - began == pytest.approx(45)
                assert caught.value.analysis_id == started.analysis_id
                assert isinstance(caught.value, TimeoutError)

    in_virtual_time(story())


async def _last(ochy: OchySession, analysis_id: str) -> None:
    async for _ in ochy.watch(analysis_id, timeout=45):
        pass


def test_an_unknown_status_waits_on_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """A status that nobody knows is a state like any other; at the deadline the id is in the error."""

    async def story() -> None:
        shapes = ResponseShapes(unknown_status="queued_v2", unknown_status_seconds=80_000)
        async with direct_session(world(analysis_seconds=(3000.0, 3000.0), shapes=shapes)) as ochy:
            started = await ochy.start(CLIP, SideView())
            assert (await ochy.status(started)).status == "queued_v2"
            with pytest.raises(WaitTimeout) as caught:
                await ochy.wait(started, timeout=60)
        assert caught.value.analysis_id == started.analysis_id

    in_virtual_time(story())
    warned = [record for record in caplog.records if "does not know" in record.getMessage()]
    assert len(warned) == 1


def test_a_hanging_look_ends_with_the_deadline() -> None:
    """A look that never gets its answer cannot outlive the wait."""

    async def story() -> None:
        async with direct_session(faults=on_look(Throttle(1), times=10)) as ochy:
            with pytest.raises(WaitTimeout):
                await ochy.analyze(CLIP, SideView(), timeout=20)

    in_virtual_time(story())


def test_all_waits_share_one_ceiling_on_requests() -> None:
    """Fifty waits at once make no more requests per second than the session may."""

    async def story() -> None:
        times: list[float] = []

        class Clocked(Recorded):
            def fault_for(self, route: str, count: int) -> Fault | None:
                if route == str(RESULTS):
                    times.append(anyio.current_time())
                return super().fault_for(route, count)

        service = Service(world(concurrent_analyses=100))
        polling = Polling(requests_per_second=5)
        async with direct_session(service, Clocked(), polling=polling) as ochy, anyio.create_task_group() as tasks:
            for n in range(50):
                tasks.start_soon(ochy.analyze, CLIP + bytes([n]), SideView())
        times.sort()
        assert len(service.ledger) == 50
        assert min(later - earlier for earlier, later in zip(times, times[5:], strict=False)) >= 0.99

    in_virtual_time(story())


def test_one_retry_after_slows_all_waits() -> None:
    """When the server asks one wait for a pause, no other wait asks it meanwhile."""

    async def story() -> None:
        times: list[float] = []

        class Clocked(Recorded):
            def fault_for(self, route: str, count: int) -> Fault | None:
                if route == str(RESULTS):
                    times.append(anyio.current_time())
                return super().fault_for(route, count)

        faults = Clocked(FaultPlan([FaultRule(str(RESULTS), RetryAfter("20"), 5)]))
        async with direct_session(faults=faults) as ochy, anyio.create_task_group() as tasks:
            for n in range(4):
                tasks.start_soon(ochy.analyze, CLIP + bytes([n]), SideView())
        gap = max(later - earlier for earlier, later in pairwise(times))
        assert gap >= 19
        # Looks that were already granted when the pause was asked for may still go out.
        asked = times[4]
        assert len([at for at in times if asked + 1 < at < asked + 19]) == 0

    in_virtual_time(story())


@pytest.mark.parametrize("seed", range(10))
def test_a_third_of_all_looks_may_fail(seed: int) -> None:
    """Under a seeded storm of faults on looks every analysis is still collected, each charged once."""

    async def story() -> None:
        menu = tuple(fault for _, fault in TROUBLES)
        service = Service(world(concurrent_analyses=20, seed=seed))
        storm = _OnLooks(RandomFaults(seed=seed, rate=0.33, menu=menu))
        done: list[SideViewResults] = []

        async def one(n: int) -> None:
            done.append(await ochy.analyze(CLIP + bytes([n]), SideView()))

        async with direct_session(service, storm) as ochy, anyio.create_task_group() as tasks:
            for n in range(10):
                tasks.start_soon(one, n)
        assert len(done) == len(service.ledger) == 10

    in_virtual_time(story())


class _OnLooks(Recorded):
    def fault_for(self, route: str, count: int) -> Fault | None:
        return super().fault_for(route, count) if route == str(RESULTS) else None


def test_leaving_a_watch_early_leaves_nothing_behind() -> None:
    """A watch that is broken off can be taken up again; nothing runs in between."""

    async def story() -> None:
        looks = Recorded()
        async with direct_session(world(analysis_seconds=(30.0, 30.0)), looks) as ochy:
            started = await ochy.start(CLIP, SideView())
            async with aclosing(ochy.watch(started)) as states:
                async for _ in states:
                    break
            before = looks.routes.count(str(RESULTS))
            await anyio.sleep(100)
            assert looks.routes.count(str(RESULTS)) == before
            results = await ochy.wait(started)
        assert results.analysis_id == started.analysis_id

    in_virtual_time(story())


def test_progress_is_told() -> None:
    """Every look that got an answer is an event with the status and the percentage as they came."""

    async def story() -> None:
        events: list[Event] = []
        async with direct_session(on_event=events.append) as ochy:
            await ochy.analyze(CLIP, SideView())
        seen = [event for event in events if isinstance(event, AnalysisProgress)]
        assert seen[-1].status == "success"
        assert len(seen) >= 2

    in_virtual_time(story())


@pytest.mark.parametrize("percentage", ["absent", "null", "float", "over", "falling"])
def test_an_odd_percentage_does_not_disturb_the_wait(percentage: str) -> None:
    """Whatever the percentage does, the analysis is collected soon after it is done."""

    async def story() -> None:
        shapes = ResponseShapes(percentage=percentage)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        async with direct_session(world(analysis_seconds=(25.0, 25.0), shapes=shapes)) as ochy:
            began = anyio.current_time()
            await ochy.analyze(CLIP, SideView())
            assert anyio.current_time() - began <= 36

    in_virtual_time(story())


@pytest.mark.anyio
async def test_waiting_without_a_network_is_an_error_of_the_network() -> None:
    """Where nothing answers at all the wait ends with ConnectionFailed once its patience is spent."""
    polling = Polling(interval=0.05, shortest=0.05, patience=0.3)
    async with OchySession(base_url="http://127.0.0.1:9", polling=polling) as ochy:
        with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(10):
            await ochy.wait("a1b2c3d4")
    assert isinstance(caught.value, TryLater)
    assert caught.value.analysis_id == "a1b2c3d4"
