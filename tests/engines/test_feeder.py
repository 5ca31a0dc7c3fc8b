"""A feeder gives every job a result: the outcome of its clip, or `unfinished` if the batch did not finish it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anyio import Event, fail_after

from ochy_async import OchySession, PostgresJournal, Retry, SideView
from ochy_async.batch.outcomes import Outcome
from ochy_async.emulator import Emulator, FaultPlan, FaultRule, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.engines import Job, JobFeeder
from ochy_async.errors import InvalidRequest, InvalidSettings, JournalUnusable
from ochy_async.events import AnalysisStarted
from ochy_async.journal.contract import Entry
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import LIST_ANALYSES, START
from tests.conftest import CLIP, direct_session, real_session, world

pytestmark = pytest.mark.anyio
Shown = list[Outcome[Any, Any]]


def jobs(folder: Path, count: int) -> list[Job]:
    """Jobs for clips of different content."""
    for number in range(count):
        (folder / f"{number}.mp4").write_bytes(CLIP + bytes([number]))
    return [Job(str(folder / f"{number}.mp4"), SideView(), {"number": str(number)}) for number in range(count)]


async def test_each_job_gets_the_outcome_of_its_own_clip(ochy: OchySession, tmp_path: Path) -> None:
    """In whatever order they end. `on_outcome` gets the results and the job's own texts."""
    shown: Shown = []
    async with JobFeeder(ochy.batch(journal=MemoryJournal()), on_outcome=shown.append) as feeder:
        given = jobs(tmp_path, 5)
        results = await asyncio.gather(*map(feeder.run, given))
        again = await feeder.run(given[0])
    assert [each.clip for each in results] == [each.clip for each in given]
    assert {each.outcome for each in results} == {"analyzed"}
    assert len({each.analysis_id for each in results}) == 5
    assert (again.analysis_id, again.bought, results[0].bought) == (results[0].analysis_id, False, True)
    assert sorted(each.extra["number"] for each in shown) == ["0", "0", "1", "2", "3", "4"]


async def test_a_stopped_feeder_finishes_what_is_under_way_and_takes_nothing_more(
    ochy: OchySession, tmp_path: Path
) -> None:
    """Jobs that the batch has not taken, and later ones, are unfinished."""
    one = Concurrency(uploads=1, in_flight=1)
    async with JobFeeder(ochy.batch(journal=MemoryJournal(), concurrency=one)) as feeder:
        given = jobs(tmp_path, 40)
        running = [asyncio.create_task(feeder.run(job)) for job in given]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        feeder.stop()
        with fail_after(60):
            results = await asyncio.gather(*running)
            await feeder.ended.wait()
        late = await feeder.run(given[0])
    assert {each.outcome for each in results} == {"analyzed", "unfinished"}
    assert (late.outcome, late.is_final) == ("unfinished", False)


async def test_a_cancelled_feeder_leaves_no_job_waiting(tmp_path: Path) -> None:
    """What was paid for is in the journal: another batch collects it."""
    settings = world(analysis_seconds=(1000, 1000), queue_seconds=0)
    started = Event()

    def listen(event: object) -> None:
        if isinstance(event, AnalysisStarted):
            started.set()

    async with Emulator(settings) as emulator, real_session(emulator, on_event=listen) as ochy:
        feeder = await JobFeeder(ochy.batch(journal=MemoryJournal())).open()
        running = asyncio.create_task(feeder.run(jobs(tmp_path, 1)[0]))
        with fail_after(60):
            await started.wait()
            feeder.cancel()
            assert (await running).outcome == "unfinished"
            await feeder.aclose()


async def test_a_caller_that_is_cancelled_leaves_its_clip_in_the_batch(
    emulator: Emulator, ochy: OchySession, tmp_path: Path
) -> None:
    """An engine may give a job up; the clip is finished and in the journal."""
    async with JobFeeder(ochy.batch(journal=MemoryJournal())) as feeder:
        (job,) = jobs(tmp_path, 1)
        running = asyncio.create_task(feeder.run(job))
        await asyncio.sleep(0.01)
        running.cancel()
        with fail_after(60):
            again = await feeder.run(job)
    assert (again.outcome, len(emulator.service.ledger)) == ("analyzed", 1)


async def test_a_limit_on_credits_is_told(ochy: OchySession, tmp_path: Path) -> None:
    """The worker of an engine should then stop, or it would bring the same jobs back again and again."""
    async with JobFeeder(ochy.batch(journal=MemoryJournal(), max_credits=1)) as feeder:
        first, second = jobs(tmp_path, 2)
        assert (await feeder.run(first)).outcome == "analyzed"
        assert feeder.refuses == ""
        assert (await feeder.run(second)).outcome == "unfinished"
        assert "limit of 1 credit" in feeder.refuses


