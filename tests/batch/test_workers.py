"""Tests of several workers that share a journal: each batch is a worker, and every clip is charged once."""

# The tests read private state of the journal in memory.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest
from attrs import evolve

from ochy_async import OchySession, SideView
from ochy_async.batch import resolve
from ochy_async.batch.workers import MOST_CLOCK_ERROR
from ochy_async.emulator import DisconnectAfter, Fault, FaultRule, InProcessTransport, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import JournalBusy, JournalConflict, JournalError, JournalUnusable, LimitReached
from ochy_async.journal.contract import BEAT, LEASE, Ceilings, Entry, Journal, StoredResults
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import INITIAL_IN_FLIGHT, Concurrency
from ochy_async.policy.reconciliation import LISTING_PAUSE
from ochy_async.protocol.routes import LIST_ANALYSES, RESULTS, START
from tests.conftest import Recorded, direct_session, loop_clock, real_session, world
from tests.support.batches import Outcomes, SlowClip, charges, clip, clips, requests_with, words
from tests.support.postgres_journals import PostgresPlace

POLLS = str(RESULTS)


class Paused(MemoryJournal):
    """A worker that stands still, past its lease, before it stores a state for the first time."""

    def __init__(self, store: MemoryStore, state: State, seconds: float = 3 * LEASE, *, after: bool = False) -> None:
        super().__init__(store)
        self.state: State | None = state
        self.seconds, self.after = seconds, after

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        pause, self.state = entry.state is self.state, None if entry.state is self.state else self.state
        if pause and not self.after:
            await self._stand_still()
        stored = await super().put(entry, results, most=most)
        if pause and self.after:
            await self._stand_still()
        return stored

    async def _stand_still(self) -> None:
        assert self._worker is not None
        self._store.leases[self._worker] = 0.0  # for the others, its time is over at once
        self.beats = False
        with anyio.CancelScope(shield=True):
            await anyio.sleep(self.seconds)

    beats = True

    async def beat(self) -> float:
        return await super().beat() if self.beats else 0.0


async def run_of(service: Service, journal: Journal, source: Any, *, after: float = 0.0, **settings: Any) -> Outcomes:
    """The outcomes of one worker that begins after so many seconds."""
    await anyio.sleep(after)
    faults = settings.pop("faults", None)
    async with direct_session(service, faults) as ochy, ochy.batch(SideView(), journal=journal, **settings) as batch:
        return sorted([each async for each in batch.run(source)], key=lambda each: each.index)


async def together(*runs: Any) -> list[Any]:
    """The results of several coroutines that run at the same time."""
    results: dict[int, Any] = {}

    async def run(index: int, each: Any) -> None:
        results[index] = await each

    async with anyio.create_task_group() as group:
        for index, each in enumerate(runs):
            group.start_soon(run, index, each)
    return [results[index] for index in range(len(runs))]


def states_of(store: MemoryStore) -> Counter[State]:
    return Counter(entry.state for entry in store.entries.values())


def bought(outcomes: Outcomes) -> int:
    return sum(outcome.bought for outcome in outcomes)


def credits_of(store: MemoryStore) -> int:
    return sum(entry.credits for entry in store.entries.values())


# --- the same clips -------------------------------------------------------------------------------


def test_two_workers_with_the_same_clips_buy_each_once() -> None:
    """Both get the outcome of every clip; one of them has bought it."""
    service, store = Service(world()), MemoryStore()
    one, other = in_virtual_time(together(*(run_of(service, MemoryJournal(store), clips(6)) for _ in range(2))))
    assert words(one) == words(other) == ["analyzed"] * 6
    assert charges(service) == [1] * 6
    assert bought(one) + bought(other) == 6
    assert [each.analysis_id for each in one] == [each.analysis_id for each in other]
    assert credits_of(store) == 6
    assert store.claims == {}


