"""The journal that nobody named: a command is remembered in the user's state folder, and never pays twice."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from attrs import evolve

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
    """A shop whose analyses take a fraction of a second, and that knows two keys of one account."""
    folder = tmp_path / "clips"
    folder.mkdir()
    settings = evolve(world(queue_seconds=0.05, analysis_seconds=(0.1, 0.2)), api_keys={API_KEY, ROTATED})
    with cli_harness(settings, folder) as it:
        yield it


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The user's state folder."""
    return tmp_path / "state"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for the output of a process."""
    path = tmp_path / "output"
    path.mkdir()
    return path


def journals(place: Path) -> list[Path]:
    return sorted(place.glob("*.journal"))


# --- remembered -----------------------------------------------------------------------------------


def test_the_same_command_again_buys_nothing(harness: CliHarness, place: Path) -> None:
    """One clip and no flag is enough: what is paid is remembered, for its owner alone, and shown again."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    again = harness.analyze(*clips, *SIDE, "--json")
    assert (again.exit_code, json_lines(again)[0]["bought"], len(harness.ids)) == (0, False, 1)
    assert "0 credits spent by this run, 1 in all; 1 not needed: results were already paid for." in again.stderr
    (journal,) = journals(place)
    assert API_KEY not in journal.name
    if sys.platform != "win32":
        assert (place.stat().st_mode & 0o777, journal.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_killed_command_is_resumed_without_a_flag(harness: CliHarness, output: Path) -> None:
    """Killed when its only start is charged and not answered: the same command finds it, and buys nothing."""
    command = ("analyze", *FAST_POLLING, *harness.clips("a.mp4"), *SIDE)
    harness.faults(START, Delay(30, after=True))
    with cli_process(*command, folder=output, env=harness.environment()) as child:
        wait_until(lambda: harness.ids)
        child.kill()
        child.wait(10)
    harness.emulator.faults = None
    result = harness.ochy(*command, "--json")
    assert (result.exit_code, json_lines(result)[0]["outcome"], len(harness.ids)) == (0, "analyzed", 1)


def test_a_doubt_of_one_clip_is_told_whole(harness: CliHarness) -> None:
    """What happened, what was sent and when, and the commands of each way out, which find the journal by themselves."""
    (clip,) = harness.clips("a.mp4")
    harness.faults(START, DisconnectAfter(charged=False))
    result = quick_lookups(harness, clip, *SIDE, "--json")
    (told,) = json_lines(result)
    assert (result.exit_code, told["outcome"]) == (5, "uncertain")
    assert "It may have been charged. It is being looked up and is not bought again." in result.stderr
    for words in (told["doubt"]["cause"], "It was sent as 'a.mp4'", "UTC", "no list shows it", "second credit"):
        assert words in result.stderr
    again, adopt, release = map(shlex.split, told["doubt"]["commands"])
    assert again[:2] == ["ochy", "analyze"]
    assert adopt[:3] + adopt[-2:] == ["ochy", "journal", "adopt", told["key"][:12], "ID"]
    assert harness.ochy(*release[1:], "--yes").exit_code == 0
    assert harness.ochy(*again[1:]).exit_code == 0
    assert len(harness.ids) == 1


def quick_lookups(harness: CliHarness, *args: str) -> Result:
    """Lookups that do not go on for two minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ochy_async.policy.reconciliation._LISTING_LAG", 0.0)
        return harness.analyze(*args)


def test_who_wants_no_journal_has_none(harness: CliHarness, place: Path) -> None:
    """Nothing is written, the clip is bought each time, and that is said only where something was bought."""
    clips = harness.clips("a.mp4", "b.mp4")
    for _ in range(2):
        assert harness.analyze(clips[0], *SIDE, "--no-journal").exit_code == 0
    assert (len(harness.ids), journals(place)) == (2, [])
    (harness.folder / "empty.mp4").touch()
    refused = harness.analyze(str(harness.folder / "empty.mp4"), *SIDE, "--no-journal")
    assert refused.exit_code == 1
    assert "buys" not in refused.stderr


def test_an_out_folder_keeps_its_own_journal(harness: CliHarness, place: Path, tmp_path: Path) -> None:
    """What was named comes first: nothing lies in the state folder then."""
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--out", str(tmp_path / "out")).exit_code == 0
    assert (journals(place), (tmp_path / "out" / "clips.journal").exists()) == ([], True)


def test_a_dry_run_makes_no_journal(harness: CliHarness, place: Path) -> None:
    """It reads the one that is there."""
    clips = harness.clips("a.mp4")
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], place.exists()) == (1, False)
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], plan["done"]) == (0, 1)


def test_the_emulator_is_not_remembered(harness: CliHarness, place: Path) -> None:
    """Its analyses end with the process, and so does what is known of them."""
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--emulator").exit_code == 0
    assert not place.exists()


def test_a_limit_is_for_one_command(harness: CliHarness) -> None:
    """What unrelated commands have spent does not count; the command that buys the rest is told."""
    harness.clips("a.mp4", "b.mp4", "c.mp4")
    assert harness.analyze(str(harness.folder / "a.mp4"), *SIDE, "--max-credits", "1").exit_code == 0
    first = harness.analyze(str(harness.folder), *SIDE, "--max-credits", "1")
    assert (first.exit_code, len(harness.ids)) == (1, 2)
    (again,) = [line for line in first.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert harness.ochy(*shlex.split(again)[1:]).exit_code == 0
    assert len(harness.ids) == 3


def test_all_who_tell_of_money_agree_with_the_ledger(
    harness: CliHarness, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half-way and run again: bar, summary, report and lines of JSON say what the ledger says, run by run."""
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
    told = json_lines(result)
    assert sum(each["bought"] for each in told) == spent
    assert sum(each["outcome"] == "analyzed" and not each["bought"] for each in told) == before
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


# --- a place that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a file in the way", "a folder in the way", "not a journal"])
def test_a_state_folder_that_cannot_serve_is_told_before_anything_is_bought(
    harness: CliHarness, place: Path, what: str
) -> None:
    """A clear error that names the ways out; nothing is sent, and --no-journal works."""
    clips = harness.clips("a.mp4")
    if what == "a file in the way":
        place.write_text("")
    else:
        assert harness.analyze(*clips, *SIDE, "--max-credits", "0").exit_code == 1
        (journal,) = journals(place)
        journal.unlink()
        journal.mkdir() if what == "a folder in the way" else journal.write_text("no journal " * 99)
    refused = harness.analyze(*clips, *SIDE)
    assert (refused.exit_code, harness.starts) == (1, 0)
    for words in ("--no-journal", "--journal PATH", default_journal.DIRECTORY):
        assert words in refused.stderr
    assert "Traceback" not in refused.output
    assert harness.analyze(*clips, *SIDE, "--no-journal").exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_full_disk_is_told_before_anything_is_bought(
    harness: CliHarness, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write of the journal fails: the error names the disk and the ways out."""

    async def full(_: SqliteJournal) -> SqliteJournal:
        raise JournalFull("The journal has no room on its disk.")

    monkeypatch.setattr(SqliteJournal, "__aenter__", full)
    refused = harness.analyze(*harness.clips("a.mp4"), *SIDE)
    assert (refused.exit_code, harness.starts, "no room" in refused.stderr) == (1, 0, True)
    assert "--no-journal" in refused.stderr


# --- two at once ----------------------------------------------------------------------------------


def test_a_second_command_waits_for_the_first(harness: CliHarness, output: Path) -> None:
    """It says so, and goes on when the journal is free."""
    first, second = harness.clips("a.mp4", "b.mp4")
    harness.faults(START, Delay(1.5, after=True))
    with cli_process("analyze", *FAST_POLLING, first, *SIDE, folder=output, env=harness.environment()) as child:
        wait_until(lambda: harness.ids)
        result = harness.analyze(second, *SIDE)
        assert child.wait(10) == 0
    assert (result.exit_code, harness.starts) == (0, 2), result.output
    assert "Waiting for it" in result.stderr


def test_a_second_command_that_waited_in_vain_says_what_to_do(
    harness: CliHarness, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded while: an error that names the ways out, and nothing was sent."""
    monkeypatch.setattr(batch_run, "PATIENCE", 0.2)
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(clips[0], *SIDE).exit_code == 0
    (journal,) = journals(place)

    async def busy() -> Result:
        async with SqliteJournal(journal):
            return await anyio.to_thread.run_sync(lambda: harness.analyze(clips[1], *SIDE))

    result = anyio.run(busy)
    assert (result.exit_code, harness.starts) == (1, 1)
    for words in ("--out", "--journal PATH", "--no-journal", "open elsewhere"):
        assert words in result.stderr


# --- another key ----------------------------------------------------------------------------------


def test_a_new_key_buys_nothing_before_its_account_is_known(harness: CliHarness, place: Path) -> None:
    """A rotated key would find an empty journal and buy all clips again: the user says whose it is, once."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    refused = harness.analyze(*clips, *SIDE, OCHY_API_KEY=ROTATED)
    assert (refused.exit_code, len(harness.ids)) == (1, 1)
    assert "--same-account" in refused.stderr
    assert "--other-account" in refused.stderr
    for flags in (("--same-account",), ()):
        assert harness.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(harness.ids), len(journals(place))) == (1, 1)


def test_another_account_gets_a_journal_of_its_own(harness: CliHarness, place: Path) -> None:
    """Said once; from then on the key is known."""
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    for flags in (("--other-account",), ()):
        assert harness.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(harness.ids), len(journals(place))) == (2, 2)


# --- --again --------------------------------------------------------------------------------------


def test_again_analyzes_finished_clips_anew(harness: CliHarness) -> None:
    """What it costs is said before; the command that goes on does not say it again."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = json_lines(harness.analyze(*clips, *SIDE, "--again", "--dry-run", "--json"))
    assert (plan["to_buy"], len(harness.ids)) == (2, 2)
    anew = harness.analyze(*clips, *SIDE, "--again")
    assert (anew.exit_code, len(harness.ids)) == (0, 4)
    assert "--again: 2 clips are analyzed again, for one credit each." in anew.stderr
    assert "2 credits spent by this run, 4 in all." in anew.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_again_after_a_crash_finishes_what_was_opened(harness: CliHarness, output: Path) -> None:
    """The very same command line, repeated: it buys nothing a second time, and says so."""
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
    (anew,) = [line for line in repeated.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert "--again" in shlex.split(anew)


@pytest.mark.parametrize("flags", [("--no-journal",), ("--emulator",)])
def test_again_needs_a_journal(harness: CliHarness, flags: tuple[str, ...]) -> None:
    """Where nothing is remembered every clip is analyzed anew anyway."""
    result = harness.analyze(*harness.clips("a.mp4"), *SIDE, "--again", *flags)
    assert (result.exit_code, harness.service.requests, "--again" in result.stderr) == (2, (), True)


# --- ochy journal ---------------------------------------------------------------------------------


def test_the_journal_is_found_without_being_told(harness: CliHarness, place: Path) -> None:
    """By the key; without one where there is only one; and a clip may be named, or the file."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    (journal,) = journals(place)
    for words in (("journal",), ("journal", "show"), ("journal", "show", str(journal))):
        for key in (API_KEY, None):
            shown = harness.ochy(*words, OCHY_API_KEY=key)
            assert (shown.exit_code, str(journal) in shown.stdout, clips[0] in shown.stdout) == (0, True, True)
    (one,) = json_lines(harness.ochy("journal", "show", clips[0], "--json"))
    assert one["clip"] == clips[0]


def test_no_journal_is_told_and_several_are_listed(harness: CliHarness, place: Path) -> None:
    """Nothing is made, and without a key nobody guesses which is meant."""
    none = harness.ochy("journal")
    assert (none.exit_code, "no journal" in none.stderr, place.exists()) == (2, True, False)
    clips = harness.clips("a.mp4")
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    assert harness.analyze(*clips, *SIDE, "--other-account", OCHY_API_KEY=ROTATED).exit_code == 0
    several = harness.ochy("journal", OCHY_API_KEY=None)
    assert (several.exit_code, [str(each) in several.stderr for each in journals(place)]) == (2, [True, True])


def test_another_address_of_the_same_server_is_told_by_a_word(harness: CliHarness, place: Path) -> None:
    """With --same-origin the journal that is there is used, and its clips are found; that word alone makes none."""
    clips, elsewhere = harness.clips("a.mp4"), harness.emulator.url.replace("127.0.0.1", "localhost")
    there = ("--base-url", elsewhere, "--same-origin")
    none = harness.analyze(*clips, *SIDE, *there)
    assert (none.exit_code, "There is no journal of this key. Nothing was sent" in none.stderr) == (1, True)
    assert harness.analyze(*clips, *SIDE).exit_code == 0
    assert harness.analyze(*clips, *SIDE, *there).exit_code == 0
    assert (len(harness.ids), len(journals(place))) == (1, 1)
