"""A terminal is tested as a terminal: nothing that was printed is missing afterwards, in order, once."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ochy_async.emulator import DisconnectAfter, FaultPlan, FaultRule, Throttle
from tests.conftest import CLIP, world
from tests.support.cli_harness import FAST_POLLING, START, CliHarness, cli_harness

if sys.platform == "win32":
    pytest.skip("needs the pseudo-terminals of POSIX", allow_module_level=True)
pytest.importorskip("pyte", reason="needs the terminal emulator of the extra `dev`")

from tests.support.terminal import BEFORE, SIZES, Terminal, bare, terminal

SIDE = ("--view", "side")
WIDE = (
    "日本語のとても長い名前のランニング動画ファイル、朝の走り込み.mp4",
    "🏃🏽‍♀️ am Fluss, sehr lange Strecke mit viel Gegenwind 🌬️ und Regen.mp4",
    "e\u0301te\u0301-".replace("\u0301", "\u0301") * 12 + "course.mp4",
)
"""Names of wide letters, of emoji that are joined of several, and of combining marks."""
SIZED = pytest.mark.parametrize(("columns", "lines"), SIZES, ids=[f"{c}x{r}" for c, r in SIZES])
COUNTED = pytest.mark.parametrize("count", [3, 30])


@pytest.fixture
def harness(tmp_path: Path) -> Generator[CliHarness]:
    """A shop that takes about half a second for an analysis, after a while in its queue; some of them fail."""
    folder = tmp_path / "clips"
    folder.mkdir()
    settings = world(
        queue_seconds=0.2, analysis_seconds=(0.3, 0.8), concurrent_analyses=6, failing_clips={"clip-01.mp4"}
    )
    with cli_harness(settings, folder) as it:
        it.emulator.faults = FaultPlan([FaultRule(START, Throttle(40_000, direction="upload"), times=100)])
        yield it


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Where the program's lasting words are noted."""
    return tmp_path / "said"


def some_clips(harness: CliHarness, count: int) -> tuple[str, ...]:
    """So many clips, one of which fails at the vendor's, and for the rest names that are long and wide."""
    wide = WIDE[: max(1, min(len(WIDE), count - 2))]
    return tuple(harness.clips(*(f"clip-{number:02}.mp4" for number in range(count - len(wide))), *wide))


def analyzing(harness: CliHarness, it: Terminal, *args: str, **how: Any) -> Any:
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "COLUMNS", "LINES")}
    env |= {"TERM": "xterm-256color", **harness.environment(), **how.pop("env", {})}
    return it.running("analyze", *FAST_POLLING, *SIDE, *args, env=env, **how)


# --- nothing is lost ------------------------------------------------------------------------------


@COUNTED
@SIZED
def test_nothing_that_was_printed_is_lost(
    columns: int, lines: int, count: int, harness: CliHarness, said: Path
) -> None:
    """Older lines, refused clips with their reasons, a failed one, results and the summary: in order, once."""
    clips = (*some_clips(harness, count), str(harness.folder / "not there.mp4"))
    (harness.folder / "empty.mp4").write_bytes(b"")
    (harness.folder / "a text.txt").write_text("no video")
    clips += (str(harness.folder / "empty.mp4"), str(harness.folder / "a text.txt"))
    with terminal(columns, lines, said) as it:
        with analyzing(harness, it, *clips) as child:
            code = it.ended(child)
        assert code == 1, str(it)
        it.check()
        assert "clip-01.mp4:failed" in it.printed
        assert it.text.count("isempty;") == 1, str(it)


@SIZED
def test_tables_stand_whole(columns: int, lines: int, harness: CliHarness, said: Path) -> None:
    """Few clips are shown in tables of their own, and no bar runs through one."""
    with terminal(columns, lines, said) as it:
        with analyzing(harness, it, *some_clips(harness, 3), "--calculated") as child:
            it.ended(child)
        it.check()
        assert all(it.text.count(f"analysis{each}") >= 1 for each in harness.ids), str(it)
        assert it.text.count("groundcontacttime") == 2, str(it)


@SIZED
def test_what_a_folder_journal_and_verbose_tell(
    columns: int, lines: int, harness: CliHarness, tmp_path: Path, said: Path
) -> None:
    """Routine lines by the dozen pass above the bars, one after the other."""
    some_clips(harness, 30)
    with terminal(columns, lines, said) as it:
        with analyzing(harness, it, str(harness.folder), "--out", str(tmp_path / "results"), "-v") as child:
            it.ended(child)
        it.check()
        assert it.said.read_text().count("started and paid for") == 30


