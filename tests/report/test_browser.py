"""The pages in a real browser: Debian's Chromium, driven by Playwright. Skipped where either is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, Page, sync_playwright

from ochy_async.report import write_report
from tests.support.report_folders import report_folder

ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM: Final = shutil.which("chromium")
PAGES: Final = {"overview": "index.html", "side": "run-1.analysis-1.html", "back": "run-6.analysis-6.html"}
every_page = pytest.mark.parametrize("name", PAGES)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
MOVED: Final = "before => document.querySelector('.figure .leg').getAttribute('points') !== before"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report."""
    return write_report(report_folder(tmp_path_factory.mktemp("results"))).parent


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(report: Path, browser: Browser) -> Generator[Open]:
    """Opens a page. At its end nothing may have been said on the console, and nothing requested but the page."""
    said: list[str] = []
    requested: list[str] = []
    contexts: list[Any] = []

    def open_(name: str, *, width: int = 1160, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page: Page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto((report / PAGES[name]).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in requested if not url.startswith("data:")] == [
        url for url in requested if url.startswith("file:") and url.endswith(".html")
    ]


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1160, 768, 480])
def test_a_page_is_accessible_and_fits(open_page: Open, tmp_path: Path, name: str, width: int, scheme: Any) -> None:
    """axe finds no violation, and no page is wider than the window, in the light and in the dark."""
    page = open_page(name, width=width, color_scheme=scheme, reduced_motion="reduce")
    page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@every_page
def test_a_page_is_printed_on_two_sheets(open_page: Open, name: str) -> None:
    """Two pages of A4, without the controls."""
    page = open_page(name)
    page.emulate_media(media="print")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) <= 2
    assert not page.locator(".controls, .search").first.is_visible()


@pytest.mark.parametrize("name", ["side", "back"])
def test_the_figure_moves_and_pauses(open_page: Open, name: str) -> None:
    """It moves from the start; the button stops it."""
    page = open_page(name)
    leg = page.locator(".figure .leg").first
    before = leg.get_attribute("points")
    page.wait_for_function(MOVED, arg=before)
    page.get_by_role("button", name="Pause").click()
    stopped = leg.get_attribute("points")
    page.wait_for_timeout(200)
    assert leg.get_attribute("points") == stopped


def test_who_wants_no_motion_sees_none_until_it_is_asked_for(open_page: Open) -> None:
    """With reduced motion the figure stands still; the keyboard starts it."""
    page = open_page("side", reduced_motion="reduce")
    leg = page.locator(".figure .leg").first
    before = leg.get_attribute("points")
    page.wait_for_timeout(200)
    assert leg.get_attribute("points") == before
    page.get_by_role("button", name="Play").press("Space")
    page.wait_for_function(MOVED, arg=before)


@pytest.mark.parametrize(("name", "curve"), [("side", "knee"), ("back", "pelvic_drop")])
def test_the_slider_puts_the_dots_on_their_curves(open_page: Open, name: str, curve: str) -> None:
    """Wherever the slider is, each dot that is shown lies on its curve; arrow keys move the slider."""
    page = open_page(name, reduced_motion="reduce")
    slider = page.locator("#position")
    seen = 0
    for value in ("0", "10", "37", "62", "95"):
        slider.fill(value)
        assert page.locator("#percent").inner_text() == f"{value} %"
        for side in ("left", "right"):
            seen += page.evaluate(DISTANCE, [f"{curve} {side}", f".mean.{side}"])
    assert seen >= 4
    slider.fill("10")
    slider.press("ArrowRight")
    assert page.locator("#percent").inner_text() == "11 %"


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


def cells(page: Page, column: int) -> list[str]:
    found: list[str] = page.locator(f"#analyses tbody tr:not([hidden]) > :nth-child({column})").all_inner_texts()
    return found


def test_a_heading_sorts_the_table(open_page: Open) -> None:
    """By numbers the highest first, then the lowest; what is missing comes last; the heading says so."""
    page = open_page("overview")
    for order in ("descending", "ascending"):
        page.get_by_role("button", name="Score").press("Enter")
        assert page.locator("th", has_text="Score").first.get_attribute("aria-sort") == order
        scores = cells(page, 3)
        assert scores[-1] == "–"
        numbers = [int(score) for score in scores[:-1]]
        assert numbers == sorted(numbers, reverse=order == "descending")
    page.get_by_role("button", name="Runner").click()
    assert page.locator("th", has_text="Score").first.get_attribute("aria-sort") == "none"
    assert cells(page, 1)[-3:] == ["Runner 2", "Runner 2", "Runner 3", "Runner 3"][-3:]


def test_the_search_finds_rows_and_says_how_many(open_page: Open) -> None:
    """All words must be in a row, in any order and case; a live region tells the number."""
    page = open_page("overview")
    page.locator("#find").fill("FAILED runner")
    assert page.locator("#shown").inner_text() == "1 shown"
    assert len(cells(page, 2)) == 1
    page.locator("#find").fill("")
    assert page.locator("#shown").inner_text() == "9 shown"


def test_a_hostile_name_runs_nothing(open_page: Open) -> None:
    """The name is on the page as a text, and its program did not run."""
    page = open_page("side")
    assert "<script>alert(1)" in page.locator("h1").inner_text()
    assert page.locator("script").count() == 2


def test_the_table_leads_to_a_page_and_back(open_page: Open) -> None:
    """A name in the table is a link to the page of its analysis, which has a link to the overview."""
    page = open_page("overview")
    page.get_by_role("link", name="Runner 0").first.click()
    assert page.locator("h1").inner_text() == "Runner 0"
    page.get_by_role("link", name="Running form report").click()
    assert "9 analyses" in page.locator("h1").inner_text()
