"""A batch's table, as the libraries read it that people use."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BackView, OutputError, SideView, UnreadableAnswer
from ochy_async.batch.outcomes import Outcome
from ochy_async.batch.output.columns import COLUMNS
from ochy_async.batch.sources import BatchItem
from ochy_async.emulator import sample_clip
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.tables import ResultsTable, results_table
from tests.conftest import direct_session
from tests.support.batches import batched
from tests.support.documentation import documented_columns
from tests.support.report_folders import record, write_records
from tests.support.table_readers import READERS, library, rows_of

SPECIAL = {"=1+1": "=1+1", "index": "a\nb", "Subject": "\ud800", "a\0b": "c\0d"}
"""The user's own columns: formulas, line breaks, names of ours, and what has no form in UTF-8."""


def batch_of(folder: Path | None = None, **extra: str) -> list[Outcome[Any, Any]]:
    """The outcomes of a side view, a back view and a clip that cannot be sent."""
    items = [
        BatchItem(sample_clip(1), SideView(height=1.81, pace="05:30", treadmill=True), extra=extra),
        (sample_clip(2), BackView()),
        b"no video",
    ]
    keep = ("calculated",)
    return in_virtual_time(batched(direct_session(), items, keep=keep, **({} if folder is None else {"out": folder})))


def table_of(folder: Path, *records: dict[str, Any]) -> ResultsTable:
    """The table of a folder with these records."""
    return results_table(write_records(folder, *records))


def values(table: ResultsTable, name: str) -> list[Any]:
    """A column without any library, with None for what is missing."""
    (column,) = [each for each in table.table_columns() if each.name == name]
    return [None if value != value else value for value in column.values]  # NaN alone differs from itself


