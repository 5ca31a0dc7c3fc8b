"""Tests of ids that the journal could not store at once, of missing tagging subjects, and of what lookups exclude."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from ochy_async import SideView
from ochy_async.batch.outcomes import Uncertain
from ochy_async.emulator import (
    DisconnectAfter,
    Fault,
    FaultPlan,
    FaultRule,
    Respond,
    ResponseShapes,
    Service,
    UploadedVideo,
    in_process,
)
from ochy_async.emulator.messages import Form, ServiceRequest
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import CREATE_SUBJECT, START
from tests.conftest import Recorded, direct_session, world
from tests.support.batches import (
    ONE_AT_A_TIME,
    FullFor,
    FullForReleases,
    batched,
    charges,
    clip,
    clips,
    named,
    requests_with,
    states,
    words,
)


def test_a_paid_id_is_stored_as_soon_as_the_journal_works() -> None:
    """Not stored when the start was accepted, but before the next change of the clip: it is not uncertain later."""
    service, journal = Service(world()), FullFor(State.STARTED, 1)
    assert words(in_virtual_time(batched(direct_session(service), clips(1), journal=journal))) == ["analyzed"]
    assert in_virtual_time(states(journal)) == {State.ANALYZED: 1}
    (again,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert (again.word, charges(service)) == ("analyzed", [1])


def test_a_paid_id_is_stored_when_the_batch_is_left() -> None:
    """Nothing else of the clip could be stored; the next run only collects it."""
    service = Service(world(analysis_seconds=(500.0, 500.0)))
    journal = FullFor(State.STARTED, 1)
    (first,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal, timeout=5))
    assert first.word == "unfinished"
    assert in_virtual_time(states(journal)) == {State.STARTED: 1}
    (again,) = in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    assert (again.word, charges(service)) == ("analyzed", [1])


def test_a_paid_id_that_is_never_stored_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The disk stays full: the log names the analysis, because nothing else knows it."""
    service, journal = Service(world()), FullFor(State.STARTED, 100)
    in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    (charge,) = service.ledger
    assert f"has not stored the paid analysis {charge.analysis_id}" in caplog.text


def asked(service: Service, method: str, path: str) -> Any:
    """What the vendor answers to another client."""
    answer = service.handle(ServiceRequest(method, path, {"apiKey": service.api_key}), 1_767_225_600.0)
    assert answer.status == 200
    return json.loads(answer.body)


def delete_subjects(service: Service) -> None:
    """Deletes all subjects of the account."""
    for subject in asked(service, "GET", "/subjects")["subjects"]:
        asked(service, "POST", f"/subjects/{subject['id']}/delete")


def test_a_deleted_tagging_subject_costs_no_clip() -> None:
    """Each one of an earlier run is dropped once; the clip goes on with the next or a new one."""
    service, journal = Service(world()), MemoryJournal()
    first = batched(
        direct_session(service), clips(2), journal=journal, tag_starts=True, concurrency=Concurrency(uploads=2)
    )
    assert words(in_virtual_time(first)) == ["analyzed"] * 2
    assert len({charge.subject_id for charge in service.ledger}) == 2
    delete_subjects(service)
    second = batched(direct_session(service), [clip(8), clip(9)], journal=journal, tag_starts=True)
    assert words(in_virtual_time(second)) == ["analyzed"] * 2
    assert charges(service) == [1] * 4
    faults = Recorded()
    third = batched(direct_session(service, faults), [clip(7)], journal=journal, tag_starts=True)
    assert words(in_virtual_time(third)) == ["analyzed"]
    assert faults.routes.count(str(START)) == 1


def test_a_new_tagging_subject_that_is_missing_ends_the_clip() -> None:
    """The clip is unfinished, and nothing is repeated forever."""
    service = Service(world())

    class Forgetting(Recorded):
        def fault_for(self, route: str, count: int) -> Fault | None:
            if route == str(START):
                delete_subjects(service)
            return super().fault_for(route, count)

    faults = Forgetting()
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), tag_starts=True))
    assert outcome.word == "unfinished"
    assert faults.routes.count(str(START)) == 1


# --- refused uploads, and a wrong clock -----------------------------------------------------------

LEAVING = world(list_refused_uploads=True, too_long_clips={"long.mp4"})
LOST = FaultRule(str(START), DisconnectAfter(charged=False), occurrence=2)