async def test_a_limit_is_told_only_until_a_clip_is_started_again(tmp_path: Path) -> None:
    """A start that did not happen gives its credit back. What ends differently afterwards has nothing to do with it."""
    busy = FaultRule(str(START), Respond(429, headers={"retry-after": "1"}), times=2)
    twice, both = Retry(attempts=2, first_delay=0.01), Concurrency(uploads=2)
    async with (
        Emulator(world(), FaultPlan([busy]), speed=50) as emulator,
        real_session(emulator, retry=twice) as ochy,
        JobFeeder(ochy.batch(journal=MemoryJournal(), max_credits=1, concurrency=both)) as feeder,
    ):
        first, second, third = jobs(tmp_path, 3)
        (tmp_path / "empty.mp4").write_bytes(b"")
        waiting = asyncio.create_task(feeder.run(first))
        with fail_after(60):
            while not feeder.batch.report.committed:  # noqa: ASYNC110 - another task changes it
                await asyncio.sleep(0.01)
        assert (await feeder.run(second)).outcome == "unfinished"
        assert "limit of 1 credit" in feeder.refuses
        assert (await waiting).outcome == "unfinished"
        assert (await feeder.run(third)).outcome == "analyzed"
        assert feeder.refuses == ""
        assert (await feeder.run(Job(str(tmp_path / "empty.mp4"), SideView()))).outcome == "refused"
        assert feeder.refuses == ""
        assert (await feeder.run(second)).outcome == "unfinished"
        assert "limit of 1 credit" in feeder.refuses


def test_a_failover_that_goes_on_is_told(tmp_path: Path) -> None:
    """So that the worker of an engine takes no more jobs, which it could not finish."""
    store = MemoryStore(failover=True)
    unreachable = FaultPlan([FaultRule(str(LIST_ANALYSES), Respond(503), times=10_000)])

    async def story() -> None:
        async with MemoryJournal(store) as journal:
            now = datetime.now(UTC)
            await journal.put(Entry(key="k", state=State.INTENDED, view="side_view", credits=1, at=now, earliest=now))
        async with (
            direct_session(Service(world()), unreachable) as ochy,
            JobFeeder(ochy.batch(journal=MemoryJournal(store))) as feeder,
        ):
            assert (await feeder.run(jobs(tmp_path, 1)[0])).outcome == "unfinished"
            assert "another server of the journal's database" in feeder.refuses

    in_virtual_time(story())


async def test_a_batch_that_cannot_be_entered_raises_its_error(ochy: OchySession) -> None:
    """As entering the batch itself does. A feeder is opened once."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    journal = PostgresJournal("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(Exception, match="Check that the server runs"):
        await JobFeeder(ochy.batch(journal=journal)).open()
    async with JobFeeder(ochy.batch(journal=MemoryJournal())) as feeder:
        with pytest.raises(InvalidSettings, match="only once"):
            await feeder.open()


async def test_an_object_that_is_gone_is_refused(ochy: OchySession, tmp_path: Path) -> None:
    """As in a batch. A URL that names no video is a fault of the job."""
    pytest.importorskip("obstore", reason="needs the extra objects: obstore is not installed")
    shown: Shown = []
    async with JobFeeder(ochy.batch(journal=MemoryJournal()), on_outcome=shown.append) as feeder:
        gone = await feeder.run(Job(f"file://{tmp_path}/gone.mp4", SideView()))
        assert (gone.outcome, gone.is_final) == ("refused", True)
        assert "deleted" in gone.reason
        with pytest.raises(InvalidRequest, match="names no video"):
            await feeder.run(Job(f"file://{tmp_path}", SideView()))
    assert [each.word for each in shown] == ["refused"]


async def test_a_path_that_is_not_on_this_machine_is_unfinished(
    ochy: OchySession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its share may not be mounted here; another worker may have it."""
    async with JobFeeder(ochy.batch(journal=MemoryJournal())) as feeder:
        away = await feeder.run(Job(str(tmp_path / "away" / "a.mp4"), SideView()))
    assert (away.outcome, away.is_final) == ("unfinished", False)
    assert "is not on this machine" in away.reason
    assert away.reason in caplog.text


async def test_what_ends_the_batch_ends_the_feeder(ochy: OchySession, tmp_path: Path) -> None:
    """The job is unfinished, and closing the feeder raises the error."""

    def fail(_: object) -> None:
        raise JournalUnusable("the disk is gone")

    feeder = await JobFeeder(ochy.batch(journal=MemoryJournal()), on_outcome=fail).open()
    with fail_after(60):
        assert (await feeder.run(jobs(tmp_path, 1)[0])).outcome == "unfinished"
        await feeder.ended.wait()
    with pytest.raises(JournalUnusable, match="the disk is gone"):
        await feeder.aclose()


async def test_a_feeder_hands_over_without_waiting_for_an_analysis(tmp_path: Path) -> None:
    """The job is unfinished, so that its engine gives it to another worker, and nothing is charged again for it."""
    settings = world(analysis_seconds=(1000, 1000), queue_seconds=0)
    started = Event()

    def listen(event: object) -> None:
        if isinstance(event, AnalysisStarted):
            started.set()

    async with (
        Emulator(settings) as emulator,
        real_session(emulator, on_event=listen) as ochy,
        JobFeeder(ochy.batch(journal=MemoryJournal())) as feeder,
    ):
        running = asyncio.create_task(feeder.run(jobs(tmp_path, 1)[0]))
        with fail_after(60):
            await started.wait()
            feeder.stop()
            feeder.stop(hand_over=True)
            result = await running
            await feeder.ended.wait()
    assert (result.outcome, result.is_final, len(emulator.service.ledger)) == ("unfinished", False, 1)
