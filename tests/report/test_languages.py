"""The vendor's texts in its nine languages on report pages: they are complete, marked, drawn and not cut off."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ochy_async.protocol.request import LANGUAGES
from tests.support.report_folders import record, report_folder, write_records
from tests.support.report_pages import A4, cut_texts, paper_sizes, printed, violations
from tests.support.vendor_texts import TEXTS, in_language

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.report import write_report

Open = Callable[..., "Page"]
VIEWS: Final = {"side_view": 0, "back_view": 6}
FONTS: Final = {"zh": "Noto Sans CJK SC", "ja": "Noto Sans CJK JP", "ko": "Noto Sans CJK KR"}
"""The fonts of Debian's fonts-noto-cjk: the same character has another shape in each of these languages."""

every_language = pytest.mark.parametrize("language", TEXTS)
every_view = pytest.mark.parametrize("view", VIEWS)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A page for each language and view, with landmarks and a picture."""
    folder = report_folder(tmp_path_factory.mktemp("languages"))
    lines, paths = [], {}
    saved = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    for language in TEXTS:
        for view, number in VIEWS.items():
            line = in_language(record(number, view, subject=TEXTS[language]["style"]), language)
            lines.append({**line, "analysis_id": f"{language}-{number}", "files": saved[number]["files"]})
            paths[language, view] = folder / "report" / f"run-{number}.{language}-{number}.html"
    write_report(write_records(folder, *lines))
    return paths


def test_there_are_texts_in_all_languages_of_the_vendor() -> None:
    """The texts here are in the languages that a request may ask for."""
    assert set(TEXTS) == set(LANGUAGES)


@every_view
@every_language
def test_texts_stand_where_their_language_is_said(
    open_page: Open, pages: dict[tuple[str, str], Path], language: str, view: str
) -> None:
    """A screen reader speaks them in their language, and our own words in English."""
    page = open_page(pages[language, view], reduced_motion="reduce")
    marked = page.locator(f"[lang={language}]").all_inner_texts() if language != "en" else [page.inner_text("main")]
    for text in _texts(language, view):
        assert any(text in each for each in marked), text
    if language != "en":
        assert not any(word in each for each in marked for word in ("left", "right", "of 100", "Ochy"))
    assert page.evaluate("document.documentElement.lang") == "en"


def _texts(language: str, view: str) -> list[str]:
    texts = TEXTS[language]
    shown = [*texts["titles"], *texts["positions"], *texts["recap"], texts["explanation"]]
    return [*shown, texts["style"]] if view == "side_view" else shown


@every_view
@every_language
def test_texts_fit_at_480_pixels(open_page: Open, pages: dict[tuple[str, str], Path], language: str, view: str) -> None:
    """Long compounds break, and scripts without spaces wrap; axe-core finds nothing."""
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page = open_page(pages[language, view], width=480, reduced_motion="reduce")
    assert cut_texts(page) == []
    assert violations(page) == []


@every_view
@every_language
def test_texts_are_printed_on_two_sheets(
    open_page: Open, pages: dict[tuple[str, str], Path], language: str, view: str
) -> None:
    """However long the words of a language are."""
    assert paper_sizes(printed(open_page(pages[language, view]))) == [A4, A4]


@every_language
def test_every_character_is_drawn(open_page: Open, pages: dict[tuple[str, str], Path], language: str) -> None:
    """Each looks different from the box that stands for a character which no font has."""
    _need_font(language)
    page = open_page(pages[language, "side_view"], reduced_motion="reduce")
    element = page.locator(f"[lang={language}]").first if language != "en" else page.locator("h2").first
    missing = element.evaluate(UNDRAWN, "".join(TEXTS[language]["titles"] + TEXTS[language]["recap"]))
    assert missing == []


UNDRAWN: Final = """(element, text) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 48;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const drawn = character => {
        pen.clearRect(0, 0, 48, 48);
        pen.font = `32px ${getComputedStyle(element).fontFamily}`;
        pen.fillText(character, 4, 36);
        return pen.getImageData(0, 0, 48, 48).data.join();
    };
    const boxes = ["\\u0378", "\\u{10fffe}", " "].map(drawn);
    return [...new Set(text)].filter(character => character.trim() && boxes.includes(drawn(character)));
}"""


@pytest.mark.parametrize("language", FONTS)
def test_characters_have_the_shapes_of_their_language(
    browser: Browser, pages: dict[tuple[str, str], Path], language: str
) -> None:
    """Chinese, Japanese and Korean share characters, and each has its own font for them."""
    if FONTS[language] not in _fonts(language):
        pytest.skip(f"{FONTS[language]} is not installed")
    with browser.new_page() as page:
        page.goto(pages[language, "side_view"].as_uri())
        fonts = _fonts_of(page, f".position[lang={language}]")
    assert FONTS[language] in fonts
    assert not fonts & (set(FONTS.values()) - {FONTS[language]})


def _fonts_of(page: Page, selector: str) -> set[str]:
    """The fonts with which the browser draws an element.

    The tools that tell them load the page once more; Chromium 150 complains of that in the console of the page.
    """
    tools = page.context.new_cdp_session(page)
    tools.send("DOM.enable")
    tools.send("CSS.enable")
    root = tools.send("DOM.getDocument")["root"]["nodeId"]
    node = tools.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    used: list[dict[str, Any]] = tools.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return {each["familyName"] for each in used}


def _need_font(language: str) -> None:
    if language in FONTS and not _fonts(language):
        pytest.skip(f"no font for the language {language!r} is installed")


def _fonts(language: str) -> set[str]:
    """The installed fonts for a language."""
    fontconfig = shutil.which("fc-list")
    if fontconfig is None:
        pytest.skip("fc-list, which tells the installed fonts, is not installed")
    command = [fontconfig, f":lang={language}", "family"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - a fixed command
    return {name.strip() for line in told.stdout.splitlines() for name in line.split(",")}
