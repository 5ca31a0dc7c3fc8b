"""Large journals: what a run needs does not grow with what is finished, and what it reads is verified all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from ochy_async.errors import JournalDamaged
from ochy_async.journal.sqlite import store
from ochy_async.journal.sqlite.connection import Connection
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.repair import verify
from ochy_async.policy.clip_states import UNRESOLVED, State
from tests.journal.test_journal import listed, new, stored_in_state

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every journal counts as large."""
    monkeypatch.setattr(store, "VERIFIED_ROWS", 0)


async def finished(path: Path, clips: int) -> Path:
    """A journal with finished clips, each with an analysis, and with one start that is uncertain."""
    async with SqliteJournal(path) as journal:
        await journal.add_tagging_subject("tag")
        await stored_in_state(journal, State.UNCERTAIN, "uncertain", credits=1, subject_id="tag")
        entries = [new(f"{number:04}", credits=1, analysis_id=f"id-{number}") for number in range(clips)]
        for version, state in enumerate((State.INTENDED, State.STARTED, State.ANALYZED)):
            await journal.put_all([evolve(entry, state=state, version=version) for entry in entries])
    return path


def changed(path: Path, sql: str) -> None:
    """Changes a closed journal behind its back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


# --- what a run needs -------------------------------------------------------------------------------


class CountingConnection(Connection):
    """Counts what SQLite does: the steps of its virtual machine."""

    steps = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.set_progress_handler(self._count, 1)

    @classmethod
    def _count(cls) -> int:
        cls.steps += 1
        return 0


async def steps_of_a_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The steps of opening a journal, and of everything that a batch asks it."""
    monkeypatch.setattr(store, "Connection", CountingConnection)
    CountingConnection.steps = 0
    async with SqliteJournal(path) as journal:
        await journal.totals()
        await listed(journal, *UNRESOLVED)
        await journal.known(["id-1", "id-3", "another"])
        await journal.take("new")
        entry = await journal.put(new("new", subject_id="another tag", credits=1), most=10_000)
        await journal.put(evolve(entry, state=State.SENDING))
    return CountingConnection.steps


async def test_nothing_that_a_run_needs_grows_with_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times as many finished clips cost the same steps."""
    few, many = await finished(tmp_path / "few", 15), await finished(tmp_path / "many", 300)
    steps = await steps_of_a_run(few, monkeypatch)
    assert steps > 100
    assert await steps_of_a_run(many, monkeypatch) <= steps * 1.05


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET credits = 0 WHERE key = '0002'",
        "UPDATE history SET facts = replace(facts, 'id-2', 'id-9')",
        "DELETE FROM analyses WHERE analysis_id = 'id-2'",
        "DELETE FROM notes",
    ],
)
async def test_a_check_finds_what_opening_does_not(tmp_path: Path, damage: str) -> None:
    """A changed row, and a row that is gone."""
    path = await finished(tmp_path / "clips.journal", 5)
    assert verify(path).states == {State.UNCERTAIN: 1, State.ANALYZED: 5}
    changed(path, damage)
    async with SqliteJournal(path):
        pass
    with pytest.raises(JournalDamaged):
        verify(path)


async def test_a_row_is_verified_when_it_is_used(tmp_path: Path) -> None:
    """The other rows serve."""
    path = await finished(tmp_path / "clips.journal", 5)
    changed(path, "UPDATE entries SET state = 'open' WHERE key = '0002'")
    async with SqliteJournal(path) as journal:
        assert await journal.get("0001") is not None
        with pytest.raises(JournalDamaged, match="checksum"):
            await journal.get("0002")


async def test_a_paid_clip_whose_entry_is_gone_is_not_bought_again(tmp_path: Path) -> None:
    """Its history contradicts a new entry, and an older version of the entry."""
    path = await finished(tmp_path / "clips.journal", 5)
    names = "key, state, version, credits, facts, checksum"
    with closing(sqlite3.connect(path)) as connection:
        (older,) = connection.execute(f"SELECT {names} FROM entries WHERE key = 'uncertain'").fetchall()  # noqa: S608
    async with SqliteJournal(path) as journal:
        entry = await journal.get("uncertain")
        assert entry is not None
        await journal.put(evolve(entry, state=State.STARTED, analysis_id="paid"))
    changed(path, "DELETE FROM entries WHERE key IN ('0002', 'uncertain')")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO entries ({names}) VALUES (?, ?, ?, ?, ?, ?)", older)  # noqa: S608
    async with SqliteJournal(path) as journal:
        assert await journal.get("0002") is None
        with pytest.raises(JournalDamaged):
            await journal.put(new("0002"))
        assert await journal.get("uncertain") == entry
        with pytest.raises(JournalDamaged):
            await journal.put(evolve(entry, state=State.OPEN))
