"""Starting an analysis: what is sent again, what never is, and what is left when nobody knows."""

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
    InvalidRequest,
    InvalidSettings,
    KeyRefused,
    NotFound,
    OchyError,
    Phase,
    RateLimited,
    RequestRefused,
)
from ochy_async.events import AnalysisStarted, BytesSent, Event, Retried, StartUncertain
from ochy_async.journal.memory import MemoryJournal
from ochy_async.protocol.routes import START
from ochy_async.protocol.video_limits import MAX_BYTES
from tests.conftest import CLIP, Recorded, direct_session, real_session, world
from tests.support.canary import API_KEY, leaks_in_error


def on_start(fault: Fault, times: int = 1) -> Recorded:
    """The first `times` starts meet a fault; every request is remembered."""
    return Recorded(FaultPlan([FaultRule(str(START), fault, times=times)]))


def starts(faults: Recorded) -> int:
    """How many POSTs of a start arrived."""
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
    ("302 after acting", Redirect("/elsewhere", status=302, acts=True)),
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
    """On any doubt there is exactly one POST, and an UncertainStart that names clip, window and subject."""
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
async def test_a_start_that_surely_did_not_happen_is_sent_again_whole(fault: Fault) -> None:
    """A start that was cut short or turned away for its rate is tried anew with the whole body, and charged once."""
    content = CLIP * 2_500  # larger than all that the network buffers take at once
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
    assert isinstance(events[-1], AnalysisStarted)


def digest(content: bytes) -> str:
    """The hex digest by which the emulator's ledger knows a clip."""
    from hashlib import sha256

    return sha256(content).hexdigest()


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_tried_until_the_attempts_are_spent() -> None:
    """Without a connection nothing was sent: the error says so and the start may be repeated."""
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
async def test_a_refused_start_is_told_by_its_reason_and_not_repeated(fault: Fault, error: type[OchyError]) -> None:
    """A documented refusal is an error of its own class after a single POST."""
    faults = on_start(fault, times=5)
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(error) as caught:
            await ochy.start(CLIP, SideView())
    assert type(caught.value) is error
    assert caught.value.route == str(START)
    assert starts(faults) == 1


@pytest.mark.anyio
async def test_a_long_retry_after_is_an_error_at_once() -> None:
    """A server that asks for two hours gets no sleep: the error carries what it asked for."""
    faults = on_start(RetryAfter("7200"))
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(RateLimited) as caught, anyio.fail_after(5):
            await ochy.start(CLIP, SideView())
    assert caught.value.retry_after == 7200
    assert starts(faults) == 1


@pytest.mark.anyio
async def test_an_answer_before_the_body_is_whole_stops_the_upload() -> None:
    """A 503 that comes while the body is still on its way proves that the start did not happen."""
    content = CLIP * 800
    faults = on_start(Respond(503, early=True))
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        await ochy.start(content, SideView())
        assert emulator.service.charges_of(digest(content)) == 1
    assert starts(faults) == 2


def test_a_start_without_an_answer_is_uncertain_at_the_deadline() -> None:
    """When the deadline passes after the last byte, nobody knows: it is not sent again."""

    async def story() -> None:
        service = Service(world())
        faults = on_start(Delay(10_000, after=True))
        async with direct_session(service, faults, limits=Limits(call=30)) as ochy:
            before = anyio.current_time()
            with pytest.raises(UncertainStart, match=r"not done within [0-9.]+ s\. The start of"):
                await ochy.start(CLIP, SideView())
            assert 30 <= anyio.current_time() - before < 32
        assert starts(faults) == 1

    in_virtual_time(story())


def test_a_start_that_never_left_ends_within_its_deadline() -> None:
    """When time runs out while nothing was sent, the error is the harmless one."""

    async def story() -> None:
        async with direct_session(
            faults=on_start(RefuseConnection(), times=100),
            limits=Limits(call=5),
            retry=Retry(attempts=20, first_delay=4),
        ) as ochy:
            with pytest.raises(ConnectionFailed) as caught, anyio.fail_after(6):
                await ochy.start(CLIP, SideView())
        assert caught.value.phase is Phase.NOT_SENT

    in_virtual_time(story())