@pytest.mark.anyio
async def test_two_workers_on_postgres_buy_each_clip_once(request: pytest.FixtureRequest, emulator: Any) -> None:
    """Both get the outcome of every clip."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")
    place = PostgresPlace(request.getfixturevalue("postgres_server"))

    async def run() -> Outcomes:
        async with real_session(emulator) as ochy, ochy.batch(SideView(), journal=place.worker()) as batch:
            return sorted([each async for each in batch.run(clips(4))], key=lambda each: each.index)

    one, other = await together(run(), run())
    assert words(one) == words(other) == ["analyzed"] * 4
    assert charges(emulator.service) == [1] * 4
    assert bought(one) + bought(other) == 4
    assert (await place.query("SELECT count(*) FROM {schema}.claims"))[0][0] == 0


def test_a_refused_clip_is_sent_by_one_worker() -> None:
    """Both are told that the server refused it, also if refused clips of earlier runs are sent again."""
    service, store = Service(world()), MemoryStore()
    faults = requests_with(FaultRule(str(START), Respond(413), times=9))
    runs = (run_of(service, MemoryJournal(store), clips(1), faults=faults, retry_refused=True) for _ in range(2))
    assert [words(each) for each in in_virtual_time(together(*runs))] == [["refused"]] * 2
    assert faults.routes.count(str(START)) == 1


def test_finished_clips_are_collected_without_a_claim() -> None:
    """A later run reads the entry and the results, and asks for nothing else."""
    service, store = Service(world()), MemoryStore()
    in_virtual_time(run_of(service, MemoryJournal(store), clips(2)))

    class Unclaimed(MemoryJournal):
        async def take(self, *names: str) -> str | None:
            raise AssertionError(names)

    assert words(in_virtual_time(run_of(service, Unclaimed(store), clips(2)))) == ["analyzed"] * 2


def test_a_journal_of_one_worker_is_asked_nothing_more() -> None:
    """Neither claims nor beats."""

    class Alone(MemoryJournal):
        async def take(self, *names: str) -> str | None:
            raise AssertionError(names)

        async def leave(self, name: str) -> None:
            raise AssertionError(name)

        async def pause(self, seconds: float) -> None:
            raise AssertionError(seconds)

    assert words(in_virtual_time(run_of(Service(world()), Alone(), clips(2)))) == ["analyzed"] * 2


# --- workers that stand still or die --------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("state", [State.INTENDED, State.SENDING])
def test_a_worker_that_stood_still_buys_nothing_twice(state: State, after: bool) -> None:
    """Its lease ends around the upload, and another worker takes the clip over: whoever sends, the other does not."""
    service, store = Service(world()), MemoryStore()
    paused = run_of(service, Paused(store, state, after=after), clips(1))
    other = run_of(service, MemoryJournal(store), clips(1), after=1.0)
    one, two = in_virtual_time(together(paused, other))
    assert charges(service) == [1] or (state is State.SENDING and charges(service) == [])
    assert bought(one) + bought(two) == len(charges(service))
    assert one[0].word in ("analyzed", "uncertain", "unfinished")
    if state is State.INTENDED:
        assert words(one) == words(two) == ["analyzed"]
    assert credits_of(store) == 1 or not charges(service)


def test_results_are_stored_once() -> None:
    """A worker that stood still before it stored them finds that another one has."""
    service, store = Service(world()), MemoryStore()
    late = run_of(service, Paused(store, State.ANALYZED), clips(1))
    both = in_virtual_time(together(late, run_of(service, MemoryJournal(store), clips(1), after=1.0)))
    assert [words(each) for each in both] == [["analyzed"]] * 2
    (history,) = store.history.values()
    assert [each.state for each in history].count(State.ANALYZED) == 1


def test_an_id_that_comes_late_is_stored_and_collected() -> None:
    """A worker stands still between the last chunk and the answer, and another makes the start uncertain: the answer
    resolves it."""
    service, store = Service(world()), MemoryStore()
    paused = run_of(service, Paused(store, State.STARTED), clips(1))
    other = run_of(service, MemoryJournal(store), clips(1), after=1.0)
    one, two = in_virtual_time(together(paused, other))
    assert charges(service) == [1]
    assert words(one) == ["analyzed"]
    assert two[0].word in ("analyzed", "uncertain")
    assert (credits_of(store), states_of(store)) == (1, Counter({State.ANALYZED: 1}))


async def killed_in(service: Service, store: MemoryStore, state: State, source: Any, **settings: Any) -> None:
    """Leaves behind what a worker leaves that is killed after it has stored a state. Its lease has not ended yet."""
    journal = MemoryJournal(store)

    class Killed(BaseException):
        pass

    async def put(entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if dead:
            raise Killed
        stored = await MemoryJournal.put(journal, entry, results, most=most)
        if entry.state is state:
            dead.append(dict(store.claims))
            leases.update(store.leases)
            raise Killed
        return stored

    dead: list[dict[str, str]] = []
    leases: dict[str, float] = {}
    journal.put = put  # type: ignore[method-assign]  # only for this worker
    with suppress(BaseException):  # what a kill looks like depends on where it happened
        await run_of(service, journal, source, **settings)
    store.claims.update(dead[0])
    store.leases.update(leases)


def test_an_orphan_is_opened_once_its_lease_has_ended() -> None:
    """A worker was killed during the upload: another one waits for the end of its lease, then buys the clip once."""
    service, store = Service(world()), MemoryStore()

    async def story() -> Outcomes:
        await killed_in(service, store, State.INTENDED, clips(1))
        assert states_of(store) == Counter({State.INTENDED: 1})
        return await run_of(service, MemoryJournal(store), clips(1))

    assert words(in_virtual_time(story())) == ["analyzed"]
    assert (charges(service), credits_of(store)) == ([1], 1)


def test_an_orphan_that_may_have_been_sent_is_looked_up() -> None:
    """A worker was killed after `SENDING`: nobody sends the clip again."""
    service, store, faults = Service(world()), MemoryStore(), Recorded()

    async def story() -> Outcomes:
        await killed_in(service, store, State.SENDING, clips(1))
        return await run_of(service, MemoryJournal(store), clips(1), faults=faults)

    assert words(in_virtual_time(story())) == ["uncertain"]
    assert str(START) not in faults.routes
    assert (credits_of(store), states_of(store)) == (1, Counter({State.UNCERTAIN: 1}))


# --- the limit ------------------------------------------------------------------------------------


def test_a_start_that_is_resolved_while_it_is_looked_up_is_not_uncertain() -> None:
    """Somebody adopts the analysis, which no lookup can find: its results are the outcome."""
    service, store = Service(world(listing_lag=10_000.0)), MemoryStore()
    lost = requests_with(FaultRule(str(START), DisconnectAfter(charged=True)))

    async def adopt() -> None:
        await anyio.sleep(20.0)
        async with MemoryJournal(store) as journal:
            await resolve.adopt(journal, next(iter(store.entries)), service.ledger[0].analysis_id or "")

    found, _ = in_virtual_time(together(run_of(service, MemoryJournal(store), clips(1), faults=lost), adopt()))
    assert words(found) == ["analyzed"]


def test_two_workers_share_a_limit() -> None:
    """Together they buy as many clips as `max_credits` allows."""
    service, store = Service(world()), MemoryStore()
    runs = [
        run_of(service, MemoryJournal(store), [clip(place + 2 * n) for n in range(5)], max_credits=3)
        for place in range(2)
    ]
    one, other = in_virtual_time(together(*runs))
    assert Counter(words(one) + words(other)) == Counter(analyzed=3, unfinished=7)
    assert charges(service) == [1] * 3
    assert credits_of(store) == 3
    assert "limit of 3 credits" in str(next(each for each in one + other if each.word == "unfinished"))


def test_a_limit_is_kept_by_a_worker_that_stood_still() -> None:
    """The credit of its intent is free only once the intent was opened; then it may not send any more."""
    service, store = Service(world()), MemoryStore()
    paused = run_of(service, Paused(store, State.SENDING), [clip(1)], max_credits=1)
    other = run_of(service, MemoryJournal(store), [clip(2)], after=1.0, max_credits=1)
    one, two = in_virtual_time(together(paused, other))
    assert charges(service) == [1]
    assert sorted(words(one) + words(two)) == ["analyzed", "unfinished"]
    assert credits_of(store) == 1


def test_the_credit_of_a_dead_worker_is_given_back() -> None:
    """Another clip may have it after the lease has ended."""
    service, store = Service(world()), MemoryStore()

    async def story() -> Outcomes:
        await killed_in(service, store, State.INTENDED, clips(1))
        await anyio.sleep(LEASE)
        return await run_of(service, MemoryJournal(store), [clip(7)], max_credits=1)

    assert words(in_virtual_time(story())) == ["analyzed"]
    assert credits_of(store) == 1


def test_all_workers_wait_for_credits() -> None:
    """What the server tells one of them, the others do not ask again."""
    service, store = Service(world()), MemoryStore()
    out_of_credits = requests_with(FaultRule(str(START), Respond(402)))

    async def timed(run: Any) -> tuple[list[str], float]:
        began = anyio.current_time()
        return words(await run), anyio.current_time() - began

    one = run_of(service, MemoryJournal(store), [clip(1)], faults=out_of_credits, wait_for_credits=600.0)
    other = run_of(service, MemoryJournal(store), [clip(2)], after=5.0)
    ended = in_virtual_time(together(timed(one), timed(other)))
    assert [each for each, _ in ended] == [["analyzed"]] * 2
    assert all(seconds >= 50.0 for _, seconds in ended)


# --- ceilings ---------------------------------------------------------------------------------------


def test_all_workers_together_keep_the_ceiling_of_uploads() -> None:
    """Two workers with different clips upload two at a time, and no more; alone each would upload more."""
    service, store = Service(world()), MemoryStore(ceilings=Ceilings(uploads=2))
    SlowClip.under_way = SlowClip.most = 0
    halves = [[SlowClip(number, 5.0).clip for number in numbers] for numbers in (range(6), range(6, 12))]
    ended = in_virtual_time(together(*(run_of(service, MemoryJournal(store), half) for half in halves)))
    assert [words(each) for each in ended] == [["analyzed"] * 6] * 2
    assert SlowClip.most == 2
    assert store.claims == {}


def test_the_slot_of_a_dead_worker_is_free_again() -> None:
    """Once its lease has ended."""
    service, store = Service(world()), MemoryStore(ceilings=Ceilings(uploads=1))
    store.leases["dead"], store.claims["upload:0"] = LEASE, "dead"
    (outcome,) = in_virtual_time(run_of(service, MemoryJournal(store), [clip(1)]))
    assert outcome.word == "analyzed"


class Polled:
    """Records when polls are made."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def fault_for(self, route: str, _: int) -> Respond | None:
        if route == POLLS:
            self.moments.append(anyio.current_time())
        return None


