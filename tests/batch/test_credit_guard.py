"""What stops a batch from starting more analyses, and which credits come back."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from ochy_async import OchySession, SideView
from ochy_async.batch.outcomes import Unfinished
from ochy_async.emulator import Delay, DisconnectAfter, DisconnectDuring, FaultPlan, FaultRule, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import JournalDamaged, JournalError, JournalFull, KeyRefused
from ochy_async.events import AnalysisStarted, Event
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import CREATE_SUBJECT, LIST_ANALYSES, RESULTS, START
from tests.batch.test_batch import Unreadable, batched, clips, named, states, words
from tests.batch.test_unresolved import FullFor, FullForReleases
from tests.conftest import Recorded, direct_session, world

ONE_AT_A_TIME = Concurrency(uploads=1, in_flight=1)


def requests_with(*rules: FaultRule) -> Recorded:
    """Faults, and a record of all requests."""
    return Recorded(FaultPlan(list(rules)))


# --- what stops new starts ------------------------------------------------------------------------


def test_stop_starts_no_clip_that_was_already_read() -> None:
    """Clips that wait for an upload slot when `stop` is called are not started: only the first is charged."""
    service = Service(world())

    async def story() -> list[str]:
        def stop(event: Event) -> None:
            if isinstance(event, AnalysisStarted):
                batch.stop()

        ochy: OchySession = direct_session(service, on_event=stop)
        async with ochy, ochy.batch(SideView(), concurrency=Concurrency(uploads=1, in_flight=4)) as batch:
            return [outcome.word async for outcome in batch.run(clips(4))]

    assert sorted(in_virtual_time(story())) == ["analyzed", "unfinished", "unfinished", "unfinished"]
    assert len(service.ledger) == 1


def test_one_intent_that_cannot_be_stored_stops_all_starts() -> None:
    """The journal works again for the next clip, but it failed once, so nothing more is bought."""
    faults = Recorded()
    outcomes = in_virtual_time(
        batched(direct_session(faults=faults), clips(3), journal=FullFor(State.INTENDED, 1), concurrency=ONE_AT_A_TIME)
    )
    assert words(outcomes) == ["unfinished"] * 3
    assert all(isinstance(outcome, Unfinished) and isinstance(outcome.error, JournalFull) for outcome in outcomes)
    assert str(START) not in faults.routes


class UnreadableOnce(MemoryJournal):
    """A journal that cannot read the first entry that it is asked for."""

    reads = 0

    async def get(self, key: str) -> Entry | None:
        self.reads += 1
        if self.reads == 1:
            raise JournalDamaged("A row does not match its checksum.")
        return await super().get(key)


def test_one_entry_that_cannot_be_read_stops_all_starts() -> None:
    """The entry of the first clip is unreadable; the other clips are not bought either."""
    faults = Recorded()
    outcomes = in_virtual_time(
        batched(direct_session(faults=faults), clips(3), journal=UnreadableOnce(), concurrency=ONE_AT_A_TIME)
    )
    assert words(outcomes) == ["unfinished"] * 3
    assert str(START) not in faults.routes


def test_a_plan_does_not_take_an_unreadable_clip_for_a_new_one() -> None:
    """The plan raises the journal's error: it must not promise to buy a clip that may be paid for."""

    async def story() -> Any:
        async with direct_session() as ochy, ochy.batch(SideView(), journal=UnreadableOnce()) as batch:
            return await batch.plan(clips(1))

    with pytest.raises(JournalDamaged):
        in_virtual_time(story())


def test_paid_results_that_cannot_be_read_again_are_an_outcome() -> None:
    """The clip is unfinished with the journal's error, not bought again, and the other clips are not affected."""
    service, journal = Service(world()), Unreadable()
    in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    first, second = in_virtual_time(batched(direct_session(service), clips(2), journal=journal))
    assert isinstance(first, Unfinished)
    assert isinstance(first.error, JournalDamaged)
    assert (second.word, len(service.ledger)) == ("analyzed", 2)


