"""Tests of batches: many clips against the emulator, in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter, current_time

from ochy_async import BackView, Clip, SideView
from ochy_async.batch.arguments import BatchSettings
from ochy_async.batch.dry_run import Planned
from ochy_async.batch.engine import Batch
from ochy_async.batch.outcomes import Analyzed, Failed, Outcome, Refused, Uncertain, Unfinished
from ochy_async.batch.report import Plan, Report
from ochy_async.batch.resolve import release
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectDuring,
    Emulator,
    Fault,
    FaultPlan,
    FaultRule,
    RefuseConnection,
    Respond,
    RetryAfter,
    Service,
    UploadedVideo,
)
from ochy_async.emulator.messages import Form, ServiceRequest
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    FixRequest,
    InvalidRequest,
    InvalidSettings,
    JournalFull,
    JournalUnusable,
    KeyRefused,
    OchyError,
)
from ochy_async.events import AnalysisStarted, Event, ReconciliationAttempted, StartUncertain
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import LIST_ANALYSES, LIST_SUBJECT_ANALYSES, START
from tests.conftest import Recorded, direct_session, loop_clock, real_session, world
from tests.support.batches import (
    Outcomes,
    Unreadable,
    batched,
    charges,
    clip,
    clips,
    named,
    on_start,
    states,
    stream_of,
    words,
)

# --- outcomes and input ---------------------------------------------------------------------------


def test_every_clip_gets_its_results() -> None:
    """Outcomes are tied to their clips, in whatever order they come."""
    service = Service(world())
    outcomes = in_virtual_time(batched(direct_session(service), clips(12)))
    assert words(outcomes) == ["analyzed"] * 12
    assert [outcome.clip for outcome in outcomes] == clips(12)
    by_id = {charge.analysis_id: charge.sha256 for charge in service.ledger}
    seen = {outcome.analysis_id: outcome.clip for outcome in outcomes}
    assert {UploadedVideo("", 0, by_id[str(key)]).sha256 for key in seen} == set(by_id.values())
    assert len(seen) == 12


def test_outcomes_can_be_matched_by_class() -> None:
    """A `match` over the classes covers every outcome, with its clip and its results."""

    async def story() -> list[str]:
        found: list[str] = []
        settings = world(failing_clips={"broken.mp4"}, too_long_clips={"long.mp4"})
        names = ("0.mp4", "1.mp4", "notes.txt", "broken.mp4", "long.mp4")
        source = [named(name, number) for number, name in enumerate(names)]
        async with direct_session(settings) as ochy, ochy.batch(SideView()) as batch:
            async for outcome in batch.run(source):
                match outcome:
                    case Analyzed(clip=clip, results=results):
                        found.append(f"{clip.name} {0 <= results.total_score <= 1}")
                    case Refused() | Failed() | Uncertain() | Unfinished():
                        found.append(f"{outcome.label} {outcome.word} {bool(outcome.reason)}")
        return sorted(found)

    assert in_virtual_time(story()) == [
        "0.mp4 True",
        "1.mp4 True",
        "broken.mp4 failed True",
        "long.mp4 refused True",
        "notes.txt refused True",
    ]


def test_an_upload_slot_is_free_while_an_analysis_runs() -> None:
    """Twelve analyses of 20 s finish together with one upload slot."""

    async def story() -> float:
        began = current_time()
        settings = world(analysis_seconds=(20.0, 20.0), concurrent_analyses=12)
        await batched(direct_session(settings), clips(12), concurrency=Concurrency(uploads=1, in_flight=12))
        return current_time() - began

    assert in_virtual_time(story()) < 35


def test_in_flight_limits_the_analyses_that_run_together() -> None:
    """Four at a time: twelve analyses of 20 s take three rounds."""

    async def story() -> float:
        began = current_time()
        settings = world(analysis_seconds=(20.0, 20.0), concurrent_analyses=12)
        await batched(direct_session(settings), clips(12), concurrency=Concurrency(in_flight=4))
        return current_time() - began

    assert 60 < in_virtual_time(story()) < 90


def test_the_input_is_read_while_there_is_capacity() -> None:
    """Of a thousand clips only as many are read as the stages hold."""
    concurrency = Concurrency(checks=1, in_flight=2, collecting=1)
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield clip(number)

    async def story() -> int:
        async with direct_session() as ochy, ochy.batch(SideView(), concurrency=concurrency) as batch:
            await anext(batch.run(endless()))
            return len(taken)

    assert in_virtual_time(story()) <= concurrency.total + 2


def test_each_clip_may_have_a_request_of_its_own() -> None:
    """In pairs of clip and request every runner has a height, a weight and a view."""
    service = Service(world())
    pairs = [(clip(0), SideView(height=1.6)), (clip(1), BackView(height=1.9)), clip(2)]
    outcomes = in_virtual_time(batched(direct_session(service), pairs))
    assert [outcome.request for outcome in outcomes] == [SideView(height=1.6), BackView(height=1.9), SideView()]
    assert [type(o.results).__name__ for o in outcomes if isinstance(o, Analyzed)] == [
        "SideViewResults",
        "BackViewResults",
        "SideViewResults",
    ]


def test_a_clip_without_a_request_is_an_error() -> None:
    """Nothing is guessed, not even the view."""
    service = Service(world())
    with pytest.raises(InvalidRequest, match="clip 1: has no request"):
        in_virtual_time(batched(direct_session(service), clips(3), request=None))
    assert not service.ledger


@pytest.mark.parametrize("clips", ["clips", Path("clips"), b"content"], ids=lambda clips: type(clips).__name__)
def test_a_single_clip_is_not_taken_for_many(clips: Any) -> None:
    """A path would otherwise be read letter by letter."""
    service = Service(world())
    with pytest.raises(InvalidRequest, match="must be an iterable of clips"):
        in_virtual_time(batched(direct_session(service), clips))
    assert not service.ledger


def test_an_error_of_the_input_loses_nothing() -> None:
    """Clips that were read are finished first; then the input's own error is raised."""
    service = Service(world())

    def broken() -> Iterator[bytes]:
        yield from clips(3)
        raise OSError("the folder is gone")

    async def story() -> Outcomes:
        async with direct_session(service) as ochy, ochy.batch(SideView()) as batch:
            outcomes = batch.run(one_by_one(broken()))
            found = [await anext(outcomes) for _ in range(3)]
            with pytest.raises(OSError, match="the folder is gone"):
                await anext(outcomes)
        return found

    assert words(in_virtual_time(story())) == ["analyzed"] * 3


