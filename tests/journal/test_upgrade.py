"""Journals of older versions: what their entries mean now, and that older versions leave an upgraded journal alone."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from ochy_async.batch.recovery import recovery_change
from ochy_async.emulator import Service
from ochy_async.errors import JournalConflict, JournalDamaged, JournalUnusable
from ochy_async.journal.sqlite import store
from ochy_async.journal.sqlite.connection import Connection
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.repair import inspect, repair, verify
from ochy_async.journal.sqlite.rows import summary_text
from ochy_async.policy.clip_states import NEXT_STEP, State, Step
from ochy_async.protocol.routes import START
from tests.conftest import QUICK, Recorded, direct_session, world
from tests.journal.test_files import content, refusal
from tests.journal.test_journal import listed, stored_in_state
from tests.support.batches import batched, charges, named, words

pytestmark = pytest.mark.anyio

LONG_AFTER = datetime(2026, 3, 1, tzinfo=UTC)
KILLED = {"in-upload.mp4", "sent.mp4"}
"""The clips whose upload was under way."""


def restored(folder: Path, dump: str) -> Path:
    """A journal of an older version."""
    path = folder / "clips.journal"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name(dump).read_text(encoding="ascii"))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of schema 1, which a killed batch left behind."""
    return restored(tmp_path, "schema_1.sql")


async def test_an_upgrade_changes_only_what_was_intended(path: Path) -> None:
    """Such a start may have been sent completely. Entries, results, histories and notes are otherwise the same."""
    before = {entry.key: entry for entry in inspect(path).entries}
    assert {entry.name for entry in before.values() if entry.state is State.INTENDED} == KILLED
    async with SqliteJournal(path) as journal:
        for entry in await listed(journal):
            old = before.pop(entry.key)
            if old.name in KILLED:
                old = evolve(old, state=State.SENDING, version=old.version + 1, reason=entry.reason)
                assert "an older version" in entry.reason
            assert entry == old
            assert (await journal.history(entry.key))[-1].state is entry.state
            assert (await journal.results(entry.key) is None) is (entry.state is not State.ANALYZED)
        assert before == {}
        assert sorted((await journal.tagging_subjects()).values()) == [False, True, True, True, True]


async def test_a_batch_buys_nothing_that_an_older_version_may_have_bought(path: Path) -> None:
    """Only the clip that was open is started; the two of the killed batch are looked up.

    The seed gives other ids than those that the journal knows.
    """
    service, faults = Service(world(seed=1, analysis_seconds=(0.0, 0.1), queue_seconds=0.0)), Recorded()
    names = ("runner", "failing", "long", "uncertain", "open", "", "in-upload", "sent")
    source = [named(f"{name}.mp4", number) for number, name in enumerate(names) if name]
    ochy = direct_session(service, faults, polling=QUICK, clock=lambda: LONG_AFTER)
    outcomes = await batched(ochy, source, journal=SqliteJournal(path))
    assert words(outcomes) == ["analyzed", "failed", "refused", "uncertain", "analyzed", "uncertain", "uncertain"]
    assert faults.routes.count(str(START)) == 1
    assert charges(service) == [1]


async def test_what_an_older_version_intended_stays_a_doubt(tmp_path: Path) -> None:
    """It may have sent the complete clip: the start is looked up, never sent again. Every page is upgraded."""
    path = tmp_path / "clips.journal"
    async with SqliteJournal(path) as journal:
        for number in range(store.PAGE + 1):
            await stored_in_state(journal, State.INTENDED, f"intended {number}")
        for state in State:
            await stored_in_state(journal, state, state)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE analyses")
        connection.execute("DROP INDEX entries_by_state")
        connection.execute("PRAGMA user_version = 1")
    async with SqliteJournal(path) as journal:
        entries = await listed(journal)
    assert Counter(entry.state for entry in entries) == {
        **dict.fromkeys(set(State) - {State.INTENDED}, 1),
        State.SENDING: store.PAGE + 3,
    }
    assert all(NEXT_STEP[entry.state] is Step.RECONCILE for entry in entries if entry.key.startswith("intended"))


