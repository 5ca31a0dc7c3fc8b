"""Many clips from the command line: found, planned, interrupted, killed, resumed, settled. Never paid twice."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from ochy_async import SideView
from ochy_async.batch.ownership import ACCOUNT
from ochy_async.batch.sources import BatchItem
from ochy_async.cli.inputs import find
from ochy_async.cli.request_options import Asked
from ochy_async.emulator import Delay
from ochy_async.journal.contract import Entry
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.identity import identity
from ochy_async.transport import ApiKey
from tests.conftest import CLIP, world
from tests.support.canary import API_KEY
from tests.support.cli_harness import QUICK, START, Result, Shop, eventually, lines, opened, process, run

SIDE = ("--view", "side")
BIG = ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a fraction of a second."""
    with opened_in(tmp_path, queueing=0.05, durations=(0.1, 0.2)) as it:
        yield it


@pytest.fixture
def slow_shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a day."""
    with opened_in(tmp_path, durations=(86_400, 86_400)) as it:
        yield it


def opened_in(tmp_path: Path, **settings: Any) -> AbstractContextManager[Shop]:
    folder = tmp_path / "clips"
    folder.mkdir()
    return opened(world(**settings), folder)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal is kept."""
    return tmp_path / "the journal"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for the output of a process."""
    path = tmp_path / "output"
    path.mkdir()
    return path


def names(result: Result) -> list[str]:
    return [Path(each["clip"]).name for each in lines(result)]


def ends(result: Result) -> dict[str, str]:
    return {Path(each["clip"]).name: each["outcome"] for each in lines(result)}


# --- what is taken --------------------------------------------------------------------------------


def test_a_folder_is_analysed_with_a_line_for_each_clip(shop: Shop) -> None:
    """Videos of a folder, nothing else in it; each has one line, and the end tells what was spent."""
    shop.clips(*BIG, "notes.txt", ".hidden.mp4", "._a.mp4")
    (shop.folder / "more.mp4").mkdir()
    result = shop.analyze(str(shop.folder), *SIDE)
    assert result.exit_code == 0, result.output
    told = [line.split("  ") for line in result.stdout.splitlines()]
    assert {(Path(clip).name, analysis_id) for _, _, clip, analysis_id in told} == {
        (Path(each.filename).name, each.analysis_id) for each in shop.service.ledger
    }
    assert "5 of 5, " in result.stderr
    assert "5 clips: 5 analyzed.\n5 credits spent by this run.\n" in result.stderr


def test_folders_in_folders_are_for_who_asks(shop: Shop) -> None:
    """`--recursive` goes down; without it a folder of folders is told as one without videos."""
    deep = shop.folder / "anna" / "monday"
    deep.mkdir(parents=True)
    (deep / "a.MP4").write_bytes(CLIP)
    refused = shop.analyze(str(shop.folder), *SIDE)
    assert (refused.exit_code, "--recursive" in refused.stderr, shop.service.requests) == (2, True, ())
    taken = shop.analyze(str(shop.folder), "--recursive", *SIDE, "--json")
    assert (taken.exit_code, names(taken)) == (0, ["a.MP4"])


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("", ["1.mp4", "2.mp4", "10.mp4", "A3.mp4", "a12.mp4"]),
        ("*.mp4", ["1.mp4", "2.mp4", "10.mp4", "A3.mp4", "a12.mp4"]),
        ("?.mp4", ["1.mp4", "2.mp4"]),
        ("[1].mp4", ["[1].mp4"]),
        ("gone.mp4", ["gone.mp4"]),
    ],
)
def test_what_a_word_stands_for(tmp_path: Path, word: str, found: list[str]) -> None:
    """Folders and patterns give what they hold, in the order of people; a name that is there is a name."""
    for name in ("10.mp4", "2.mp4", "1.mp4", "a12.mp4", "A3.mp4", *(["[1].mp4"] if "[" in word else [])):
        (tmp_path / name).touch()
    clips = find([str(tmp_path / word)], Asked("side", {}), recursive=False).clips
    assert clips == [BatchItem(str(tmp_path / name), SideView()) for name in found]


def test_columns_of_ones_own_come_back(shop: Shop) -> None:
    """In the table, in the lines of JSON, and in those on stdout; one that looks misspelt once it was named."""
    shop.clips("a.mp4", "b.mp4")
    sheet, out = shop.folder / "runners.csv", shop.folder / "out"
    sheet.write_text("file;view;height;place;Trial\na.mp4;side;175 cm;3;x\nb.mp4;side;1,75;;y\n")
    refused = shop.analyze(str(sheet))
    assert refused.exit_code == 2
    assert "line 1: the column 'place' looks like 'pace'" in refused.stderr
    assert not shop.starts
    result = shop.analyze(str(sheet), "--extra-column", "place", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    assert {form["height"] for form in shop.service.forms} == {"1.75"}
    told = sorted(lines(result), key=lambda each: each["index"])
    assert [each["extra"] for each in told] == [{"place": "3", "Trial": "x"}, {"place": "", "Trial": "y"}]
    kept = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert kept == told
    heading = (out / "results.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert heading.endswith(",reason,place,Trial")


@pytest.mark.parametrize("flags", [("--height", "175 cm"), ("--height", "1,75"), ("--height", "1.75 m")])
def test_measures_on_the_command_line(shop: Shop, flags: tuple[str, str]) -> None:
    """As people write them, where there is one meaning."""
    result = shop.analyze(*shop.clips("a.mp4"), *SIDE, *flags, "--weight", "68,5", "--pace", "4:30", "--treadmill")
    assert result.exit_code == 0, result.output
    (form,) = shop.service.forms
    assert (form["height"], form["weight"], form["pace"]) == ("1.75", "68.5", "04:30")


def test_subjects_by_name(shop: Shop) -> None:
    """Names become subjects with `--subjects create`, and are told; without it they are ids that do not exist."""
    shop.clips("a.mp4", "b.mp4", "c.mp4")
    sheet, out = shop.folder / "runners.csv", shop.folder / "out"
    sheet.write_text("file,view,subject\na.mp4,side,Anna\nb.mp4,side,Ben\nc.mp4,side,ANNA\n")
    refused = shop.analyze(str(sheet), "--out", str(out))
    assert refused.exit_code == 2
    assert "runners.csv, line 3, subject: 'Ben': there is no such subject" in refused.stderr
    assert "nothing was charged" in refused.stderr
    assert "run the same command again" not in refused.stderr
    assert not shop.starts
    words = (str(sheet), "--out", str(out), "--subjects", "create", "--json")
    result = shop.analyze(*words)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("created the subject") == 2
    told = sorted(lines(result), key=lambda each: each["index"])
    assert [each["subject"] for each in told] == ["Anna", "Ben", "ANNA"]
    assert told[0]["subject_id"] == told[2]["subject_id"] != told[1]["subject_id"]
    sent = shop.service.count(START) + len(shop.service.requests)
    planned = shop.analyze(*words, "--dry-run")
    assert json.loads(planned.stdout)["done"] == 3
    assert shop.analyze(*words).exit_code == 0
    assert shop.service.count(START) + len(shop.service.requests) == sent


def test_patterns_are_for_shells_that_leave_them(shop: Shop) -> None:
    """A quoted pattern is replaced by what it matches."""
    shop.clips("10.mp4", "2.mp4", "1.mov")
    result = shop.analyze(str(shop.folder / "*.mp4"), *SIDE, "--json")
    assert (result.exit_code, sorted(names(result))) == (0, ["10.mp4", "2.mp4"])


@pytest.mark.parametrize(
    ("words", "out"),
    [
        ((".", "--recursive"), "results"),
        ((".",), "."),
        (("*",), "results"),
        (("*",), "."),
        (("**/*.mp4",), "results"),
        (None, "."),
    ],
    ids=["folders", "one folder", "pattern of folders", "pattern", "deep pattern", "names"],
)
def test_results_are_no_clips(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...] | None, out: str
) -> None:
    """The videos that a run has kept are never bought as clips by the next, wherever they lie and however named."""
    monkeypatch.chdir(shop.folder)
    shop.clips("a.mp4", "b.mp4")
    flags = (*SIDE, "--out", out, "--keep", "video")
    first = shop.analyze(*(words or ("a.mp4", "b.mp4")), *flags)
    assert (first.exit_code, len(shop.ids)) == (0, 2), first.output
    result = shop.analyze(*(words or (path.name for path in shop.folder.glob("*.mp4"))), *flags)
    assert (result.exit_code, len(shop.ids)) == (0, 2), result.output
    assert len(list(shop.folder.rglob("*.output_video.mp4"))) == 2
    assert "2 videos are left out, as a run has written them" in result.stderr


def test_nothing_but_results_is_told(shop: Shop) -> None:
    """Whoever names a kept video alone learns why it is not sent."""
    result = shop.analyze(*shop.clips("id-1.output_video.mp4"), *SIDE)
    assert (result.exit_code, shop.service.requests) == (2, ())
    assert "a run has written them" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_loop_of_links_is_no_more_clips(shop: Shop) -> None:
    """A pattern that goes round meets each clip once."""
    shop.clips("a.mp4")
    (shop.folder / "loop").symlink_to(shop.folder)
    result = shop.analyze(str(shop.folder / "**/*.mp4"), *SIDE, "--json")
    assert (result.exit_code, names(result)) == (0, ["a.mp4"])


def test_a_pattern_takes_what_a_folder_would(shop: Shop) -> None:
    """Videos and folders; other files that match are left alone, and manifests are named as such."""
    shop.clips("a.mp4", "notes.txt", "results.csv")
    (shop.folder / "sheet.csv").write_text("file\na.mp4\n")
    assert names(shop.analyze(str(shop.folder / "*"), *SIDE, "--json")) == ["a.mp4"]
    assert names(shop.analyze(str(shop.folder / "s*.csv"), *SIDE, "--json")) == ["a.mp4"]


def test_all_that_is_not_there_is_told_at_once(shop: Shop) -> None:
    """Patterns without a match, folders without videos and bad manifests are told together; nothing is sent."""
    shop.clips("a.mp4")
    (shop.folder / "empty").mkdir()
    sheet = shop.folder / "runners.csv"
    sheet.write_text("file,view\ngone.mp4,side\na.mp4,top\n")
    result = shop.analyze(str(shop.folder / "x*.mp4"), str(shop.folder / "empty"), str(sheet), *SIDE)
    assert (result.exit_code, shop.service.requests) == (2, ())
    for words in (
        "x*.mp4' matches nothing",
        "empty' holds no .mp4",
        "line 2, file: ",
        "line 3, view: must be side or back",
    ):
        assert words in result.stderr


def test_a_manifest_gives_each_runner_a_request(shop: Shop) -> None:
    """What a row leaves open the flags say, and files are found beside the manifest."""
    shop.clips("a.mp4", "b.mp4")
    sheet = shop.folder / "runners.csv"
    sheet.write_text("file,view,height,treadmill,pace\na.mp4,side,1.6,,\nb.mp4,back,,yes,04:30\n")
    result = shop.analyze(str(sheet), "--height", "1.9", "--language", "fr")
    assert result.exit_code == 0, result.output
    told = [(each["analysis_type"], each["height"], each["language"], each.get("pace")) for each in shop.service.forms]
    assert set(told) == {("side_view", "1.6", "fr", None), ("back_view", "1.9", "fr", "04:30")}


def test_the_same_clip_is_bought_once(shop: Shop) -> None:
    """A path named twice is taken once; another file of the same content is told too, and costs nothing."""
    (clip,) = shop.clips("a.mp4")
    copy = shop.folder / "copy.mp4"
    copy.write_bytes(Path(clip).read_bytes())
    result = shop.analyze(clip, str(shop.folder), *SIDE, "--json")
    assert (result.exit_code, ends(result)) == (0, {"a.mp4": "analyzed", "copy.mp4": "analyzed"})
    assert len(shop.ids) == 1
    assert "Named more than once: 1" in result.stderr
    assert "1 credit spent by this run; 1 not needed: results were already paid for." in result.stderr


HOSTILE = [
    "with blanks .mp4",
    'it\'s "quoted".mp4',
    "line\nbreak.mp4",
    "\x1b[2J.mp4",
    "-x.mp4",
    "--help.mp4",
    "$(id).mp4",
]


@pytest.mark.skipif(sys.platform == "win32", reason="needs names that Windows does not have")
def test_hostile_names(shop: Shop, journal: Path, output: Path) -> None:
    """Whatever a file is called, it is analyzed, remembered and told, and no terminal obeys it."""
    hostile = [*map(os.fsencode, HOSTILE), b"\xff\xfe.mp4"]
    for number, name in enumerate(hostile):
        Path(os.fsdecode(os.fsencode(shop.folder) + b"/" + name)).write_bytes(CLIP + bytes([number]))
    flags = ("analyze", *QUICK, *SIDE, "--journal", str(journal))
    for words in (("--json", "--", *map(os.fsdecode, hostile)), (".",)):
        # In a process of its own: the report of a test run cannot hold such names.
        with process(*flags, *words, folder=output, env=shop.environment(), cwd=shop.folder) as child:
            assert child.wait(20) == 0
        if words[0] == "--json":
            done = map(json.loads, (output / "stdout").read_text().splitlines())
            assert sorted(os.fsencode(each["clip"]) for each in done if each["outcome"] == "analyzed") == sorted(
                hostile
            )
    assert len(shop.ids) == len(hostile)
    assert "\x1b" not in (output / "stdout").read_text() + told(output)
    shown = shop.ochy("journal", "show", str(journal), "--json", "--", *map(os.fsdecode, hostile[-4:]))
    assert {os.fsencode(each["clip"]) for each in lines(shown)} == set(hostile[-4:])
    assert "\x1b" not in shop.ochy("journal", "show", str(journal)).output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--journal", "j", "--emulator"), "--journal: the built-in emulator forgets"),
        (("--keep", "raw-data"), "--keep raw-data: needs a folder"),
        (("--keep", "everything"), "everything"),
        (("--max-credits", "-1"), "--max-credits"),
        (("--uploads", "0"), "--uploads"),
    ],
)
def test_flags_that_make_no_sense(shop: Shop, flags: tuple[str, ...], words: str) -> None:
    """Nothing is sent where the flags contradict each other."""
    result = shop.analyze(*shop.clips("a.mp4"), *SIDE, *flags)
    assert (result.exit_code, words in result.stderr, shop.service.requests) == (2, True, ())


# --- journal, limits, plan ------------------------------------------------------------------------


def test_the_same_command_again_sends_nothing(shop: Shop, tmp_path: Path) -> None:
    """With `--out` the journal lies in it; a finished batch run again shows all and spends nothing."""
    shop.clips(*BIG)
    command = (str(shop.folder), *SIDE, "--out", str(tmp_path / "new" / "out"), "--json")
    assert shop.analyze(*command).exit_code == 0
    sent = len(shop.service.requests)
    again = shop.analyze(*command)
    assert (again.exit_code, sorted(names(again))) == (0, sorted(BIG))
    assert {each["bought"] for each in lines(again)} == {False}
    assert len(shop.service.requests) == sent
    assert "0 credits spent by this run, 5 in all; 5 not needed: results were already paid for." in again.stderr
    assert (tmp_path / "new" / "out" / "clips.journal").exists()


def test_without_a_journal_a_run_says_so(shop: Shop) -> None:
    """More than one clip without a journal cannot be resumed; one clip is no matter."""
    clips = shop.clips("a.mp4", "b.mp4")
    assert "cannot be resumed" in shop.analyze(*clips, *SIDE, "--no-journal").stderr
    assert "cannot be resumed" not in shop.analyze(clips[0], *SIDE, "--no-journal").stderr


def test_a_limit_on_credits_holds_over_runs(shop: Shop, journal: Path) -> None:
    """The rest is told as unfinished, with the very command that goes on."""
    shop.clips(*BIG)
    command = (str(shop.folder), *SIDE, "--journal", str(journal), "--max-credits", "3")
    first = shop.analyze(*command)
    assert (first.exit_code, len(shop.ids)) == (1, 3)
    assert "3 analyzed, 2 unfinished" in first.stderr
    assert "Raise max_credits" in first.stderr
    again = next(line for line in first.stderr.splitlines() if line.startswith("  ochy analyze"))
    assert shlex.split(again) == ["ochy", "analyze", *QUICK, *command[:-1], "5"]
    assert shop.analyze(*command).exit_code == 1
    assert len(shop.ids) == 3
    assert shop.ochy(*shlex.split(again)[1:]).exit_code == 0
    assert len(shop.ids) == 5


def test_a_dry_run_spends_nothing(shop: Shop, journal: Path) -> None:
    """It tells what would be bought, sends nothing, and makes no journal; a refused clip is told with its reason."""
    clips = shop.clips("a.mp4", "b.mp4")
    (shop.folder / "notes.txt").touch()
    (shop.folder / "copy.mp4").write_bytes(Path(clips[0]).read_bytes())
    command = (str(shop.folder), str(shop.folder / "notes.txt"), *SIDE, "--journal", str(journal), "--dry-run")
    told = shop.analyze(*command, "--json")
    (plan,) = lines(told)
    assert (told.exit_code, plan["to_buy"], plan["duplicates"], plan["refused"]) == (1, 2, 1, 1)
    assert "notes.txt" in plan["refusals"][0]
    assert (shop.service.requests, journal.exists()) == ((), False)
    assert shop.analyze(clips[0], *SIDE, "--journal", str(journal)).exit_code == 0
    sent = len(shop.service.requests)
    told = shop.analyze(*clips[:2], *SIDE, "--journal", str(journal), "--dry-run", "--max-credits", "0")
    assert (told.exit_code, len(shop.service.requests)) == (0, sent)
    assert "to buy      1 " in told.stdout
    assert "done        1 " in told.stdout
    assert "--max-credits 0" in told.stderr


def test_a_dry_run_lists_what_would_become_of_each_clip(shop: Shop, journal: Path) -> None:
    """One line each, in the order of the input, for people and as JSON; nothing is sent."""
    done, *_ = shop.clips("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    (shop.folder / "c.mp4").write_bytes(Path(done).read_bytes())
    (shop.folder / "d.mp4").write_bytes(b"")
    settings = (*SIDE, "--journal", str(journal))
    assert shop.analyze(done, *settings).exit_code == 0
    sent = len(shop.service.requests)
    command = (str(shop.folder), *settings, "--dry-run", "--list")
    told = shop.analyze(*command, "--json")
    found = lines(told)
    assert (told.exit_code, len(shop.service.requests)) == (1, sent)
    assert [each["plan"] for each in found] == ["done", "to_buy", "duplicate", "refused"]
    assert [each["clip"] for each in found] == [str(shop.folder / f"{name}.mp4") for name in "abcd"]
    assert [each["duplicate_of"] for each in found] == [None, None, done, None]
    assert [each["analysis_id"] for each in found] == [shop.ids[0], None, None, None]
    assert [bool(each["reason"]) for each in found] == [False, False, False, True]
    keys = ["clip", "index", "view", "plan", "reason", "analysis_id", "key", "duplicate_of", "extra"]
    assert {tuple(each) for each in found} == {tuple(keys)}
    assert "1 to buy, 1 done, 1 refused, 1 duplicates" in told.stderr
    shown = shop.analyze(*command).stdout.splitlines()
    assert [line.split("  ")[0] for line in shown[:4]] == ["done", "to buy", "duplicate", "refused"]
    assert shown[0].endswith(f"a.mp4 (side view): analysis {shop.ids[0]}")
    assert shown[2].endswith(f"c.mp4 (side view): the same clip as {done}")
    assert shown[3].endswith("d.mp4 (side view): size: the clip is empty; copy it again from the camera")
    assert "What the run would do" in shown[4]


def test_a_list_is_for_a_dry_run(shop: Shop) -> None:
    """Alone it is refused, before anything is bought."""
    result = shop.analyze(*shop.clips("a.mp4"), *SIDE, "--list")
    assert (result.exit_code, "--dry-run" in result.stderr, shop.starts) == (2, True, 0)


def test_a_dry_run_needs_the_key_and_no_more(shop: Shop) -> None:
    """Which account it is counts, so without a key there is no plan."""
    result = shop.analyze(*shop.clips("a.mp4"), *SIDE, "--dry-run", OCHY_API_KEY=None)
    assert (result.exit_code, shop.service.requests) == (3, ())


def test_another_key_is_another_account(tmp_path: Path, journal: Path) -> None:
    """A journal that was kept with another key is refused, unless the user says that the account is the same."""
    folder = tmp_path / "clips"
    folder.mkdir()
    settings = evolve(world(queueing=0, durations=(0.1, 0.1)), keys={API_KEY, "4f1d-rotated-key"})
    with opened(settings, folder) as shop:
        command = (*shop.clips("a.mp4"), *SIDE, "--journal", str(journal))
        assert shop.analyze(*command).exit_code == 0
        refused = shop.analyze(*command, OCHY_API_KEY="4f1d-rotated-key")
        assert (refused.exit_code, "--same-account" in refused.stderr) == (1, True)
        assert shop.analyze(*command, "--same-account", OCHY_API_KEY="4f1d-rotated-key").exit_code == 0
        assert len(shop.ids) == 1


def test_a_file_that_is_no_journal_is_told(shop: Shop) -> None:
    """Nothing is bought, and the file is left as it is."""
    clip, other = shop.clips("a.mp4", "b.txt")
    before = Path(other).read_bytes()
    result = shop.analyze(clip, *SIDE, "--journal", other)
    assert (result.exit_code, shop.service.requests, Path(other).read_bytes()) == (1, (), before)
    assert "Traceback" not in result.output


# --- interrupted, killed, resumed -----------------------------------------------------------------


def told(output: Path) -> str:
    return (output / "stderr").read_text()


def analyzing(shop: Shop, output: Path, *args: str) -> AbstractContextManager[Any]:
    # Verbose, so that what is started is told although a journal has it.
    return process("analyze", *QUICK, *args, "-v", folder=output, env=shop.environment())


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_in_order(tmp_path: Path, journal: Path, output: Path, first: signal.Signals) -> None:
    """Nothing new is started, what is in the air comes home, and the same command does the rest."""
    with opened_in(tmp_path, queueing=0, durations=(1.5, 1.5)) as shop:
        shop.clips(*BIG)
        command = (str(shop.folder), *SIDE, "--journal", str(journal), "--in-flight", "2", "--json")
        with analyzing(shop, output, *command) as child:
            eventually(lambda: told(output).count("paid for") == 2)
            child.send_signal(first)
            code = child.wait(10)
        done = [json.loads(line) for line in (output / "stdout").read_text().splitlines()]
        assert (code, len(shop.ids)) == (130, 2)
        assert {each["analysis_id"] for each in done if each["outcome"] == "analyzed"} == set(shop.ids)
        assert "Stopping: nothing new is started" in told(output)
        assert shlex.join(["ochy", "analyze", *QUICK, *command]) in told(output)
        rest = shop.analyze(*command)
        assert (rest.exit_code, sorted(names(rest)), len(shop.ids)) == (0, sorted(BIG), 5)
    assert "Traceback" not in told(output)


def test_the_second_interrupt_ends_at_once(slow_shop: Shop, journal: Path, output: Path) -> None:
    """What is paid is in the journal, and the same command collects it."""
    slow_shop.clips(*BIG)
    command = (str(slow_shop.folder), *SIDE, "--journal", str(journal), "--in-flight", "2", "--json")
    code = interrupted_twice(slow_shop, output, *command)
    assert (code, len(slow_shop.ids), (output / "stdout").read_text()) == (130, 2, "")
    assert "  ochy analyze " in told(output)
    slow_shop.skipped[0] = 100_000
    stated = lines(slow_shop.ochy("journal", "show", str(journal), "--json"))
    assert {each["analysis_id"] for each in stated} == set(slow_shop.ids)
    assert {each["state"] for each in stated} == {"started"}


def interrupted_twice(shop: Shop, output: Path, *args: str) -> int:
    with analyzing(shop, output, *args) as child:
        eventually(lambda: told(output).count("paid for") == 2)
        child.send_signal(signal.SIGINT)
        eventually(lambda: "Stopping" in told(output))
        child.send_signal(signal.SIGINT)
        code: int = child.wait(10)
    assert "Traceback" not in told(output)
    return code


def test_an_interrupt_without_a_journal_leaves_the_ids(slow_shop: Shop, output: Path) -> None:
    """What this process alone knew is told, with the command that collects it."""
    slow_shop.clips(*BIG)
    code = interrupted_twice(slow_shop, output, str(slow_shop.folder), *SIDE, "--in-flight", "2", "--no-journal")
    (hint,) = (line for line in told(output).splitlines() if "ochy wait" in line)
    assert (code, set(slow_shop.ids) < set(hint.split())) == (130, True)
    assert "ochy analyze" not in told(output)


def test_an_interrupt_while_an_answer_is_awaited_is_uncertain(slow_shop: Shop, output: Path) -> None:
    """Between the last byte and its answer a start may have been charged; without a journal that is said plainly."""
    slow_shop.faults(START, Delay(30, after=True))
    with analyzing(slow_shop, output, *slow_shop.clips("a.mp4"), *SIDE, "--no-journal") as child:
        eventually(lambda: slow_shop.ids)
        child.send_signal(signal.SIGINT)
        eventually(lambda: "Stopping" in told(output))
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    assert "0 credits spent by this run and 1 uncertain." in told(output)
    assert "would buy them again" in told(output)
    assert "vendor's dashboard" in told(output)


@pytest.mark.parametrize("tagged", [(), ("--tag-starts",)])
def test_a_killed_run_is_resumed(slow_shop: Shop, journal: Path, output: Path, tagged: tuple[str, ...]) -> None:
    """Killed when a start is charged and not answered: the next run finds it, and no clip is paid twice."""
    slow_shop.clips(*BIG)
    command = (str(slow_shop.folder), *SIDE, "--journal", str(journal), "--uploads", "1", "--json", *tagged)
    slow_shop.faults(START, Delay(30, after=True))
    with analyzing(slow_shop, output, *command) as child:
        eventually(lambda: slow_shop.ids)
        child.kill()
        child.wait(10)
    slow_shop.emulator.faults = None
    with analyzing(slow_shop, output, *command) as child:
        eventually(lambda: told(output).count("paid for") == 4)
        time.sleep(0.5)  # the id of the last one is reported just before it is recorded
        child.kill()
        child.wait(10)
    slow_shop.skipped[0] = 100_000
    result = slow_shop.analyze(*command)
    assert (result.exit_code, sorted(names(result))) == (0, sorted(BIG)), result.output
    assert len({each.sha256 for each in slow_shop.service.ledger}) == len(slow_shop.ids) == 5


# --- doubts ---------------------------------------------------------------------------------------


def doubt(shop: Shop, journal: Path, clip: str) -> str:
    """A journal with a start of long ago that may have been charged; its key."""
    digest = ApiKey(API_KEY).digest()
    content = hashlib.sha256(Path(clip).read_bytes()).hexdigest()
    key = identity(content, SideView(), digest, shop.emulator.url)
    then = datetime.now(UTC) - timedelta(hours=3)

    async def write() -> None:
        async with SqliteJournal(journal) as opened_journal:
            await opened_journal.set_note(ACCOUNT + digest, digest)
            entry = Entry(key=key, state=State.INTENDED, at=then, earliest=then, clip=clip, view="side_view", credits=1)
            entry = await opened_journal.put(entry)
            await opened_journal.put(evolve(entry, state=State.UNCERTAIN, latest=then, reason="It was cut off."))

    anyio.run(write)
    return key


def test_a_doubt_is_told_with_the_commands_that_settle_it(shop: Shop, journal: Path) -> None:
    """It is looked up and not bought; the exit code is 5, and every command can be pasted."""
    clips = shop.clips("a b.mp4", "c.mp4")
    key = doubt(shop, journal, clips[0])[:12]
    copy = Path(clips[0]).rename(shop.folder / "0.mp4")
    clips = [str(copy), clips[1]]
    flags = (*SIDE, "--journal", str(journal))
    (plan,) = lines(shop.analyze(*clips, *flags, "--dry-run", "--json"))
    assert (plan["uncertain"], plan["to_buy"]) == (1, 1)
    result = shop.analyze(*clips, *flags, "--json")
    assert (result.exit_code, ends(result)) == (5, {"0.mp4": "uncertain", "c.mp4": "analyzed"})
    assert len(shop.ids) == 1
    (line,) = [each for each in lines(result) if each["outcome"] == "uncertain"]
    assert (line["doubt"]["cause"], line["doubt"]["size"], line["doubt"]["reached"]) == (
        "It was cut off.",
        Path(clips[0]).stat().st_size,
        True,
    )
    for words in ("It was cut off.", f"{line['doubt']['earliest'][:10]}", "UTC", "no list shows it"):
        assert words in result.stderr
    commands = [shlex.split(line) for line in result.stderr.splitlines() if line.lstrip().startswith("ochy ")]
    assert commands == [
        ["ochy", "analyze", *QUICK, *clips, *flags, "--json"],
        ["ochy", "journal", "adopt", str(journal), key, "ID"],
        ["ochy", "journal", "release", str(journal), key],
        ["ochy", "analyze", *QUICK, *clips, *flags, "--json"],
    ]


def test_a_doubt_is_adopted(shop: Shop, journal: Path) -> None:
    """With the id of what it became it is collected by the next run, and nothing is bought."""
    clips = shop.clips("a.mp4", "c.mp4")
    assert shop.analyze(clips[0], *SIDE).exit_code == 0
    (analysis_id,) = shop.ids
    key = doubt(shop, journal, clips[0])
    settled = shop.ochy("journal", "adopt", str(journal), key[:8], analysis_id, OCHY_API_KEY=None)
    assert settled.exit_code == 0, settled.output
    result = shop.analyze(clips[0], *SIDE, "--journal", str(journal), "--json")
    assert (result.exit_code, ends(result), shop.ids) == (0, {"a.mp4": "analyzed"}, [analysis_id])
    refused = shop.ochy("journal", "adopt", str(journal), clips[0], "another-id")
    assert (refused.exit_code, "nothing to adopt" in refused.stderr) == (2, True)


def test_an_id_is_adopted_once(shop: Shop, journal: Path) -> None:
    """An analysis that another clip has is refused, and the doubt stays."""
    first, second = shop.clips("a.mp4", "b.mp4")
    doubt(shop, journal, first)
    assert shop.analyze(second, *SIDE, "--journal", str(journal)).exit_code == 0
    refused = shop.ochy("journal", "adopt", str(journal), first, shop.ids[0])
    assert (refused.exit_code, "belongs to a clip of this journal" in refused.stderr) == (2, True)
    (entry,) = lines(shop.ochy("journal", "show", str(journal), first, "--json"))
    assert entry["state"] == "uncertain"


@pytest.mark.parametrize("which", ["CLIP", "--all-uncertain"])
def test_a_doubt_is_released_by_a_spoken_word(shop: Shop, journal: Path, which: str) -> None:
    """It says what it may cost and needs a yes; then the next run buys the clip."""
    (clip,) = shop.clips("a.mp4")
    doubt(shop, journal, clip)
    command = ("journal", "release", str(journal), clip if which == "CLIP" else which)
    asked = shop.ochy(*command)
    assert (asked.exit_code, "--yes" in asked.stderr, "second credit" in asked.stderr) == (2, True, True)
    assert shop.analyze(clip, *SIDE, "--journal", str(journal)).exit_code == 5
    assert shop.ochy(*command, "--yes").exit_code == 0
    assert shop.analyze(clip, *SIDE, "--journal", str(journal)).exit_code == 0
    assert len(shop.ids) == 1
    again = shop.ochy(*command, "--yes")
    assert (again.exit_code, "othing" in again.stderr) == ((2, True) if which == "CLIP" else (0, True))


# --- ochy journal show ----------------------------------------------------------------------------


def test_a_journal_is_shown_without_results(shop: Shop, journal: Path) -> None:
    """States, ids, times, credits and reasons; with `--history` every change; no result and no link."""
    clips = shop.clips("a.mp4", "b.mp4")
    assert shop.analyze(*clips, *SIDE, "--journal", str(journal)).exit_code == 0
    shown = shop.ochy("journal", "show", str(journal), OCHY_API_KEY=None)
    assert shown.exit_code == 0
    for words in (*shop.ids, *clips, "analyzed", "2 clips, 2 credits"):
        assert words in shown.stdout
    assert "total_score" not in shown.stdout
    changes = shop.ochy("journal", "show", str(journal), clips[0], "--history", "--json")
    (told_,) = lines(changes)
    assert [each["state"] for each in told_["history"]] == ["intended", "started", "analyzed"]
    table = shop.ochy("journal", "show", str(journal), clips[0], "--history")
    assert "intended" in table.stdout
    assert clips[1] not in table.stdout


@pytest.mark.parametrize(
    ("words", "told_"),
    [
        (("show", "GONE"), "does not exist"),
        (("show", "JOURNAL", "x.mp4"), "'x.mp4' is not known to the journal"),
        (("adopt", "JOURNAL", "x.mp4", "id"), "'x.mp4' is not known to the journal"),
        (("release", "JOURNAL"), "--all-uncertain"),
        (("release", "JOURNAL", "a.mp4", "--all-uncertain"), "--all-uncertain"),
    ],
)
def test_what_a_journal_command_cannot_do(shop: Shop, journal: Path, words: tuple[str, ...], told_: str) -> None:
    """It is told in a sentence, exit code 2, and no journal is made where there is none."""
    assert shop.analyze(*shop.clips("a.mp4"), *SIDE, "--journal", str(journal)).exit_code == 0
    gone = journal.with_name("gone")
    places = {"JOURNAL": str(journal), "GONE": str(gone)}
    result = run("journal", *(places.get(word, word) for word in words))
    assert (result.exit_code, told_ in result.stderr) == (2, True), result.output
    assert not gone.exists()


def test_clips_of_one_name_are_told_apart_by_their_keys(shop: Shop, journal: Path) -> None:
    """An edited clip is a new one under the old name; a key's first digits say which is meant."""
    (clip,) = shop.clips("a.mp4")
    first = doubt(shop, journal, clip)
    Path(clip).write_bytes(CLIP + b"edited")
    second = doubt(shop, journal, clip)
    unclear = shop.ochy("journal", "release", str(journal), clip, "--yes")
    assert (unclear.exit_code, first[:12] in unclear.stderr, second[:12] in unclear.stderr) == (2, True, True)
    assert shop.ochy("journal", "release", str(journal), second[:12], "--yes").exit_code == 0
    stated = {each["key"]: each["state"] for each in lines(shop.ochy("journal", "show", str(journal), "--json"))}
    assert stated == {first: "uncertain", second: "open"}
