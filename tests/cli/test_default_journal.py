"""The default journal: a command is recorded in the user's state folder, and never pays twice."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from attrs import evolve

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async.batch.report import Report, credits_text, short_credits_text
from ochy_async.cli import batch_run, default_journal
from ochy_async.emulator import Delay, DisconnectAfter, FaultPlan, FaultRule
from ochy_async.errors import JournalFull
from ochy_async.journal.sqlite.journal import SqliteJournal
from tests.conftest import world
from tests.support.canary import API_KEY
from tests.support.cli_harness import (
    FAST_POLLING,
    START,
    CliHarness,
    Result,
    cli_harness,
    cli_process,
    json_lines,
    wait_until,
)

SIDE = ("--view", "side")
ROTATED = "4f1d-rotated-key"


@pytest.fixture
def harness(tmp_path: Path) -> Generator[CliHarness]:
    """A harness whose analyses take a fraction of a second, and that knows two keys of one account."""
    settings = evolve(world(queue_seconds=0.05, analysis_seconds=(0.1, 0.2)), api_keys={API_KEY, ROTATED})
    with cli_harness(settings, tmp_path / "clips") as opened:
        yield opened


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    """The user's state folder."""
    return tmp_path / "state"


def journals(state_folder: Path) -> list[Path]:
    return sorted(state_folder.glob("*.journal"))


# --- recording ------------------------------------------------------------------------------------


def test_the_same_command_again_buys_nothing(harness: CliHarness, state_folder: Path) -> None:
    """Without any option, paid results are recorded, readable by their owner only, and shown again."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    again = harness.analyze(*clips, *SIDE, "--json")
    assert (again.exit_code, json_lines(again)[0]["bought"], len(harness.ids)) == (0, False, 1)
    assert "0 credits spent by this run, 1 in all; 1 not needed: results were already paid for." in again.stderr
    (journal,) = journals(state_folder)
    assert API_KEY not in journal.name
    if sys.platform != "win32":
        assert (state_folder.stat().st_mode & 0o777, journal.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_killed_command_is_resumed_without_an_option(harness: CliHarness, output: Path) -> None:
    """Killed when its only start is charged and not answered: the same command finds it and buys nothing."""
    command = ("analyze", *FAST_POLLING, *harness.clips("a.mp4"), *SIDE)
    harness.faults(START, Delay(30, after=True))
    with cli_process(*command, folder=output, env=harness.environment()) as child:
        wait_until(lambda: harness.ids)
        child.kill()
        child.wait(10)
    harness.emulator.faults = None
    result = harness.ochy(*command, "--json")
    assert (result.exit_code, json_lines(result)[0]["outcome"], len(harness.ids)) == (0, "analyzed", 1)


def test_an_uncertain_start_is_shown_completely(harness: CliHarness) -> None:
    """What happened, what was sent and when, and the commands that resolve it, which find the journal."""
    (clip,) = harness.clips("a.mp4")
    harness.faults(START, DisconnectAfter(charged=False))
    result = quick_lookups(harness, clip, *SIDE, "--json")
    (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"]) == (5, "uncertain")
    assert "The start may have been charged. It is being looked up, and the clip is not bought again." in result.stderr
    for words in (
        record["doubt"]["cause"],
        "The clip was sent as 'a.mp4'",
        "UTC",
        "do not show its analysis",
        "second credit",
    ):
        assert words in result.stderr
    again, adopt, release = map(shlex.split, record["doubt"]["commands"])
    assert again[:2] == ["ochy", "analyze"]
    assert adopt[:3] + adopt[-2:] == ["ochy", "journal", "adopt", record["key"][:12], "ID"]
    assert harness.ochy(*release[1:], "--yes").exit_code == 0
    assert harness.ochy(*again[1:]).exit_code == 0
    assert len(harness.ids) == 1


def quick_lookups(harness: CliHarness, *args: str) -> Result:
    """Lookups that do not go on for two minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ochy_async.policy.reconciliation._LISTING_LAG", 0.0)
        return harness.analyze(*args)


