"""Every call of the API, over a real socket against the emulator."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from ochy_async import BackView, Limits, OchySession, SideView, Started, Status, session
from ochy_async.emulator import (
    Delay,
    DisconnectBefore,
    Emulator,
    FaultPlan,
    FaultRule,
    ReplaceBody,
    Respond,
    ResponseShapes,
    RetryAfter,
    Service,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    ConnectionFailed,
    DeadlinePassed,
    InvalidRequest,
    InvalidSettings,
    NotFound,
    NotReady,
    OchyError,
    RateLimited,
    RequestRefused,
    ServerError,
    StartAttempt,
    UnreadableAnswer,
)
from ochy_async.policy.reconciliation import Reconciliation, candidates_of
from ochy_async.policy.retry import Retry
from ochy_async.protocol.analysis_list import ListedAnalysis
from ochy_async.protocol.routes import LIST_ANALYSES
from tests.conftest import CLIP, Recorded, direct_session, real_session, world
from tests.support.canary import HOOK_TOKEN, leaks_in_error


@pytest.mark.anyio
async def test_a_side_view_is_analyzed(ochy: OchySession) -> None:
    """The README's first example: typed results, links with a masked repr, no drift."""
    results = await ochy.analyze(CLIP, SideView(height=1.75, weight=68))
    assert 0 <= results.total_score <= 1
    assert results.foot.foot_strike_pattern in ("rearfoot", "midfoot", "forefoot")
    assert results.thumbnail is not None
    assert "signature" in results.thumbnail.reveal()
    assert results.running_styles[0].title
    assert ochy.drift == ()


@pytest.mark.anyio
async def test_calculated_data_of_both_views(ochy: OchySession) -> None:
    """The classes follow the requested view; the pace is computed from the speed."""
    side = await ochy.start(CLIP, SideView())
    back = await ochy.start(CLIP, BackView())
    await ochy.wait(side)
    await ochy.wait(back)
    metrics = (await ochy.calculated_data(side)).metrics
    assert metrics is not None
    assert metrics.speed is not None
    assert metrics.pace is not None
    assert metrics.pace.total_seconds() == pytest.approx(1000 / metrics.speed)
    gait = (await ochy.calculated_data(back)).gait_cycle
    assert gait is not None
    assert gait.raw


@pytest.mark.anyio
@pytest.mark.parametrize("landmarks", ["xy", "pair", "xyz_score"])
async def test_landmarks_come_as_columns(landmarks: str) -> None:
    """Raw data in any of the likely shapes becomes one array per coordinate."""
    shapes = ResponseShapes(landmarks=landmarks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with Emulator(world(shapes=shapes), speed=50) as emulator, real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView())
        await ochy.wait(started)
        found = await ochy.raw_data(started)
    assert len(found.names) == 33
    assert found.x is not None
    assert found.x.shape == (len(found.frame_numbers), 33)
    assert not math.isnan(found.x[0, 0])
    assert list(found.frame_numbers) == sorted(found.frame_numbers)
    assert found.video.fps


@pytest.mark.anyio
async def test_data_before_success_is_not_ready(emulator: Emulator, ochy: OchySession) -> None:
    """Calculated and raw data of a running analysis raise NotReady with its id."""
    started = await ochy.start(CLIP, SideView())
    for ask in (ochy.calculated_data, ochy.raw_data):
        with pytest.raises(NotReady) as caught:
            await ask(started)
        assert caught.value.analysis_id == started.analysis_id


@pytest.mark.anyio
async def test_status_polls_once(ochy: OchySession) -> None:
    """`status` returns a state; for a bare id the view is inferred from the keys of the answer."""
    started = await ochy.start(CLIP, BackView(full_body=False))
    assert (await ochy.status(started)).status in (Status.PENDING, Status.ANALYZING)
    await ochy.wait(started)
    state = await ochy.status(started.analysis_id)
    assert type(state.results).__name__ == "BackViewResults"


