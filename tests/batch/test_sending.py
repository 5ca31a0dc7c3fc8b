"""Tests of the state `SENDING`: what a process leaves behind that ends during an upload, and what a failing journal
keeps from being sent."""

# The tests read private state of the journal in memory.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from ochy_async import Clip, OchySession, Retry, SideView
from ochy_async.batch.outcomes import Outcome, Uncertain, Unfinished
from ochy_async.emulator import DisconnectAfter, DisconnectDuring, Emulator, FaultRule, Respond, RetryAfter, Service
from ochy_async.emulator.in_process import InProcessTransport
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import JournalConflict, JournalError, JournalFull
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import CREATE_SUBJECT, LIST_ANALYSES, START
from tests.conftest import Recorded, direct_session, loop_clock, real_session, world
from tests.support.batches import (
    ONE_AT_A_TIME,
    FullFor,
    batched,
    charges,
    clip,
    clips,
    on_start,
    requests_with,
    states,
    words,
)
from tests.support.canary import API_KEY
from tests.support.listener import answer, listening


def left_behind(journal: MemoryJournal) -> MemoryJournal:
    """The journal as a process leaves it that is killed now."""
    left = copy.deepcopy(journal)
    left._worker = None
    return left


def history_of(journal: MemoryJournal) -> list[State]:
    """The states of the only entry, oldest first."""
    (history,) = journal._store.history.values()
    return [each.state for each in history]


class Watched(MemoryJournal):
    """A journal that keeps a copy of itself for each moment at which a process may be killed, and every token."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[State, MemoryJournal] = {}
        self.tokens: list[str | None] = []

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        self.copies[entry.state] = left_behind(self)
        if entry.state is State.SENDING:
            self.tokens.append(entry.token)
        return stored

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryJournal:
        left = MemoryJournal()
        left._store = copy.deepcopy(self._store, memo)
        return left


def killed_in(state: State, **settings: Any) -> MemoryJournal:
    """The journal of a batch of one clip that was killed after it had stored a state."""
    journal = Watched()
    in_virtual_time(batched(direct_session(), clips(1), journal=journal, **settings))
    return journal.copies[state]


# --- what a killed process leaves -----------------------------------------------------------------


def test_sending_is_stored_between_intent_and_id() -> None:
    """The states of a clip that is analyzed at the first attempt."""
    journal = MemoryJournal()
    in_virtual_time(batched(direct_session(), clips(1), journal=journal))
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.STARTED, State.ANALYZED]


def test_a_process_that_is_killed_during_an_upload_leaves_no_doubt() -> None:
    """The next run opens the clip and buys it; nothing is looked up, and one credit counts."""
    journal, faults, service = killed_in(State.INTENDED), Recorded(), Service(world())
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), journal=journal))
    assert (outcome.word, charges(service)) == ("analyzed", [1])
    assert history_of(journal)[:3] == [State.INTENDED, State.OPEN, State.INTENDED]
    assert str(LIST_ANALYSES) not in faults.routes
    (entry,) = journal._store.entries.values()
    assert entry.credits == 1


def test_a_process_that_is_killed_at_the_last_chunk_leaves_a_doubt() -> None:
    """The next run looks the start up and does not send it again."""
    journal, faults = killed_in(State.SENDING), Recorded()
    (outcome,) = in_virtual_time(batched(direct_session(faults=faults), clips(1), journal=journal))
    assert isinstance(outcome, Uncertain)
    assert str(START) not in faults.routes
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.UNCERTAIN]


def test_a_plan_buys_what_was_left_unsent() -> None:
    """A clip whose upload was killed is to be bought; one whose last chunk may have left is uncertain."""

    async def planned(journal: MemoryJournal) -> tuple[int, int]:
        async with direct_session() as ochy, ochy.batch(SideView(), journal=journal) as batch:
            plan = await batch.plan(clips(1))
        return plan.to_buy, plan.uncertain

    assert in_virtual_time(planned(killed_in(State.INTENDED))) == (1, 0)
    assert in_virtual_time(planned(killed_in(State.SENDING))) == (0, 1)


@pytest.mark.parametrize(("state", "spent"), [(State.INTENDED, 0), (State.SENDING, 1)])
def test_a_start_that_was_left_unsent_does_not_count_as_spent(state: State, spent: int) -> None:
    """Neither for the report nor for `max_credits`: another clip may have its credit, if the limit is one."""

    journal = killed_in(state)

    async def story() -> tuple[int, str]:
        settings: dict[str, Any] = {"journal": journal, "max_credits": 1}
        async with direct_session() as ochy, ochy.batch(SideView(), **settings) as batch:
            committed = batch.report.committed
            (outcome,) = [each async for each in batch.run([clip(7)])]
        return committed, outcome.word

    assert in_virtual_time(story()) == (spent, "unfinished" if spent else "analyzed")


@pytest.mark.parametrize(("state", "new"), [(State.INTENDED, 0), (State.SENDING, 1)])
def test_the_tagging_subject_of_a_start_that_was_left_unsent_is_used_again(state: State, new: int) -> None:
    """Nothing can be linked to it by that start, once it is opened. The subject of a start in doubt is not used."""
    service, journal = Service(world()), Watched()
    settings: dict[str, Any] = {"tag_starts": True, "concurrency": ONE_AT_A_TIME}
    in_virtual_time(batched(direct_session(service), clips(1), journal=journal, **settings))
    faults, again = Recorded(), [clip(7)] if new else [clip(0), clip(7)]
    in_virtual_time(batched(direct_session(service, faults), again, journal=journal.copies[state], **settings))
    assert faults.routes.count(str(CREATE_SUBJECT)) == new


def test_another_clip_that_is_only_intended_does_not_compete_for_an_analysis() -> None:
    """The answer to one start is lost while the upload of another is under way: the analysis is the first one's."""
    service, journal = Service(world()), MemoryJournal()
    at_lookup: list[set[State]] = []

    class Faults(Recorded):
        def fault_for(self, route: str, count: int) -> Any:
            if route == str(LIST_ANALYSES):
                at_lookup.append({each.state for each in journal._store.entries.values()})
            return super().fault_for(route, count)

    async def slow() -> AsyncGenerator[bytes]:
        uploading.append(True)
        if len(uploading) > 1:  # the first time it is hashed
            await anyio.sleep(30)
        yield clip(1)

    uploading = list[bool]()
    faults = Faults(on_start(DisconnectAfter(charged=True)))
    source = [clip(0), Clip.stream(slow, name="slow.mp4", size=300)]
    outcomes = in_virtual_time(batched(direct_session(service, faults), source, journal=journal))
    assert at_lookup == [{State.INTENDED, State.UNCERTAIN}]  # the first lookup found it
    assert (words(outcomes), charges(service)) == (["analyzed"] * 2, [1, 1])