def test_all_workers_together_keep_the_ceiling_of_polls() -> None:
    """A poll each second for two workers; alone each would poll up to ten times a second."""
    service, store, polled = Service(world()), MemoryStore(ceilings=Ceilings(polls_per_second=1.0)), Polled()
    both = (
        run_of(service, MemoryJournal(store), map(clip, numbers), faults=polled) for numbers in (range(8), range(8, 16))
    )
    assert [words(each) for each in in_virtual_time(together(*both))] == [["analyzed"] * 8] * 2
    moments = sorted(polled.moments)
    assert len(moments) >= 16
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(moments))


class RefusesOnce(Polled):
    """Records when polls are made, and answers the third one with 429 and a minute's pause."""

    def fault_for(self, route: str, _: int) -> Respond | None:
        super().fault_for(route, _)
        return Respond(429, headers={"Retry-After": "60"}) if route == POLLS and len(self.moments) == 3 else None


def test_polls_that_the_server_made_wait_keep_the_ceiling_afterwards() -> None:
    """After a pause each poll takes its turn again: those that waited do not come at once."""
    polled, store = RefusesOnce(), MemoryStore(ceilings=Ceilings(polls_per_second=0.2))
    service = Service(world(analysis_seconds=(100.0, 200.0)))
    in_virtual_time(run_of(service, MemoryJournal(store), clips(6), faults=polled))
    apart = [later - earlier for earlier, later in pairwise(polled.moments)]
    assert max(apart) > 20.0
    assert min(apart) >= 4.99


