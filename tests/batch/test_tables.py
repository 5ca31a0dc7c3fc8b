"""The tables of a batch: in the order of the input, with all numbers, up to date during a run, and safe to open."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ochy_async import BackView, SideView
from ochy_async.batch.outcomes import Analyzed, Outcome, Unfinished
from ochy_async.batch.output import tables as tables_module
from ochy_async.batch.output.columns import COLUMNS, CsvColumns
from ochy_async.batch.output.measures import MAX_FURTHER, MEASURE_NAMES, measures_of
from ochy_async.batch.output.tables import SCHEMA, Tables, json_line, open_tables
from ochy_async.batch.records import OutcomeRecord
from ochy_async.batch.sources import BatchItem
from ochy_async.emulator import Service, sample_clip
from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.calculated_data import back_view_calculated, side_view_calculated
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import AnalysisFailed
from ochy_async.journal.memory import MemoryJournal
from ochy_async.protocol.analysis import calculated_call, results_call
from ochy_async.protocol.wire import Response
from tests.conftest import direct_session, world
from tests.support.simulated_runners import make_runner

Records = list[dict[str, Any]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def names_in(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def records(out: Path) -> Records:
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="ascii").splitlines()]


def record(**facts: Any) -> dict[str, Any]:
    """A record of an analyzed clip, unless `word` says otherwise."""
    values: dict[str, Any] = {"word": "analyzed", **facts}
    return OutcomeRecord(**values).to_json()


def clip_record(index: int, clip: str = "", **facts: Any) -> dict[str, Any]:
    """A record of an analyzed clip of the input."""
    clip = clip or f"{index}.mp4"
    return record(index=index, clip=clip, key=f"key of {clip}", analysis_id=f"id of {clip}", **facts)


def write_tables(out: Path, returned: Records, *, complete: bool) -> None:
    """Writes the tables of a run that returned these records."""

    async def write() -> None:
        async with open_tables(out) as tables:
            for each in returned:
                await tables.add(partial(dict, each))
            await tables.finish(complete=complete)

    asyncio.run(write())


# --- columns --------------------------------------------------------------------------------------

HEADER = (
    "index,file,view,outcome,analysis_id,subject,subject_id,height_m,weight_kg,requested_pace_per_km,treadmill,"
    "total_score,cadence_steps_per_min,speed_m_per_s,pace_per_km,step_length_m,"
    "ground_contact_time_ms,flight_time_ms,duty_factor,overstride_angle_deg,overstride_score,foot_strike_pattern,"
    "landings_rearfoot,landings_midfoot,landings_forefoot,running_style,running_style_share,"
    "arm_score,back_cycle_score,foot_score,forward_cycle_score,head_score,trunk_score,pronation_left_score,"
    "pronation_right_score,knee_adduction_left_score,knee_adduction_right_score,pelvic_drop_left_score,"
    "pelvic_drop_right_score,reason"
)


def test_every_table_has_the_fixed_columns() -> None:
    """Programs read them: they are always present and in this order, whatever else an answer holds."""
    assert ",".join(COLUMNS) == HEADER


def test_the_request_and_the_users_columns_are_in_the_table(out: Path) -> None:
    """Subject, height, weight, pace and treadmill; the input's own columns last, by their own names."""
    request = SideView(height=1.81, weight=66.5, pace="05:30", treadmill=True, subject_id="s-1")
    item = BatchItem(sample_clip(1), request, extra={"Group": "A", "index": "7", "Note": "left\nknee; =1+1"})
    outcomes = batched([item, (sample_clip(2), BackView())], out=out)
    first, second = rows(out)
    asked = ("subject", "subject_id", "height_m", "weight_kg", "requested_pace_per_km", "treadmill")
    assert [first[name] for name in asked] == ["s-1", "s-1", "1.81", "66.5", "05:30", "true"]
    assert [second[name] for name in asked] == ["", "", "1.7", "70.0", "", "false"]
    assert list(first)[-3:] == ["Group", "input_index", "Note"]
    assert (first["Group"], first["input_index"], first["Note"]) == ("A", "7", "left knee; '=1+1")
    assert (second["Group"], second["index"]) == ("", "1")
    assert outcomes[0].extra == item.extra
    assert records(out)[0]["extra"] == {"Group": "A", "index": "7", "Note": "left\nknee; =1+1"}


