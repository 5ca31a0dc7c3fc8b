"""What pages say with numbers: they agree with what is shown beside them, and nothing that cannot be is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.gait import side_gait
from ochy_async.report import report_page, write_report
from ochy_async.report.analyses import of_record, of_results
from ochy_async.report.charts import histogram
from ochy_async.report.curve_chart import Axis
from ochy_async.report.motion import motion_of
from ochy_async.report.sides_section import left_and_right_section
from ochy_async.result_loaders import load_records
from tests.gait.recordings import filmed, landmarks, runner
from tests.support.report_folders import record, scored_parts, text_of, write_records

Change = Callable[[dict[str, Any]], object]


def pages_of(folder: Path, *lines: dict[str, Any]) -> list[str]:
    """What the pages show, the overview first."""
    overview = write_report(write_records(folder, *lines))
    others = sorted(path for path in overview.parent.glob("*.html") if path != overview)
    return [text_of(path.read_text(encoding="utf-8")) for path in (overview, *others)]


def with_landmarks(folder: Path, frames: dict[str, Any], **video: Any) -> str:
    """What the page of a runner shows whose landmarks these are."""
    folder.mkdir(exist_ok=True)
    raw = {"video_input_information": {"fps": 60, "width": 1920, "height": 1080, **video}, "frames": frames}
    (folder / "a.raw_data.json").write_text(json.dumps(raw), encoding="utf-8")
    return pages_of(folder, record(1, files=["a.raw_data.json"]))[1]


def scores_of(folder: Path, *scores: float) -> list[str]:
    """The pages of side views with these total scores."""
    lines = [record(number) for number in range(len(scores))]
    for line, score in zip(lines, scores, strict=True):
        line["results"]["biomechanical_analysis"]["total_score"] = score
    return pages_of(folder, *lines)


# --- scores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [58.8, -0.01, 1.01])
def test_a_score_beyond_its_scale_is_a_dash(tmp_path: Path, score: float) -> None:
    """Nobody knows what it would mean of 100."""
    line = record(0)
    line["results"]["biomechanical_analysis"]["total_score"] = score
    for part in scored_parts(line):
        part["score_number"] = score
    overview, page = pages_of(tmp_path, line)
    for shown in (overview, page):
        assert f"{100 * score:.0f}" not in re.findall(r"-?\d+", shown.split("Numbers")[0])
        assert "no score" in shown


def test_a_histogram_counts_scores_as_they_are_shown() -> None:
    """0.696 is shown as 70, so it is counted from 70 to 80."""
    assert "2 from 70 to 80" in str(histogram([0.696, 0.704]))
    assert "1 from 90 to 100" in str(histogram([1.0]))
    assert text_of(str(histogram([0.7]))) == "1 0 10 20 30 40 50 60 70 80 90 100"


def test_a_score_is_compared_with_others_as_they_are_shown(tmp_path: Path) -> None:
    """Of two runners with 70 of 100 none is higher; with one other the sentence says so."""
    assert "Not higher than the other side view analysis in this folder." in scores_of(tmp_path / "a", 0.696, 0.699)[2]
    assert "Higher than the other side view analysis in this folder." in scores_of(tmp_path / "b", 0.6, 0.7)[2]
    three = scores_of(tmp_path / "c", 0.6, 0.7, 0.8)
    for count, page in zip(("none", "1", "all"), three[1:], strict=True):
        assert f"Higher than {count} of the other 2 side view analyses in this folder." in page


# --- metrics and sides ------------------------------------------------------------------------------


@pytest.mark.parametrize("duty_factor", [1, 250, 0, -1])
def test_an_impossible_duty_factor_is_no_number(tmp_path: Path, duty_factor: float) -> None:
    """The tile has the same check as the shaded stance."""
    line = record(0)
    line["calculated"]["metrics"]["duty_factor"] = duty_factor
    assert "Duty factor" not in pages_of(tmp_path, line)[1]


def test_a_difference_is_that_of_the_numbers_beside_it() -> None:
    """29.54 and 30.26 are shown as 29.5 and 30.3."""
    for seed in range(6):
        section = left_and_right_section(motion_of(landmarks(filmed(runner(seed), noise=3)), "side_view"))
        rows = re.findall(r"(-?[\d.]+)° (-?[\d.]+)° (-?[\d.]+)°", text_of(str(section)))
        assert rows
        for left, right, difference in rows:
            assert f"{abs(float(left) - float(right)):.1f}" == difference


# --- strides ----------------------------------------------------------------------------------------


def test_strides_are_counted_by_side_where_they_differ(tmp_path: Path) -> None:
    """A right knee that is seen in one stride only has no mean of eight."""
    frames = filmed(runner(1), seconds=8)
    for number, points in frames.items():
        if int(number) > 120:
            points.pop("right_knee")
    curves = side_gait(landmarks(frames)).curves
    most = curves["left"]["knee"].strides
    fewest = curves["right"]["knee"].strides
    assert fewest < most
    page = with_landmarks(tmp_path, frames)
    assert f"Means of {most} strides (left) and {fewest} to " in page


def test_one_stride_has_no_band(tmp_path: Path) -> None:
    """A standard deviation of one stride says nothing."""
    frames = {name: points for name, points in filmed(runner(1), seconds=8).items() if int(name) < 75}
    page = with_landmarks(tmp_path, frames)
    assert "Curves of 1 stride at 60 frames/s. The curves run" in page


def test_without_a_frame_rate_no_speed_is_offered(tmp_path: Path) -> None:
    """The note says why."""
    frames = filmed(runner(1))
    without, known = with_landmarks(tmp_path / "a", frames, fps=None), with_landmarks(tmp_path / "b", frames)
    assert "frame rate unknown" in without
    assert "Speed ½" not in without.replace("Speed 1 ", "Speed ")
    assert "Speed" in known.split("Numbers")[0]
    assert "Speed" not in without.split("Numbers")[0]


def test_angles_that_are_missing_for_one_reason_are_named_together(tmp_path: Path) -> None:
    """`Ankle (both sides), left elbow: …`"""
    lacking = ("heel", "foot", "left_wrist")
    frames = {
        number: {name: point for name, point in points.items() if not any(each in name for each in lacking)}
        for number, points in filmed(runner(1)).items()
    }
    page = with_landmarks(tmp_path, frames)
    assert "Left elbow, ankle (both sides): " in page or "Ankle (both sides), left elbow: " in page
    assert page.count("lack a joint") == 1


def test_an_axis_spans_at_least_ten_degrees() -> None:
    """Noise of a degree does not fill a chart."""
    for low, high in ((3.1, 3.2), (-0.4, 0.3), (88.0, 96.0), (0.0, 60.0)):
        axis = Axis(low, high)
        assert axis.high - axis.low >= max(10, high - low)
        assert axis.low <= low
        assert axis.high >= high


# --- names ------------------------------------------------------------------------------------------


def test_a_page_names_its_clip(tmp_path: Path) -> None:
    """Three pages of one runner can be told apart; a page whose heading is the clip names it once."""
    lines = [record(0, subject="Mia"), record(1, subject=None)]
    overview = write_report(write_records(tmp_path, *lines))
    mia, clip = ((overview.parent / f"run-{number}.analysis-{number}.html").read_text("utf-8") for number in (0, 1))
    assert "<title>Mia, run-0.mp4, side view</title>" in mia
    assert re.search(r"<h1[^>]*>Mia</h1><p[^>]*>run-0\.mp4</p>", mia)
    assert "<title>run-1.mp4, side view</title>" in clip
    assert text_of(clip.partition("</header>")[0]).count("run-1.mp4") == 2


def test_a_part_has_one_name_on_all_pages(tmp_path: Path) -> None:
    """The vendor's title if it is English, else the name of the part in English."""
    english, japanese = record(0), record(1, language="ja")
    for line in (english, japanese):
        back_cycle = line["results"]["biomechanical_analysis"]["analysis_content"]["back_cycle"]
        back_cycle["score_number"], back_cycle["texts"]["title"] = (
            0.01,
            "着地時の膝" if line is japanese else "Back knee",
        )
    assert "Back knee 2" in pages_of(tmp_path / "both", english, japanese)[0]
    alone = pages_of(tmp_path / "one", japanese)[0]
    assert "Back cycle" in alone
    assert "着地時の膝" not in alone