# --- what the journal cannot store is not sent ----------------------------------------------------


def test_a_clip_whose_permission_cannot_be_stored_is_not_sent() -> None:
    """The upload is cut short, no credit is spent, nothing else is started, and the next run buys the clip."""
    service, journal = Service(world()), FullFor(State.SENDING, 1)
    outcomes = in_virtual_time(batched(direct_session(service), clips(2), journal=journal, concurrency=ONE_AT_A_TIME))
    assert words(outcomes) == ["unfinished"] * 2
    assert service.ledger == ()
    (first, _) = outcomes
    assert isinstance(first, Unfinished)
    assert isinstance(first.error, JournalFull)
    assert "was not sent completely and no credit was spent. The disk is full." in first.reason
    assert in_virtual_time(states(journal)) == {State.OPEN: 1}
    again = in_virtual_time(batched(direct_session(service), clips(2), journal=journal))
    assert (words(again), charges(service)) == (["analyzed"] * 2, [1, 1])


def test_a_clip_whose_entry_somebody_else_changed_is_not_sent() -> None:
    """The compare-and-set fails: whoever changed the entry decides, and this process sends no last chunk."""

    class ChangedMeanwhile(MemoryJournal):
        async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
            if entry.state is State.SENDING:
                await super().put(evolve(self._store.entries[entry.key], state=State.OPEN, credits=0))
            return await super().put(entry, results, most=most)

    service, journal = Service(world()), ChangedMeanwhile()
    (outcome,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert isinstance(outcome, Unfinished)
    assert isinstance(outcome.error, JournalConflict)
    assert service.ledger == ()
    assert set(history_of(journal)) == {State.INTENDED, State.OPEN}


class Unsure(MemoryJournal):
    """A journal that stores one change to a state, and says that it may be stored or not."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state: State | None = state

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        if entry.state is self.state:
            self.state = None
            raise JournalError("The change may be stored or not.")
        return stored


def test_a_permission_that_may_be_stored_leaves_no_doubt() -> None:
    """The chunk was not sent, and the entry has this attempt's token: the clip is open again, not uncertain."""
    service, journal = Service(world()), Unsure(State.SENDING)
    (outcome,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert (outcome.word, service.ledger) == ("unfinished", ())
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.OPEN]


def test_a_permission_that_another_attempt_was_given_is_left_alone() -> None:
    """The stored `SENDING` has another token, so it is another process that may have sent the clip: it is looked up."""

    class Taken(MemoryJournal):
        async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
            if entry.state is State.SENDING:
                await super().put(evolve(entry, token="of somebody else"))
                raise JournalError("The change may be stored or not.")
            return await super().put(entry, results, most=most)

    journal = Taken()
    in_virtual_time(batched(direct_session(), clips(1), journal=journal))
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.UNCERTAIN]