class ForgetsPolls(MemoryJournal):
    """A journal that fails where polls are reserved."""

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        raise JournalError(f"{name}: {count} of {per_second}")


def test_a_journal_that_fails_delays_no_poll() -> None:
    """What is paid for is collected all the same."""
    store = MemoryStore(ceilings=Ceilings(polls_per_second=0.001))
    assert words(in_virtual_time(run_of(Service(world()), ForgetsPolls(store), clips(3)))) == ["analyzed"] * 3


class HangsAtPolls(MemoryJournal):
    """A journal whose database does not answer, where polls are reserved."""

    asked = 0

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        type(self).asked += 1
        await anyio.sleep(5)
        raise JournalError(f"{name}: {count} of {per_second}")


def test_polls_do_not_wait_for_a_journal_again_and_again() -> None:
    """Polls reserve their turn one after the other, so a database that does not answer is left alone for a while."""
    store = MemoryStore(ceilings=Ceilings(polls_per_second=0.001))
    took: list[float] = []

    async def scenario() -> Outcomes:
        began = anyio.current_time()
        found = await run_of(Service(world(concurrent_analyses=30)), HangsAtPolls(store), clips(30))
        took.append(anyio.current_time() - began)
        return found

    assert words(in_virtual_time(scenario())) == ["analyzed"] * 30
    assert took[0] < 120
    assert HangsAtPolls.asked <= 10


# --- tagging subjects -----------------------------------------------------------------------------


class Conflicts(MemoryJournal):
    """Counts the changes that were refused."""

    refused = 0

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        try:
            return await super().put(entry, results, most=most)
        except JournalConflict:
            type(self).refused += 1
            raise


@pytest.mark.parametrize("earlier", [0, 4])
def test_workers_do_not_share_a_tagging_subject(earlier: int) -> None:
    """Each claims those that it uses, so that no intent is refused; they remain for later runs."""
    service, store = Service(world()), MemoryStore()
    Conflicts.refused = 0

    async def story() -> list[Outcomes]:
        await run_of(service, MemoryJournal(store), [clip(90 + each) for each in range(earlier)], tag_starts=True)
        runs = [[clip(place + 2 * n) for n in range(8)] for place in range(2)]
        return await together(*(run_of(service, Conflicts(store), each, tag_starts=True) for each in runs))

    one, other = in_virtual_time(story())
    assert words(one) == words(other) == ["analyzed"] * 8
    assert (Conflicts.refused, store.claims) == (0, {})
    assert set(store.subjects.values()) == {True}


def test_a_subject_that_was_retired_by_another_worker_is_not_used() -> None:
    """An analysis of a refused upload may still appear under it."""
    service, store = Service(world()), MemoryStore()

    async def story() -> Outcomes:
        await run_of(service, MemoryJournal(store), [clip(1)], tag_starts=True)
        (subject_id,) = store.subjects
        async with (
            direct_session(service) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store), tag_starts=True) as batch,
        ):
            store.subjects[subject_id] = False  # after the batch has read it
            outcomes = [each async for each in batch.run([clip(2)])]
        assert len({entry.subject_id for entry in store.entries.values()}) == 2
        return outcomes

    assert words(in_virtual_time(story())) == ["analyzed"]


