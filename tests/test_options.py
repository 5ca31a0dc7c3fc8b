"""`with_options`, and opening and closing a session without `async with`."""

# The number of the server's connections is not public.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import Limits, OchySession, Polling, Retry, SideView, Webhooks
from ochy_async.emulator import (
    Delay,
    Emulator,
    FaultPlan,
    FaultRule,
    InProcessStorage,
    InProcessTransport,
    Respond,
    ResponseShapes,
    RetryAfter,
    Service,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    ClipUnusable,
    ConnectionFailed,
    DeadlinePassed,
    InvalidSettings,
    ServerError,
    StartAttempt,
    UncertainStart,
    UnreadableAnswer,
    WaitTimeout,
)
from ochy_async.events import AnalysisProgress, AnalysisStarted, Event, ResponseReceived, Retried, StartUncertain
from ochy_async.observing import Observer
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.prober import Prober
from ochy_async.protocol.routes import RESULTS
from ochy_async.protocol.wire import Request, Response
from tests.conftest import CLIP, QUICK, Clocked, Recorded, direct_session, loop_clock, real_session, world
from tests.robustness.test_cancellation import cancelled_at, open_files, tasks

GET_WEBHOOK = "GET /webhook"


# --- what is shared -----------------------------------------------------------------------------------


def test_a_derived_session_polls_within_the_rate_limit_of_its_parent() -> None:
    """The waits of both sessions together make no more polls per second than the limit allows."""

    async def scenario() -> None:
        faults = Clocked()
        polling = Polling(requests_per_second=5)
        async with (
            direct_session(Service(world(concurrent_analyses=100)), faults, polling=polling) as ochy,
            anyio.create_task_group() as tasks,
        ):
            for n in range(40):
                session = ochy.with_options(polling=Polling(requests_per_second=5, interval=2)) if n % 2 else ochy
                tasks.start_soon(session.analyze, CLIP + bytes([n]), SideView())
        assert faults.closest(5) >= 0.99

    in_virtual_time(scenario())


def test_a_pause_that_the_server_asks_of_one_session_holds_for_both() -> None:
    """A Retry-After in answer to a derived session's poll keeps the parent's waits from polling, too."""

    async def scenario() -> None:
        faults = Clocked(FaultPlan([FaultRule(str(RESULTS), RetryAfter("20"))]))
        async with direct_session(faults=faults) as ochy:
            first, second = await ochy.start(CLIP, SideView()), await ochy.start(CLIP + b"2", SideView())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ochy.with_options(polling=Polling(interval=1)).wait, first)
                await anyio.sleep(1.1)
                tasks.start_soon(ochy.wait, second)
        assert faults.times[1] - faults.times[0] >= 19

    in_virtual_time(scenario())


def test_a_slower_rate_limit_of_a_derived_session_holds_for_its_polls() -> None:
    """After each poll of a derived session with one poll per second, no poll follows for a second."""

    async def scenario() -> None:
        faults = Clocked()
        async with (
            direct_session(Service(world(concurrent_analyses=100)), faults) as ochy,
            anyio.create_task_group() as tasks,
        ):
            slow = ochy.with_options(polling=Polling(requests_per_second=1))
            for n in range(5):
                tasks.start_soon(slow.analyze, CLIP + bytes([n]), SideView())
        assert faults.closest(1) >= 0.99

    in_virtual_time(scenario())


