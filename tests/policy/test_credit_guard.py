"""Tests of what stops a batch from starting more analyses, and which credits come back.

Those of the guard alone are pure: the time is passed in.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ochy_async import OchySession, SideView
from ochy_async.batch.outcomes import Unfinished
from ochy_async.emulator import Delay, DisconnectAfter, DisconnectDuring, FaultRule, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import BuyCredits, ClipRefused, JournalDamaged, JournalFull, KeyRefused
from ochy_async.events import AnalysisStarted, Event
from ochy_async.journal.contract import Entry
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.policy.credit_guard import CreditGuard, StopReason
from ochy_async.protocol.routes import CREATE_SUBJECT, LIST_ANALYSES, RESULTS, START
from tests.conftest import Recorded, direct_session, world
from tests.support.batches import ONE_AT_A_TIME, FullFor, FullForReleases, batched, clips, named, requests_with, words

# --- the guard ------------------------------------------------------------------------------------


def test_the_guard_counts_intents() -> None:
    """Two credits: a third start is admitted only after one of the two certainly did not happen."""
    guard = CreditGuard(2)
    assert (guard.admit(0), guard.admit(0)) == (0, 0)
    assert isinstance(guard.admit(0), StopReason)
    guard.release_credit()
    assert guard.admit(0) == 0
    assert isinstance(guard.admit(0), StopReason)


def test_credits_of_earlier_runs_count() -> None:
    """Earlier runs of the same journal."""
    assert isinstance(CreditGuard(5, spent_earlier=5).admit(0), StopReason)


def test_the_reason_names_the_limit_that_is_reached() -> None:
    """The nearer of the two limits says how much remains."""
    guard = CreditGuard(limit=9, limit_per_run=2, spent_earlier=6)
    assert (guard.remaining, guard.admit(0), guard.remaining, guard.admit(0), guard.remaining) == (2, 0, 1, 0, 0)
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "2 credits for one run" in stopped.reason
    guard.spent_earlier = 7
    assert guard.remaining == 0
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "limit of 9 credits is reached" in stopped.reason


def test_an_exceeded_limit_leaves_zero() -> None:
    """Earlier runs had a higher limit: nothing remains, and not a negative number."""
    guard = CreditGuard(limit=3, spent_earlier=5)
    assert guard.remaining == 0
    assert isinstance(guard.admit(0), StopReason)


def test_an_empty_account_stops_starts() -> None:
    """402 without patience: no other start is admitted, and the reason says why."""
    guard = CreditGuard()
    assert guard.refused(BuyCredits("no credits"), 0)
    stopped = guard.admit(0)
    assert isinstance(stopped, StopReason)
    assert "no credits" in stopped.reason


def test_with_patience_one_start_finds_out_for_all() -> None:
    """402 with patience: all wait a minute, then one start goes, and the others keep waiting."""
    guard = CreditGuard(patience=600)
    guard.refused(BuyCredits(), 0)
    assert guard.admit(10) == 50
    assert guard.admit(60) == 0
    assert guard.admit(60) == 60
    guard.accepted()
    assert guard.admit(61) == 0


def test_patience_ends() -> None:
    """Starts that keep failing stop the guard in the end."""
    guard = CreditGuard(patience=120)
    for moment in (1_000, 1_060):
        guard.refused(BuyCredits(), moment)
        assert not isinstance(guard.admit(moment), StopReason)
    guard.refused(BuyCredits(), 1_120)
    assert isinstance(guard.admit(1_120), StopReason)


def test_a_refused_key_stops_starts_for_good() -> None:
    """A refused clip does not."""
    guard = CreditGuard()
    assert not guard.refused(ClipRefused(), 0)
    assert guard.admit(0) == 0
    assert guard.refused(KeyRefused("the key is wrong"), 0)
    assert isinstance(guard.admit(0), StopReason)


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
