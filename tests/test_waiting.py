"""Waiting for analyses: an unfinished analysis and a failed poll are different things.

All tests but the last run in virtual time, where ten minutes take milliseconds and are exact.
"""

from __future__ import annotations

from contextlib import aclosing

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
from tests.conftest import CLIP, Clocked, Recorded, direct_session, world


def on_poll(fault: Fault, *, nth: int | None = None, times: int = 1) -> Recorded:
    """Polls meet a fault. Every request is recorded."""
    return Recorded(FaultPlan([FaultRule(str(RESULTS), fault, nth, times)]))


def test_analyze_waits_until_the_analysis_succeeds() -> None:
    """`analyze` starts and waits: one credit, typed results, and no more polls than the vendor advises."""

    async def scenario() -> None:
        service, polls = Service(world(analysis_seconds=(30.0, 30.0))), Recorded()
        async with direct_session(service, polls) as ochy:
            began = anyio.current_time()
            results = await ochy.analyze(CLIP, SideView())
            took = anyio.current_time() - began
        assert isinstance(results, SideViewResults)
        assert len(service.ledger) == 1
        assert 30 <= took <= 42
        assert polls.routes.count(str(RESULTS)) <= took / 2

    in_virtual_time(scenario())


def test_watching_delivers_the_first_and_the_last_state() -> None:
    """The states begin with the current one and end with the finished one."""

    async def scenario() -> None:
        service = Service(world(concurrent_analyses=1))
        async with direct_session(service) as ochy:
            await ochy.start(CLIP + b"before", SideView())
            started = await ochy.start(CLIP, SideView())
            states = [state async for state in ochy.watch(started.analysis_id)]
        assert states[0].status == Status.PENDING
        assert states[-1].status == Status.SUCCESS
        assert states[-1].results is not None
        assert [state.finished for state in states] == [False] * (len(states) - 1) + [True]

    in_virtual_time(scenario())


def test_a_finished_analysis_takes_one_poll() -> None:
    """Watching a finished analysis yields a single state."""

    async def scenario() -> None:
        polls = Recorded()
        async with direct_session(faults=polls) as ochy:
            started = await ochy.start(CLIP, SideView())
            await anyio.sleep(100)
            states = [state.status async for state in ochy.watch(started)]
        assert states == [Status.SUCCESS]
        assert polls.routes.count(str(RESULTS)) == 1

    in_virtual_time(scenario())


def test_status_returns_a_failed_analysis_and_wait_raises() -> None:
    """`failed` comes as an HTTP 400: `status` returns it, `wait` raises AnalysisFailed with the id."""

    async def scenario() -> None:
        async with direct_session(world(failure_rate=1.0)) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(AnalysisFailed) as caught:
                await ochy.wait(started)
            state = await ochy.status(started)
        assert caught.value.analysis_id == started.analysis_id
        assert (state.status, state.finished, state.results) == (Status.FAILED, True, None)

    in_virtual_time(scenario())


POLL_FAULTS: list[tuple[str, Fault]] = [
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


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in POLL_FAULTS])
def test_a_failed_poll_is_not_a_failed_analysis(fault: Fault) -> None:
    """One failed poll, for whatever reason, does not end the wait."""

    async def scenario() -> None:
        polls = on_poll(fault, nth=2)
        async with direct_session(faults=polls) as ochy:
            results = await ochy.analyze(CLIP, SideView())
        assert isinstance(results, SideViewResults)
        assert polls.routes.count(str(RESULTS)) >= 3

    in_virtual_time(scenario())


def test_polls_that_keep_failing_end_the_wait_after_the_patience() -> None:
    """An outage ends the wait before its deadline, with the error of the last poll and the id in it."""

    async def scenario() -> None:
        async with direct_session(faults=on_poll(Respond(503), times=1000), polling=Polling(patience=60)) as ochy:
            started = await ochy.start(CLIP, SideView())
            began = anyio.current_time()
            with pytest.raises(ServerError) as caught:
                await ochy.wait(started)
            assert 50 <= anyio.current_time() - began <= 70
        assert caught.value.analysis_id == started.analysis_id

    in_virtual_time(scenario())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Respond(403, b'{"detail": "Invalid API Key"}'), KeyRefused),
        (Respond(401, b'{"detail": "API Key is missing"}'), KeyRefused),
    ],
)
def test_a_refusal_ends_the_wait_at_once_with_the_id(fault: Fault, error: type[Exception]) -> None:
    """A refused key will be refused again. The error has the id, so that the paid analysis can be found."""

    async def scenario() -> None:
        polls = on_poll(fault, times=100)
        async with direct_session(faults=polls) as ochy:
            with pytest.raises(error) as caught:
                await ochy.analyze(CLIP, SideView())
        assert getattr(caught.value, "analysis_id", None)
        assert polls.routes.count(str(RESULTS)) == 1

    in_virtual_time(scenario())


