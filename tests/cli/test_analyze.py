"""Batches from the command line: found, planned, interrupted, killed, resumed, resolved, and never paid twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async import SideView
from ochy_async.batch.ownership import ACCOUNT
from ochy_async.batch.sources import BatchItem
from ochy_async.cli.inputs import find_clips
from ochy_async.cli.request_options import RequestFlags
from ochy_async.emulator import Delay
from ochy_async.journal.contract import Entry
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.identity import identity
from ochy_async.protocol.text_summary import count_of
from ochy_async.transport import ApiKey
from tests.conftest import CLIP, world
from tests.journal.test_journal import stored_in_state
from tests.support.canary import API_KEY
from tests.support.cli_harness import (
    FAST_POLLING,
    START,
    CliHarness,
    Result,
    cli_harness,
    cli_process,
    json_lines,
    run_cli,
    wait_until,
)

SIDE = ("--view", "side")
BIG = ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")


def harness_in(tmp_path: Path, **settings: Any) -> AbstractContextManager[CliHarness]:
    return cli_harness(world(**settings), tmp_path / "clips")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal is kept."""
    return tmp_path / "the journal"


def names(result: Result) -> list[str]:
    return [Path(each["clip"]).name for each in json_lines(result)]


def outcomes_by_name(result: Result) -> dict[str, str]:
    return {Path(each["clip"]).name: each["outcome"] for each in json_lines(result)}


# --- inputs ----------------------------------------------------------------------------------------


def test_a_folder_is_analyzed_with_a_line_for_each_clip(harness: CliHarness) -> None:
    """Only the videos of a folder are taken. Each has one line, and the summary states what was spent."""
    harness.clips(*BIG, "notes.txt", ".hidden.mp4", "._a.mp4")
    (harness.folder / "more.mp4").mkdir()
    result = harness.analyze(str(harness.folder), *SIDE)
    assert result.exit_code == 0, result.output
    text = [line.split("  ") for line in result.stdout.splitlines()]
    assert {(Path(clip).name, analysis_id) for _, _, clip, analysis_id in text} == {
        (Path(each.filename).name, each.analysis_id) for each in harness.service.ledger
    }
    assert "5 of 5, " in result.stderr
    assert "5 clips: 5 analyzed.\n5 credits spent by this run.\n" in result.stderr


def test_subfolders_are_searched_only_with_recursive(harness: CliHarness) -> None:
    """`--recursive` searches subfolders; without it, a folder that holds only folders has no videos."""
    deep = harness.folder / "anna" / "monday"
    deep.mkdir(parents=True)
    (deep / "a.MP4").write_bytes(CLIP)
    refused = harness.analyze(str(harness.folder), *SIDE)
    assert (refused.exit_code, "--recursive" in refused.stderr, harness.service.requests) == (2, True, ())
    taken = harness.analyze(str(harness.folder), "--recursive", *SIDE, "--json")
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
def test_arguments_name_files_folders_and_patterns(tmp_path: Path, word: str, found: list[str]) -> None:
    """Folders and patterns are sorted naturally, and the name of an existing file is never a pattern."""
    for name in ("10.mp4", "2.mp4", "1.mp4", "a12.mp4", "A3.mp4", *(["[1].mp4"] if "[" in word else [])):
        (tmp_path / name).touch()
    clips = find_clips([str(tmp_path / word)], RequestFlags("side", {}), recursive=False).clips
    assert clips == [BatchItem(str(tmp_path / name), SideView()) for name in found]


