"""The timeout of a single call: when it ends, what its error says, and that it never costs a second credit."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import Clip, Limits, OchySession, Retry, SideView
from ochy_async.core import SessionCore
from ochy_async.emulator import (
    Delay,
    Emulator,
    FaultPlan,
    FaultRule,
    InProcessStorage,
    InProcessTransport,
    RetryAfter,
    Service,
    Throttle,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import DeadlinePassed, InvalidRequest, OchyError, RateLimited, StartAttempt, UncertainStart
from ochy_async.events import AnalysisStarted, Event, StartUncertain
from ochy_async.protocol.sliced_reader import sliced_call
from ochy_async.protocol.webhooks import get_webhook_call
from tests.conftest import CLIP, Recorded, direct_session, loop_clock, real_session, world
from tests.robustness.test_cancellation import open_files

START = "POST /analysis/start"
DOUBT = StartAttempt("a.mp4", "side_view", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
CALLS: dict[str, Callable[[OchySession, Any], Awaitable[Any]]] = {
    "status": lambda ochy, timeout: ochy.status("a1", timeout=timeout),
    "calculated_data": lambda ochy, timeout: ochy.calculated_data("a1", timeout=timeout),
    "raw_data": lambda ochy, timeout: ochy.raw_data("a1", timeout=timeout),
    "list_analyses": lambda ochy, timeout: ochy.list_analyses(timeout=timeout),
    "list_subject_analyses": lambda ochy, timeout: ochy.list_subject_analyses("s1", timeout=timeout),
    "reconcile": lambda ochy, timeout: ochy.reconcile(DOUBT, timeout=timeout),
    "create_subject": lambda ochy, timeout: ochy.create_subject(name="Ada", timeout=timeout),
    "list_subjects": lambda ochy, timeout: ochy.list_subjects(timeout=timeout),
    "get_subject": lambda ochy, timeout: ochy.get_subject("s1", timeout=timeout),
    "update_subject": lambda ochy, timeout: ochy.update_subject("s1", name="Ada", timeout=timeout),
    "delete_subject": lambda ochy, timeout: ochy.delete_subject("s1", timeout=timeout),
    "get_webhook": lambda ochy, timeout: ochy.get_webhook(timeout=timeout),
    "configure_webhook": lambda ochy, timeout: ochy.configure_webhook(
        "https://a.example", enabled=True, timeout=timeout
    ),
    "exercises": lambda ochy, timeout: ochy.exercises(["HeadG"], timeout=timeout),
    "ping": lambda ochy, timeout: ochy.ping(timeout=timeout),
    "request": lambda ochy, timeout: ochy.request("GET", "/webhook", timeout=timeout),
    "start": lambda ochy, timeout: ochy.start(CLIP, SideView(), timeout=timeout),
    "download": lambda ochy, timeout: ochy.download("a1", "run.mp4", timeout=timeout),
}
WAITS = {"analyze", "wait", "watch"}
"""Calls whose timeout is that of the wait."""
LIFETIME = {"open", "aclose"}


def test_every_call_that_sends_a_request_has_a_timeout() -> None:
    """Each method that talks to the server takes `timeout`, and is among the calls that are tested here."""
    methods = {name: getattr(OchySession, name) for name in vars(OchySession) if not name.startswith("_")}
    waiting = {name for name, method in methods.items() if inspect.iscoroutinefunction(method)} - WAITS - LIFETIME
    assert waiting == CALLS.keys()
    assert all("timeout" in inspect.signature(methods[name]).parameters for name in CALLS.keys() | WAITS)


def silent_session(**settings: Any) -> OchySession:
    """A session with a server that answers nothing for a day."""
    service, faults = Service(world()), FaultPlan([FaultRule("*", Delay(86_400), times=100)])
    transport = InProcessTransport(service, faults)
    storage = InProcessStorage(service, faults)
    return OchySession(transport=transport, storage=storage, clock=loop_clock, **settings)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_with_its_timeout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends exactly then, with a DeadlinePassed that names the seconds; a start is uncertain, and says the same."""
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with silent_session() as ochy:
            begun = anyio.current_time()
            with pytest.raises((DeadlinePassed, UncertainStart), match="within 7 s"):
                await CALLS[name](ochy, 7)
            assert anyio.current_time() - begun == pytest.approx(7)

    in_virtual_time(scenario())


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("timeout", [0, -1, math.nan, "5", True], ids=str)
def test_a_timeout_that_is_no_positive_number_is_refused(name: str, timeout: Any) -> None:
    """Nothing is sent."""

    async def scenario() -> None:
        faults = Recorded()
        async with direct_session(faults=faults) as ochy:
            with pytest.raises(InvalidRequest, match="timeout: must be a number of seconds above 0"):
                await CALLS[name](ochy, timeout)
        assert faults.routes == []

    in_virtual_time(scenario())