@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "untagged"])
@pytest.mark.parametrize("runs", [1, 2], ids=["in the same run", "in the next run"])
def test_the_analysis_of_a_refused_upload_is_not_adopted(tagged: bool, runs: int) -> None:
    """The next start is lost: the analysis that the refused upload may have left is not taken for its own."""
    service, journal, faults = Service(LEAVING), MemoryJournal(), Recorded(FaultPlan([LOST]))
    settings: dict[str, Any] = {"journal": journal, "tag_starts": tagged, "concurrency": Concurrency(uploads=1)}
    source = [named("long.mp4", 0), named("short.mp4", 1)]
    if runs == 2:
        in_virtual_time(batched(direct_session(service, faults), source[:1], **settings))
    outcomes = in_virtual_time(batched(direct_session(service, faults), source, **settings))
    assert words(outcomes) == ["refused", "uncertain"]
    assert faults.routes.count(str(START)) == 2


def test_a_refusal_that_cannot_be_stored_stays_uncertain() -> None:
    """Without the note about its subject and time, the refusal is not stored either."""
    service, journal = Service(LEAVING), FullForReleases()
    settings: dict[str, Any] = {"journal": journal, "tag_starts": True}
    (refused,) = in_virtual_time(batched(direct_session(service), [named("long.mp4", 0)], **settings))
    assert refused.word == "refused"
    assert in_virtual_time(states(journal)) == {State.SENDING: 1}


def test_the_tagging_subject_of_a_refused_request_is_not_used_again() -> None:
    """A 422 may have left an analysis on the subject: the next start of the run is tagged with another one."""
    faults = requests_with(FaultRule(str(START), Respond(422, b'{"detail": "no"}')))
    settings: dict[str, Any] = {"tag_starts": True, "concurrency": ONE_AT_A_TIME}
    outcomes = in_virtual_time(batched(direct_session(faults=faults), clips(2), **settings))
    assert sorted(words(outcomes)) == ["analyzed", "refused"]
    assert faults.routes.count(str(CREATE_SUBJECT)) == 2


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_tagged_start_is_found_whatever_the_vendors_clock_says(hours: int) -> None:
    """The analysis of its subject is the start, even if it seems to be made long before or after."""
    service = Service(world(clock_offset=hours * 3600.0, shapes=ResponseShapes(subject_items="objects")))
    faults = Recorded(FaultPlan([FaultRule(str(START), DisconnectAfter(charged=True))]))
    (outcome,) = in_virtual_time(batched(direct_session(service, faults), clips(1), tag_starts=True))
    assert (outcome.word, charges(service)) == ("analyzed", [1])


# --- what lookups exclude -------------------------------------------------------------------------


def started_elsewhere(service: Service) -> None:
    """Starts an analysis as another program of the account."""
    form = Form({"analysis_type": "side_view"}, UploadedVideo("other.mp4", 5, "ab" * 32))
    ask = ServiceRequest("POST", "/analysis/start", {"apiKey": service.api_key}, form=form)
    assert service.handle(ask, in_process.loop_clock()).status == 202


def test_the_start_of_a_dead_process_was_over_at_its_deadline() -> None:
    """What another program starts hours later is no candidate."""
    service, journal = Service(world()), FullFor(State.UNCERTAIN, 5)
    faults = Recorded(FaultPlan([FaultRule(str(START), DisconnectAfter(charged=False))]))

    async def story() -> Any:
        await batched(direct_session(service, faults), clips(1), journal=journal)
        assert await states(journal) == {State.SENDING: 1}
        journal.times = 0
        await anyio.sleep(3 * 3600)
        started_elsewhere(service)
        return await batched(direct_session(service), clips(1), journal=journal)

    (outcome,) = in_virtual_time(story())
    assert isinstance(outcome, Uncertain)
    assert not outcome.candidates


def test_analyses_started_by_this_session_are_no_candidates() -> None:
    """The session knows the only other analysis of the account, though the journal does not."""
    service = Service(world())
    faults = Recorded(FaultPlan([FaultRule(str(START), DisconnectAfter(charged=False), occurrence=2)]))

    async def story() -> Any:
        async with direct_session(service, faults) as ochy:
            await ochy.start(clip(5), SideView())
            async with ochy.batch(SideView()) as batch:
                return [outcome async for outcome in batch.run(clips(1))]

    (outcome,) = in_virtual_time(story())
    assert isinstance(outcome, Uncertain)
    assert not outcome.candidates
