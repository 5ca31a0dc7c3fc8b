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

from ochy_async.batch.report import Report, credits_note, credits_told
from ochy_async.cli import batch_run as cli_run
from ochy_async.cli import default_journal
from ochy_async.emulator import Delay, DisconnectAfter, FaultPlan, FaultRule
from ochy_async.errors import JournalFull
from ochy_async.journal.sqlite.journal import SqliteJournal
from tests.conftest import world
from tests.support.canary import API_KEY
from tests.support.cli_harness import QUICK, START, Result, Shop, eventually, lines, opened, process

SIDE = ("--view", "side")
ROTATED = "4f1d-rotated-key"


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a fraction of a second, and that knows two keys of one account."""
    folder = tmp_path / "clips"
    folder.mkdir()
    settings = evolve(world(queueing=0.05, durations=(0.1, 0.2)), keys={API_KEY, ROTATED})
    with opened(settings, folder) as it:
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


def test_the_same_command_again_buys_nothing(shop: Shop, place: Path) -> None:
    """One clip and no flag is enough: what is paid is remembered, for its owner alone, and shown again."""
    clips = shop.clips("a.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    again = shop.analyze(*clips, *SIDE, "--json")
    assert (again.exit_code, lines(again)[0]["bought"], len(shop.ids)) == (0, False, 1)
    assert "0 credits spent by this run, 1 in all; 1 not needed: results were already paid for." in again.stderr
    (journal,) = journals(place)
    assert API_KEY not in journal.name
    if sys.platform != "win32":
        assert (place.stat().st_mode & 0o777, journal.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_killed_command_is_resumed_without_a_flag(shop: Shop, output: Path) -> None:
    """Killed when its only start is charged and not answered: the same command finds it, and buys nothing."""
    command = ("analyze", *QUICK, *shop.clips("a.mp4"), *SIDE)
    shop.faults(START, Delay(30, after=True))
    with process(*command, folder=output, env=shop.environment()) as child:
        eventually(lambda: shop.ids)
        child.kill()
        child.wait(10)
    shop.emulator.faults = None
    result = shop.ochy(*command, "--json")
    assert (result.exit_code, lines(result)[0]["outcome"], len(shop.ids)) == (0, "analyzed", 1)


def test_a_doubt_of_one_clip_is_told_whole(shop: Shop) -> None:
    """What happened, what was sent and when, and the commands of each way out, which find the journal by themselves."""
    (clip,) = shop.clips("a.mp4")
    shop.faults(START, DisconnectAfter(charged=False))
    result = quick_lookups(shop, clip, *SIDE, "--json")
    (told,) = lines(result)
    assert (result.exit_code, told["outcome"]) == (5, "uncertain")
    assert "It may have been charged, and is not bought again. It is being looked up." in result.stderr
    for words in (told["doubt"]["cause"], "It was sent as 'a.mp4'", "UTC", "no list shows it", "second credit"):
        assert words in result.stderr
    again, adopt, release = map(shlex.split, told["doubt"]["commands"])
    assert again[:2] == ["ochy", "analyze"]
    assert adopt[:3] + adopt[-2:] == ["ochy", "journal", "adopt", told["key"][:12], "ID"]
    assert shop.ochy(*release[1:], "--yes").exit_code == 0
    assert shop.ochy(*again[1:]).exit_code == 0
    assert len(shop.ids) == 1


def quick_lookups(shop: Shop, *args: str) -> Result:
    """Lookups that do not go on for two minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ochy_async.policy.reconciliation._LISTING_LAG", 0.0)
        return shop.analyze(*args)


def test_who_wants_no_journal_has_none(shop: Shop, place: Path) -> None:
    """Nothing is written, the clip is bought each time, and that is said only where something was bought."""
    clips = shop.clips("a.mp4", "b.mp4")
    for _ in range(2):
        assert shop.analyze(clips[0], *SIDE, "--no-journal").exit_code == 0
    assert (len(shop.ids), journals(place)) == (2, [])
    (shop.folder / "empty.mp4").touch()
    refused = shop.analyze(str(shop.folder / "empty.mp4"), *SIDE, "--no-journal")
    assert refused.exit_code == 1
    assert "buys" not in refused.stderr


