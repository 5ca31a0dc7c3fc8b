"""Starting an analysis: which starts are sent again, which never are, and what an uncertain start leaves."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from ochy_async import BackView, Clip, Limits, OchySession, Retry, SideView, Started, UncertainStart
from ochy_async.batch.outcomes import Uncertain
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    Emulator,
    Fault,
    FaultEffect,
    FaultPlan,
    FaultRule,
    Redirect,
    RefuseConnection,
    Respond,
    RespondAfter,
    RespondHtml,
    RetryAfter,
    Service,
    ServiceResponse,
    TruncateBody,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    BuyCredits,
    ClipRefused,
    ClipUnusable,
    ConnectionFailed,
    DeadlinePassed,
    InvalidRequest,
    InvalidSettings,
    KeyRefused,
    NotFound,
    OchyError,
    Phase,
    RateLimited,
    RequestRefused,
)
from ochy_async.events import AnalysisStarted, BytesSent, Event, ResponseReceived, Retried, StartUncertain
from ochy_async.journal.memory import MemoryJournal
from ochy_async.protocol.routes import START
from ochy_async.protocol.video_limits import MAX_BYTES
from tests.conftest import CLIP, Recorded, direct_session, real_session, world
from tests.support.canary import API_KEY, leaks_in_error


def on_start(fault: Fault, times: int = 1) -> Recorded:
    """The first `times` starts meet a fault. Every request is recorded."""
    return Recorded(FaultPlan([FaultRule(str(START), fault, times=times)]))


def starts(faults: Recorded) -> int:
    """The number of start requests that arrived."""
    return faults.routes.count(str(START))


UNCERTAIN: list[tuple[str, Fault]] = [
    ("closed after the last byte, charged", DisconnectAfter(charged=True)),
    ("closed after the last byte, not charged", DisconnectAfter(charged=False)),
    ("500 after acting", RespondAfter(500)),
    ("500 instead", Respond(500)),
    ("502", RespondAfter(502)),
    ("503", RespondAfter(503)),
    ("504", RespondAfter(504)),
    ("408", Respond(408)),
    ("307", Redirect("https://elsewhere.invalid/?a=b", status=307)),
    ("302 after acting", Redirect("/elsewhere", status=302, reaches_service=True)),
    ("202 without an id", RespondAfter(202, b'{"message": "started"}')),
    ("202 with an empty id", RespondAfter(202, b'{"video_id": ""}')),
    ("202 that is no JSON", RespondAfter(202, b"<html>ok</html>")),
    ("200 with an empty body", RespondAfter(200, b"")),
    ("answer cut in its body", TruncateBody(10)),
    ("an HTML page with 502", RespondHtml(502)),
    ("a 4xx that nobody documents", Respond(409, b'{"detail": "conflict"}')),
    ("a 422 that is not the vendor's", Respond(422, b"<html>no</html>")),
]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in UNCERTAIN])
async def test_a_start_that_may_have_been_charged_is_sent_once(fault: Fault) -> None:
    """It is sent once and raises an UncertainStart with clip, time window and subject."""
    events: list[Event] = []
    faults = on_start(fault, times=5)
    async with Emulator(world(), faults, speed=50) as emulator, real_session(emulator, on_event=events.append) as ochy:
        with pytest.raises(UncertainStart) as caught:
            await ochy.start(CLIP, BackView(), name="runner.mp4")
        assert len(emulator.service.ledger) <= 1
    assert starts(faults) == 1
    start = caught.value.start
    assert start is not None
    assert (start.clip, start.view, start.subject_id) == ("runner.mp4", "back_view", None)
    assert timedelta() <= start.latest - start.earliest < timedelta(seconds=30)
    assert "not sent again" in str(caught.value)
    assert "reconcile" in str(caught.value)
    assert "again later" not in str(caught.value) + caught.value.why
    assert caught.value.attempt == 1
    assert events.count(StartUncertain("runner.mp4", start, caught.value.why)) == 1
    assert not [event for event in events if isinstance(event, Retried)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(DisconnectDuring(3_000), id="cut in mid-body"),
        pytest.param(DisconnectBefore(), id="cut before the body"),
        pytest.param(RetryAfter("0"), id="429"),
    ],
)
async def test_a_start_that_surely_did_not_happen_is_sent_again_completely(fault: Fault) -> None:
    """A start that was cut short or rate-limited is sent again with the complete body, and charged once."""
    content = CLIP * 2_500  # larger than all network buffers together
    events: list[Event] = []
    faults = on_start(fault, times=2)
    async with Emulator(world(), faults, speed=50) as emulator, real_session(emulator, on_event=events.append) as ochy:
        started = await ochy.start(content, SideView())
        assert [charge.analysis_id for charge in emulator.service.ledger] == [started.analysis_id]
        assert emulator.service.charges_of(digest(content)) == 1
    assert starts(faults) == 3
    assert [event.attempt for event in events if isinstance(event, Retried)] == [1, 2]
    sent = [event.sent for event in events if isinstance(event, BytesSent)]
    assert sent.count(0) == 3, "progress goes back to zero with each attempt"
    assert sent[-1] == len(content)
    assert [type(event) for event in events[-2:]] == [AnalysisStarted, ResponseReceived]


def digest(content: bytes) -> str:
    """The hex digest that identifies a clip in the emulator's ledger."""
    from hashlib import sha256

    return sha256(content).hexdigest()