@pytest.mark.anyio
async def test_every_field_arrives_as_it_was_asked(emulator: Emulator, ochy: OchySession) -> None:
    """The server sees the vendor's spelling of every option, the safe name and the exact bytes."""
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
async def test_a_request_that_is_none_is_refused_before_anything_is_sent(ochy: OchySession) -> None:
    """Passing the class instead of a request is a mistake that costs nothing."""
    with pytest.raises(InvalidRequest):
        await ochy.start(CLIP, SideView)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_a_stream_that_can_be_opened_again_is_sent_again() -> None:
    """A clip made of a function survives a broken upload; a bare stream says that it cannot."""

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
async def test_what_the_callers_stream_raises_is_what_the_caller_gets(
    emulator: Emulator, ochy: OchySession, fault: Exception
) -> None:
    """A fault of the caller's own stream comes back as it is, without frames that know the URL; nothing is charged."""

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
async def test_a_fault_after_the_last_byte_is_uncertain(emulator: Emulator) -> None:
    """Whatever goes wrong on our own side once the clip was handed over, the start may have been charged."""
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
    """The largest clip there is goes through in chunks: a fraction of it is ever held, the server's side included."""
    path = tmp_path / "long.mp4"
    path.write_bytes(CLIP + bytes(MAX_BYTES - len(CLIP)))
    with path.open("rb") as file:
        async with real_session(emulator) as ochy:
            await ochy.start(CLIP, SideView())  # what is loaded late is not what is measured
            tracemalloc.start()
            try:
                await ochy.start(file if opened else path, SideView())
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak < MAX_BYTES / 6


@pytest.mark.anyio
async def test_one_open_file_serves_many_starts_at_once(emulator: Emulator, ochy: OchySession, tmp_path: Path) -> None:
    """Each start reads its own bytes, and the caller's position in the file stays where it is."""
    path = tmp_path / "runner.mp4"
    path.write_bytes(CLIP + os.urandom(1_500_000))
    with path.open("rb") as file:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(ochy.start, file, SideView())
        assert file.tell() == 0
    assert emulator.service.charges_of(digest(path.read_bytes())) == 6


@pytest.mark.anyio
async def test_a_clip_that_cannot_be_read_is_told_as_such(emulator: Emulator, ochy: OchySession) -> None:
    """A file that is closed, or a disk that fails, in the middle is an error of ours; nothing is charged."""
    file = BytesIO(CLIP * 2_500)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                with pytest.raises(ClipUnusable, match="could not be read to its end"):
                    await ochy.start(file, SideView(), name="runner.mp4")

            tasks.start_soon(start)
            await anyio.sleep(0.02)
            file.close()
    assert emulator.service.ledger == ()


@pytest.mark.anyio
async def test_a_session_that_was_left_starts_nothing_more() -> None:
    """A start that is still waiting for its next attempt when the block ends is not sent any more."""
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


def test_an_odd_id_can_be_collected() -> None:
    """Ids are opaque: whatever the server gives is what it is asked for."""

    async def story() -> None:
        faults = Recorded(FaultPlan([FaultRule(str(START), RespondAfter(202, b'{"video_id": "2024/ab c"}'))]))
        async with direct_session(faults=faults) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(NotFound) as caught:
                await ochy.status(started)
        assert caught.value.analysis_id == started.analysis_id == "2024/ab c"

    in_virtual_time(story())


def test_an_uncertain_start_is_looked_up_and_adopted_only_on_request() -> None:
    """A charged start whose answer was lost is found by its subject, adopted, and waited for."""

    async def story() -> None:
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

    in_virtual_time(story())


@pytest.mark.anyio
async def test_a_started_analysis_is_picked_up_by_another_process(emulator: Emulator, ochy: OchySession) -> None:
    """What `start` returns goes through JSON, without a secret in it, and is waited for by another session."""
    text = (await ochy.start(CLIP, BackView())).to_json()
    assert API_KEY not in text
    async with real_session(emulator) as other:
        results = await other.wait(Started.from_json(text))
    assert type(results).__name__ == "BackViewResults"


