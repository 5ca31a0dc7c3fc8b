"""Report pages on paper: two sheets of A4, with still figures in place of the one that moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.report_folders import report_folder, scored_parts, write_records
from tests.support.report_pages import A4, PAGES, letter_heights, paper_sizes, printed

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["side", "back"])
def test_a_runner_is_printed_on_two_sheets(open_page: Open, report: Path, name: str, scheme: Any) -> None:
    """Of A4, also where the system is dark: paper is white."""
    page = open_page(report / PAGES[name], color_scheme=scheme)
    assert paper_sizes(printed(page)) == [A4, A4]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_short_overview_is_printed_on_two_sheets_at_most(open_page: Open, report: Path) -> None:
    """A table continues on as many as it needs."""
    sizes = paper_sizes(printed(open_page(report / PAGES["overview"])))
    assert sizes in ([A4], [A4, A4])


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("name", ["side", "back"])
def test_paper_shows_still_figures(open_page: Open, report: Path, name: str, *, script: bool) -> None:
    """Neither the moving figure nor its controls and dots are printed, with or without the page's program."""
    page = open_page(report / PAGES[name], java_script_enabled=script)
    page.emulate_media(media="print")
    assert page.locator(".stills .leg:visible").count() >= 5
    assert page.locator(".player:visible, .controls:visible, [data-dot]:visible").count() == 0


def test_the_way_around_is_not_printed(open_page: Open, report: Path) -> None:
    """A sheet has no search and no links to other pages."""
    for name in PAGES:
        page = open_page(report / PAGES[name])
        page.emulate_media(media="print")
        assert page.locator(".search:visible, nav:visible, .scripted:visible").count() == 0


ADVICE = "Zieh die Ferse nach dem Abdruck schneller zum Gesäß, damit das Bein kürzer wird."
REFERENCE = """metric,low,high,unit,source
Cadence,165,185,steps/min,Example club handbook of running 2024 chapter 3
Ground contact,220,290,ms,Example club
Duty factor,.3,.4,of the stride,Example club
"""


@pytest.fixture(scope="module")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with four lines of advice for each part, an explanation, forty steps, a reference and a notice."""
    pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
    from ochy_async.report import write_report

    folder = report_folder(tmp_path_factory.mktemp("full"))
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines[:8]:
        line["simulated"] = True
        for part in scored_parts(line):
            part["texts"]["recap"] = [ADVICE] * 4
        if line["view"] == "back_view":
            for part in scored_parts(line):
                part["texts"]["explanation"] = f"{ADVICE} {ADVICE}"
        else:
            line["calculated"]["foot_landing"] = [
                {"step": step, "side": ("left", "right")[step % 2], "landing": ("rearfoot", "midfoot")[step % 3 == 0]}
                for step in range(40)
            ]
    (folder / "reference.csv").write_text(REFERENCE, encoding="utf-8")
    return write_report(write_records(folder, *lines), reference=folder / "reference.csv").parent


@pytest.mark.parametrize("name", ["side", "back"])
def test_a_full_page_is_printed_on_two_sheets(open_page: Open, full_report: Path, name: str) -> None:
    """Two lines of advice for each part and joined landings; the page on the screen has all of them."""
    page = open_page(full_report / PAGES[name])
    assert page.locator(".cards li li:visible").count() == 12
    assert page.locator(".joined:visible").count() == 0
    assert paper_sizes(printed(page)) == [A4, A4]
    assert page.locator(".cards li li:visible").count() == 6
    assert page.locator(".steps:visible").count() == 0
    assert page.locator(".joined p:visible").count() == (2 if name == "side" else 0)


@pytest.mark.parametrize("name", PAGES)
def test_letters_on_paper_can_be_read(open_page: Open, full_report: Path, name: str) -> None:
    """None is smaller than 8 pt, also in drawings."""
    page = open_page(full_report / PAGES[name])
    page.set_viewport_size({"width": 711, "height": 1040})  # A4 without its margins
    page.emulate_media(media="print")
    assert {text: px for text, px in letter_heights(page).items() if px * 0.75 < 8} == {}


@pytest.mark.parametrize("width", [480, 821, 900, 1000, 1100, 1440])
def test_letters_of_charts_can_be_read(open_page: Open, report: Path, width: int) -> None:
    """At every width of a window they are at least 11 px high."""
    page = open_page(report / PAGES["side"], width=width)
    assert {text: px for text, px in letter_heights(page, ".chart").items() if px < 11} == {}
