"""`ochy journal check` and `repair`: what can be verified in a journal, and the repair of one without its log."""

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

from tests.journal.test_files import SURGERY, content, contents, data, refusal, write, written
from tests.journal.test_journal import NOW, new, stored_in_state

pytest.importorskip("click", reason="needs the extra cli: click is not installed")
pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
pytest.importorskip("platformdirs", reason="needs the extra cli: platformdirs is not installed")

from click.testing import CliRunner, Result

from ochy_async.batch.recorder import released_starts
from ochy_async.batch.recovery import recovery_change
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
    """The path of a new journal."""
    return tmp_path / "clips.journal"


def without_log(path: Path) -> None:
    """Leaves a journal as it is if its log is lost while it is open: marked as open, with verified content."""
    opened = store.open_store(path)
    opened.connection.discard_log_on_close()
    opened.connection.close()
    assert list(content(path.parent)) == [path.name]


def run_command(*args: str) -> Result:
    """The result of the command where no question can be answered."""
    return CliRunner().invoke(ochy, ["journal", *args])


async def test_a_journal_without_its_log_can_be_repaired(path: Path) -> None:
    """Finished clips stay finished; whatever may have been started since is uncertain and not bought."""
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


async def test_an_uncertain_start_of_a_repair_may_be_anything_that_was_lost(path: Path) -> None:
    """No subject proves it, its credit counts, and lost starts compete: one list is not enough to adopt an analysis."""
    async with SqliteJournal(path) as journal:
        await stored_in_state(journal, State.SENDING, "a", subject_id="lane", credits=1)
        await stored_in_state(journal, State.INTENDED, "c", subject_id="lane", credits=1, earliest=NOW)
        await stored_in_state(journal, State.OPEN, "b", subject_id="lane", credits=0, at=NOW + timedelta(minutes=1))
        await stored_in_state(journal, State.SENDING, "own", subject_id="runner", credits=1, earliest=NOW)
        await journal.add_tagging_subject("lane")
    without_log(path)
    repair(path, recovery_change(LATER))
    async with SqliteJournal(path) as journal:
        sending, free, intended = await journal.get("a"), await journal.get("b"), await journal.get("c")
        own = await journal.get("own")
        assert own is not None
        assert (own.state, own.subject_id) == (State.UNCERTAIN, "runner")
        assert sending is not None
        assert free is not None
        assert intended is not None
        assert [(each.state, each.subject_id, each.credits) for each in (sending, free, intended)] == [
            (State.UNCERTAIN, None, 1)
        ] * 3
        assert (free.earliest, free.latest) == (NOW + timedelta(minutes=1), LATER)
        assert (intended.earliest, intended.latest) == (NOW, LATER)
        assert sending.latest is not None
        assert sending.latest < LATER
        assert [(start.earliest, start.latest) for start in await released_starts(journal, NOW)] == [(NOW, LATER)]
        assert await journal.tagging_subjects() == {"lane": False}


async def test_a_copy_is_made_first(path: Path) -> None:
    """Beside the journal, readable by its owner only, with the same content."""
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


async def test_an_inspection_changes_nothing(path: Path) -> None:
    """Not a byte, in a complete journal and in a damaged one."""
    await written(path)
    for spoil in (lambda _: None, without_log):
        spoil(path)
        before = content(path.parent)
        assert inspect(path).verified
        assert content(path.parent) == before


async def test_a_check_verifies_and_changes_nothing(path: Path) -> None:
    """It says how much is intact; otherwise it ends with the error and what to do next."""
    await written(path)
    before = content(path.parent)
    done = run_command("check", str(path))
    assert done.exit_code == 0
    assert "is intact: 16 clips, " in done.stderr
    assert content(path.parent) == before
    assert run_command("check", str(path), "another").exit_code == 2
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM history WHERE key = '03'")
    done = run_command("check", str(path))
    assert done.exit_code == 1
    assert "rows of history are missing" in done.stderr
    assert "ochy journal repair" in done.stderr


async def test_a_check_of_a_journal_without_its_log_fails(path: Path) -> None:
    """The latest changes may be missing."""
    await written(path)
    without_log(path)
    done = run_command("check", str(path))
    assert done.exit_code == 1
    assert "-wal with the latest changes is gone" in done.stderr


async def test_a_journal_after_a_crash_needs_no_repair(path: Path) -> None:
    """Its log is beside it, so it is complete."""
    store.open_store(path).connection.close()
    assert path.with_name(f"{path.name}-wal").exists()
    assert inspect(path).complete
    done = run_command("repair", str(path))
    assert done.exit_code == 0
    assert "is intact" in done.stderr


@pytest.mark.parametrize("sql", [sql for sql in SURGERY if "'open'" not in sql or "entries" in sql])
async def test_a_really_damaged_journal_is_never_repaired(path: Path, sql: str) -> None:
    """Lost or altered rows: also with --yes it is refused and unchanged, and verified content is shown."""
    await written(path)
    without_log(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
    original = data(path)
    done = run_command("repair", str(path), "--yes")
    assert done.exit_code == 1
    assert "cannot be repaired" in done.stderr or "a part of it is missing" in done.stderr
    assert data(path) == original
    with pytest.raises((JournalDamaged, sqlite3.Error)):
        repair(path, recovery_change(LATER))
    assert data(path) == original


async def test_a_journal_with_a_hole_shows_its_verified_ids(path: Path) -> None:
    """It cannot be repaired, but the ids of paid analyses that can be read are listed."""
    async with SqliteJournal(path) as journal:
        for number in range(200):
            await stored_in_state(journal, State.STARTED, f"{number:03}", analysis_id=f"id-{number:03}")
    original = bytearray(data(path))
    start = len(original) // 2 // 4096 * 4096
    original[start : start + 4096] = bytes(4096)
    write(path, bytes(original))
    done = run_command("repair", str(path), "--yes")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "ochy wait" in done.stderr
    assert data(path) == bytes(original)


def test_without_a_terminal_a_repair_needs_yes(path: Path) -> None:
    """The command first shows what cannot be verified."""
    asyncio.run(written(path))
    without_log(path)
    before = data(path)
    done = run_command("repair", str(path))
    assert done.exit_code == 2
    assert "would buy it again" in done.stderr
    assert data(path) == before
    done = run_command("repair", str(path), "--yes")
    assert done.exit_code == 0, done.output
    lines = run_command("show", str(path), "--json").stdout.splitlines()
    assert {json.loads(line)["state"] for line in lines} == {"uncertain", "started", "analyzed", "failed", "refused"}


async def test_a_journal_in_use_is_not_repaired(path: Path) -> None:
    """Nor one that does not exist, which is not created either."""
    async with SqliteJournal(path) as journal:
        await journal.put(new())
        before = await contents(journal)
        with pytest.raises(JournalBusy):
            repair(path, recovery_change(LATER))
        assert await contents(journal) == before
        await journal.put(evolve(new("b")))
    with pytest.raises(JournalUnusable, match="does not exist"):
        inspect(path.with_name("nothing"))
    assert not path.with_name("nothing").exists()
