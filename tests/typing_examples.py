"""What type checkers infer. Never run; checked by mypy and pyright.

Each line with an ignore must be an error for both: an unnecessary ignore is itself an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import IO, Any, assert_type

from aiohttp import web

from ochy_async import (
    AnalysisState,
    BackView,
    BackViewCalculated,
    BackViewResults,
    Clip,
    Delivery,
    FootStrike,
    InvalidDelivery,
    Landmarks,
    Limits,
    OchySession,
    Polling,
    PostgresBus,
    Reconciliation,
    Retry,
    SideView,
    SideViewCalculated,
    SideViewResults,
    Started,
    Status,
    Webhooks,
    parse_delivery,
)
from ochy_async.emulator import InProcessTransport
from ochy_async.errors import ClipUnusable, ConnectionFailed, InvalidRequest, Phase, Problem, UncertainStart
from ochy_async.events import Event, ResponseLog, ResponseReceived
from ochy_async.protocol.analysis_list import AnalysisList, ListedAnalysis
from ochy_async.protocol.answer import SignedUrl
from ochy_async.protocol.back_view import LegAssessment, Legs
from ochy_async.protocol.exercises import Exercise
from ochy_async.protocol.landmarks import LandmarkGrid
from ochy_async.protocol.subjects import CreatedSubject, Message, Subject, SubjectList
from ochy_async.protocol.webhooks import WebhookSettings

Results = SideViewResults | BackViewResults
Calculated = SideViewCalculated | BackViewCalculated
AsgiMessage = MutableMapping[str, Any]
AsgiApplication = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]


async def the_view_determines_the_results(ochy: OchySession) -> None:
    """The view of the request determines the type of the results."""
    assert_type(await ochy.analyze("a.mp4", SideView()), SideViewResults)
    assert_type(await ochy.analyze(Path("a.mp4"), BackView(full_body=False)), BackViewResults)
    print((await ochy.analyze("a.mp4", SideView())).pronation)  # type: ignore[attr-defined]
    print((await ochy.analyze("a.mp4", BackView())).foot)  # type: ignore[attr-defined]


async def a_started_analysis_remembers_its_view(ochy: OchySession) -> None:
    """`start`, `wait`, `status`, `watch` and `calculated_data` have the types of the view."""
    side = await ochy.start("a.mp4", SideView())
    back = await ochy.start("a.mp4", BackView())
    assert_type(side, Started[SideViewResults, SideViewCalculated])
    assert_type(back, Started[BackViewResults, BackViewCalculated])
    assert_type(await ochy.wait(side), SideViewResults)
    assert_type(await ochy.wait(back, timeout=5), BackViewResults)
    assert_type(await ochy.status(side), AnalysisState[SideViewResults])
    assert_type(await ochy.status(back), AnalysisState[BackViewResults])
    assert_type(ochy.watch(side), AsyncGenerator[AnalysisState[SideViewResults], None])
    assert_type(await ochy.calculated_data(side), SideViewCalculated)
    assert_type(await ochy.calculated_data(back), BackViewCalculated)
    assert_type(await ochy.raw_data(side), Landmarks)
    async for state in ochy.watch(back, timeout=1):
        assert_type(state, AnalysisState[BackViewResults])


async def a_bare_id_may_be_of_either_view(ochy: OchySession) -> None:
    """An analysis that somebody else started may be of either view."""
    assert_type(await ochy.wait("a1"), Results)
    assert_type(await ochy.status("a1"), AnalysisState[Results])
    assert_type(ochy.watch("a1"), AsyncGenerator[AnalysisState[Results], None])
    assert_type(await ochy.calculated_data("a1"), Calculated)
    assert_type(await ochy.raw_data("a1"), Landmarks)
    results = await ochy.wait("a1")
    if isinstance(results, SideViewResults):
        assert_type(results.foot.foot_strike_pattern, FootStrike | str | None)
    else:
        assert_type(results.pronation, Legs)


async def a_stored_start_is_loaded(ochy: OchySession) -> None:
    """Loaded from JSON, the view may be either; loaded from an id and a view, it is known."""
    stored = Started.from_json("{}")
    assert_type(stored, Started[Results, Calculated])
    assert_type(await ochy.wait(stored), Results)
    known = Started.of("a1", BackView)
    assert_type(known, Started[BackViewResults, BackViewCalculated])
    assert_type(await ochy.wait(known), BackViewResults)
    assert_type(known.to_json(), str)
    assert_type(known.started_at, datetime | None)


async def a_clip_has_many_sources(ochy: OchySession, stream: AsyncGenerator[bytes]) -> None:
    """Paths, bytes, binary files and streams are accepted, and nothing else."""
    file: IO[bytes] = BytesIO()
    for source in ("a.mp4", Path("a.mp4"), b"", bytearray(), memoryview(b""), file, BytesIO()):
        await ochy.start(source, SideView(), name="a.mp4")
    await ochy.start(Clip.stream(stream, name="a.mp4", size=5), SideView())
    await ochy.start(Clip.stream(lambda: stream, name="a.mp4", size=5), SideView())
    await ochy.start(5, SideView())  # type: ignore[arg-type]
    await ochy.start(stream, SideView())  # type: ignore[arg-type]
    await ochy.start("a.mp4", "side_view")  # type: ignore[arg-type]
    await ochy.start("a.mp4")  # type: ignore[call-arg]


def a_request_is_checked() -> None:
    """Names and types of arguments are checked; their values are checked at run time."""
    SideView(height=1.75, weight=68, pace=timedelta(minutes=5), treadmill=True, language="fr", subject_id="s1")
    BackView(pace="05:30", full_body=False, notify_via_webhook=True)
    SideView(full_body=False)  # type: ignore[call-arg]
    SideView(1.75)  # type: ignore[call-arg]
    SideView(height="1.75")  # type: ignore[arg-type]
    SideView(pace=330)  # type: ignore[arg-type]
    BackView(treadmil=True)  # type: ignore[call-arg]
    SideView().height = 1.8  # type: ignore[misc]


def a_state_is_read(state: AnalysisState[SideViewResults]) -> None:
    """Statuses are an open set, and results exist on success only."""
    assert_type(state.status, Status | str)
    assert_type(state.percentage, float | None)
    assert_type(state.results, SideViewResults | None)
    assert_type(state.finished, bool)
    print(state.results.total_score)  # type: ignore[union-attr]


def results_are_read(side: SideViewResults, back: BackViewResults) -> None:
    """Required values are plain, optional ones may be None."""
    assert_type(side.total_score, float)
    assert_type(side.arm.score_number, float | None)
    assert_type(side.thumbnail, SignedUrl | None)
    assert_type(side.raw["anything"], Any)
    assert_type(back.pronation.left, LegAssessment | None)
    assert_type(back.knee_adduction, Legs | None)
    side.total_score = 1.0  # type: ignore[misc]
    print(back.running_styles)  # type: ignore[attr-defined]


def data_is_read(side: SideViewCalculated, landmarks: Landmarks) -> None:
    """Numbers are floats or None, times are `timedelta`s, columns are arrays."""
    if side.metrics is not None:
        assert_type(side.metrics.cadence, float | None)
        assert_type(side.metrics.pace, timedelta | None)
    assert_type(landmarks.x, LandmarkGrid | None)
    assert_type(landmarks.track("nose", "x"), array[float])
    assert_type(landmarks.coordinates["x"][0, 1], float)


async def everything_else_has_a_type(ochy: OchySession) -> None:
    """Lists, subjects, webhook, exercises, and `request`."""
    assert_type(await ochy.list_analyses(), AnalysisList)
    assert_type(list(await ochy.list_subject_analyses("s1")), list[ListedAnalysis])
    assert_type(await ochy.create_subject(name="Ada", height=1.7), CreatedSubject)
    assert_type(await ochy.get_subject("s1"), Subject)
    assert_type(await ochy.list_subjects(), SubjectList)
    assert_type(await ochy.update_subject("s1", weight=60), Message)
    assert_type(await ochy.delete_subject("s1"), Message)
    assert_type(await ochy.get_webhook(), WebhookSettings)
    assert_type(await ochy.configure_webhook("https://example.com", enabled=True), WebhookSettings)
    assert_type(await ochy.exercises(["HeadG"]), tuple[Exercise, ...])
    assert_type(await ochy.request("GET", "/subjects"), Any)
    await ochy.configure_webhook("https://example.com")  # type: ignore[call-arg]
    await ochy.request("HEAD", "/subjects")  # type: ignore[arg-type]
    await ochy.create_subject("Ada")  # type: ignore[call-arg]


async def calls_have_a_timeout_and_answers_are_kept(ochy: OchySession, started: Started[Any, Any]) -> None:
    """Timeouts are seconds; a `ResponseLog` is a listener."""
    log = ResponseLog()
    assert_type(await ochy.with_options(on_event=log).ping(timeout=1), float)
    assert_type(log.last, ResponseReceived | None)
    for response in log:
        assert_type(response.headers, Mapping[str, str])
        assert_type((response.status, response.attempt, response.seconds), tuple[int, int, float])
    assert_type(await ochy.start("a.mp4", SideView(), timeout=30), Started[SideViewResults, SideViewCalculated])
    await ochy.status(started, timeout=0.5)
    await ochy.list_subjects(5)  # type: ignore[call-arg]
    await ochy.list_subjects(timeout="5")  # type: ignore[arg-type]


async def files_are_downloaded(
    ochy: OchySession, side: SideViewResults, back: Started[Any, Any], link: SignedUrl
) -> None:
    """From results, a start, an id or a link, to any path."""
    assert_type(await ochy.download(side, "a.mp4"), Path)
    await ochy.download(back, Path("a.jpg"), file="thumbnail")
    await ochy.download(link, "a.mp4")
    await ochy.download("a1b2c3d4", "folder")
    await ochy.download(side, "a.mp4", file="video")  # type: ignore[arg-type]
    await ochy.download(side.output_video, "a.mp4")
    await ochy.download(5, "a.mp4")  # type: ignore[arg-type]


async def errors_have_typed_facts(ochy: OchySession) -> None:
    """The class says what the caller can do, and its facts are typed."""
    try:
        await ochy.start("a.mp4", SideView())
    except UncertainStart as uncertain:
        assert_type(await ochy.reconcile(uncertain), Reconciliation)
        assert_type((await ochy.reconcile(uncertain)).adopt("a1"), Started[Results, Calculated])
    except ConnectionFailed as trouble:
        assert_type(trouble.phase, Phase)
        assert_type(trouble.status, int | None)
    except (InvalidRequest, ClipUnusable) as refused:
        assert_type(refused.problems, tuple[Problem, ...])


def a_delivery_is_read(body: bytes) -> None:
    """Every field may be missing; the error has the HTTP status to answer with."""
    try:
        delivery = parse_delivery(body, {"content-type": "application/json"})
    except InvalidDelivery as error:
        assert_type(error.status, int | None)
        return
    assert_type(delivery, Delivery)
    assert_type(delivery.analysis_id, str | None)
    assert_type(delivery.status, Status | str | None)
    assert_type(delivery.timestamp, datetime | None)
    assert_type(delivery.still_running, bool)
    parse_delivery("text", {})  # type: ignore[arg-type]


async def webhooks_are_served(app: web.Application, mount: Callable[[str, AsgiApplication], None]) -> None:
    """One object serves ASGI and aiohttp.web; a delivery has typed parts."""

    def took(delivery: Delivery) -> None:
        assert_type(delivery.analysis_id, str | None)
        assert_type(delivery.still_running, bool)

    hooks = Webhooks(["first", "second"], bus=PostgresBus("postgresql://h/d"), on_delivery=took)
    mount("/hooks/ochy", hooks.asgi)
    app.router.add_post("/hooks/ochy/{token}", hooks.aiohttp)
    async with hooks as entered, hooks.listening(print), OchySession(webhooks=hooks):
        assert_type(entered, Webhooks)
    assert_type(parse_delivery(b"{}", {}), Delivery)
    Webhooks(token=5)  # type: ignore[arg-type]
    Webhooks(on_delivery=lambda: None)  # type: ignore[arg-type,misc]
    OchySession(webhooks="token")  # type: ignore[arg-type]


async def a_session_is_configured() -> None:
    """All arguments but the key are keywords; the emulator's transport replaces the network."""

    def listener(event: Event) -> None:
        print(event)

    async with OchySession(retry=Retry(attempts=2), polling=Polling(interval=4), on_event=listener) as ochy:
        assert_type(ochy, OchySession)
    OchySession(transport=InProcessTransport())
    derived = ochy.with_options(retry=Retry(), polling=Polling(), limits=Limits(), preflight="off", on_event=listener)
    assert_type(derived, OchySession)
    assert_type(await OchySession().open(), OchySession)
    await ochy.aclose()
    ochy.with_options(api_key="other")  # type: ignore[call-arg]
    ochy.with_options(Retry())  # type: ignore[call-arg]
    ochy.with_options(preflight="loud")  # type: ignore[arg-type]
    OchySession("key", "https://example.com")  # type: ignore[call-arg]
    OchySession(retry=3)  # type: ignore[arg-type]
    OchySession(on_event=lambda: None)  # type: ignore[arg-type,misc]