@pytest.mark.anyio
async def test_an_unreachable_server_is_retried_until_the_attempts_are_spent() -> None:
    """Without a connection nothing was sent: the error says so, and the start is repeated."""
    events: list[Event] = []
    retry = Retry(attempts=3, first_delay=0.01)
    async with OchySession(base_url="http://127.0.0.1:9", retry=retry, on_event=events.append) as ochy:
        with pytest.raises(ConnectionFailed, match="nothing was sent") as caught:
            await ochy.start(CLIP, SideView())
    assert (caught.value.phase, caught.value.attempt) == (Phase.NOT_SENT, 3)
    assert len([event for event in events if isinstance(event, Retried)]) == 2


REFUSED: list[tuple[str, Fault, type[OchyError]]] = [
    ("401", Respond(401, b'{"detail": "API Key is missing"}'), KeyRefused),
    ("403", Respond(403, b'{"detail": "Invalid API Key"}'), KeyRefused),
    ("402", Respond(402, b'{"detail": "Insufficient credits", "code": "insufficient_credits"}'), BuyCredits),
    ("404", Respond(404, b'{"detail": "Subject not found"}'), NotFound),
    ("413", Respond(413, b'{"detail": "too large", "code": "file_too_large"}'), ClipRefused),
    ("413 from a proxy", Respond(413, b"<html>Request Entity Too Large</html>"), ClipRefused),
    ("400 type", Respond(400, b'{"detail": "bad type", "code": "invalid_file_type"}'), ClipRefused),
    ("400 length", Respond(400, b'{"detail": "Video longer than 10 s"}'), ClipRefused),
    ("422", Respond(422, b'{"detail": [{"loc": ["body", "pace"], "msg": "bad", "input": "x"}]}'), RequestRefused),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("fault", "error"), [pytest.param(f, e, id=name) for name, f, e in REFUSED])
async def test_a_refused_start_has_its_own_error_and_is_not_repeated(fault: Fault, error: type[OchyError]) -> None:
    """A documented refusal raises an error of its own class after a single request."""
    faults = on_start(fault, times=5)
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(error) as caught:
            await ochy.start(CLIP, SideView())
    assert type(caught.value) is error
    assert caught.value.route == str(START)
    assert starts(faults) == 1


@pytest.mark.anyio
async def test_a_long_retry_after_raises_at_once() -> None:
    """If the server asks for two hours, the library does not sleep: the error carries the requested pause."""
    faults = on_start(RetryAfter("7200"))
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(RateLimited) as caught, anyio.fail_after(5):
            await ochy.start(CLIP, SideView())
    assert caught.value.retry_after == 7200
    assert starts(faults) == 1


@pytest.mark.anyio
async def test_an_answer_before_the_body_is_complete_stops_the_upload() -> None:
    """A 503 that arrives while the body is still being sent proves that the start did not happen."""
    content = CLIP * 800
    faults = on_start(Respond(503, early=True))
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        await ochy.start(content, SideView())
        assert emulator.service.charges_of(digest(content)) == 1
    assert starts(faults) == 2


def test_a_start_without_an_answer_is_uncertain_at_the_deadline() -> None:
    """A start whose deadline passes after the last byte is uncertain, and is not sent again."""

    async def scenario() -> None:
        service = Service(world())
        faults = on_start(Delay(10_000, after=True))
        async with direct_session(service, faults, limits=Limits(call=30)) as ochy:
            before = anyio.current_time()
            with pytest.raises(UncertainStart, match=r"not done within [0-9.]+ s\. The start of"):
                await ochy.start(CLIP, SideView())
            assert 30 <= anyio.current_time() - before < 32
        assert starts(faults) == 1

    in_virtual_time(scenario())