def test_a_subject_that_was_retired_while_a_worker_had_it_is_not_used() -> None:
    """The worker may have missed its lease, so that another one used the subject: the journal refuses the intent."""
    service, store = Service(world()), MemoryStore()

    async def story() -> Outcomes:
        async with (
            direct_session(service) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store), tag_starts=True) as batch,
        ):
            outcomes = [each async for each in batch.run([clip(1)])]
            store.subjects.update(dict.fromkeys(store.subjects, False))
            return [*outcomes, *[each async for each in batch.run([clip(2)])]]

    assert words(in_virtual_time(story())) == ["analyzed"] * 2
    assert len({charge.subject_id for charge in service.ledger}) == 2
    assert list(store.subjects.values()) == [False, True]


async def uncertain_at_another_worker(service: Service, store: MemoryStore) -> None:
    """Another worker makes a tagging subject, and its start stays uncertain; it was not charged. Then another program
    of the account starts an analysis."""
    faults = requests_with(FaultRule(str(START), DisconnectAfter(charged=False), times=1))
    outcomes = await run_of(service, MemoryJournal(store), [clip(1)], faults=faults, tag_starts=True)
    assert words(outcomes) == ["uncertain"]
    async with direct_session(service) as ochy:
        await ochy.start(clip(2), SideView())
    await anyio.sleep(200)


@pytest.mark.parametrize("tends", [False, True])
def test_a_start_with_a_tagging_subject_of_another_worker_is_looked_up_by_it(tends: bool) -> None:
    """Also if the subject was made after this worker had opened the journal."""
    service, store = Service(world(listing_lag=150.0)), MemoryStore()

    async def story() -> Outcomes:
        async with (
            direct_session(service) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store), tag_starts=True) as batch,
        ):
            await uncertain_at_another_worker(service, store)
            return [each async for each in (batch.tend() if tends else batch.run([clip(1)]))]

    (outcome,) = in_virtual_time(story())
    assert (outcome.word, outcome.analysis_id, outcome.request.subject_id) == ("uncertain", None, None)


class RefusesAnIntent(MemoryJournal):
    """A journal that refuses the first intent."""

    def __init__(self, store: MemoryStore, error: JournalError) -> None:
        super().__init__(store)
        self.errors = [error]

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is State.INTENDED and self.errors:
            raise self.errors.pop()
        return await super().put(entry, results, most=most)


@pytest.mark.parametrize("kind", [JournalConflict, LimitReached])
def test_the_tagging_subject_of_a_refused_intent_is_used_again(kind: type[JournalError]) -> None:
    """The start did not happen, so nothing is linked to it."""
    service, store = Service(world()), MemoryStore()
    journal = RefusesAnIntent(store, kind("The intent is refused."))
    assert words(in_virtual_time(run_of(service, journal, [clip(1)], tag_starts=True))) == ["analyzed"]
    assert len(store.subjects) == 1


# --- after a failover -----------------------------------------------------------------------------


async def lost_after_intent(service: Service, store: MemoryStore, **settings: Any) -> None:
    """A worker buys the first clip and dies, and the server that takes over has forgotten all that followed the
    intent."""
    await killed_in(service, store, State.STARTED, clips(1), **settings)
    (entry,) = store.entries.values()
    intent = evolve(entry, state=State.INTENDED, version=1, token=None, analysis_id=None, started_at=None)
    store.entries, store.history, store.owners = {entry.key: intent}, {entry.key: store.history[entry.key][:1]}, {}
    store.claims.clear()
    store.failover = True


def test_an_intent_is_looked_up_after_a_failover() -> None:
    """It may have been sent: it is looked up, and only then another clip is started. What its subject tags proves
    nothing, but the outcome names it."""
    service, store = Service(world()), MemoryStore()
    faults = Recorded()

    async def story() -> Outcomes:
        await lost_after_intent(service, store, tag_starts=True)
        source = [clip(7), clip(0)]
        return await run_of(service, MemoryJournal(store), source, tag_starts=True, faults=faults)

    outcomes = in_virtual_time(story())
    assert (words(outcomes), bought(outcomes), charges(service)) == (["analyzed", "uncertain"], 1, [1] * 2)
    assert faults.routes.index(str(LIST_ANALYSES)) < faults.routes.index(str(START))
    assert service.ledger[0].subject_id is not None
    assert service.ledger[0].subject_id in outcomes[1].reason
    assert (credits_of(store), store.failover) == (2, False)
    assert Counter(store.subjects.values()) == Counter({False: 1, True: 1})  # the old one may have tagged other starts