def test_a_log_passes_above_the_bars(harness: CliHarness, said: Path) -> None:
    """With `--debug` the library's log comes from wherever it comes; it tears nothing."""
    with terminal(80, 24, said) as it:
        with analyzing(harness, it, *some_clips(harness, 30), "--debug") as child:
            it.ended(child)
        it.check()
        assert it.text.count("DEBUGPOST/analysis/start:HTTP202") == 30, str(it)


def test_all_of_the_demo_is_still_there(said: Path) -> None:
    """The kill and the resume are its point: steps, plain lines, journal, results and ledger, with whole ids."""
    with terminal(80, 24, said) as it:
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
        with it.running("demo", env={**env, "TERM": "xterm-256color"}) as child:
            code = it.ended(child)
        assert code == 0, str(it)
        steps = (
            *BEFORE,
            "Simulated results",
            "1. Start a batch",
            "Killed, with 6",
            "The journal after the kill",
            "2. Run the same",
        )
        steps += (
            "being looked up",
            "10 of 10,",
            "10 clips: 10 analyzed.",
            "3. Run it a third",
            "requests sent for this table: 0",
        )
        steps += ("The emulator's ledger", "10 credits for 10 clips", "Simulated results")
        at = 0
        for step in steps:
            at = it.text.find(bare(step), at) + 1
            assert at, f"{step!r} is missing or out of order\n{it}"
        assert it.text.count("being looked up".replace(" ", "")) == 2, str(it)
        assert (
            len(re.findall(r"^│ started +│.*[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} │$", it.all, re.MULTILINE)) == 4
        ), str(it)
        assert "━━╸" not in it.all, str(it)
        assert it.cursor_visible, str(it)


# --- streams --------------------------------------------------------------------------------------


def test_results_in_a_file_and_progress_on_the_terminal(harness: CliHarness, said: Path, tmp_path: Path) -> None:
    """Bars are seen, each end has a line with its score, and the file holds JSON only."""
    with terminal(80, 24, said) as it, (tmp_path / "out").open("w") as out:
        with analyzing(harness, it, *some_clips(harness, 5), "--json", stdout=out) as child:
            it.until(lambda: "of 5 clips" in it.on_screen)
            it.ended(child)
        found = [json.loads(line)["outcome"] for line in (tmp_path / "out").read_text().splitlines()]
        assert sorted(found) == ["analyzed"] * 4 + ["failed"]
        told = [line for line in it.rows if re.search(r"\d of 5, ", line)]
        assert len(told) == 5, str(it)
        assert it.all.count("analyzed, score 0.") + it.text.count("analyzed,score0.") >= 4, str(it)
        assert "clips  ━" not in it.all, str(it)
        assert it.text.startswith(bare("".join(BEFORE))), str(it)


def test_progress_in_a_file_and_results_on_the_terminal(harness: CliHarness, said: Path, tmp_path: Path) -> None:
    """Plain lines in the file, without anything that only a terminal understands, and results on the screen."""
    with terminal(80, 24, said) as it, (tmp_path / "err").open("w") as err:
        with analyzing(harness, it, *some_clips(harness, 5), stderr=err) as child:
            it.ended(child)
        told = (tmp_path / "err").read_text()
        assert ("\x1b" in told, told.count(" of 5, ")) == (False, 5)
        assert "score" not in told  # a log of some machine is no place for health data
        assert all(it.text.count(each) == 1 for each in harness.ids if f"{each} failed" not in told), str(it)
        assert "\x1b[?25l" not in it.received.decode()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}], ids=str)
def test_some_terminals_get_plain_lines(env: dict[str, str], harness: CliHarness, said: Path) -> None:
    """Who wants no colors, cannot draw, or is the log of a machine has no bars."""
    plainly(harness, said, env=env)


@pytest.mark.parametrize("flag", ["--no-progress", "--quiet"])
def test_who_asks_gets_plain_lines(flag: str, harness: CliHarness, said: Path) -> None:
    """Nothing is drawn that is taken away again."""
    plainly(harness, said, flag)


