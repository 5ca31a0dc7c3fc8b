"""What the command line does without a network: exit codes, outcomes, tables, quoting, and lazy loading."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_harness import CliRunner, click

# isort: split
from rich.cells import cell_len
from rich.console import Console

from ochy_async import SideView, Uncertain, __version__, errors
from ochy_async.batch.uncertain_text import lookup_text
from ochy_async.cli.app import COMMANDS, ochy
from ochy_async.cli.display.progress import ProgressDisplay, cell_width, shorten
from ochy_async.cli.display.reporter import Reporter
from ochy_async.cli.display.tables import TextTable, render_table
from ochy_async.cli.display.uncertain import ResolveCommands, uncertain_lines
from ochy_async.cli.exit_codes import MEANINGS, ExitCode, exit_code_of, most_severe
from ochy_async.cli.outcomes import OUTCOMES, CommandOutcome, outcome_of_error
from ochy_async.cli.quoting import ShellCommand, command_line
from ochy_async.errors import StartAttempt
from ochy_async.events import ReconciliationAttempted
from ochy_async.protocol.analysis_list import ListedAnalysis
from ochy_async.protocol.side_view import SideViewCalculated
from ochy_async.protocol.text_summary import format_number, format_pace, printable

LATE = ("aiohttp", "anyio", "rich", "ochy_async.session", "ochy_async.emulator.server")


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603


# --- loading --------------------------------------------------------------------------------------

HELPED = f"""
import sys
from ochy_async.cli import main
try:
    main()
