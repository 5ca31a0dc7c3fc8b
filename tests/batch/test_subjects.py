"""Tests of the subjects of a batch: ids are checked, names become ids, and no clip is bought twice because of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BatchItem, OchySession, SideView
from ochy_async.batch.outcomes import Outcome
from ochy_async.batch.recorder import MAX_CONFLICTS
from ochy_async.batch.submit import MOST_SUBJECTS
from ochy_async.emulator import DisconnectAfter, Fault, FaultPlan, FaultRule, ReplaceBody, Respond, Service, sample_clip
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import ConnectionFailed, InvalidRequest, OchyError
from ochy_async.events import SubjectCreated
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import CREATE_SUBJECT, GET_SUBJECT, LIST_SUBJECT_ANALYSES, LIST_SUBJECTS, START
from tests.conftest import Recorded, direct_session, world

LIST, GET, CREATE = str(LIST_SUBJECTS), str(GET_SUBJECT), str(CREATE_SUBJECT)


def service_of(*names: str) -> tuple[Service, list[str]]:
    """A service with subjects of these names, and their ids."""
    service = Service(world())

    async def made() -> list[str]:
        async with direct_session(service) as ochy:
            return [(await ochy.create_subject(name=name)).subject_id for name in names]

    return service, in_virtual_time(made())


def items_of(*subjects: str | None) -> list[BatchItem]:
    """An item for each subject."""
    return [
        BatchItem(sample_clip(n), SideView(subject_id=each), where=f"runners.csv, line {n + 2}")
        for n, each in enumerate(subjects)
    ]


def run(
    service: Service, items: Sequence[BatchItem], faults: Any = None, create: bool = False, **settings: Any
) -> list[Outcome[Any, Any]]:
    """The outcomes of a batch of the items, after their subjects were resolved."""
    on_event = settings.pop("on_event", None)

    async def story() -> list[Outcome[Any, Any]]:
        ochy: OchySession = direct_session(service, faults, on_event=on_event)
        async with ochy, ochy.batch(**settings) as batch:
            resolved = await batch.resolve_subjects(items, create=create)
            return sorted([each async for each in batch.run(resolved)], key=lambda outcome: outcome.index)

    return in_virtual_time(story())


def problems_of(caught: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return [str(each) for each in caught.value.problems]


# --- ids ------------------------------------------------------------------------------------------


def test_an_id_is_checked_once_before_anything_is_uploaded() -> None:
    """One distinct id is one `GET`, however many clips have it."""
    service, (anna,) = service_of("Anna")
    faults = Recorded()
    outcomes = run(service, items_of(anna, None, anna), faults)
    assert [each.word for each in outcomes] == ["analyzed"] * 3
    assert faults.routes[0] == GET
    assert (faults.routes.count(GET), faults.routes.count(LIST)) == (1, 0)


def test_several_ids_are_checked_with_one_list() -> None:
    """However many there are."""
    service, ids = service_of("Anna", "Ben", "Cem")
    faults = Recorded()
    run(service, items_of(*ids, *ids), faults)
    assert (faults.routes.count(GET), faults.routes.count(LIST)) == (0, 1)


def test_ids_that_do_not_exist_are_reported_with_their_lines() -> None:
    """All of them at once; nothing is uploaded or charged."""
    service, (anna,) = service_of("Anna")
    faults = Recorded()
    with pytest.raises(InvalidRequest, match="nothing was charged") as caught:
        run(service, items_of(anna, "gone", "Ben Müller", "gone", ".."), faults)
    assert [each.partition(":")[0] for each in problems_of(caught)] == [
        "runners.csv, line 3, subject",
        "runners.csv, line 4, subject",
        "runners.csv, line 6, subject",
    ]
    assert all("no such subject" in each for each in problems_of(caught))
    assert str(START) not in faults.routes
    assert not service.ledger


def test_an_id_that_the_list_does_not_show_is_asked_for() -> None:
    """The vendor may page its lists."""
    service, ids = service_of("Anna", "Ben")
    faults = Recorded(FaultPlan([FaultRule(LIST, ReplaceBody(b'{"subjects": []}'))]))
    assert [each.word for each in run(service, items_of(*ids), faults)] == ["analyzed"] * 2
    assert faults.routes.count(GET) == 2


def test_a_server_that_cannot_be_reached_costs_nothing() -> None:
    """The error is that of the network, and it comes before the first start."""
    service, (anna,) = service_of("Anna")
    with pytest.raises(OchyError):
        run(service, items_of(anna), FaultPlan([FaultRule(GET, Respond(503), times=50)]))
    assert not service.ledger


def test_paid_clips_of_deleted_subjects_are_collected() -> None:
    """A finished batch run again sends no request."""
    service, (anna,) = service_of("Anna")
    journal, faults = MemoryJournal(), Recorded()
    run(service, items_of(anna), journal=journal)
    delete(service, anna)
    (outcome,) = run(service, items_of(anna), faults, journal=journal)
    assert outcome.word == "analyzed"
    assert not faults.routes


def delete(service: Service, subject_id: str) -> None:
    async def deleted() -> None:
        async with direct_session(service) as ochy:
            await ochy.delete_subject(subject_id)

    in_virtual_time(deleted())


# --- names ----------------------------------------------------------------------------------------


def names_of(service: Service) -> list[str | None]:
    async def listed() -> list[str | None]:
        async with direct_session(service) as ochy:
            return [each.name for each in await ochy.list_subjects()]

    return in_virtual_time(listed())


def test_names_are_found_or_created(tmp_path: Path) -> None:
    """By one list; a new name is created once. The outcome and the table have the name and the id."""
    service, (anna,) = service_of("Anna Müller")
    faults, events = Recorded(), list[Any]()
    items = items_of("anna  mu\u0308ller", "Ben", "BEN", anna, None)
    outcomes = run(service, items, faults, create=True, out=tmp_path / "out", on_event=events.append)
    ben = outcomes[1].request.subject_id
    assert [each.request.subject_id for each in outcomes] == [anna, ben, ben, anna, None]
    assert [each.subject for each in outcomes] == ["anna  mu\u0308ller", "Ben", "BEN", None, None]
    assert names_of(service) == ["Anna Müller", "Ben"]
    assert (faults.routes.count(LIST), faults.routes.count(CREATE)) == (1, 1)
    assert [each for each in events if isinstance(each, SubjectCreated)] == [
        SubjectCreated("runners.csv, line 3", ben or "")
    ]
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["subject"], row["subject_id"]) for row in table[1:4]] == [("Ben", ben), ("BEN", ben), (anna, anna)]


def test_an_exact_name_is_preferred_to_a_similar_one() -> None:
    """Two runners may differ in upper and lower case only."""
    service, (upper, lower) = service_of("ANNA", "anna")
    outcomes = run(service, items_of("anna", "ANNA"), create=True)
    assert [each.request.subject_id for each in outcomes] == [lower, upper]


def test_ambiguous_names_and_unknown_ids_are_reported() -> None:
    """Nothing is created before all is right; a mistyped id does not become a name."""
    service, (one, other) = service_of("Anna", "anna")
    missing = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(InvalidRequest) as caught:
        run(service, items_of("Ben", "AnnA", missing), create=True)
    first, second = problems_of(caught)
    assert first == f"runners.csv, line 3, subject: 2 subjects have this name: give one of the ids {one}, {other}"
    assert "line 4" in first or "line 4" in second
    assert names_of(service) == ["Anna", "anna"]


def test_an_uncertain_creation_is_not_repeated() -> None:
    """A subject that was created without an answer exists once, and the next run finds it."""
    service, _ = service_of()
    journal = MemoryJournal()
    with pytest.raises(ConnectionFailed):
        run(service, items_of("Ben"), FaultPlan([FaultRule(CREATE, DisconnectAfter())]), create=True, journal=journal)
    assert names_of(service) == ["Ben"]
    run(service, items_of("Ben"), create=True, journal=journal)
    assert names_of(service) == ["Ben"]
    assert len(service.ledger) == 1


def test_a_journal_keeps_the_id_of_a_name() -> None:
    """A new subject of the same name must not buy its clips again; nothing is requested."""
    service, _ = service_of()
    journal, faults = MemoryJournal(), Recorded()
    first = run(service, items_of("Ben"), create=True, journal=journal)
    delete(service, first[0].request.subject_id or "")
    second = run(service, items_of("BEN"), faults, create=True, journal=journal)
    assert second[0].request.subject_id == first[0].request.subject_id
    assert not faults.routes
    assert len(service.ledger) == 1


def test_a_plan_sends_no_request_for_subjects() -> None:
    """Names that the journal knows are those that were paid for; any other would be bought."""
    service, _ = service_of()
    journal, faults = MemoryJournal(), Recorded()
    run(service, items_of("Ben"), create=True, journal=journal)

    async def planned() -> tuple[int, int]:
        async with direct_session(service, faults) as ochy, ochy.batch(journal=journal) as batch:
            items = await batch.resolve_subjects(items_of("Ben", "Cem"), create=True, ask=False)
            plan = await batch.plan(items)
            return plan.done, plan.to_buy

    assert in_virtual_time(planned()) == (1, 1)
    assert not faults.routes


def test_clips_without_subjects_need_no_request() -> None:
    """The items stay as they are; the batch's own request counts like any other."""
    service, (anna,) = service_of("Anna")
    faults = Recorded()

    async def story() -> tuple[list[str], list[str]]:
        async with direct_session(service, faults) as ochy:
            async with ochy.batch(SideView()) as batch:
                assert await batch.resolve_subjects([BatchItem(b"x")]) == (BatchItem(b"x", SideView()),)
            before = list(faults.routes)
            async with ochy.batch(SideView(subject_id=anna)) as batch:
                await batch.resolve_subjects([BatchItem(b"x")])
            return before, faults.routes

    assert in_virtual_time(story()) == ([], [GET])