def test_an_unknown_id_raises_at_once() -> None:
    """A bare unknown id raises NotFound after the first poll."""

    async def scenario() -> None:
        async with direct_session() as ochy:
            with pytest.raises(NotFound) as caught:
                await ochy.wait("a1b2c3d4")
        assert caught.value.analysis_id == "a1b2c3d4"

    in_virtual_time(scenario())


def test_a_new_id_may_be_unknown_for_a_while() -> None:
    """Right after a start a 404 may be lag: the wait continues."""

    async def scenario() -> None:
        polls = on_poll(Respond(404, b'{"detail": "Analysis not found"}'), times=2)
        async with direct_session(faults=polls) as ochy:
            await ochy.analyze(CLIP, SideView())
        assert polls.routes.count(str(RESULTS)) >= 3

    in_virtual_time(scenario())


def test_the_deadline_ends_the_wait_with_the_id() -> None:
    """WaitTimeout names the analysis that is still running, and is a TimeoutError."""

    async def scenario() -> None:
        async with direct_session(world(analysis_seconds=(3000.0, 3000.0))) as ochy:
            started = await ochy.start(CLIP, SideView())
            for wait in (ochy.wait(started, timeout=45), _last(ochy, started.analysis_id)):
                began = anyio.current_time()
                with pytest.raises(WaitTimeout, match="A new start would cost a second credit") as caught:
                    await wait
                assert anyio.current_time() - began == pytest.approx(45)
                assert caught.value.analysis_id == started.analysis_id
                assert isinstance(caught.value, TimeoutError)

    in_virtual_time(scenario())


async def _last(ochy: OchySession, analysis_id: str) -> None:
    async for _ in ochy.watch(analysis_id, timeout=45):
        pass