def batched(source: Any, service: Service | None = None, **settings: Any) -> list[Outcome[Any, Any]]:
    """The outcomes of a batch, in the order of the input."""

    async def story() -> list[Outcome[Any, Any]]:
        async with direct_session(service or world()) as ochy, ochy.batch(SideView(), **settings) as batch:
            return sorted([each async for each in batch.run(source)], key=lambda outcome: outcome.index)

    return in_virtual_time(story())


def test_every_number_of_the_vendor_is_a_column(out: Path) -> None:
    """Joint angles, landings, the overstride's score, and the stance means of a back view, with their units."""
    batched([sample_clip(1), (sample_clip(2), BackView())], out=out)
    side, back = rows(out)
    returned = {each["view"]: each["calculated"] for each in records(out)}
    assert float(side["knee_left_min_deg"]) == returned["side_view"]["joint_angles"]["knee"]["left"]["min"]
    assert side["overstride_score"].startswith("score_")
    assert sum(int(side[f"landings_{name}"]) for name in ("rearfoot", "midfoot", "forefoot")) == 12
    stance = returned["back_view"]["gait_cycle"]["left"]["stance_mean"]
    assert float(back["left_stance_mean_pronation_deg"]) == stance["pronation"]
    assert not side["left_stance_mean_pronation_deg"]
    assert list(side).index("knee_left_min_deg") < list(side).index("reason")


ODD: dict[str, tuple[Any, dict[str, Any]]] = {
    "angles by side": (
        {"joint_angles": {"knee": {"left": 1.5, "right": 2}}},
        {"knee_left_deg": 1.5, "knee_right_deg": 2},
    ),
    "one angle": ({"joint_angles": {"knee": 140}}, {"knee_deg": 140}),
    "angles that say so": ({"joint_angles": {"knee_max_degrees": 140}}, {"knee_max_degrees": 140}),
    "moments": ({"joint_angles": {"knee": {"time_ms": 140}}}, {"knee_time_ms": 140}),
    "courses": ({"joint_angles": {"knee": [1, 2, 3]}}, {}),
    "no angles": ({"joint_angles": None}, {}),
    "words for angles": ({"joint_angles": {"knee": "140", "hip": True}}, {}),
    "a new metric": ({"metrics": {"vertical_oscillation_cm": 8.5}}, {"vertical_oscillation_cm": 8.5}),
    "a new group": ({"asymmetry": {"Left/Right": 0.1}}, {"asymmetry_left_right": 0.1}),
    "landings by step": (
        {"foot_landing": [{"step": 1, "landing": "Rearfoot"}, "rearfoot", {"x": ["midfoot"]}]},
        {"landings_rearfoot": 2, "landings_midfoot": 1, "landings_forefoot": 0},
    ),
    "landings counted": (
        {"foot_landing": {"rearfoot": 7, "forefoot": 10**12}},
        {"landings_rearfoot": 7, "landings_midfoot": 0, "landings_forefoot": 1000},
    ),
    "landings in per cent": ({"foot_landing": {"rearfoot": 66.7}}, {"foot_landing_rearfoot": 66.7}),
    "landings of no known kind": ({"foot_landing": {"1": "heel"}}, {}),
    "a link for a name": ({"x": {"https://host/secret": 1}}, {"x_link": 1}),
}


@pytest.mark.parametrize(("body", "wanted"), ODD.values(), ids=ODD)
def test_numbers_of_undocumented_layouts_are_columns(body: Any, wanted: dict[str, Any]) -> None:
    """A number is named after its path; other values are left out without an error."""
    assert measures_of(None, calculated(body)) == wanted


def test_every_measure_can_be_read() -> None:
    """Each path of attributes in the table of views leads to a value, if the answers hold one."""
    runner, leg = make_runner(), {"score_number": 0.5}
    data: dict[str, Any] = {**side_view_calculated(runner), "foot_landing": ["midfoot"]}
    data["metrics"] = {**data["metrics"], "duty_factor": 0.4}
    legs = {part: {"left": leg, "right": leg} for part in ("pronation", "knee_adduction", "pelvic_drop")}
    found = dict[str, Any]()
    for analysis in (side_view_results(runner, language="en"), {"analysis_content": legs, "total_score": 0.5}):
        body = {"video_id": "x", "status": "success", "biomechanical_analysis": analysis}
        results = results_call("x").outcome(Response(200, {}, json.dumps(body).encode()))[0].results
        found |= measures_of(results, calculated(data))
    assert found.keys() >= set(MEASURE_NAMES)