class SnapshotAt(MemoryJournal):
    """A worker after whose first entry in a state another server takes over that has lost all later changes."""

    def __init__(self, store: MemoryStore, state: State) -> None:
        super().__init__(store)
        self.state, self.kept = state, dict[str, Any]()

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        if not self.kept and stored.state is self.state:
            names = "entries", "history", "owners", "subjects", "notes"
            self.kept = {name: deepcopy(getattr(self._store, name)) for name in names}
        return stored

    def fail_over(self) -> None:
        for name, value in self.kept.items():
            setattr(self._store, name, value)
        self._store.claims.clear()
        self._store.failover = True


async def own_subject(service: Service) -> str:
    """A runner of the user's own."""
    async with direct_session(service) as ochy:
        return (await ochy.create_subject(name="Anna")).subject_id


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("fault", [DisconnectAfter(charged=False), Respond(402)])
def test_an_analysis_of_a_start_that_a_failover_has_lost_is_not_given_to_another_clip(
    tagged: bool, fault: Fault
) -> None:
    """Neither if both clips are of one runner, nor if both starts had the same tagging subject, one after the other."""
    service, store = Service(world()), MemoryStore()
    faults = requests_with(FaultRule(str(START), fault, times=1))
    first = SnapshotAt(store, State.SENDING if isinstance(fault, DisconnectAfter) else State.INTENDED)

    async def story() -> Outcomes:
        subject_id = None if tagged else await own_subject(service)
        mine, lost = [(clip(number), SideView(subject_id=subject_id)) for number in (1, 2)]
        await run_of(service, first, [mine], faults=faults, tag_starts=tagged)
        await run_of(service, MemoryJournal(store), [lost], tag_starts=tagged)
        first.fail_over()
        await anyio.sleep(300)
        return await run_of(service, MemoryJournal(store), [mine], tag_starts=tagged)

    (outcome,) = in_virtual_time(story())
    assert (outcome.word, outcome.analysis_id) == ("uncertain", None)
    assert not any(store.subjects.values())


def test_nothing_is_bought_after_a_failover_while_lookups_fail() -> None:
    """Every clip is told what to do, and the next run tries again."""
    service, store = Service(world()), MemoryStore()
    faults = requests_with(FaultRule(str(LIST_ANALYSES), Respond(503), times=10_000))

    async def story() -> tuple[Outcomes, Outcomes]:
        await lost_after_intent(service, store)
        refused = await run_of(service, MemoryJournal(store), [clip(7)], faults=faults)
        assert store.failover
        return refused, await run_of(service, MemoryJournal(store), [clip(7), clip(0)])

    refused, outcomes = in_virtual_time(story())
    assert words(refused) == ["unfinished"]
    assert "another server of the journal's database" in str(refused[0])
    assert str(START) not in faults.routes
    assert (words(outcomes), charges(service)) == (["analyzed", "uncertain"], [1] * 2)
    assert not store.failover


def test_an_intent_of_another_worker_is_not_opened_after_a_failover() -> None:
    """Its claim lasts longer than the wait for it, so it was not looked up: it stays as it is."""
    service, store = Service(world()), MemoryStore()

    async def hold(key: str) -> None:
        async with MemoryJournal(store) as journal:
            await journal.take(key)
            for _ in range(10):
                await journal.beat()
                await anyio.sleep(BEAT)

    async def story() -> Outcomes:
        await lost_after_intent(service, store)
        _, outcomes = await together(hold(*store.entries), run_of(service, MemoryJournal(store), clips(1), after=1.0))
        return list(outcomes)

    assert words(in_virtual_time(story())) == ["unfinished"]
    assert (states_of(store), charges(service)) == (Counter({State.INTENDED: 1}), [1])
    assert store.failover


async def doubts(store: MemoryStore, count: int) -> None:
    """Uncertain starts in a journal that another server has taken over."""
    async with MemoryJournal(store) as journal:
        for number in range(count):
            facts: dict[str, Any] = {"at": loop_clock(), "earliest": loop_clock(), "clip": "a", "name": "a.mp4"}
            facts |= {"key": f"{number:064x}", "view": "side_view", "credits": 1}
            entry = await journal.put(Entry(state=State.INTENDED, **facts))
            entry = await journal.put(evolve(entry, state=State.SENDING, token="t" * 32))
            await journal.put(evolve(entry, state=State.UNCERTAIN, latest=loop_clock()))
    store.failover = True


def test_lookups_after_a_failover_share_lists() -> None:
    """As many lookups share a list as clips are processed at the same time."""
    service, store, faults = Service(world()), MemoryStore(), requests_with()
    slots = Concurrency().extra_slots + INITIAL_IN_FLIGHT

    async def story() -> Outcomes:
        await doubts(store, 10 * slots)
        return await run_of(service, MemoryJournal(store), [clip(0)], faults=faults)

    assert words(in_virtual_time(story())) == ["analyzed"]
    assert not store.failover
    assert faults.routes.index(str(START)) == faults.routes.count(str(LIST_ANALYSES)) == 10