# --- several attempts -----------------------------------------------------------------------------


def test_each_attempt_has_a_token_of_its_own() -> None:
    """Two attempts are refused because of the rate. In between, a kill leaves no doubt."""
    journal = Watched()
    faults = on_start(RetryAfter("1"), times=2)
    (outcome,) = in_virtual_time(batched(direct_session(faults=faults), clips(1), journal=journal))
    sent = [State.INTENDED, State.SENDING]
    assert history_of(journal) == [*sent * 3, State.STARTED, State.ANALYZED]
    assert outcome.word == "analyzed"
    assert None not in journal.tokens
    assert len(set(journal.tokens)) == 3


def test_an_attempt_that_is_cut_short_stores_nothing() -> None:
    """The connection breaks before the last chunk: the intent holds for the next attempt, too."""
    journal = MemoryJournal()
    in_virtual_time(batched(direct_session(faults=on_start(DisconnectDuring(0))), clips(1), journal=journal))
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.STARTED, State.ANALYZED]


def test_a_start_is_not_repeated_if_its_withdrawal_cannot_be_stored() -> None:
    """After a 429 the entry stays `SENDING`: without a second attempt the start surely did not happen."""

    class FullForWithdrawals(MemoryJournal):
        async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
            if entry.state is State.INTENDED and entry.key in self._store.entries:
                raise JournalFull("The disk is full.")
            return await super().put(entry, results, most=most)

    faults, journal, service = on_start(RetryAfter("1")), FullForWithdrawals(), Service(world())
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), journal=journal))
    assert (outcome.word, faults.routes.count(str(START)), service.ledger) == ("unfinished", 1, ())
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.OPEN]


def test_a_refused_start_ends_from_sending() -> None:
    """Its last chunk was sent, and the answer says that nothing was started."""
    journal, faults = MemoryJournal(), requests_with(FaultRule(str(START), Respond(403)))
    in_virtual_time(batched(direct_session(faults=faults), clips(1), journal=journal))
    assert history_of(journal) == [State.INTENDED, State.SENDING, State.OPEN]


# --- while it waits for the journal ---------------------------------------------------------------


class SlowDisk(SqliteJournal):
    """A journal on a disk that is busy when the first `SENDING` is to be stored, until `ready` is called."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.busy = anyio.Event()

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is State.SENDING and not self.busy.is_set():
            self._store_lock.acquire()
            self.busy.set()
        return await super().put(entry, results, most=most)

    def ready(self) -> None:
        self._store_lock.release()


@pytest.mark.anyio
async def test_nothing_but_the_upload_waits_for_the_disk(tmp_path: Path) -> None:
    """The event loop runs, the clip's file is closed, and no thread waits but that of the journal."""
    path, journal = tmp_path / "runner.mp4", SlowDisk(tmp_path / "clips.journal")
    path.write_bytes(clip(0))
    outcomes = list[Outcome[Any, Any]]()
    async with Emulator(world(), speed=50) as emulator, anyio.create_task_group() as tasks:

        async def run() -> None:
            outcomes.extend(await batched(real_session(emulator), [path], journal=journal))

        tasks.start_soon(run)
        await journal.busy.wait()
        try:
            async with real_session(emulator) as other:
                assert not (await other.list_analyses()).analyses  # the loop and other requests go on
            assert emulator.service.ledger == ()
            assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            assert str(path) not in open_files()
        finally:
            journal.ready()
    assert words(outcomes) == ["analyzed"]


