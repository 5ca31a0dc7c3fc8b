"""Calculated data as tables: one row for each number and text, wherever the vendor puts it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ochy_async import load_calculated
from ochy_async.emulator.calculated_data import back_view_calculated, side_view_calculated
from ochy_async.protocol.answer import RawJson
from ochy_async.protocol.back_view import BackViewCalculated
from ochy_async.protocol.json_table import json_columns
from ochy_async.protocol.side_view import SideViewCalculated
from tests.support.documentation import documented_columns
from tests.support.simulated_runners import make_runner
from tests.support.table_readers import READERS, library, rows_of

COLUMNS = ["name", "index", "value", "text", "unit"]
HALF = "\ud800"
"""Half a surrogate pair: valid in JSON, and without a form in UTF-8."""
Row = tuple[str, int | None, float | None, str | None, str | None]


def side(**content: Any) -> SideViewCalculated:
    """Calculated data whose typed fields do not matter: the table is made of what was sent."""
    return SideViewCalculated(raw=RawJson(content))


def rows(calculated: SideViewCalculated | BackViewCalculated) -> list[Row]:
    """The rows without any library, with None for what is missing."""
    columns = [
        [None if value != value else value for value in each.values]  # NaN alone differs from itself
        for each in calculated.table_columns()
    ]
    return list(zip(*columns, strict=True))


def named(calculated: SideViewCalculated | BackViewCalculated, name: str) -> list[Row]:
    return [row for row in rows(calculated) if row[0] == name]


@pytest.mark.parametrize("reader", READERS)
def test_every_library_reads_the_same_rows(reader: str) -> None:
    """Numbers, texts and gaps keep their columns and their types."""
    calculated = side(
        metrics={"step_length_meter": 1.15, "step_frequency_steps_per_min": 110},
        overstride={"score": "score_good", "mean_angle": None},
        foot_landing=["midfoot", "rearfoot"],
    )
    expected: list[Row] = [
        ("metrics.step_length_meter", None, 1.15, None, "m"),
        ("metrics.step_frequency_steps_per_min", None, 110.0, None, "steps/min"),
        ("overstride.score", None, None, "score_good", None),
        ("overstride.mean_angle", None, None, None, None),
        ("foot_landing", 0, None, "midfoot", None),
        ("foot_landing", 1, None, "rearfoot", None),
    ]
    assert rows_of(reader, calculated) == [dict(zip(COLUMNS, row, strict=True)) for row in expected]


@pytest.mark.parametrize("reader", READERS)
def test_calculated_data_without_anything_are_an_empty_table(reader: str) -> None:
    """A library reads it like any other."""
    assert rows_of(reader, side()) == []


def test_types_do_not_depend_on_the_content() -> None:
    """So tables of several analyses can be put together, also where one has no text or no list."""
    polars = library("polars")
    types = [polars.String, polars.Int64, polars.Float64, polars.String, polars.String]
    for calculated in (side(), side(total_score=1), side(foot_landing=["midfoot"]), side(a=None)):
        assert list(polars.DataFrame(calculated).schema.values()) == types
        library("pandas")
        assert list(map(str, calculated.to_pandas().dtypes)) == ["string", "Int64", "float64", "string", "string"]


def test_the_position_in_the_innermost_list_is_the_index() -> None:
    """The names of steps and frames do not repeat it; positions in outer lists are part of the name."""
    found = rows(side(a=[{"b": 1}, {"b": 2}], c=[[3, 4], [5]], d={"e": [{"f": [6]}]}))
    assert [row[:3] for row in found] == [
        ("a.b", 0, 1),
        ("a.b", 1, 2),
        ("c.0", 0, 3),
        ("c.0", 1, 4),
        ("c.1", 0, 5),
        ("d.e.0.f", 0, 6),
    ]


def test_every_number_of_the_emulator_has_a_row() -> None:
    """Of both views, with the units that are documented and those of angles, which are inferred."""
    runner = make_runner()
    side_view = SideViewCalculated(raw=RawJson(side_view_calculated(runner)))
    back_view = BackViewCalculated(raw=RawJson(back_view_calculated(runner, full_body=True)))
    assert {row[4] for row in rows(side_view) if row[0].startswith("joint_angles.")} == {"deg"}
    units = {row[0].removeprefix("metrics."): row[4] for row in rows(side_view) if row[0].startswith("metrics.")}
    assert units == {
        "speed_meter_per_second": "m/s",
        "step_length_meter": "m",
        "pace_min_per_km": "M.SSs/km",
        "step_frequency_steps_per_min": "steps/min",
        "ground_contact_time_ms": "ms",
        "time_of_flight_ms": "ms",
        "duty_factor": None,
    }
    steps = named(back_view, "gait_cycle.left.steps.pronation")
    assert [row[1] for row in steps] == list(range(6))
    assert {row[4] for row in steps} == {"deg"}
    assert {row[4] for row in named(back_view, "gait_cycle.left.steps.step")} == {None}


def test_an_angle_with_another_unit_in_its_name_is_not_in_degrees() -> None:
    """A time, a share and a count say what they are."""
    joints = {"knee": {"max": 1, "max_ms": 2, "share_percentage": 3, "knee_deg": 4, "n_frames": 5, "text": "x"}}
    assert [row[4] for row in rows(side(joint_angles=joints))] == ["deg", None, None, "deg", None, None]


def test_values_of_other_types_raise_nothing() -> None:
    """A text where a number is documented is a text; what no float can hold is null; truth is a text."""
    found = rows(side(metrics={"step_length_meter": "1,15", "huge": 10**400, "flag": True}, total_score=[]))
    assert found == [
        ("metrics.step_length_meter", None, None, "1,15", None),
        ("metrics.huge", None, None, None, None),
        ("metrics.flag", None, None, "true", None),
    ]
    assert math.isinf(float(rows(side(a=math.inf))[0][2] or 0))


def test_what_the_envelope_says_is_no_row() -> None:
    """Ids and the status are not calculated."""
    assert rows(side(video_id="v", analysis_id="a", id="i", status="success", percentage=100)) == []


def test_no_link_and_no_broken_text_is_in_a_table() -> None:
    """A signed link is a secret, and half a surrogate pair has no form in UTF-8."""
    found = rows(side(plot="https://x/?signature=1", **{HALF: HALF}))
    assert [(row[0], row[3]) for row in found] == [("plot", "[link]"), (r"\ud800", r"\ud800")]
    library("polars")
    assert len(side(**{HALF: HALF, "a\0b": "c\0d"}).to_polars()) == 2


def test_saved_calculated_data_are_the_same_table(tmp_path: Path) -> None:
    """A notebook reads the file and hands the value on."""
    sent = side_view_calculated(make_runner())
    path = tmp_path / "x.calculated.json"
    path.write_text(json.dumps(sent), encoding="utf-8")
    loaded = load_calculated(path)
    assert rows(loaded) == rows(SideViewCalculated(raw=RawJson(sent)))
    assert "metrics" in repr(loaded)  # the methods of a table change nothing else
    assert loaded == load_calculated(path)


def test_the_page_lists_the_columns() -> None:
    """docs/reference/tables.md has a line for each."""
    assert [each.name for each in json_columns({}, lambda _: None)] == COLUMNS
    assert documented_columns("Calculated data") == COLUMNS