def test_own_manifest_columns_are_copied_to_the_results(harness: CliHarness) -> None:
    """They are in the table, in results.jsonl and on stdout. One that resembles a known column must be named."""
    harness.clips("a.mp4", "b.mp4")
    manifest, out = harness.folder / "runners.csv", harness.folder / "out"
    manifest.write_text("file;view;height;place;Trial\na.mp4;side;175 cm;3;x\nb.mp4;side;1,75;;y\n")
    refused = harness.analyze(str(manifest))
    assert refused.exit_code == 2
    assert "line 1: the column 'place' looks like 'pace'" in refused.stderr
    assert not harness.starts
    result = harness.analyze(str(manifest), "--extra-column", "place", "--out", str(out), "--json")
    assert result.exit_code == 0, result.output
    assert {form["height"] for form in harness.service.forms} == {"1.75"}
    records = sorted(json_lines(result), key=lambda each: each["index"])
    assert [each["extra"] for each in records] == [{"place": "3", "Trial": "x"}, {"place": "", "Trial": "y"}]
    kept = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert kept == records
    heading = (out / "results.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert heading.endswith(",reason,place,Trial")


@pytest.mark.parametrize("flags", [("--height", "175 cm"), ("--height", "1,75"), ("--height", "1.75 m")])
def test_measures_are_read_as_people_write_them(harness: CliHarness, flags: tuple[str, str]) -> None:
    """Units and decimal commas are accepted."""
    result = harness.analyze(
        *harness.clips("a.mp4"), *SIDE, *flags, "--weight", "68,5", "--pace", "4:30", "--treadmill"
    )
    assert result.exit_code == 0, result.output
    (form,) = harness.service.forms
    assert (form["height"], form["weight"], form["pace"]) == ("1.75", "68.5", "04:30")


def test_subjects_by_name(harness: CliHarness) -> None:
    """`--subjects create` creates subjects for new names and reports them; without it, subjects must be ids."""
    harness.clips("a.mp4", "b.mp4", "c.mp4")
    manifest, out = harness.folder / "runners.csv", harness.folder / "out"
    manifest.write_text("file,view,subject\na.mp4,side,Anna\nb.mp4,side,Ben\nc.mp4,side,ANNA\n")
    refused = harness.analyze(str(manifest), "--out", str(out))
    assert refused.exit_code == 2
    assert "runners.csv, line 3, subject: 'Ben': there is no such subject" in refused.stderr
    assert "nothing was charged" in refused.stderr
    assert "run the same command again" not in refused.stderr
    assert not harness.starts
    words = (str(manifest), "--out", str(out), "--subjects", "create", "--json")
    result = harness.analyze(*words)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("created the subject") == 2
    records = sorted(json_lines(result), key=lambda each: each["index"])
    assert [each["subject"] for each in records] == ["Anna", "Ben", "ANNA"]
    assert records[0]["subject_id"] == records[2]["subject_id"] != records[1]["subject_id"]
    sent = harness.service.count(START) + len(harness.service.requests)
    planned = harness.analyze(*words, "--dry-run")
    assert json.loads(planned.stdout)["done"] == 3
    assert harness.analyze(*words).exit_code == 0
    assert harness.service.count(START) + len(harness.service.requests) == sent


def test_a_quoted_pattern_is_expanded(harness: CliHarness) -> None:
    """A quoted pattern is replaced by the videos that it matches."""
    harness.clips("10.mp4", "2.mp4", "1.mov")
    result = harness.analyze(str(harness.folder / "*.mp4"), *SIDE, "--json")
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
def test_annotated_videos_are_never_taken_as_clips(
    harness: CliHarness, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...] | None, out: str
) -> None:
    """The next run leaves out the videos that a run has saved, in any folder and however they are named."""
    monkeypatch.chdir(harness.folder)
    harness.clips("a.mp4", "b.mp4")
    flags = (*SIDE, "--out", out, "--keep", "video")
    first = harness.analyze(*(words or ("a.mp4", "b.mp4")), *flags)
    assert (first.exit_code, len(harness.ids)) == (0, 2), first.output
    result = harness.analyze(*(words or (path.name for path in harness.folder.glob("*.mp4"))), *flags)
    assert (result.exit_code, len(harness.ids)) == (0, 2), result.output
    assert len(list(harness.folder.rglob("*.output_video.mp4"))) == 2
    assert "2 annotated videos from an earlier run left out" in result.stderr


def test_an_annotated_video_alone_is_refused(harness: CliHarness) -> None:
    """The error says why it is not sent."""
    result = harness.analyze(*harness.clips("id-1.output_video.mp4"), *SIDE)
    assert (result.exit_code, harness.service.requests) == (2, ())
    assert "annotated videos from an earlier run" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_circle_of_links_repeats_no_clip(harness: CliHarness) -> None:
    """A recursive pattern takes each clip once although a link leads back."""
    harness.clips("a.mp4")
    (harness.folder / "loop").symlink_to(harness.folder)
    result = harness.analyze(str(harness.folder / "**/*.mp4"), *SIDE, "--json")
    assert (result.exit_code, names(result)) == (0, ["a.mp4"])


def test_a_pattern_takes_videos_and_folders(harness: CliHarness) -> None:
    """Other files are ignored, and manifests only match a pattern with their extension."""
    harness.clips("a.mp4", "notes.txt", "results.csv")
    (harness.folder / "sheet.csv").write_text("file\na.mp4\n")
    assert names(harness.analyze(str(harness.folder / "*"), *SIDE, "--json")) == ["a.mp4"]
    assert names(harness.analyze(str(harness.folder / "s*.csv"), *SIDE, "--json")) == ["a.mp4"]


