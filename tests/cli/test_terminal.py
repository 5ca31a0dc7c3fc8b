"""The command line on a terminal: every line that was printed is there afterwards, in order, once."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ochy_async.emulator import DisconnectAfter, FaultPlan, FaultRule, Throttle
from tests.conftest import CLIP, world
from tests.support.canary import HOOK_TOKEN
from tests.support.cli_harness import FAST_POLLING, START, CliHarness, cli_harness
from tests.support.ports import free_port

if sys.platform == "win32":
    pytest.skip("needs the pseudo-terminals of POSIX", allow_module_level=True)
pytest.importorskip("pyte", reason="needs the terminal emulator of the extra `dev`")

from tests.support.terminal import EARLIER_ROWS, SIZES, Terminal, terminal, without_whitespace

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
    """A harness that takes about half a second for an analysis, after a while in its queue; some of them fail."""
    settings = world(
        queue_seconds=0.2, analysis_seconds=(0.3, 0.8), concurrent_analyses=6, failing_clips={"clip-01.mp4"}
    )
    with cli_harness(settings, tmp_path / "clips") as opened:
        opened.emulator.faults = FaultPlan([FaultRule(START, Throttle(40_000, direction="upload"), times=100)])
        yield opened


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Where the program's lasting words are noted."""
    return tmp_path / "said"


def some_clips(harness: CliHarness, count: int) -> tuple[str, ...]:
    """So many clips, one of which fails at the vendor's, and for the rest names that are long and wide."""
    wide = WIDE[: max(1, min(len(WIDE), count - 2))]
    return tuple(harness.clips(*(f"clip-{number:02}.mp4" for number in range(count - len(wide))), *wide))


def analyzing(harness: CliHarness, tty: Terminal, *args: str, **how: Any) -> Any:
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "COLUMNS", "LINES")}
    env |= {"TERM": "xterm-256color", **harness.environment(), **how.pop("env", {})}
    return tty.running("analyze", *FAST_POLLING, *SIDE, *args, env=env, **how)


# --- nothing is lost ------------------------------------------------------------------------------


@COUNTED
@SIZED
def test_nothing_that_was_printed_is_lost(
    columns: int, lines: int, count: int, harness: CliHarness, said: Path
) -> None:
    """Older lines, refused clips with reasons, a failed clip, results and the summary: in order, once."""
    clips = (*some_clips(harness, count), str(harness.folder / "not there.mp4"))
    (harness.folder / "empty.mp4").write_bytes(b"")
    (harness.folder / "a text.txt").write_text("no video")
    clips += (str(harness.folder / "empty.mp4"), str(harness.folder / "a text.txt"))
    with terminal(columns, lines, said) as tty:
        with analyzing(harness, tty, *clips) as child:
            code = tty.exit_code(child)
        assert code == 1, str(tty)
        tty.check()
        assert "clip-01.mp4:failed" in tty.printed
        assert tty.text.count("isempty;") == 1, str(tty)


@SIZED
def test_tables_are_not_torn(columns: int, lines: int, harness: CliHarness, said: Path) -> None:
    """Few clips are shown as tables, and the live display runs through none of them."""
    with terminal(columns, lines, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 3), "--calculated") as child:
            tty.exit_code(child)
        tty.check()
        assert all(tty.text.count(f"analysis{each}") >= 1 for each in harness.ids), str(tty)
        assert tty.text.count("groundcontacttime") == 2, str(tty)


@SIZED
def test_verbose_lines_appear_above_the_display(
    columns: int, lines: int, harness: CliHarness, tmp_path: Path, said: Path
) -> None:
    """Dozens of routine lines are printed one after the other."""
    some_clips(harness, 30)
    with terminal(columns, lines, said) as tty:
        with analyzing(harness, tty, str(harness.folder), "--out", str(tmp_path / "results"), "-v") as child:
            tty.exit_code(child)
        tty.check()
        assert " ".join(tty.printed_file.read_text().split()).count("started and paid for") == 30


def test_log_lines_appear_above_the_display(harness: CliHarness, said: Path) -> None:
    """With `--debug` the library's log comes from several threads and tears nothing."""
    with terminal(80, 24, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 30), "--debug") as child:
            tty.exit_code(child)
        tty.check()
        assert tty.text.count("DEBUGPOST/analysis/start:HTTP202") == 30, str(tty)


