"""All recordings of a folder in one Parquet or CSV file, read back by the libraries that people use."""

from __future__ import annotations

import csv
import gc
import json
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import evolve

from ochy_async import Landmarks, OutputError
from ochy_async.tables import Exported, RecordingFile, recordings_in, write_long_csv, write_parquet, write_trc
from tests.support.report_folders import record, write_records

COLUMNS = ["analysis", "subject", "frame", "time", "landmark", "x", "y", "z", "score"]
HIP = {"x": 1.5, "y": 2, "score": 0.5}
NOSE = {"x": 3, "y": None, "score": 1}


def folder_of(folder: Path, *frames: dict[str, Any], fps: float | None = 10, **fields: Any) -> Path:
    """A results folder with one recording for each of `frames`, which are frames by number."""
    for number, each in enumerate(frames):
        content = {"frames": each, "video_input_information": {"fps": fps}}
        folder.mkdir(exist_ok=True)
        (folder / f"run-{number}.analysis-{number}.raw_data.json").write_text(json.dumps(content), encoding="utf-8")
    return write_records(folder, *(record(number, **fields) for number in range(len(frames))))


def parquet_of(folder: Path) -> Any:
    """What pyarrow reads of a folder's Parquet file."""
    pytest.importorskip("nanoarrow", reason="needs the extra parquet: nanoarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet: pyarrow is not installed")
    write_parquet(recordings_in(folder), folder / "landmarks.parquet")
    return parquet.read_table(folder / "landmarks.parquet")


def csv_of(folder: Path) -> list[list[str]]:
    """The rows of a folder's CSV file."""
    write_long_csv(recordings_in(folder), folder / "landmarks.csv")
    with (folder / "landmarks.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_parquet_has_one_row_for_each_landmark_of_each_frame(tmp_path: Path) -> None:
    """With the analysis and the subject in each row, null for what is missing, and the units in the metadata."""
    folder = folder_of(tmp_path / "r", {"7": {"hip": HIP, "nose": NOSE}, "8": {"hip": HIP}}, subject="Ada")
    table = parquet_of(folder)
    assert table.column_names == COLUMNS
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        ("analysis-0", "Ada", 7, 0.0, "hip", 1.5, 2.0, None, 0.5),
        ("analysis-0", "Ada", 7, 0.0, "nose", 3.0, None, None, 1.0),
        ("analysis-0", "Ada", 8, 0.1, "hip", 1.5, 2.0, None, 0.5),
        ("analysis-0", "Ada", 8, 0.1, "nose", None, None, None, None),
    ]
    assert table.schema.field("time").metadata == {b"unit": b"s"}
    assert table.schema.field("x").metadata == {b"unit": b"not documented"}