async def await_what_is_cancelled() -> None:
    """Awaits a task that something else cancels."""
    task = asyncio.ensure_future(asyncio.sleep(1_000))
    asyncio.get_running_loop().call_later(1, task.cancel)
    await task


def test_an_input_that_awaits_something_cancelled_is_an_error() -> None:
    """The batch was not cancelled: clips that were read get their outcomes, then the error is raised."""

    async def source() -> AsyncIterator[bytes]:
        for each in clips(3):
            yield each
        await await_what_is_cancelled()

    async def story() -> Outcomes:
        async with direct_session() as ochy, ochy.batch(SideView()) as batch:
            outcomes = batch.run(source())
            found = [await anext(outcomes) for _ in range(3)]
            with pytest.raises(FixRequest, match="awaits was cancelled"):
                await anext(outcomes)
            with pytest.raises(FixRequest, match="awaits was cancelled"):
                await batch.plan(source())
        return found

    assert words(in_virtual_time(story())) == ["analyzed"] * 3


def test_waiting_for_the_input_can_be_cancelled() -> None:
    """The caller's own cancellation is not turned into an error."""

    async def source() -> AsyncIterator[bytes]:
        yield clip(0)
        await asyncio.sleep(1_000)

    async def story() -> bool:
        async with direct_session() as ochy:
            with anyio.move_on_after(100) as scope:
                async with ochy.batch(SideView()) as batch:
                    assert words([outcome async for outcome in batch.run(source())]) == []
            return scope.cancelled_caught

    assert in_virtual_time(story())