@pytest.mark.anyio
async def test_a_subject_is_created_read_changed_and_deleted(ochy: OchySession) -> None:
    """A subject is created, read, listed, changed in part and deleted; then it is not found."""
    subject_id = (await ochy.create_subject(name="Ada", email="ada@example.com", height=1.7, weight=60)).subject_id
    await ochy.update_subject(subject_id, weight=61.5)
    subject = await ochy.get_subject(subject_id)
    assert (subject.name, subject.height, subject.weight) == ("Ada", 1.7, 61.5)
    assert [each.subject_id for each in await ochy.list_subjects()] == [subject_id]
    await ochy.delete_subject(subject_id)
    assert len(await ochy.list_subjects()) == 0
    with pytest.raises(NotFound):
        await ochy.get_subject(subject_id)


@pytest.mark.anyio
@pytest.mark.parametrize("lists", ["bare", "analyses", "data"])
@pytest.mark.parametrize("items", ["objects", "strings"])
async def test_lists_are_read_in_every_likely_shape(lists: str, items: str) -> None:
    """The ids are found in bare and wrapped lists, of objects and of ids."""
    shapes = ResponseShapes(lists=lists, items=items, subject_items=items)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with Emulator(world(shapes=shapes), speed=50) as emulator, real_session(emulator) as ochy:
        subject_id = (await ochy.create_subject(name="Ada")).subject_id
        alone = await ochy.start(CLIP, SideView())
        linked = await ochy.start(CLIP, SideView(subject_id=subject_id))
        assert (await ochy.list_analyses()).ids == {alone.analysis_id, linked.analysis_id}
        assert (await ochy.list_subject_analyses(subject_id)).ids == {linked.analysis_id}


@pytest.mark.anyio
async def test_the_webhook_is_stored_and_read(ochy: OchySession) -> None:
    """At first there is no webhook; a configured one is returned."""
    assert not (await ochy.get_webhook()).stored
    stored = await ochy.configure_webhook("https://hooks.example.com/ochy", enabled=True)
    assert (stored.url, stored.enabled) == ("https://hooks.example.com/ochy", True)
    assert await ochy.get_webhook() == stored
    with pytest.raises(InvalidRequest, match="https"):
        await ochy.configure_webhook("http://hooks.example.com", enabled=True)


@pytest.mark.anyio
async def test_no_frame_of_an_error_holds_the_url_of_a_webhook(ochy: OchySession, emulator: Emulator) -> None:
    """Whether the URL is refused here or by the server: its path ends in a token."""
    emulator.faults = FaultPlan([FaultRule("PUT /webhook", Respond(403))])
    for scheme in ("http", "https"):
        with pytest.raises(OchyError) as refused:
            await ochy.configure_webhook(f"{scheme}://hooks.example.com/{HOOK_TOKEN}", enabled=True)
        assert not leaks_in_error(refused.value)


@pytest.mark.anyio
async def test_exercises_belong_to_search_keys(ochy: OchySession) -> None:
    """The search keys of an assessment lead to exercises."""
    results = await ochy.analyze(CLIP, SideView())
    texts = results.head.texts
    assert texts is not None
    assert texts.search_key
    exercises = await ochy.exercises(texts.search_key, language="fr")
    assert exercises
    assert exercises[0].title


@pytest.mark.anyio
async def test_request_sends_any_request(ochy: OchySession) -> None:
    """Any request returns its untouched JSON, also of a failed analysis, and raises the same errors."""
    started = await ochy.start(CLIP, SideView())
    body = await ochy.request("GET", f"/analysis/{started.analysis_id}/results")
    assert body["video_id"] == started.analysis_id
    assert (await ochy.request("POST", "/subjects", json={"name": "Ada"}))["subject_id"]
    with pytest.raises(NotFound):
        await ochy.request("GET", "/no/such/route", query=[("a", "b&c")])
    with pytest.raises(InvalidRequest):
        await ochy.request("GET", "/subjects/../webhook")
    with pytest.raises(InvalidRequest, match="costs a credit"):
        await ochy.request("POST", "/analysis/start", json={})
    with pytest.raises(InvalidRequest, match="JSON"):
        await ochy.request("POST", "/subjects", json={"name": object()})