def test_all_missing_inputs_are_reported_together(harness: CliHarness) -> None:
    """Patterns without a match, folders without videos and bad manifests are in one error; nothing is sent."""
    harness.clips("a.mp4")
    (harness.folder / "empty").mkdir()
    manifest = harness.folder / "runners.csv"
    manifest.write_text("file,view\ngone.mp4,side\na.mp4,top\n")
    result = harness.analyze(str(harness.folder / "x*.mp4"), str(harness.folder / "empty"), str(manifest), *SIDE)
    assert (result.exit_code, harness.service.requests) == (2, ())
    for words in (
        "x*.mp4' matches nothing",
        "empty' contains no .mp4",
        "line 2, file: ",
        "line 3, view: must be side or back",
    ):
        assert words in result.stderr


def test_a_manifest_gives_each_clip_a_request(harness: CliHarness) -> None:
    """Options fill in what a row leaves out, and file names are relative to the manifest."""
    harness.clips("a.mp4", "b.mp4")
    manifest = harness.folder / "runners.csv"
    manifest.write_text("file,view,height,treadmill,pace\na.mp4,side,1.6,,\nb.mp4,back,,yes,04:30\n")
    result = harness.analyze(str(manifest), "--height", "1.9", "--language", "fr")
    assert result.exit_code == 0, result.output
    records = [
        (each["analysis_type"], each["height"], each["language"], each.get("pace")) for each in harness.service.forms
    ]
    assert set(records) == {("side_view", "1.6", "fr", None), ("back_view", "1.9", "fr", "04:30")}


def test_the_same_clip_is_bought_once(harness: CliHarness) -> None:
    """A path that is named twice is taken once, and a copy of a clip costs nothing."""
    (clip,) = harness.clips("a.mp4")
    copy = harness.folder / "copy.mp4"
    copy.write_bytes(Path(clip).read_bytes())
    result = harness.analyze(clip, str(harness.folder), *SIDE, "--json")
    assert (result.exit_code, outcomes_by_name(result)) == (0, {"a.mp4": "analyzed", "copy.mp4": "analyzed"})
    assert len(harness.ids) == 1
    assert "1 clip named more than once" in result.stderr
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
def test_hostile_names(harness: CliHarness, journal: Path, output: Path) -> None:
    """A clip with any name is analyzed, recorded and shown, and its name never controls the terminal."""
    hostile = [*map(os.fsencode, HOSTILE), b"\xff\xfe.mp4"]
    for number, name in enumerate(hostile):
        Path(os.fsdecode(os.fsencode(harness.folder) + b"/" + name)).write_bytes(CLIP + bytes([number]))
    flags = ("analyze", *FAST_POLLING, *SIDE, "--journal", str(journal))
    for words in (("--json", "--", *map(os.fsdecode, hostile)), (".",)):
        # In a process of its own: the report of a test run cannot hold such names.
        with cli_process(*flags, *words, folder=output, env=harness.environment(), cwd=harness.folder) as child:
            assert child.wait(20) == 0
        if words[0] == "--json":
            done = map(json.loads, (output / "stdout").read_text().splitlines())
            assert sorted(os.fsencode(each["clip"]) for each in done if each["outcome"] == "analyzed") == sorted(
                hostile
            )
    assert len(harness.ids) == len(hostile)
    assert "\x1b" not in (output / "stdout").read_text() + stderr_of(output)
    shown = harness.ochy("journal", "show", str(journal), "--json", "--", *map(os.fsdecode, hostile[-4:]))
    assert {os.fsencode(each["clip"]) for each in json_lines(shown)} == set(hostile[-4:])
    assert "\x1b" not in harness.ochy("journal", "show", str(journal)).output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--journal", "j", "--emulator"), "--journal: cannot be used with --emulator"),
        (("--keep", "raw-data"), "--keep raw-data: needs a folder"),
        (("--keep", "everything"), "everything"),
        (("--max-credits", "-1"), "--max-credits"),
        (("--uploads", "0"), "--uploads"),
    ],
)
def test_contradictory_options_are_refused(harness: CliHarness, flags: tuple[str, ...], words: str) -> None:
    """Nothing is sent."""
    result = harness.analyze(*harness.clips("a.mp4"), *SIDE, *flags)
    assert (result.exit_code, words in result.stderr, harness.service.requests) == (2, True, ())


# --- journal, limits, plan ------------------------------------------------------------------------