async def one_by_one(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    for each in source:
        yield each


# --- no clip is paid twice ------------------------------------------------------------------------


def test_the_same_clip_twice_is_bought_once() -> None:
    """One content and request cost one credit; both places in the input get the results."""
    service = Service(world())
    outcomes = in_virtual_time(batched(direct_session(service), [clip(0), clip(1), clip(0), clip(0)]))
    assert words(outcomes) == ["analyzed"] * 4
    assert charges(service) == [1, 1]
    assert sorted(o.bought for o in outcomes if isinstance(o, Analyzed)) == [False, False, True, True]


def test_a_finished_batch_run_again_sends_no_request() -> None:
    """The journal has everything, including the results."""
    service, journal, faults = Service(world(failure_rate=0.3)), MemoryJournal(), Recorded()
    first = in_virtual_time(batched(direct_session(service), clips(10), journal=journal))
    second = in_virtual_time(batched(direct_session(service, faults), clips(10), journal=journal))
    assert faults.routes == []
    assert words(second) == words(first)
    assert [analysis_of(outcome) for outcome in second] == [analysis_of(outcome) for outcome in first]


def analysis_of(outcome: Outcome[Any, Any]) -> Any:
    """The results without their links, which expire within the hour."""
    return outcome.results.biomechanical_analysis if isinstance(outcome, Analyzed) else None


def test_another_request_or_another_content_is_another_clip() -> None:
    """What changes the answer makes another clip; the webhook does not."""
    service, journal = Service(world()), MemoryJournal()
    for request in (SideView(), SideView(height=1.8), BackView(), SideView(notify_via_webhook=True)):
        in_virtual_time(batched(direct_session(service), clips(1), journal=journal, request=request))
    assert charges(service) == [3]


def test_a_refused_clip_is_sent_again_only_with_retry_refused() -> None:
    """Whether a refused upload is charged is not documented."""
    settings = world(too_long_clips={"clip.mp4"}, charge_refused_uploads=True)
    service, journal = Service(settings), MemoryJournal()
    for retry in (False, False, True):
        outcomes = in_virtual_time(batched(direct_session(service), clips(1), journal=journal, retry_refused=retry))
        assert words(outcomes) == ["refused"]
    assert charges(service) == [2]


def test_copies_of_a_refused_clip_are_not_sent_again() -> None:
    """`retry_refused` is for refusals of earlier runs: all copies share one new attempt."""
    settings = world(too_long_clips={"clip.mp4"}, charge_refused_uploads=True)
    service, journal = Service(settings), MemoryJournal()
    for _ in range(2):
        source = [clip(0)] * 3
        outcomes = in_virtual_time(batched(direct_session(service), source, journal=journal, retry_refused=True))
        assert words(outcomes) == ["refused"] * 3
    assert charges(service) == [2]


def test_leaving_early_loses_nothing_that_is_paid_for() -> None:
    """Leaving the block stops unpaid work; the next run collects the paid clips and buys the others."""
    service, journal = Service(world()), MemoryJournal()

    async def story() -> int:
        async with direct_session(service) as ochy:
            async with ochy.batch(
                SideView(), journal=journal, concurrency=Concurrency(uploads=1, in_flight=4)
            ) as batch:
                async for _ in batch.run(clips(20)):
                    break
            assert len(asyncio.all_tasks()) == 1
        return len(service.ledger)

    paid = in_virtual_time(story())
    assert 1 <= paid < 20
    found = in_virtual_time(states(journal))
    assert found[State.STARTED] + found[State.ANALYZED] == paid
    outcomes = in_virtual_time(batched(direct_session(service), clips(20), journal=journal))
    assert words(outcomes) == ["analyzed"] * 20
    assert charges(service) == [1] * 20


def test_a_clip_that_changes_while_it_is_sent_is_never_completed() -> None:
    """The content is hashed before the intent and again while it is sent: the last chunk needs both to agree."""
    service, opened = Service(world()), [0]

    def content() -> AsyncIterator[bytes]:
        opened[0] += 1
        return stream_of(clip(opened[0]))

    source = [Clip.stream(content, name="growing.mp4", size=300)]
    (outcome,) = in_virtual_time(batched(direct_session(service), source))
    assert isinstance(outcome, Refused)
    assert "its content changed" in outcome.reason
    assert not service.ledger


def test_a_stream_that_raises_is_one_refused_clip() -> None:
    """It is refused like any other bad clip, and the others go on."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("no more")

    source = [clip(0), Clip.stream(broken, name="broken.mp4", size=300), clip(1)]
    assert words(in_virtual_time(batched(direct_session(), source))) == ["analyzed", "refused", "analyzed"]


@pytest.mark.parametrize("bare", [True, False], ids=["made by hand", "stream"])
def test_a_stream_that_awaits_something_cancelled_is_one_refused_clip(bare: bool) -> None:
    """The clip gets an outcome, and so do all others."""

    async def broken() -> AsyncGenerator[bytes]:
        yield b"begun"
        await await_what_is_cancelled()

    broken_clip = Clip("odd.mp4", 300, broken) if bare else Clip.stream(broken, name="odd.mp4", size=300)
    outcomes = in_virtual_time(batched(direct_session(), [clip(0), broken_clip, clip(1)]))
    assert words(outcomes) == ["analyzed", "refused", "analyzed"]
    assert "was not sent completely" in outcomes[1].reason


def test_a_journal_that_awaits_something_cancelled_is_an_error() -> None:
    """A batch never ends silently before all clips have their outcomes."""

    class Odd(MemoryJournal):
        async def get(self, key: str) -> Entry | None:
            await await_what_is_cancelled()
            return await super().get(key)

    with pytest.raises(OchyError, match="depends on was cancelled, but the batch was not"):
        in_virtual_time(batched(direct_session(), clips(2), journal=Odd()))


# --- credits and keys -----------------------------------------------------------------------------


def test_an_empty_account_stops_new_starts_only() -> None:
    """402: paid clips are collected, and the others can go on in a later run."""
    service, journal = Service(world(credits=3)), MemoryJournal()
    first = in_virtual_time(batched(direct_session(service), clips(8), journal=journal))
    assert Counter(words(first)) == {"analyzed": 3, "unfinished": 5}
    service.add_credits(10)
    second = in_virtual_time(batched(direct_session(service), clips(8), journal=journal))
    assert words(second) == ["analyzed"] * 8
    assert charges(service) == [1] * 8


def test_starts_can_wait_for_credits() -> None:
    """With `wait_for_credits` starts are paused; once credits are bought the batch goes on by itself."""
    service, faults = Service(world(credits=3)), Recorded()

    async def story() -> Outcomes:
        found: Outcomes = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_buy_later, service)
            found += await batched(direct_session(service, faults), clips(8), wait_for_credits=3600)
        return found

    assert words(in_virtual_time(story())) == ["analyzed"] * 8
    assert faults.routes.count(str(START)) < 40  # one clip finds out for all


async def _buy_later(service: Service) -> None:
    await anyio.sleep(600)
    service.add_credits(10)


def test_waiting_for_credits_ends() -> None:
    """If no credits are bought, the batch ends and says why."""
    outcomes = in_virtual_time(batched(direct_session(world(credits=1)), clips(4), wait_for_credits=300))
    assert Counter(words(outcomes)) == {"analyzed": 1, "unfinished": 3}


def test_a_refused_key_stops_new_starts() -> None:
    """After one 403 no further start is sent."""
    faults = on_start(Respond(403), times=100)
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(30), concurrency=Concurrency(uploads=1)))
    assert set(words(outcomes)) == {"unfinished"}
    assert faults.routes.count(str(START)) == 1
    assert any(isinstance(o, Unfinished) and isinstance(o.error, KeyRefused) for o in outcomes)


def test_max_credits_counts_all_runs() -> None:
    """`max_credits` limits all runs of the journal together, uncertain starts included."""
    service, journal = Service(world()), MemoryJournal()
    for _ in range(3):
        outcomes = in_virtual_time(batched(direct_session(service), clips(9), journal=journal, max_credits=4))
        assert Counter(words(outcomes)) == {"analyzed": 4, "unfinished": 5}
    assert len(service.ledger) == 4


def test_a_start_that_did_not_happen_releases_its_credit() -> None:
    """With one credit allowed, a clip that could not be sent leaves it to the next run."""
    service, journal = Service(world()), MemoryJournal()
    faults = on_start(DisconnectDuring(0), times=100)
    first = in_virtual_time(batched(direct_session(service, faults), clips(1), journal=journal, max_credits=1))
    assert words(first) == ["unfinished"]
    second = in_virtual_time(batched(direct_session(service), clips(1), journal=journal, max_credits=1))
    assert words(second) == ["analyzed"]
    third = in_virtual_time(batched(direct_session(service), clips(2), journal=journal, max_credits=1))
    assert words(third) == ["analyzed", "unfinished"]


def test_a_released_credit_serves_the_next_clip_of_the_run() -> None:
    """The first of two clips cannot be sent; the one allowed credit is left for the second."""
    settings: dict[str, Any] = {"max_credits": 1, "concurrency": Concurrency(uploads=1)}
    outcomes = in_virtual_time(
        batched(direct_session(faults=on_start(DisconnectDuring(0), times=5)), clips(2), **settings)
    )
    assert sorted(words(outcomes)) == ["analyzed", "unfinished"]


def test_a_tagging_subject_that_cannot_be_created_costs_no_credit() -> None:
    """The subject of the first start cannot be created; the one allowed credit is left for the second."""
    faults = Recorded(FaultPlan([FaultRule("POST /subjects", Respond(500))]))
    settings: dict[str, Any] = {"max_credits": 1, "concurrency": Concurrency(uploads=1), "tag_starts": True}
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(2), **settings))
    assert sorted(words(outcomes)) == ["analyzed", "unfinished"]


def test_a_plan_sends_and_buys_nothing() -> None:
    """It counts the clips that would be bought, are done, or are refused."""
    service, journal, faults = Service(world()), MemoryJournal(), Recorded()
    in_virtual_time(batched(direct_session(service), clips(3), journal=journal))

    async def story() -> Any:
        async with direct_session(service, faults) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            return await batch.plan([*clips(5), clip(4), b""])

    plan = in_virtual_time(story())
    assert (plan.to_buy, plan.done, plan.duplicates, plan.refused) == (2, 3, 1, 1)
    assert len(plan.refusals) == 1
    assert faults.routes == []


def test_a_dry_run_yields_each_clip_as_it_is_found() -> None:
    """It reads the next clip when it is asked for it, and sends nothing; the plan is its sum."""
    service, journal, faults, read = Service(world()), MemoryJournal(), Recorded(), list[int]()
    in_virtual_time(batched(direct_session(service), clips(1), journal=journal))

    def source() -> Iterator[bytes]:
        for number, each in enumerate([*clips(2), clip(1), b""]):
            read.append(number)
            yield each

    async def story() -> tuple[list[Planned], Plan]:
        async with direct_session(service, faults) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            found = list[Planned]()
            async for planned in batch.dry_run(source()):
                found.append(planned)
                assert read == [*range(len(found))]
            return found, await batch.plan(source())

    found, plan = in_virtual_time(story())
    assert [each.word for each in found] == ["done", "to_buy", "duplicate", "refused"]
    assert [each.label for each in found] == ["clip 1", "clip 2", "clip 3", "clip 4"]
    assert (found[0].analysis_id, found[2].duplicate_of) == (service.ledger[0].analysis_id, "clip 2")
    assert found[1].key == found[2].key
    assert plan.refusals == (f"clip 4: {found[3].reason}",)
    assert (plan.done, plan.to_buy, plan.duplicates, plan.refused) == (1, 1, 1, 1)
    assert faults.routes == []


def test_the_report_counts_spent_uncertain_and_already_paid() -> None:
    """The sum of a batch in credits."""

    async def story() -> Any:
        faults = on_start(DisconnectAfter(charged=False), occurrence=2)
        async with direct_session(faults=faults) as ochy, ochy.batch(SideView()) as batch:
            async for _ in batch.run([*clips(4), clip(0)]):
                pass
            return batch.report

    report = in_virtual_time(story())
    assert (report.spent, report.uncertain, report.already_paid) == (3, 1, 1)
    assert (report.committed, report.charged) == (4, 3)
    assert report.outcomes == {"analyzed": 4, "uncertain": 1}


def test_the_run_that_sent_a_start_has_spent_its_credit() -> None:
    """An uncertain start that a later run finds was not bought by that run: each report agrees with the ledger."""
    service, journal, seen = Service(world(listing_lag=1000.0)), MemoryJournal(), list[tuple[int, ...]]()

    async def story() -> None:
        charged = on_start(DisconnectAfter(charged=True))
        for source in (clips(1), clips(2)):
            before = len(service.ledger)
            async with direct_session(service, charged) as ochy, ochy.batch(SideView(), journal=journal) as batch:
                bought = sum([outcome.bought async for outcome in batch.run(source)])
                report = batch.report
            seen.append((len(service.ledger) - before, report.spent, bought, report.uncertain, report.already_paid))
            assert report.committed == len(service.ledger)
            await anyio.sleep(2000)

    in_virtual_time(story())
    assert seen == [(1, 0, 0, 1, 0), (1, 1, 1, 0, 1)]


def test_max_credits_per_run_does_not_count_earlier_runs() -> None:
    """Each run may spend as much; the total of all runs is reported separately."""
    service, journal = Service(world()), MemoryJournal()

    async def story() -> list[Report]:
        reports: list[Report] = []
        for _ in range(3):
            limited: BatchSettings = {"journal": journal, "max_credits_per_run": 2}
            async with direct_session(service) as ochy, ochy.batch(SideView(), **limited) as batch:
                async for _ in batch.run(clips(5)):
                    pass
                reports.append(batch.report)
        return reports

    reports = in_virtual_time(story())
    reported = [(each.spent, each.committed, each.already_paid, each.held_back) for each in reports]
    assert reported == [(2, 2, 0, 3), (2, 4, 2, 1), (1, 5, 4, 0)]


# --- uncertain starts -----------------------------------------------------------------------------


@pytest.mark.parametrize("tagged", [True, False])
def test_a_charged_uncertain_start_is_found_and_collected(tagged: bool) -> None:
    """The answer to a start is lost: there is one POST, and the list shows the id."""
    service = Service(world(listing_lag=10.0))
    faults = on_start(DisconnectAfter(charged=True))
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), tag_starts=tagged))
    assert isinstance(outcome, Analyzed)
    assert outcome.bought
    assert faults.routes.count(str(START)) == 1


@pytest.mark.parametrize("tagged", [True, False])
def test_an_uncertain_start_that_no_list_shows_is_never_sent_again(tagged: bool) -> None:
    """An empty list proves nothing: the start stays uncertain, in the next run too."""
    service, journal = Service(world()), MemoryJournal()
    faults = on_start(DisconnectAfter(charged=False))
    for _ in range(3):
        (outcome,) = in_virtual_time(
            batched(direct_session(service, faults), clips(1), journal=journal, tag_starts=tagged)
        )
        assert isinstance(outcome, Uncertain)
        assert "is not sent again" in outcome.reason
    assert faults.routes.count(str(START)) == 1


def test_each_lookup_that_resolves_nothing_emits_an_event() -> None:
    """The event has its number, the time of the next one and of the last, and whether the server answered."""
    events: list[Event] = []
    script = FaultPlan(
        [FaultRule(str(START), DisconnectAfter(charged=False)), FaultRule(str(LIST_ANALYSES), Respond(503), times=5)]
    )
    (outcome,) = in_virtual_time(batched(direct_session(faults=script, on_event=events.append), clips(1)))
    lookups = [each for each in events if isinstance(each, ReconciliationAttempted)]
    assert isinstance(outcome, Uncertain)
    assert [lookup.attempt for lookup in lookups] == list(range(1, len(lookups) + 1))
    assert [lookup.server_answered for lookup in lookups] == [False] + [True] * (len(lookups) - 1)
    assert all(lookup.max_attempts == lookups[-1].attempt for lookup in lookups[1:])
    assert all(lookup.seconds_left >= (lookup.next_in or 0) > 0 for lookup in lookups[:-1])
    assert (lookups[-1].next_in, lookups[-1].seconds_left, lookups[-1].max_attempts) == (None, 0, len(lookups))
    assert {lookup.clip for lookup in lookups} == {"clip 1"}


def test_an_uncertain_start_of_an_earlier_run_emits_an_event() -> None:
    """Each emits one event with its cause, before it is looked up."""
    journal, faults = MemoryJournal(), on_start(DisconnectAfter(charged=False))
    reported: list[list[StartUncertain]] = []
    for _ in range(2):
        events: list[Event] = []
        ochy = direct_session(faults=faults, on_event=events.append)
        in_virtual_time(batched(ochy, clips(1), journal=journal))
        reported.append([each for each in events if isinstance(each, StartUncertain)])
    assert [len(each) for each in reported] == [1, 1]
    assert reported[0][0].start.earliest == reported[1][0].start.earliest
    assert reported[0][0].reason == reported[1][0].reason != ""


def test_without_tagging_two_uncertain_starts_are_not_told_apart() -> None:
    """The list shows one analysis for two uncertain starts: it is adopted for neither."""
    service = Service(world())
    faults = Recorded(
        FaultPlan(
            [
                FaultRule(str(START), DisconnectAfter(charged=True)),
                FaultRule(str(START), DisconnectAfter(charged=False)),
            ]
        )
    )
    outcomes = in_virtual_time(batched(direct_session(service, faults), clips(2)))
    assert words(outcomes) == ["uncertain", "uncertain"]
    assert [len(o.candidates) for o in outcomes if isinstance(o, Uncertain)] == [1, 1]
    assert all("--tag-starts" in o.reason for o in outcomes if isinstance(o, Uncertain))


def test_an_uncertain_outcome_holds_all_that_is_known() -> None:
    """It has the cause, what was sent and when, and each candidate, as values and as text."""
    service = Service(world())
    faults = Recorded(
        FaultPlan(
            [
                FaultRule(str(START), DisconnectAfter(charged=True)),
                FaultRule(str(START), DisconnectAfter(charged=False)),
            ]
        )
    )
    outcome = next(iter(in_virtual_time(batched(direct_session(service, faults), clips(2)))))
    assert isinstance(outcome, Uncertain)
    assert (outcome.size, outcome.start.view, outcome.reached) == (300, "side_view", True)
    assert timedelta() <= outcome.start.latest - outcome.start.earliest < timedelta(seconds=30)
    (candidate,) = outcome.candidates
    facts = ("300 bytes", f"{outcome.start.earliest:%Y-%m-%d %H:%M:%S}", candidate.analysis_id, outcome.cause)
    assert [fact for fact in facts if not fact or fact not in outcome.reason] == []


def test_lookups_without_an_answer_prove_nothing() -> None:
    """If the server cannot be reached, the outcome says that no list was seen."""
    script = FaultPlan(
        [
            FaultRule(str(START), DisconnectAfter(charged=True)),
            FaultRule(str(LIST_ANALYSES), RefuseConnection(), times=1000),
        ]
    )
    (outcome,) = in_virtual_time(batched(direct_session(faults=script), clips(1)))
    assert isinstance(outcome, Uncertain)
    assert (outcome.reached, outcome.candidates, outcome.error is None) == (False, (), False)
    assert "No lookup got an answer" in outcome.reason
    assert "do not show its analysis" not in outcome.reason


class SlowToList(MemoryJournal):
    """A journal that takes a second to list its entries."""

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await anyio.sleep(1)
        async for entry in super().entries(*states):
            yield entry


def test_a_start_accepted_during_a_lookup_is_not_adopted_for_another() -> None:
    """A start that is accepted while the journal is read counts as another start until its id is known."""
    service = Service(world())
    faults = Recorded(
        FaultPlan(
            [FaultRule(str(START), DisconnectAfter(charged=False)), FaultRule(str(START), Delay(1.0, after=True))]
        )
    )
    ochy = direct_session(service, faults)
    outcomes = in_virtual_time(batched(ochy, clips(2), journal=SlowToList(), concurrency=Concurrency(uploads=2)))
    assert sorted(words(outcomes)) == ["analyzed", "uncertain"]


def test_tagging_tells_uncertain_starts_apart() -> None:
    """With a subject for each start, the charged one is found and the other stays uncertain."""
    service = Service(world())
    faults = Recorded(
        FaultPlan(
            [
                FaultRule(str(START), DisconnectAfter(charged=True)),
                FaultRule(str(START), DisconnectAfter(charged=False)),
            ]
        )
    )
    outcomes = in_virtual_time(batched(direct_session(service, faults), clips(2), tag_starts=True))
    assert sorted(words(outcomes)) == ["analyzed", "uncertain"]
    found = next(outcome for outcome in outcomes if isinstance(outcome, Analyzed))
    (charge,) = service.ledger
    assert found.analysis_id == charge.analysis_id


def test_the_subject_of_an_uncertain_start_tags_no_other() -> None:
    """Later starts use another subject."""
    service = Service(world())
    faults = on_start(DisconnectAfter(charged=False), times=2)
    outcomes = in_virtual_time(
        batched(direct_session(service, faults), clips(6), tag_starts=True, concurrency=Concurrency(uploads=1))
    )
    assert Counter(words(outcomes)) == {"uncertain": 2, "analyzed": 4}
    assert len({charge.subject_id for charge in service.ledger}) == 1


def test_later_runs_use_the_same_tagging_subjects() -> None:
    """The account has no more of them than there were parallel starts."""
    service, journal, faults = Service(world()), MemoryJournal(), Recorded()
    for number in range(4):
        source = [clip(number)]
        in_virtual_time(batched(direct_session(service, faults), source, journal=journal, tag_starts=True))
    assert faults.routes.count("POST /subjects") == 1


def test_tagging_excludes_analyses_of_other_programs() -> None:
    """Their analyses are not linked to our subject."""
    service = Service(world())

    class Foreign(Recorded):
        def fault_for(self, route: str, count: int) -> Fault | None:
            if route == str(LIST_SUBJECT_ANALYSES):
                form = Form({"analysis_type": "side_view"}, UploadedVideo("other.mp4", 5, "ab" * 32))
                ask = ServiceRequest("POST", "/analysis/start", {"apiKey": service.api_key}, form=form)
                service.handle(ask, 1_767_225_600.0 + current_time())
            return super().fault_for(route, count)

    faults = Foreign(FaultPlan([FaultRule(str(START), DisconnectAfter(charged=False))]))
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), tag_starts=True))
    assert isinstance(outcome, Uncertain)
    assert not outcome.candidates


def test_the_analysis_of_a_released_start_is_not_adopted_for_another() -> None:
    """It appears late, when another start is uncertain."""
    service, journal = Service(world(listing_lag=400.0)), MemoryJournal()

    async def story() -> Outcomes:
        charged, lost = on_start(DisconnectAfter(charged=True)), on_start(DisconnectAfter(charged=False))
        (uncertain,) = await batched(direct_session(service, charged), [clip(0)], journal=journal)
        async with journal:
            await release(journal, str(uncertain.key))
        await batched(direct_session(service), [clip(0)], journal=journal)
        await anyio.sleep(200)
        return await batched(direct_session(service, lost), [clip(1)], journal=journal)

    (outcome,) = in_virtual_time(story())
    assert isinstance(outcome, Uncertain)
    assert len(outcome.candidates) == 1


class SlowToRead(MemoryJournal):
    """A journal on a slow disk."""

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        await anyio.sleep(1)
        async for entry in super().entries(*states):
            yield entry


def test_a_start_answered_during_a_lookup_keeps_its_analysis() -> None:
    """Between two reads of the journal it turns from an uncertain start into a known id; both reads count."""
    service = Service(world())
    script = FaultPlan(
        [FaultRule(str(START), DisconnectAfter(charged=False)), FaultRule(str(START), Delay(0.5, after=True))]
    )
    outcomes = in_virtual_time(batched(direct_session(service, script), clips(2), journal=SlowToRead()))
    assert sorted(words(outcomes)) == ["analyzed", "uncertain"]


def test_a_clock_that_was_set_back_does_not_prolong_lookups() -> None:
    """An uncertain start in the future is looked up like a new one, and no longer."""
    service, journal = Service(world()), MemoryJournal()
    faults = on_start(DisconnectAfter(charged=False))
    ahead = direct_session(service, faults, clock=lambda: loop_clock() + timedelta(days=1))
    in_virtual_time(batched(ahead, clips(1), journal=journal))
    faults.routes.clear()
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), journal=journal))
    assert isinstance(outcome, Uncertain)
    assert len(faults.routes) <= 10


# --- errors and limits ----------------------------------------------------------------------------


def test_errors_reduce_the_parallel_uploads() -> None:
    """After many 429s fewer starts run at once, and all clips are analyzed."""
    faults, widths = Recorded(FaultPlan([FaultRule(str(START), RetryAfter("1"), times=6)])), list[float]()
    uploads: list[CapacityLimiter] = []

    def seen(_: Event) -> None:
        widths.extend(each.total_tokens for each in uploads)

    async def story() -> Outcomes:
        async with direct_session(faults=faults, on_event=seen) as ochy, ochy.batch(SideView()) as batch:
            uploads.append(batch._open_pipeline.context.uploads)  # pyright: ignore[reportPrivateUsage]
            return [outcome async for outcome in batch.run(clips(12))]

    assert words(in_virtual_time(story())) == ["analyzed"] * 12
    assert (widths[0], min(widths)) == (3, 1)


def test_stop_finishes_clips_under_way() -> None:
    """`stop` takes and starts no new clip; paid ones are collected."""
    service, journal = Service(world()), MemoryJournal()

    async def story() -> Outcomes:
        found: Outcomes = []
        async with direct_session(service) as ochy:
            concurrency = Concurrency(uploads=1, in_flight=3)
            async with ochy.batch(SideView(), journal=journal, concurrency=concurrency) as batch:
                async for outcome in batch.run(clips(50)):
                    found.append(outcome)
                    batch.stop()
        return found

    found = in_virtual_time(story())
    assert Counter(words(found))["analyzed"] == len(service.ledger) < 10
    assert in_virtual_time(states(journal)).keys() == {State.ANALYZED}


def test_a_timeout_keeps_the_id() -> None:
    """The clip is unfinished and has its id; the next run goes on waiting and pays nothing."""
    service, journal = Service(world(analysis_seconds=(500.0, 500.0))), MemoryJournal()
    (first,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal, timeout=60))
    assert isinstance(first, Unfinished)
    assert first.analysis_id == service.ledger[0].analysis_id
    (second,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert isinstance(second, Analyzed)
    assert not second.bought


def test_a_long_queue_at_the_server_is_waited_for() -> None:
    """Forty analyses one after the other take twenty minutes, and all of them are collected."""
    outcomes = in_virtual_time(
        batched(direct_session(world(concurrent_analyses=1, analysis_seconds=(30.0, 30.0))), clips(40))
    )
    assert words(outcomes) == ["analyzed"] * 40


class FullAfter(MemoryJournal):
    """A journal whose disk is full after so many changes."""

    def __init__(self, puts: int) -> None:
        super().__init__()
        self.left = puts

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        self.left -= 1
        if self.left < 0:
            raise JournalFull("The disk is full.")
        return await super().put(entry, results, most=most)


@pytest.mark.parametrize("puts", range(7))
def test_a_failing_journal_stops_starts_and_loses_no_paid_result(puts: int) -> None:
    """Whenever the disk becomes full: no start without a stored intent, and no paid result is lost."""
    service, journal = Service(world()), FullAfter(puts)
    outcomes = in_virtual_time(
        batched(direct_session(service), clips(6), journal=journal, concurrency=Concurrency(uploads=1))
    )
    paid = {charge.analysis_id for charge in service.ledger}
    assert {o.analysis_id for o in outcomes if isinstance(o, Analyzed)} == paid
    assert len(paid) <= puts
    journal.left = 1000
    again = in_virtual_time(batched(direct_session(service), clips(6), journal=journal))
    assert max(charges(service)) == 1
    assert set(words(again)) <= {"analyzed", "uncertain"}


def test_new_results_are_returned_without_the_journal() -> None:
    """They are returned even if the journal fails at that moment."""
    (outcome,) = in_virtual_time(batched(direct_session(), clips(1), journal=Unreadable()))
    assert isinstance(outcome, Analyzed)


def test_an_accepted_start_that_is_interrupted_is_not_sent_again() -> None:
    """Ctrl-C may be raised in a listener: the id is stored all the same."""
    service, journal = Service(world()), MemoryJournal()

    def interrupted(event: Event) -> None:
        if isinstance(event, AnalysisStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_virtual_time(batched(direct_session(service, on_event=interrupted), clips(1), journal=journal))
    assert in_virtual_time(states(journal)) == {State.STARTED: 1}
    (outcome,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert isinstance(outcome, Analyzed)
    assert charges(service) == [1]


def test_a_key_refused_while_creating_a_subject_stops_new_starts() -> None:
    """With tagging the first request creates a subject: its 401 counts like that of a start."""
    faults = Recorded()
    session = direct_session(faults=faults, api_key_in_use="wrong")
    outcomes = in_virtual_time(batched(session, clips(20), tag_starts=True, concurrency=Concurrency(uploads=1)))
    assert words(outcomes) == ["unfinished"] * 20
    assert len(faults.routes) == 1


def test_a_journal_of_another_key_is_refused() -> None:
    """With another key every clip has another identity and would be bought again."""
    service, journal = Service(world()), MemoryJournal()
    in_virtual_time(batched(direct_session(service), clips(2), journal=journal))
    service.rotate_key(service.api_key, "canary-key-4f1d9c/7e+3")

    def rotated(**settings: Any) -> Outcomes:
        ochy = direct_session(service, api_key_in_use="canary-key-4f1d9c/7e+3")
        return in_virtual_time(batched(ochy, clips(3), journal=journal, **settings))

    with pytest.raises(JournalUnusable, match="another API key"):
        rotated()
    assert words(rotated(same_account=True)) == ["analyzed"] * 3
    assert words(rotated()) == ["analyzed"] * 3
    assert charges(service) == [1, 1, 1]


NONSENSE: list[dict[str, Any]] = [
    {"max_credits": -1},
    {"max_credits": True},
    {"max_credits": 1.5},
    {"wait_for_credits": -1},
    {"wait_for_credits": float("nan")},
    {"timeout": -5},
    {"keep": "everything"},
]


@pytest.mark.parametrize("settings", NONSENSE, ids=str)
def test_invalid_settings_are_refused(settings: dict[str, Any]) -> None:
    """The message has the bound, and nothing is opened."""
    with pytest.raises(InvalidSettings, match=next(iter(settings))):
        direct_session().batch(SideView(), **settings)


def test_an_unknown_setting_is_refused() -> None:
    """As Python does for any function."""
    with pytest.raises(TypeError, match="max_credit"):
        direct_session().batch(SideView(), max_credit=5)  # type: ignore[call-overload]


def test_a_batch_is_used_inside_its_block() -> None:
    """Outside of it there is no open journal, so nothing may be bought."""

    async def story() -> None:
        async with direct_session() as ochy:
            batch: Batch[Any, Any] = ochy.batch(SideView())
            with pytest.raises(InvalidSettings, match="not open"):
                batch.stop()
            async with batch:
                pass
            with pytest.raises(InvalidSettings, match="entered only once"):
                await batch.__aenter__()

    in_virtual_time(story())


# --- real files, real sockets ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six files, two of them the same."""
    for number in range(6):
        (tmp_path / f"{number}.mp4").write_bytes(clip(number % 5))
    return tmp_path


@pytest.mark.anyio
async def test_a_folder_of_files_over_a_socket(emulator: Emulator, folder: Path) -> None:
    """A glob of paths and a journal on the disk: one credit for each content."""
    for _ in range(2):
        paths = folder.glob("*.mp4")  # noqa: ASYNC240 - the batch reads it in a thread
        outcomes = await batched(real_session(emulator), paths, journal=folder / "clips.journal", max_credits=500)
        assert sorted(Path(str(outcome.clip)).name for outcome in outcomes) == [f"{n}.mp4" for n in range(6)]
        assert words(outcomes) == ["analyzed"] * 6
    assert charges(emulator.service) == [1] * 5


ODD = ("gone.mp4", "folder.mp4", "fifo.mp4", "good.mp4", "empty.mp4", "loop.mp4", "notes.txt")


@pytest.fixture
def unusual_files(tmp_path: Path) -> Path:
    """One file that is a clip, among some that are not."""
    (tmp_path / "good.mp4").write_bytes(clip(0))
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "notes.txt").write_text("no video")
    return tmp_path


@pytest.mark.anyio
async def test_files_that_cannot_be_read_are_refused_one_by_one(emulator: Emulator, unusual_files: Path) -> None:
    """Missing, a folder, a FIFO, empty, a link to itself, a text: each is refused, and none stops the others."""
    outcomes = await batched(real_session(emulator), [unusual_files / name for name in ODD])
    assert words(outcomes) == ["refused"] * 3 + ["analyzed"] + ["refused"] * 3
    assert len(emulator.service.ledger) == 1
