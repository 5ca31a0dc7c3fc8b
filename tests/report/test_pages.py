"""The pages of a report, read as text: what they say, what they leave out, and that nothing breaks them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async import SideView
from ochy_async.batch.outcomes import Analyzed, Outcome, Refused
from ochy_async.errors import InvalidSettings, UnreadableAnswer
from ochy_async.protocol.text_summary import format_score
from ochy_async.report import write_report
from ochy_async.report.analyses import hundred_text, of_record
from ochy_async.report.overview_page import overview_page
from ochy_async.report.statistics import folder_statistics
from ochy_async.result_loaders import load_records
from tests.support.report_folders import HOSTILE, record, report_folder, text_of, write_records
from tests.support.simulated_runners import scored

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything, and its report."""
    folder = report_folder(tmp_path_factory.mktemp("results"))
    write_report(folder)
    return folder


def page_of(folder: Path, number: int) -> str:
    return (folder / "report" / f"run-{number}.analysis-{number}.html").read_text(encoding="utf-8")


def overview_of(folder: Path) -> str:
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def reported(folder: Path, *records: dict[str, Any]) -> list[str]:
    """All pages about the records, the overview first."""
    overview = write_report(write_records(folder, *records))
    others = sorted(path for path in overview.parent.glob("*.html") if path != overview)
    return [path.read_text(encoding="utf-8") for path in (overview, *others)]


def test_a_side_page_shows_what_a_coach_looks_for(folder: Path) -> None:
    """Score, strike, style, pace, the lowest parts in Ochy's words, curves, numbers, sides, parts and landings."""
    text = text_of(page_of(folder, 0))
    for words in ("of 100", "Foot strike", "Style", "Pace", "Work on this first", "Knee flexion", "Cadence"):
        assert words in text
    for heading in ("Motion", "Numbers", "Left and right", "All parts", "Landing, step by step"):
        assert heading in text
    assert text.count("on the ground") >= 4


def test_a_back_page_shows_the_stance_and_the_ranges(folder: Path) -> None:
    """Pelvis and knee over the stance, and Ochy's means on Ochy's good, okay and bad ranges."""
    text = text_of(page_of(folder, 6))
    for words in ("Pelvic drop", "Knee adduction", "Pronation, knee and pelvis", "good", "okay", "bad"):
        assert words in text
    assert "-20" in text
    assert "20 %" in text