def test_a_subject_of_the_users_own_never_tags_another_start() -> None:
    """The next clip, which has no subject, is not linked to that runner."""
    service, (anna,) = service_of("Anna")
    outcomes = run(service, items_of(anna, None, None), tag_starts=True, concurrency=Concurrency(uploads=1))
    assert [outcome.word for outcome in outcomes] == ["analyzed"] * 3
    assert [charge.subject_id for charge in service.ledger].count(anna) == 1


class SameSubject(Recorded):
    """Answers each creation of a subject with the same id."""

    def __init__(self, subject_id: str) -> None:
        no_list = FaultRule(str(LIST_SUBJECT_ANALYSES), Respond(503), times=10_000)
        super().__init__(FaultPlan([FaultRule(str(START), DisconnectAfter()), no_list]))
        self.subject_id = subject_id

    def fault_for(self, route: str, count: int) -> Fault | None:
        fault = super().fault_for(route, count)
        return ReplaceBody(b'{"subject_id": "%s"}' % self.subject_id.encode()) if route == CREATE else fault


def test_a_server_that_makes_no_new_subjects_ends_a_clip() -> None:
    """A subject that tags another start is refused, and others are asked for a limited number of times."""
    service, (tag,) = service_of("tag")
    faults = SameSubject(tag)
    outcomes = run(service, items_of(None, None), faults, tag_starts=True)
    assert sorted(each.word for each in outcomes) == ["uncertain", "unfinished"]
    assert faults.routes.count(CREATE) == 1 + MAX_CONFLICTS * MOST_SUBJECTS
    assert len(service.ledger) == 1
