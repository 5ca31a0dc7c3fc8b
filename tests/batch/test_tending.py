"""Tests of `Batch.tend`: what killed workers and earlier runs left is finished without the clips, and never bought."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import OchySession, SideView
from ochy_async.emulator import Emulator, FaultRule, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.journal.contract import LEASE, Entry, Journal, StoredResults
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import RESULTS, START
from tests.batch.test_workers import credits_of, killed_in, run_of, states_of, together
from tests.conftest import Recorded, direct_session, real_session, world
from tests.support.batches import Outcomes, charges, clips, requests_with, words

ALL_LEFT = (State.INTENDED, State.SENDING, State.STARTED)


async def tended(service: Service, journal: Journal, *, after: float = 0.0, **settings: Any) -> Outcomes:
    """The outcomes of a worker that tends after so many seconds."""
    await anyio.sleep(after)
    faults = settings.pop("faults", None)
    async with direct_session(service, faults) as ochy, ochy.batch(journal=journal, **settings) as batch:
        return [each async for each in batch.tend()]


def after_a_kill(state: State, **settings: Any) -> tuple[Service, MemoryStore, Recorded, Outcomes]:
    """A worker is killed after it has stored a state for one clip; another one tends once its lease has ended."""
    service, store, faults = Service(world()), MemoryStore(), Recorded()

    async def story() -> Outcomes:
        await killed_in(service, store, state, clips(1))
        return await tended(service, MemoryJournal(store), after=LEASE + 1, faults=faults, **settings)

    return service, store, faults, in_virtual_time(story())


# --- several workers ------------------------------------------------------------------------------


def test_an_analysis_that_a_dead_worker_paid_for_is_collected() -> None:
    """Its results are stored, and its outcome has the facts of the entry. Nothing is sent or bought."""
    service, store, faults, (outcome,) = after_a_kill(State.STARTED)
    assert (outcome.word, outcome.bought, outcome.request.view) == ("analyzed", False, "side_view")
    assert (outcome.label, outcome.clip) == ("clip 1", "clip 1")
    assert (charges(service), credits_of(store)) == ([1], 1)
    assert states_of(store) == Counter({State.ANALYZED: 1})
    assert str(START) not in faults.routes
    assert store.claims == {}


def test_a_start_that_a_dead_worker_may_have_sent_stays_uncertain() -> None:
    """It is looked up, its credit stays counted, and a later run with the clip does not send it either."""
    service, store, faults, (outcome,) = after_a_kill(State.SENDING)
    assert (outcome.word, getattr(outcome, "size", None)) == ("uncertain", 0)
    assert "bytes)" not in str(outcome)
    assert states_of(store) == Counter({State.UNCERTAIN: 1})
    later = in_virtual_time(run_of(service, MemoryJournal(store), clips(1), faults=faults))
    assert words(later) == ["uncertain"]
    assert str(START) not in faults.routes
    assert (charges(service), credits_of(store)) == ([], 1)


def test_a_start_that_was_not_sent_completely_gives_its_credit_back() -> None:
    """It has no outcome, and the next run buys the clip once."""
    service, store, faults, outcomes = after_a_kill(State.INTENDED)
    assert (outcomes, credits_of(store)) == ([], 0)
    assert states_of(store) == Counter({State.OPEN: 1})
    assert str(START) not in faults.routes
    assert words(in_virtual_time(run_of(service, MemoryJournal(store), clips(1), max_credits=1))) == ["analyzed"]


@pytest.mark.parametrize("state", ALL_LEFT)
def test_a_clip_that_a_live_worker_holds_is_left_alone(state: State) -> None:
    """Whatever the state of its entry, it is neither polled nor changed before the lease has ended."""
    service, store, faults = Service(world()), MemoryStore(), Recorded()

    async def story() -> tuple[Outcomes, list[Entry]]:
        await killed_in(service, store, state, clips(1))
        before = list(store.entries.values())
        return await tended(service, MemoryJournal(store), faults=faults), before

    outcomes, before = in_virtual_time(story())
    assert outcomes == []
    assert list(store.entries.values()) == before
    assert faults.routes == []


def test_a_worker_at_work_is_not_disturbed() -> None:
    """It finishes what it has begun while another one tends again and again."""
    service, store = Service(world()), MemoryStore()

    async def tend_often() -> int:
        return sum([len(await tended(service, MemoryJournal(store), after=0.2)) for _ in range(30)])

    outcomes, told = in_virtual_time(together(run_of(service, MemoryJournal(store), clips(5)), tend_often()))
    assert words(outcomes) == ["analyzed"] * 5
    assert (charges(service), told, credits_of(store)) == ([1] * 5, 0, 5)


def test_two_workers_that_tend_collect_each_analysis_once() -> None:
    """Each analysis has one outcome, of one of them."""
    service, store = Service(world()), MemoryStore()

    async def story() -> list[Outcomes]:
        async with (
            direct_session(service) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store)) as batch,
            anyio.create_task_group() as group,
        ):
            group.start_soon(hand_over_once_paid_for, batch)
            await outcomes_of(batch.run(clips(6)))
        return await together(*(tended(service, MemoryJournal(store)) for _ in range(2)))

    async def hand_over_once_paid_for(batch: Any) -> None:
        while states_of(store)[State.STARTED] < 6:  # noqa: ASYNC110 - virtual time
            await anyio.sleep(0.01)
        batch.stop(hand_over=True)

    one, other = in_virtual_time(story())
    assert words(one + other) == ["analyzed"] * 6
    assert (charges(service), states_of(store)) == ([1] * 6, Counter({State.ANALYZED: 6}))


def test_a_batch_that_runs_is_not_disturbed_by_its_own_tending() -> None:
    """Also in a journal of one worker, where nothing is claimed."""
    service, journal = Service(world()), MemoryJournal()

    async def story() -> list[Outcomes]:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            return await together(outcomes_of(batch.run(clips(3))), tend_often(batch))

    async def tend_often(batch: Any) -> Outcomes:
        found: Outcomes = []
        for _ in range(30):
            await anyio.sleep(0.2)
            found += await outcomes_of(batch.tend())
        return found

    ran, told = in_virtual_time(story())
    assert (words(ran), told, charges(service)) == (["analyzed"] * 3, [], [1] * 3)


async def outcomes_of(source: Any) -> Outcomes:
    return [each async for each in source]


# --- one worker -----------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends."""