except SystemExit:
    print([name for name in {LATE!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_loads_nothing_heavy(flag: str) -> None:
    """The help of the group and the version load no network library and no terminal library."""
    done = python(HELPED, flag)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_exists(name: str) -> None:
    """Each line of the table leads to a command with its own help."""
    result = CliRunner().invoke(ochy, [name, "--help"])
    assert (result.exit_code, f"{name} [OPTIONS]" in result.output) == (0, True)


def test_the_help_names_commands_and_exit_codes() -> None:
    """It shows both tables."""
    text = CliRunner().invoke(ochy, ["--help"]).output
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(f"  {int(code)} " in text for code in MEANINGS)
    assert __version__ in CliRunner().invoke(ochy, ["--version"]).output


BLOCKED = """
import sys
sys.modules[{0!r}] = None
from ochy_async.cli import main
main()
"""


@pytest.mark.parametrize("package", ["click", "platformdirs", "rich"])
def test_a_missing_extra_is_named_with_its_install_command(package: str) -> None:
    """The error prints the exact install command; exit code 2."""
    done = python(BLOCKED.format(package), "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'ochy-async[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_core_package_gets_no_install_hint() -> None:
    """A broken installation shows its own error."""
    done = python(BLOCKED.format("attrs"), "demo")
    assert done.returncode == 1
    assert "ochy-async[cli]" not in done.stderr


def test_the_module_can_be_run() -> None:
    """`python -m ochy_async.cli` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "ochy_async.cli", "--version"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout == f"ochy {__version__}\n"


# --- exit codes and outcomes ----------------------------------------------------------------------


def all_errors() -> list[type[errors.OchyError]]:
    found = [errors.OchyError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_has_an_exit_code_and_an_outcome(kind: type[errors.OchyError]) -> None:
    """No error is missing from the tables, and none counts as success."""
    error = kind("it went wrong")
    assert exit_code_of(error) is not ExitCode.OK
    assert outcome_of_error(error) in OUTCOMES[1:]


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 5, 0], 5),
        ([5, 4, 1], 4),
        ([4, 3, 5], 3),
        ([3, 130, 4], 130),
    ],
)
def test_the_most_severe_code_wins(codes: list[int], code: int) -> None:
    """130 before 3 before 4 before 5 before 1."""
    assert most_severe(map(ExitCode, codes)) == code


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errors.AnalysisFailed(), "failed"),
        (errors.WaitTimeout(), "unfinished"),
        (errors.ServerError(), "unfinished"),
        (errors.KeyRefused(), "unfinished"),
        (errors.UnreadableAnswer(), "unfinished"),
        (errors.NotFound(), "refused"),
    ],
)
def test_the_outcome_of_an_error(error: errors.OchyError, word: str) -> None:
    """A paid analysis is unfinished, unless it failed at the server or is unknown there."""
    assert outcome_of_error(error) == word


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"word": "analyzed"}, 0),
        ({"word": "analyzed", "missing": ("calculated",)}, 1),
        ({"word": "refused"}, 1),
        ({"word": "refused", "error": errors.ClipUnusable()}, 1),
        ({"word": "failed"}, 1),
        ({"word": "unfinished"}, 1),
        ({"word": "unfinished", "error": errors.KeyRefused()}, 3),
        ({"word": "unfinished", "error": errors.BuyCredits()}, 4),
        ({"word": "uncertain"}, 5),
        ({"word": "uncertain", "error": errors.ServerError()}, 5),
    ],
)
def test_the_exit_code_of_an_outcome(facts: dict[str, Any], code: int) -> None:
    """An incomplete outcome is no success, and an uncertain one always has its own code."""
    assert CommandOutcome(**facts).exit_code == code


def test_links_stay_out_of_the_json() -> None:
    """Links under unknown keys are masked too."""
    calculated = SideViewCalculated()
    calculated.raw.update({"a": [{"later": "https://store/x?signature=1"}], "output_video": "https://store/y", "b": 1})
    line = CommandOutcome(word="analyzed", calculated=calculated).json_line()
    assert json.loads(line)["calculated"] == {"a": [{"later": "[link]"}], "b": 1}


@pytest.mark.parametrize("percentage", [None, -5.0, 45.0, 100.0, 250.0, float("nan")])
def test_the_display_accepts_any_percentage(percentage: float | None) -> None:
    """Percentages may be missing, decrease or exceed 100; ids may be unknown, and clips may be removed twice."""
    display = ProgressDisplay(3)
    display.set_totals(5, "5 credits spent")
    display.upload_progress("a.mp4", 5, 10)
    display.analysis_started("a.mp4", "id-1")
    display.analysis_progress("id-1", "analyzing", percentage)
    display.analysis_progress("unknown", "analyzing", percentage)
    display.remove("a.mp4", "id-1")
    display.remove("a.mp4", "id-1")


@pytest.mark.parametrize(
    ("name", "most", "shown"),
    [
        ("short.mp4", 20, "short.mp4"),
        ("a-very-long-name.mp4", 12, "a-very…e.mp4"),
        ("日本語の名前.mp4", 10, "日本….mp4"),
        ("e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", 5, "e\u0301e\u0301…e\u0301e\u0301"),
        ("🏃🏽🏃🏽🏃🏽", 7, "🏃🏽🏃…"),
        ("name", 1, "…"),
        ("name", 0, ""),
    ],
)
def test_names_are_cut_in_the_middle(name: str, most: int, shown: str) -> None:
    """Measured in cells, never too wide, and an accent stays with its letter."""
    assert shorten(name, most) == shown
    assert cell_width(shown) <= most


@pytest.mark.parametrize("width", [1, 5, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("most", [1, 2, 3, 12, 50])
def test_rows_fit_any_terminal(width: int, most: int) -> None:
    """However narrow or low it is; from 40 cells on, percentages and waiting times are complete."""
    display = ProgressDisplay(30)
    display.set_totals(3, "12 credits spent, 1 uncertain")
    display.show_notice("POST /analysis/start: attempt 1 failed (ServerError); again in 3.0 s", 60)
    for each in range(20):
        display.analysis_started(f"clip {each:02} 日本語🏃🏽.mp4", f"id-{each}")
    display.analysis_progress("id-3", "analyzing", 61)
    display.lookup_progress("clip 04 日本語🏃🏽.mp4", "lookup 3 of 7", 48)
    console = Console(width=width, height=2 * most, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as drawn:
        console.print(display)
    rows = drawn.get().splitlines()
    assert len(rows) <= most
    assert max(map(cell_len, rows)) <= width
    if width >= 40 and most == 50:
        assert len([row for row in rows if row.rstrip().endswith(("61 %", "waiting 0:00"))]) == 19
        assert any("lookup 3 of 7, 48 s left" in row for row in rows) or width < 60


def test_the_time_left_needs_a_finished_clip() -> None:
    """Only clips that were shown in progress count, not those that an earlier run finished."""
    display = ProgressDisplay(4)
    display.set_totals(1, "")
    display.remove("done before.mp4", "id-0")
    assert "left" not in row_of(display)
    display.analysis_started("a.mp4", "id-1")
    display.remove("a.mp4", "id-1")
    display.set_totals(2, "")
    assert row_of(display).endswith("0:00, 1 s left")


def row_of(display: ProgressDisplay) -> str:
    console = Console(width=80, height=24, color_system=None, file=io.StringIO())
    with console.capture() as drawn:
        console.print(display)
    return drawn.get().splitlines()[0].rstrip()


def every_command(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from every_command(command, *above, name)


@pytest.mark.parametrize("words", [*every_command(ochy)], ids=" ".join)
def test_every_command_has_the_verbosity_options(words: tuple[str, ...]) -> None:
    """Every command and subcommand has the four options once."""
    text = CliRunner().invoke(ochy, [*words, "--help"]).output
    for option in ("-q, --quiet", "--no-progress", "-v, --verbose", "--debug"):
        assert len(re.findall(rf"^  {option} ", text, re.MULTILINE)) == 1, text


@pytest.mark.parametrize(
    ("words", "env", "message"),
    [
        (["--quiet", "doctor", "--debug"], {}, "--quiet cannot be combined"),
        (["doctor"], {"OCHY_LOG": "loud"}, "OCHY_LOG must be one of"),
    ],
)
def test_contradictory_verbosity_is_refused(words: list[str], env: dict[str, str], message: str) -> None:
    """The exit code is 2."""
    result = CliRunner().invoke(ochy, words, env=env)
    assert (result.exit_code, message in result.output) == (2, True), result.output


# --- tables ---------------------------------------------------------------------------------------

ID = "3f0c9b6e-5d0f-4f5e-9d5e-0123456789ab"


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("columns", [("clip", "analysis"), ("state", "clip", "analysis", "key", "reason")])
def test_ids_in_tables_are_complete(columns: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and reasons are folded, ids and keys never; if they do not fit, each row becomes a record."""
    monkeypatch.setenv("COLUMNS", str(width))
    cells_ = {"clip": "日本語の" * 9 + ".mp4", "analysis": ID, "key": "0a1b2c3d4e5f", "state": "started"}
    row = tuple(
        cells_.get(name, "It was cut off in the midst of an answer, and nobody knows more.") for name in columns
    )
    (drawn,) = render_table(TextTable("Table", columns, (row, row)))
    assert drawn.count(ID) == 2
    assert drawn.count("0a1b2c3d4e5f") == 2 * ("key" in columns)
    assert max(map(cell_len, drawn.splitlines())) <= width or "┃" not in drawn


def test_the_display_accepts_more_clips_than_lines() -> None:
    """A batch may have more clips in progress than the terminal has lines."""
    display = ProgressDisplay(100)
    for clip in range(50):
        display.upload_progress(f"{clip}.mp4", 1, 2)
        display.analysis_started(f"{clip}.mp4", f"id-{clip}")
    for clip in range(50):
        display.remove(f"{clip}.mp4", f"id-{clip}")


def test_finished_clips_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each finished clip is one line, whatever its name contains."""
    with Reporter(total=2) as reporter:
        reporter.finish(CommandOutcome(word="analyzed", clip="a.mp4"))
        reporter.finish(CommandOutcome(word="refused", clip="b\x1b[2J\n.mp4", reason="It is empty."))
    text = capsys.readouterr()
    assert text.err == "1 of 2, a.mp4: analyzed\n2 of 2, b\ufffd[2J\ufffd.mp4: refused: It is empty.\n"
    assert text.out == ""


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"attempt": 3, "seconds_left": 48.2, "server_answered": True},
            "a.mp4: lookup 3 of 7, 48 s left; Ctrl-C is safe\n",
        ),
        (
            {"attempt": 1, "seconds_left": 120.0, "server_answered": False},
            "a.mp4: lookup 1 of 7, the server could not be reached, 2:00 left; Ctrl-C is safe\n",
        ),
        (
            {"attempt": 7, "seconds_left": 0.0, "next_in": None, "server_answered": True},
            "a.mp4: lookup 7 of 7; Ctrl-C is safe\n",
        ),
    ],
)
def test_lookups_are_reported(facts: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each lookup of an uncertain start is a line."""
    usual: dict[str, Any] = {"clip": "a.mp4", "max_attempts": 7, "next_in": 5.0}
    event = ReconciliationAttempted(**{**usual, **facts})
    with Reporter() as reporter:
        reporter.listen(event)
    assert capsys.readouterr().err == message


# --- text -----------------------------------------------------------------------------------------


def test_control_characters_are_replaced() -> None:
    """Texts from a server and file names cannot control the terminal."""
    assert printable("ab\x1b[2J\r\nc\x07") == "ab\ufffd[2J\ufffd\ufffdc\ufffd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (format_number(None, "ms"), "–"),
        (format_number(279.6, "ms"), "280 ms"),
        (format_number(0.372, digits=2), "0.37"),
        (format_pace(None), "–"),
        (format_pace(timedelta(seconds=471.03)), "7:51 /km"),
        (format_pace(timedelta(seconds=359.7)), "6:00 /km"),
    ],
)
def test_how_numbers_are_written(text: str, words: str) -> None:
    """A missing number is a dash, and seconds never reach sixty."""
    assert text == words


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        (["clips.journal", "a.mp4"], "ochy journal show clips.journal a.mp4"),
        (["my clips/a b.mp4"], "ochy journal show 'my clips/a b.mp4'"),
        (["it's.mp4", '"q".mp4'], """ochy journal show 'it'"'"'s.mp4' '"q".mp4'"""),
        (["$(reboot).mp4"], "ochy journal show '$(reboot).mp4'"),
        (["-x.mp4"], "ochy journal show -- -x.mp4"),
        (["line\nbreak's.mp4"], "ochy journal show $'line\\x0abreak\\x27s.mp4'"),
        (["\udcff.mp4"], "ochy journal show $'\\xff.mp4'"),
    ],
)
def test_commands_can_be_pasted(operands: list[str], message: str) -> None:
    """A shell passes every name unchanged."""
    assert command_line("ochy", "journal", "show", operands=operands) == message


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("name", ["a b", "it's", '"', "$HOME `x` \\", "\n", "\t\x1b[2J", "\udcff\udc80", "é\u200b", ""])
def test_a_shell_reads_commands_back(name: str) -> None:
    """Bash reads the exact name from a printed command."""
    script = command_line("printf", "%s\\0", operands=[name])
    done = subprocess.run(["bash", "-c", os.fsencode(script)], capture_output=True, check=True)  # noqa: S603, S607
    assert done.stdout == os.fsencode(name) + b"\0"


