"""`ochy export` with the formats of biomechanics."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.cli_harness import run_cli
from tests.support.report_folders import record, write_records
from tests.tables.recordings import frame, saved


def results(folder: Path, *, fps: float | None = 60.0, height: float = 1.82) -> Path:
    """An output folder with one recording of a side view."""
    saved(folder, {"1": frame(), "2": frame()}, stem="run-0.analysis-0", fps=fps)
    return write_records(folder, record(0, height_m=height))


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ("--trc", "trc/run-0.analysis-0.trc"),
        ("--mot", "mot/run-0.analysis-0.mot"),
        ("--c3d", "c3d/run-0.analysis-0.c3d"),
        ("--openpose", "openpose/run-0.analysis-0_json"),
    ],
)
def test_each_format_has_its_folder(option: str, path: str, tmp_path: Path) -> None:
    """Its path and how many recordings it holds go to stdout."""
    if option == "--c3d":
        pytest.importorskip("ezc3d", reason="needs the extra c3d: ezc3d is not installed")
    folder = results(tmp_path / "results")
    result = run_cli("export", str(folder), option)
    assert result.exit_code == 0
    assert result.stdout == f"{folder / option[2:]}: 1 recording\n"
    assert (folder / path).exists()


@pytest.mark.parametrize(
    ("height", "options", "unit"),
    [
        (1.82, (), "m"),
        (1.7, (), "px"),
        (1.7, ("--height", "1.7"), "m"),
        (1.82, ("--height", "175 cm"), "m"),
    ],
)
def test_meters_need_a_height(height: float, options: tuple[str, ...], unit: str, tmp_path: Path) -> None:
    """1.7 m is what a request has without any, so it is known only if it is stated; the command says the unit."""
    folder = results(tmp_path / "results", height=height)
    result = run_cli("export", str(folder), "--trc", *options)
    assert (folder / "trc" / "run-0.analysis-0.trc").read_text().splitlines()[2].split("\t")[4] == unit
    assert f"1 recording: lengths are in {'meters' if unit == 'm' else 'pixels'}" in result.stderr


@pytest.mark.parametrize("height", ["tall", "175", "9", "nan"])
def test_a_height_that_is_none_is_wrong_usage(height: str, tmp_path: Path) -> None:
    """Before anything is written."""
    folder = results(tmp_path / "results")
    result = run_cli("export", str(folder), "--trc", "--height", height)
    assert result.exit_code == 2
    assert "--height" in result.stderr
    assert not (folder / "trc").exists()


@pytest.mark.parametrize("fps", ["nan", "inf", "0", "fast"])
def test_a_frame_rate_that_is_none_is_wrong_usage(fps: str, tmp_path: Path) -> None:
    """Before anything is written."""
    folder = results(tmp_path / "results")
    result = run_cli("export", str(folder), "--trc", "--fps", fps)
    assert result.exit_code == 2
    assert "--fps" in result.stderr
    assert not (folder / "trc").exists()


def test_a_frame_rate_that_is_not_known_must_be_stated(tmp_path: Path) -> None:
    """The recording is named with the option that helps; OpenPose's files have no times and need none."""
    folder = results(tmp_path / "results", fps=None)
    result = run_cli("export", str(folder), "--trc", "--openpose")
    assert result.exit_code == 1
    assert "trc: left out: run-0.analysis-0.raw_data.json: " in result.stderr
    assert "--fps" in result.stderr
    assert f"{folder / 'openpose'}: 1 recording\n" in result.stdout
    assert run_cli("export", str(folder), "--trc", "--fps", "25").exit_code == 0


def test_a_missing_extra_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be pasted."""
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    result = run_cli("export", str(results(tmp_path / "results")), "--c3d")
    assert result.exit_code == 2
    assert "pip install 'ochy-async[c3d]'" in result.stderr
