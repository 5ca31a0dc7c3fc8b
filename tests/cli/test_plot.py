"""`ochy plot`."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra plot: matplotlib is not installed")

from ochy_async.cli.exit_codes import ExitCode
from tests.support.cli_harness import FAST_POLLING, CliHarness, run_cli
from tests.support.report_folders import HOSTILE, record, report_folder, write_records

KNEE = ("--what", "knee")
SECOND = "run-1.analysis-1.raw_data.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with landmarks."""
    return report_folder(tmp_path_factory.mktemp("finished"))


def two(finished: Path, folder: Path, *, second: bytes | None = None, subject: str = "Ada") -> Path:
    """A results folder with two recordings of a runner. `second` replaces the second one's raw data."""
    names = [f"run-{number}.analysis-{number}.raw_data.json" for number in range(2)]
    write_records(folder, *(record(number, files=[name], subject=subject) for number, name in enumerate(names)))
    for name in names:
        (folder / name).write_bytes((finished / name).read_bytes())
    if second is not None:
        (folder / SECOND).write_bytes(second)
    return folder


def test_a_run_ends_with_figures(harness: CliHarness, tmp_path: Path) -> None:
    """From the clips to the figures: each analysis has one, and the folder and their number go to stdout."""
    clips, out = harness.clips("a.mp4", "b.mp4"), tmp_path / "results"
    kept = ("--out", str(out), "--keep", "raw-data")
    assert harness.ochy("analyze", *clips, "--view", "side", "--no-journal", *kept, *FAST_POLLING).exit_code == 0
    result = run_cli("plot", str(out), *KNEE, "--format", "svg")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{out / 'figures'}: 2 figures\n"
    names = sorted(path.name for path in (out / "figures").iterdir())
    assert [name.partition(".")[0] for name in names] == ["a", "b"]
    assert all(name.endswith(".svg") for name in names)


def test_only_the_user_may_read_the_files(finished: Path, tmp_path: Path) -> None:
    """Figures are health data."""
    if os.name == "nt":
        pytest.skip("Windows has no modes of files")
    folder = two(finished, tmp_path / "results") / "figures"
    assert run_cli("plot", str(folder.parent), *KNEE).exit_code == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_figures_are_replaced_and_other_files_stay(finished: Path, tmp_path: Path) -> None:
    """The same results give the same bytes, and no draft is left."""
    out = tmp_path / "new" / "out"
    words = ("plot", str(two(finished, tmp_path / "results")), *KNEE, "--out", str(out))
    assert run_cli(*words).exit_code == 0
    (out / "mine.pdf").write_text("mine", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run_cli(*words).exit_code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (tmp_path / "results" / "figures").exists()


def test_each_analysis_without_landmarks_is_named_and_the_others_are_drawn(finished: Path, tmp_path: Path) -> None:
    """How to get them is said once; the exit code says that something is missing."""
    folder = two(finished, tmp_path / "results")
    (folder / SECOND).unlink()
    result = run_cli("plot", str(folder), *KNEE)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "left out: run-1.mp4: no landmarks are stored\n" in result.stderr
    assert result.stderr.count("Landmarks of paid analyses cost nothing") == 1
    assert result.stdout.endswith("figures: 1 figure\n")


def test_a_folder_without_landmarks_has_no_figures(tmp_path: Path) -> None:
    """Every analysis is named; a clip that was not analyzed is not."""
    failed = record(2, outcome="failed", results=None, calculated=None)
    result = run_cli("plot", str(write_records(tmp_path, record(0), record(1), failed)))
    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stderr.count("no landmarks are stored") == 2
    assert "run-2" not in result.stderr
    assert result.stdout.endswith("figures: 0 figures\n")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no JSON", "it is not JSON"),
        (b'{"frames": {"0": {"p1": {"x": 1, "y": 2}}}}', "run-1.mp4: "),
        (b'{"frames": {}}', "run-1.mp4: "),
    ],
)
def test_landmarks_that_show_nothing_are_a_reason(finished: Path, tmp_path: Path, body: bytes, reason: str) -> None:
    """The other analysis is drawn."""
    result = run_cli("plot", str(two(finished, tmp_path / "results", second=body)), *KNEE)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stderr.startswith("left out: run-1.mp4: ")
    assert reason in result.stderr
    assert result.stdout.endswith("figures: 1 figure\n")