VALUED = frozenset({"--max-credits", "--journal"})
TYPED = ShellCommand(
    ("ochy", "analyze"), ("a.mp4", "--max-credits", "3", "--again", "--journal", "--again", "--", "--again"), VALUED
)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (TYPED, "a.mp4 --max-credits 3 --again --journal --again -- --again"),
        (TYPED.without("--again"), "a.mp4 --max-credits 3 --journal --again -- --again"),
        (TYPED.without("--max-credits"), "a.mp4 --again --journal --again -- --again"),
        (TYPED.with_value("--max-credits", "5"), "a.mp4 --max-credits 5 --again --journal --again -- --again"),
        (TYPED.with_value("--out", "a b"), "--out 'a b' a.mp4 --max-credits 3 --again --journal --again -- --again"),
        (ShellCommand(("ochy",), ("--max-credits=3", "a")).with_value("--max-credits", "5"), "--max-credits 5 a"),
        (ShellCommand(("ochy",), ("a",)).with_flag("--again"), "--again a"),
    ],
)
def test_a_command_is_repeated_with_a_change(command: ShellCommand, words: str) -> None:
    """Options are distinguished from their values, and from operands after `--`."""
    assert str(command) == f"{' '.join(command.name)} {words}"


# --- control characters -----------------------------------------------------------------------------