def test_lookups_after_a_failover_end_with_the_batch() -> None:
    """Those that run get their list, and no other begins."""
    service, store, faults = Service(world()), MemoryStore(), requests_with()

    async def story() -> Outcomes:
        await doubts(store, 500)
        async with (
            direct_session(service, faults) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store)) as batch,
        ):
            asyncio.get_running_loop().call_later(1.5 * LISTING_PAUSE, batch.stop)
            return [each async for each in batch.run(clips(1))]

    assert words(in_virtual_time(story())) == []
    assert store.failover
    assert faults.routes == [str(LIST_ANALYSES)] * 3


def test_lookups_after_a_failover_give_up_if_the_server_cannot_be_reached() -> None:
    """However many there are: half a minute after the last answer, no other begins."""
    service, store = Service(world()), MemoryStore()
    faults = requests_with(FaultRule(str(LIST_ANALYSES), DisconnectAfter(), occurrence=2, times=10_000))

    async def story() -> float:
        await doubts(store, 200)
        began = anyio.current_time()
        assert words(await run_of(service, MemoryJournal(store), [clip(0)], faults=faults)) == ["unfinished"]
        return anyio.current_time() - began

    assert in_virtual_time(story()) < 3 * LEASE
    assert store.failover
    assert str(START) not in faults.routes


def test_a_journal_that_fails_ends_the_lookups_after_a_failover() -> None:
    """Its error is raised as it is, whichever lookup met it."""
    service, store = Service(world()), MemoryStore()

    class Failing(MemoryJournal):
        async def get(self, key: str) -> Entry | None:
            raise JournalBusy(f"no answer about {key}")

    async def story() -> Outcomes:
        await doubts(store, 50)
        return await run_of(service, Failing(store), [clip(0)])

    with pytest.raises(JournalBusy, match="no answer about 0"):
        in_virtual_time(story())
    assert store.failover


def test_a_failover_that_outlasts_the_first_lookups_is_ended_later() -> None:
    """A batch that stays open, such as that of a service, buys again without being opened anew."""
    service, store = Service(world()), MemoryStore()
    faults = requests_with(FaultRule(str(LIST_ANALYSES), Respond(503), times=30))

    async def story() -> Outcomes:
        await lost_after_intent(service, store)

        async def source() -> AsyncGenerator[bytes]:
            yield clip(7)
            await anyio.sleep(600)
            yield clip(8)

        return await run_of(service, MemoryJournal(store), source(), faults=faults)

    assert words(in_virtual_time(story())) == ["unfinished", "analyzed"]
    assert not store.failover


def test_an_intent_that_another_worker_has_resolved_needs_no_claim() -> None:
    """That worker holds it until its analysis has ended, which may take long."""
    service, store = Service(world()), MemoryStore()

    async def hold_and_resolve() -> None:
        async with MemoryJournal(store) as holder:
            (key,) = store.entries
            await holder.take(key)
            await anyio.sleep(1)
            entry, analysis_id = await holder.get(key), service.ledger[0].analysis_id
            assert entry is not None
            await holder.put(evolve(entry, state=State.STARTED, analysis_id=analysis_id))
            for _ in range(10):
                await anyio.sleep(BEAT)
                await holder.beat()

    async def story() -> list[Any]:
        await lost_after_intent(service, store)
        other = run_of(service, MemoryJournal(store), [clip(7)], after=0.1)
        return await together(hold_and_resolve(), other)

    assert words(in_virtual_time(story())[1]) == ["analyzed"]


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [False, True])
def test_workers_that_open_a_new_journal_at_once_agree_on_the_account(same: bool) -> None:
    """One of two API keys is the first; the other is refused unless it belongs to the same account."""
    service, store = Service(world()), MemoryStore()

    class Slow(MemoryJournal):
        async def swap_note(self, name: str, before: str | None, value: str) -> bool:
            await anyio.sleep(1)
            return await super().swap_note(name, before, value)

    async def enter(key: str) -> str:
        async with direct_session(service, api_key_in_use=key) as ochy:
            try:
                async with ochy.batch(SideView(), journal=Slow(store), same_account=same):
                    return "opened"
            except JournalUnusable:
                return "refused"

    keys = "secret-key-of-one-worker", "secret-key-of-another-worker"
    expected = ["opened"] * 2 if same else ["opened", "refused"]
    assert sorted(in_virtual_time(together(*map(enter, keys)))) == expected
    assert len({store.notes[each] for each in store.notes if each.startswith("account:")}) == 1


