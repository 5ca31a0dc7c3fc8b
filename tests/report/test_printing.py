"""Report pages on paper: two sheets of A4, with still figures in place of the one that moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.report_pages import A4, PAGES, paper_sizes, printed

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
