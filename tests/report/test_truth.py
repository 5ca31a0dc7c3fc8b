"""What pages say is what they were given: numbers, sides, bands and texts, whoever wrote them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.gait.curves import Curve, curve_of
from ochy_async.report import write_report
from ochy_async.report.curve_chart import curve_chart
from ochy_async.report.document import document
from tests.support.report_folders import HOSTILE, record, report_folder, text_of, write_records
from tests.support.simulated_runners import landmark_frames, make_runner

Points = dict[str, Any]


def page_on(folder: Path, line: dict[str, Any], *others: dict[str, Any]) -> str:
    """The page of a record, in a folder with others."""
    write_report(write_records(folder, line, *others))
    (page,) = (folder / "report").glob(f"*.{line['analysis_id']}.html")
    return page.read_text(encoding="utf-8")


def page_with_landmarks(folder: Path, change: Callable[[Points], object] = lambda _: None) -> str:
    """The page of a runner, each frame of whose landmarks was changed."""
    raw = landmark_frames(make_runner(bytes([3])), "side_view", fps=60.0, seconds=4.0)
    for points in raw["frames"].values():
        change(points)
    folder.mkdir(exist_ok=True)
    (folder / "a.raw_data.json").write_text(json.dumps(raw), encoding="utf-8")
    return page_on(folder, record(3, files=["a.raw_data.json"]))


# --- whose numbers they are ---------------------------------------------------------------------------


class Digits(HTMLParser):
    """Collects the blocks of a page that show a digit: headers and sections with their texts, and what is outside."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.blocks: list[str] = []
        self.outside = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - the parser calls it
        if tag in ("section", "header"):
            self.blocks.append("")
        if tag in ("section", "header", "style", "script", "title"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.outside += data
        elif self.inside[-1] in ("section", "header"):
            self.blocks[-1] += data


def test_every_number_says_whether_it_is_measured_by_ochy_or_read_off_the_landmarks(tmp_path: Path) -> None:
    """Each part of each page that shows a digit names one of the two, and no digit is anywhere else."""
    pages = [path.read_text(encoding="utf-8") for path in write_report(report_folder(tmp_path)).parent.glob("*.html")]
    pages.append(page_on(tmp_path / "bare", record(0)))
    for page in pages:
        digits = Digits()
        digits.feed(page)
        assert not re.search(r"\d", digits.outside)
        for block in digits.blocks:
            named = ("From Ochy." in block, "Read off the landmarks by this program, not measured by Ochy." in block)
            assert sum(named) == 1 or not re.search(r"\d", block), block[:80]


def test_what_was_read_off_the_landmarks_is_in_its_own_sections(tmp_path: Path) -> None:
    """The angles of the curves are nowhere among Ochy's numbers."""
    text = text_of(page_with_landmarks(tmp_path))
    for words in ("Knee flexion, highest", "Means of"):
        before = text[: text.index(words)]
        assert before.rindex("not measured by Ochy") > before.rindex("From Ochy.")
    before = text[: text.index("steps/min")]
    assert before.rindex("From Ochy.") > before.rindex("not measured by Ochy")


# --- curves -------------------------------------------------------------------------------------------


def test_a_band_is_one_standard_deviation_of_the_strides() -> None:
    """Of a sample: n - 1."""
    angle = [10.0] * 11 + [12.0] * 11 + [17.0] * 11
    curve = curve_of(angle, [(0, 10), (11, 21), (22, 32)])
    assert curve is not None
    assert set(curve.mean) == {13.0}
    assert curve.deviation == pytest.approx([math.sqrt((9 + 1 + 16) / 2)] * 101)


def flat(mean: float, deviation: float = 0.0) -> Curve:
    """A curve that is the same over the whole stride."""
    return Curve((mean,) * 101, (deviation,) * 101, strides=3, peak=mean, lowest=mean, at_start=mean)


def heights(page: str, css: str) -> list[float]:
    """The heights of the points of a path, in degrees: between two labels, which stand 4 below their lines."""
    labels = re.findall(r'y="([\d.]+)" text-anchor="end">(-?\d+)</text>', page)
    ticks = {float(text): float(y) - 4 for y, text in labels}
    low, high = min(ticks), max(ticks)
    (path,) = re.findall(rf'class="{css}" d="M([^"Z]+)', page)
    points = (float(point.split()[1]) for point in path.split("L"))
    return [low + (high - low) * (y - ticks[low]) / (ticks[high] - ticks[low]) for y in points]


def chart(left: Curve, right: Curve, stance: float | None = None) -> str:
    return str(curve_chart("knee", "Knee", {"left": left, "right": right}, percent=(0, 100), stance=stance))


def test_a_chart_shows_means_and_deviations_of_each_side_on_its_axis() -> None:
    """The line lies at the mean, and the band one standard deviation above and below it."""
    drawn = chart(flat(20, 3), flat(40, 6))
    for side, mean, deviation in (("left", 20, 3), ("right", 40, 6)):
        assert heights(drawn, f"mean {side}") == pytest.approx([mean] * 101, abs=0.1)
        band = heights(drawn, f"band {side}")
        assert max(band) - min(band) == pytest.approx(2 * deviation, abs=0.2)
        assert (max(band) + min(band)) / 2 == pytest.approx(mean, abs=0.1)


def test_the_shaded_stance_is_as_long_as_the_duty_factor(tmp_path: Path) -> None:
    """Half a chart for a duty factor of one half, whatever the landmarks show."""
    drawn = chart(flat(20), flat(21), stance=0.5)
    (width,) = re.findall(r'class="stance"[^>]* width="([\d.]+)"', drawn)
    (grid, *_) = re.findall(r'class="grid" x1="(\d+)" x2="(\d+)"', drawn)
    assert float(width) == pytest.approx((int(grid[1]) - int(grid[0])) / 2)
    line = record(3, files=["a.raw_data.json"])
    line["calculated"]["metrics"]["duty_factor"] = 0.5
    page_with_landmarks(tmp_path)
    page = page_on(tmp_path, line)
    assert re.findall(r'class="stance"[^>]* width="([\d.]+)"', page) == [width] * 4
    assert "the first 50 %, by Ochy's duty factor" in text_of(page)


# --- left and right -----------------------------------------------------------------------------------


def left_arm_is_straight(points: Points) -> None:
    """Puts the left wrist on the line from the shoulder through the elbow."""
    for axis in ("x", "y"):
        points["left_wrist"][axis] = 2 * points["left_elbow"][axis] - points["left_shoulder"][axis]


def cells_of(page: str, title: str) -> list[str]:
    """The numbers of a row of the comparison."""
    (row,) = re.findall(rf'<th scope="row">{title}</th>(.*?)</tr>', page)
    return re.findall(r'<td class="n">(.*?)</td>', row)


def test_the_left_side_of_the_body_is_left_on_the_page(tmp_path: Path) -> None:
    """A runner with a straight left arm has a left elbow of 0 degrees, in the table and in the curves."""
    page = page_with_landmarks(tmp_path, left_arm_is_straight)
    left, right, difference = (float(cell.strip(" °")) for cell in cells_of(page, "Elbow flexion, mean"))
    assert abs(left) < 1
    assert right > 60
    assert difference == pytest.approx(right - left, abs=0.11)
    assert re.search(r'aria-label="Elbow flexion: left from -?0 to 0 degrees; right from \d\d', page)


def test_the_left_leg_of_a_back_view_is_left_on_the_page(tmp_path: Path) -> None:
    """The circle is the left leg, the square the right one, each at its own value."""
    line = record(6, "back_view")
    line["calculated"]["gait_cycle"] = {
        "left": {"stance_mean": {"pronation": 1.0}},
        "right": {"stance_mean": {"pronation": 5.0}},
    }
    page = page_on(tmp_path, line)
    assert cells_of(page, "Pronation") == ["1.0°", "5.0°", "4.0°"]
    (circle,), (square,) = (re.findall(rf'class="{side}" c?x="([\d.]+)"', page) for side in ("left", "right"))
    assert float(circle) < float(square)


def test_legs_with_different_ranges_are_not_on_one_scale(tmp_path: Path) -> None:
    """Each leg has a row with its own ranges then."""
    line = record(6, "back_view")
    legs = line["results"]["biomechanical_analysis"]["analysis_content"]["pronation"]
    legs["right"]["range_good"] = [0, 99]
    page = page_on(tmp_path, line)
    for side, place in (("left", 0), ("right", 1)):
        assert cells_of(page, f"Pronation, {side}")[1 - place] == "–"
        assert cells_of(page, f"Pronation, {side}")[place].endswith("°")
    assert '<th scope="row">Pronation</th>' not in page


# --- numbers of the folder ----------------------------------------------------------------------------


def test_quartiles_are_those_of_the_folder(tmp_path: Path) -> None:
    """The box reaches from the first to the third quartile, the line is the median, the ends are the extremes."""
    lines = [record(number) for number in range(5)]
    for line, cadence in zip(lines, (160, 165, 170, 180, 190), strict=True):
        line["calculated"]["metrics"]["step_frequency_steps_per_min"] = cadence
    page = page_on(tmp_path, *lines)
    (tile,) = re.findall(r"<li><p class=\"name\">Cadence.*?</li>", page)
    assert "Folder: 160 to 190, median 170" in text_of(tile)
    (x, width), (dot,) = re.findall(r'class="box" x="(.*?)".*?width="(.*?)"', tile)[0], re.findall(r'cx="(.*?)"', tile)
    at = {cadence: 6 + 188 * (cadence - 160) / 30 for cadence in (160, 165, 180)}
    assert (float(x), float(x) + float(width)) == pytest.approx((at[165], at[180]), abs=0.1)
    assert float(dot) == pytest.approx(at[160], abs=0.1)


# --- hostile texts ------------------------------------------------------------------------------------


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, in their order, without any text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append((re.sub("[0-9a-f]{64}", "", data), ()))


def structure_of(page: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = Structure()
    parser.feed(page)
    return parser.found


def with_texts(value: Any, text: str) -> Any:
    """The same JSON with another text in the place of each text that the vendor or the user wrote."""
    if isinstance(value, dict):
        kept = ("status", "side", "animal")
        return {name: each if name in kept else with_texts(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [with_texts(each, text) for each in value]
    return text if isinstance(value, str) else value


def pages_with(folder: Path, text: str) -> Iterator[str]:
    """All pages of a folder in which every text is the same."""
    lines = [record(number, view) for number, view in ((0, "side_view"), (1, "side_view"), (6, "back_view"))]
    for line in lines:
        line.update(subject=text, clip=f"{text} clip", reason=text)
        line.update(results=with_texts(line["results"], text), calculated=with_texts(line["calculated"], text))
    lines.append(record(9, outcome="refused", results=None, calculated=None, clip=text, subject=text, reason=text))
    overview = write_report(write_records(folder, *lines))
    for path in (overview, *sorted(overview.parent.glob("*analysis-*.html"))):
        yield path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "<img src=x onerror=alert(1)>", "' onload='alert(1)", '"><svg onload=alert(1)>', "--><b>", "]]></style>"],
)
def test_no_text_becomes_markup(tmp_path: Path, text: str) -> None:
    """Whatever names and vendor's texts are, the elements and attributes of all pages are those of harmless texts."""
    pages = list(pages_with(tmp_path / "hostile", text))
    harmless = list(pages_with(tmp_path / "harmless", "harmless"))
    assert [structure_of(page) for page in pages] == [structure_of(page) for page in harmless]
    assert all(text[:20].casefold() in text_of(page).casefold() for page in pages)


def test_data_of_the_program_cannot_end_its_element() -> None:
    """Texts in JSON are read back as they were."""
    data = {"</script><b>": ["<!--", "\u2028", "]]>"]}
    page = document("Data", [], data=data)
    assert structure_of(page) == structure_of(document("Data", [], data={}))
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(held) == data
