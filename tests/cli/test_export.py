"""`ochy export`."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from ochy_async.cli.exit_codes import ExitCode
from tests.support.cli_harness import run_cli
from tests.support.report_folders import report_folder, write_records


def test_the_files_are_named_with_their_recordings(tmp_path: Path) -> None:
    """They are written into the folder of the results, for this user alone."""
    folder = report_folder(tmp_path / "results")
    result = run_cli("export", str(folder), "--csv-long")
    assert result.exit_code == 0
    assert result.stdout == f"{folder / 'landmarks.csv'}: 8 recordings\n"
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / "landmarks.csv").stat().st_mode) == 0o600


def test_several_formats_go_to_another_folder(tmp_path: Path) -> None:
    """Which is made where it does not exist."""
    pytest.importorskip("nanoarrow", reason="needs the extra parquet: nanoarrow is not installed")
    pytest.importorskip("pyarrow", reason="needs the extra parquet: pyarrow is not installed")
    folder, out = report_folder(tmp_path / "results"), tmp_path / "new" / "tables"
    result = run_cli("export", str(folder), "--parquet", "--csv-long", "--out", str(out))
    assert result.exit_code == 0
    assert sorted(each.name for each in out.iterdir()) == ["landmarks.csv", "landmarks.parquet"]
    assert not (folder / "landmarks.csv").exists()


def test_an_unreadable_recording_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    """The exit code says that something is missing."""
    folder = report_folder(tmp_path / "results")
    (folder / "run-1.analysis-1.raw_data.json").write_text("[]", encoding="utf-8")
    result = run_cli("export", str(folder), "--csv-long")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "left out: " in result.stderr
    assert "run-1.analysis-1" in result.stderr
    assert result.stdout.endswith("landmarks.csv: 7 recordings\n")


def test_a_format_must_be_chosen(tmp_path: Path) -> None:
    """The message lists them."""
    result = run_cli("export", str(tmp_path))
    assert result.exit_code == 2
    assert "Choose a format: --parquet, --csv-long" in result.stderr


def test_a_folder_without_raw_data_says_how_to_get_it(tmp_path: Path) -> None:
    """What is paid for can be fetched again without a credit."""
    result = run_cli("export", str(write_records(tmp_path / "my results")), "--csv-long")
    assert result.exit_code == 1
    assert "holds no raw data" in result.stderr
    assert "--keep raw-data" in result.stderr.replace("\n", " ")
    assert f"--out '{tmp_path / 'my results'}'" in result.stderr.replace("\n", " ")


def test_a_missing_library_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be pasted."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run_cli("export", str(report_folder(tmp_path / "results")), "--parquet")
    assert result.exit_code == 2
    assert "pip install 'ochy-async[parquet]'" in result.stderr


@pytest.mark.parametrize("wrong", [["--height", "168"], ["--fps", "nan"], []])
def test_a_refused_export_says_what_it_did_not_do(tmp_path: Path, wrong: list[str]) -> None:
    """It writes files and could neither send nor buy anything."""
    result = run_cli("export", str(tmp_path), *(["--trc", *wrong] if wrong else []))
    assert result.exit_code == 2
    assert "Nothing was written." in result.stderr
    assert "charged" not in result.stderr