def test_a_start_that_is_cancelled_after_its_last_byte_is_told() -> None:
    """Whoever cancels a start loses its answer, so an event tells what a lookup needs."""

    async def story() -> None:
        events: list[Event] = []
        service = Service(world())
        async with direct_session(service, on_start(Delay(60, after=True)), on_event=events.append) as ochy:
            with anyio.move_on_after(10):
                await ochy.start(CLIP, SideView(), label="lane 1")
            (told,) = [event for event in events if isinstance(event, StartUncertain)]
            assert told.clip == "lane 1"
            found = await ochy.reconcile(told.start)
        assert [each.analysis_id for each in found.candidates] == [service.ledger[0].analysis_id]

    in_virtual_time(story())


def test_an_accepted_start_gives_a_retry_back() -> None:
    """Starts earn like other calls: each of two is sent again after a 429, on a budget for one."""
    faults = Recorded(FaultPlan([FaultRule(str(START), RetryAfter("1"), occurrence=number) for number in (1, 3)]))

    async def story() -> None:
        async with direct_session(None, faults, retry=Retry(budget=1, earned=1)) as ochy:
            await ochy.start(CLIP, SideView())
            await ochy.start(CLIP, SideView())

    in_virtual_time(story())
    assert starts(faults) == 4


@frozen
class EarlyHead:
    """An answer begins before the clip was read, and its body trickles for minutes."""

    status: int = 202

    def effect(self) -> FaultEffect:
        return FaultEffect(
            read=0, acts=False, answer=lambda _: ServiceResponse(self.status, {}, b" " * 100), answer_rate=0.5
        )


@pytest.mark.anyio
async def test_an_early_success_is_uncertain_for_who_cancels_it() -> None:
    """Only the head of a 202 has come, and the clip was not whole: who cancels then is told of the doubt."""
    events: list[Event] = []
    faults = on_start(EarlyHead())
    async with Emulator(world(), faults) as emulator, real_session(emulator, on_event=events.append) as ochy:
        with anyio.move_on_after(1):
            await ochy.start(CLIP * 2_500, SideView())
    assert [type(event) for event in events].count(StartUncertain) == 1
    assert starts(faults) == 1


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "deadline"])
def test_an_early_success_is_not_bought_again(cancelled: bool) -> None:
    """Whether the batch is left or the start runs into its deadline: the next run looks it up and sends nothing."""
    journal, faults, service = MemoryJournal(), on_start(EarlyHead()), Service(world())

    async def story() -> None:
        async with direct_session(service, faults, limits=Limits(call=30)) as ochy:
            async with ochy.batch(SideView(), journal=journal) as batch:
                with anyio.move_on_after(10 if cancelled else 1_000):
                    assert [type(outcome) async for outcome in batch.run([CLIP])] == [Uncertain]
            async with ochy.batch(SideView(), journal=journal) as batch:
                assert [type(outcome) async for outcome in batch.run([CLIP])] == [Uncertain]

    in_virtual_time(story())
    assert starts(faults) == 1


@pytest.mark.parametrize(("status", "doubts"), [(199, 0), (200, 1), (299, 1), (300, 0)])
def test_only_a_success_that_comes_early_is_a_doubt(status: int, doubts: int) -> None:
    """The head of any other answer, before the clip was whole, leaves the start as it was: not happened."""
    events: list[Event] = []

    async def story() -> None:
        async with direct_session(None, on_start(EarlyHead(status)), on_event=events.append) as ochy:
            with anyio.move_on_after(10):
                await ochy.start(CLIP, SideView())

    in_virtual_time(story())
    assert [type(event) for event in events].count(StartUncertain) == doubts


@pytest.mark.anyio
async def test_a_failing_listener_does_not_harm_a_paid_analysis(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """What an event listener raises is logged; the start goes on."""

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
async def test_an_error_that_names_an_analysis_is_uncertain_and_passes_its_id_on(fault: Fault) -> None:
    """Whatever the status says, an analysis seems to exist: its id is in the error."""
    faults = on_start(fault)
    async with Emulator(world(), faults) as emulator, real_session(emulator) as ochy:
        with pytest.raises(UncertainStart) as caught:
            await ochy.start(CLIP, SideView())
    assert caught.value.analysis_id == "a1b2c3d4"
    assert starts(faults) == 1