def test_a_new_number_in_the_results_is_a_column() -> None:
    """Such as a measured value, which the vendor's sample lacks; a score appears once."""
    analysis = side_view_results(make_runner(), language="en")
    analysis["analysis_content"]["arm"]["measured"] = 81.5
    body = {"video_id": "x", "status": "success", "biomechanical_analysis": analysis}
    results = results_call("x").outcome(Response(200, {}, json.dumps(body).encode()))[0].results
    returned = measures_of(results, None)
    assert returned.pop("arm_measured") == 81.5
    assert returned.keys() <= set(MEASURE_NAMES)
    assert len([name for name in returned if name.endswith("_score")]) == 7


def calculated(body: Any) -> Any:
    return calculated_call("id").outcome(Response(200, {}, json.dumps(body).encode()))[0]


def test_the_width_of_a_table_is_bounded() -> None:
    """At most a hundred numbers beside the documented ones, with names of bounded length."""
    returned = measures_of(None, calculated({"joint_angles": {f"{n}{'x' * 500}": n for n in range(1000)}}))
    assert len(returned) == MAX_FURTHER
    assert max(map(len, returned)) < 100


@pytest.mark.parametrize(
    "body", [side_view_calculated(make_runner()), back_view_calculated(make_runner(), full_body=True)]
)
def test_the_names_of_measures_are_plain(body: Any) -> None:
    """Lower case, digits and underscores only, so that every program can use them."""
    returned = measures_of(None, calculated(body))
    assert len(returned) >= 6
    assert all(name.replace("_", "").isalnum() and name == name.lower() for name in returned)


# --- cells ----------------------------------------------------------------------------------------

NAMES = {
    "=1+1": "'=1+1",
    "+cmd": "'+cmd",
    "-1+2": "'-1+2",
    "@x": "'@x",
    "\tx": " x",
    " =1": " '=1",
    "\r=x": " '=x",
    "＝1": "'＝1",
    "a;=1": "a;'=1",
    'a; "=1': "a; \"'=1",
    "a\t=1": "a =1",
    'a"b,c': 'a"b,c',
    "a-b": "a-b",
    "a\r\nb\u2028c\vd": "a b c d",
    "\x00": " ",
    "\udcff.mp4": "\\udcff.mp4",
    "-3.5": "-3.5",
    "+1,75": "+1,75",
    "1e-3": "1e-3",
}


@pytest.mark.parametrize(("name", "cell"), NAMES.items(), ids=map(ascii, NAMES))
def test_texts_of_the_input_are_written_safely(name: str, cell: str, out: Path) -> None:
    """No cell or heading is a formula or has two lines; the JSON holds every text unchanged."""
    outcome = Unfinished(
        clip=name, index=-1, label=name, request=SideView(), reason="=cmd", extra={name: name, "x": "y"}
    )
    write_tables(out, [OutcomeRecord.of(outcome).to_json()], complete=True)
    (row,) = rows(out)
    assert row["file"] == cell
    assert row[cell] == cell
    assert (row["reason"], row["index"], row["x"]) == ("'=cmd", "-1", "y")
    (returned,) = records(out)
    assert (returned["clip"], returned["extra"]) == (name, {name: name, "x": "y"})


def test_columns_of_the_same_name_are_distinguished() -> None:
    """The input's columns get a prefix, in any case of letters; no column is lost or overwritten."""
    columns = CsvColumns(("new_deg",), ("Outcome", "input_outcome", "new_deg", "outcome"))
    heading = columns.header().strip().split(",")[-4:]
    assert heading == ["input_Outcome", "input_input_outcome", "input_new_deg", "input_input_input_outcome"]


def test_the_table_is_marked_as_utf8(out: Path) -> None:
    """There is one byte order mark, at the very beginning: without it Excel assumes another encoding."""
    write_tables(out, [clip_record(0, "läufer.mp4")], complete=True)
    content = (out / "results.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfindex,file,")
    assert content.count(b"\xef\xbb\xbf") == 1
    assert rows(out)[0]["file"] == "läufer.mp4"


def test_pandas_reads_the_table(out: Path) -> None:
    """Numbers as numbers, booleans as booleans, unknown values as missing, without any argument."""
    pandas = pytest.importorskip("pandas", reason="pandas is not needed by the package")
    batched([BatchItem(sample_clip(1), extra={"Größe": "=1"}), b"no video"], out=out)
    table = pandas.read_csv(out / "results.csv")
    assert list(table.columns[:2]) == ["index", "file"]
    assert table["height_m"].dtype == float
    assert table["treadmill"].dtype == bool
    assert table["cadence_steps_per_min"].isna().tolist() == [False, True]
    assert table["Größe"].tolist()[0] == "'=1"


# --- order ----------------------------------------------------------------------------------------