def test_a_key_that_a_lookup_finds_refused_stops_new_starts() -> None:
    """The first start is uncertain, and its lookup gets a 403: the second clip is not started."""
    faults = requests_with(
        FaultRule(str(START), DisconnectAfter(charged=False)),
        FaultRule(str(LIST_ANALYSES), Respond(403), times=1000),
    )
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(2), concurrency=ONE_AT_A_TIME))
    assert sorted(words(outcomes)) == ["uncertain", "unfinished"]
    assert faults.routes.count(str(START)) == 1
    assert any(isinstance(outcome, Unfinished) and isinstance(outcome.error, KeyRefused) for outcome in outcomes)


def test_a_key_that_a_poll_finds_refused_stops_new_starts() -> None:
    """The first analysis is paid for, and polling it gets a 403: the second clip is not started."""
    faults = requests_with(FaultRule(str(RESULTS), Respond(403), times=1000))
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(2), concurrency=ONE_AT_A_TIME))
    assert words(outcomes) == ["unfinished"] * 2
    assert faults.routes.count(str(START)) == 1


def test_a_refusal_that_cannot_be_noted_stops_new_starts() -> None:
    """The journal cannot store the note about the refused upload: the second clip is not started."""
    service, faults = Service(world(too_long_clips={"long.mp4"})), Recorded()
    source = [named("long.mp4", 0), named("short.mp4", 1)]
    outcomes = in_virtual_time(
        batched(direct_session(service, faults), source, journal=FullForReleases(), concurrency=ONE_AT_A_TIME)
    )
    assert words(outcomes) == ["refused", "unfinished"]
    assert faults.routes.count(str(START)) == 1


# --- which credits come back ----------------------------------------------------------------------


def test_a_run_that_ends_before_an_intent_releases_its_credit() -> None:
    """The run is left while a tagging subject is being created; the next run of the batch may spend the credit."""
    faults = requests_with(FaultRule(str(CREATE_SUBJECT), Delay(60.0)))

    async def story() -> list[str]:
        settings: dict[str, Any] = {"tag_starts": True, "max_credits": 1}
        async with direct_session(faults=faults) as ochy, ochy.batch(SideView(), **settings) as batch:
            with anyio.move_on_after(10):
                assert [outcome async for outcome in batch.run(clips(1))] == []
            await anyio.sleep(100)
            assert batch.report.committed == 0
            return [outcome.word async for outcome in batch.run(clips(1))]

    assert in_virtual_time(story()) == ["analyzed"]


def test_a_retried_clip_costs_one_credit() -> None:
    """The first start certainly did not happen and the second is accepted: the third run may spend the other credit."""
    service, journal = Service(world()), MemoryJournal()
    faults = requests_with(FaultRule(str(START), DisconnectDuring(0), times=100))
    first = in_virtual_time(batched(direct_session(service, faults), clips(1), journal=journal))
    second = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    third = in_virtual_time(batched(direct_session(service), clips(2), journal=journal, max_credits=2))
    assert [words(run) for run in (first, second, third)] == [["unfinished"], ["analyzed"], ["analyzed", "analyzed"]]


def test_the_report_counts_a_start_that_a_lookup_found() -> None:
    """The answer to the only start is lost, and its analysis is found: one credit is spent, none is uncertain."""

    async def story() -> tuple[int, int, int, int]:
        faults = requests_with(FaultRule(str(START), DisconnectAfter(charged=True)))
        async with direct_session(faults=faults) as ochy, ochy.batch(SideView()) as batch:
            assert [outcome.word async for outcome in batch.run(clips(1))] == ["analyzed"]
            report = batch.report
            return report.spent, report.charged, report.committed, report.uncertain

    assert in_virtual_time(story()) == (1, 1, 1, 0)


def test_the_report_counts_what_earlier_runs_have_spent() -> None:
    """`charged` is certain and `committed` the most: with an uncertain start, and with a clip that was bought twice."""
    service, journal, reports = Service(world()), MemoryJournal(), list[tuple[int, int]]()

    async def run(count: int, faults: Recorded | None = None, *, again: bool = False) -> None:
        async with direct_session(service, faults) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            reports.append((batch.report.charged, batch.report.committed))
            assert not again or (await batch.reopen(clips(count))).clips == count
            assert len([outcome async for outcome in batch.run(clips(count))]) == count

    in_virtual_time(run(2))
    in_virtual_time(run(3, requests_with(FaultRule(str(START), DisconnectAfter(charged=False)))))
    in_virtual_time(run(2, again=True))
    in_virtual_time(run(3))
    assert reports == [(0, 0), (2, 2), (2, 3), (4, 5)]