def test_derived_sessions_share_one_retry_budget() -> None:
    """In an outage, a hundred calls with options of their own make ten retries together, not ten each."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("*", Respond(503), times=10_000)]))
        async with direct_session(faults=faults, retry=Retry(budget=10)) as ochy:
            for _ in range(100):
                with pytest.raises(ServerError):
                    await ochy.with_options(retry=Retry(budget=10, attempts=4)).get_webhook()
        assert len(faults.routes) == 110

    in_virtual_time(scenario())


def test_started_ids_are_shared_both_ways() -> None:
    """What one of the sessions started is no candidate when the other looks up an uncertain start."""

    async def scenario() -> None:
        async with direct_session() as ochy:
            derived = ochy.with_options(retry=Retry(attempts=1))
            await ochy.start(CLIP, SideView())
            await derived.start(CLIP + b"2", SideView())
            doubt = StartAttempt("a.mp4", "side_view", loop_clock(), loop_clock())
            for session in (ochy, derived):
                assert (await session.reconcile(doubt)).candidates == ()

    in_virtual_time(scenario())


def test_drift_and_durations_are_shared() -> None:
    """Drift that one session sees is in the report of the other, once; both learn from the same analyses."""

    async def scenario() -> None:
        service = Service(world(shapes=ResponseShapes(extra_keys=True), analysis_seconds=(8, 8), queue_seconds=0))
        faults = Clocked()
        async with direct_session(service, faults) as ochy:
            derived = ochy.with_options(polling=Polling())
            for n in range(6):
                await derived.analyze(CLIP + bytes([n]), SideView())
            assert ochy.drift == derived.drift != ()
            started, faults.times = await ochy.start(CLIP, SideView()), []
            begun = anyio.current_time()
            await ochy.wait(started)
            assert faults.times[0] - begun > 6  # without that history, the first poll comes after 3 s

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_connections_are_shared(emulator: Emulator) -> None:
    """A derived session sends on the connection that its parent opened, also with limits of its own."""
    async with real_session(emulator) as ochy:
        await ochy.get_webhook()
        await ochy.with_options(limits=Limits(stall=1)).get_webhook()
        await ochy.with_options(retry=Retry(attempts=1)).list_subjects()
        runner: Any = emulator._runner
        assert len(runner.server.connections) == 1


@pytest.mark.anyio
async def test_a_derived_session_is_open_while_its_parent_is(emulator: Emulator) -> None:
    """It may be made before its parent is opened; it works while that is open, and not afterwards."""
    ochy = real_session(emulator)
    derived = ochy.with_options(retry=Retry(attempts=1))
    with pytest.raises(InvalidSettings, match="not open"):
        await derived.get_webhook()
    async with ochy:
        assert not (await derived.get_webhook()).stored
        assert "open" in repr(derived)
    with pytest.raises(InvalidSettings, match="not open"):
        await derived.get_webhook()


@pytest.mark.anyio
async def test_a_derived_session_cannot_be_opened_or_closed(emulator: Emulator) -> None:
    """Entering or closing it raises, says why, and leaves the connections of its parent open."""
    async with real_session(emulator) as ochy:
        derived = ochy.with_options(retry=Retry(attempts=1)).with_options(limits=Limits(stall=1))
        with pytest.raises(InvalidSettings, match="shares the connections"):
            async with derived:
                pass
        with pytest.raises(InvalidSettings, match="Open and close that one"):
            await derived.aclose()
        assert not (await ochy.get_webhook()).stored


# --- what is replaced ---------------------------------------------------------------------------------


def test_an_option_that_is_given_replaces_one_and_the_others_are_inherited() -> None:
    """A derived session with one attempt makes one; its limits and its listener are those of its parent."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("*", Respond(503), times=100)]))
        events, own = list[Event](), list[Event]()
        async with direct_session(faults=faults, retry=Retry(attempts=3), on_event=events.append) as ochy:
            for session, requests in ((ochy.with_options(retry=Retry(attempts=1)), 1), (ochy, 3)):
                faults.routes.clear()
                with pytest.raises(ServerError):
                    await session.get_webhook()
                assert len(faults.routes) == requests
            faults.routes.clear()
            with pytest.raises(ServerError):
                await ochy.with_options(on_event=own.append).get_webhook()
            assert len(faults.routes) == 3
        for each in (own, events):
            assert len([event for event in each if isinstance(event, Retried)]) == 2

    in_virtual_time(scenario())


def test_polling_is_replaced() -> None:
    """`Polling.timeout` of a derived session ends its waits, and those of a batch that it makes take it as well."""

    async def scenario() -> None:
        async with direct_session(Service(world(analysis_seconds=(50, 50)))) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(WaitTimeout, match="within 5 s"):
                await ochy.with_options(polling=Polling(timeout=5)).wait(started)
            await ochy.wait(started)

    in_virtual_time(scenario())