def test_the_same_command_again_sends_nothing(harness: CliHarness, tmp_path: Path) -> None:
    """With `--out` the journal is in that folder; a finished batch that is run again shows all and spends nothing."""
    harness.clips(*BIG)
    command = (str(harness.folder), *SIDE, "--out", str(tmp_path / "new" / "out"), "--json")
    assert harness.analyze(*command).exit_code == 0
    sent = len(harness.service.requests)
    again = harness.analyze(*command)
    assert (again.exit_code, sorted(names(again))) == (0, sorted(BIG))
    assert {each["bought"] for each in json_lines(again)} == {False}
    assert len(harness.service.requests) == sent
    assert "0 credits spent by this run, 5 in all; 5 not needed: results were already paid for." in again.stderr
    assert (tmp_path / "new" / "out" / "clips.journal").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
def test_all_that_a_run_writes_is_for_its_user_only(harness: CliHarness, tmp_path: Path) -> None:
    """Journal, tables, files, and the folders that `--out` named into being."""
    out = tmp_path / "new" / "out"
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--out", str(out)).exit_code == 0
    found = {path: path.stat().st_mode & 0o777 for path in (out.parent, out, *out.iterdir())}
    assert {found.pop(out.parent), found.pop(out)} == {0o700}
    assert len(found) == 5
    assert set(found.values()) == {0o600}