def test_rows_are_in_the_order_of_the_input(out: Path) -> None:
    """In whatever order they were added; indexes are sorted as numbers."""
    write_tables(out, [clip_record(10), clip_record(9), clip_record(0), clip_record(2)], complete=True)
    assert [each["index"] for each in records(out)] == [0, 2, 9, 10]
    assert [row["index"] for row in rows(out)] == ["0", "2", "9", "10"]


def test_long_lines_are_sorted_too(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines longer than one read."""
    monkeypatch.setattr(tables_module, "READ_SIZE", 100)
    write_tables(out, [clip_record(n, reason=f"{n}" * 1000 * (n % 3)) for n in (3, 1, 2, 0)], complete=True)
    assert [(each["index"], len(each["reason"])) for each in records(out)] == [(0, 0), (1, 1000), (2, 2000), (3, 0)]


def test_copies_of_a_clip_have_a_row_each(out: Path) -> None:
    """They are one analysis and two rows of the input."""
    batched([BatchItem(sample_clip(1), extra={"trial": n}) for n in "abc"], out=out)
    assert [row["trial"] for row in rows(out)] == ["a", "b", "c"]
    assert len({row["analysis_id"] for row in rows(out)}) == 1


# --- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "break", "raise"])
def test_a_batch_that_is_left_early_writes_its_tables(out: Path, how: str) -> None:
    """They hold the rows so far, and no temporary file is left."""

    def source() -> Iterator[bytes]:
        yield sample_clip(1)
        if how == "raise":
            raise KeyError("input")
        for number in range(2, 90):
            yield sample_clip(number)

    async def story() -> list[Outcome[Any, Any]]:
        shown: list[Outcome[Any, Any]] = []
        async with direct_session(world()) as ochy, ochy.batch(SideView(), out=out, keep=()) as batch:
            try:
                async for outcome in (running := batch.run(source())):
                    shown.append(outcome)
                    if how == "stop":
                        batch.stop()
                    elif how == "break":
                        break
                await running.aclose()
            except KeyError:
                pass
        return shown

    shown = in_virtual_time(story())
    assert {each["index"] for each in records(out)} == {each.index for each in shown}
    assert {row["index"] for row in rows(out)} == {str(each.index) for each in shown}
    assert {each.name for each in out.iterdir() if not each.name.startswith("clip_")} == {
        "results.csv",
        "results.jsonl",
    }


def test_tables_are_updated_during_a_run(out: Path) -> None:
    """They are at most some seconds old if the process is killed, and no temporary file is left."""
    now = [0.0]
    seen, left = list[int](), list[str]()

    async def write() -> None:
        tables = Tables(out, clock=lambda: now[0])
        tables.open()
        for index in range(4):
            await tables.add(partial(clip_record, index))
            seen.append(len(rows(out)))
            now[0] += 3.0
        left.extend(names_in(out))
        await tables.close()

    asyncio.run(write())
    assert seen == [1, 1, 3, 3]
    assert left == ["results.csv", "results.jsonl"]


def test_an_interrupted_run_removes_no_row(out: Path) -> None:
    """Rows that it did not reach stay, the others are new, and the order is that of the input."""
    write_tables(out, [clip_record(0), clip_record(1, reason="old"), clip_record(2)], complete=True)
    write_tables(out, [clip_record(3), clip_record(1, reason="new")], complete=False)
    assert [(each["index"], each["reason"]) for each in records(out)] == [(0, ""), (1, "new"), (2, ""), (3, "")]
    write_tables(out, [clip_record(1)], complete=False)
    assert len(rows(out)) == 4


def test_a_complete_run_replaces_the_tables(out: Path) -> None:
    """They hold the rows of its input and no others."""
    write_tables(out, [clip_record(0), clip_record(1), clip_record(2)], complete=True)
    write_tables(out, [clip_record(0, "other.mp4")], complete=True)
    assert [row["file"] for row in rows(out)] == ["other.mp4"]


def test_an_interrupted_run_without_outcomes_leaves_the_tables_unchanged(out: Path) -> None:
    """Not a byte changes."""
    write_tables(out, [clip_record(0)], complete=True)
    before = (out / "results.csv").stat()
    write_tables(out, [], complete=False)
    assert (out / "results.csv").stat().st_mtime_ns == before.st_mtime_ns


def test_a_clip_that_becomes_readable_has_one_row(out: Path) -> None:
    """Without a journal key it is identified by its name."""
    unread = {**clip_record(0), "key": None, "analysis_id": None}
    write_tables(out, [unread, clip_record(1)], complete=True)
    write_tables(out, [clip_record(0)], complete=False)
    assert [each["key"] for each in records(out)] == ["key of 0.mp4", "key of 1.mp4"]


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl"])
def test_foreign_tables_stay_until_a_run_is_complete(out: Path, name: str) -> None:
    """Their content is unknown, so nothing is added to them."""
    (out / name).write_text('{"index": 0}\n')
    write_tables(out, [clip_record(0)], complete=False)
    assert (out / name).read_text() == '{"index": 0}\n'
    write_tables(out, [clip_record(0)], complete=True)
    assert [row["file"] for row in rows(out)] == ["0.mp4"]


def test_a_record_without_a_clip_completes_an_earlier_row(out: Path) -> None:
    """An analysis that `ochy wait` collects keeps the facts of the clip that the batch recorded."""
    facts: dict[str, Any] = {"request": SideView(height=1.6), "extra": {"group": "A"}, "view": "side_view"}
    unfinished = {**clip_record(1, **facts), "outcome": "unfinished", "reason": "It took too long."}
    write_tables(out, [clip_record(0, **facts), unfinished], complete=True)
    waited = record(analysis_id="id of 1.mp4", results=None, files=("x",))
    write_tables(out, [record(analysis_id="unknown"), waited], complete=False)
    first, second, third = records(out)
    assert (first["clip"], third["clip"], third["analysis_id"]) == ("0.mp4", None, "unknown")
    assert (second["index"], second["clip"], second["outcome"], second["height_m"]) == (1, "1.mp4", "analyzed", 1.6)
    assert (second["extra"], second["files"], second["reason"]) == ({"group": "A"}, ["x"], "")


def test_running_a_finished_batch_again_writes_the_same_tables(out: Path) -> None:
    """From the journal; only `bought` differs."""
    service, journal = Service(world()), MemoryJournal()
    source = [sample_clip(n) for n in range(3)]
    batched(source, service, out=out, journal=journal)
    before = (out / "results.csv").read_bytes()
    batched(source, service, out=out, journal=journal)
    assert (out / "results.csv").read_bytes() == before


# --- the schema -----------------------------------------------------------------------------------

FORM = json.loads((files("ochy_async.batch") / "results.schema.json").read_text(encoding="utf-8"))
DOCS = Path(__file__).parents[2] / "docs/reference/record.md"


def test_records_match_the_shipped_schema(out: Path) -> None:
    """Every outcome and both views match it; a record with a field outside it does not."""
    jsonschema = pytest.importorskip("jsonschema", reason="the extra `dev` brings it")
    batched([BatchItem(sample_clip(1), extra={"a": "b"}), (sample_clip(2), BackView()), b"no video"], out=out)
    check = jsonschema.Draft202012Validator(FORM)
    check.check_schema(FORM)
    bare = record(word="failed", analysis_id="x", error=AnalysisFailed("It failed.", status=400))
    for returned in (*records(out), json.loads(json_line(bare))):
        check.validate(returned)
    with pytest.raises(jsonschema.ValidationError):
        check.validate({**bare, "new": 1})


def test_the_schema_lists_every_field_and_measure() -> None:
    """The page shows the schema, and both state the same version."""
    assert list(FORM["properties"]) == list(record()) == FORM["required"]
    assert FORM["properties"]["schema"] == {"const": SCHEMA, "description": FORM["properties"]["schema"]["description"]}
    assert list(FORM["properties"]["measures"]["properties"]) == list(MEASURE_NAMES)
    if DOCS.exists():  # an installed package has no docs
        page = DOCS.read_text(encoding="utf-8")
        assert "<!-- generated: record -->" in page
        assert f"version {SCHEMA}" in page


def test_every_record_has_every_field() -> None:
    """A program need not check whether a key exists, and the version comes first."""
    outcome = Unfinished(clip="x", index=0, label="x", request=SideView(), reason="r")
    (analyzed,) = batched([sample_clip(1)], keep=("calculated",))
    assert isinstance(analyzed, Analyzed)
    returned = [
        json.loads(json_line(OutcomeRecord.of(each).to_json()))
        for each in (outcome, analyzed, evolve(analyzed, reason="https://x"))
    ]
    assert len({tuple(each) for each in returned}) == 1
    assert next(iter(returned[0].items())) == ("schema", SCHEMA)
    assert returned[2]["reason"] == "[link]"
    assert "://" not in json.dumps(returned)
    assert set(returned[1]["measures"]) > {name for name in MEASURE_NAMES if name.endswith("_ms")}
