"""`ochy journal repair`: what a journal without its log proves, and what is never made to look whole."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from tests.journal.test_files import SURGERY, content, data, refusal, told, write, written
from tests.journal.test_journal import NOW, led, new

pytest.importorskip("click", reason="needs the extra cli: click is not installed")
pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
pytest.importorskip("platformdirs", reason="needs the extra cli: platformdirs is not installed")

from click.testing import CliRunner, Result

from ochy_async.batch.recorder import released_starts
from ochy_async.batch.recovery import recovery_change
from ochy_async.batch.tagging import PREFIX, RETIRED
from ochy_async.cli.app import ochy
from ochy_async.errors import JournalBusy, JournalDamaged, JournalUnusable
from ochy_async.journal.sqlite import store
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.repair import inspect, repair
from ochy_async.policy.clip_states import NEXT_STEP, State, Step

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may be made."""
    return tmp_path / "clips.journal"


def without_log(path: Path) -> None:
    """As a journal is left that was open when its log went: it says so, and all that it holds is proven."""
    opened = store.open_store(path)
    opened.connection.discard_log_on_close()
    opened.connection.close()
    assert list(content(path.parent)) == [path.name]


def said(*args: str) -> Result:
    """What the command answers where nobody can be asked."""
    return CliRunner().invoke(ochy, ["journal", *args])


async def test_a_journal_without_its_log_can_be_repaired(path: Path) -> None:
    """What was decided stays decided; whatever may have been started since is a doubt that nobody buys."""
    await written(path)
    without_log(path)
    assert "ochy journal repair" in await refusal(path, JournalDamaged)
    repair(path, recovery_change(LATER))
    async with SqliteJournal(path) as journal:
        states = {entry.key: entry.state async for entry in journal.entries()}
        assert Step.START not in {NEXT_STEP[state] for state in states.values()}
        assert State.INTENDED not in states.values()
        assert len(states) == 2 * len(State)
        assert {state for state in State if list(states.values()).count(state) == 2} >= {State.FAILED, State.REFUSED}


async def test_a_doubt_of_a_repair_may_be_anything_that_was_lost(path: Path) -> None:
    """No subject proves it, the credit counts, and what was lost is a rival: nothing is adopted on one list's word."""
    async with SqliteJournal(path) as journal:
        await led(journal, State.INTENDED, "a", subject_id="lane", credits=1)
        await led(journal, State.OPEN, "b", subject_id="lane", credits=0, at=NOW + timedelta(minutes=1))
        await journal.set_note(f"{PREFIX}lane", "")
    without_log(path)
    repair(path, recovery_change(LATER))
    async with SqliteJournal(path) as journal:
        intended, free = await journal.get("a"), await journal.get("b")
        assert intended is not None
        assert free is not None
        assert [(each.state, each.subject_id, each.credits) for each in (intended, free)] == [
            (State.UNCERTAIN, None, 1),
            (State.UNCERTAIN, None, 1),
        ]
        assert (free.earliest, free.latest) == (NOW + timedelta(minutes=1), LATER)
        assert intended.latest is not None
        assert intended.latest < LATER
        assert [(ghost.earliest, ghost.latest) for ghost in await released_starts(journal)] == [
            (NOW + timedelta(minutes=1), LATER)
        ]
        assert await journal.notes(PREFIX) == {f"{PREFIX}lane": RETIRED}


async def test_a_copy_is_made_first(path: Path) -> None:
    """Beside it, for its owner only, and it tells all that the journal told before."""
    await written(path)
    without_log(path)
    copy = repair(path, recovery_change(LATER))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert "it was not closed" in await refusal(copy, JournalDamaged)
    inspection = inspect(copy)
    assert inspection.verified
    assert not inspection.complete
    without_log_again = repair(copy, lambda _: None)
    assert without_log_again.exists()


async def test_looking_changes_nothing(path: Path) -> None:
    """Not a byte, in a journal that is whole and in one that is not."""
    await written(path)
    for spoil in (lambda _: None, without_log):
        spoil(path)
        before = content(path.parent)
        assert inspect(path).verified
        assert content(path.parent) == before


async def test_a_journal_after_a_crash_needs_no_repair(path: Path) -> None:
    """Its log is beside it: it is intact, and says so."""
    store.open_store(path).connection.close()
    assert path.with_name(f"{path.name}-wal").exists()
    assert inspect(path).complete
    done = said("repair", str(path))
    assert done.exit_code == 0
    assert "is intact" in done.stderr


@pytest.mark.parametrize("sql", [sql for sql in SURGERY if "'open'" not in sql or "entries" in sql])
async def test_what_is_really_damaged_never_looks_whole(path: Path, sql: str) -> None:
    """Rows that are lost or altered: it is refused, with --yes too, what is proven is told, and nothing is changed."""
    await written(path)
    without_log(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
    whole = data(path)
    done = said("repair", str(path), "--yes")
    assert done.exit_code == 1
    assert "cannot be repaired" in done.stderr or "lacks a part" in done.stderr
    assert data(path) == whole
    with pytest.raises((JournalDamaged, sqlite3.Error)):
        repair(path, recovery_change(LATER))
    assert data(path) == whole


async def test_torn_pages_are_told_with_what_is_left(path: Path) -> None:
    """A file with a hole: no repair, but the ids of paid analyses that can be read and proven."""
    async with SqliteJournal(path) as journal:
        for number in range(200):
            await led(journal, State.STARTED, f"{number:03}", analysis_id=f"id-{number:03}")
    whole = bytearray(data(path))
    start = len(whole) // 2 // 4096 * 4096
    whole[start : start + 4096] = bytes(4096)
    write(path, bytes(whole))
    done = said("repair", str(path), "--yes")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "ochy wait" in done.stderr
    assert data(path) == bytes(whole)


def test_nobody_is_asked_where_nobody_is(path: Path) -> None:
    """Without a terminal it takes --yes; what cannot be proven is said before."""
    asyncio.run(written(path))
    without_log(path)
    before = data(path)
    done = said("repair", str(path))
    assert done.exit_code == 2
    assert "would buy it again" in done.stderr
    assert data(path) == before
    done = said("repair", str(path), "--yes")
    assert done.exit_code == 0, done.output
    lines = said("show", str(path), "--json").stdout.splitlines()
    assert {json.loads(line)["state"] for line in lines} == {"uncertain", "started", "analyzed", "failed", "refused"}


async def test_a_journal_in_use_is_not_repaired(path: Path) -> None:
    """Nor one that is not there, which is not made either."""
    async with SqliteJournal(path) as journal:
        await journal.put(new())
        before = await told(journal)
        with pytest.raises(JournalBusy):
            repair(path, recovery_change(LATER))
        assert await told(journal) == before
        await journal.put(evolve(new("b")))
    with pytest.raises(JournalUnusable, match="does not exist"):
        inspect(path.with_name("nothing"))
    assert not path.with_name("nothing").exists()
