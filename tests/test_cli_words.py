"""What the command line decides without a network: exit codes, outcomes, sheets, and what is loaded when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from click.testing import CliRunner

from ochy_async import __version__, errors
from ochy_async.cli.app import COMMANDS, ochy
from ochy_async.cli.bars import Bars
from ochy_async.cli.exits import MEANINGS, Exit, exit_of, worst
from ochy_async.cli.outcomes import Kind, Outcome, kind_of, line_of
from ochy_async.cli.run import Errand
from ochy_async.cli.sheets import clean, number, pace
from ochy_async.protocol.side_view import SideViewCalculated

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
    """The help of the group and the version need no network and no terminal library."""
    done = python(HELPED, flag)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_exists(name: str) -> None:
    """Each line of the table leads to a command that can tell its own help."""
    result = CliRunner().invoke(ochy, [name, "--help"])
    assert (result.exit_code, f"{name} [OPTIONS]" in result.output) == (0, True)


def test_the_help_names_commands_and_exit_codes() -> None:
    """The two tables are what the help shows."""
    told = CliRunner().invoke(ochy, ["--help"]).output
    assert all(f"  {name} " in told for name in COMMANDS)
    assert all(f"  {int(code)} " in told for code in MEANINGS)
    assert __version__ in CliRunner().invoke(ochy, ["--version"]).output


BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {0!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from ochy_async.cli import main
main()
"""


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_extra_is_named_with_its_install_command(package: str) -> None:
    """Without click or rich the exact install command is told, exit code 2."""
    done = python(BLOCKED.format(package), "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'ochy-async[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_core_package_is_no_matter_of_the_extra() -> None:
    """A broken installation is not covered up by the hint."""
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
def test_every_error_has_an_exit_code_and_a_kind(kind: type[errors.OchyError]) -> None:
    """No error falls through the tables, and none is taken for a success."""
    error = kind("it went wrong")
    assert exit_of(error) is not Exit.OK
    assert Kind.ANALYSED not in {kind_of(error, paid=paid) for paid in (True, False)}


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
def test_the_weightiest_code_wins(codes: list[int], code: int) -> None:
    """130 before 3 before 4 before 5 before 1."""
    assert worst(map(Exit, codes)) == code


@pytest.mark.parametrize(
    ("error", "paid", "kind"),
    [
        (errors.ClipUnusable(), False, Kind.REFUSED),
        (errors.ClipRefused(), False, Kind.REFUSED),
        (errors.BuyCredits(), False, Kind.REFUSED),
        (errors.UncertainStart(), False, Kind.UNCERTAIN),
        (errors.ServerTrouble(), False, Kind.NOT_STARTED),
        (errors.RateLimited(), False, Kind.NOT_STARTED),
        (errors.AnalysisFailed(), True, Kind.FAILED),
        (errors.WaitTimeout(), True, Kind.UNFINISHED),
        (errors.ServerTrouble(), True, Kind.UNFINISHED),
        (errors.KeyRefused(), True, Kind.UNFINISHED),
        (errors.UnreadableAnswer(), True, Kind.UNFINISHED),
        (errors.NotFound(), True, Kind.REFUSED),
    ],
)
def test_what_an_error_means_for_a_clip(error: errors.OchyError, paid: bool, kind: Kind) -> None:
    """The same error means another thing once the analysis is paid for."""
    assert kind_of(error, paid=paid) is kind


@pytest.mark.parametrize(("kind", "owed"), [(None, True), (Kind.UNFINISHED, True), (Kind.FAILED, False)])
def test_what_is_owed(kind: Kind | None, owed: bool) -> None:
    """Paid for and not brought home, unless there is nothing to bring."""
    assert Errand(started="a1", ended=kind).owed is owed
    assert not Errand(clip="a.mp4", ended=kind).owed


def test_links_stay_out_of_the_json() -> None:
    """Links under names that nobody foresaw are masked too."""
    calculated = SideViewCalculated()
    calculated.raw.update({"a": [{"later": "https://store/x?signature=1"}], "output_video": "https://store/y", "b": 1})
    line = line_of(Outcome(kind=Kind.ANALYSED, calculated=calculated))
    assert json.loads(line)["calculated"] == {"a": [{"later": "[link]"}], "b": 1}


@pytest.mark.parametrize("percentage", [None, -5.0, 45.0, 100.0, 250.0, float("nan")])
def test_bars_take_any_percentage(percentage: float | None) -> None:
    """Percentages are missing, fall and exceed 100; ids may be unknown, and endings come twice."""
    bars = Bars()
    bars.uploading("a.mp4", 5, 10)
    bars.started("a.mp4", "id-1")
    bars.analysing("id-1", "analyzing", percentage)
    bars.analysing("unknown", "analyzing", percentage)
    bars.forget("a.mp4", "id-1")
    bars.forget("a.mp4", "id-1")


# --- words ----------------------------------------------------------------------------------------


def test_nothing_drives_the_terminal() -> None:
    """Whatever a server or a file name says, the terminal is not made to obey."""
    assert clean("ab\x1b[2J\r\nc\x07") == "ab\ufffd[2J\ufffd\ufffdc\ufffd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (number(None, "ms"), "–"),
        (number(279.6, "ms"), "280 ms"),
        (number(0.372, digits=2), "0.37"),
        (pace(None), "–"),
        (pace(timedelta(seconds=471.03)), "7:51 /km"),
        (pace(timedelta(seconds=359.7)), "6:00 /km"),
    ],
)
def test_how_numbers_are_written(text: str, words: str) -> None:
    """What is missing is a dash; seconds never reach sixty."""
    assert text == words