@pytest.mark.anyio
async def test_request_refuses_what_could_leak_the_key(ochy: OchySession) -> None:
    """What could change the request or expose the key is refused before anything is sent."""
    smuggled: Any = "GET\r\nX-Smuggled: 1"
    with pytest.raises(InvalidRequest, match="method: must be one of"):
        await ochy.request(smuggled, "/webhook")
    with pytest.raises(InvalidRequest, match="query: must not hold the API key"):
        await ochy.request("GET", "/webhook", query=[("ApiKey", "any")])
    triple: Any = ("a", "b", "c")
    with pytest.raises(InvalidRequest, match="query: must be pairs"):
        await ochy.request("GET", "/webhook", query=[triple])


@pytest.mark.anyio
async def test_new_keys_stay_readable_and_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown keys stay readable, and each is listed and logged once, without its value."""
    shapes = ResponseShapes(extra_keys=True, foot_strike_pattern="tiptoe")
    async with Emulator(world(shapes=shapes), speed=50) as emulator, real_session(emulator) as ochy:
        await ochy.analyze(CLIP, SideView())
        results = await ochy.analyze(CLIP, SideView())
        drift = ochy.drift
    assert results.foot.foot_strike_pattern == "tiptoe"
    paths = [note.path for note in drift]
    assert "biomechanical_analysis.analysis_content.foot.foot_strike_pattern" in paths
    assert any("unknown key" in note.what for note in drift)
    logged = [record.getMessage() for record in caplog.records if "differs" in record.getMessage()]
    assert len(logged) == len(set(logged)) == len(drift)
    assert not any("tiptoe" in line for line in logged)


@pytest.mark.parametrize(
    "fault",
    [Respond(408), Respond(500), Respond(503), RetryAfter("1"), RetryAfter("garbage"), DisconnectBefore()],
    ids=["408", "500", "503", "429", "429 with garbage", "cut"],
)
def test_a_get_is_repeated_until_it_is_answered(fault: Respond) -> None:
    """A GET survives failures, up to the attempts of the retry policy."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("GET /webhook", fault, times=4)]))
        async with direct_session(faults=faults) as ochy:
            assert not (await ochy.get_webhook()).stored
        assert len(faults.routes) == 5

    in_virtual_time(scenario())


def test_attempts_end_with_the_last_error() -> None:
    """When all attempts are spent, the error has the number of the last attempt."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("*", Respond(503), times=100)]))
        async with direct_session(faults=faults, retry=Retry(attempts=3)) as ochy:
            with pytest.raises(ServerError) as caught:
                await ochy.get_webhook()
        assert (caught.value.attempt, len(faults.routes)) == (3, 3)

    in_virtual_time(scenario())


def test_all_calls_share_one_retry_budget() -> None:
    """All calls of a session share one retry budget: in an outage, a hundred calls make little more than a hundred
    requests."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("*", Respond(503), times=10_000)]))
        async with direct_session(faults=faults, retry=Retry(budget=10)) as ochy:
            for _ in range(100):
                with pytest.raises(ServerError):
                    await ochy.get_webhook()
        assert len(faults.routes) == 110

    in_virtual_time(scenario())


def test_a_creation_is_repeated_only_if_it_surely_did_not_happen() -> None:
    """A subject is not created twice: a 503 or a cut ends the call, a 429 does not."""

    async def scenario() -> None:
        for fault, sent in ((Respond(503), 1), (DisconnectBefore(), 1), (RetryAfter("1"), 2)):
            faults = Recorded(FaultPlan([FaultRule("POST /subjects", fault)]))
            async with direct_session(faults=faults) as ochy:
                with suppress(ServerError, ConnectionFailed):
                    await ochy.create_subject(name="Ada")
            assert len(faults.routes) == sent

    in_virtual_time(scenario())