def test_the_demo_is_printed_completely(said: Path) -> None:
    """Steps, plain lines, journal, results and ledger are there in order, with complete ids; the last row is a path."""
    with terminal(80, 24, said) as tty, TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
        with tty.running("demo", env={**env, "TERM": "xterm-256color"}, cwd=folder) as child:
            code = tty.exit_code(child)
        assert code == 0, str(tty)
        if find_spec("htpy") is not None:
            assert tty.rows[-1] == str(Path(folder).resolve() / "ochy-demo" / "index.html")
            assert Path(tty.rows[-1]).is_file()
        steps = (
            *EARLIER_ROWS,
            "Simulated results",
            "1. Start a batch",
            "Killed, with 6",
            "The journal after the kill",
            "2. Run the same",
        )
        steps += (
            "being looked up",
            "12 of 12,",
            "12 clips: 12 analyzed.",
            "3. Run it a third",
            "requests sent for this table: 0",
        )
        steps += ("The emulator's ledger", "12 credits for 12 clips", "Simulated results")
        at = 0
        for step in steps:
            at = tty.text.find(without_whitespace(step), at) + 1
            assert at, f"{step!r} is missing or out of order\n{tty}"
        assert tty.text.count("being looked up".replace(" ", "")) == 1, str(tty)
        assert (
            len(re.findall(r"^│ started +│.*[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} │$", tty.all, re.MULTILINE))
            == 5
        ), str(tty)
        assert "━━╸" not in tty.all, str(tty)
        assert tty.cursor_visible, str(tty)


# --- streams --------------------------------------------------------------------------------------


def test_results_in_a_file_and_progress_on_the_terminal(harness: CliHarness, said: Path, tmp_path: Path) -> None:
    """The display is shown, each clip has a line with its score, and the file holds only JSON."""
    with terminal(80, 24, said) as tty, (tmp_path / "out").open("w") as out:
        with analyzing(harness, tty, *some_clips(harness, 5), "--json", stdout=out) as child:
            tty.wait_until(lambda: "of 5 clips" in tty.on_screen)
            tty.exit_code(child)
        found = [json.loads(line)["outcome"] for line in (tmp_path / "out").read_text().splitlines()]
        assert sorted(found) == ["analyzed"] * 4 + ["failed"]
        text_ = [line for line in tty.rows if re.search(r"\d of 5, ", line)]
        assert len(text_) == 5, str(tty)
        assert tty.all.count("analyzed, score 0.") + tty.text.count("analyzed,score0.") >= 4, str(tty)
        assert "clips  ━" not in tty.all, str(tty)
        assert tty.text.startswith(without_whitespace("".join(EARLIER_ROWS))), str(tty)


def test_progress_in_a_file_and_results_on_the_terminal(harness: CliHarness, said: Path, tmp_path: Path) -> None:
    """The file holds plain lines without control sequences, and the screen shows the results."""
    with terminal(80, 24, said) as tty, (tmp_path / "err").open("w") as err:
        with analyzing(harness, tty, *some_clips(harness, 5), stderr=err) as child:
            tty.exit_code(child)
        text_ = (tmp_path / "err").read_text()
        assert ("\x1b" in text_, text_.count(" of 5, ")) == (False, 5)
        assert "score" not in text_  # a log of some machine is no place for health data
        assert all(tty.text.count(each) == 1 for each in harness.ids if f"{each} failed" not in text_), str(tty)
        assert "\x1b[?25l" not in tty.received.decode()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}], ids=str)
def test_some_terminals_get_plain_lines(env: dict[str, str], harness: CliHarness, said: Path) -> None:
    """Those without colors, without cursor control, and logs of CI systems."""
    plainly(harness, said, env=env)


@pytest.mark.parametrize("flag", ["--no-progress", "--quiet"])
def test_plain_lines_on_request(flag: str, harness: CliHarness, said: Path) -> None:
    """Nothing is drawn that would be removed again."""
    plainly(harness, said, flag)


def plainly(harness: CliHarness, said: Path, *args: str, **how: Any) -> None:
    with terminal(80, 24, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 5), *args, **how) as child:
            tty.exit_code(child)
        tty.check()
        assert not re.search(rb"\x1b\[[0-9]*[A-HJKhl]", tty.received), tty.received


# --- ends -----------------------------------------------------------------------------------------


@pytest.fixture
def slow_harness(tmp_path: Path) -> Generator[CliHarness]:
    """A harness whose analyses take a day."""
    settings = world(analysis_seconds=(86_400, 86_400), concurrent_analyses=50, listing_lag=3600)
    with cli_harness(settings, tmp_path / "clips") as opened:
        yield opened


@SIZED
def test_the_first_interrupt_leaves_the_terminal_in_order(
    columns: int, lines: int, harness: CliHarness, said: Path
) -> None:
    """Ctrl-C once: clips in progress are finished, and the ^C that the terminal echoes tears nothing."""
    with terminal(columns, lines, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 30), "--in-flight", "12") as child:
            tty.wait_until(lambda: "0.7" in tty.text or "0.8" in tty.text)
            tty.type("\x03")
            code = tty.exit_code(child)
        assert code == 130, str(tty)
        tty.check()
        assert tty.text.count("Stopping:") == 1, str(tty)