def test_events_of_a_derived_session_go_to_its_own_listener() -> None:
    """Waits emit to the listener of the session that waits."""

    async def scenario() -> None:
        events, own = list[Event](), list[Event]()
        async with direct_session(on_event=events.append) as ochy:
            started = await ochy.start(CLIP, SideView())
            events.clear()
            await ochy.with_options(on_event=own.append).wait(started)
        assert any(isinstance(event, AnalysisProgress) for event in own)
        assert events == []

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_limits_of_the_wire_are_replaced() -> None:
    """The stall and the size of answers are those of the derived session, while its parent keeps its own."""
    faults = FaultPlan([FaultRule(GET_WEBHOOK, Delay(0.5), times=1)])
    async with Emulator(world(), faults=faults) as emulator, real_session(emulator) as ochy:
        strict = ochy.with_options(limits=Limits(stall=0.1, answer_bytes=1000), retry=Retry(attempts=1))
        with pytest.raises(ConnectionFailed, match="no data moved"):
            await strict.get_webhook()
        await strict.create_subject(name="Ada" * 20)
        for _ in range(20):
            await ochy.create_subject(name="Ada" * 20)
        with pytest.raises(UnreadableAnswer, match="larger than 1,000 bytes"):
            await strict.list_subjects()
        assert len(await ochy.list_subjects()) == 21