def test_a_long_retry_after_is_not_slept_through() -> None:
    """If the server asks for two hours, the call raises at once."""

    async def scenario() -> None:
        async with direct_session(faults=FaultPlan([FaultRule("*", RetryAfter("7200"))])) as ochy:
            began = anyio.current_time()
            with pytest.raises(RateLimited) as caught:
                await ochy.get_webhook()
            assert anyio.current_time() - began < 1
        assert caught.value.retry_after == 7200

    in_virtual_time(scenario())


def test_a_call_ends_with_its_deadline() -> None:
    """However long an answer takes, the call ends with its deadline."""

    async def scenario() -> None:
        async with direct_session(faults=FaultPlan([FaultRule("*", Delay(60))]), limits=Limits(call=20)) as ochy:
            began = anyio.current_time()
            with pytest.raises(DeadlinePassed):
                await ochy.get_webhook()
            assert anyio.current_time() - began == pytest.approx(20)

    in_virtual_time(scenario())


def test_a_creation_that_reaches_its_deadline_may_have_happened() -> None:
    """The error says so, and the request is not repeated."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule("POST /subjects", Delay(60, after=True))]))
        async with direct_session(faults=faults, limits=Limits(call=20)) as ochy:
            with pytest.raises(DeadlinePassed, match="The server may have acted on it"):
                await ochy.create_subject(name="Ada")
        assert len(faults.routes) == 1

    in_virtual_time(scenario())


def test_a_retry_beyond_the_deadline_is_not_waited_for() -> None:
    """If the next attempt would come after the deadline, the last error is raised at once instead of a time-out."""

    async def scenario() -> None:
        retry = Retry(attempts=20, first_delay=60, longest_delay=60)
        faults = FaultPlan([FaultRule("*", Respond(503), times=100)])
        async with direct_session(faults=faults, retry=retry, limits=Limits(call=20)) as ochy:
            began = anyio.current_time()
            with pytest.raises(ServerError):
                await ochy.get_webhook()
            assert anyio.current_time() - began < 1

    in_virtual_time(scenario())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b'{"subjects": NaN}', b"[" * 100_000, b'"text"', b'{"subjects": 7}', b"\xff\xfe"],
    ids=["empty", "html", "nan", "deep", "a text", "wrong type", "no utf-8"],
)
def test_an_answer_that_makes_no_sense_is_unreadable(body: bytes) -> None:
    """The error names route and status, and shows the structure of the answer without values."""

    async def scenario() -> None:
        async with direct_session(faults=FaultPlan([FaultRule("*", ReplaceBody(body))])) as ochy:
            with pytest.raises(UnreadableAnswer, match="GET /subjects: HTTP 200") as caught:
                await ochy.list_subjects()
        assert caught.value.excerpt

    in_virtual_time(scenario())


def test_results_that_cannot_be_read_show_no_link() -> None:
    """The frames of the error hold neither the signed URLs nor the measurements of the answer."""

    async def scenario() -> UnreadableAnswer:
        async with direct_session() as ochy:
            started = await ochy.start(CLIP, SideView())
            await ochy.wait(started)
            with pytest.raises(UnreadableAnswer) as caught:
                await ochy.status(Started.of(started.analysis_id, BackView))
        return caught.value

    assert not leaks_in_error(in_virtual_time(scenario()))


@pytest.mark.anyio
async def test_a_refusal_shows_the_servers_text_but_no_health_data() -> None:
    """The vendor's validation error is shown with its place and message; the sent values are not repeated."""
    body = b'{"detail": [{"loc": ["body", "weight"], "msg": "too heavy", "input": 812.5, "ctx": {"x": 812.5}}]}'
    async with (
        Emulator(world(), FaultPlan([FaultRule("*", Respond(422, body))])) as emulator,
        real_session(emulator) as ochy,
    ):
        with pytest.raises(RequestRefused, match=r"body\.weight: too heavy") as caught:
            await ochy.create_subject(weight=81.25)
    assert "812" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("timeout", [0, -1, math.nan, "10", True])