def plainly(harness: CliHarness, said: Path, *args: str, **how: Any) -> None:
    with terminal(80, 24, said) as it:
        with analyzing(harness, it, *some_clips(harness, 5), *args, **how) as child:
            it.ended(child)
        it.check()
        assert not re.search(rb"\x1b\[[0-9]*[A-HJKhl]", it.received), it.received


# --- ends -----------------------------------------------------------------------------------------


@pytest.fixture
def slow_harness(tmp_path: Path) -> Generator[CliHarness]:
    """A shop whose analyses take a day."""
    folder = tmp_path / "clips"
    folder.mkdir()
    with cli_harness(world(analysis_seconds=(86_400, 86_400), concurrent_analyses=50, listing_lag=3600), folder) as it:
        yield it


@SIZED
def test_the_first_interrupt_leaves_all_in_order(columns: int, lines: int, harness: CliHarness, said: Path) -> None:
    """Ctrl-C once: what is under way is brought to its end, and the ^C of the terminal itself tears nothing."""
    with terminal(columns, lines, said) as it:
        with analyzing(harness, it, *some_clips(harness, 30), "--in-flight", "12") as child:
            it.until(lambda: "0.7" in it.text or "0.8" in it.text)
            it.type("\x03")
            code = it.ended(child)
        assert code == 130, str(it)
        it.check()
        assert it.text.count("Stopping:") == 1, str(it)


@SIZED
def test_the_second_interrupt_leaves_no_half_bar(
    columns: int, lines: int, slow_harness: CliHarness, said: Path
) -> None:
    """Ctrl-C twice: the bars are gone at once, and what is left to do stands there."""
    with terminal(columns, lines, said) as it:
        with analyzing(slow_harness, it, *some_clips(slow_harness, 30)) as child:
            it.until(lambda: "waiting" in it.on_screen and len(slow_harness.ids) > 10)
            it.type("\x03")
            it.until(lambda: "Stopping" in it.text)
            it.type("\x03")
            code = it.ended(child)
        assert code == 130, str(it)
        it.check()
        assert "Stopped." in it.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_from_elsewhere(number: signal.Signals, slow_harness: CliHarness, said: Path) -> None:
    """SIGTERM does as Ctrl-C."""
    with terminal(80, 24, said) as it:
        with analyzing(slow_harness, it, *some_clips(slow_harness, 30)) as child:
            it.until(lambda: "waiting" in it.on_screen)
            child.send_signal(number)
            it.until(lambda: "Stopping" in it.text)
            child.send_signal(number)
            code = it.ended(child)
        assert code == 130, str(it)
        it.check()


def test_a_kill_leaves_the_cursor(slow_harness: CliHarness, said: Path) -> None:
    """Whoever is killed cannot clean up: the bars stay, but what stood above them does too, and the cursor is there."""
    with terminal(80, 24, said) as it:
        with analyzing(slow_harness, it, *some_clips(slow_harness, 30)) as child:
            it.until(lambda: "waiting" in it.on_screen)
            child.kill()
            it.ended(child)
        assert it.cursor_visible, str(it)
        assert it.text.startswith(it.printed), str(it)


@SIZED
def test_a_crash_leaves_the_terminal_in_order(columns: int, lines: int, harness: CliHarness, said: Path) -> None:
    """A fault of ours, in the midst of a run: the bars are gone and its traceback is whole."""
    crash = """
import ochy_async.cli.display.results as results
def crash(outcome):
    raise RuntimeError("a fault of ours")
results.result_line = crash
"""
    with terminal(columns, lines, said) as it:
        with analyzing(harness, it, *some_clips(harness, 30), patch=crash) as child:
            code = it.ended(child)
        assert code == 1, str(it)
        assert it.text.startswith(bare("".join(BEFORE))), str(it)
        assert it.text.endswith(bare("RuntimeError: a fault of ours")), str(it)
        assert "clips  ━" not in it.all, str(it)
        assert it.cursor_visible, str(it)


def test_an_error_of_the_run_is_told_below_everything(harness: CliHarness, said: Path) -> None:
    """The key is refused in the midst of a run: the words stand there whole, and no bar is left."""
    with terminal(80, 24, said) as it:
        env = {"OCHY_API_KEY": "another key"}
        with analyzing(harness, it, *some_clips(harness, 5), env=env) as child:
            code = it.ended(child)
        assert code == 3, str(it)
        it.check()