# --- what is stored in spite of a cancellation ----------------------------------------------------


class SlowToStore(MemoryJournal):
    """A journal that takes a second to store an entry of one state, and says when it begins."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state, self.storing = state, anyio.Event()

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        if entry.state is self.state:
            self.storing.set()
            await anyio.sleep(1)
        return await super().put(entry, results)


@pytest.mark.parametrize("state", [State.STARTED, State.ANALYZED])
def test_what_a_cancelled_batch_was_storing_is_stored(state: State) -> None:
    """The paid id, or the results, are on their way to the disk when the cancellation comes."""

    async def story() -> dict[State, int]:
        journal = SlowToStore(state)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(batched, direct_session(), clips(1), journal=journal))
            await journal.storing.wait()
            tasks.cancel_scope.cancel()
        return await states(journal)

    assert in_virtual_time(story()) == {state: 1}


def test_a_cancelled_batch_stores_a_paid_id_at_last() -> None:
    """The journal was full when the start was accepted, and the batch is cancelled while the analysis is polled."""
    service, journal = Service(world(analysis_seconds=(500.0, 500.0))), FullFor(State.STARTED, 1)

    async def story() -> dict[State, int]:
        with anyio.move_on_after(60):
            await batched(direct_session(service), clips(1), journal=journal)
        return await states(journal)

    assert in_virtual_time(story()) == {State.STARTED: 1}


class StoresAndFails(MemoryJournal):
    """A journal that reports an error for the first paid id although it has stored it."""

    failed = False

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        stored = await super().put(entry, results)
        if entry.state is State.STARTED and not self.failed:
            self.failed = True
            raise JournalError("The change may be stored or not.")
        return stored


def test_a_paid_id_that_was_stored_after_all_is_not_stored_twice() -> None:
    """The results go on top of it, and the history has each state once."""
    journal = StoresAndFails()
    (outcome,) = in_virtual_time(batched(direct_session(), clips(1), journal=journal))
    assert outcome.word == "analyzed"

    async def history() -> list[State]:
        async with journal:
            return [each.state for each in await journal.history(str(outcome.key))]

    assert in_virtual_time(history()) == [State.INTENDED, State.STARTED, State.ANALYZED]


# --- what is stored of a refused upload -----------------------------------------------------------


class SlowToNote(MemoryJournal):
    """A journal that takes a second to store the note of a released start, and says when it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.noting = anyio.Event()

    async def set_note(self, name: str, value: str) -> None:
        if name.startswith("released:"):
            self.noting.set()
            await anyio.sleep(1)
        await super().set_note(name, value)


def test_a_refused_upload_is_stored_even_if_the_batch_is_cancelled() -> None:
    """The cancellation comes while the note is written: the clip is refused, not uncertain, for the next run."""
    service = Service(world(too_long_clips={"long.mp4"}))

    async def story() -> tuple[dict[State, int], int]:
        journal = SlowToNote()

        async def run() -> None:
            await batched(direct_session(service), [named("long.mp4", 0)], journal=journal)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await journal.noting.wait()
            tasks.cancel_scope.cancel()
        found = await states(journal)
        async with journal:
            return found, len(await journal.notes("released:"))

    assert in_virtual_time(story()) == ({State.REFUSED: 1}, 1)


def test_the_tagging_subject_of_a_refused_request_is_not_used_again() -> None:
    """A 422 may have left an analysis on the subject: the next start of the run is tagged with another one."""
    faults = requests_with(FaultRule(str(START), Respond(422, b'{"detail": "no"}')))
    settings: dict[str, Any] = {"tag_starts": True, "concurrency": ONE_AT_A_TIME}
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(2), **settings))
    assert sorted(words(outcomes)) == ["analyzed", "refused"]
    assert faults.routes.count(str(CREATE_SUBJECT)) == 2
