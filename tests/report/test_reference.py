"""Reference bands of the user's own: how their file is read, what it refuses, and what a page shows of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.errors import InvalidSettings
from ochy_async.report import write_report
from ochy_async.report.analyses import METRICS
from ochy_async.report.reference import Reference, read_reference
from tests.support.report_folders import HOSTILE, record, text_of, write_records

ROOT = Path(__file__).parents[2]
HEADER = "metric,low,high,unit,source"


def read(folder: Path, text: str) -> Reference:
    path = folder / "reference.csv"
    path.write_text(text, encoding="utf-8")
    return read_reference(path)


def problems_of(folder: Path, *rows: str, header: str = HEADER) -> list[str]:
    with pytest.raises(InvalidSettings, match="no report was written") as error:
        read(folder, "\n".join((header, *rows)))
    return [str(problem) for problem in error.value.problems]


def test_every_metric_is_known_by_its_name_and_its_title(tmp_path: Path) -> None:
    """In any case; the unit is that of the page."""
    for name in ("name", "title"):
        rows = [f"{getattr(metric, name).upper()},1,2,{metric.unit},Lab" for metric in METRICS]
        found = read(tmp_path, "\n".join((HEADER, *rows)))
        assert set(found.bands) == {metric.name for metric in METRICS}
        assert found.band("flight_time_ms", None) is not None


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """With a byte order mark, semicolons and columns in another order."""
    found = read(tmp_path, "\ufeffSource;Unit;High;Low;Metric\r\nLab;ms;150;;Flight\r\n")
    band = found.band("flight_time_ms", 3.0)
    assert band is not None
    assert (band.low, band.high, band.source) == (float("-inf"), 150, "Lab")


def test_a_band_may_be_for_some_speeds(tmp_path: Path) -> None:
    """From a speed, and below another; without a speed it is not known whether a band is meant."""
    rows = ["Flight,1,2,ms,slow,,3", "Flight,3,4,ms,fast,3,5"]
    found = read(tmp_path, "\n".join((f"{HEADER},speed_from,speed_to", *rows)))
    sources = [band and band.source for band in (found.band("flight_time_ms", at) for at in (2.9, 3.0, 5.0, None))]
    assert sources == ["slow", "fast", None, None]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("Cadense,160,180,steps/min,Lab", r"line 2, metric: 'Cadense' is not known\. Did you mean 'cadence'"),
        ("height,160,180,cm,Lab", r"line 2, metric: 'height' is not known"),
        ("Step length,90,130,cm,Lab", r"line 2, unit: must be 'm', as the page shows step_length_m, and is 'cm'"),
        ("Cadence,160,180,,Lab", r"line 2, unit: must be 'steps/min'"),
        ("Cadence,160,180,steps/min,", r"line 2, source: is empty"),
        ("Cadence,,,steps/min,Lab", r"line 2, low: is empty, and so is high"),
        ("Cadence,180,160,steps/min,Lab", r"line 2, low: must be lower than high"),
        ("Cadence,nan,180,steps/min,Lab", r"line 2, low: 'nan' is no number"),
        ("Cadence,160,inf,steps/min,Lab", r"line 2, high: 'inf' is no number"),
        ('Cadence,"160,5",180,steps/min,Lab', r"line 2, low: '160,5' is no number\. Write it with a point"),
        ("Cadence,160,180,steps/min", r"line 2: has 4 cells where the header names 5"),
        ('Cadence,160,180,steps/min,"Lab', r"line 2: its quotes are invalid"),
    ],
)
def test_an_invalid_row_is_named_with_what_to_do(tmp_path: Path, row: str, problem: str) -> None:
    """The problem names the line and the column; no valid row is used."""
    (found,) = problems_of(tmp_path, row, "Flight,100,150,ms,Lab")
    assert re.match(problem, found)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Several cells of a row, and several rows."""
    found = problems_of(tmp_path, "Cadence,x,y,Hz,", "Flight,1,2,s,Lab")
    assert [problem.partition(":")[0] for problem in found] == [
        "line 2, unit",
        "line 2, source",
        "line 2, low",
        "line 2, high",
        "line 3, unit",
    ]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("metric,low,high,unit", "the column 'source' is missing"),
        ("metric,low,high,unit,source,sourse", "the column 'sourse' is not known. Did you mean 'source'"),
        ("metric,low,high,unit,source,low", "line 1, low: appears twice"),
        ("160;180", "the column 'metric' is missing"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: str, problem: str) -> None:
    """A column that is not read may be one that matters."""
    assert any(problem in each for each in problems_of(tmp_path, "1,2,3,4,5,6", header=header))