def test_the_policy_of_a_page_allows_its_own_style_and_program_only(folder: Path) -> None:
    """The policy holds the hashes of the two and nothing else but pictures inside the page, and no attribute holds a
    style or a program."""
    for page in (overview_of(folder), page_of(folder, 0)):
        policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0].replace("&#39;", "'")
        style = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)[0]
        program = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)[0]
        hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, program))
        assert policy.split("; ") == [
            "default-src 'none'",
            f"style-src 'sha256-{next(hashes)}'",
            f"script-src 'sha256-{next(hashes)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
        assert not re.search(r"https?:", page)
        assert not re.search(r"<[^>]* (style|on\w+)=", page)


def test_pages_are_small(folder: Path) -> None:
    """Below 120 kB without the picture."""
    for number in range(8):
        assert len(re.sub(r'src="data:[^"]*"', "", page_of(folder, number)).encode()) < 120_000


def test_only_the_user_may_read_the_files(folder: Path) -> None:
    """Pages hold health data."""
    if os.name == "nt":
        pytest.skip("Windows has no modes of files")
    assert {path.stat().st_mode & 0o777 for path in (folder / "report").iterdir()} == {0o600}
    assert (folder / "report").stat().st_mode & 0o777 == 0o700


def test_a_hostile_name_stays_a_text(folder: Path) -> None:
    """Markup in a name is shown, not obeyed, and control characters are replaced."""
    for page in (overview_of(folder), page_of(folder, 1)):
        assert "<script>alert" not in page
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page
        assert HOSTILE[:30] in text_of(page)


def test_the_overview_lists_every_clip(folder: Path) -> None:
    """A failed analysis has a row with its reason and no link; every link leads to a page."""
    overview = overview_of(folder)
    assert overview.count("<tr>") - overview.count("<thead>") >= 9
    assert "The analysis failed." in text_of(overview)
    links = re.findall(r'<a href="([^"]+)"', overview)
    assert len(links) == 8
    assert all((folder / "report" / link).is_file() for link in links)


def test_the_overview_shows_scores_weak_parts_and_progress(folder: Path) -> None:
    """How many analyses have which score, which part is weak most often, and each runner's first and latest score."""
    text = text_of(overview_of(folder))
    for words in ("Total scores", "Weakest parts", "Progress", "Runner 2", "→"):
        assert words in text


def test_a_distribution_needs_two_scores(tmp_path: Path) -> None:
    """Of one analysis the overview shows its score and its row, and no search."""
    one, two = (text_of(reported(tmp_path / name, *map(record, range(count)))[0]) for name, count in NUMBERS.items())
    for words in ("Total scores", "Weakest parts", "median total score", "Find"):
        assert words not in one
        assert words in two


NUMBERS = {"one": 1, "two": 2}


def test_every_runner_has_a_progress_card(tmp_path: Path) -> None:
    """The first twelve at once, the others behind a button that works without a program."""
    lines = [record(number % 3, analysis_id=f"id-{number}", subject=f"Runner {number // 2}") for number in range(40)]
    overview = reported(tmp_path, *lines)[0]
    shown, _, hidden = overview.partition("<details>")
    assert shown.count('class="spark"') == 12
    assert hidden.count('class="spark"') == 8
    assert "8 more" in hidden


def test_quartiles_need_five_analyses(tmp_path: Path) -> None:
    """With four a number stands alone; with five it has its place in the folder."""
    few = reported(tmp_path / "few", *map(record, range(4)))
    many = reported(tmp_path / "many", *map(record, range(5)))
    assert "middle half" not in few[1]
    assert "middle half" in many[1]


def test_an_analysis_that_identical_clips_share_counts_once(tmp_path: Path) -> None:
    """In quartiles, scores, weak parts and progress. The table has a row for each clip."""
    lines = [record(number, subject="Mia") for number in range(4)]
    lines += [{**record(0, subject="Mia"), "index": 4 + copy, "clip": f"copy-{copy}.mp4"} for copy in range(3)]
    for line, score in zip(lines, (0.6, 0.794, 0.7, 0.5, 0.6, 0.6, 0.6), strict=True):
        content(line)["total_score"] = score
    lines.append(record(7, outcome="failed", results=None, calculated=None))
    overview, *pages = reported(tmp_path, *lines)
    text = text_of(overview)
    assert "4 analyses" in text
    assert "8 clips" in text
    assert "1 without results" in text
    assert "4 side view" in text
    assert "60 → 50" in text
    assert overview.count("<tr>") - overview.count("<thead>") >= 8
    page = next(page for page in pages if "run-1.mp4" in page)
    assert "middle half" not in page
    assert "Higher than all of the other 3 side view analyses" in text_of(page)


def test_without_landmarks_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    """It names the option, and shows everything else."""
    page = text_of(reported(tmp_path, record(0))[1])
    assert "--keep raw-data" in page
    assert "Landing, step by step" in page


def test_a_stance_is_shaded_by_the_duty_factor_only(tmp_path: Path) -> None:
    """Without the vendor's duty factor no part of a stride is marked as on the ground."""
    folder = report_folder(tmp_path)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    del lines[0]["calculated"]["metrics"]["duty_factor"]
    page = reported(folder, lines[0])[1]
    assert "Knee flexion" in page
    assert "on the ground" not in page


ODD: dict[str, Change] = {
    "no results": lambda line: line.update(results=None),
    "no calculated data": lambda line: line.update(calculated=None),
    "no texts": lambda line: [part.pop("texts") for part in scored(content(line))],
    "no scores": lambda line: [part.pop("score_number") for part in scored(content(line))],
    "no ranges": lambda line: [part.pop("range_good") for part in scored(content(line))],
    "huge score": lambda line: scored(content(line))[0].update(score_number=1e300),
    "negative score": lambda line: scored(content(line))[0].update(score_number=-4),
    "ranges of one number": lambda line: scored(content(line))[0].update(range_good=[3, 3], range_okay=[3, 3]),
    "landing as a text": lambda line: line["calculated"].update(foot_landing="rearfoot"),
    "landing as odd steps": lambda line: line["calculated"].update(foot_landing=[1, None, {}, {"side": 4}, "x", [[]]]),
    "huge metrics": lambda line: line["calculated"]["metrics"].update(speed_meter_per_second=1e308),
    "empty metrics": lambda line: line["calculated"].update(metrics={}),
    "odd duty factor": lambda line: line["calculated"]["metrics"].update(duty_factor=-1),
    "no names": lambda line: line.update(clip=None, subject=None),
    "odd fields": lambda line: line.update(subject=3, files=[1, None], reason=None, language="<b>", view="top_view"),
    "an id of odd letters": lambda line: line.update(analysis_id="../\x00<b>\ud800"),
    "files that are gone": lambda line: line.update(files=["a.raw_data.json", "b.thumbnail.jpg"]),
}


def content(line: dict[str, Any]) -> dict[str, Any]:
    """The assessment in a record."""
    found: dict[str, Any] = line["results"]["biomechanical_analysis"]
    return found


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_nothing_odd_breaks_a_report(tmp_path: Path, change: Change, view: str) -> None:
    """Whatever is missing or odd, the report is written and the analysis is listed."""
    lines = [record(number, view) for number in range(6)]
    lines[0]["calculated"].setdefault("metrics", {})
    change(lines[0])
    overview = reported(tmp_path, *lines)[0]
    assert "6 analyses" in text_of(overview)


def test_odd_landmarks_are_a_reason_on_the_page(tmp_path: Path) -> None:
    """Landmarks that show no strides, and a file that is no JSON, are said on the page."""
    lines = [record(0, files=["a.raw_data.json"]), record(1, files=["b.raw_data.json"])]
    write_records(tmp_path, *lines)
    (tmp_path / "a.raw_data.json").write_text('{"frames": {"0": {"nose": {"x": 1, "y": 2}}}}', encoding="utf-8")
    (tmp_path / "b.raw_data.json").write_text("no JSON", encoding="utf-8")
    _, *pages = map(text_of, reported(tmp_path, *lines))
    assert "The landmarks show no strides" in pages[0]
    assert "b.raw_data.json cannot be read" in pages[1]


def test_names_of_pages_are_safe_unique_and_stable(tmp_path: Path) -> None:
    """A clip or an id leads nowhere, two clips with one analysis have two pages, and no page replaces the overview."""
    lines = [
        record(0, clip="../../etc/passwd.mp4", analysis_id="../x"),
        record(1, clip="A.mp4", analysis_id="same"),
        record(2, clip="a.mp4", analysis_id="same"),
        record(3, clip=None, analysis_id="index"),
        record(4, clip="李雷 #1?.mp4"),
        record(5, clip="copies/A.mp4", analysis_id="same"),
    ]
    reported(tmp_path, *lines)
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    reported(tmp_path, *lines)
    assert len(names) == 7
    assert names == sorted(path.name for path in (tmp_path / "report").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "results.jsonl"]


def test_texts_of_the_vendor_carry_their_language(tmp_path: Path) -> None:
    """A screen reader and the choice of a font need it."""
    pages = reported(tmp_path, record(0, language="ja"))
    assert 'lang="ja"' in pages[1]
    assert '<html lang="en">' in pages[1]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    """The error names the folder and what to give instead."""
    with pytest.raises(InvalidSettings, match=r"no results\.jsonl"):
        write_report(tmp_path)


def test_a_damaged_table_is_named_by_its_line(tmp_path: Path) -> None:
    """The error does not show what the line holds."""
    (tmp_path / "results.jsonl").write_text('{"name": "Secret"}\n{}\n', encoding="utf-8")
    with pytest.raises(UnreadableAnswer, match="line 1") as error:
        write_report(tmp_path)
    assert "Secret" not in str(error.value)


def test_outcomes_of_a_batch_are_reported_like_their_folder(tmp_path: Path) -> None:
    """The landmarks come from the files of the outcomes, wherever these are; a refused clip has a row."""
    folder = report_folder(tmp_path / "results")
    saved = next(load_records(folder / "results.jsonl"))
    analyzed = Analyzed[Any, Any](
        clip="run-0.mp4",
        index=0,
        label="run-0.mp4",
        request=SideView(language="ja"),
        analysis_id=saved.analysis_id,
        results=cast("Any", saved.results),
        calculated=saved.calculated,
        files=(folder / "run-0.analysis-0.raw_data.json",),
    )
    refused = Refused(clip="b.mp4", index=1, label="b.mp4", request=SideView(), reason="Too long.")
    outcomes: list[Outcome[Any, Any]] = [analyzed, refused]
    overview = write_report(iter(outcomes), tmp_path / "pages")
    page = (tmp_path / "pages" / "run-0.analysis-0.html").read_text(encoding="utf-8")
    assert "Knee flexion" in page
    assert 'lang="ja"' in page
    assert "Too long." in overview.read_text(encoding="utf-8")


def test_outcomes_need_a_folder() -> None:
    """Outcomes do not say where their files belong."""
    with pytest.raises(InvalidSettings, match="folder"):
        write_report([])


def test_the_overview_of_a_thousand_analyses_is_small(tmp_path: Path) -> None:
    """Below 1 MB."""
    lines = [record(number % 20, analysis_id=f"id-{number}", subject=f"Runner {number // 3}") for number in range(1000)]
    folder = write_records(tmp_path, *lines)
    statistics = folder_statistics(map(of_record, load_records(folder / "results.jsonl")))
    assert len(overview_page(statistics, "results").encode()) < 1_000_000


def test_memory_does_not_grow_with_the_folder(tmp_path: Path) -> None:
    """Small rows are kept of each analysis; its results and its page are not."""
    folder = write_records(tmp_path, *(record(number % 10, analysis_id=f"id-{number}") for number in range(150)))
    write_report(folder)  # what is made once, such as the readers of JSON, is not of the folder
    # The interpreter's table of strings takes 8 MB when it happens to grow: at most in one of two runs.
    assert min(_peak_of_a_report(folder) for _ in range(2)) < 2_000_000


def _peak_of_a_report(folder: Path) -> int:
    tracemalloc.start()
    try:
        write_report(folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("score", "shown"), [(0.805, "81"), (0.735, "73"), (0.0, "0"), (1, "100"), (None, "–")])
def test_a_page_rounds_a_score_as_the_command_line_does(score: float | None, shown: str) -> None:
    """0.81 in the terminal is 81 on the page, whatever half of a hundredth was left."""
    assert hundred_text(score) == shown
    assert score is None or f"{float(format_score(score)) * 100:.0f}" == shown