def test_an_unknown_status_continues_the_wait_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown status is a state like any other; at the deadline the error has the id."""

    async def scenario() -> None:
        shapes = ResponseShapes(unknown_status="queued_v2", unknown_status_seconds=80_000)
        async with direct_session(world(analysis_seconds=(3000.0, 3000.0), shapes=shapes)) as ochy:
            started = await ochy.start(CLIP, SideView())
            assert (await ochy.status(started)).status == "queued_v2"
            with pytest.raises(WaitTimeout) as caught:
                await ochy.wait(started, timeout=60)
        assert caught.value.analysis_id == started.analysis_id

    in_virtual_time(scenario())
    warned = [record for record in caplog.records if "does not know" in record.getMessage()]
    assert len(warned) == 1


class Counting(Recorded):
    """Answers each poll with a status of its own."""

    def fault_for(self, route: str, count: int) -> Fault | None:
        super().fault_for(route, count)
        return ReplaceBody(b'{"status": "%d clips before yours"}' % count) if route == str(RESULTS) else None


def test_statuses_without_end_warn_a_hundred_times(caplog: pytest.LogCaptureFixture) -> None:
    """A status with a counter in it neither fills the log nor the memory."""

    async def scenario() -> None:
        async with direct_session(faults=Counting()) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(WaitTimeout):
                await ochy.wait(started, timeout=3_000)

    in_virtual_time(scenario())
    warned = [record for record in caplog.records if "does not know" in record.getMessage()]
    assert len(warned) == 100


def test_a_hanging_poll_ends_with_the_deadline() -> None:
    """A poll that gets no answer cannot outlast the wait."""

    async def scenario() -> None:
        async with direct_session(faults=on_poll(Throttle(1), times=10)) as ochy:
            with pytest.raises(WaitTimeout):
                await ochy.analyze(CLIP, SideView(), timeout=20)

    in_virtual_time(scenario())


async def finished_analyses(ochy: OchySession, count: int) -> list[str]:
    """The ids of so many analyses that have ended."""
    ids = [(await ochy.start(CLIP + n.to_bytes(2), SideView())).analysis_id for n in range(count)]
    await anyio.sleep(600)
    return ids


def test_all_waits_share_one_rate_limit() -> None:
    """Fifty concurrent waits make no more requests per second than the session allows."""

    async def scenario() -> None:
        service, polls = Service(world(concurrent_analyses=100)), Clocked()
        polling = Polling(requests_per_second=5)
        async with direct_session(service, polls, polling=polling) as ochy, anyio.create_task_group() as tasks:
            for n in range(50):
                tasks.start_soon(ochy.analyze, CLIP + bytes([n]), SideView())
        assert len(service.ledger) == 50
        assert polls.closest(5) >= 0.99

    in_virtual_time(scenario())


def test_one_retry_after_slows_all_waits() -> None:
    """When the server asks one wait for a pause, no other wait polls during it, due or not."""

    async def scenario() -> None:
        polls = Clocked(FaultPlan([FaultRule(str(RESULTS), RetryAfter("20"))]))
        async with direct_session(world(credits=100, concurrent_analyses=100), polls) as ochy:
            ids = await finished_analyses(ochy, 50)
            async with anyio.create_task_group() as tasks:
                for analysis_id in ids:
                    tasks.start_soon(ochy.wait, analysis_id)
        asked, resumed = polls.times[:2]
        assert resumed - asked >= 19

    in_virtual_time(scenario())


def test_a_pause_that_is_longer_than_the_patience_holds_for_the_other_waits() -> None:
    """The wait that was asked for it ends with the error; the others poll after the pause."""

    async def scenario() -> None:
        polls = Clocked(FaultPlan([FaultRule(str(RESULTS), RetryAfter("300"))]))
        async with direct_session(faults=polls) as ochy:
            one, other = await finished_analyses(ochy, 2)
            with pytest.raises(TryLater):
                await ochy.wait(one)
            await ochy.wait(other)
        asked, resumed = polls.times
        assert resumed - asked >= 299

    in_virtual_time(scenario())


def test_waits_that_are_left_take_no_turn_with_them() -> None:
    """However many waits were cancelled or timed out while they stood in line, the next one polls at once."""

    async def scenario() -> None:
        polls = Clocked()
        async with direct_session(faults=polls) as ochy:
            (analysis_id,) = await finished_analyses(ochy, 1)
            for _ in range(5):
                with anyio.move_on_after(1):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(100):
                            tasks.start_soon(ochy.wait, analysis_id)
            began = anyio.current_time()
            await ochy.wait(analysis_id)
        assert polls.times[-1] - began <= 0.2
        assert len(polls.times) > 40  # ten a second all the time

    in_virtual_time(scenario())


def test_waits_that_begin_together_become_faster_while_they_are_answered() -> None:
    """At the rate with which 900 waits begin, their first polls alone would take 90 s."""

    async def scenario() -> None:
        async with direct_session(world(credits=1_000, concurrent_analyses=1_000)) as ochy:
            ids = await finished_analyses(ochy, 900)
            began = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                for analysis_id in ids:
                    tasks.start_soon(ochy.wait, analysis_id)
            assert anyio.current_time() - began < 45

    in_virtual_time(scenario())


@pytest.mark.parametrize("seed", range(10))
def test_a_third_of_all_polls_may_fail(seed: int) -> None:
    """Under seeded random faults every analysis is still collected, and each is charged once."""

    async def scenario() -> None:
        menu = tuple(fault for _, fault in POLL_FAULTS)
        service = Service(world(concurrent_analyses=20, seed=seed))
        faults = _OnPolls(RandomFaults(seed=seed, rate=0.33, faults=menu))
        done: list[SideViewResults] = []

        async def one(n: int) -> None:
            done.append(await ochy.analyze(CLIP + bytes([n]), SideView()))

        async with direct_session(service, faults) as ochy, anyio.create_task_group() as tasks:
            for n in range(10):
                tasks.start_soon(one, n)
        assert len(done) == len(service.ledger) == 10

    in_virtual_time(scenario())


class _OnPolls(Recorded):
    def fault_for(self, route: str, count: int) -> Fault | None:
        return super().fault_for(route, count) if route == str(RESULTS) else None


def test_leaving_a_watch_early_leaves_nothing_behind() -> None:
    """A watch that is left early can be resumed; nothing runs in between."""

    async def scenario() -> None:
        polls = Recorded()
        async with direct_session(world(analysis_seconds=(30.0, 30.0)), polls) as ochy:
            started = await ochy.start(CLIP, SideView())
            async with aclosing(ochy.watch(started)) as states:
                async for _ in states:
                    break
            before = polls.routes.count(str(RESULTS))
            await anyio.sleep(100)
            assert polls.routes.count(str(RESULTS)) == before
            results = await ochy.wait(started)
        assert results.analysis_id == started.analysis_id

    in_virtual_time(scenario())


def test_every_answered_poll_emits_its_progress() -> None:
    """Every answered poll emits an event with the status and the percentage of the answer."""

    async def scenario() -> None:
        events: list[Event] = []
        async with direct_session(on_event=events.append) as ochy:
            await ochy.analyze(CLIP, SideView())
        seen = [event for event in events if isinstance(event, AnalysisProgress)]
        assert seen[-1].status == "success"
        assert len(seen) >= 2

    in_virtual_time(scenario())


@pytest.mark.parametrize("percentage", ["absent", "null", "float", "over", "falling"])
def test_an_unexpected_percentage_does_not_disturb_the_wait(percentage: str) -> None:
    """Whatever the percentage shows, the analysis is collected soon after it is finished."""

    async def scenario() -> None:
        shapes = ResponseShapes(percentage=percentage)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        async with direct_session(world(analysis_seconds=(25.0, 25.0), shapes=shapes)) as ochy:
            began = anyio.current_time()
            await ochy.analyze(CLIP, SideView())
            assert anyio.current_time() - began <= 36

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_waiting_without_a_network_raises_connection_failed() -> None:
    """If nothing answers, the wait ends with ConnectionFailed after its patience."""
    polling = Polling(interval=0.05, shortest=0.05, patience=0.3)
    async with OchySession(base_url="http://127.0.0.1:9", polling=polling) as ochy:
        with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(10):
            await ochy.wait("a1b2c3d4")
    assert isinstance(caught.value, TryLater)
    assert caught.value.analysis_id == "a1b2c3d4"
