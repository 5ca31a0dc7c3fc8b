"""Landmarks as tables: what polars, pandas, pyarrow and DuckDB make of them, and what a missing library says."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from ochy_async import Landmarks
from ochy_async.protocol.drift import DriftLog
from ochy_async.protocol.landmarks import MOST_NAMES, landmarks_of
from ochy_async.protocol.table_columns import category_names, distinct_names
from tests.support.documentation import documented_columns
from tests.support.table_readers import NEEDS_DEV, library

HALF = "\ud800"
"""Half a surrogate pair: valid in JSON, and without a form in UTF-8."""


def read(frames: Any, fps: float | None = 30) -> Landmarks:
    """Landmarks of some frames, by frame number."""
    body = {"frames": frames, "video_input_information": {"fps": fps}}
    with DriftLog("test"):
        return landmarks_of(json.dumps(body).encode())


WALK = {
    "3": {"nose": {"x": 1, "y": 2, "score": 0.5}, "hip": {"x": 3, "y": 4, "score": 0.5}},
    "4": {"nose": {"x": 5, "y": 6, "score": 0.5}, "hip": {"x": None, "y": 8, "score": 0.5}},
    "6": {"hip": {"x": 9, "y": 10, "score": 1}},
}
ROWS = [
    (3, 0.0, "nose", 1.0, 2.0, 0.5),
    (3, 0.0, "hip", 3.0, 4.0, 0.5),
    (4, 1 / 30, "nose", 5.0, 6.0, 0.5),
    (4, 1 / 30, "hip", None, 8.0, 0.5),
    (6, 0.1, "nose", None, None, None),
    (6, 0.1, "hip", 9.0, 10.0, 1.0),
]
COLUMNS = ["frame", "time", "landmark", "x", "y", "score"]


def test_polars_reads_one_row_for_each_landmark_of_each_frame() -> None:
    """The rows are in the order of frames and landmarks, and gaps are null, not NaN."""
    frame = library("polars").DataFrame(read(WALK))
    assert frame.columns == COLUMNS
    assert frame.rows() == ROWS


def test_to_polars_is_what_polars_reads() -> None:
    """The method saves an import, and makes the same table."""
    library("polars")
    walk = read(WALK)
    assert walk.to_polars().rows() == ROWS


def test_pyarrow_reads_types_and_units() -> None:
    """Names are a dictionary, and a unit that is not documented says so in the metadata."""
    pyarrow = library("pyarrow")
    table = pyarrow.table(read(WALK))
    table.validate(full=True)
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert table.schema.field("landmark").type == pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    units = {field.name: (field.metadata or {}).get(b"unit") for field in table.schema}
    unknown = b"not documented"
    assert units == {"frame": None, "time": b"s", "landmark": None, "x": unknown, "y": unknown, "score": unknown}


def test_pyarrow_casts_to_the_schema_that_it_is_given() -> None:
    """A requested schema is left to the consumer, as the interface allows."""
    pyarrow = library("pyarrow")
    plain = pyarrow.table(read(WALK)).select(["frame", "landmark"])
    wanted = pyarrow.schema([("frame", pyarrow.int32()), ("landmark", pyarrow.string())])
    assert plain.cast(wanted).column("landmark").to_pylist() == [row[2] for row in ROWS]


def test_duckdb_queries_landmarks_by_the_name_of_the_variable() -> None:
    """A gap is NULL in SQL, so that aggregates leave it out."""
    duckdb = library("duckdb")
    walk = read(WALK)
    assert walk.names == ("nose", "hip")
    rows = duckdb.sql("SELECT landmark, count(x), avg(x) FROM walk GROUP BY landmark ORDER BY landmark").fetchall()
    assert rows == [("hip", 2, 6.0), ("nose", 2, 3.0)]


def test_pandas_reads_the_stream() -> None:
    """pandas 3 takes the landmarks as they are."""
    pandas = library("pandas")
    library("pyarrow")
    if not hasattr(pandas.DataFrame, "from_arrow"):
        pytest.skip("needs pandas 3, whose DataFrame has from_arrow")
    frame = pandas.DataFrame.from_arrow(read(WALK))
    assert list(frame.columns) == COLUMNS
    assert frame["y"].sum() == 30


@pytest.mark.parametrize("method", ["to_pandas", "to_dataframe"])
def test_pandas_needs_no_arrow(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame is made without the extra, with units in `attrs` and the types that pandas has for names and gaps."""
    pandas = pytest.importorskip("pandas", reason=NEEDS_DEV.format("pandas"))
    monkeypatch.setitem(sys.modules, "nanoarrow", None)
    frame = getattr(read(WALK), method)()
    rows = frame.astype({"landmark": object}).astype(object).where(frame.notna(), None).to_numpy().tolist()
    assert list(map(tuple, rows)) == ROWS
    assert isinstance(frame["landmark"].dtype, pandas.CategoricalDtype)
    assert frame.attrs["units"]["time"] == "s"