def test_a_start_that_was_never_sent_fails_within_its_deadline() -> None:
    """If the deadline passes before anything was sent, the error says that nothing was sent."""

    async def scenario() -> None:
        async with direct_session(
            faults=on_start(RefuseConnection(), times=100),
            limits=Limits(call=5),
            retry=Retry(attempts=20, first_delay=4),
        ) as ochy:
            with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(6):
                await ochy.start(CLIP, SideView())
        assert caught.value.phase is Phase.NOT_SENT

    in_virtual_time(scenario())


def test_a_clip_that_cannot_be_prepared_in_time_costs_nothing() -> None:
    """A source that hangs ends the start within `Limits.call`, and the error says that no credit was spent."""

    async def stream() -> AsyncGenerator[bytes]:
        await anyio.sleep_forever()
        yield CLIP

    async def scenario() -> None:
        faults = Recorded()
        async with direct_session(faults=faults, limits=Limits(call=5), preflight="errors") as ochy:
            before = anyio.current_time()
            with pytest.raises(DeadlinePassed, match="no credit was spent"):
                await ochy.start(Clip.stream(stream, name="runner.mp4", size=len(CLIP)), SideView())
            assert anyio.current_time() - before == pytest.approx(5)
        assert starts(faults) == 0

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_every_field_arrives_as_requested(emulator: Emulator, ochy: OchySession) -> None:
    """The server receives the vendor's name of every option, the safe file name and the exact bytes."""
    subject = await ochy.create_subject(name="A runner")
    request = BackView(
        height=1.82,
        weight=71.5,
        pace=timedelta(minutes=5, seconds=30),
        treadmill=True,
        language="fr",
        full_body=False,
        subject_id=subject.subject_id,
        notify_via_webhook=True,
    )
    started = await ochy.start(CLIP, request, name='../../e"vil\r\nname.MP4')
    (charge,) = emulator.service.ledger
    assert (charge.filename, charge.subject_id, charge.sha256) == ("e_vil_name.mp4", subject.subject_id, digest(CLIP))
    assert started.subject_id == subject.subject_id
    assert (await ochy.list_subject_analyses(subject.subject_id)).ids == {started.analysis_id}


@pytest.mark.anyio
async def test_a_value_that_is_not_a_request_is_refused_before_anything_is_sent(ochy: OchySession) -> None:
    """Passing the class instead of a request costs nothing."""
    with pytest.raises(InvalidRequest):
        await ochy.start(CLIP, SideView)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_a_stream_that_can_be_opened_again_is_sent_again() -> None:
    """A clip made of a function survives an interrupted upload; a bare stream raises that it cannot be sent again."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    content = CLIP * 2_500
    for source, again in ((stream, True), (stream(), False)):
        faults = on_start(DisconnectDuring(3_000))
        async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
            clip = Clip.stream(source, name="runner.mp4", size=len(content))
            if again:
                await ochy.start(clip, SideView())
                assert emulator.service.charges_of(digest(content)) == 1
            else:
                with pytest.raises(ClipUnusable, match="cannot be sent again"):
                    await ochy.start(clip, SideView())
                assert emulator.service.ledger == ()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", [LookupError("unplugged"), OSError(5, "unplugged"), TimeoutError("unplugged")], ids=repr
)
async def test_an_error_of_the_callers_stream_reaches_the_caller_unchanged(
    emulator: Emulator, ochy: OchySession, fault: Exception
) -> None:
    """The error has no frames that hold the URL, and nothing is charged."""

    async def stream() -> AsyncIterator[bytes]:
        yield CLIP
        yield CLIP
        raise fault

    with pytest.raises(type(fault), match="unplugged") as caught:
        await ochy.start(Clip.stream(stream, name="runner.mp4", size=3 * len(CLIP)), SideView())
    assert caught.value is fault
    assert leaks_in_error(fault) == []
    assert emulator.service.ledger == ()


@pytest.mark.anyio
async def test_an_error_after_the_last_byte_is_uncertain(emulator: Emulator) -> None:
    """If the client fails after the complete clip was sent, the start may have been charged."""
    events: list[Event] = []

    async def chunks() -> AsyncGenerator[bytes]:
        yield CLIP
        raise LookupError

    async with real_session(emulator, on_event=events.append) as ochy:
        with pytest.raises(UncertainStart):
            await ochy.start(Clip("runner.mp4", len(CLIP), chunks), SideView())
    assert [type(event) for event in events].count(StartUncertain) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("opened", [False, True], ids=["path", "open file"])
async def test_memory_does_not_grow_with_the_clip(emulator: Emulator, tmp_path: Path, opened: bool) -> None:
    """The largest allowed clip is sent in chunks: client and emulator together hold a fraction of it."""
    path = tmp_path / "long.mp4"
    path.write_bytes(CLIP + bytes(MAX_BYTES - len(CLIP)))
    with path.open("rb") as file:
        async with real_session(emulator) as ochy:
            await ochy.start(CLIP, SideView())  # loads everything that is loaded on first use
            tracemalloc.start()
            try:
                await ochy.start(file if opened else path, SideView())
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak < MAX_BYTES / 6


@pytest.mark.anyio
async def test_one_open_file_serves_many_starts_at_once(emulator: Emulator, ochy: OchySession, tmp_path: Path) -> None:
    """Each start reads its own bytes, and the caller's position in the file does not change."""
    path = tmp_path / "runner.mp4"
    path.write_bytes(CLIP + os.urandom(1_500_000))
    with path.open("rb") as file:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(ochy.start, file, SideView())
        assert file.tell() == 0
    assert emulator.service.charges_of(digest(path.read_bytes())) == 6


