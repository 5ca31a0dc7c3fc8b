"""The contract of every journal: what is stored, what is refused, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochy_async.errors import JournalBusy, JournalConflict, JournalUnusable, LimitReached
from ochy_async.journal.contract import LEASE, Ceilings, Entry, HistoryEntry, Journal, JournalTotals, StoredResults
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.store import PAGE
from ochy_async.policy.clip_states import TRANSITIONS, State
from tests.support.postgres_journals import PostgresPlace

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WAY: dict[State, tuple[State, ...]] = {
    State.INTENDED: (State.INTENDED,),
    State.SENDING: (State.INTENDED, State.SENDING),
    State.OPEN: (State.INTENDED, State.OPEN),
    State.UNCERTAIN: (State.INTENDED, State.SENDING, State.UNCERTAIN),
    State.REFUSED: (State.INTENDED, State.REFUSED),
    State.STARTED: (State.INTENDED, State.STARTED),
    State.ANALYZED: (State.INTENDED, State.STARTED, State.ANALYZED),
    State.FAILED: (State.INTENDED, State.STARTED, State.FAILED),
}
"""How an entry gets into each state."""


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """Each kind of journal, not yet open."""
    kinds: dict[str, Callable[[], Journal]] = {
        "memory": MemoryJournal,
        "sqlite": lambda: SqliteJournal(tmp_path / "clips.journal"),
        "postgres": lambda: postgres_place(request).worker(),
    }
    return kinds[request.param]()


class Shared(Protocol):
    """A place that several workers share, and the clock by which their leases end."""

    def worker(self) -> Journal:
        """One more journal on the place, not yet open."""
        ...

    async def later(self, seconds: float) -> None:
        """Lets time pass, in which no worker beats."""
        ...


class SharedMemory:
    """Several workers on one store in memory."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = MemoryStore(clock=lambda: self.now, ceilings=Ceilings(uploads=3))

    def worker(self) -> Journal:
        return MemoryJournal(self.store)

    async def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(params=["memory", "postgres"])
def shared(request: pytest.FixtureRequest) -> Shared:
    """Each kind of journal that several workers may have open."""
    return SharedMemory() if request.param == "memory" else postgres_place(request)


