"""`ochy wait --out --keep`: saves files and tables of paid analyses by their ids, as a batch does."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ochy_async.batch.records import OutcomeRecord
from ochy_async.emulator import FaultEffect, Respond
from ochy_async.emulator.handlers import STORAGE
from tests.support.cli_harness import FAST_POLLING, START, CliHarness, json_lines

KEEP = ("--keep", "raw-data", "--keep", "thumbnail", "--keep", "video")
NAMES = ("results.json", "calculated.json", "raw_data.json", "thumbnail.jpg", "output_video.mp4")
STORED = f"GET {STORAGE}"


def started(harness: CliHarness, *names: str) -> list[str]:
    """The ids of analyses that were paid for."""
    assert harness.analyze(*harness.clips(*names), "--view", "side").exit_code == 0
    return harness.ids


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_tables_are_saved_as_in_a_batch(harness: CliHarness, tmp_path: Path) -> None:
    """Five files and a row for each analysis, without links, downloaded once."""
    ids, out = started(harness, "a.mp4", "b.mp4"), tmp_path / "out"
    result = harness.ochy("wait", *FAST_POLLING, *ids, "--out", str(out), *KEEP, "--json")
    assert result.exit_code == 0, result.output
    names = {f"{each}.{name}" for each in ids for name in NAMES}
    assert {path.name for path in out.iterdir()} == {*names, "results.csv", "results.jsonl"}
    assert {row["analysis_id"] for row in rows(out)} == set(ids)
    assert all(float(row["cadence_steps_per_min"]) > 100 for row in rows(out))
    kept = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert sorted(kept, key=str) == sorted(json_lines(result), key=str)
    assert all(list(each) == list(OutcomeRecord(word="analyzed").to_json()) for each in kept)
    assert "://" not in (out / "results.jsonl").read_text()
    before = harness.service.count(STORED)
    assert harness.ochy("wait", *FAST_POLLING, *ids, "--out", str(out), *KEEP).exit_code == 0
    assert harness.service.count(STORED) == before
    assert len(rows(out)) == 2
    assert str(out) in result.stderr
    assert len(harness.ids) == 2


def test_a_batch_is_completed_in_its_folder(slow_harness: CliHarness, tmp_path: Path) -> None:
    """The row keeps its clip and the user's columns; the batch, run again, downloads nothing that is there."""
    harness, out = slow_harness, tmp_path / "out"
    harness.clips("a.mp4")
    manifest = harness.folder / "runners.csv"
    manifest.write_text("file,view,height,trial\na.mp4,side,1.6,x\n")
    words = (str(manifest), "--out", str(out), *KEEP)
    assert harness.analyze(*words, "--timeout", "0.3").exit_code == 1
    assert [row["outcome"] for row in rows(out)] == ["unfinished"]
    harness.skipped[0] = 100_000
    assert harness.ochy("wait", *FAST_POLLING, *harness.ids, "--out", str(out), *KEEP).exit_code == 0
    (row,) = rows(out)
    assert (row["outcome"], row["height_m"], row["trial"], row["reason"]) == ("analyzed", "1.6", "x", "")
    assert row["file"].endswith("a.mp4")
    before = harness.service.count(STORED)
    assert harness.analyze(*words).exit_code == 0
    assert harness.service.count(STORED) == before
    assert harness.service.count(START) == 1
    assert len([path for path in out.iterdir() if path.name.endswith(NAMES)]) == len(NAMES)


def test_files_that_have_a_clips_name_are_found_by_their_id(harness: CliHarness, tmp_path: Path) -> None:
    """Files that a batch has saved are not downloaded again."""
    out = tmp_path / "out"
    assert harness.analyze(*harness.clips("morning-run.mp4"), "--view", "side", "--out", str(out), *KEEP).exit_code == 0
    before = harness.service.count(STORED)
    result = harness.ochy("wait", *FAST_POLLING, *harness.ids, "--out", str(out), *KEEP, "--json")
    (record,) = json_lines(result)
    assert harness.service.count(STORED) == before
    assert [Path(each).name for each in record["files"]] == [f"morning-run.{harness.ids[0]}.{name}" for name in NAMES]


class Cut:
    """A file that trickles and then breaks off."""

    def effect(self) -> FaultEffect:
        return FaultEffect(sent_limit=20_000, response_rate=200_000)


def test_an_interrupted_download_is_resumed(harness: CliHarness, tmp_path: Path) -> None:
    """By the next `ochy wait`; until then the file is missing, with a reason, and the results are there."""
    (analysis_id,), out = started(harness, "a.mp4"), tmp_path / "out"
    harness.faults(STORED, Cut(), times=20)
    words = ("wait", *FAST_POLLING, analysis_id, "--out", str(out), "--keep", "video", "--json")
    broken = harness.ochy(*words)
    (record,) = json_lines(broken)
    assert (broken.exit_code, record["outcome"], record["missing"]) == (1, "analyzed", ["output_video"])
    assert record["reason"]
    assert rows(out)[0]["total_score"]
    assert [path.stat().st_size for path in out.glob("*.part")] > [0], list(out.iterdir())
    harness.emulator.faults = None
    assert harness.ochy(*words).exit_code == 0
    assert (out / f"{analysis_id}.output_video.mp4").read_bytes()[4:8] == b"ftyp"
    assert not list(out.glob("*.part"))


def test_an_analysis_that_is_not_collected_removes_no_row(harness: CliHarness, tmp_path: Path) -> None:
    """It gets a row that says so, and the rows of other analyses stay."""
    ids, out = started(harness, "a.mp4", "b.mp4"), tmp_path / "out"
    assert harness.ochy("wait", *FAST_POLLING, ids[0], "--out", str(out)).exit_code == 0
    harness.faults("GET */results", Respond(418), times=20)
    assert harness.ochy("wait", *FAST_POLLING, ids[1], "--out", str(out)).exit_code == 1
    assert {row["analysis_id"]: row["outcome"] for row in rows(out)} == {ids[0]: "analyzed", ids[1]: "unfinished"}


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--keep", "video"), "--keep video: needs a folder"), (("--out", "taken/out"), "cannot be written")],
)
def test_wrong_folders_are_refused_before_anything_is_sent(
    harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    """A missing `--out`, or a folder that cannot be created."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    result: Any = harness.ochy("wait", "x", *words)
    assert result.exit_code != 0
    assert message in result.stderr
    assert not harness.service.requests