def test_a_timeout_may_be_longer_than_the_limit() -> None:
    """It replaces `Limits.call`, in both directions."""

    async def scenario() -> None:
        faults = FaultPlan([FaultRule("GET /webhook", Delay(20), times=5)])
        async with direct_session(faults=faults, limits=Limits(call=2)) as ochy:
            with pytest.raises(DeadlinePassed, match="within 2 s"):
                await ochy.get_webhook()
            assert not (await ochy.get_webhook(timeout=30)).stored
            assert not (await ochy.get_webhook(timeout=math.inf)).stored

    in_virtual_time(scenario())


@pytest.mark.anyio
@pytest.mark.parametrize("timeout", [None, 0.6])
async def test_reading_a_long_answer_is_part_of_its_call(timeout: float | None) -> None:
    """The answer may not take as long as the call is allowed, and as long again to be read."""

    def slow(_: bytes) -> Generator[None, None, None]:
        for _slice in range(20):
            time.sleep(0.02)
            yield

    transport = InProcessTransport(Service(world()), FaultPlan([FaultRule("GET /webhook", Delay(0.4))]))
    limits = Limits(call=0.6 if timeout is None else 60)
    core = SessionCore(transport, Retry(attempts=1), limits, loop_clock, lambda: 0.5)
    core.state.open = True
    core = core if timeout is None else core.within(timeout)
    with pytest.raises(DeadlinePassed, match=r"within 0.6 s"):
        await core.perform_in_slices(sliced_call(get_webhook_call().request, slow, "None"))


def test_a_timeout_covers_all_attempts() -> None:
    """A retry that would come after it is not waited for: the error is that of the last attempt."""

    async def scenario() -> None:
        faults = FaultPlan([FaultRule("GET /webhook", RetryAfter("4"), times=100)])
        async with direct_session(faults=faults) as ochy:
            begun = anyio.current_time()
            with pytest.raises(RateLimited):
                await ochy.get_webhook(timeout=10)
            assert anyio.current_time() - begun <= 10

    in_virtual_time(scenario())


def test_a_timeout_does_not_change_the_next_call() -> None:
    """It belongs to one call."""

    async def scenario() -> None:
        faults = FaultPlan([FaultRule("GET /webhook", Delay(20), times=5)])
        async with direct_session(faults=faults) as ochy:
            with pytest.raises(DeadlinePassed):
                await ochy.get_webhook(timeout=5)
            assert not (await ochy.get_webhook()).stored

    in_virtual_time(scenario())


def test_an_error_says_whether_the_server_may_have_acted() -> None:
    """A subject may have been created; a list changes nothing."""

    async def scenario() -> None:
        async with silent_session() as ochy:
            with pytest.raises(DeadlinePassed, match="may have acted"):
                await ochy.create_subject(name="Ada", timeout=1)
            with pytest.raises(DeadlinePassed) as caught:
                await ochy.list_subjects(timeout=1)
            assert "may have acted" not in str(caught.value)

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_a_download_keeps_what_arrived_when_its_timeout_passes(tmp_path: Path) -> None:
    """The whole download ends in time, the file is absent, and the next call resumes it."""
    target = tmp_path / "run.mp4"
    async with Emulator(world(), speed=50) as emulator, real_session(emulator) as ochy:
        results = await ochy.analyze(CLIP, SideView())
        emulator.faults = FaultPlan([FaultRule("GET /storage/*", Throttle(20_000))])
        begun = anyio.current_time()
        with pytest.raises(DeadlinePassed, match="resume"):
            await ochy.download(results, target, timeout=0.7)
        assert anyio.current_time() - begun < 3
        assert not target.exists()
        assert (tmp_path / "run.mp4.part").stat().st_size
        assert (await ochy.download(results, target)).stat().st_size


def test_a_download_does_not_sleep_past_its_timeout(tmp_path: Path) -> None:
    """Not even between two attempts."""

    async def scenario() -> None:
        service = Service(world())
        storage = InProcessStorage(service, FaultPlan([FaultRule("GET /storage/*", RetryAfter("30", 503), times=9)]))
        transport = InProcessTransport(service)
        async with OchySession(transport=transport, storage=storage, clock=loop_clock) as ochy:
            results = await ochy.analyze(CLIP, SideView())
            begun = anyio.current_time()
            with pytest.raises(OchyError):
                await ochy.download(results, tmp_path / "run.mp4", timeout=5)
            assert anyio.current_time() - begun <= 5

    in_virtual_time(scenario())