async def test_a_journal_of_schema_2_gets_its_totals_and_analyses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No entry changes, and no analysis is forgotten. It is verified completely, whatever its size."""
    path = restored(tmp_path, "schema_2.sql")
    before = inspect(path)
    assert before.complete
    monkeypatch.setattr(store, "VERIFIED_ROWS", 0)
    async with SqliteJournal(path) as journal:
        assert [entry async for entry in journal.entries()] == list(before.entries)
        assert await journal.known([*before.analysis_ids, "another"]) == set(before.analysis_ids)
        totals = await journal.totals()
        assert totals.analyses == len(before.analysis_ids)
        assert totals.entries == Counter(entry.state for entry in before.entries)
        assert totals.credits == sum(entry.credits for entry in before.entries)
        assert totals.committed == sum(entry.committed for entry in before.entries)
        assert await journal.tagging_subjects() == {"tag-0": True, "tag-1": True, "tag-2": False}
        uncertain = await journal.get("02")
        assert uncertain is not None
        with pytest.raises(JournalConflict, match="another clip"):
            await journal.put(evolve(uncertain, state=State.STARTED, analysis_id="id-6"))
    assert verify(path).rows == sum(each.found for each in before.tables) + len(before.analysis_ids)


async def test_a_journal_of_schema_2_without_analyses_gets_its_totals(tmp_path: Path) -> None:
    """Then the upgrade adds no row, and the totals must be recorded all the same."""
    path = tmp_path / "clips.journal"
    async with SqliteJournal(path) as journal:
        await stored_in_state(journal, State.UNCERTAIN, "uncertain", credits=1)
    with closing(Connection(path)) as connection:
        older = store.Store(connection, path)
        seals = json.loads(summary_text(older.recorded_summary()))
        del seals["*"]
        older.commit([lambda older: older.set_mark("seals", json.dumps(seals))])
        connection.execute("DROP TABLE analyses")
        connection.execute("DROP INDEX entries_by_state")
        connection.execute("PRAGMA user_version = 2")
    async with SqliteJournal(path) as journal:
        totals = await journal.totals()
    assert verify(path).credits == totals.credits == 1


async def test_a_damaged_journal_of_schema_2_is_not_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its totals would be wrong for ever."""
    path = restored(tmp_path, "schema_2.sql")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM history WHERE key = '05'")
    monkeypatch.setattr(store, "VERIFIED_ROWS", 0)
    await refusal(path, JournalDamaged)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


async def test_a_journal_of_schema_2_without_its_log_is_repaired(tmp_path: Path) -> None:
    """The repair makes it one of the present version."""
    path = restored(tmp_path, "schema_2.sql")
    with closing(Connection(path)) as connection:
        older = store.Store(connection, path)
        older.commit([lambda older: older.set_mark("open", "yes")])
    await refusal(path, JournalDamaged)
    repair(path, recovery_change(LONG_AFTER))
    verify(path)
    async with SqliteJournal(path) as journal:
        assert await journal.known(["id-6"]) == {"id-6"}
        assert (await journal.totals()).entries == {
            State.UNCERTAIN: 4,
            State.STARTED: 2,
            State.ANALYZED: 1,
            State.REFUSED: 1,
        }
        assert not any((await journal.tagging_subjects()).values())


async def test_an_upgraded_journal_is_refused_by_older_versions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They know no `SENDING`. The error says why and what to do, and not a byte of the file changes."""
    async with SqliteJournal(path):
        pass
    before = content(path.parent)
    monkeypatch.setattr(store, "SCHEMA", 1)
    text = await refusal(path, JournalUnusable)
    assert "was made by a newer ochy_async (schema 3)" in text
    assert "Update ochy_async" in text
    assert content(path.parent) == before
