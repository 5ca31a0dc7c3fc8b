"""`ochy tend`: finishes what is left in a journal, without the clips, and buys nothing."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async.cli.exit_codes import ExitCode
from ochy_async.journal.contract import Journal
from ochy_async.journal.postgres.journal import PostgresJournal
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from tests.journal.test_journal import stored_in_state
from tests.support.cli_harness import FAST_POLLING, CliHarness, cli_process, json_lines, wait_until
from tests.support.postgres_journals import database
from tests.support.servers import Server

LEFT = ("--view", "side", "--timeout", "0.3")


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def states(harness: CliHarness, *words: str, **env: str) -> list[str]:
    return [each["state"] for each in json_lines(harness.ochy("journal", "show", *words, "--json", **env))]


def left_and_deleted(harness: CliHarness, *words: str, **env: str) -> None:
    """A run pays for two clips and does not wait for them; then the clips are deleted."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *LEFT, *words, **env).exit_code == 1
    for each in clips:
        Path(each).unlink()
    harness.skipped[0] = 100_000


def test_paid_analyses_are_collected_without_their_clips(slow_harness: CliHarness, tmp_path: Path) -> None:
    """From the journal in the folder; the rows there are completed, and running again finds nothing."""
    out = tmp_path / "out"
    left_and_deleted(slow_harness, "--out", str(out))
    result = slow_harness.ochy("tend", *FAST_POLLING, "--out", str(out), "--keep", "thumbnail", "--json")
    assert result.exit_code == 0, result.output
    assert sorted(each["analysis_id"] for each in json_lines(result)) == sorted(slow_harness.ids)
    assert [each["outcome"] for each in rows(out)] == ["analyzed"] * 2
    assert len(list(out.glob("*.thumbnail.jpg"))) == 2
    assert "0 credits" in result.stderr
    assert states(slow_harness, str(out / "clips.journal")) == ["analyzed"] * 2
    again = slow_harness.ochy("tend", "--out", str(out))
    assert (again.exit_code, again.stdout) == (0, "")
    assert "Nothing is left" in again.stderr
    assert slow_harness.starts == 2


def test_the_journal_of_the_account_is_the_default(slow_harness: CliHarness) -> None:
    """Each result is one line."""
    left_and_deleted(slow_harness)
    result = slow_harness.ochy("tend", *FAST_POLLING)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)
    assert states(slow_harness) == ["analyzed"] * 2


def test_a_journal_in_a_database_is_tended(slow_harness: CliHarness, request: pytest.FixtureRequest) -> None:
    """By OCHY_JOURNAL. A clip that a live worker holds is left alone, and counted."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    server: Server = request.getfixturevalue("postgres_server")
    address = database(server)
    left_and_deleted(slow_harness, OCHY_JOURNAL=address)

    async def tend_while_another_worker_holds_one() -> None:
        async with PostgresJournal(address) as journal:
            await journal.beat()
            keys = [each.key async for each in journal.entries()]
            assert await journal.take(*keys) == keys[0]
            result = await anyio.to_thread.run_sync(
                lambda: slow_harness.ochy("tend", *FAST_POLLING, "--json", OCHY_JOURNAL=address)
            )
            assert (result.exit_code, len(json_lines(result))) == (0, 1)
            assert "1 clip left alone" in result.stderr

    anyio.run(tend_while_another_worker_holds_one)
    assert sorted(states(slow_harness, OCHY_JOURNAL=address)) == ["analyzed", "started"]
    assert slow_harness.ochy("tend", *FAST_POLLING, OCHY_JOURNAL=address).exit_code == 0
    assert states(slow_harness, OCHY_JOURNAL=address) == ["analyzed"] * 2


async def leave(journal: Journal, state: State) -> None:
    async with journal:
        await stored_in_state(journal, state, "abcd", clip="a.mp4", view="side_view", credits=1)


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN])
def test_an_uncertain_start_is_looked_up_and_never_sent(harness: CliHarness, tmp_path: Path, state: State) -> None:
    """The exit code says so, and the commands that resolve it are printed."""
    place = tmp_path / "clips.journal"
    anyio.run(leave, SqliteJournal(place), state)
    result = harness.ochy("tend", "--journal", str(place), "--json")
    (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"], record["doubt"]["size"]) == (ExitCode.UNCERTAIN, "uncertain", 0)
    assert any("journal release" in each for each in record["doubt"]["commands"])
    assert record["height_m"] is None
    assert states(harness, str(place)) == ["uncertain"]
    assert harness.starts == 0


def test_a_journal_that_does_not_exist_is_not_made(harness: CliHarness, tmp_path: Path) -> None:
    """A mistyped name is an error."""
    result = harness.ochy("tend", "--journal", str(tmp_path / "missing.journal"))
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert list(tmp_path.glob("*.journal")) == []


def test_a_terminated_run_with_a_shared_journal_hands_over(
    slow_harness: CliHarness, request: pytest.FixtureRequest, output: Path
) -> None:
    """It ends although its analyses take a day, and `ochy tend` collects what it has bought."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    server: Server = request.getfixturevalue("postgres_server")
    address = database(server)
    words = ("analyze", *slow_harness.clips("a.mp4", "b.mp4"), "--view", "side")
    env = {**os.environ, **slow_harness.environment(OCHY_JOURNAL=address)}
    with cli_process(*words, folder=output, env=env) as child:
        wait_until(lambda: len(slow_harness.ids) == 2, 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == ExitCode.INTERRUPTED
    assert "left to other workers" in " ".join((output / "stderr").read_text().split())
    slow_harness.skipped[0] = 100_000
    assert slow_harness.ochy("tend", *FAST_POLLING, OCHY_JOURNAL=address).exit_code == 0
    assert states(slow_harness, OCHY_JOURNAL=address) == ["analyzed"] * 2
    assert slow_harness.starts == 2