# --- starts -------------------------------------------------------------------------------------------


async def slow_clip() -> AsyncGenerator[bytes]:
    """A clip that arrives in four pieces, one a second."""
    for first in range(0, 4 * 1000, 1000):
        await anyio.sleep(1)
        yield CLIP[first : first + 1000]


def test_a_start_that_its_timeout_ends_early_is_not_charged() -> None:
    """Before the last chunk the server cannot have read a whole form, and the error says so."""

    async def scenario() -> None:
        service, faults = Service(world()), Recorded()
        async with direct_session(service, faults) as ochy:
            with pytest.raises(DeadlinePassed, match=r"within 2\.5 s.*no credit was spent"):
                await ochy.start(Clip.stream(slow_clip, name="a.mp4", size=4000), SideView(), timeout=2.5)
        assert (len(service.ledger), faults.routes.count(START)) == (0, 1)

    in_virtual_time(scenario())


def test_a_start_that_its_timeout_ends_after_the_last_chunk_is_uncertain() -> None:
    """It may have been charged: it is sent once, reported once, and can be looked up."""

    async def scenario() -> None:
        service, events = Service(world()), list[Event]()
        faults = Recorded(FaultPlan([FaultRule(START, Delay(60, after=True), times=5)]))
        async with direct_session(service, faults, on_event=events.append) as ochy:
            with pytest.raises(UncertainStart, match="within 5 s") as caught:
                await ochy.start(CLIP, SideView(), timeout=5)
            assert "again later" not in str(caught.value)
            (found,) = (await ochy.reconcile(caught.value)).candidates
        assert [charge.analysis_id for charge in service.ledger] == [found.analysis_id]
        assert faults.routes.count(START) == 1
        assert len([event for event in events if isinstance(event, StartUncertain)]) == 1

    in_virtual_time(scenario())


def test_the_preparation_of_a_clip_counts() -> None:
    """A timeout of 3 s ends a start whose clip takes 2 s to be opened and as long to be sent."""

    async def slow_to_open() -> AsyncGenerator[bytes]:
        await anyio.sleep(2)
        yield CLIP

    async def scenario() -> None:
        service = Service(world())
        async with direct_session(service, preflight="errors") as ochy:
            begun = anyio.current_time()
            with pytest.raises(DeadlinePassed, match="no credit was spent"):
                await ochy.start(Clip.stream(slow_to_open, name="a.mp4", size=len(CLIP)), SideView(), timeout=3)
            assert anyio.current_time() - begun == pytest.approx(3)
        assert len(service.ledger) == 0

    in_virtual_time(scenario())


@pytest.mark.parametrize("tenths", range(1, 80, 3))
def test_a_start_is_charged_at_most_once_whenever_its_timeout_passes(tenths: int) -> None:
    """Whatever the moment: a DeadlinePassed was not charged, and what was charged is known or reported as uncertain."""

    async def scenario() -> None:
        service, events = Service(world()), list[Event]()
        slow = [FaultRule(START, RetryAfter("1"), 1), FaultRule(START, Delay(1.5, after=True), 2, times=5)]
        clip = Clip.stream(slow_clip, name="a.mp4", size=4000)
        async with direct_session(service, FaultPlan(slow), on_event=events.append, retry=Retry()) as ochy:
            try:
                await ochy.start(clip, SideView(), timeout=tenths / 5)
            except (DeadlinePassed, RateLimited):
                assert len(service.ledger) == 0
            except UncertainStart:
                assert len(service.ledger) == 1
                assert any(isinstance(event, StartUncertain) for event in events)
            else:
                assert any(isinstance(event, AnalysisStarted) for event in events)
        assert len(service.ledger) <= 1

    in_virtual_time(scenario())


# --- over real sockets --------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("after", [False, True])
async def test_a_timeout_leaves_no_socket(after: bool) -> None:
    """The connection of a call that is cut is closed, and the next call works."""
    rules = [FaultRule(route, Delay(5, after=after)) for route in ("GET /webhook", START)]
    async with Emulator(world(), FaultPlan(rules)) as emulator, real_session(emulator) as ochy:
        await ochy.list_subjects()
        before = {name for name in open_files() if "socket" in name}
        with pytest.raises(DeadlinePassed, match=r"within 0\.2 s"):
            await ochy.ping(timeout=0.2)
        with pytest.raises(UncertainStart, match=r"within 0\.2 s"):
            await ochy.start(CLIP, SideView(), timeout=0.2)
        for _ in range(200):
            if {name for name in open_files() if "socket" in name} <= before:
                break
            await anyio.sleep(0.02)
        assert {name for name in open_files() if "socket" in name} <= before
        assert not (await ochy.get_webhook()).stored