@SIZED
def test_the_second_interrupt_removes_the_display(
    columns: int, lines: int, slow_harness: CliHarness, said: Path
) -> None:
    """Ctrl-C twice: the display is removed at once, and the summary is printed."""
    with terminal(columns, lines, said) as tty:
        with analyzing(slow_harness, tty, *some_clips(slow_harness, 30)) as child:
            tty.wait_until(lambda: "waiting" in tty.on_screen and len(slow_harness.ids) > 10)
            tty.type("\x03")
            tty.wait_until(lambda: "Stopping" in tty.text)
            tty.type("\x03")
            code = tty.exit_code(child)
        assert code == 130, str(tty)
        tty.check()
        assert "Stopped." in tty.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_from_other_processes(number: signal.Signals, slow_harness: CliHarness, said: Path) -> None:
    """SIGTERM has the effect of Ctrl-C."""
    with terminal(80, 24, said) as tty:
        with analyzing(slow_harness, tty, *some_clips(slow_harness, 30)) as child:
            tty.wait_until(lambda: "waiting" in tty.on_screen)
            child.send_signal(number)
            tty.wait_until(lambda: "Stopping" in tty.text)
            child.send_signal(number)
            code = tty.exit_code(child)
        assert code == 130, str(tty)
        tty.check()


def test_a_kill_leaves_the_cursor(slow_harness: CliHarness, said: Path) -> None:
    """A killed program cannot clean up, but the lines above the display stay, and the cursor is visible."""
    with terminal(80, 24, said) as tty:
        with analyzing(slow_harness, tty, *some_clips(slow_harness, 30)) as child:
            tty.wait_until(lambda: "waiting" in tty.on_screen)
            child.kill()
            tty.exit_code(child)
        assert tty.cursor_visible, str(tty)
        assert tty.text.startswith(tty.printed), str(tty)


@SIZED
def test_a_crash_leaves_the_terminal_in_order(columns: int, lines: int, harness: CliHarness, said: Path) -> None:
    """After an error of our own during a run the display is removed, and its traceback is complete."""
    crash = """
import ochy_async.cli.display.results as results
def crash(outcome):
    raise RuntimeError("a fault of ours")
results.result_line = crash
"""
    with terminal(columns, lines, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 30), patch=crash) as child:
            code = tty.exit_code(child)
        assert code == 1, str(tty)
        assert tty.text.startswith(without_whitespace("".join(EARLIER_ROWS))), str(tty)
        assert tty.text.endswith(without_whitespace("RuntimeError: a fault of ours")), str(tty)
        assert "clips  ━" not in tty.all, str(tty)
        assert tty.cursor_visible, str(tty)


def test_an_error_of_the_run_is_printed_last(harness: CliHarness, said: Path) -> None:
    """A key that is refused during a run: the message is complete, and the display is removed."""
    with terminal(80, 24, said) as tty:
        env = {"OCHY_API_KEY": "another key"}
        with analyzing(harness, tty, *some_clips(harness, 5), env=env) as child:
            code = tty.exit_code(child)
        assert code == 3, str(tty)
        tty.check()


# --- the display itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(120, 40), (80, 50), (80, 12), (100, 6)], ids=str)
def test_resizing_loses_no_line(size: tuple[int, int], harness: CliHarness, said: Path) -> None:
    """A window that is drawn larger or lower may leave a half bar, but every line that lasts is there, in order.

    Terminals differ in what they do with rows that are wider than the new window, so none is made narrower here.
    """
    with terminal(80, 24, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 30), "-v") as child:
            tty.wait_until(lambda: "of 30 clips" in tty.on_screen and len(harness.ids) > 5)
            tty.resize(*size)
            tty.exit_code(child)
        at = 0
        for line in (*EARLIER_ROWS, *tty.printed_file.read_text().splitlines()):
            found = tty.text.find(without_whitespace(line), at)
            assert found >= 0, f"{line!r} is missing or out of order\n{tty}"
            at = found + len(without_whitespace(line))
        assert tty.cursor_visible, str(tty)