def postgres_place(request: pytest.FixtureRequest) -> PostgresPlace:
    """A new schema. Skips the test, with the reason, where no Postgres can be run."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")
    return PostgresPlace(request.getfixturevalue("postgres_server"))


@pytest.fixture
async def two(shared: Shared) -> AsyncGenerator[tuple[Journal, Journal]]:
    """Two open workers of one place."""
    async with shared.worker() as one, shared.worker() as other:
        yield one, other


def new(key: str = "a", **facts: Any) -> Entry:
    """An entry that was not stored yet."""
    given: dict[str, Any] = {"key": key, "state": State.INTENDED, "at": NOW, **facts}
    return Entry(**given)


async def stored_in_state(journal: Journal, state: State, key: str = "a", **facts: Any) -> Entry:
    """A stored entry that was changed step by step into a state."""
    entry = new(key, **facts)
    for step in WAY[state]:
        entry = await journal.put(evolve(entry, state=step))
    return entry


async def listed(journal: Journal, *states: State) -> list[Entry]:
    """All entries in some states."""
    return [entry async for entry in journal.entries(*states)]


# --- storing --------------------------------------------------------------------------------------


async def test_a_new_journal_is_empty(journal: Journal) -> None:
    """Every call returns an empty result."""
    async with journal:
        assert await journal.get("a") is None
        assert await journal.results("a") is None
        assert await journal.history("a") == ()
        assert await listed(journal) == []
        assert await journal.totals() == JournalTotals(entries={}, credits=0, committed=0, analyses=0)
        assert await journal.known(["x"]) == frozenset()
        assert await journal.notes("") == {}
        assert await journal.tagging_subjects() == {}
        assert await journal.remembered_digest("a") is None
        assert await journal.holder("a") is None
        assert await journal.beat() == 0.0
        assert not journal.failover


async def test_a_journal_on_a_server_has_a_clock(journal: Journal) -> None:
    """Here it is the clock of this machine. Other journals have none."""
    async with journal:
        before, now, after = datetime.now(UTC), await journal.now(), datetime.now(UTC)
    assert now is None or before - timedelta(seconds=1) < now < after + timedelta(seconds=1)
    assert (now is not None) is journal.shared


async def test_an_entry_is_returned_unchanged(journal: Journal) -> None:
    """With every field, and its next version."""
    entry = new(
        credits=2,
        clip="clips/Läufer \U0001f3c3.mp4",
        name="runner.mp4",
        view="side_view",
        subject_id="subject-1",
        earliest=NOW - timedelta(seconds=5),
        latest=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))),
        analysis_id="analysis-1",
        token="random",
        started_at=NOW + timedelta(microseconds=1),
        reason='line\nbreak, \x00 and "quotes" \' \\',
    )
    async with journal:
        stored = await journal.put(entry)
        assert stored == evolve(entry, version=1)
        assert await journal.get("a") == stored
    async with journal:
        assert await journal.get("a") == stored


@pytest.mark.parametrize(
    "name", [os.fsdecode(b"clip-\xff\xfe.mp4"), "a\x00b", "", "'; DROP TABLE entries; --", "ß\u2028%_"]
)
async def test_any_text_is_stored_unchanged(journal: Journal, name: str) -> None:
    """Broken encodings, NUL, quotes and wildcards, as key, clip and note."""
    async with journal:
        await journal.put(new(key=name, clip=name, reason=name))
        await journal.set_note(name, name)
    async with journal:
        entry = await journal.get(name)
        assert entry is not None
        assert (entry.key, entry.clip, entry.reason) == (name, name, name)
        assert await journal.notes(name) == {name: name}


async def test_put_all_is_one_step(journal: Journal) -> None:
    """All changes with their history, or none if one is a conflict."""
    async with journal:
        stored = [await journal.put(new(key)) for key in ("k1", "k2")]
        open_again = [evolve(each, state=State.OPEN, reason="again") for each in stored]
        with pytest.raises(JournalConflict):
            await journal.put_all([open_again[0], evolve(open_again[1], version=7)])
        assert [await journal.get(each.key) for each in stored] == stored
        same_analysis = [evolve(each, state=State.STARTED, analysis_id="x") for each in stored]
        with pytest.raises(JournalConflict):
            await journal.put_all(same_analysis)
        assert [await journal.get(each.key) for each in stored] == stored
        assert [len(await journal.history(each.key)) for each in stored] == [1, 1]
        assert await journal.known("x") == frozenset()
        await journal.put_all(open_again)
        assert [(await journal.history(each.key))[-1].reason for each in stored] == ["again", "again"]
        assert (await journal.totals()).entries == {State.OPEN: 2}


async def test_results_are_stored_apart(journal: Journal) -> None:
    """They stay when the entry changes without them, and are replaced as a whole."""
    first, second = StoredResults(results=b'{"a": 1}', calculated=b"\x00\xff" * 5000), StoredResults(results=b"{}")
    async with journal:
        entry = await stored_in_state(journal, State.STARTED)
        assert await journal.results("a") is None
        entry = await journal.put(evolve(entry, state=State.ANALYZED), first)
        entry = await journal.put(evolve(entry, reason="looked again"))
        assert await journal.results("a") == first
        await journal.put(entry, second)
    async with journal:
        assert await journal.results("a") == second
        assert await journal.results("b") is None


async def test_the_history_lists_every_change(journal: Journal) -> None:
    """In order, with the facts of that time, of this entry only."""
    async with journal:
        entry = await journal.put(new(reason="first try"))
        await journal.put(new("b"))
        entry = await journal.put(evolve(entry, state=State.OPEN, reason="not sent", at=NOW + timedelta(seconds=1)))
        entry = await journal.put(evolve(entry, state=State.INTENDED, reason=""))
        await journal.put(evolve(entry, state=State.STARTED, analysis_id="x"))
    async with journal:
        assert await journal.history("a") == (
            HistoryEntry(version=1, state=State.INTENDED, at=NOW, reason="first try"),
            HistoryEntry(version=2, state=State.OPEN, at=NOW + timedelta(seconds=1), reason="not sent"),
            HistoryEntry(version=3, state=State.INTENDED, at=NOW + timedelta(seconds=1)),
            HistoryEntry(version=4, state=State.STARTED, at=NOW + timedelta(seconds=1), analysis_id="x"),
        )


async def test_the_totals_count_states_and_credits(journal: Journal) -> None:
    """Of the current entries, not of earlier ones."""
    async with journal:
        for key, state in enumerate([State.STARTED, State.STARTED, State.FAILED, State.OPEN]):
            await stored_in_state(journal, state, str(key), credits=int(state is not State.OPEN))
        assert await journal.totals() == JournalTotals(
            entries={State.STARTED: 2, State.FAILED: 1, State.OPEN: 1}, credits=3, committed=3, analyses=0
        )
        entry = await journal.get("3")
        assert entry is not None
        await journal.put(evolve(entry, state=State.INTENDED, credits=1))
        assert await journal.totals() == JournalTotals(
            entries={State.STARTED: 2, State.FAILED: 1, State.INTENDED: 1},
            credits=4,
            committed=3 + journal.shared,  # another worker may have intended it
            analyses=0,
        )
        await journal.take("3")
        assert (await journal.totals()).committed == 4
        await journal.leave("3")
        assert (await journal.totals()).committed == 3 + journal.shared
        await journal.put(new("4", credits=0))
        assert (await journal.totals()).committed == 3 + journal.shared  # it never had a credit to give back


async def test_no_analysis_id_is_forgotten(journal: Journal) -> None:
    """The id of an earlier start stays known after the clip was started again."""
    async with journal:
        entry = await stored_in_state(journal, State.FAILED, analysis_id="old")
        entry = await journal.put(evolve(entry, state=State.OPEN, analysis_id=None))
        entry = await journal.put(evolve(entry, state=State.INTENDED))
        await journal.put(evolve(entry, state=State.STARTED, analysis_id="new"))
        assert await journal.known(["old", "new", "none", "old"]) == {"old", "new"}
        assert (await journal.totals()).analyses == 2


async def test_an_analysis_belongs_to_one_entry(journal: Journal) -> None:
    """Another entry cannot get it, even after the first was started again; the first may get it once more."""
    async with journal:
        first = await stored_in_state(journal, State.FAILED, analysis_id="x")
        first = await journal.put(evolve(first, state=State.OPEN, analysis_id=None))
        other = await stored_in_state(journal, State.UNCERTAIN, "b")
        with pytest.raises(JournalConflict, match="belongs, or once belonged, to another clip") as refused:
            await journal.put(evolve(other, state=State.STARTED, analysis_id="x"))
        assert refused.value.analysis_id == "x"
        assert await journal.get("b") == other
        first = await journal.put(evolve(first, state=State.INTENDED))
        await journal.put(evolve(first, state=State.STARTED, analysis_id="x"))
        assert (await journal.totals()).analyses == 1


async def test_a_late_analysis_is_added(journal: Journal) -> None:
    """Its credit counts and its id is known; the state stays. The same id again changes nothing."""
    async with journal:
        before = await stored_in_state(journal, State.ANALYZED, analysis_id="x", credits=1)
        after = await journal.add_analysis("a", "late", "a second start")
        assert after == evolve(before, version=before.version + 1, credits=2)
        assert await journal.add_analysis("a", "late", "again") == after
        assert await journal.add_analysis("a", "x", "again") == after
    async with journal:
        assert await journal.get("a") == after
        assert (await journal.history("a"))[-1] == HistoryEntry(
            version=after.version, state=State.ANALYZED, at=NOW, analysis_id="late", reason="a second start"
        )
        assert await journal.known(["x", "late"]) == {"x", "late"}
        assert await journal.totals() == JournalTotals(entries={State.ANALYZED: 1}, credits=2, committed=2, analyses=2)
        await stored_in_state(journal, State.OPEN, "b")
        with pytest.raises(JournalConflict, match="another clip"):
            await journal.add_analysis("b", "late", "")


async def test_a_late_analysis_is_added_whatever_its_entry_shares(journal: Journal) -> None:
    """A paid id is never lost: a subject that tags another start too does not keep it out."""
    async with journal:
        for key in ("a", "b"):
            await stored_in_state(journal, State.UNCERTAIN, key, subject_id="tag")
        await journal.add_tagging_subject("tag")
        after = await journal.add_analysis("a", "late", "")
        other = await journal.add_analysis("b", "later", "")
        assert (after.credits, other.credits) == (1, 1)
        assert await journal.known(["late", "later"]) == {"late", "later"}


async def test_a_note_is_swapped_once(journal: Journal) -> None:
    """Only the caller that knows its present value replaces it; None stands for no note."""
    async with journal:
        assert not await journal.swap_note("a", "", "1")
        assert await journal.swap_note("a", None, "1")
        assert not await journal.swap_note("a", None, "2")
        assert await journal.swap_note("a", "1", "2")
    async with journal:
        assert await journal.notes("a") == {"a": "2"}


async def test_tagging_subjects_are_remembered(journal: Journal) -> None:
    """A retired one stays known; retiring another subject does nothing."""
    async with journal:
        await journal.add_tagging_subject("s1")
        await journal.add_tagging_subject("s2")
        await journal.retire_tagging_subject("s1")
        await journal.retire_tagging_subject("the user's")
    async with journal:
        assert await journal.tagging_subjects() == {"s1": False, "s2": True}


@pytest.mark.parametrize("state", [State.INTENDED, State.SENDING, State.UNCERTAIN])
async def test_a_tagging_subject_has_one_start_that_is_not_resolved(journal: Journal, state: State) -> None:
    """A second start with it is a conflict until the first is resolved. Subjects of the user have any number."""
    async with journal:
        await journal.add_tagging_subject("tag")
        first = await stored_in_state(journal, state, subject_id="tag")
        with pytest.raises(JournalConflict, match="tagging subject"):
            await journal.put(new("b", subject_id="tag"))
        assert await journal.get("b") is None
        await stored_in_state(journal, state, "c", subject_id="the user's")
        await stored_in_state(journal, state, "d", subject_id="the user's")
        await journal.put(evolve(first, state=State.STARTED))
        await journal.put(new("b", subject_id="tag"))


async def test_a_retired_tagging_subject_tags_no_new_start(journal: Journal) -> None:
    """The intent is a conflict and is not stored. What the subject tags already goes on."""
    async with journal:
        await journal.add_tagging_subject("tag")
        first = await journal.put(new(subject_id="tag"))
        await journal.retire_tagging_subject("tag")
        first = await journal.put(evolve(first, state=State.SENDING))
        first = await journal.put(evolve(first, state=State.OPEN))
        for entry in (new("b", subject_id="tag"), evolve(first, state=State.INTENDED)):
            with pytest.raises(JournalConflict, match="tagging subject"):
                await journal.put(entry)
        assert await journal.get("a") == first
        assert await journal.get("b") is None
        await journal.put(evolve(first, state=State.INTENDED, subject_id=None))


async def test_digests_are_remembered_by_source(journal: Journal) -> None:
    """A later digest replaces the former."""
    async with journal:
        for source, digest in [("s3://a/1", "aa"), ("s3://a/2", "bb"), ("s3://a/1", "cc")]:
            await journal.remember_digest(source, digest)
    async with journal:
        assert await journal.remembered_digest("s3://a/1") == "cc"
        assert await journal.remembered_digest("s3://a/2") == "bb"
        assert await journal.remembered_digest("s3://a") is None


async def test_notes_are_found_by_their_prefix(journal: Journal) -> None:
    """A later value replaces the former; wildcards have no meaning."""
    async with journal:
        for name, value in [("tag/1", "a"), ("tag/2", "b"), ("tag0", "c"), ("t_g/1", "d"), ("tag/2", "e")]:
            await journal.set_note(name, value)
        await journal.set_note("tag/\U0001f3c3", "f")
        assert await journal.notes("tag/") == {"tag/1": "a", "tag/2": "e", "tag/\U0001f3c3": "f"}
        assert await journal.notes("t_") == {"t_g/1": "d"}
        assert len(await journal.notes("")) == 5
        assert list(await journal.notes("t", "tag/2")) == ["tag/2", "tag/\U0001f3c3", "tag0"]
        assert await journal.notes("tag/", "tag0") == {}
        assert list(await journal.notes("tag", "a")) == ["tag/1", "tag/2", "tag/\U0001f3c3", "tag0"]


async def test_entries_are_listed_oldest_first_in_pages(journal: Journal) -> None:
    """By creation and not by change; across pages; filtered by state."""
    keys = [f"{(key * 7919) % 1000:03}" for key in range(PAGE + 3)]
    async with journal:
        async with create_task_group() as group:
            for key in keys:
                group.start_soon(stored_in_state, journal, State.INTENDED, key)
        order = [entry.key for entry in await listed(journal)]
        assert sorted(order) == sorted(keys)
        first = await journal.get(order[0])
        assert first is not None
        await journal.put(evolve(first, state=State.STARTED))
        assert [entry.key for entry in await listed(journal)] == order
        assert [entry.key for entry in await listed(journal, State.STARTED)] == order[:1]
        assert len(await listed(journal, State.STARTED, State.INTENDED)) == len(keys)
        assert await listed(journal, State.FAILED) == []


async def test_entries_may_be_changed_while_they_are_listed(journal: Journal) -> None:
    """No entry is listed twice, and none that stays is left out."""
    async with journal:
        for key in range(5):
            await journal.put(new(str(key)))
        seen: list[str] = []
        async for entry in journal.entries(State.INTENDED):
            seen.append(entry.key)
            await journal.put(evolve(entry, state=State.UNCERTAIN))
        assert seen == ["0", "1", "2", "3", "4"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", list(State))
@pytest.mark.parametrize("state", [None, *State])
async def test_only_listed_transitions_are_allowed(state: State | None, wanted: State) -> None:
    """Every pair of states, in memory: the SQLite journal shares the rule."""
    async with MemoryJournal() as journal:
        entry = new() if state is None else await stored_in_state(journal, state)
        if wanted in TRANSITIONS[state]:
            assert (await journal.put(evolve(entry, state=wanted))).state is wanted
        else:
            with pytest.raises(JournalConflict, match=f"cannot become {wanted}"):
                await journal.put(evolve(entry, state=wanted))


async def test_a_forbidden_transition_stores_nothing(journal: Journal) -> None:
    """Neither the entry, nor its results, nor its history."""
    async with journal:
        entry = await stored_in_state(journal, State.ANALYZED)
        with pytest.raises(JournalConflict):
            await journal.put(evolve(entry, state=State.INTENDED), StoredResults(results=b"{}"))
        assert await journal.get("a") == entry
        assert await journal.results("a") is None
        assert len(await journal.history("a")) == 3


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_a_change_of_another_version_is_a_conflict(journal: Journal, version: int) -> None:
    """An entry with an older or newer version than the stored one changes nothing."""
    async with journal:
        entry = await stored_in_state(journal, State.STARTED)
        with pytest.raises(JournalConflict, match="changed by somebody else"):
            await journal.put(evolve(entry, state=State.ANALYZED, version=version))
        assert await journal.get("a") == entry


async def test_an_unknown_entry_cannot_be_changed(journal: Journal) -> None:
    """A version other than 0 of an entry that is not stored is a conflict."""
    async with journal:
        with pytest.raises(JournalConflict):
            await journal.put(new(version=1))
        assert await journal.get("a") is None


async def test_of_many_changes_of_one_version_one_succeeds(journal: Journal) -> None:
    """The others are conflicts, and the history has one change."""
    outcomes: list[str] = []

    async def change(entry: Entry, reason: str) -> None:
        try:
            await journal.put(evolve(entry, state=State.STARTED, reason=reason))
        except JournalConflict:
            outcomes.append("conflict")
        else:
            outcomes.append("won")

    async with journal:
        entry = await journal.put(new())
        async with create_task_group() as group:
            for worker in range(20):
                group.start_soon(change, entry, str(worker))
        assert sorted(outcomes) == ["conflict"] * 19 + ["won"]
        assert len(await journal.history("a")) == 2


async def test_a_conflict_does_not_affect_other_changes(journal: Journal) -> None:
    """Changes that share a commit succeed or fail independently."""
    async with journal:
        stored = [await journal.put(new(str(key))) for key in range(10)]
        for entry in stored[::2]:
            await journal.put(evolve(entry, state=State.OPEN))
        changes = [journal.put(evolve(entry, state=State.UNCERTAIN)) for entry in stored]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)
        assert [isinstance(outcome, JournalConflict) for outcome in outcomes] == [True, False] * 5
        assert len(await listed(journal, State.UNCERTAIN)) == 5


async def test_the_limit_counts_intents_that_are_held(journal: Journal) -> None:
    """The intent beyond the limit is refused and says what is committed. A credit is free once its intent is opened,
    and in a journal of one worker also once nobody holds it."""
    async with journal:
        await stored_in_state(journal, State.UNCERTAIN, "uncertain", credits=1)
        await stored_in_state(journal, State.FAILED, "failed", credits=1)
        await journal.take("a")
        entry = await journal.put(new(credits=1), most=3)
        with pytest.raises(LimitReached, match="limit of 3 credits") as reached:
            await journal.put(new("b", credits=1), most=3)
        assert reached.value.committed == 3
        assert await journal.get("b") is None
        await journal.put(evolve(entry, state=State.SENDING), most=3)  # its own credit is not counted twice
        await journal.put(evolve(entry, state=State.INTENDED, version=2), most=3)
        await journal.leave("a")
        if journal.shared:
            await journal.put(evolve(entry, state=State.OPEN, version=3, credits=0))
        await journal.take("b")
        await journal.put(new("b", credits=1), most=3)


ASKED: list[Callable[[Journal], Awaitable[object]]] = [
    lambda journal: journal.get("a"),
    lambda journal: journal.put(new()),
    lambda journal: journal.put_all([new()]),
    lambda journal: journal.results("a"),
    lambda journal: journal.history("a"),
    lambda journal: journal.totals(),
    lambda journal: journal.known([]),
    lambda journal: journal.add_analysis("a", "x", ""),
    lambda journal: journal.swap_note("a", None, "b"),
    lambda journal: journal.tagging_subjects(),
    lambda journal: journal.add_tagging_subject("a"),
    lambda journal: journal.retire_tagging_subject("a"),
    lambda journal: journal.remembered_digest("a"),
    lambda journal: journal.remember_digest("a", "b"),
    lambda journal: journal.take("a"),
    lambda journal: journal.leave("a"),
    lambda journal: journal.holder("a"),
    lambda journal: journal.changed("a", 0),
    lambda journal: journal.beat(),
    lambda journal: journal.now(),
    lambda journal: journal.pause(1),
    lambda journal: journal.reserve("a", 1, 1),
    lambda journal: journal.end_failover(),
    lambda journal: journal.notes(""),
    lambda journal: journal.set_note("a", "b"),
    lambda journal: listed(journal),
]


@pytest.mark.parametrize("ask", ASKED)
async def test_a_closed_journal_raises(journal: Journal, ask: Callable[[Journal], Awaitable[object]]) -> None:
    """Before it is opened and after it was closed."""
    with pytest.raises(JournalUnusable, match="not open"):
        await ask(journal)
    async with journal:
        pass
    with pytest.raises(JournalUnusable, match="not open"):
        await ask(journal)


async def test_a_journal_is_open_once(journal: Journal) -> None:
    """The second batch is refused and the first goes on; once closed, it can be opened again."""
    async with journal:
        with pytest.raises(JournalBusy):
            await journal.__aenter__()
        await journal.put(new())
    async with journal:
        assert await journal.get("a") is not None


# --- claims, pauses and rates -----------------------------------------------------------------------


@pytest.mark.parametrize("iterations", range(6))
async def test_a_journal_whose_opening_was_cancelled_can_be_opened(journal: Journal, iterations: int) -> None:
    """Whenever the task was cancelled."""
    opening = asyncio.create_task(journal.__aenter__())
    for _ in range(iterations):
        await asyncio.sleep(0)
    opening.cancel()
    (result,) = await asyncio.gather(opening, return_exceptions=True)
    if result is journal:
        await journal.__aexit__(None, None, None)
    async with journal:
        assert await journal.get("a") is None


async def test_of_two_that_open_a_journal_at_once_one_does(journal: Journal) -> None:
    """The other is refused, and takes nothing from the first."""
    found = await asyncio.gather(journal.__aenter__(), journal.__aenter__(), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == sorted([type(journal).__name__, "JournalBusy"])
    await journal.put(new())
    await journal.__aexit__(None, None, None)


async def test_a_claim_lasts_until_it_is_left(journal: Journal) -> None:
    """Its worker may take it again; closing the journal ends it."""
    async with journal:
        assert await journal.take() is None
        assert await journal.take("a", "b") == "a"
        assert await journal.take("a") == "a"
        assert await journal.holder("a")
        assert await journal.holder("b") is None
        await journal.leave("a")
        await journal.leave("b")
        assert await journal.holder("a") is None
        await journal.take("c")
    async with journal:
        assert await journal.holder("c") is None


async def test_who_waits_for_a_claim_is_woken_when_it_ends(journal: Journal) -> None:
    """At once if nobody has it."""
    woken = Event()

    async def wait() -> None:
        await journal.changed("a", 3600)
        woken.set()

    async with journal, create_task_group() as group:
        await journal.changed("a", 3600)
        await journal.take("a")
        await journal.changed("a", 0)
        group.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not woken.is_set()
        await journal.leave("a")
        await woken.wait()


async def test_a_pause_is_seen_by_the_next_beat(journal: Journal) -> None:
    """Until it is over or ended."""
    async with journal:
        await journal.pause(3600)
        assert 3500 < await journal.beat() <= 3600
        await journal.pause(0)
        assert await journal.beat() == 0.0


async def test_a_rate_is_reserved_moment_by_moment(journal: Journal) -> None:
    """Each caller gets the moments after those of the one before; rates do not share moments."""
    async with journal:
        assert await journal.reserve("polls", 5, 0.001) == 0.0
        assert 4900 < await journal.reserve("polls", 1, 0.001) <= 5000
        assert 5900 < await journal.reserve("polls", 1, 0.001) <= 6000
        assert await journal.reserve("other", 1, 0.001) == 0.0


# --- several workers --------------------------------------------------------------------------------


async def test_a_shared_journal_says_so(shared: Shared) -> None:
    """And has the ceilings of its place."""
    assert shared.worker().shared
    assert shared.worker().ceilings == Ceilings(uploads=3)


async def test_a_journal_of_one_worker_says_so(tmp_path: Path) -> None:
    """And has no ceilings."""
    for journal in (MemoryJournal(), SqliteJournal(tmp_path / "clips.journal")):
        assert not journal.shared
        assert journal.ceilings == Ceilings()


async def test_of_two_workers_one_holds_a_name(two: tuple[Journal, Journal]) -> None:
    """The other sees who has it, takes the next free one, and cannot end the claim."""
    one, other = two
    assert await one.take("a") == "a"
    assert await other.take("a") is None
    assert await other.take("a", "b") == "b"
    assert await other.holder("a") == await one.holder("a") != await one.holder("b")
    await other.leave("a")
    assert await other.take("a") is None
    await one.leave("a")
    assert await other.take("a") == "a"


async def test_the_claims_of_a_worker_that_stops_beating_end(shared: Shared, two: tuple[Journal, Journal]) -> None:
    """Its names are free after the lease; by then it cannot leave what another worker has taken."""
    one, other = two
    await one.take("a")
    await shared.later(LEASE - 1)
    await other.beat()
    assert await other.take("a") is None
    await shared.later(2)
    await other.changed("a", 3600)  # does not wait
    assert await other.holder("a") is None
    assert await other.take("a") == "a"
    await one.beat()
    await one.leave("a")
    assert await one.take("a") is None


async def test_a_worker_that_beats_keeps_its_claims(shared: Shared, two: tuple[Journal, Journal]) -> None:
    """For any number of leases."""
    one, other = two
    await one.take("a")
    for _ in range(3):
        await shared.later(LEASE - 1)
        await one.beat()
    await other.beat()
    assert await other.take("a") is None


async def test_a_worker_that_closes_leaves_everything(shared: Shared) -> None:
    """Who waits for one of its names is woken."""
    async with shared.worker() as other, create_task_group() as group:
        async with shared.worker() as one:
            await one.take("a")
            group.start_soon(other.changed, "a", 3600)
            await wait_all_tasks_blocked()
        assert await other.take("a") == "a"


async def test_workers_share_entries_and_compare_versions(two: tuple[Journal, Journal]) -> None:
    """A worker that was away fails its compare-and-set."""
    one, other = two
    entry = await one.put(new())
    assert await other.get("a") == entry
    await other.put(evolve(entry, state=State.OPEN))
    with pytest.raises(JournalConflict, match="changed by somebody else"):
        await one.put(evolve(entry, state=State.SENDING))


async def test_an_intent_counts_until_it_is_opened(shared: Shared, two: tuple[Journal, Journal]) -> None:
    """All workers share the limit. A worker whose lease has ended may only be paused: so its credit is free only once
    its intent was opened, after which it cannot send what it intended."""
    one, other = two
    await one.take("a")
    intended = await one.put(new(credits=1), most=1)
    await other.take("b")
    with pytest.raises(LimitReached):
        await other.put(new("b", credits=1), most=1)
    assert (await other.totals()).committed == 1
    await shared.later(LEASE + 1)
    await other.beat()
    with pytest.raises(LimitReached):
        await other.put(new("b", credits=1), most=1)
    await other.put(evolve(intended, state=State.OPEN, credits=0))
    assert (await other.totals()).committed == 0
    await other.put(new("b", credits=1), most=1)
    with pytest.raises(JournalConflict):
        await one.put(evolve(intended, state=State.SENDING))


async def test_workers_share_a_pause_and_rates(shared: Shared, two: tuple[Journal, Journal]) -> None:
    """Each sees what the other asked for."""
    one, other = two
    await one.pause(20)
    await shared.later(5)
    assert await other.beat() == pytest.approx(15, abs=1)
    await other.pause(0)
    assert await one.beat() == 0.0
    assert await one.reserve("polls", 10, 2.0) == pytest.approx(0, abs=1)
    assert await other.reserve("polls", 10, 2.0) == pytest.approx(5, abs=1)
    await shared.later(20)
    assert await one.reserve("polls", 1, 2.0) == 0.0


# --- cancellation ---------------------------------------------------------------------------------


async def test_a_change_in_a_cancelled_scope_is_not_made(journal: Journal) -> None:
    """It raises the cancellation instead."""
    async with journal:
        for change in (
            partial(journal.put, new()),
            partial(journal.put_all, [new()]),
            partial(journal.set_note, "a", "b"),
            partial(journal.swap_note, "a", None, "b"),
            partial(journal.add_tagging_subject, "a"),
            partial(journal.remember_digest, "a", "b"),
            partial(journal.take, "a"),
        ):
            with CancelScope() as scope:
                scope.cancel()
                await change()
            assert scope.cancelled_caught
        assert await journal.get("a") is None
        assert not await journal.notes("")
        assert not await journal.tagging_subjects()
        assert await journal.remembered_digest("a") is None
        assert await journal.holder("a") is None


async def test_changes_that_have_begun_are_completed(journal: Journal) -> None:
    """Changes that are under way when their scope is cancelled are stored completely."""
    async with journal:
        async with create_task_group() as group:
            for key in range(20):
                group.start_soon(journal.put, new(str(key)), StoredResults(results=b"{}"))
            group.start_soon(journal.set_note, "note", "set")
            await asyncio.sleep(0)
            group.cancel_scope.cancel()
        assert [len(await journal.history(str(key))) for key in range(20)] == [1] * 20
        assert await journal.notes("") == {"note": "set"}
    async with journal:
        assert len(await listed(journal)) == 20


@pytest.mark.parametrize("iterations", range(6))
async def test_a_cancelled_task_leaves_no_half_change(journal: Journal, iterations: int) -> None:
    """`Task.cancel()` goes through shields: the change is stored or not, and the others go on."""
    async with journal:
        async with create_task_group() as group:
            changes = [
                asyncio.ensure_future(journal.put(new(str(key)), StoredResults(results=b"{}"))) for key in range(5)
            ]
            group.start_soon(journal.put, new("other"))
            for _ in range(iterations):
                await asyncio.sleep(0)
            for change in changes[:3]:
                change.cancel()
            await asyncio.gather(*changes, return_exceptions=True)
        seen = [await journal.get(str(key)) for key in range(5)]  # what a change has become is known from now on
        await asyncio.sleep(0.05)
        assert [await journal.get(str(key)) for key in range(5)] == seen
        for key in ("3", "4", "other"):
            assert await journal.get(key) is not None
        for key in map(str, range(5)):
            there = await journal.get(key) is not None
            assert len(await journal.history(key)) == there
            assert (await journal.results(key) is not None) == there


async def test_closing_under_cancellation_closes(journal: Journal) -> None:
    """The next process that opens the journal finds what was stored."""
    with CancelScope() as scope:
        async with journal:
            await journal.put(new())
            scope.cancel()
            await asyncio.sleep(1)
    async with journal:
        assert await journal.get("a") is not None


# --- comparison -----------------------------------------------------------------------------------


async def result_of(journal: Journal, work: Callable[[Journal], Awaitable[object]]) -> object:
    """What a journal returns, or the error that it raises."""
    try:
        return await work(journal)
    except (JournalConflict, LimitReached) as refused:
        return str(refused)


async def everything(journal: Journal) -> list[object]:
    """Everything that a journal returns."""
    entries = await listed(journal)
    about = [(await journal.history(entry.key), await journal.results(entry.key)) for entry in entries]
    notes = [await journal.notes("note/"), await journal.tagging_subjects(), await journal.remembered_digest("a")]
    return [entries, about, await journal.totals(), await journal.known("xyz"), notes]


def step(chance: random.Random) -> Callable[[Journal], Awaitable[object]]:
    """A random call of a journal, which may be one that is refused."""
    key, version, analysis_id = chance.choice("abcd"), chance.randrange(6), chance.choice([None, "x", "y", "z"])
    before = chance.choice([None, "1", "2"])
    subject_id, most = chance.choice([None, "s", "t"]), chance.choice([None, 5, 9])
    sane, any_state, place = chance.random() < 0.8, chance.choice(list(State)), chance.random()
    results = chance.choice(
        [None, StoredResults(results=bytes(chance.randrange(40)), calculated=chance.choice([None, b"", b"c"]))]
    )

    async def put(journal: Journal) -> object:
        stored = await journal.get(key)
        moves = sorted(TRANSITIONS[None if stored is None else stored.state])
        state = moves[int(place * len(moves))] if sane else any_state
        known = 0 if stored is None else stored.version
        entry = new(key, state=state, version=known if sane else version, analysis_id=analysis_id, credits=version)
        return await journal.put(evolve(entry, subject_id=subject_id), results, most=most)

    async def add(journal: Journal) -> object:
        return await journal.get(key) and await journal.add_analysis(key, analysis_id or "x", str(any_state))

    others: list[Callable[[Journal], Awaitable[object]]] = [
        add,
        lambda journal: journal.set_note(f"note/{key * version}", str(any_state)),
        lambda journal: journal.swap_note(f"note/{key}", before, str(version)),
        lambda journal: journal.add_tagging_subject(subject_id or "s"),
        lambda journal: journal.retire_tagging_subject(subject_id or "s"),
        lambda journal: journal.remember_digest(key, str(version)),
        lambda journal: journal.take(key, "b"),
        lambda journal: journal.leave(key),
    ]
    return put if sane or chance.random() < 0.3 else chance.choice(others)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(min_value=0, max_value=2**32))
async def test_both_journals_behave_alike(tmp_path: Path, seed: int) -> None:
    """Random calls to both: the same results and errors, and the same content after opening again."""
    chance, memory = random.Random(seed), MemoryJournal()
    file = SqliteJournal(Path(tempfile.mkdtemp(dir=tmp_path)) / "clips.journal")
    for _ in range(2):
        async with memory, file:
            for _ in range(chance.randrange(30)):
                work = step(chance)
                assert await result_of(file, work) == await result_of(memory, work)
            assert await everything(file) == await everything(memory)


def test_stored_results_have_no_content_in_their_repr() -> None:
    """They are health data, which no log and no traceback may show."""
    assert "171" not in repr(StoredResults(results=b'{"cadence": 171}', calculated=b'{"cadence": 171}'))