# --- the display itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(120, 40), (80, 50), (80, 12), (100, 6)], ids=str)
def test_another_size_loses_nothing_that_lasts(size: tuple[int, int], harness: CliHarness, said: Path) -> None:
    """A window that is drawn larger or lower may leave a half bar, but every line that lasts is there, in order.

    Terminals differ in what they do with rows that are wider than the new window, so none is made narrower here.
    """
    with terminal(80, 24, said) as it:
        with analyzing(harness, it, *some_clips(harness, 30), "-v") as child:
            it.until(lambda: "of 30 clips" in it.on_screen and len(harness.ids) > 5)
            it.resize(*size)
            it.ended(child)
        at = 0
        for line in (*BEFORE, *it.said.read_text().splitlines()):
            found = it.text.find(bare(line), at)
            assert found >= 0, f"{line!r} is missing or out of order\n{it}"
            at = found + len(bare(line))
        assert it.cursor_visible, str(it)


@SIZED
def test_rows_fit_the_screen(columns: int, lines: int, slow_harness: CliHarness, said: Path) -> None:
    """At most half of the rows are bars, then the rest is counted; none is wider than the screen, whatever its name."""
    with terminal(columns, lines, said) as it:
        with analyzing(slow_harness, it, *reversed(some_clips(slow_harness, 30))) as child:
            it.until(lambda: len(slow_harness.ids) == 30)
            it.until(lambda: re.search(r"analyzing(.|\n)*\n\+ \d+ more: .*$", it.on_screen.rstrip()))
            bars = it.on_screen.rstrip().splitlines()
            child.kill()
        first = next(number for number, row in enumerate(bars) if row.startswith("0 of 30 clips, 30 credits spent"))
        drawn = bars[first:]
        assert len(drawn) <= lines // 2, str(it)
        shown = [row for row in drawn if re.search(r" {2}(\d+ %|waiting \d+:\d\d)$", row)]
        assert len(shown) >= len(drawn) - 2, str(it)


def test_a_doubt_is_shown_while_it_is_looked_up(slow_harness: CliHarness, said: Path) -> None:
    """Which lookup of how many, how long it may take, and that one may leave; what lasts says it once."""
    slow_harness.faults(START, DisconnectAfter(charged=True))
    slow_harness.clips("doubt.mp4")
    with terminal(80, 24, said) as it:
        with analyzing(slow_harness, it, str(slow_harness.folder), "--out", str(slow_harness.folder / "out")) as child:
            it.until(lambda: re.search(r"doubt.mp4 +lookup \d of \d, \d+ s left; Ctrl-C is safe", it.on_screen))
            child.send_signal(signal.SIGINT)
            it.ended(child)
        it.check()
        assert not re.search(r"lookup\dof", it.text), str(it)


def test_uploads_have_a_speed(slow_harness: CliHarness, said: Path) -> None:
    """Per cent and bytes per second are whole."""
    slow_harness.faults(START, Throttle(3_000_000, direction="upload"))
    (slow_harness.folder / "large.mp4").write_bytes(CLIP + bytes(20_000_000))
    with terminal(80, 24, said) as it, analyzing(slow_harness, it, str(slow_harness.folder)) as child:
        it.until(lambda: re.search(r"large.mp4 +uploading +━+╺?╸?━* +\d+ %  \d+(\.\d+)? [kM]B/s", it.on_screen))
        child.kill()


def test_quiet_tells_what_must_be_acted_on(harness: CliHarness, said: Path) -> None:
    """Results and failures; no counts, no advice, no warnings."""
    with terminal(80, 24, said) as it:
        with analyzing(harness, it, *some_clips(harness, 5), "--quiet") as child:
            assert it.ended(child) == 1
        it.check()
        told = it.said.read_text().splitlines()
    failed = [line for line in told if "failed" in line]
    assert (len(told), len(failed)) == (5, 1), told


def test_drawing_is_no_storm(harness: CliHarness, said: Path) -> None:
    """Thousands of events a second are drawn some eight times a second, and a burst of lines no more often."""
    begun = time.monotonic()
    with terminal(80, 24, said) as it:
        with analyzing(harness, it, *some_clips(harness, 30), "-v") as child:
            it.ended(child)
        seconds = time.monotonic() - begun
        drawn = it.received.count(b"of 30 clips")
        assert drawn < 25 * seconds + 10, f"{drawn} drawings in {seconds:.1f} s"
        it.check()