def test_coordinates_are_not_copied() -> None:
    """The Arrow table is a view of the arrays of the landmarks."""
    pyarrow = library("pyarrow")
    walk = read(WALK)
    address, _ = walk.coordinates["y"].values.buffer_info()
    assert pyarrow.table(walk).column("y").chunk(0).buffers()[1].address == address


def test_a_table_outlives_its_landmarks() -> None:
    """The stream keeps the shared arrays alive."""
    polars = library("polars")
    frames = [polars.DataFrame(read(WALK)) for _ in range(50)]
    assert all(frame.rows() == ROWS for frame in frames)


def test_without_a_frame_rate_no_time_is_known() -> None:
    """The column is there, and null."""
    polars = library("polars")
    for fps in (None, 0, -25):
        assert polars.DataFrame(read(WALK, fps))["time"].to_list() == [None] * 6


def test_an_empty_recording_is_an_empty_table() -> None:
    """Columns that every table has keep their types."""
    polars = library("polars")
    empty = read({})
    frame = polars.DataFrame(empty)
    assert (frame.shape, frame.schema["frame"], frame.schema["time"]) == ((0, 3), polars.Int64, polars.Float64)
    library("pandas")
    assert str(empty.to_pandas()["frame"].dtype) == "int64"


def test_hostile_names_stay_apart() -> None:
    """Half a surrogate pair is escaped, also where another name is that escape; NUL and nothing are names as well."""
    polars = library("polars")
    names = (HALF, r"\ud800", "a\0b", "", "é" * 1000)
    frames = {"0": {name: {"x": place, "y": 0} for place, name in enumerate(names)}}
    frame = polars.DataFrame(read(frames))
    assert frame["landmark"].to_list() == [r"\ud800", r"_\ud800", "a\0b", "", "é" * 1000]
    assert frame["x"].to_list() == [0, 1, 2, 3, 4]
    library("pandas")
    assert read(frames).to_pandas()["landmark"].nunique() == 5


def test_hostile_coordinates_take_the_place_of_no_other_column() -> None:
    """DuckDB ignores case, so `X` is renamed too."""
    library("nanoarrow")
    point = {"x": 1, "y": 2, "X": 3, "frame": 4, "a\0b": 5, HALF: 6}
    frame = library("polars").DataFrame(read({"0": {"nose": point}}))
    assert frame.columns == [*COLUMNS[:5], "coordinate_X", "coordinate_frame", "a�b", "�"]
    assert frame.row(0)[3:] == (1, 2, 3, 4, 5, 6)


def test_a_thousand_landmarks_are_one_category_each() -> None:
    """The most that a recording may have."""
    point = {"x": 0, "y": 0}
    frame = library("polars").DataFrame(read({"0": {f"p{place}": point for place in range(MOST_NAMES)}}))
    assert frame["landmark"].n_unique() == MOST_NAMES


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extras are named as extras; data frame libraries are the user's own."""
    monkeypatch.setitem(sys.modules, "nanoarrow", None)
    monkeypatch.delitem(sys.modules, "ochy_async.protocol.arrow_stream", raising=False)
    monkeypatch.setitem(sys.modules, "polars", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    walk = read(WALK)
    with pytest.raises(ModuleNotFoundError, match=r"nanoarrow.*pip install 'ochy-async\[arrow\]'"):
        walk.__arrow_c_stream__()
    with pytest.raises(ModuleNotFoundError, match="pip install polars"):
        walk.to_polars()
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        walk.to_pandas()


def test_distinct_names_end() -> None:
    """A name that repeats gets the prefix as often as it takes."""
    assert distinct_names(["a", "A", "_a"], (), "_") == ("a", "_A", "__a")
    assert category_names(["a", "A", "a"]) == ("a", "A", "_a")


def test_the_page_lists_the_columns() -> None:
    """docs/reference/tables.md has a line for each that every recording has, and for the usual coordinates."""
    assert documented_columns("Landmarks") == [each.name for each in read(WALK).table_columns()]