@pytest.mark.parametrize("reader", READERS)
def test_every_library_reads_what_the_csv_file_holds(tmp_path: Path, reader: str) -> None:
    """The same rows and columns, of analyses and of clips that were refused; empty cells are null."""
    batch_of(tmp_path, group="A")
    found = rows_of(reader, results_table(tmp_path))
    with (tmp_path / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        expected = list(csv.DictReader(file))
    assert [list(row) for row in found] == [list(row) for row in expected]
    assert [{name: text(value) for name, value in row.items()} for row in found] == [
        {name: number(value) for name, value in row.items()} for row in expected
    ]


def text(value: Any) -> Any:
    """A value as a cell of a CSV file: nothing is an empty one, and truth is a word."""
    if value is None:
        return ""
    return str(value).lower() if value in (True, False) and type(value) not in (int, float) else value


def number(cell: str) -> Any:
    """A cell, as a number where it is one."""
    try:
        return float(cell)
    except ValueError:
        return cell


def test_outcomes_make_the_table_of_their_folder(tmp_path: Path) -> None:
    """A program that has the outcomes needs no folder."""
    outcomes = batch_of(tmp_path, group="A")
    of_outcomes, of_folder = results_table(outcomes), results_table(tmp_path)
    assert len(of_outcomes) == 3
    assert list(map(repr, of_outcomes.table_columns())) == list(map(repr, of_folder.table_columns()))
    for one, other in zip(of_outcomes.table_columns(), of_folder.table_columns(), strict=True):
        assert repr(one.values) == repr(other.values)  # NaN is no equal of itself


def test_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    """So tables of several folders can be put together, also of an empty one, or one without back views."""
    polars = library("polars")
    full, empty = results_table(batch_of()), table_of(tmp_path / "empty")
    schemas = [dict(polars.DataFrame(each).schema) for each in (full, empty)]
    assert list(schemas[1]) == list(COLUMNS)
    assert {name: schemas[0][name] for name in COLUMNS} == schemas[1]
    assert schemas[1]["index"] == schemas[1]["landings_midfoot"] == polars.Int64
    assert schemas[1]["height_m"] == schemas[1]["total_score"] == schemas[1]["pelvic_drop_left_score"] == polars.Float64
    assert schemas[1]["treadmill"] == polars.Boolean
    assert schemas[1]["pace_per_km"] == schemas[1]["reason"] == schemas[1]["outcome"] == polars.String
    library("pandas")
    types = [each.to_pandas().dtypes[list(COLUMNS)].astype(str).to_list() for each in (full, empty)]
    assert types[0] == types[1]
    assert polars.concat([polars.DataFrame(full), polars.DataFrame(empty)], how="diagonal").height == 3


def test_units_are_in_the_metadata(tmp_path: Path) -> None:
    """Those that the names say, for numbers only."""
    pyarrow = library("pyarrow")
    schema = pyarrow.table(results_table(batch_of(weight_kg="x"))).schema
    units = {field.name: field.metadata[b"unit"].decode() for field in schema if field.metadata}
    assert {name: units.pop(name) for name in list(units) if name in COLUMNS} == {
        "height_m": "m",
        "weight_kg": "kg",
        "cadence_steps_per_min": "steps/min",
        "speed_m_per_s": "m/s",
        "step_length_m": "m",
        "ground_contact_time_ms": "ms",
        "flight_time_ms": "ms",
        "overstride_angle_deg": "deg",
    }
    assert units
    assert set(units.values()) == {"deg"}


def test_a_value_of_another_type_is_null(tmp_path: Path) -> None:
    """It does not turn a column of numbers into one of texts, and raises nothing."""
    measures = {"total_score": "0.5", "landings_midfoot": 2**70, "duty_factor": 10**400, "pace_per_km": 5}
    odd = record(0, height_m=True, treadmill="yes", index=None, subject=12, measures=measures)
    table = table_of(tmp_path, odd, record(1, measures={"total_score": 1, "landings_midfoot": 2.5}))
    assert values(table, "total_score") == [None, 1.0]
    assert values(table, "landings_midfoot") == values(table, "duty_factor") == [None, None]
    assert values(table, "pace_per_km") == ["5", None]
    assert values(table, "subject") == ["12", "Runner 1"]
    assert [values(table, name)[0] for name in ("height_m", "treadmill", "index")] == [None] * 3
    library("polars")
    assert len(table.to_polars()) == 2


def test_records_without_fields_have_rows(tmp_path: Path) -> None:
    """A file that another program wrote may lack what every record of ours has."""
    (tmp_path / "results.jsonl").write_text(
        '{"schema": 1, "outcome": "new"}\n{"schema": 2, "outcome": "failed", "measures": [], "extra": null}\n'
    )
    table = results_table(tmp_path)
    assert values(table, "outcome") == ["new", "failed"]
    assert values(table, "file") == values(table, "total_score") == [None, None]


def test_further_measures_and_columns_of_the_user_follow(tmp_path: Path) -> None:
    """Measures are numbers, columns of the user texts; a name that is taken gets a prefix, whatever its case."""
    one = record(0, measures={"knee_left_min_deg": 80, "new": 1}, extra=SPECIAL)
    two = record(1, measures={"ankle_deg": 2.5})
    table = table_of(tmp_path, one, two)
    names = [each.name for each in table.table_columns()]
    assert names[len(COLUMNS) - 1 :] == [
        *("ankle_deg", "knee_left_min_deg", "new", "reason"),
        *("=1+1", "input_index", "input_Subject", "a�b"),
    ]
    assert values(table, "knee_left_min_deg") == [80, None]
    assert values(table, "=1+1") == ["=1+1", None]
    assert values(table, "input_Subject") == [r"\ud800", None]
    frame = library("polars").DataFrame(table)
    assert frame["input_index"].to_list() == ["a\nb", None]
    found = library("duckdb").sql("SELECT input_subject FROM frame").fetchall()
    assert found == [(r"\ud800",), (None,)]


def test_a_column_of_the_user_that_is_named_like_a_field_is_a_text(tmp_path: Path) -> None:
    """`bought` is a field of records and no column."""
    table = table_of(tmp_path, record(0, extra={"bought": "2024", "schema": "x"}))
    assert values(table, "bought") == ["2024"]


def test_a_table_shows_no_health_data() -> None:
    """Logs and notebooks print how large it is."""
    table = results_table(batch_of())
    assert [repr(table)] == list(table.__rich_repr__())
    assert repr(table) == f"<ResultsTable: 3 rows of {len(table.table_columns())} columns>"


def test_a_folder_without_a_table_is_an_error(tmp_path: Path) -> None:
    """The error names the file, and for a damaged one the line."""
    with pytest.raises(OutputError, match=r"results\.jsonl"):
        results_table(tmp_path)
    (tmp_path / "results.jsonl").write_text(json.dumps(record(0)) + "\n[]\n")
    with pytest.raises(UnreadableAnswer, match="line 2"):
        results_table(str(tmp_path))


def test_the_page_lists_the_columns() -> None:
    """docs/reference/tables.md has a line for each that every table has."""
    assert documented_columns("The results of a batch") == list(COLUMNS)