def test_a_run_without_a_journal_warns(harness: CliHarness) -> None:
    """Several clips without a journal cannot be resumed; a single clip needs no warning."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert "cannot be resumed" in harness.analyze(*clips, *SIDE, "--no-journal").stderr
    assert "cannot be resumed" not in harness.analyze(clips[0], *SIDE, "--no-journal").stderr


def test_a_limit_on_credits_holds_over_runs(harness: CliHarness, journal: Path) -> None:
    """The other clips are unfinished, and the summary prints the command that buys them."""
    harness.clips(*BIG)
    command = (str(harness.folder), *SIDE, "--journal", str(journal), "--max-credits", "3")
    first = harness.analyze(*command)
    assert (first.exit_code, len(harness.ids)) == (1, 3)
    assert "3 analyzed, 2 unfinished" in first.stderr
    assert "Raise max_credits" in first.stderr
    again = next(line for line in first.stderr.splitlines() if line.startswith("  ochy analyze"))
    assert shlex.split(again) == ["ochy", "analyze", *FAST_POLLING, *command[:-1], "5"]
    assert harness.analyze(*command).exit_code == 1
    assert len(harness.ids) == 3
    assert harness.ochy(*shlex.split(again)[1:]).exit_code == 0
    assert len(harness.ids) == 5


def test_a_dry_run_spends_nothing(harness: CliHarness, journal: Path) -> None:
    """It prints what would be bought and why clips are refused, sends nothing, and creates no journal."""
    clips = harness.clips("a.mp4", "b.mp4")
    (harness.folder / "notes.txt").touch()
    (harness.folder / "copy.mp4").write_bytes(Path(clips[0]).read_bytes())
    command = (str(harness.folder), str(harness.folder / "notes.txt"), *SIDE, "--journal", str(journal), "--dry-run")
    result = harness.analyze(*command, "--json")
    (plan,) = json_lines(result)
    assert (result.exit_code, plan["to_buy"], plan["duplicates"], plan["refused"]) == (1, 2, 1, 1)
    assert "notes.txt" in plan["refusals"][0]
    assert (harness.service.requests, journal.exists()) == ((), False)
    assert harness.analyze(clips[0], *SIDE, "--journal", str(journal)).exit_code == 0
    sent = len(harness.service.requests)
    result = harness.analyze(*clips[:2], *SIDE, "--journal", str(journal), "--dry-run", "--max-credits", "0")
    assert (result.exit_code, len(harness.service.requests)) == (0, sent)
    assert "to buy      1 " in result.stdout
    assert "done        1 " in result.stdout
    assert "--max-credits 0" in result.stderr


def test_a_dry_run_lists_each_clip(harness: CliHarness, journal: Path) -> None:
    """One line each, in the order of the input, as text and as JSON; nothing is sent."""
    done, *_ = harness.clips("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    (harness.folder / "c.mp4").write_bytes(Path(done).read_bytes())
    (harness.folder / "d.mp4").write_bytes(b"")
    settings = (*SIDE, "--journal", str(journal))
    assert harness.analyze(done, *settings).exit_code == 0
    sent = len(harness.service.requests)
    command = (str(harness.folder), *settings, "--dry-run", "--list")
    result = harness.analyze(*command, "--json")
    found = json_lines(result)
    assert (result.exit_code, len(harness.service.requests)) == (1, sent)
    assert [each["plan"] for each in found] == ["done", "to_buy", "duplicate", "refused"]
    assert [each["clip"] for each in found] == [str(harness.folder / f"{name}.mp4") for name in "abcd"]
    assert [each["duplicate_of"] for each in found] == [None, None, done, None]
    assert [each["analysis_id"] for each in found] == [harness.ids[0], None, None, None]
    assert [bool(each["reason"]) for each in found] == [False, False, False, True]
    keys = ["clip", "index", "view", "plan", "reason", "analysis_id", "key", "duplicate_of", "extra"]
    assert {tuple(each) for each in found} == {tuple(keys)}
    assert "1 to buy, 1 done, 1 refused, 1 duplicates" in result.stderr
    shown = harness.analyze(*command).stdout.splitlines()
    assert [line.split("  ")[0] for line in shown[:4]] == ["done", "to buy", "duplicate", "refused"]
    assert shown[0].endswith(f"a.mp4 (side view): analysis {harness.ids[0]}")
    assert shown[2].endswith(f"c.mp4 (side view): the same clip as {done}")
    assert shown[3].endswith("d.mp4 (side view): size: the clip is empty; copy it again from the camera")
    assert "What the run would do" in shown[4]


def test_list_needs_dry_run(harness: CliHarness) -> None:
    """Without it, `--list` is refused before anything is bought."""
    result = harness.analyze(*harness.clips("a.mp4"), *SIDE, "--list")
    assert (result.exit_code, "--dry-run" in result.stderr, harness.starts) == (2, True, 0)


def test_a_dry_run_needs_the_key(harness: CliHarness) -> None:
    """The plan depends on the account, so there is none without a key; nothing is sent."""
    result = harness.analyze(*harness.clips("a.mp4"), *SIDE, "--dry-run", OCHY_API_KEY=None)
    assert (result.exit_code, harness.service.requests) == (3, ())


def test_a_journal_of_another_key_is_refused(tmp_path: Path, journal: Path) -> None:
    """Unless the user says that the account is the same."""
    settings = evolve(world(queue_seconds=0, analysis_seconds=(0.1, 0.1)), api_keys={API_KEY, "4f1d-rotated-key"})
    with cli_harness(settings, tmp_path / "clips") as harness:
        command = (*harness.clips("a.mp4"), *SIDE, "--journal", str(journal))
        assert harness.analyze(*command).exit_code == 0
        refused = harness.analyze(*command, OCHY_API_KEY="4f1d-rotated-key")
        assert (refused.exit_code, "--same-account" in refused.stderr) == (1, True)
        assert harness.analyze(*command, "--same-account", OCHY_API_KEY="4f1d-rotated-key").exit_code == 0
        assert len(harness.ids) == 1


def test_a_file_that_is_no_journal_is_refused(harness: CliHarness) -> None:
    """Nothing is bought, and the file is not changed."""
    clip, other = harness.clips("a.mp4", "b.txt")
    before = Path(other).read_bytes()
    result = harness.analyze(clip, *SIDE, "--journal", other)
    assert (result.exit_code, harness.service.requests, Path(other).read_bytes()) == (1, (), before)
    assert "Traceback" not in result.output


# --- interrupted, killed, resumed -----------------------------------------------------------------


def stderr_of(output: Path) -> str:
    return (output / "stderr").read_text()


def analyzing(harness: CliHarness, output: Path, *args: str) -> AbstractContextManager[Any]:
    # Verbose, so that what is started is text although a journal has it.
    return cli_process("analyze", *FAST_POLLING, *args, "-v", folder=output, env=harness.environment())


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_finishes_work_in_flight(
    tmp_path: Path, journal: Path, output: Path, first: signal.Signals
) -> None:
    """No new clip is started, clips in progress are finished, and the same command does the rest."""
    with harness_in(tmp_path, queue_seconds=0, analysis_seconds=(1.5, 1.5)) as harness:
        harness.clips(*BIG)
        command = (str(harness.folder), *SIDE, "--journal", str(journal), "--in-flight", "2", "--json")
        with analyzing(harness, output, *command) as child:
            wait_until(lambda: stderr_of(output).count("paid for") == 2)
            child.send_signal(first)
            code = child.wait(10)
        done = [json.loads(line) for line in (output / "stdout").read_text().splitlines()]
        assert (code, len(harness.ids)) == (130, 2)
        assert {each["analysis_id"] for each in done if each["outcome"] == "analyzed"} == set(harness.ids)
        assert "Stopping: no new clip is started" in stderr_of(output)
        assert shlex.join(["ochy", "analyze", *FAST_POLLING, *command]) in stderr_of(output)
        rest = harness.analyze(*command)
        assert (rest.exit_code, sorted(names(rest)), len(harness.ids)) == (0, sorted(BIG), 5)
    assert "Traceback" not in stderr_of(output)


def test_the_second_interrupt_stops_immediately(slow_harness: CliHarness, journal: Path, output: Path) -> None:
    """Paid analyses are in the journal, and the same command collects them."""
    slow_harness.clips(*BIG)
    command = (str(slow_harness.folder), *SIDE, "--journal", str(journal), "--in-flight", "2", "--json")
    code = interrupted_twice(slow_harness, output, *command)
    assert (code, len(slow_harness.ids), (output / "stdout").read_text()) == (130, 2, "")
    assert "  ochy analyze " in stderr_of(output)
    slow_harness.skipped[0] = 100_000
    stated = json_lines(slow_harness.ochy("journal", "show", str(journal), "--json"))
    assert {each["analysis_id"] for each in stated} == set(slow_harness.ids)
    assert {each["state"] for each in stated} == {"started"}


def interrupted_twice(harness: CliHarness, output: Path, *args: str) -> int:
    with analyzing(harness, output, *args) as child:
        wait_until(lambda: stderr_of(output).count("paid for") == 2)
        child.send_signal(signal.SIGINT)
        wait_until(lambda: "Stopping" in stderr_of(output))
        child.send_signal(signal.SIGINT)
        code: int = child.wait(10)
    assert "Traceback" not in stderr_of(output)
    return code


def test_an_interrupt_without_a_journal_prints_the_ids(slow_harness: CliHarness, output: Path) -> None:
    """The ids that only this process knew are printed with the command that collects them."""
    slow_harness.clips(*BIG)
    code = interrupted_twice(slow_harness, output, str(slow_harness.folder), *SIDE, "--in-flight", "2", "--no-journal")
    (hint,) = (line for line in stderr_of(output).splitlines() if "ochy wait" in line)
    assert (code, set(slow_harness.ids) < set(hint.split())) == (130, True)
    assert "ochy analyze" not in stderr_of(output)


def test_an_interrupt_before_the_answer_is_uncertain(slow_harness: CliHarness, output: Path) -> None:
    """After the last byte a start may have been charged; without a journal the summary warns about that."""
    slow_harness.faults(START, Delay(30, after=True))
    with analyzing(slow_harness, output, *slow_harness.clips("a.mp4"), *SIDE, "--no-journal") as child:
        wait_until(lambda: slow_harness.ids)
        child.send_signal(signal.SIGINT)
        wait_until(lambda: "Stopping" in stderr_of(output))
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    assert "0 credits spent by this run and 1 uncertain." in stderr_of(output)
    assert "would buy them again" in stderr_of(output)
    assert "vendor's dashboard" in stderr_of(output)


@pytest.mark.parametrize("tagged", [(), ("--tag-starts",)])
def test_a_killed_run_is_resumed(
    slow_harness: CliHarness, journal: Path, output: Path, tagged: tuple[str, ...]
) -> None:
    """Killed when a start is charged and not answered: the next run finds it, and no clip is paid twice."""
    slow_harness.clips(*BIG)
    command = (str(slow_harness.folder), *SIDE, "--journal", str(journal), "--uploads", "1", "--json", *tagged)
    slow_harness.faults(START, Delay(30, after=True))
    with analyzing(slow_harness, output, *command) as child:
        wait_until(lambda: slow_harness.ids)
        child.kill()
        child.wait(10)
    slow_harness.emulator.faults = None
    with analyzing(slow_harness, output, *command) as child:
        wait_until(lambda: stderr_of(output).count("paid for") == 4)
        reported = re.findall(r"paid for, analysis (\S+)", stderr_of(output))
        wait_until(lambda: all(recorded(journal, each) for each in reported))  # each is reported just before
        child.kill()
        child.wait(10)
    slow_harness.skipped[0] = 100_000
    result = slow_harness.analyze(*command)
    assert (result.exit_code, sorted(names(result))) == (0, sorted(BIG)), result.output
    assert len({each.sha256 for each in slow_harness.service.ledger}) == len(slow_harness.ids) == 5


def recorded(journal: Path, analysis_id: str) -> bool:
    """Whether a journal that another process has open holds an id: it lets nobody else read it but as plain bytes."""
    return any(analysis_id.encode() in path.read_bytes() for path in journal.parent.glob(f"{journal.name}*"))


# --- uncertain starts ------------------------------------------------------------------------------


def record_uncertain_start(harness: CliHarness, journal: Path, clip: str) -> str:
    """A journal with a start of long ago that may have been charged; its key."""
    digest = ApiKey(API_KEY).digest()
    content = hashlib.sha256(Path(clip).read_bytes()).hexdigest()
    key = identity(content, SideView(), digest, harness.emulator.url)
    then = datetime.now(UTC) - timedelta(hours=3)

    async def write() -> None:
        async with SqliteJournal(journal) as opened_journal:
            await opened_journal.set_note(ACCOUNT + digest, digest)
            entry = Entry(key=key, state=State.INTENDED, at=then, earliest=then, clip=clip, view="side_view", credits=1)
            entry = await opened_journal.put(entry)
            await opened_journal.put(evolve(entry, state=State.UNCERTAIN, latest=then, reason="It was cut off."))

    anyio.run(write)
    return key


def test_an_uncertain_start_is_shown_with_the_commands_that_resolve_it(harness: CliHarness, journal: Path) -> None:
    """It is looked up and not bought; the exit code is 5, and every command can be pasted."""
    clips = harness.clips("a b.mp4", "c.mp4")
    key = record_uncertain_start(harness, journal, clips[0])[:12]
    copy = Path(clips[0]).rename(harness.folder / "0.mp4")
    clips = [str(copy), clips[1]]
    flags = (*SIDE, "--journal", str(journal))
    (plan,) = json_lines(harness.analyze(*clips, *flags, "--dry-run", "--json"))
    assert (plan["uncertain"], plan["to_buy"]) == (1, 1)
    result = harness.analyze(*clips, *flags, "--json")
    assert (result.exit_code, outcomes_by_name(result)) == (5, {"0.mp4": "uncertain", "c.mp4": "analyzed"})
    assert len(harness.ids) == 1
    (line,) = [each for each in json_lines(result) if each["outcome"] == "uncertain"]
    assert (line["doubt"]["cause"], line["doubt"]["size"], line["doubt"]["reached"]) == (
        "It was cut off.",
        Path(clips[0]).stat().st_size,
        True,
    )
    for words in ("It was cut off.", f"{line['doubt']['earliest'][:10]}", "UTC", "do not show its analysis"):
        assert words in result.stderr
    commands = [shlex.split(line) for line in result.stderr.splitlines() if line.lstrip().startswith("ochy ")]
    assert commands == [
        ["ochy", "analyze", *FAST_POLLING, *clips, *flags, "--json"],
        ["ochy", "journal", "adopt", str(journal), key, "ID"],
        ["ochy", "journal", "release", str(journal), key],
        ["ochy", "analyze", *FAST_POLLING, *clips, *flags, "--json"],
    ]


def test_an_uncertain_start_is_adopted(harness: CliHarness, journal: Path) -> None:
    """Given the id of its analysis, the next run collects the results and buys nothing."""
    clips = harness.clips("a.mp4", "c.mp4")
    assert harness.analyze(clips[0], *SIDE).exit_code == 0
    (analysis_id,) = harness.ids
    key = record_uncertain_start(harness, journal, clips[0])
    settled = harness.ochy("journal", "adopt", str(journal), key[:8], analysis_id, OCHY_API_KEY=None)
    assert settled.exit_code == 0, settled.output
    result = harness.analyze(clips[0], *SIDE, "--journal", str(journal), "--json")
    assert (result.exit_code, outcomes_by_name(result), harness.ids) == (0, {"a.mp4": "analyzed"}, [analysis_id])
    refused = harness.ochy("journal", "adopt", str(journal), clips[0], "another-id")
    assert (refused.exit_code, "nothing to adopt" in refused.stderr) == (2, True)


def test_an_id_is_adopted_once(harness: CliHarness, journal: Path) -> None:
    """The id of another clip is refused, and the start stays uncertain."""
    first, second = harness.clips("a.mp4", "b.mp4")
    record_uncertain_start(harness, journal, first)
    assert harness.analyze(second, *SIDE, "--journal", str(journal)).exit_code == 0
    refused = harness.ochy("journal", "adopt", str(journal), first, harness.ids[0])
    assert (refused.exit_code, "once belonged, to a clip of this journal" in refused.stderr) == (2, True)
    (entry,) = json_lines(harness.ochy("journal", "show", str(journal), first, "--json"))
    assert entry["state"] == "uncertain"


@pytest.mark.parametrize("which", ["CLIP", "--all-uncertain"])
def test_an_uncertain_start_is_released_after_confirmation(harness: CliHarness, journal: Path, which: str) -> None:
    """The command says what it may cost and needs a yes; then the next run buys the clip."""
    (clip,) = harness.clips("a.mp4")
    record_uncertain_start(harness, journal, clip)
    command = ("journal", "release", str(journal), clip if which == "CLIP" else which)
    asked = harness.ochy(*command)
    assert (asked.exit_code, "--yes" in asked.stderr, "second credit" in asked.stderr) == (2, True, True)
    assert harness.analyze(clip, *SIDE, "--journal", str(journal)).exit_code == 5
    assert harness.ochy(*command, "--yes").exit_code == 0
    assert harness.analyze(clip, *SIDE, "--journal", str(journal)).exit_code == 0
    assert len(harness.ids) == 1
    again = harness.ochy(*command, "--yes")
    assert (again.exit_code, "othing" in again.stderr) == ((2, True) if which == "CLIP" else (0, True))


# --- ochy journal show ----------------------------------------------------------------------------


async def left(journal: Path, state: State) -> None:
    """Makes a journal with one clip in a state."""
    async with SqliteJournal(journal) as opened:
        await stored_in_state(opened, state, clip="a.mp4", credits=1)


@pytest.mark.parametrize(("state", "credits_"), [(State.INTENDED, 0), (State.SENDING, 1)])
def test_a_clip_that_was_left_unsent_costs_nothing(
    harness: CliHarness, journal: Path, state: State, credits_: int
) -> None:
    """`show` counts no credit for it, and there is nothing to release. One whose end may have left is uncertain."""
    anyio.run(left, journal, state)
    (entry,) = json_lines(harness.ochy("journal", "show", str(journal), "--json"))
    assert (entry["state"], entry["credits"]) == (state, credits_)
    assert count_of(credits_, "credit") in harness.ochy("journal", "show", str(journal)).stdout
    released = harness.ochy("journal", "release", str(journal), "--all-uncertain", "--yes")
    assert ("Nothing to release" in released.stderr) is (credits_ == 0)


def test_a_journal_is_shown_without_results(harness: CliHarness, journal: Path) -> None:
    """States, ids, times, credits and reasons; with `--history` every change; no result and no link."""
    clips = harness.clips("a.mp4", "b.mp4")
    assert harness.analyze(*clips, *SIDE, "--journal", str(journal)).exit_code == 0
    shown = harness.ochy("journal", "show", str(journal), OCHY_API_KEY=None)
    assert shown.exit_code == 0
    for words in (*harness.ids, *clips, "analyzed", "2 clips, 2 credits"):
        assert words in shown.stdout
    assert "total_score" not in shown.stdout
    changes = harness.ochy("journal", "show", str(journal), clips[0], "--history", "--json")
    (record,) = json_lines(changes)
    assert [each["state"] for each in record["history"]] == ["intended", "sending", "started", "analyzed"]
    table = harness.ochy("journal", "show", str(journal), clips[0], "--history")
    assert "intended" in table.stdout
    assert clips[1] not in table.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "GONE"), "does not exist"),
        (("show", "JOURNAL", "x.mp4"), "'x.mp4' is not in the journal"),
        (("adopt", "JOURNAL", "x.mp4", "id"), "'x.mp4' is not in the journal"),
        (("release", "JOURNAL"), "--all-uncertain"),
        (("release", "JOURNAL", "a.mp4", "--all-uncertain"), "--all-uncertain"),
    ],
)
def test_wrong_journal_commands_are_refused(
    harness: CliHarness, journal: Path, words: tuple[str, ...], message: str
) -> None:
    """The error is a sentence, the exit code is 2, and no journal is created."""
    assert harness.analyze(*harness.clips("a.mp4"), *SIDE, "--journal", str(journal)).exit_code == 0
    gone = journal.with_name("gone")
    places = {"JOURNAL": str(journal), "GONE": str(gone)}
    result = run_cli("journal", *(places.get(word, word) for word in words))
    assert (result.exit_code, message in result.stderr) == (2, True), result.output
    assert not gone.exists()


def test_clips_of_one_name_are_distinguished_by_key(harness: CliHarness, journal: Path) -> None:
    """An edited clip is a new clip with the same name; the first digits of its key select it."""
    (clip,) = harness.clips("a.mp4")
    first = record_uncertain_start(harness, journal, clip)
    Path(clip).write_bytes(CLIP + b"edited")
    second = record_uncertain_start(harness, journal, clip)
    unclear = harness.ochy("journal", "release", str(journal), clip, "--yes")
    assert (unclear.exit_code, first[:12] in unclear.stderr, second[:12] in unclear.stderr) == (2, True, True)
    assert harness.ochy("journal", "release", str(journal), second[:12], "--yes").exit_code == 0
    stated = {
        each["key"]: each["state"] for each in json_lines(harness.ochy("journal", "show", str(journal), "--json"))
    }
    assert stated == {first: "uncertain", second: "open"}