@pytest.mark.anyio
async def test_a_clip_that_cannot_be_read_raises_a_library_error(emulator: Emulator) -> None:
    """A file that is closed, or a disk that fails, during the upload raises an OchyError; nothing is charged."""
    file = BytesIO(CLIP * 2_500)

    def close(event: Event) -> None:
        if isinstance(event, BytesSent) and event.sent:
            file.close()

    async with real_session(emulator, on_event=close) as ochy:
        with pytest.raises(ClipUnusable, match="could not be read to its end"), anyio.fail_after(10):
            await ochy.start(file, SideView(), name="runner.mp4")
    assert emulator.service.ledger == ()


@pytest.mark.anyio
async def test_a_closed_session_starts_nothing() -> None:
    """A start that waits for its next attempt when the block ends is not sent."""
    faults = on_start(RetryAfter("1"))
    async with Emulator(world(), faults) as emulator, anyio.create_task_group() as tasks:

        async def late(ochy: OchySession) -> None:
            with pytest.raises(InvalidSettings, match="not open"):
                await ochy.start(CLIP, SideView())

        async with real_session(emulator) as ochy:
            tasks.start_soon(late, ochy)
            await anyio.sleep(0.3)
        assert emulator.service.ledger == ()
    assert starts(faults) == 1


def test_an_unusual_id_can_be_collected() -> None:
    """Ids are opaque: the library requests results with exactly the id that the server gave."""

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule(str(START), RespondAfter(202, b'{"video_id": "2024/ab c"}'))]))
        async with direct_session(faults=faults) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(NotFound) as caught:
                await ochy.status(started)
        assert caught.value.analysis_id == started.analysis_id == "2024/ab c"

    in_virtual_time(scenario())


def test_an_uncertain_start_is_looked_up_and_adopted_only_on_request() -> None:
    """A charged start whose answer was lost is found by its subject, adopted, and waited for."""

    async def scenario() -> None:
        service = Service(world())
        async with direct_session(service) as ochy:
            subject = (await ochy.create_subject(name="lane 1")).subject_id
            await ochy.start(CLIP + b"earlier", SideView(subject_id=subject))
        async with direct_session(service, on_start(DisconnectAfter(charged=True))) as ochy:
            known = (await ochy.list_analyses()).ids
            with pytest.raises(UncertainStart) as caught:
                await ochy.start(CLIP, SideView(subject_id=subject))
            found = await ochy.reconcile(caught.value, known=known)
            (candidate,) = found.candidates
            with pytest.raises(InvalidRequest, match="not among the candidates"):
                found.adopt("somebody-else")
            started = found.adopt(candidate.analysis_id)
            results = await ochy.wait(started)
        assert results.analysis_id == service.ledger[1].analysis_id
        assert len(service.ledger) == 2

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_another_process_can_wait_for_a_started_analysis(emulator: Emulator, ochy: OchySession) -> None:
    """The value that `start` returns survives JSON, holds no secret, and another session waits for it."""
    text = (await ochy.start(CLIP, BackView())).to_json()
    assert API_KEY not in text
    async with real_session(emulator) as other:
        results = await other.wait(Started.from_json(text))
    assert type(results).__name__ == "BackViewResults"


def test_a_start_that_is_cancelled_after_its_last_byte_emits_an_event() -> None:
    """A cancelled start raises no UncertainStart, so an event carries what a lookup needs."""

    async def scenario() -> None:
        events: list[Event] = []
        service = Service(world())
        async with direct_session(service, on_start(Delay(60, after=True)), on_event=events.append) as ochy:
            with anyio.move_on_after(10):
                await ochy.start(CLIP, SideView(), label="lane 1")
            (uncertain,) = [event for event in events if isinstance(event, StartUncertain)]
            assert uncertain.clip == "lane 1"
            found = await ochy.reconcile(uncertain.start)
        assert [each.analysis_id for each in found.candidates] == [service.ledger[0].analysis_id]

    in_virtual_time(scenario())