def test_each_recording_is_a_row_group(tmp_path: Path) -> None:
    """So a reader may take one at a time, as the writer did; landmarks may differ between recordings."""
    folder = folder_of(tmp_path / "r", {"0": {"hip": HIP}}, {"0": {"nose": NOSE}, "1": {"nose": NOSE}})
    assert parquet_of(folder).column("landmark").to_pylist() == ["hip", "nose", "nose"]
    file = pytest.importorskip("pyarrow.parquet").ParquetFile(folder / "landmarks.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [1, 2]


@pytest.mark.parametrize("library", ["polars", "pandas", "duckdb"])
def test_other_libraries_read_the_parquet_file(tmp_path: Path, library: str) -> None:
    """Names are texts or categories, and gaps are null."""
    reader = pytest.importorskip(library, reason=f"needs {library}, which tests read tables with")
    folder = folder_of(tmp_path / "r", {"7": {"hip": HIP, "nose": NOSE}}, subject=None)
    parquet_of(folder)
    path = str(folder / "landmarks.parquet")
    if library == "duckdb":
        rows = reader.read_parquet(path).select("landmark", "x", "y", "subject").fetchall()
        assert rows == [("hip", 1.5, 2.0, None), ("nose", 3.0, None, None)]
        return
    frame = reader.read_parquet(path)
    assert list(frame.columns) == COLUMNS
    assert list(frame["landmark"]) == ["hip", "nose"]
    assert list(frame["x"]) == [1.5, 3.0]
    assert list(frame["y"].is_null() if library == "polars" else frame["y"].isna()) == [False, True]
    assert list(frame["subject"].is_null() if library == "polars" else frame["subject"].isna()) == [True, True]


def test_the_csv_file_holds_the_same(tmp_path: Path) -> None:
    """Empty cells are what is missing, and without a frame rate there are no times."""
    folder = folder_of(tmp_path / "r", {"7": {"hip": HIP, "nose": NOSE}}, fps=None, subject=None)
    assert csv_of(folder) == [
        COLUMNS,
        ["analysis-0", "", "7", "", "hip", "1.5", "2.0", "", "0.5"],
        ["analysis-0", "", "7", "", "nose", "3.0", "", "", "1.0"],
    ]


def test_names_in_the_csv_file_are_no_formulas(tmp_path: Path) -> None:
    """A spreadsheet shows them as they are, and a line break does not end a row."""
    folder = folder_of(tmp_path / "r", {"7": {"=1+1\nx": HIP}}, subject="@SUM(A1)")
    (_, row) = csv_of(folder)
    assert (row[1], row[4]) == ("'@SUM(A1)", "'=1+1 x")


def test_an_unreadable_recording_costs_no_other_its_place(tmp_path: Path) -> None:
    """It is named with the reason."""
    folder = folder_of(tmp_path / "r", {"0": {"hip": HIP}}, {"0": {"hip": HIP}}, {"0": {"hip": HIP}})
    (folder / "run-1.analysis-1.raw_data.json").write_text("{", encoding="utf-8")
    exported = write_long_csv(recordings_in(folder), folder / "landmarks.csv")
    assert exported.recordings == 2
    (failure,) = exported.failures
    assert "run-1.analysis-1.raw_data.json" in failure


def test_a_coordinate_without_a_column_is_said(tmp_path: Path) -> None:
    """The columns are the same for all recordings, so that files can be put together."""
    folder = folder_of(tmp_path / "r", {"0": {"hip": {**HIP, "depth": 3}}})
    exported = write_long_csv(recordings_in(folder), folder / "landmarks.csv")
    assert exported.notes == ["The coordinate 'depth' of 1 recording has no column."]


def test_a_folder_without_tables_can_be_exported(tmp_path: Path) -> None:
    """The id is then the part of the file's name that stands for it; the subject is unknown."""
    folder = folder_of(tmp_path / "r", {"0": {"hip": HIP}}, subject="Ada")
    (folder / "results.jsonl").unlink()
    assert [row[:2] for row in csv_of(folder)[1:]] == [["analysis-0", ""]]


class CountedRecording(RecordingFile):
    """A recording that counts how many landmarks are in memory when it is loaded."""

    loaded: ClassVar[list[weakref.ref[Landmarks]]] = []
    alive: ClassVar[list[int]] = []

    def load(self) -> Landmarks:
        gc.collect()
        self.alive.append(sum(each() is not None for each in self.loaded))
        landmarks = super().load()
        self.loaded.append(weakref.ref(landmarks))
        return landmarks


@pytest.mark.parametrize("write", [write_parquet, write_long_csv, write_trc])
def test_two_recordings_are_in_memory_at_most(
    tmp_path: Path, write: Callable[[Sequence[RecordingFile], Path], Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last one is still there when the next one is loaded."""
    if write is write_parquet:
        pytest.importorskip("nanoarrow", reason="needs the extra parquet: nanoarrow is not installed")
        pytest.importorskip("pyarrow", reason="needs the extra parquet: pyarrow is not installed")
    monkeypatch.setattr(CountedRecording, "loaded", [])
    monkeypatch.setattr(CountedRecording, "alive", [])
    folder = folder_of(tmp_path / "r", *[{"0": {"hip": HIP}}] * 8)
    recordings = [CountedRecording(path=each.path, analysis_id=each.analysis_id) for each in recordings_in(folder)]
    write(recordings, tmp_path / "written")
    assert len(CountedRecording.alive) == 8
    assert max(CountedRecording.alive) <= 1
    gc.collect()
    assert not [each for each in CountedRecording.loaded if each() is not None]


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    """Neither a part of the file nor a hidden one, and what was there before stays."""
    folder = folder_of(tmp_path / "r", {"0": {"hip": HIP}})
    target = folder / "landmarks.csv"
    target.mkdir()
    before = sorted(folder.iterdir())
    with pytest.raises(OutputError, match=r"landmarks\.csv"):
        write_long_csv(recordings_in(folder), target)
    assert sorted(folder.iterdir()) == before


def test_a_recording_tells_nothing_when_it_is_printed(tmp_path: Path) -> None:
    """Logs and asserts use `repr`, which names no runner, no clip and no height."""
    recording = evolve(
        recordings_in(folder_of(tmp_path, {"0": {}}))[0], clip="mia-secret.mp4", subject="Mia Secret", height=1.6312
    )
    shown = repr(recording) + repr(Exported(files=[Path("mia-secret.trc")], failures=["mia-secret.mp4: why"]))
    assert "ecret" not in shown
    assert "1.63" not in shown
    assert recording.path.name not in shown