def test_two_bands_for_the_same_speed_are_refused(tmp_path: Path) -> None:
    """The page could show only one of them. The problem names both lines."""
    found = problems_of(
        tmp_path, "Flight,1,2,ms,Lab,,3", "Flight,3,4,ms,Lab,2.9,", header=f"{HEADER},speed_from,speed_to"
    )
    assert found[0].startswith("line 3: flight_time_ms has a band for the same speed in line 2")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\xff\xfeM\x00", "UTF-16"),
        (b"metric,\xff", "line 1: is not UTF-8"),
        (HEADER.encode(), "no row"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """The error names the file."""
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(InvalidSettings, match=problem) as error:
        read_reference(tmp_path / "r.csv")
    assert "r.csv" in str(error.value)


def test_a_file_that_is_gone_is_refused_before_a_report_is_written(tmp_path: Path) -> None:
    """Nothing is written, and pages that are there stay."""
    write_records(tmp_path, record(0))
    with pytest.raises(InvalidSettings, match="cannot be read"):
        write_report(tmp_path, reference=tmp_path / "gone.csv")
    assert not (tmp_path / "report").exists()


def page_with(folder: Path, text: str, *records: int) -> str:
    """The first page of a report with a reference."""
    write_records(folder, *map(record, records or (0,)))
    (folder / "reference.csv").write_text(text, encoding="utf-8")
    write_report(folder, reference=folder / "reference.csv")
    return (folder / "report" / "run-0.analysis-0.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("records", [(0,), tuple(range(5))], ids=["alone", "in a folder"])
def test_a_page_shows_the_band_with_its_source(tmp_path: Path, records: tuple[int, ...]) -> None:
    """On its metric only, as the user's and not Ochy's; the numbers are as they were written."""
    page = page_with(tmp_path, f"{HEADER}\nCadence,161.25,185,steps/min,Example & Sons\n", *records)
    text = text_of(page)
    assert page.count('class="reference"') == 1
    assert "Your reference: 161.25 to 185, Example & Sons" in text
    assert "The strip is a reference of yours, from reference.csv. It is not Ochy's." in text
    assert ("middle half" in text) == (len(records) == 5)


@pytest.mark.parametrize(("bounds", "told"), [("160,", "at least 160"), (",185", "at most 185")])
def test_a_band_may_be_open(tmp_path: Path, bounds: str, told: str) -> None:
    """The strip reaches the end of the scale."""
    page = page_with(tmp_path, f"{HEADER}\nCadence,{bounds},steps/min,Lab\n")
    assert f"Your reference: {told}, Lab" in text_of(page)
    (x, width) = re.findall(r'class="reference" x="([^"]+)" y="17" height="4" width="([^"]+)"', page)[0]
    assert float(x) == 6.0 if bounds.startswith(",") else float(x) + float(width) == pytest.approx(194, abs=0.2)


def test_the_band_and_the_dot_are_on_one_scale(tmp_path: Path) -> None:
    """The dot of a number in the middle of a band is in the middle of its strip."""
    cadence = record(0)["calculated"]["metrics"]["step_frequency_steps_per_min"]
    page = page_with(tmp_path, f"{HEADER}\nCadence,{cadence - 7},{cadence + 7},steps/min,Lab\n")
    x, width = map(float, re.findall(r'class="reference" x="([^"]+)".*?width="([^"]+)"', page)[0])
    (dot,) = re.findall(r'class="dot" cx="([^"]+)"', page)
    assert float(dot) == pytest.approx(x + width / 2, abs=0.1)
    assert 120 < width < 180


def test_without_a_row_for_the_runner_the_page_says_nothing_of_a_reference(tmp_path: Path) -> None:
    """A band for another speed."""
    page = page_with(tmp_path, f"{HEADER},speed_from,speed_to\nCadence,1,2,steps/min,Lab,30,\n")
    assert "reference of yours" not in page
    assert 'class="reference"' not in page


def test_a_hostile_source_stays_a_text(tmp_path: Path) -> None:
    """Markup is shown, not obeyed."""
    source = HOSTILE.replace('"', '""')
    page = page_with(tmp_path, f'{HEADER}\nCadence,1,2,steps/min,"{source}"\n')
    assert "<script>alert" not in page
    assert HOSTILE[:30] in text_of(page)


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    """It is the file beside the page, its metrics are all that the page lists, and a report takes it."""
    example = (ROOT / "docs" / "examples" / "reference.csv").read_text(encoding="utf-8")
    page = (ROOT / "docs/how-to/report.md").read_text(encoding="utf-8")
    assert f"```csv\n{example}```" in page
    for metric in METRICS:
        assert f"`{metric.title}` ({metric.unit})" in " ".join(page.split())
    shown = page_with(tmp_path, example)
    assert shown.count('class="reference"') == 4
    assert "Example club, juniors" in shown