def test_no_journal_records_nothing(harness: CliHarness, state_folder: Path) -> None:
    """Nothing is written, the clip is bought each time, and the warning appears only if something was bought."""
    clips = harness.clips("a.mp4", "b.mp4")
    for _ in range(2):
        assert harness.analyze(clips[0], *SIDE, "--no-journal").exit_code == 0
    assert (len(harness.ids), journals(state_folder)) == (2, [])
    (harness.folder / "empty.mp4").touch()
    refused = harness.analyze(str(harness.folder / "empty.mp4"), *SIDE, "--no-journal")
    assert refused.exit_code == 1
    assert "buys" not in refused.stderr


def test_an_out_folder_has_its_own_journal(harness: CliHarness, state_folder: Path, tmp_path: Path) -> None:
    """The state folder is then not used."""
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--out", str(tmp_path / "out")).exit_code == 0
    assert (journals(state_folder), (tmp_path / "out" / "clips.journal").exists()) == ([], True)


def test_a_dry_run_creates_no_journal(harness: CliHarness, state_folder: Path) -> None:
    """It reads an existing one."""
    clips = harness.clips("a.mp4")
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], state_folder.exists()) == (1, False)
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], plan["done"]) == (0, 1)


def test_emulated_analyses_are_not_recorded(harness: CliHarness, state_folder: Path) -> None:
    """They end with the process."""
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--emulator").exit_code == 0
    assert not state_folder.exists()