class KilledIn(SqliteJournal):
    """A journal in a file whose process is killed after it has stored a state for the first time."""

    state: State
    dead = False

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if self.dead:
            raise Killed
        stored = await super().put(entry, results, most=most)
        if entry.state is self.state:
            self.dead = True
            raise Killed
        return stored


@pytest.mark.parametrize(
    ("state", "outcomes", "after"),
    [
        (State.INTENDED, [], State.OPEN),
        (State.SENDING, ["uncertain"], State.UNCERTAIN),
        (State.STARTED, ["analyzed"], State.ANALYZED),
    ],
)
@pytest.mark.anyio
async def test_a_journal_in_a_file_is_tended_after_a_kill(
    emulator: Emulator, tmp_path: Path, state: State, outcomes: list[str], after: State
) -> None:
    """The folder gets rows, as in a batch, and nothing is sent."""
    killed, out = KilledIn(tmp_path / "clips.journal"), tmp_path / "out"
    killed.state = state
    with suppress(BaseException):  # what a kill looks like depends on where it happened
        await outcomes_of_run(emulator, killed)
    starts = emulator.service.count(str(START))
    journal, told = SqliteJournal(tmp_path / "clips.journal"), Outcomes()
    async with (
        real_session(emulator) as ochy,
        ochy.batch(journal=journal, out=out) as batch,
        anyio.create_task_group() as group,
    ):
        group.start_soon(stop_once_uncertain, batch)
        told = await outcomes_of(batch.tend())
        group.cancel_scope.cancel()
    async with SqliteJournal(tmp_path / "clips.journal") as journal:
        totals = await journal.totals()
    assert (words(told), Counter(totals.entries)) == (outcomes, Counter({after: 1}))
    assert totals.committed == int(state is not State.INTENDED)
    assert emulator.service.count(str(START)) == starts
    assert [each["outcome"] for each in rows(out)] == outcomes
    assert all(each["height_m"] is None and each["index"] is None for each in rows(out))


async def stop_once_uncertain(batch: Any) -> None:
    """Ends the lookups, which would go on for minutes."""
    while not batch.report.uncertain:  # noqa: ASYNC110 - until cancelled
        await anyio.sleep(0.02)
    batch.stop()


async def outcomes_of_run(emulator: Emulator, journal: Journal) -> Outcomes:
    async with real_session(emulator) as ochy, ochy.batch(SideView(), journal=journal) as batch:
        return await outcomes_of(batch.run(clips(1)))


def rows(out: Path) -> list[dict[str, Any]]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_row_of_an_earlier_run_keeps_what_it_says_about_the_clip(tmp_path: Path) -> None:
    """The height and the name are those of the run that bought the clip."""
    service, store, out = Service(world()), MemoryStore(), tmp_path / "out"

    async def story() -> None:
        await run_of(service, MemoryJournal(store), [(clips(1)[0], SideView(height=1.6))], timeout=0.0, out=out)
        assert [each["outcome"] for each in rows(out)] == ["unfinished"]
        await tended(service, MemoryJournal(store), out=out)

    in_virtual_time(story())
    (row,) = rows(out)
    assert (row["outcome"], row["height_m"], row["index"], row["clip"]) == ("analyzed", 1.6, 0, "clip 1")


def test_nothing_left_gives_no_outcome() -> None:
    """Finished clips are not read."""
    service, store = Service(world()), MemoryStore()
    in_virtual_time(run_of(service, MemoryJournal(store), clips(2)))
    faults = Recorded()
    assert in_virtual_time(tended(service, MemoryJournal(store), faults=faults)) == []
    assert faults.routes == []


def test_an_analysis_that_cannot_be_polled_is_unfinished() -> None:
    """It stays paid for, and tending again collects it."""
    service, store = Service(world()), MemoryStore()
    refused = requests_with(FaultRule(str(RESULTS), Respond(401), times=99))

    async def story() -> tuple[Outcomes, Outcomes]:
        await killed_in(service, store, State.STARTED, clips(1))
        first = await tended(service, MemoryJournal(store), after=LEASE + 1, faults=refused)
        return first, await tended(service, MemoryJournal(store))

    first, second = in_virtual_time(story())
    assert (words(first), words(second)) == (["unfinished"], ["analyzed"])
    assert first[0].analysis_id == second[0].analysis_id


def test_a_batch_that_is_asked_to_stop_takes_nothing_more() -> None:
    """What it has not taken stays as it is."""
    service, store = Service(world()), MemoryStore()

    async def story(ochy: OchySession) -> Outcomes:
        async with ochy, ochy.batch(journal=MemoryJournal(store)) as batch:
            batch.stop(hand_over=True)
            return await outcomes_of(batch.tend())

    async def killed_before() -> Outcomes:
        await killed_in(service, store, State.STARTED, clips(1))
        await anyio.sleep(LEASE + 1)
        return await story(direct_session(service))

    assert words(in_virtual_time(killed_before())) in ([], ["unfinished"])
    assert states_of(store) == Counter({State.STARTED: 1})
