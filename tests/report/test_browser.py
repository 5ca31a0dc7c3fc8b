"""Report pages in a real browser: they fit, they move, they are used with the keyboard, and they load nothing."""

from __future__ import annotations

import io
import math
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.gait import Curve
from ochy_async.report import write_report
from ochy_async.report.curve_chart import curve_chart
from ochy_async.report.document import document
from tests.support.report_folders import record, write_records
from tests.support.report_pages import PAGES, cut_texts, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

Open = Callable[..., "Page"]
WIDTHS: Final = (480, 900, 1440)
MOVED: Final = "before => document.querySelector('.figure .leg').getAttribute('points') !== before"
SIDES: Final = ("left", "right")

every_page = pytest.mark.parametrize("name", PAGES)


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_accessible_and_fits(open_page: Open, report: Path, name: str, width: int, scheme: Any) -> None:
    """axe-core finds no violation, and nothing is wider than the window or cut off, in the light and in the dark."""
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page = open_page(report / PAGES[name], width=width, color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
    assert cut_texts(page) == []


@every_page
def test_a_page_is_dark_where_the_system_is(open_page: Open, report: Path, name: str) -> None:
    """The background and the text trade places."""
    found = {}
    for scheme in ("light", "dark"):
        page = open_page(report / PAGES[name], color_scheme=scheme)
        found[scheme] = page.evaluate("['backgroundColor', 'color'].map(each => getComputedStyle(document.body)[each])")
    assert _brightness(found["light"][0]) > _brightness(found["light"][1])
    assert _brightness(found["dark"][0]) < _brightness(found["dark"][1])


NAMES: Final = {
    "one long word": "Donaudampfschifffahrtsgesellschaftskapitänswitwenrentenauszahlungsstelle" * 2,
    "many words": "Maximilian-Ferdinand von Hohenlohe-Waldenburg-Schillingsfürst der Jüngere " * 3,
    "no spaces": "李雷和韩梅梅的跑步训练小组" * 6,
    "right to left": "محمد بن عبد الرحمن بن خالد",
}


@pytest.mark.parametrize("subject", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_are_not_cut_off(open_page: Open, tmp_path: Path, subject: str, width: int) -> None:
    """Neither on the page of the runner nor on the overview."""
    overview = write_report(write_records(tmp_path, *(record(number, subject=subject) for number in range(2))))
    for path in overview.parent.glob("*.html"):
        assert cut_texts(open_page(path, width=width)) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_words_of_the_table_are_not_broken(open_page: Open, report: Path, width: int) -> None:
    """Names may break anywhere; `midfoot` stands on one line."""
    page = open_page(report / PAGES["overview"], width=width)
    broken = """cells => cells.filter(cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return !cell.textContent.includes(" ") && range.getClientRects().length > 1;
    }).map(cell => cell.textContent)"""
    assert page.locator("#analyses td").evaluate_all(broken) == []


FEW: Final[dict[str, list[dict[str, Any]]]] = {
    "one": [{}],
    "one that failed": [{"results": None, "calculated": None, "outcome": "failed", "reason": "The analysis failed."}],
    "two": [{}, {}],
    "one without texts and numbers": [{"calculated": None}],
}


@pytest.mark.parametrize("changes", FEW.values(), ids=FEW)
@pytest.mark.parametrize("width", WIDTHS)
def test_few_analyses_make_a_page_too(open_page: Open, tmp_path: Path, changes: list[Any], width: int) -> None:
    """Without landmarks, pictures, scores or anything to compare with, nothing is empty, cut off or inaccessible."""
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    lines = [record(number, **fields) for number, fields in enumerate(changes)]
    for path in write_report(write_records(tmp_path, *lines)).parent.glob("*.html"):
        page = open_page(path, width=width)
        assert cut_texts(page) == []
        assert violations(page) == []
        assert all(section.inner_text().count("\n") for section in page.locator("section").all())


def _brightness(color: str) -> int:
    return sum(map(int, re.findall(r"\d+", color)[:3]))


# --- what a page may do -------------------------------------------------------------------------------


INJECTED: Final = """
<script>window.ran = "a script"</script>
<img src="data:," onerror="window.ran = 'a handler'">
<img src="{server}/picture">
<link rel="stylesheet" href="{server}/style">
<style>h1 {{ display: none }}</style>
<object data="{server}/object"></object>
<link rel="prefetch" href="{server}/next">
<p style="position: fixed" id="styled">text</p>
"""


@every_page
def test_what_is_injected_neither_runs_nor_loads(browser: Browser, report: Path, tmp_path: Path, name: str) -> None:
    """The policy of the page stops scripts, handlers, styles and requests that are not its own."""
    path = tmp_path / "injected.html"
    text = (report / PAGES[name]).read_text(encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener, browser.new_context() as context:
        server = f"http://127.0.0.1:{listener.getsockname()[1]}"
        path.write_text(text.replace("<main>", f"<main>{INJECTED.format(server=server)}"), encoding="utf-8")
        page = context.new_page()
        page.goto(path.as_uri())
        page.wait_for_function("document.documentElement.classList.contains('js')")
        assert page.evaluate(f"fetch('{server}').then(() => 'sent', error => error.name)") == "TypeError"
        assert page.evaluate("window.ran") is None
        assert page.locator("h1").is_visible()
        assert page.evaluate("getComputedStyle(document.getElementById('styled')).position") == "static"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody connected
            listener.accept()


def test_a_hostile_name_runs_nothing(open_page: Open, report: Path) -> None:
    """The name is on the page as a text, and its program did not run."""
    page = open_page(report / PAGES["side"])
    assert "<script>alert(1)" in page.locator("h1").inner_text()
    assert page.locator("script").count() == 2


@every_page
def test_a_page_can_be_read_without_its_program(open_page: Open, report: Path, name: str) -> None:
    """Without JavaScript the texts, charts and figures are there, and nothing is offered that would do nothing."""
    page = open_page(report / PAGES[name], java_script_enabled=False)
    assert page.locator("h1").is_visible()
    assert page.locator("section:visible").count() == page.locator("section").count()
    assert page.locator(".controls:visible, .search:visible, .scripted:visible").count() == 0
    assert all(each.bounding_box() for each in page.locator("svg").all())


# --- the figure and the curves ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["side", "back"])
def test_the_figure_moves_and_pauses(open_page: Open, report: Path, name: str) -> None:
    """It moves from the start; the button stops it."""
    page = open_page(report / PAGES[name])
    leg = page.locator(".figure .leg").first
    before = leg.get_attribute("points")
    page.wait_for_function(MOVED, arg=before)
    page.get_by_role("button", name="Pause").click()
    stopped = leg.get_attribute("points")
    page.wait_for_timeout(200)
    assert leg.get_attribute("points") == stopped


def test_the_speed_control_sets_how_fast_the_stride_runs(open_page: Open, report: Path) -> None:
    """Within the same time, half the speed leads half as far."""
    page = open_page(report / PAGES["side"], reduced_motion="reduce", fake_time=True)
    assert _percent_after(page, "1") == pytest.approx(2 * _percent_after(page, "0.5"), abs=3)
    assert _percent_after(page, "0.5") == pytest.approx(5 * _percent_after(page, "0.1"), abs=6)


def _percent_after(page: Page, speed: str) -> int:
    """How far the stride runs from its beginning in 0.4 s."""
    page.locator("#speed").select_option(speed)
    page.locator("#position").fill("0")
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(400)
    page.get_by_role("button", name="Pause").click()
    return int(page.locator("#position").input_value())


def test_who_wants_no_motion_sees_none_until_it_is_asked_for(open_page: Open, report: Path) -> None:
    """With reduced motion the figure stands still; the keyboard starts it."""
    page = open_page(report / PAGES["side"], reduced_motion="reduce")
    leg = page.locator(".figure .leg").first
    before = leg.get_attribute("points")
    page.wait_for_timeout(200)
    assert leg.get_attribute("points") == before
    page.get_by_role("button", name="Play").press("Space")
    page.wait_for_function(MOVED, arg=before)


@pytest.mark.parametrize("percent", [0, 12, 37, 62, 95, 100])
@pytest.mark.parametrize(
    ("name", "curve", "within"), [("side", "knee", 3), ("side", "elbow", 3), ("back", "pelvic_drop", 1)]
)
def test_the_slider_the_curves_and_the_figure_agree(
    open_page: Open, report: Path, name: str, curve: str, within: int, percent: int
) -> None:
    """The dot of the leading side is at the slider's percent, and each dot shows the angle that the figure has."""
    page = open_page(report / PAGES[name], reduced_motion="reduce")
    page.locator("#position").fill(f"{percent}")
    assert page.locator("#percent").inner_text() == f"{percent} %"
    dots = {side: dot for side in SIDES if (dot := _dot(page, curve, side)) is not None}
    for side, (_, angle) in dots.items():
        assert angle == pytest.approx(_angle_of_figure(page, curve, side), abs=within)
    places = [place for place, _ in dots.values()]
    if name == "side":
        assert len(dots) == 2
        assert any(place % 100 == pytest.approx(percent % 100, abs=0.5) for place in places)
    else:
        assert all(-20 <= place <= 20 for place in places)


@pytest.mark.parametrize(("name", "curve"), [("side", "knee"), ("back", "pelvic_drop")])
def test_each_dot_lies_on_its_curve(open_page: Open, report: Path, name: str, curve: str) -> None:
    """Of both sides, wherever the slider is."""
    page = open_page(report / PAGES[name], reduced_motion="reduce")
    seen = 0
    for value in ("0", "10", "37", "62", "95"):
        page.locator("#position").fill(value)
        seen += sum(page.evaluate(DISTANCE, [f"{curve} {side}", f".mean.{side}"]) for side in SIDES)
    assert seen >= 4


DISTANCE: Final = """([name, curve]) => {
    const dot = document.querySelector(`[data-dot="${name}"]`);
    if (dot.hasAttribute("hidden")) return 0;
    const path = dot.closest("svg").querySelector(curve);
    const number = each => Number(dot.getAttribute(each));
    const [x, y] = dot.tagName === "circle" ? [number("cx"), number("cy")] : [number("x") + 3.5, number("y") + 3.5];
    const length = path.getTotalLength();
    for (let at = 0; at <= length; at += 0.5) {
        const point = path.getPointAtLength(at);
        if (Math.hypot(point.x - x, point.y - y) < 1) return 1;
    }
    throw new Error(`the dot of ${name} is beside its curve`);
}"""
"""1 if a dot lies on its curve, 0 if it is hidden."""


def _dot(page: Page, curve: str, side: str) -> tuple[float, float] | None:
    """Percent and degrees at the dot, by the labels of the axes; None while it is hidden."""
    dot = page.locator(f'[data-dot="{curve} {side}"]')
    chart = page.locator("svg.chart").filter(has=dot)
    if dot.get_attribute("hidden") is not None:
        return None
    labels = [(each.get_attribute("text-anchor"), _point(each), each.text_content()) for each in _texts(chart)]
    along = [(x, _number(text)) for _, (x, y), text in labels if y == max(y for _, (_, y), _ in labels)]
    upward = [(y - 4, _number(text)) for anchor, (x, y), text in labels if anchor == "end" and x < 40]
    x, y = _point(dot, 3.5 if side == "right" else 0)
    return _scaled(x, along), _scaled(y, upward)


def _texts(chart: Locator) -> list[Locator]:
    return chart.locator("text:not(.stance-name)").all()


def _point(element: Locator, half: float = 0) -> tuple[float, float]:
    found = [element.get_attribute(f"c{axis}") or element.get_attribute(axis) for axis in "xy"]
    return float(found[0] or 0) + half, float(found[1] or 0) + half


def _number(text: str | None) -> float:
    return float((text or "").rstrip(" %").replace("\N{MINUS SIGN}", "-"))


def _scaled(place: float, known: list[tuple[float, float]]) -> float:
    (start, low), *_, (end, high) = known
    return low + (high - low) * (place - start) / (end - start)


def _angle_of_figure(page: Page, curve: str, side: str) -> float:
    """The angle in degrees that the drawn limbs have."""
    if curve == "pelvic_drop":
        *_, right, left = _points(page.locator(".figure .torso"))
        down, across = left[1] - right[1], abs(right[0] - left[0])
        return math.degrees(math.atan2(down if side == "right" else -down, across))
    first, middle, last = _points(page.locator(f".figure .{'leg' if curve == 'knee' else 'arm'}.{side}"))
    turns = [math.atan2(end[1] - start[1], end[0] - start[0]) for start, end in ((first, middle), (middle, last))]
    return math.degrees(abs((turns[1] - turns[0] + math.pi) % math.tau - math.pi))


def _points(line: Locator) -> list[tuple[float, float]]:
    text = line.get_attribute("points") or ""
    return [(float(x), float(y)) for x, y in (each.split(",") for each in text.split())]


def test_curves_that_coincide_are_both_seen_in_gray(browser: Browser, tmp_path: Path) -> None:
    """Along two equal curves the dashes of one lie in the wide line of the other, parted from it by their edge."""
    av = pytest.importorskip("av", reason="needs the extra video: PyAV reads the screenshot")
    flat = Curve(mean=(20.0,) * 101, deviation=(0.0,) * 101, strides=1, peak=20, lowest=20, at_start=20)
    chart = curve_chart("knee", "Knee", {"left": flat, "right": flat}, percent=(0, 100), stance=None)
    page = browser.new_page(viewport={"width": 400, "height": 400}, device_scale_factor=4)
    (tmp_path / "page.html").write_text(document("Curves", [chart]), encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    box = page.locator(".mean.left").bounding_box()
    assert box is not None
    around: Any = {"x": box["x"] + 10, "y": box["y"] - 6, "width": box["width"] - 20, "height": 12}
    image = next(av.open(io.BytesIO(page.screenshot(clip=around))).decode(video=0)).to_ndarray(format="gray")
    page.close()
    dark = image < 128
    lines = ((dark[1:] & ~dark[:-1]).sum(axis=0) + dark[0]).tolist()  # how many dark lines there are, one below another
    assert lines.count(1) > 0.2 * len(lines)
    assert lines.count(3) > 0.2 * len(lines)


# --- the keyboard -------------------------------------------------------------------------------------


def test_the_keyboard_reaches_all_controls_in_their_order(open_page: Open, report: Path) -> None:
    """The way back, the button, the speed, the slider; whatever has the focus shows it."""
    page = open_page(report / PAGES["side"], reduced_motion="reduce")
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('href')"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["index.html", "play", "speed", "position"]


def test_arrow_keys_move_the_slider(open_page: Open, report: Path) -> None:
    """One per cent for each arrow, and the ends of the stride; the text for screen readers says where it is."""
    page = open_page(report / PAGES["side"], reduced_motion="reduce")
    slider = page.locator("#position")
    for key, percent in (("ArrowRight", 1), ("ArrowUp", 2), ("ArrowLeft", 1), ("End", 100), ("Home", 0)):
        slider.press(key)
        assert page.locator("#percent").inner_text() == f"{percent} %"
        assert slider.get_attribute("aria-valuetext") == f"{percent} %"


def test_the_running_percent_is_not_read_aloud(open_page: Open, report: Path) -> None:
    """It changes sixty times a second, and an `output` is a live region unless it says otherwise."""
    assert open_page(report / PAGES["side"]).locator("#percent").get_attribute("aria-live") == "off"


# --- the table ----------------------------------------------------------------------------------------


NUMBERS: Final = ("Score", "Cadence", "Contact ms", "Step m", "Overstride °")


def _cells(page: Page, title: str) -> list[str]:
    heads = page.locator("#analyses thead th button").all_inner_texts()
    column = heads.index(title) + 1
    found = page.locator(f"#analyses tbody tr:not([hidden]) > :nth-child({column})").all_inner_texts()
    return [text.strip() for text in found]


@pytest.mark.parametrize("title", NUMBERS)
def test_a_heading_sorts_numbers_as_numbers(open_page: Open, report: Path, title: str) -> None:
    """The highest first, then the lowest; what is missing comes last both times; the heading says so."""
    page = open_page(report / PAGES["overview"])
    head = page.get_by_role("columnheader", name=title)
    for order, key in (("descending", "Enter"), ("ascending", "Space")):
        page.get_by_role("button", name=title, exact=True).press(key)
        assert head.get_attribute("aria-sort") == order
        texts = _cells(page, title)
        known = [float(text) for text in texts if text != "–"]
        assert len(known) >= 6
        assert known == sorted(known, reverse=order == "descending")
        assert all(text == "–" for text in texts[len(known) :])
        assert len(texts) > len(known)


def test_a_heading_sorts_texts_by_the_alphabet(open_page: Open, report: Path) -> None:
    """A to Z first; only the heading in use says that it sorts."""
    page = open_page(report / PAGES["overview"])
    page.get_by_role("button", name="Score", exact=True).click()
    page.get_by_role("button", name="Runner", exact=True).click()
    names = _cells(page, "Runner")
    assert [name.split("\n")[0] for name in names[-4:]] == ["Runner 2", "Runner 2", "Runner 3", "Runner 3"]
    assert [each.get_attribute("aria-sort") for each in page.locator("#analyses thead th").all()].count("none") == (
        page.locator("#analyses thead th").count() - 1
    )


def test_the_search_finds_rows_and_says_how_many(open_page: Open, report: Path) -> None:
    """The phrase, else all its words in any order, whatever their case and accents; a live region tells the number."""
    page = open_page(report / PAGES["overview"])
    status = page.get_by_role("status")
    words = {"FAILED runner": 1, "rünner 2": 2, "back view": 2, "run-7": 1, "nobody at all": 0, "": 9}
    for text, count in words.items():
        page.get_by_role("searchbox", name="Find").fill(text)
        assert status.inner_text() == f"{count} of 9 shown"
        assert len(_cells(page, "View")) == count


def test_sorting_and_search_go_together(open_page: Open, report: Path) -> None:
    """Rows that the search hides stay hidden when the table is sorted."""
    page = open_page(report / PAGES["overview"])
    page.get_by_role("searchbox").fill("back view")
    page.get_by_role("button", name="Score", exact=True).click()
    assert _cells(page, "View") == ["Back view", "Back view"]


def test_the_table_leads_to_a_page_and_back(open_page: Open, report: Path) -> None:
    """A name in the table is a link to the page of its analysis, which has a link to the overview."""
    page = open_page(report / PAGES["overview"])
    page.get_by_role("link", name="Runner 0").first.press("Enter")
    assert page.locator("h1").inner_text() == "Runner 0"
    page.get_by_role("link", name="All analyses").click()
    assert "8 analyses" in page.locator("h1").inner_text()
