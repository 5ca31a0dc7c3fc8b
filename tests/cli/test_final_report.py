"""`--report` of `ochy analyze` and `ochy wait`: a report at the end, and what happens if there can be none."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_harness import FAST_POLLING, CliHarness, cli_process, json_lines, wait_until

REPORT = ("--view", "side", "--report")
HTPY = "needs the extra report: htpy is not installed"
HEADING = "The report, to open in a browser:\n"


def analyze(harness: CliHarness, out: Path, *args: str) -> Any:
    """Runs `ochy analyze` over the folder of clips."""
    return harness.analyze(str(harness.folder), *REPORT, "--out", str(out), *args)


def pages(out: Path) -> set[str]:
    """The names of the files of the report."""
    return {path.name for path in (out / "report").glob("*")}


def overview(out: Path) -> str:
    return (out / "report" / "index.html").read_text(encoding="utf-8")


def empty_results(out: Path) -> Path:
    """A folder with a table, as an earlier run has left it."""
    out.mkdir()
    (out / "results.jsonl").write_text("", encoding="utf-8")
    return out


def says(output: Path, text: str) -> bool:
    """Whether a process has printed this on stderr."""
    return text in (output / "stderr").read_text()


def commands(stderr: str) -> list[str]:
    """The commands that are to be pasted."""
    return [line.strip() for line in stderr.splitlines() if line.startswith("  ochy ")]


def test_analyze_ends_with_a_report_and_its_path(harness: CliHarness, tmp_path: Path) -> None:
    """A page for each clip, with curves: the raw data are kept, although only `--report` is given."""
    pytest.importorskip("htpy", reason=HTPY)
    harness.clips("a.mp4", "b.mp4")
    out = tmp_path / "out"
    result = analyze(harness, out)
    assert result.exit_code == 0
    assert result.stderr.endswith(f"{HEADING}  {out / 'report' / 'index.html'}\n")
    assert len(pages(out)) == 3
    assert len(list(out.glob("*.raw_data.json"))) == 2
    page = next(path for path in (out / "report").iterdir() if path.name.startswith("a."))
    assert "Knee flexion" in page.read_text(encoding="utf-8")
    assert "Simulated" not in page.read_text(encoding="utf-8")


def test_pages_of_the_emulator_say_so(harness: CliHarness, tmp_path: Path) -> None:
    """Whoever finds such a page later must not take its numbers for those of a runner."""
    pytest.importorskip("htpy", reason=HTPY)
    out = tmp_path / "out"
    words = ("--view", "side", "--emulator", "--out", str(out), "--report")
    assert harness.ochy("analyze", *harness.clips("a.mp4"), *words).exit_code == 0
    for _ in range(2):
        for name in pages(out):
            assert '<p class="notice">Simulated results' in (out / "report" / name).read_text(encoding="utf-8")
        assert harness.ochy("report", str(out)).exit_code == 0  # the records of the folder say it too


def test_wait_ends_with_a_report_of_the_whole_folder(harness: CliHarness, tmp_path: Path) -> None:
    """Also of analyses that an earlier command has collected."""
    pytest.importorskip("htpy", reason=HTPY)
    out = tmp_path / "out"
    assert harness.analyze(*harness.clips("a.mp4", "b.mp4"), "--view", "side").exit_code == 0
    words = ("wait", *FAST_POLLING, "--out", str(out), "--report")
    assert harness.ochy(*words, harness.ids[0]).exit_code == 0
    result = harness.ochy(*words, harness.ids[1])
    assert result.exit_code == 0
    assert result.stderr.endswith(f"{HEADING}  {out / 'report' / 'index.html'}\n")
    assert pages(out) == {"index.html", *(f"analysis.{each}.html" for each in harness.ids)}
    assert "Knee flexion" in (out / "report" / f"analysis.{harness.ids[1]}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["analyze", "wait"])
def test_json_stays_json(harness: CliHarness, tmp_path: Path, command: str) -> None:
    """The path goes to stderr, so that every line of stdout is a record."""
    pytest.importorskip("htpy", reason=HTPY)
    (clip,) = harness.clips("a.mp4")
    words = (clip, "--view", "side") if command == "analyze" else ("an-id",)
    result = harness.ochy(command, *FAST_POLLING, *words, "--out", str(tmp_path / "out"), "--report", "--json")
    assert len(json_lines(result)) == 1
    assert "index.html" in result.stderr


def test_quiet_prints_no_path(harness: CliHarness, tmp_path: Path) -> None:
    """The report is written all the same."""
    pytest.importorskip("htpy", reason=HTPY)
    harness.clips("a.mp4")
    result = analyze(harness, tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(pages(tmp_path / "out")) == 2


@pytest.mark.parametrize("words", [("analyze", "{clip}", "--view", "side"), ("wait", "an-id")], ids=lambda it: it[0])
def test_a_report_needs_a_folder(harness: CliHarness, words: tuple[str, ...]) -> None:
    """Without --out, which is said before anything is sent."""
    (clip,) = harness.clips("a.mp4")
    result = harness.ochy(*(word.replace("{clip}", clip) for word in words), "--report")
    assert result.exit_code == 2
    assert "--report: needs a folder, given with --out" in result.stderr
    assert not harness.service.requests


@pytest.mark.parametrize("words", [("analyze", "{clip}", "--view", "side"), ("wait", "an-id")], ids=lambda it: it[0])
def test_a_missing_extra_is_said_before_anything_is_bought(
    harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The error has the exact command; nothing was sent, and no folder was made."""
    monkeypatch.setattr("ochy_async.report.find_spec", lambda _: None)
    (clip,) = harness.clips("a.mp4")
    out = tmp_path / "out"
    result = harness.ochy(*(word.replace("{clip}", clip) for word in words), "--out", str(out), "--report")
    assert result.exit_code == 2
    assert "pip install 'ochy-async[report]'" in result.stderr
    assert "Nothing was sent or charged." in result.stderr
    assert (harness.ids, list(harness.service.requests), out.exists()) == ([], [], False)


