"""A journal in Postgres on the command line: its address is a secret, and each command takes it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.support.cli_harness import FAST_POLLING, CliHarness, json_lines, run_cli

# isort: split
from ochy_async.cli.ceiling_options import with_ceilings
from ochy_async.cli.journal_place import PostgresAddress
from ochy_async.journal.contract import Ceilings
from ochy_async.journal.postgres.journal import PostgresJournal
from ochy_async.policy.clip_states import State
from tests.journal.test_journal import stored_in_state
from tests.support.canary import DSN_PASSWORD, leaks
from tests.support.postgres_journals import database, query
from tests.support.servers import Server

SIDE = ("--view", "side")


@pytest.fixture
def address(postgres_server: Server) -> str:
    """The address of a new database."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    return database(postgres_server)


def shown(address: str) -> str:
    """What a command may show of an address."""
    return f"postgresql://***@{address.rpartition('@')[2]}"


async def leave_uncertain(address: str) -> None:
    """Makes a journal with one clip whose start is uncertain."""
    async with PostgresJournal(address) as journal:
        await stored_in_state(journal, State.UNCERTAIN, "abcd", clip="a.mp4", credits=1)


def test_a_clip_that_a_worker_holds_is_released_by_force_only(harness: CliHarness, address: str) -> None:
    """The error names the worker, and not the address of the database."""
    anyio.run(leave_uncertain, address)

    async def release_while_a_worker_holds_it() -> None:
        async with PostgresJournal(address) as worker:
            await worker.beat()
            assert await worker.take("abcd") == "abcd"
            holder = await worker.holder("abcd")
            words = ("journal", "release", address, "abcd", "--yes")
            refused = await anyio.to_thread.run_sync(lambda: harness.ochy(*words))
            assert refused.exit_code == 2
            assert f"is being processed by {holder}" in " ".join(refused.stderr.split())
            forced = await anyio.to_thread.run_sync(lambda: harness.ochy(*words, "--force"))
            assert forced.exit_code == 0

    anyio.run(release_while_a_worker_holds_it)


@pytest.mark.parametrize("by_flag", [True, False])
def test_each_command_takes_an_address(harness: CliHarness, address: str, by_flag: bool) -> None:
    """By a word or by OCHY_JOURNAL; and none shows its user or password."""
    anyio.run(leave_uncertain, address)
    (clip,) = harness.clips("b.mp4")
    env = {} if by_flag else {"OCHY_JOURNAL": address}
    word = (address,) if by_flag else ()
    assert shown(address) in harness.ochy("journal", "show", *word, **env).output.replace("\n", "")
    released = harness.ochy("journal", "release", *word, "abcd", "--yes", **env)
    assert released.exit_code == 0
    flag = ("--journal", address) if by_flag else ()
    assert harness.analyze(clip, *SIDE, *flag, **env).exit_code == 0
    states = json_lines(harness.ochy("journal", "show", *word, "--json", **env))
    assert [each["state"] for each in states] == ["open", "analyzed"]


def test_the_printed_command_is_refused_until_the_address_is_completed(harness: CliHarness, address: str) -> None:
    """A masked address that is pasted reaches no server and no other journal, where clips would be bought again."""
    first, _ = harness.clips("a.mp4", "b.mp4")
    run = harness.analyze(str(harness.folder), *SIDE, f"--journal={address}", "--max-credits", "1")
    assert f"--journal={shown(address)}" in run.stderr
    again = harness.analyze(first, *SIDE, "--journal", shown(address))
    assert again.exit_code == 2
    assert "is masked" in again.stderr
    assert harness.starts == 1


@pytest.mark.parametrize(
    "words",
    [
        ("journal", "repair", "{}"),
        ("journal", "check", "{}"),
        ("analyze", "{}", *SIDE),
        ("analyze", "a.mp4", *SIDE, "--journal", "{}@more"),
        ("journal", "show", "{}@more"),
        ("analyse", "{}"),
        ("doctor", "{}"),
        ("wait", "{}"),
        ("status", "{}"),
        ("subjects", "show", "{}"),
    ],
)
def test_an_address_where_none_belongs_is_not_repeated(words: tuple[str, ...]) -> None:
    """Errors about words that hold an address do not show its password."""
    result = run_cli(*(each.format(f"postgresql://ochy:{DSN_PASSWORD}@127.0.0.1/db") for each in words))
    assert result.exit_code == 2
    assert not leaks(result.output)