async def run_with_clock(service: Service, store: MemoryStore, off: timedelta, *, after: float = 0.0) -> Outcomes:
    """The outcomes of a worker whose clock is off from so many seconds after its opening."""
    opened = loop_clock()

    def clock() -> datetime:
        return loop_clock() + (off if loop_clock() >= opened + timedelta(seconds=after) else timedelta())

    transport = InProcessTransport(service, latency=0.05)
    async with (
        OchySession(transport=transport, clock=clock, preflight="off") as ochy,
        ochy.batch(SideView(), journal=MemoryJournal(store)) as batch,
    ):
        await anyio.sleep(2 * BEAT)
        return [each async for each in batch.run([clip(1)])]


SECOND = timedelta(seconds=1)
WRONG = pytest.mark.parametrize("wrong", [MOST_CLOCK_ERROR + SECOND, -MOST_CLOCK_ERROR - SECOND])


@WRONG
def test_a_worker_whose_clock_is_wrong_is_refused(wrong: timedelta) -> None:
    """Nothing is bought by it. A worker whose clock is a little less wrong works."""
    service, store = Service(world()), MemoryStore(time_of_day=loop_clock)
    with pytest.raises(JournalUnusable, match="clock of this machine"):
        in_virtual_time(run_with_clock(service, store, wrong))
    assert not service.ledger
    nearly = wrong * 0.99
    assert words(in_virtual_time(run_with_clock(service, store, nearly))) == ["analyzed"]


@WRONG
def test_a_worker_whose_clock_becomes_wrong_starts_nothing(wrong: timedelta) -> None:
    """It learns that with its beats."""
    service, store = Service(world()), MemoryStore(time_of_day=loop_clock)
    (outcome,) = in_virtual_time(run_with_clock(service, store, wrong, after=BEAT / 2))
    assert (outcome.word, charges(service)) == ("unfinished", [])
    assert "clock of this machine" in outcome.reason


# --- hand over ------------------------------------------------------------------------------------


def test_a_batch_that_is_left_gives_up_its_claims_in_one_step() -> None:
    """Not one call for each clip, which would take long if the journal does not answer."""
    service, store = Service(world(analysis_seconds=(400.0, 400.0))), MemoryStore()
    left = list[str]()

    class Counting(MemoryJournal):
        async def leave(self, name: str) -> None:
            left.append(name)
            await super().leave(name)

    async def story() -> None:
        async def consume() -> None:
            assert [each async for each in batch.run(clips(3))] == []

        async with anyio.create_task_group() as group, direct_session(service) as ochy:
            async with ochy.batch(SideView(), journal=Counting(store)) as batch:
                group.start_soon(consume)
                await anyio.sleep(60)
            assert (states_of(store), store.claims) == ({State.STARTED: 3}, {})

    in_virtual_time(story())
    assert left == []


def test_a_batch_that_hands_over_leaves_what_is_paid_for() -> None:
    """It waits for no poll, gives up its claims, and another worker collects what it has bought."""
    service, store = Service(world()), MemoryStore()

    async def story() -> tuple[Outcomes, float, Outcomes]:
        handed_over: Outcomes = []
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=MemoryJournal(store)) as batch:
            async with anyio.create_task_group() as group:
                group.start_soon(stop_once_paid_for, batch)
                handed_over = [each async for each in batch.run(clips(3))]
            claims = len(store.claims)
        return handed_over, claims, await run_of(service, MemoryJournal(store), clips(3))

    async def stop_once_paid_for(batch: Any) -> None:
        while states_of(store)[State.STARTED] < 3:  # noqa: ASYNC110 - virtual time
            await anyio.sleep(0.01)
        batch.stop(hand_over=True)

    handed_over, claims, collected = in_virtual_time(story())
    assert (words(handed_over), claims) == (["unfinished"] * 3, 0)
    assert all(each.analysis_id and each.bought for each in handed_over)
    assert (words(collected), bought(collected), charges(service)) == (["analyzed"] * 3, 0, [1] * 3)


def test_an_upload_that_is_handed_over_is_opened_again() -> None:
    """It is cut short and costs nothing; the answer to a start that may have been sent is awaited."""
    service, store = Service(world()), MemoryStore()
    slow = SlowClip(1, seconds=100.0).clip

    async def story() -> Outcomes:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=MemoryJournal(store)) as batch:
            outcomes, _ = await together(run_all(batch), stop_during_the_upload(batch))
        return list(outcomes)

    async def run_all(batch: Any) -> Outcomes:
        return [each async for each in batch.run([slow])]

    async def stop_during_the_upload(batch: Any) -> None:
        await anyio.sleep(10.0)
        batch.stop(hand_over=True)

    (outcome,) = in_virtual_time(story())
    assert (outcome.word, charges(service), credits_of(store)) == ("unfinished", [], 0)
    assert states_of(store) == Counter({State.OPEN: 1})