def disk_is_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("trouble", ["the disk is full", "there is a file where a folder must be"])
def test_a_report_that_fails_loses_nothing(
    harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The results are there, exit code 1 says that something is missing, and the printed command writes it later."""
    pytest.importorskip("htpy", reason=HTPY)
    harness.clips("a.mp4")
    out = tmp_path / "the results"
    with monkeypatch.context() as patch:
        if trouble == "the disk is full":
            patch.setattr("ochy_async.report.pages_folder.write_file", disk_is_full)
        else:
            out.mkdir()
            (out / "report").write_text("a file")
        result = analyze(harness, out)
    assert (result.exit_code, len(harness.ids)) == (1, 1)
    assert f"The report was not written: '{out / 'report'}" in result.stderr
    assert f"{trouble}." in result.stderr
    assert "The results are stored and no credit is lost." in result.stderr
    assert json.loads((out / "results.jsonl").read_text())["outcome"] == "analyzed"
    if (out / "report").is_file():
        (out / "report").unlink()
    (command,) = commands(result.stderr)
    assert harness.ochy(*shlex.split(command)[1:]).exit_code == 0
    assert len(pages(out)) == 2
    assert len(harness.ids) == 1


def test_what_takes_a_while_is_announced(harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the command would seem to hang: after its summary, or from the beginning."""
    pytest.importorskip("htpy", reason=HTPY)
    pytest.importorskip("matplotlib", reason="needs the extra plot: matplotlib is not installed")
    harness.clips("a.mp4")
    out = tmp_path / "out"
    assert "takes a while" not in analyze(harness, out).stderr
    monkeypatch.setattr("ochy_async.cli.display.long_tasks.LARGE", 100)
    stderr = analyze(harness, out).stderr
    assert stderr.index("1 clip: 1 analyzed.") < stderr.index("takes a while") < stderr.index(HEADING)
    for words, doing in (
        (("report", str(out)), "Writing the report"),
        (("plot", str(out), "--what", "knee"), "Drawing the figures"),
        (("export", str(out), "--csv-long"), "Writing the files"),
    ):
        assert f"{doing} takes a while, because there are many analyses." in harness.ochy(*words).stderr


def test_a_failed_clip_is_in_the_report(harness: CliHarness, tmp_path: Path) -> None:
    """The exit code is that of the run."""
    pytest.importorskip("htpy", reason=HTPY)
    harness.clips("a.mp4")
    (harness.folder / "empty.mp4").write_bytes(b"")
    result = analyze(harness, tmp_path / "out")
    assert result.exit_code == 1
    assert len(pages(tmp_path / "out")) == 2
    assert "empty.mp4" in overview(tmp_path / "out")


def test_a_resumed_run_reports_on_all_clips(harness: CliHarness, tmp_path: Path) -> None:
    """The first run buys one clip, and its report says so; the second buys the others and reports on all."""
    pytest.importorskip("htpy", reason=HTPY)
    harness.clips("a.mp4", "b.mp4", "c.mp4")
    out = tmp_path / "out"
    first = analyze(harness, out, "--max-credits", "1")
    assert len(pages(out)) == 2
    assert first.stderr.index("was reached: 2 clips not started") < first.stderr.index(HEADING)
    assert overview(out).count("unfinished") >= 2
    assert analyze(harness, out).exit_code == 0
    assert len(pages(out)) == 4
    assert "unfinished" not in overview(out)
    assert len(harness.ids) == 3


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_run_names_the_command_instead(
    slow_harness: CliHarness, tmp_path: Path, output: Path, times: int
) -> None:
    """No pages are written after Ctrl-C, whether it is pressed once, so that the clip is finished, or twice."""
    pytest.importorskip("htpy", reason=HTPY)
    out = empty_results(tmp_path / "out")
    words = ("analyze", *slow_harness.clips("a.mp4"), *FAST_POLLING, *REPORT, "--out", str(out), "-v")
    with cli_process(*words, folder=output, env=slow_harness.environment()) as child:
        for reached in ("paid for", "Stopping")[:times]:
            wait_until(partial(says, output, reached))
            child.send_signal(signal.SIGINT)
        slow_harness.skipped[0] = 100_000
        assert child.wait(10) == 130
    stderr = (output / "stderr").read_text()
    assert "The report was not written, because the command was stopped." in stderr
    assert commands(stderr)[-1] == f"ochy report {out}"
    assert not (out / "report").exists()


def test_a_report_that_is_interrupted_names_the_command(
    harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while pages are written ends with exit code 130; the summary was printed before."""
    pytest.importorskip("htpy", reason=HTPY)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ochy_async.report.pages_folder.write_file", interrupt)
    harness.clips("a.mp4")
    result = analyze(harness, tmp_path / "out")
    assert result.exit_code == 130
    assert result.stderr.index("1 clip: 1 analyzed.") < result.stderr.index("The report is not complete")
    assert commands(result.stderr) == [f"ochy report {tmp_path / 'out'}"]


def test_a_run_that_is_stopped_before_it_begins_mentions_no_report(tmp_path: Path, capsys: Any) -> None:
    """There is nothing to report then."""
    pytest.importorskip("click", reason="needs the extra cli: click is not installed")
    from ochy_async.cli.exit_codes import ExitCode
    from ochy_async.cli.final_report import write_final_report

    assert write_final_report(tmp_path, ExitCode.INTERRUPTED) is ExitCode.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_wait_that_is_interrupted_names_the_command(slow_harness: CliHarness, tmp_path: Path, output: Path) -> None:
    """After the command that collects what was not collected."""
    pytest.importorskip("htpy", reason=HTPY)
    out = empty_results(tmp_path / "out")
    assert slow_harness.analyze(*slow_harness.clips("a.mp4"), "--view", "side", "--timeout", "0.3").exit_code == 1
    before = len(slow_harness.service.requests)
    words = ("wait", *slow_harness.ids, "--out", str(out), "--report")
    with cli_process(*words, folder=output, env=slow_harness.environment()) as child:
        wait_until(lambda: len(slow_harness.service.requests) > before)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    assert [each.split()[1] for each in commands((output / "stderr").read_text())] == ["wait", "report"]
    assert not (out / "report").exists()