def test_an_angle_of_the_other_view_is_a_reason(finished: Path, tmp_path: Path) -> None:
    """It says what the view has."""
    result = run_cli("plot", str(two(finished, tmp_path / "results")), "--what", "pelvis")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "A side view shows hip, knee, ankle, elbow, trunk" in result.stderr


@pytest.mark.parametrize(("per", "name"), [("group", "group.side_view.png"), ("runner", "runner.Ada.side_view.png")])
def test_recordings_are_drawn_together(finished: Path, tmp_path: Path, per: str, name: str) -> None:
    """The mean of all runners, and the recordings of each."""
    folder = two(finished, tmp_path / "results")
    if per == "group":
        write_records(folder, *(record(n, files=[f"run-{n}.analysis-{n}.raw_data.json"]) for n in range(2)))
    result = run_cli("plot", str(folder), *KNEE, "--per", per, "--format", "png", "--dpi", "72")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [path.name for path in (folder / "figures").iterdir()] == [name]


def test_one_runner_is_no_group(finished: Path, tmp_path: Path) -> None:
    """The reason says how many are needed."""
    result = run_cli("plot", str(two(finished, tmp_path / "results")), "--per", "group")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "needs 2" in result.stderr


def test_clips_without_a_runner_count_each(finished: Path, tmp_path: Path) -> None:
    """The command says so, because the same person may be on several."""
    folder = two(finished, tmp_path / "results", subject="")
    result = run_cli("plot", str(folder), *KNEE, "--per", "group")
    assert result.exit_code == 0
    assert "2 analyses without a runner's name: each counts as a runner of its own" in result.stderr


def test_a_hostile_name_leads_nowhere(finished: Path, tmp_path: Path) -> None:
    """It is a text in the figure, and safe in the file's name."""
    folder = two(finished, tmp_path / "results", subject=f"../../{HOSTILE} $x$")
    before = sorted(tmp_path.rglob("*"))
    result = run_cli("plot", str(folder), *KNEE, "--per", "runner", "--names")
    assert (result.exit_code, result.stderr) == (0, "")
    (made,) = set(tmp_path.rglob("*")) - set(before) - {folder / "figures"}
    assert made.parent == folder / "figures"


def test_angles_may_be_written_in_capitals(finished: Path, tmp_path: Path) -> None:
    """As the panels write them."""
    result = run_cli("plot", str(two(finished, tmp_path / "results")), "--what", "Knee, HIP", "--format", "svg")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--what", "knee,shoulder"), "cannot show 'shoulder'"),
        (("--what", ""), "Choose from hip, knee"),
        (("--width", "nan"), "from 60 to 400"),
        (("--width", "10"), "60<=x<=400"),
        (("--dpi", "100000"), "72<=x<=2400"),
        (("--format", "eps"), "'pdf', 'png', 'svg'"),
        (("--per", "clip"), "'analysis', 'runner', 'group'"),
    ],
)
def test_odd_options_are_wrong_usage(finished: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Nothing is written."""
    folder = two(finished, tmp_path / "results")
    result = run_cli("plot", str(folder), *words)
    assert result.exit_code == ExitCode.USAGE
    assert said in " ".join(result.stderr.split())
    assert not (folder / "figures").exists()


def test_a_folder_without_results_is_wrong_usage(tmp_path: Path) -> None:
    """The message says what to give instead."""
    result = run_cli("plot", str(tmp_path))
    assert result.exit_code == ExitCode.USAGE
    assert "holds no results.jsonl" in result.stderr


def test_a_folder_that_cannot_be_made_is_an_error(finished: Path, tmp_path: Path) -> None:
    """It names the folder."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run_cli("plot", str(two(finished, tmp_path / "results")), "--out", str(tmp_path / "file" / "out"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be pasted."""
    monkeypatch.setattr("ochy_async.report.figures.find_spec", lambda _: None)
    result = run_cli("plot", str(write_records(tmp_path, record(0))))
    assert result.exit_code == ExitCode.USAGE
    assert "pip install 'ochy-async[plot]'" in result.stderr


def test_a_closed_stdout_loses_no_figure(finished: Path, tmp_path: Path) -> None:
    """`ochy plot | head -0` writes all figures, without a traceback."""
    folder = two(finished, tmp_path / "results")
    command = [sys.executable, "-m", "ochy_async.cli", "plot", str(folder), *KNEE]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert len(list((folder / "figures").iterdir())) == 2