async def test_a_timeout_is_a_positive_number(ochy: OchySession, timeout: Any) -> None:
    """An invalid timeout raises InvalidRequest, and not WaitTimeout."""
    with pytest.raises(InvalidRequest, match="timeout"):
        await ochy.wait("a1b2c3d4", timeout=timeout)


@pytest.mark.anyio
@pytest.mark.parametrize("what", [None, 7, b"a1b2c3d4"])
async def test_only_a_started_analysis_or_an_id_is_accepted(ochy: OchySession, what: Any) -> None:
    """Neither None nor bytes identify an analysis."""
    for ask in (ochy.wait, ochy.status, ochy.calculated_data, ochy.raw_data):
        with pytest.raises(InvalidRequest, match="what `start` returned"):
            await ask(what)


@pytest.mark.anyio
async def test_a_session_belongs_to_one_running_loop(ochy: OchySession) -> None:
    """A session that a second event loop uses raises: each thread needs its own session."""
    await ochy.get_webhook()
    with pytest.raises(InvalidSettings, match="another event loop"):
        await anyio.to_thread.run_sync(_elsewhere, ochy)


@pytest.mark.anyio
async def test_a_session_works_inside_its_block_only(ochy: OchySession) -> None:
    """Before and after its block a session raises, and says how to use it."""
    session = OchySession()
    with pytest.raises(InvalidSettings, match="async with"):
        await session.get_webhook()
    async with session:
        pass
    with pytest.raises(InvalidSettings, match="async with"):
        await session.get_webhook()


def _elsewhere(ochy: OchySession) -> None:
    async def ask() -> None:
        await ochy.get_webhook()

    asyncio.run(ask())


@pytest.mark.anyio
async def test_reading_raw_data_does_not_block_other_tasks() -> None:
    """Ten seconds at 240 frames per second are read in many slices, and other tasks run in between."""
    moments: list[float] = []
    spans: list[tuple[float, float]] = []

    async def others() -> None:
        while True:
            moments.append(anyio.current_time())
            await checkpoint()

    settings = world(analysis_seconds=(0.0, 0.0), queue_seconds=0.0, frames_per_second=240, default_video_seconds=10)
    async with Emulator(settings) as emulator, real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView())
        await ochy.wait(started)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others)
            landmarks = await ochy.raw_data(started)
            spans.append((anyio.current_time() - 0.1, anyio.current_time()))
            tasks.cancel_scope.cancel()
            assert len(landmarks.frame_numbers) == 2_400
    ((before, done),) = spans
    assert sum(before < moment < done for moment in moments) > 30


def test_the_candidates_of_a_start_are_found_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a large account whose list has no times, each analysis may be one. None is lost."""
    compared = list[int]()

    def counted(start: StartAttempt, listed: Sequence[ListedAnalysis], known: Collection[str]) -> Reconciliation:
        compared.append(len(listed))
        return candidates_of(start, listed, known)

    async def scenario() -> int:
        ids = json.dumps([f"a{number}" for number in range(3 * session.COMPARED_AT_ONCE + 1)]).encode()
        faults = FaultPlan([FaultRule(str(LIST_ANALYSES), Respond(200, ids))])
        start = StartAttempt("a.mp4", "side_view", datetime.now(UTC), datetime.now(UTC))
        async with direct_session(Service(world()), faults) as ochy:
            return len((await ochy.reconcile(start, known=["a0"])).candidates)

    monkeypatch.setattr(session, "candidates_of", counted)
    assert in_virtual_time(scenario()) == 3 * session.COMPARED_AT_ONCE
    assert compared == [session.COMPARED_AT_ONCE] * 3