def test_an_accepted_start_earns_a_retry() -> None:
    """Starts earn retries like other calls: two starts are each sent again after a 429, on a budget for one."""
    faults = Recorded(FaultPlan([FaultRule(str(START), RetryAfter("1"), occurrence=number) for number in (1, 3)]))

    async def scenario() -> None:
        async with direct_session(None, faults, retry=Retry(budget=1, earned=1)) as ochy:
            await ochy.start(CLIP, SideView())
            await ochy.start(CLIP, SideView())

    in_virtual_time(scenario())
    assert starts(faults) == 4


@frozen
class EarlyHead:
    """An answer begins before the clip was read, and its body arrives over minutes."""

    status: int = 202

    def effect(self) -> FaultEffect:
        return FaultEffect(
            read_limit=0,
            reaches_service=False,
            response=lambda _: ServiceResponse(self.status, {}, b" " * 100),
            response_rate=0.5,
        )


@pytest.mark.anyio
async def test_a_start_that_is_cancelled_after_an_early_success_is_uncertain() -> None:
    """Only the head of a 202 has arrived, and the clip was not sent completely: a cancellation emits StartUncertain."""
    events: list[Event] = []
    faults = on_start(EarlyHead())
    async with Emulator(world(), faults) as emulator, real_session(emulator, on_event=events.append) as ochy:
        with anyio.move_on_after(1):
            await ochy.start(CLIP * 2_500, SideView())
    assert [type(event) for event in events].count(StartUncertain) == 1
    assert starts(faults) == 1


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "deadline"])
def test_an_early_success_is_not_bought_again(cancelled: bool) -> None:
    """Whether the batch is left or the start reaches its deadline, the next run looks it up and sends nothing."""
    journal, faults, service = MemoryJournal(), on_start(EarlyHead()), Service(world())

    async def scenario() -> None:
        async with direct_session(service, faults, limits=Limits(call=30)) as ochy:
            async with ochy.batch(SideView(), journal=journal) as batch:
                with anyio.move_on_after(10 if cancelled else 1_000):
                    assert [type(outcome) async for outcome in batch.run([CLIP])] == [Uncertain]
            async with ochy.batch(SideView(), journal=journal) as batch:
                assert [type(outcome) async for outcome in batch.run([CLIP])] == [Uncertain]

    in_virtual_time(scenario())
    assert starts(faults) == 1


@pytest.mark.parametrize(("status", "uncertain_starts"), [(199, 0), (200, 1), (299, 1), (300, 0)])
def test_only_an_early_success_is_uncertain(status: int, uncertain_starts: int) -> None:
    """The head of any other answer, before the clip was sent completely, means that the start did not happen."""
    events: list[Event] = []

    async def scenario() -> None:
        async with direct_session(None, on_start(EarlyHead(status)), on_event=events.append) as ochy:
            with anyio.move_on_after(10):
                await ochy.start(CLIP, SideView())

    in_virtual_time(scenario())
    assert [type(event) for event in events].count(StartUncertain) == uncertain_starts


@pytest.mark.anyio
async def test_a_failing_listener_does_not_harm_a_paid_analysis(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of an event listener is logged, and the start continues."""

    def broken(event: Event) -> None:
        raise asyncio.CancelledError if isinstance(event, AnalysisStarted) else ZeroDivisionError

    async with real_session(emulator, on_event=broken) as ochy:
        await ochy.start(CLIP, SideView())
    assert "the event listener failed" in caplog.text
    assert len(emulator.service.ledger) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault",
    [
        Respond(400, b'{"video_id": "a1b2c3d4", "status": "failed"}'),
        RespondAfter(500, b'{"detail": "oops", "video_id": "a1b2c3d4"}'),
        Respond(409, b'{"detail": "exists", "analysis_id": "a1b2c3d4"}'),
    ],
    ids=["failed", "500", "409"],
)
async def test_an_error_answer_with_an_analysis_id_is_uncertain(fault: Fault) -> None:
    """Whatever the status says, an analysis seems to exist: its id is in the error."""
    faults = on_start(fault)
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(UncertainStart) as caught:
            await ochy.start(CLIP, SideView())
    assert caught.value.analysis_id == "a1b2c3d4"
    assert starts(faults) == 1