@pytest.mark.anyio
async def test_limits_of_a_start_are_replaced() -> None:
    """An upload uses the stall of the derived session."""
    faults = FaultPlan([FaultRule("POST /analysis/start", Delay(1.0))])
    async with Emulator(world(), faults=faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(UncertainStart, match="no data moved"):
            await ochy.with_options(limits=Limits(stall=0.1)).start(CLIP, SideView())


@pytest.mark.anyio
async def test_limits_of_the_storage_are_replaced(tmp_path: Path) -> None:
    """A download of a derived session gives up a silent storage by the limits of that session."""
    async with Emulator(world(), speed=50) as emulator, real_session(emulator) as ochy:
        results = await ochy.analyze(CLIP, SideView())
        emulator.faults = FaultPlan([FaultRule("GET /storage/*", Delay(0.5))])
        strict = ochy.with_options(limits=Limits(stall=0.1), retry=Retry(attempts=1))
        with pytest.raises(ConnectionFailed, match="no data moved"):
            await strict.download(results, tmp_path / "run.mp4")
        assert (await ochy.download(results, tmp_path / "run.mp4")).stat().st_size


def test_the_deadline_of_a_call_is_replaced() -> None:
    """`Limits.call` of a derived session ends its calls."""

    async def scenario() -> None:
        async with direct_session(faults=FaultPlan([FaultRule(GET_WEBHOOK, Delay(50.0))])) as ochy:
            with pytest.raises(DeadlinePassed, match="within 2 s"):
                await ochy.with_options(limits=Limits(call=2)).get_webhook()

    in_virtual_time(scenario())


def test_a_transport_without_limits_is_used_as_it_is() -> None:
    """The emulator's transport and storage, and those of users, need no method for this."""

    async def scenario() -> None:
        service = Service(world())
        transport, storage = InProcessTransport(service), InProcessStorage(service)
        async with OchySession(transport=transport, storage=storage, clock=loop_clock) as ochy:
            assert not (await ochy.with_options(limits=Limits(call=2)).get_webhook()).stored

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_the_level_of_the_check_is_replaced(emulator: Emulator) -> None:
    """A derived session with `errors` refuses what its parent sends unchecked, and inherits the level otherwise."""
    async with real_session(emulator, preflight="off") as ochy:
        strict = ochy.with_options(preflight="errors")
        for session in (strict, strict.with_options(retry=Retry(attempts=1))):
            with pytest.raises(ClipUnusable):
                await session.start(CLIP, SideView(), name="clip.txt")
        with pytest.raises(InvalidSettings, match="preflight"):
            ochy.with_options(preflight="loud")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert len(emulator.service.ledger) == 0


@pytest.mark.anyio
async def test_the_limit_of_a_probe_is_that_of_the_derived_session(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder gets the seconds of the session that checks the clip."""
    asked: list[float] = []

    async def probe(_: Prober, facts: ClipFacts, _path: Any, _chunks: Any, seconds: float) -> ClipFacts:
        asked.append(seconds)
        return facts

    monkeypatch.setattr(Prober, "probe", probe)
    async with real_session(emulator, preflight="errors") as ochy:
        await ochy.with_options(limits=Limits(probe=3)).start(CLIP, SideView())
        await ochy.start(CLIP, SideView())
    assert asked == [3, 20]


# --- open and aclose ----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_session_is_opened_and_closed_by_calls(emulator: Emulator) -> None:
    """`open` returns the session, and after `aclose` it has no connection and refuses calls."""
    ochy = await real_session(emulator).open()
    assert not (await ochy.get_webhook()).stored
    await ochy.aclose()
    with pytest.raises(InvalidSettings, match="not open"):
        await ochy.get_webhook()
    runner: Any = emulator._runner
    for _ in range(100):
        if not runner.server.connections:
            break
        await anyio.sleep(0.01)
    assert not runner.server.connections


@pytest.mark.anyio
async def test_closing_twice_or_before_opening_does_nothing(emulator: Emulator) -> None:
    """`aclose` is safe to call in any state, also inside `async with`; the session can be opened again."""
    ochy = real_session(emulator)
    await ochy.aclose()
    async with ochy:
        await ochy.get_webhook()
        await ochy.aclose()
        await ochy.aclose()
    async with ochy:
        assert not (await ochy.get_webhook()).stored


@pytest.mark.anyio
async def test_a_session_cannot_be_entered_twice(emulator: Emulator) -> None:
    """The inner block would close the session of the outer one."""
    async with real_session(emulator) as ochy:
        with pytest.raises(InvalidSettings, match="open already"):
            async with ochy:
                pass
        assert not (await ochy.get_webhook()).stored


async def _use(url: str, events: list[Event]) -> None:
    """Opens a session, makes calls with a derived one, and closes it."""
    ochy = await OchySession(base_url=url, on_event=events.append).open()
    try:
        derived = ochy.with_options(limits=Limits(stall=5), polling=QUICK)
        await derived.ping(timeout=5)
        await derived.wait(await derived.start(CLIP, SideView(), timeout=5))
    finally:
        await ochy.aclose()


@pytest.mark.anyio
async def test_cancelling_at_any_await_leaves_nothing_behind() -> None:
    """Calls with a timeout on a derived session, and `aclose` itself, are cancelled at every await."""
    for step in range(1, 300):
        events: list[Event] = []
        async with Emulator(world(), speed=1000) as emulator:
            before, done, left = tasks(), False, set[str]()
            files = open_files()
            with suppress(asyncio.CancelledError):
                done = await cancelled_at(_use(emulator.url, events), step)
            for _ in range(100):  # the server takes a moment to close its ends
                left = {name for name in open_files() - files if "socket" in name}
                if not left and tasks() == before:
                    break
                await asyncio.sleep(0.01)
            assert tasks() == before
            assert not left
            reported = any(isinstance(event, AnalysisStarted | StartUncertain) for event in events)
            assert reported or not emulator.service.ledger, f"cancelled at await {step}: charged, without an event"
        if done:
            assert step > 8
            return
    pytest.fail("the scenario has more awaits than expected")


# --- what other parts give a session --------------------------------------------------------------------


def test_a_derived_session_is_woken_by_the_webhooks_of_its_parent() -> None:
    """Its starts ask for deliveries, and a hint moves its next poll forward."""

    async def scenario() -> None:
        hooks, faults, asked = Webhooks("a-token-of-the-tests"), Clocked(), list[str]()
        service = Service(world(analysis_seconds=(300, 300), queue_seconds=0))

        class Remembering(InProcessTransport):
            async def send(self, request: Request) -> Response:
                if request.upload is not None:
                    asked.append(dict(request.upload.fields)["notify_via_webhook"])
                return await super().send(request)

        transport = Remembering(service, faults)
        async with OchySession(transport=transport, clock=loop_clock, webhooks=hooks) as ochy:
            derived = ochy.with_options(polling=Polling(interval=50, longest=60))
            started = await derived.start(CLIP, SideView())
            begun = anyio.current_time()
            async with anyio.create_task_group() as group:
                group.start_soon(derived.wait, started)
                await anyio.sleep(10)
                hooks.wakes.hint(started.analysis_id)
                await anyio.sleep(5)
                group.cancel_scope.cancel()
            assert [round(at - begun) for at in faults.times] == [10]
        assert asked == ["true"]

    in_virtual_time(scenario())


def test_a_derived_session_has_the_observer_of_its_parent() -> None:
    """Its listener is its own, and the observer sees the events and operations of both."""

    async def scenario() -> None:
        events, own = list[Event](), list[Event]()

        class Seen(Observer):
            def on_event(self, event: Event) -> None:
                events.append(event)

        transport = InProcessTransport(Service(world()))
        async with OchySession(transport=transport, clock=loop_clock, telemetry=Seen()) as ochy:
            await ochy.with_options(on_event=own.append).ping()
            await ochy.ping()
        assert [type(event) for event in events] == [ResponseReceived, ResponseReceived]
        assert len(own) == 1

    in_virtual_time(scenario())