def test_an_out_folder_keeps_its_own_journal(shop: Shop, place: Path, tmp_path: Path) -> None:
    """What was named comes first: nothing lies in the state folder then."""
    assert shop.analyze(*shop.clips("a.mp4"), *SIDE, "--out", str(tmp_path / "out")).exit_code == 0
    assert (journals(place), (tmp_path / "out" / "clips.journal").exists()) == ([], True)


def test_a_dry_run_makes_no_journal(shop: Shop, place: Path) -> None:
    """It reads the one that is there."""
    clips = shop.clips("a.mp4")
    (plan,) = lines(shop.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], place.exists()) == (1, False)
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = lines(shop.analyze(*clips, *SIDE, "--dry-run", "--json"))
    assert (plan["to_buy"], plan["done"]) == (0, 1)


def test_the_emulator_is_not_remembered(shop: Shop, place: Path) -> None:
    """Its analyses end with the process, and so does what is known of them."""
    assert shop.analyze(*shop.clips("a.mp4"), *SIDE, "--emulator").exit_code == 0
    assert not place.exists()


def test_a_limit_is_for_one_command(shop: Shop) -> None:
    """What unrelated commands have spent does not count; the command that buys the rest is told."""
    shop.clips("a.mp4", "b.mp4", "c.mp4")
    assert shop.analyze(str(shop.folder / "a.mp4"), *SIDE, "--max-credits", "1").exit_code == 0
    first = shop.analyze(str(shop.folder), *SIDE, "--max-credits", "1")
    assert (first.exit_code, len(shop.ids)) == (1, 2)
    (again,) = [line for line in first.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert shop.ochy(*shlex.split(again)[1:]).exit_code == 0
    assert len(shop.ids) == 3


def test_all_who_tell_of_money_agree_with_the_ledger(shop: Shop, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed half-way and run again: bar, summary, report and lines of JSON say what the ledger says, run by run."""
    reports: list[Report] = []
    notes: list[str] = []

    def noted(report: Report, *, made_up: bool) -> str:
        reports.append(report)
        notes.append(credits_note(report, made_up=made_up))
        return notes[-1]

    monkeypatch.setattr("ochy_async.cli.display.reporter.credits_note", noted)
    monkeypatch.setattr("ochy_async.cli.display.reporter._live", lambda: True)
    shop.clips("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    command = ("analyze", *QUICK, str(shop.folder), *SIDE, "--uploads", "1", "--tag-starts", "--json")
    shop.emulator.faults = FaultPlan([FaultRule(START, Delay(30, after=True), occurrence=3)])
    with process(*command, folder=output, env=shop.environment()) as child:
        eventually(lambda: len(shop.ids) == 3)
        child.kill()
        child.wait(10)
    shop.emulator.faults = None
    before = len(shop.ids)
    result = shop.ochy(*command)
    spent, in_all = len(shop.ids) - before, len(shop.ids)
    assert (result.exit_code, before, spent) == (0, 3, 2)
    told = lines(result)
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
    assert credits_told(last) in result.stderr
    assert credits_told(last) == (
        f"{spent} credits spent by this run, {in_all} in all; {before} not needed: results were already paid for."
    )


# --- a place that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a file in the way", "a folder in the way", "not a journal"])
def test_a_state_folder_that_cannot_serve_is_told_before_anything_is_bought(shop: Shop, place: Path, what: str) -> None:
    """A clear error that names the ways out; nothing is sent, and --no-journal works."""
    clips = shop.clips("a.mp4")
    if what == "a file in the way":
        place.write_text("")
    else:
        assert shop.analyze(*clips, *SIDE, "--max-credits", "0").exit_code == 1
        (journal,) = journals(place)
        journal.unlink()
        journal.mkdir() if what == "a folder in the way" else journal.write_text("no journal " * 99)
    refused = shop.analyze(*clips, *SIDE)
    assert (refused.exit_code, shop.starts) == (1, 0)
    for words in ("--no-journal", "--journal PATH", default_journal.DIRECTORY):
        assert words in refused.stderr
    assert "Traceback" not in refused.output
    assert shop.analyze(*clips, *SIDE, "--no-journal").exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_full_disk_is_told_before_anything_is_bought(
    shop: Shop, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write of the journal fails: the error names the disk and the ways out."""

    async def full(_: SqliteJournal) -> SqliteJournal:
        raise JournalFull("The journal has no room on its disk.")

    monkeypatch.setattr(SqliteJournal, "__aenter__", full)
    refused = shop.analyze(*shop.clips("a.mp4"), *SIDE)
    assert (refused.exit_code, shop.starts, "no room" in refused.stderr) == (1, 0, True)
    assert "--no-journal" in refused.stderr


# --- two at once ----------------------------------------------------------------------------------


def test_a_second_command_waits_for_the_first(shop: Shop, output: Path) -> None:
    """It says so, and goes on when the journal is free."""
    first, second = shop.clips("a.mp4", "b.mp4")
    shop.faults(START, Delay(1.5, after=True))
    with process("analyze", *QUICK, first, *SIDE, folder=output, env=shop.environment()) as child:
        eventually(lambda: shop.ids)
        result = shop.analyze(second, *SIDE)
        assert child.wait(10) == 0
    assert (result.exit_code, shop.starts) == (0, 2), result.output
    assert "it is waited for" in result.stderr


def test_a_second_command_that_waited_in_vain_says_what_to_do(
    shop: Shop, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded while: an error that names the ways out, and nothing was sent."""
    monkeypatch.setattr(cli_run, "PATIENCE", 0.2)
    clips = shop.clips("a.mp4", "b.mp4")
    assert shop.analyze(clips[0], *SIDE).exit_code == 0
    (journal,) = journals(place)

    async def busy() -> Result:
        async with SqliteJournal(journal):
            return await anyio.to_thread.run_sync(lambda: shop.analyze(clips[1], *SIDE))

    result = anyio.run(busy)
    assert (result.exit_code, shop.starts) == (1, 1)
    for words in ("--out", "--journal PATH", "--no-journal", "open elsewhere"):
        assert words in result.stderr


# --- another key ----------------------------------------------------------------------------------


def test_a_new_key_buys_nothing_before_its_account_is_known(shop: Shop, place: Path) -> None:
    """A rotated key would find an empty journal and buy all clips again: the user says whose it is, once."""
    clips = shop.clips("a.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    refused = shop.analyze(*clips, *SIDE, OCHY_API_KEY=ROTATED)
    assert (refused.exit_code, len(shop.ids)) == (1, 1)
    assert "--same-account" in refused.stderr
    assert "--other-account" in refused.stderr
    for flags in (("--same-account",), ()):
        assert shop.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(shop.ids), len(journals(place))) == (1, 1)


def test_another_account_gets_a_journal_of_its_own(shop: Shop, place: Path) -> None:
    """Said once; from then on the key is known."""
    clips = shop.clips("a.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    for flags in (("--other-account",), ()):
        assert shop.analyze(*clips, *SIDE, *flags, OCHY_API_KEY=ROTATED).exit_code == 0
    assert (len(shop.ids), len(journals(place))) == (2, 2)


# --- --again --------------------------------------------------------------------------------------


def test_again_analyzes_finished_clips_anew(shop: Shop) -> None:
    """What it costs is said before; the command that goes on does not say it again."""
    clips = shop.clips("a.mp4", "b.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    (plan,) = lines(shop.analyze(*clips, *SIDE, "--again", "--dry-run", "--json"))
    assert (plan["to_buy"], len(shop.ids)) == (2, 2)
    anew = shop.analyze(*clips, *SIDE, "--again")
    assert (anew.exit_code, len(shop.ids)) == (0, 4)
    assert "--again: 2 clips are analyzed anew, for one credit each." in anew.stderr
    assert "2 credits spent by this run, 4 in all." in anew.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_again_after_a_crash_finishes_what_was_opened(shop: Shop, output: Path) -> None:
    """The very same command line, repeated: it buys nothing a second time, and says so."""
    command = ("analyze", *QUICK, *shop.clips("a.mp4", "b.mp4"), *SIDE, "--again", "--uploads", "1")
    assert shop.ochy(*(word for word in command if word != "--again")).exit_code == 0
    shop.faults(START, Delay(30, after=True))
    with process(*command, folder=output, env=shop.environment()) as child:
        eventually(lambda: len(shop.ids) == 3)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    shop.emulator.faults = None
    repeated = shop.ochy(*command)
    assert (repeated.exit_code, len(shop.ids)) == (0, 4), repeated.output
    assert "--again: nothing is analyzed anew" in repeated.stderr
    (anew,) = [line for line in repeated.stderr.splitlines() if line.startswith("  ochy analyze")]
    assert "--again" in shlex.split(anew)


@pytest.mark.parametrize("flags", [("--no-journal",), ("--emulator",)])
def test_again_needs_a_journal(shop: Shop, flags: tuple[str, ...]) -> None:
    """Where nothing is remembered every clip is analyzed anew anyway."""
    result = shop.analyze(*shop.clips("a.mp4"), *SIDE, "--again", *flags)
    assert (result.exit_code, shop.service.requests, "--again" in result.stderr) == (2, (), True)


# --- ochy journal ---------------------------------------------------------------------------------


def test_the_journal_is_found_without_being_told(shop: Shop, place: Path) -> None:
    """By the key; without one where there is only one; and a clip may be named, or the file."""
    clips = shop.clips("a.mp4", "b.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    (journal,) = journals(place)
    for words in (("journal",), ("journal", "show"), ("journal", "show", str(journal))):
        for key in (API_KEY, None):
            shown = shop.ochy(*words, OCHY_API_KEY=key)
            assert (shown.exit_code, str(journal) in shown.stdout, clips[0] in shown.stdout) == (0, True, True)
    (one,) = lines(shop.ochy("journal", "show", clips[0], "--json"))
    assert one["clip"] == clips[0]


def test_no_journal_is_told_and_several_are_listed(shop: Shop, place: Path) -> None:
    """Nothing is made, and without a key nobody guesses which is meant."""
    none = shop.ochy("journal")
    assert (none.exit_code, "no journal" in none.stderr, place.exists()) == (2, True, False)
    clips = shop.clips("a.mp4")
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    assert shop.analyze(*clips, *SIDE, "--other-account", OCHY_API_KEY=ROTATED).exit_code == 0
    several = shop.ochy("journal", OCHY_API_KEY=None)
    assert (several.exit_code, [str(each) in several.stderr for each in journals(place)]) == (2, [True, True])


def test_another_address_of_the_same_server_is_told_by_a_word(shop: Shop, place: Path) -> None:
    """With --same-origin the journal that is there is used, and its clips are found; that word alone makes none."""
    clips, elsewhere = shop.clips("a.mp4"), shop.emulator.url.replace("127.0.0.1", "localhost")
    there = ("--base-url", elsewhere, "--same-origin")
    none = shop.analyze(*clips, *SIDE, *there)
    assert (none.exit_code, "There is no journal of this key. Nothing was sent" in none.stderr) == (1, True)
    assert shop.analyze(*clips, *SIDE).exit_code == 0
    assert shop.analyze(*clips, *SIDE, *there).exit_code == 0
    assert (len(shop.ids), len(journals(place))) == (1, 1)
