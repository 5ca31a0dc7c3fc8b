"""The contract of every journal: what is stored, what is refused, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import CancelScope, create_task_group
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochy_async.errors import JournalBusy, JournalConflict, JournalUnusable
from ochy_async.journal.contract import Entry, HistoryEntry, Journal, JournalTotals, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.store import PAGE
from ochy_async.policy.clip_states import TRANSITIONS, State

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WAY: dict[State, tuple[State, ...]] = {
    State.INTENDED: (State.INTENDED,),
    State.OPEN: (State.INTENDED, State.OPEN),
    State.UNCERTAIN: (State.INTENDED, State.UNCERTAIN),
    State.REFUSED: (State.INTENDED, State.REFUSED),
    State.STARTED: (State.INTENDED, State.STARTED),
    State.ANALYZED: (State.INTENDED, State.STARTED, State.ANALYZED),
    State.FAILED: (State.INTENDED, State.STARTED, State.FAILED),
}
"""How an entry gets into each state."""


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """Each kind of journal, not yet open."""
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "clips.journal")


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
        assert await journal.totals() == JournalTotals(entries={}, credits=0)
        assert await journal.analysis_ids() == frozenset()
        assert await journal.notes("") == {}


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
            entries={State.STARTED: 2, State.FAILED: 1, State.OPEN: 1}, credits=3
        )


async def test_no_analysis_id_is_forgotten(journal: Journal) -> None:
    """The id of an earlier start stays known after the clip was started again."""
    async with journal:
        entry = await stored_in_state(journal, State.FAILED, analysis_id="old")
        entry = await journal.put(evolve(entry, state=State.OPEN, analysis_id=None))
        entry = await journal.put(evolve(entry, state=State.INTENDED))
        await journal.put(evolve(entry, state=State.STARTED, analysis_id="new"))
        assert await journal.analysis_ids() == {"old", "new"}


async def test_notes_are_found_by_their_prefix(journal: Journal) -> None:
    """A later value replaces the former; wildcards have no meaning."""
    async with journal:
        for name, value in [("tag/1", "a"), ("tag/2", "b"), ("tag0", "c"), ("t_g/1", "d"), ("tag/2", "e")]:
            await journal.set_note(name, value)
        await journal.set_note("tag/\U0001f3c3", "f")
        assert await journal.notes("tag/") == {"tag/1": "a", "tag/2": "e", "tag/\U0001f3c3": "f"}
        assert await journal.notes("t_") == {"t_g/1": "d"}
        assert len(await journal.notes("")) == 5


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


ASKED: list[Callable[[Journal], Awaitable[object]]] = [
    lambda journal: journal.get("a"),
    lambda journal: journal.put(new()),
    lambda journal: journal.put_all([new()]),
    lambda journal: journal.results("a"),
    lambda journal: journal.history("a"),
    lambda journal: journal.totals(),
    lambda journal: journal.analysis_ids(),
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


# --- cancellation ---------------------------------------------------------------------------------


async def test_a_change_in_a_cancelled_scope_is_not_made(journal: Journal) -> None:
    """It raises the cancellation instead."""
    async with journal:
        for change in (
            partial(journal.put, new()),
            partial(journal.put_all, [new()]),
            partial(journal.set_note, "a", "b"),
        ):
            with CancelScope() as scope:
                scope.cancel()
                await change()
            assert scope.cancelled_caught
        assert await journal.get("a") is None
        assert not await journal.notes("")


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
    except JournalConflict as refused:
        return str(refused)


async def everything(journal: Journal) -> list[object]:
    """Everything that a journal returns."""
    entries = await listed(journal)
    about = [(await journal.history(entry.key), await journal.results(entry.key)) for entry in entries]
    return [entries, about, await journal.totals(), await journal.analysis_ids(), await journal.notes("")]


def step(chance: random.Random) -> Callable[[Journal], Awaitable[object]]:
    """A random call of a journal, which may be one that is refused."""
    key, version, analysis_id = chance.choice("abcd"), chance.randrange(6), chance.choice([None, "x", "y"])
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
        return await journal.put(entry, results)

    async def note(journal: Journal) -> object:
        await journal.set_note(key * version, str(any_state))
        return None

    return note if chance.random() < 0.15 else put


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