def test_the_environment_gives_way_to_options(harness: CliHarness, tmp_path: Path) -> None:
    """A named journal, the emulator and --no-journal do not look at OCHY_JOURNAL."""
    (clip,) = harness.clips("a.mp4")
    env = {"OCHY_JOURNAL": "postgresql://ochy@127.0.0.1:1/nowhere"}
    for words in (("--journal", str(tmp_path / "named.journal")), ("--no-journal",), ("--emulator",)):
        assert harness.analyze(clip, *SIDE, *words, **env).exit_code == 0
    assert harness.analyze(clip, *SIDE, OCHY_JOURNAL=str(tmp_path / "named.journal")).exit_code == 0
    assert harness.starts == 2
    assert harness.analyze(clip, *SIDE, OCHY_JOURNAL="postgresql://a b").exit_code == 2


# --- ceilings of all workers together -------------------------------------------------------------


def reserved(address: str) -> list[str]:
    """The rates that workers of the journal have shared."""
    return [row[0] for row in anyio.run(query, address, "SELECT name FROM ochy.rates")]


def test_workers_on_the_command_line_share_their_ceilings(harness: CliHarness, address: str) -> None:
    """Each command that polls reserves its polls in the journal. Without the options none does."""
    first, second = harness.clips("a.mp4", "b.mp4")
    words = (*SIDE, "--journal", address)
    assert harness.analyze(first, *words).exit_code == 0
    assert reserved(address) == []
    assert harness.analyze(second, *words, "--polls-per-second", "50", "--shared-uploads", "2").exit_code == 0
    assert reserved(address) == ["polls"]
    place = with_ceilings(PostgresAddress(address), {"polls_per_second": 50.0, "shared_uploads": 2})
    assert place.journal().ceilings == Ceilings(polls_per_second=50, uploads=2)


def test_tending_shares_the_ceiling_of_polls(slow_harness: CliHarness, address: str) -> None:
    """It uploads nothing."""
    (clip,) = slow_harness.clips("a.mp4")
    env = {"OCHY_JOURNAL": address}
    assert slow_harness.analyze(clip, *SIDE, "--timeout", "0.3", **env).exit_code == 1
    slow_harness.skipped[0] = 100_000
    assert slow_harness.ochy("tend", *FAST_POLLING, "--polls-per-second", "50", **env).exit_code == 0
    assert reserved(address) == ["polls"]


@pytest.mark.parametrize("option", ["--polls-per-second", "--shared-uploads"])
@pytest.mark.parametrize(
    "journal", [("--journal", "some.journal"), ("--no-journal",), ("--out", "results"), ()], ids=" ".join
)
def test_a_ceiling_of_a_journal_that_is_not_shared_is_refused(
    harness: CliHarness, tmp_path: Path, option: str, journal: tuple[str, ...]
) -> None:
    """Nothing would keep it. The error says what is needed, and nothing is sent or made."""
    (clip,) = harness.clips("a.mp4")
    where = [str(tmp_path / "new" / word) if not word.startswith("-") else word for word in journal]
    result = harness.analyze(clip, *SIDE, *where, option, "3")
    assert result.exit_code == 2
    shown = " ".join(result.stderr.split())
    assert "Nothing was sent or charged." in shown
    assert f"{option}: needs a journal that workers share: the address of a database in Postgres" in shown
    assert ("which only one process has open" in shown) is (journal[:1] in (("--journal",), ("--out",)))
    assert harness.starts == 0
    assert not (tmp_path / "new").exists()


def test_tending_a_file_with_a_ceiling_is_refused(harness: CliHarness, tmp_path: Path) -> None:
    """As analyzing is."""
    result = harness.ochy("tend", "--journal", str(tmp_path / "some.journal"), "--polls-per-second", "3")
    assert result.exit_code == 2
    assert "--polls-per-second: needs a journal that workers share" in " ".join(result.stderr.split())
