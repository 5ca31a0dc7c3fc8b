"""Tests of lists of the account that several lookups share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from traceback import walk_tb
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import evolve

from ochy_async import SideView
from ochy_async.batch import account_lists
from ochy_async.batch.account_lists import AccountLists, AccountView
from ochy_async.batch.recorder import NOTES_AT_ONCE, note_of_release, released_starts
from ochy_async.core import SessionCore
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    FaultRule,
    InProcessTransport,
    Respond,
    ResponseShapes,
    Service,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import OchyError, StartAttempt
from ochy_async.journal.contract import Journal
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.limits import Limits
from ochy_async.policy.reconciliation import LISTING_PAUSE, MOST_CANDIDATES, SKEW
from ochy_async.policy.retry import Retry
from ochy_async.protocol.routes import LIST_ANALYSES
from ochy_async.protocol.routes import START as START_ROUTE
from tests.conftest import Recorded, direct_session, loop_clock, world
from tests.support.batches import batched, clip, requests_with, words

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400.0
START = StartAttempt("a.mp4", "side_view", NOW, NOW + timedelta(minutes=1))


def lists_of(faults: Recorded, service: Service | None = None, journal: Journal | None = None) -> AccountLists:
    """The shared lists of an account without analyses."""
    core = SessionCore(
        InProcessTransport(service or Service(world()), faults),
        Retry(attempts=1),
        Limits(),
        loop_clock,
        lambda: 0.5,
    )
    core.state.open = True
    return AccountLists(core, journal or MemoryJournal())


def story(faults: Recorded, *begin: float) -> list[AccountView | OchyError]:
    """What lookups see that begin after so many seconds, in their order."""
    seen: dict[int, AccountView | OchyError] = {}

    async def look_up(lists: AccountLists, number: int, seconds: float) -> None:
        await anyio.sleep(seconds)
        try:
            seen[number] = await lists.view(START)
        except OchyError as error:
            seen[number] = error

    async def run() -> None:
        lists = lists_of(faults)
        async with lists.journal, anyio.create_task_group() as group:
            for number, seconds in enumerate(begin):
                group.start_soon(look_up, lists, number, seconds)

    in_virtual_time(run())
    return [seen[number] for number in sorted(seen)]


def slow(*faults: Any) -> Recorded:
    """Each list takes a second."""
    return requests_with(*faults, FaultRule(str(LIST_ANALYSES), Delay(1.0), times=100))


def test_lookups_that_begin_together_share_a_list() -> None:
    """Thirty lookups need one request."""
    faults = slow()
    views = story(faults, *[0.0] * 30)
    assert len(views) == 30
    assert len({id(view) for view in views}) == 1
    assert faults.routes.count(str(LIST_ANALYSES)) == 1


def test_no_lookup_gets_a_list_that_was_asked_for_before_it_began() -> None:
    """A lookup that begins while a list is under way waits for the next one: its start may be newer than the list."""
    faults = slow()
    first, during, later, after = story(faults, 0.0, 0.5, 0.9, 1.0 + LISTING_PAUSE / 2)
    assert first is not during
    assert during is later is after
    assert faults.routes.count(str(LIST_ANALYSES)) == 2


def test_the_account_is_listed_once_in_two_seconds() -> None:
    """Lookups that begin one after the other wait for each other's pause."""
    faults = slow()
    story(faults, *(number / 10 for number in range(100)))
    assert faults.routes.count(str(LIST_ANALYSES)) <= 10 / LISTING_PAUSE


def test_a_list_without_an_answer_is_shared_too() -> None:
    """All lookups that waited for it learn why; the next one asks again."""
    faults = requests_with(FaultRule(str(LIST_ANALYSES), Respond(503), times=1))
    *failed, last = story(faults, 0.0, 0.0, 0.0, 10.0)
    assert all(isinstance(each, OchyError) for each in failed)
    assert len({id(each) for each in failed}) == 3  # the tracebacks of one error would grow with each lookup
    assert len({len(list(walk_tb(each.__traceback__))) for each in failed if isinstance(each, OchyError)}) == 1
    assert isinstance(last, AccountView)
    assert faults.routes.count(str(LIST_ANALYSES)) == 2