RED = "\x1b[31m"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("analyze", f"m{RED}.csv"), id="manifest"),
        pytest.param(("check", f"m{RED}.csv"), id="manifest, checked"),
        pytest.param(("check", f"m{RED}.csv", "--json"), id="manifest, as JSON"),
        pytest.param(("analyze", f"none{RED}.mp4"), id="clip"),
        pytest.param((f"analyze{RED}",), id="command"),
        pytest.param(("analyze", f"--out{RED}"), id="option"),
        pytest.param(("analyze", "a.mp4", "--view", f"side{RED}"), id="choice"),
        pytest.param(("analyze", "a.mp4", "--height", f"1{RED}"), id="number"),
        pytest.param(("journal", f"show{RED}"), id="command of a group"),
        pytest.param(("journal", "show", f"{RED}.journal"), id="journal"),
        pytest.param(("exercises", "--from", f"{RED}.json"), id="file"),
        pytest.param(("wait", f"{RED}id", "--key-file", f"key{RED}"), id="key file"),
    ],
)
def test_no_name_reaches_the_terminal_as_a_command(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of files, options and manifests cannot color, move or retitle anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"m{RED}.csv").write_text(f"file,view,{RED}\na{RED}.mp4,nope{RED},1\n")
    result = CliRunner().invoke(ochy, words, color=True, prog_name="ochy")
    assert result.exit_code != 0
    assert result.output
    assert RED not in result.output