@SIZED
def test_rows_fit_the_screen(columns: int, lines: int, slow_harness: CliHarness, said: Path) -> None:
    """At most half of the screen is the display, which counts the other clips; no row is too wide for it."""
    with terminal(columns, lines, said) as tty:
        with analyzing(slow_harness, tty, *reversed(some_clips(slow_harness, 30))) as child:
            tty.wait_until(lambda: len(slow_harness.ids) == 30)
            tty.wait_until(lambda: "\n0 of 30 clips, 30 credits spent" in tty.on_screen)
            tty.wait_until(lambda: re.search(r"analyzing(.|\n)*\n\+ \d+ more: .*$", tty.on_screen.rstrip()))
            bars = tty.on_screen.rstrip().splitlines()
            child.kill()
        first = next(number for number, row in enumerate(bars) if row.startswith("0 of 30 clips, 30 credits spent"))
        drawn = bars[first:]
        assert len(drawn) <= lines // 2, str(tty)
        shown = [row for row in drawn if re.search(r" {2}(\d+ %|waiting \d+:\d\d)$", row)]
        assert len(shown) >= len(drawn) - 2, str(tty)


def test_an_uncertain_start_is_shown_while_it_is_looked_up(slow_harness: CliHarness, said: Path) -> None:
    """The row shows the lookup, the time left and that Ctrl-C is safe; no such line remains afterwards."""
    slow_harness.faults(START, DisconnectAfter(charged=True))
    slow_harness.clips("doubt.mp4")
    with terminal(80, 24, said) as tty:
        with analyzing(slow_harness, tty, str(slow_harness.folder), "--out", str(slow_harness.folder / "out")) as child:
            tty.wait_until(lambda: re.search(r"doubt.mp4 +lookup \d of \d, \d+ s left; Ctrl-C is safe", tty.on_screen))
            child.send_signal(signal.SIGINT)
            tty.exit_code(child)
        tty.check()
        assert not re.search(r"lookup\dof", tty.text), str(tty)


def test_uploads_have_a_speed(slow_harness: CliHarness, said: Path) -> None:
    """Percentage and bytes per second are complete."""
    slow_harness.faults(START, Throttle(3_000_000, direction="upload"))
    (slow_harness.folder / "large.mp4").write_bytes(CLIP + bytes(20_000_000))
    with terminal(80, 24, said) as tty, analyzing(slow_harness, tty, str(slow_harness.folder)) as child:
        tty.wait_until(lambda: re.search(r"large.mp4 +uploading +━+╺?╸?━* +\d+ %  \d+(\.\d+)? [kM]B/s", tty.on_screen))
        child.kill()


def test_quiet_prints_results_and_failures(harness: CliHarness, said: Path) -> None:
    """No counts, no advice, no warnings."""
    with terminal(300, 24, said) as tty:  # wide enough for every message
        with analyzing(harness, tty, *some_clips(harness, 5), "--quiet") as child:
            assert tty.exit_code(child) == 1
        tty.check()
        text = tty.printed_file.read_text().splitlines()
    failed = [line for line in text if "failed" in line]
    assert (len(text), len(failed)) == (5, 1), text


def test_drawing_is_limited(harness: CliHarness, said: Path) -> None:
    """Thousands of events per second are drawn about eight times per second."""
    begun = time.monotonic()
    with terminal(80, 24, said) as tty:
        with analyzing(harness, tty, *some_clips(harness, 30), "-v") as child:
            tty.exit_code(child)
        seconds = time.monotonic() - begun
        drawn = tty.received.count(b"of 30 clips")
        assert drawn < 25 * seconds + 10, f"{drawn} drawings in {seconds:.1f} s"
        tty.check()


# --- deliveries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "rows"), [(120, 1), (80, 2), (40, 3)])
def test_the_id_of_a_delivery_is_never_folded(columns: int, rows: int, said: Path) -> None:
    """Where it does not fit, it is on a row of its own; Ctrl-C ends with the summary on a fresh row."""
    port = free_port()
    analysis_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    body = json.dumps({"event": "analysis.completed", "video_id": analysis_id, "status": "success", "sequence": 9})
    env = {**os.environ, "TERM": "xterm-256color", "OCHY_WEBHOOK_TOKEN": HOOK_TOKEN}
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    with (
        terminal(columns, 24, said) as tty,
        tty.running("webhook", "listen", "--port", str(port), env=env) as child,
    ):
        tty.wait_until(lambda: "Listening" in tty.all)
        url, json_type = f"http://127.0.0.1:{port}/{HOOK_TOKEN}", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), json_type)) as answer:
            assert answer.status == 204
        tty.wait_until(lambda: analysis_id in tty.all)
        begin = next(number for number, row in enumerate(tty.rows) if "analysis.completed" in row)
        end = next(number for number, row in enumerate(tty.rows) if analysis_id in row)
        tty.type("\x03")
        assert tty.exit_code(child) == 0
        assert end - begin + 1 == rows, str(tty)
        assert "1 delivery." in tty.rows
        tty.check()