def test_a_shared_list_has_the_analyses_of_every_start_that_waits() -> None:
    """Two starts of different days are looked up with one list, and each sees what was made at its time."""
    service = Service(world())
    seen = list[list[str]]()

    async def look_up(lists: AccountLists, moment: datetime) -> None:
        start = evolve(START, earliest=moment, latest=moment)
        seen.append([each.analysis_id for each in (await lists.view(start)).near(start)])

    async def run() -> list[list[str]]:
        started, moments, lists = list[str](), list[datetime](), lists_of(requests_with(), service)
        async with direct_session(service) as ochy:
            for number in range(2):
                moments.append(loop_clock())
                started.append((await ochy.start(clip(number), SideView())).analysis_id)
                await anyio.sleep(DAY)
        async with lists.journal, anyio.create_task_group() as group:
            for moment in moments:
                group.start_soon(look_up, lists, moment)
        return [[each] for each in started]

    assert in_virtual_time(run()) == seen


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_another_lookup_lists_if_the_one_that_lists_is_cancelled(seconds: float) -> None:
    """It asks anew: the answer to the request of the other one would not have come."""
    faults = slow()
    views = list[AccountView]()

    async def run() -> None:
        lists = lists_of(faults)

        async def look_up() -> None:
            views.append(await lists.view(START))

        async with lists.journal, anyio.create_task_group() as group:
            with anyio.move_on_after(0.7):
                group.start_soon(_after(seconds, look_up))
                await lists.view(START)

    in_virtual_time(run())
    assert len(views) == 1
    assert faults.routes.count(str(LIST_ANALYSES)) == 2


class CountsNotes(MemoryJournal):
    """Counts the notes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        found = await super().notes(prefix, since)
        self.read += len(found)
        return found


def test_a_list_reads_only_the_released_starts_that_may_explain_it() -> None:
    """Those that were over long before cannot, and there may be thousands of them. A note without a time in its name,
    as earlier versions have written it, is always read."""
    journal = CountsNotes()
    limit = START.earliest - 2 * SKEW

    async def run() -> AccountView:
        lists = lists_of(requests_with(), journal=journal)
        async with journal:
            for number in range(1_000):
                over = limit - timedelta(seconds=1 + number)
                await journal.set_note(*note_of_release(f"a{number}:3", over, over, "side_view", None))
            await journal.set_note(*note_of_release("b:3", limit, limit, "side_view", None))
            await journal.set_note(*note_of_release("c:3", NOW - timedelta(days=9), NOW, "", None))
            _, value = note_of_release("d:3", NOW, NOW, "back_view", None)
            await journal.set_note(f"released:{'d' * 64}:3", value)
            return await lists.view(START)

    view = in_virtual_time(run())
    assert [(each.latest, each.view) for each in view.released] == [
        (NOW, "back_view"),
        (limit, "side_view"),
        (NOW, ""),
    ]
    assert journal.read == 3


class CountsQuestions(MemoryJournal):
    """Counts the analyses that the journal is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        self.asked += len(analysis_ids)
        return await super().known(analysis_ids)


def test_the_journal_is_not_asked_about_each_analysis_without_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them may be any start. A hundred show that no start can be matched; more say nothing."""
    monkeypatch.setattr(account_lists, "IDS_AT_ONCE", 10)
    service, journal = Service(world(shapes=ResponseShapes(items="strings"))), CountsQuestions()

    async def run() -> list[AccountView]:
        async with direct_session(service) as ochy:
            for number in range(3 * MOST_CANDIDATES):
                await ochy.start(clip(number), SideView())
        lists = lists_of(requests_with(), service, journal)
        async with journal:
            return [await lists.view(START) for _ in range(2)]

    for view in in_virtual_time(run()):
        assert len(list(view.near(START))) == MOST_CANDIDATES
        assert not view.complete
    assert journal.asked == 2 * MOST_CANDIDATES


def test_no_analysis_is_adopted_from_a_list_that_was_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the analyses that were left out may explain the start as well."""
    monkeypatch.setattr(account_lists, "MOST_CANDIDATES", 0)
    service = Service(world(credits=5))

    async def run() -> list[str]:
        lost = requests_with(FaultRule(str(START_ROUTE), DisconnectAfter()))
        return words(await batched(direct_session(service, lost), [clip(0)]))

    assert in_virtual_time(run()) == ["uncertain"]


def test_released_starts_are_read_in_slices() -> None:
    """Thousands of uploads that were refused within an hour do not block the loop."""
    count = 10 * NOTES_AT_ONCE

    async def run() -> tuple[list[StartAttempt], int]:
        turns, reading, found = 0, True, list[StartAttempt]()
        async with MemoryJournal() as journal, anyio.create_task_group() as group:

            async def count_turns() -> None:
                nonlocal turns
                while reading:
                    turns += 1
                    await checkpoint()

            for number in range(count):
                await journal.set_note(*note_of_release(f"{number}:3", NOW, NOW, "side_view", None))
            group.start_soon(count_turns)
            found = await released_starts(journal, NOW)
            reading = False
        return found, turns

    found, turns = in_virtual_time(run())
    assert len(found) == count
    assert turns >= count / NOTES_AT_ONCE


def _after(seconds: float, act: Any) -> Any:
    async def later() -> None:
        await anyio.sleep(seconds)
        await act()

    return later
