"""`ochy report`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_harness import run_cli
from tests.support.report_folders import record, write_records

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")


def test_the_path_of_the_overview_is_printed(tmp_path: Path) -> None:
    """It is all that goes to stdout, and the file exists."""
    folder = write_records(tmp_path / "results", record(0))
    result = run_cli("report", str(folder))
    assert result.exit_code == 0
    assert result.stdout == f"{folder / 'report' / 'index.html'}\n"
    assert (folder / "report" / "index.html").is_file()


def test_out_names_another_folder(tmp_path: Path) -> None:
    """The output folder is not touched then."""
    folder = write_records(tmp_path / "results", record(0))
    result = run_cli("report", str(folder), "--out", str(tmp_path / "pages"))
    assert result.stdout.endswith("index.html\n")
    assert (tmp_path / "pages" / "index.html").is_file()
    assert not (folder / "report").exists()


def test_a_reference_is_shown_or_refused(tmp_path: Path) -> None:
    """A file that cannot be used is wrong usage; the message names the line."""
    folder, file = write_records(tmp_path / "results", record(0)), tmp_path / "reference.csv"
    file.write_text("metric,low,high,unit,source\nCadence,160,180,Hz,Lab\n", encoding="utf-8")
    refused = run_cli("report", str(folder), "--reference", str(file))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "line 2, unit: must be 'steps/min'" in refused.stderr
    file.write_text(file.read_text(encoding="utf-8").replace("Hz", "steps/min"), encoding="utf-8")
    assert run_cli("report", str(folder), "--reference", str(file)).exit_code == 0
    (page,) = (folder / "report").glob("run-*.html")
    assert "Your reference: 160 to 180" in page.read_text(encoding="utf-8")


def test_a_folder_without_results_is_wrong_usage(tmp_path: Path) -> None:
    """The message says what to give instead."""
    result = run_cli("report", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no results.jsonl" in result.stderr


def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be pasted."""
    monkeypatch.setattr("ochy_async.report.find_spec", lambda _: None)
    result = run_cli("report", str(write_records(tmp_path, record(0))))
    assert result.exit_code == 2
    assert "pip install 'ochy-async[report]'" in result.stderr