def open_files() -> list[str]:
    """The paths of the files that this process has open, where the system has /proc."""
    found = list[str]()
    for link in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found.append(str(link.readlink()))
    return found


# --- interrupted while it waits for the journal ---------------------------------------------------


class SlowToPermit(SqliteJournal):
    """A journal on the disk that stores the first `SENDING` and returns only when somebody interrupts the caller."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stored, self.tokens = anyio.Event(), list[str | None]()

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        if entry.state is State.SENDING:
            self.tokens.append(entry.token)
            if len(self.tokens) == 1:
                self.stored.set()
                await anyio.sleep_forever()
        return stored


@pytest.mark.anyio
async def test_an_upload_that_breaks_while_it_waits_is_sent_again(tmp_path: Path) -> None:
    """The server answers early, so aiohttp cancels the task that waits for the journal: the change is recognized."""
    journal = SlowToPermit(tmp_path / "clips.journal")
    async with listening() as listener:
        listener.early, listener.answer_early = [answer(503, b"{}")], journal.stored
        ochy = OchySession(base_url=listener.url, retry=Retry(first_delay=0.01))
        (outcome,) = await batched(ochy, clips(1), journal=journal, timeout=0.1)
    assert (outcome.analysis_id, listener.complete, len(listener.bodies)) == ("a1", 1, 2)
    async with journal:
        found = [each.state for each in await journal.history(str(outcome.key))]
    sent = [State.INTENDED, State.SENDING]
    assert found == [*sent * 2, State.STARTED]
    assert len(set(journal.tokens)) == 2


@pytest.mark.anyio
async def test_a_batch_that_is_left_while_it_waits_leaves_no_doubt(tmp_path: Path) -> None:
    """The last chunk has not left: the clip is open, although its permission was stored."""
    journal = SlowToPermit(tmp_path / "clips.journal")

    async def run() -> None:
        await batched(real_session(emulator), clips(1), journal=journal)

    async with Emulator(world(), speed=50) as emulator:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await journal.stored.wait()
            tasks.cancel_scope.cancel()
        assert emulator.service.ledger == ()
    async with journal:
        assert (await journal.totals()).entries == {State.OPEN: 1}


def everything() -> None:
    """Cancels all tasks, as `asyncio.run` does at its end: that goes through every shield."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize("shielded", [True, False], ids=["the batch", "every task"])
def test_a_start_may_be_cancelled_at_any_await(shielded: bool) -> None:
    """The clip is charged once or not at all, and is in doubt only if its end may have been sent."""

    async def cancelled(at: int, service: Service, journal: MemoryJournal) -> None:
        ochy = OchySession(transport=InProcessTransport(service, api_key=API_KEY), clock=loop_clock)
        batch = asyncio.ensure_future(batched(ochy, clips(1), journal=journal))
        while not journal._store.entries:  # noqa: ASYNC110 - the iterations from then on count
            await asyncio.sleep(0)
        for _ in range(at):
            await asyncio.sleep(0)
        if shielded:
            batch.cancel()
        else:
            everything()
        await asyncio.gather(batch, return_exceptions=True)

    seen = set[tuple[State, ...]]()
    for at in range(1_000):
        service, journal = Service(world()), Watched()
        in_virtual_time(cancelled(at, service, journal))
        states_ = tuple(history_of(journal))
        seen.add(states_)
        assert State.UNCERTAIN not in states_ or State.SENDING in states_
        assert not shielded or not {State.INTENDED, State.SENDING} & set(states_[-1:])
        journal._worker = None
        (outcome,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
        assert sum(charges(service)) <= 1
        assert outcome.word in ("analyzed", "uncertain")
        if states_[-1:] == (State.STARTED,):
            break
    assert {(State.INTENDED, State.OPEN), (State.INTENDED, State.SENDING, State.STARTED)} <= seen