# --- progress ---------------------------------------------------------------------------------------


def progress_of(folder: Path, *dates: str | None) -> str:
    """The section about the progress of a runner with scores 50, 60 …, whose clips have these dates."""
    lines = [record(0, analysis_id=f"id-{place}", clip=f"{place}.mp4", subject="Mia") for place in range(len(dates))]
    for place, (line, date) in enumerate(zip(lines, dates, strict=True)):
        line["results"]["biomechanical_analysis"]["total_score"] = 0.5 + place / 10
        line["extra"] = {} if date is None else {"Date": date}
    return pages_of(folder, *lines)[0].partition("Progress")[2].partition("All analyses")[0]


def test_progress_is_in_the_order_of_dates(tmp_path: Path) -> None:
    """A column of the input says when a clip was filmed."""
    shown = progress_of(tmp_path, "2026-03-01", "2026-01-15T08:00+02:00", "2026-02-10T09:30")
    assert "60 → 50 (−10), 2026-01-15 to 2026-03-01" in shown
    assert "by date" in shown


@pytest.mark.parametrize("dates", [("2026-03-01", None), ("2026-03-01", "1.2.2026"), (None, None)])
def test_progress_without_all_dates_is_in_the_order_of_the_folder(tmp_path: Path, dates: Any) -> None:
    """Nothing is guessed, and the page says which order it is."""
    shown = progress_of(tmp_path, *dates)
    assert "50 → 60 (+10)" in shown
    assert "in the order of the folder, the first and the last in the folder." in shown
    assert "2026" not in shown


# --- thumbnails -------------------------------------------------------------------------------------

JPEG = b"\xff\xd8\xff"


@pytest.mark.parametrize(
    ("picture", "said"),
    [(JPEG + bytes(300_000), "larger than 256 KiB"), (b"GIF89a", "no JPEG"), (JPEG, ""), (None, "")],
)
def test_a_thumbnail_that_is_left_out_is_said(tmp_path: Path, picture: bytes | None, said: str) -> None:
    """In a report and on a page that a service answers with."""
    line = record(0, files=[] if picture is None else ["a.thumbnail.jpg"])
    folder = write_records(tmp_path, line)
    if picture is not None:
        (folder / "a.thumbnail.jpg").write_bytes(picture)
    saved = next(load_records(folder / "results.jsonl"))
    assert saved.results is not None
    assert of_results(saved.results).analysis_id == of_record(saved).analysis_id
    for page in (pages_of(folder, line)[1], text_of(report_page(saved.results, thumbnail=picture))):
        assert ("The thumbnail is left out" in page) == bool(said)
        assert said in page
