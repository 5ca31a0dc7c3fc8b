"""Questions that tests ask a report page in a browser, and a printed one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["A4", "PAGES", "cut_texts", "letter_heights", "paper_sizes", "printed", "violations"]

PAGES: Final = {"overview": "index.html", "side": "run-1.analysis-1.html", "back": "run-6.analysis-6.html"}
"""The pages of `report_folder`, one of each kind."""
A4: Final = (595, 842)
"""In points."""


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds: the rule, and the elements that break it."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types

    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]


def cut_texts(page: Page) -> list[str]:
    """The page if it is wider than the window, and the texts that leave it or their card and cannot be scrolled to."""
    found: list[str] = page.evaluate(
        """() => {
            const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
            const cut = [];
            const texts = document.createTreeWalker(document.querySelector("body"), NodeFilter.SHOW_TEXT);
            for (let text = texts.nextNode(); text; text = texts.nextNode()) {
                const parent = text.parentElement;
                if (!text.data.trim() || parent.closest("script, .scroll, .unseen, [hidden], option")) continue;
                const range = document.createRange();
                range.selectNodeContents(text);
                const own = range.getBoundingClientRect();
                if (!own.width) continue;
                const around = (parent.closest("li, .card") || document.body).getBoundingClientRect();
                if (own.left < around.left - 1 || own.right > around.right + 1) cut.push(text.data.trim());
            }
            return wide ? ["the page", ...cut] : cut;
        }"""
    )
    return found


def letter_heights(page: Page, within: str = "body") -> dict[str, float]:
    """The font sizes of the visible texts in pixels as they are seen, those in scaled drawings too, by the text."""
    found: dict[str, float] = page.evaluate(
        """selector => {
            const sizes = {};
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            for (let text = texts.nextNode(); text; text = texts.nextNode()) {
                const parent = text.parentElement, drawing = parent.closest("svg");
                if (!text.data.trim() || !parent.closest(selector) || parent.closest("script, .unseen")) continue;
                const range = document.createRange();
                range.selectNodeContents(text);
                if (!range.getBoundingClientRect().width) continue;
                const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
                sizes[text.data.trim()] = parseFloat(getComputedStyle(parent).fontSize) * scale;
            }
            return sizes;
        }""",
        within,
    )
    return found


def printed(page: Page) -> bytes:
    """The page as PDF, in the size that it asks for."""
    page.emulate_media(media="print")
    return page.pdf(prefer_css_page_size=True)


def paper_sizes(pdf: bytes) -> list[tuple[int, int]]:
    """Width and height of each sheet in points. Chromium writes the objects of pages without compression."""
    boxes = re.findall(rb"/Type\s*/Page\b(?!s).*?/MediaBox\s*\[([^\]]*)\]", pdf, flags=re.DOTALL)
    return [(round(float(width)), round(float(height))) for _, _, width, height in (box.split() for box in boxes)]