# --- uncertain starts -------------------------------------------------------------------------------


def uncertain(candidates: int) -> Uncertain:
    """A start that may have become so many analyses of an account that lists no times."""
    listed = tuple(ListedAnalysis(analysis_id=f"a{number}") for number in range(candidates))
    start = StartAttempt("run.mp4", "side_view", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    reason = lookup_text(start, listed, reached=True, error=None)
    return Uncertain(
        index=0,
        label="run.mp4",
        clip=Path("run.mp4"),
        request=SideView(),
        key="k" * 64,
        start=start,
        size=1,
        cause="Lost.",
        reached=True,
        candidates=listed,
        reason=reason,
    )


@pytest.mark.parametrize(("candidates", "said"), [(7, "one of 7 analyses"), (100, "one of 100 or more analyses")])
def test_many_candidates_of_an_uncertain_start_are_not_all_printed(candidates: int, said: str) -> None:
    """Five are named, with a command each; the others are counted."""
    outcome = uncertain(candidates)
    assert said in outcome.reason
    lines = list(uncertain_lines(CommandOutcome.of(outcome), ResolveCommands(repeat="ochy analyze", journal=("j",))))
    assert sum(line.strip().startswith("a") and line.strip()[1:].isdigit() for line in lines) == 5
    assert f"    and {candidates - 5} more" in lines
    assert len([line for line in lines if " adopt " in line]) == 5