def test_a_limit_is_for_one_command(harness: CliHarness) -> None:
    """What other commands have spent does not count, and the summary prints the command that buys the rest."""
    harness.clips("a.mp4", "b.mp4", "c.mp4")
    assert harness.analyze(str(harness.folder / "a.mp4"), *SIDE, "--max-credits", "1").exit_code == 0
    first = harness.analyze(str(harness.folder), *SIDE, "--max-credits", "1")
    assert (first.exit_code, len(harness.ids)) == (1, 2)
    (again,) = [line for line in first.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert harness.ochy(*shlex.split(again)[1:]).exit_code == 0
    assert len(harness.ids) == 3


def test_all_credit_counts_agree_with_the_ledger(
    harness: CliHarness, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half-way and run again: display, summary, report and JSON agree with the ledger in each run."""
    reports: list[Report] = []
    notes: list[str] = []

    def noted(report: Report, *, simulated: bool) -> str:
        reports.append(report)
        notes.append(short_credits_text(report, simulated=simulated))
        return notes[-1]

    monkeypatch.setattr("ochy_async.cli.display.reporter.short_credits_text", noted)
    monkeypatch.setattr("ochy_async.cli.display.reporter._wants_live_display", lambda: True)
    harness.clips("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    command = ("analyze", *FAST_POLLING, str(harness.folder), *SIDE, "--uploads", "1", "--tag-starts", "--json")
    harness.emulator.faults = FaultPlan([FaultRule(START, Delay(30, after=True), occurrence=3)])
    with cli_process(*command, folder=output, env=harness.environment()) as child:
        wait_until(lambda: len(harness.ids) == 3)
        child.kill()
        child.wait(10)
    harness.emulator.faults = None
    before = len(harness.ids)
    result = harness.ochy(*command)
    spent, in_all = len(harness.ids) - before, len(harness.ids)
    assert (result.exit_code, before, spent) == (0, 3, 2)
    records = json_lines(result)
    assert sum(each["bought"] for each in records) == spent
    assert sum(each["outcome"] == "analyzed" and not each["bought"] for each in records) == before
    last = reports[-1]
    assert (last.spent, last.committed, last.charged, last.already_paid, last.uncertain) == (
        spent,
        in_all,
        in_all,
        before,
        0,
    )
    assert notes[-1] == f"{spent} credits spent"
    assert credits_text(last) in result.stderr
    assert credits_text(last) == (
        f"{spent} credits spent by this run, {in_all} in all; {before} not needed: results were already paid for."
    )


# --- an unusable state folder ---------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a file in the way", "a folder in the way", "not a journal"])
def test_an_unusable_state_folder_is_reported_before_anything_is_bought(
    harness: CliHarness, state_folder: Path, what: str
) -> None:
    """The error names the alternatives; nothing is sent, and --no-journal works."""
    clips = harness.clips("a.mp4")
    if what == "a file in the way":
        state_folder.write_text("")
    else:
        assert harness.analyze(*clips, *SIDE, "--max-credits", "0").exit_code == 1
        (journal,) = journals(state_folder)
        journal.unlink()
        journal.mkdir() if what == "a folder in the way" else journal.write_text("no journal " * 99)
    refused = harness.analyze(*clips, *SIDE)
    assert (refused.exit_code, harness.starts) == (1, 0)
    for words in ("--no-journal", "--journal PATH", default_journal.DIRECTORY):
        assert words in refused.stderr
    assert "Traceback" not in refused.output
    assert harness.analyze(*clips, *SIDE, "--no-journal").exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_full_disk_is_reported_before_anything_is_bought(
    harness: CliHarness, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write of the journal fails, and the error names the disk and the alternatives."""

    async def full(_: SqliteJournal) -> SqliteJournal:
        raise JournalFull("The journal has no room on its disk.")

    monkeypatch.setattr(SqliteJournal, "__aenter__", full)
    refused = harness.analyze(*harness.clips("a.mp4"), *SIDE)
    assert (refused.exit_code, harness.starts, "no room" in refused.stderr) == (1, 0, True)
    assert "--no-journal" in refused.stderr


# --- two commands at once ---------------------------------------------------------------------------


def test_a_second_command_waits_for_the_first(harness: CliHarness, output: Path) -> None:
    """It says so, and continues when the journal is free."""
    first, second = harness.clips("a.mp4", "b.mp4")
    harness.faults(START, Delay(1.5, after=True))
    with cli_process("analyze", *FAST_POLLING, first, *SIDE, folder=output, env=harness.environment()) as child:
        wait_until(lambda: harness.ids)
        result = harness.analyze(second, *SIDE)
        assert child.wait(10) == 0
    assert (result.exit_code, harness.starts) == (0, 2), result.output
    assert "Waiting for it" in result.stderr


def test_a_second_command_stops_waiting(
    harness: CliHarness, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a limited time an error names the alternatives; nothing was sent."""
    monkeypatch.setattr(batch_run, "PATIENCE", 0.2)
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(clips[0], *SIDE).exit_code == 0
    (journal,) = journals(state_folder)

    async def busy() -> Result:
        async with SqliteJournal(journal):
            return await anyio.to_thread.run_sync(lambda: harness.analyze(clips[1], *SIDE))

    result = anyio.run(busy)
    assert (result.exit_code, harness.starts) == (1, 1)
    for words in ("--out", "--journal PATH", "--no-journal", "open elsewhere"):
        assert words in result.stderr


# --- another key ----------------------------------------------------------------------------------


def test_a_new_key_buys_nothing_before_its_account_is_known(harness: CliHarness, state_folder: Path) -> None:
    """A rotated key would find an empty journal and buy all clips again, so the user must say whose it is, once."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    refused = harness.analyze(*clips, *SIDE, OCHY_API_KEY=ROTATED)
    assert (refused.exit_code, len(harness.ids)) == (1, 1)
    assert "--same-account" in refused.stderr
    assert "--other-account" in refused.stderr
    for flags in (("--same-account",), ()):
        assert harness.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(harness.ids), len(journals(state_folder))) == (1, 1)


def test_another_account_gets_a_journal_of_its_own(harness: CliHarness, state_folder: Path) -> None:
    """The user says so once; then the key is known."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    for flags in (("--other-account",), ()):
        assert harness.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(harness.ids), len(journals(state_folder))) == (2, 2)


# --- --again --------------------------------------------------------------------------------------


def test_again_buys_finished_clips_again(harness: CliHarness) -> None:
    """The cost is printed before, and the command for resuming does not contain --again."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--again", "--dry-run", "--json"))
    assert (plan["to_buy"], len(harness.ids)) == (2, 2)
    again = harness.analyze(*clips, *SIDE, "--again")
    assert (again.exit_code, len(harness.ids)) == (0, 4)
    assert "--again: 2 clips are analyzed again, for one credit each." in again.stderr
    assert "2 credits spent by this run, 4 in all." in again.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_again_after_a_crash_finishes_reopened_clips(harness: CliHarness, output: Path) -> None:
    """The same command, repeated, buys nothing a second time and says so."""
    command = ("analyze", *FAST_POLLING, *harness.clips("a.mp4", "b.mp4"), *SIDE, "--again", "--uploads", "1")
    assert harness.ochy(*(word for word in command if word != "--again")).exit_code == 0
    harness.faults(START, Delay(30, after=True))
    with cli_process(*command, folder=output, env=harness.environment()) as child:
        wait_until(lambda: len(harness.ids) == 3)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    harness.emulator.faults = None
    repeated = harness.ochy(*command)
    assert (repeated.exit_code, len(harness.ids)) == (0, 4), repeated.output
    assert "--again: no clip is analyzed again yet" in repeated.stderr
    (again,) = [line for line in repeated.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert "--again" in shlex.split(again)


@pytest.mark.parametrize("flags", [("--no-journal",), ("--emulator",)])
def test_again_needs_a_journal(harness: CliHarness, flags: tuple[str, ...]) -> None:
    """Without one every clip is analyzed again anyway."""
    result = harness.analyze(*harness.clips("a.mp4"), *SIDE, "--again", *flags)
    assert (result.exit_code, harness.service.requests, "--again" in result.stderr) == (2, (), True)


# --- ochy journal ---------------------------------------------------------------------------------


def test_the_default_journal_is_found(harness: CliHarness, state_folder: Path) -> None:
    """By the key; without one if there is only one journal. A clip or the file may be named."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (journal,) = journals(state_folder)
    for words in (("journal",), ("journal", "show"), ("journal", "show", str(journal))):
        for key in (API_KEY, None):
            shown = harness.ochy(*words, OCHY_API_KEY=key)
            assert (shown.exit_code, str(journal) in shown.stdout, clips[0] in shown.stdout) == (0, True, True)
    (one,) = json_lines(harness.ochy("journal", "show", clips[0], "--json"))
    assert one["clip"] == clips[0]


def test_missing_and_ambiguous_journals_are_reported(harness: CliHarness, state_folder: Path) -> None:
    """No journal is created, and without a key none of several is chosen."""
    none = harness.ochy("journal")
    assert (none.exit_code, "no journal" in none.stderr, state_folder.exists()) == (2, True, False)
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    assert harness.analyze(*clips, *SIDE, "--other-account", OCHY_API_KEY=ROTATED).exit_code == 0
    several = harness.ochy("journal", OCHY_API_KEY=None)
    assert (several.exit_code, [str(each) in several.stderr for each in journals(state_folder)]) == (2, [True, True])


def test_same_origin_finds_the_journal_of_another_base_url(harness: CliHarness, state_folder: Path) -> None:
    """The existing journal is used and its clips are found; without one, nothing is created."""
    clips, elsewhere = harness.clips("a.mp4"), harness.emulator.url.replace("127.0.0.1", "localhost")
    there = ("--base-url", elsewhere, "--same-origin")
    none = harness.analyze(*clips, *SIDE, *there)
    assert (none.exit_code, "There is no journal of this key. Nothing was sent" in none.stderr) == (1, True)
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    assert harness.analyze(*clips, *SIDE, *there).exit_code == 0
    assert (len(harness.ids), len(journals(state_folder))) == (1, 1)
