"""The pictures of the README and the pages, and the programs that make them."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ochy_async.report import write_report
from tests.support.report_folders import report_folder

ROOT = Path(__file__).parents[2]
LARGEST = 150_000
IMAGES = sorted((ROOT / "docs" / "images").glob("*"))


def is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def test_the_readme_shows_a_small_picture_and_describes_it() -> None:
    """Its path is relative, so that it is shown beside the source, and its text says that the results are simulated."""
    ((text, path),) = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    content = (ROOT / path).read_bytes()
    assert is_webp(content)
    assert len(content) <= LARGEST
    assert "simulated" in text


def test_the_program_pictures_a_page(tmp_path: Path) -> None:
    """From the top to the end of the curves, in a browser."""
    pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    pictures = importlib.import_module("docs.pictures")
    page = write_report(report_folder(tmp_path)).parent / "run-0.analysis-0.html"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        content = pictures.picture_of(page, browser)
        browser.close()
    assert is_webp(content)
    assert 20_000 < len(content) <= LARGEST


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_is_small_and_loads_nothing(image: Path) -> None:
    """An SVG has no style sheet, font, program or picture of elsewhere: only what draws text."""
    content = image.read_bytes()
    assert len(content) <= 100_000
    if image.suffix == ".svg":
        tags = {each.tag.rpartition("}")[2] for each in ET.fromstring(content).iter()}  # noqa: S314 - our own
        assert tags == {"svg", "title", "rect", "g", "text"}
        assert not re.search(r"href|url\(", content.decode())


def test_a_terminal_is_recorded_and_drawn(tmp_path: Path) -> None:
    """What the command printed is in the picture, below a prompt, with text escaped and columns in their places."""
    pytest.importorskip("pyte", reason="pyte is not installed")
    pytest.importorskip("fcntl", reason="this system has no pseudo-terminals")
    terminals = importlib.import_module("docs.terminal_pictures")
    rows = terminals.record(["--version"], tmp_path, {})
    assert re.fullmatch(r"\$ ochy --version\nochy \d.*", terminals.text_of(rows))
    drawn = terminals.svg_of([*rows, [(each, "red", False) for each in "a  <b>"]], "a & b")
    texts = [each for each in ET.fromstring(drawn).iter() if each.tag.endswith("}text")]  # noqa: S314 - our own
    assert [(texts[0].text or "").split("\N{NO-BREAK SPACE}"), texts[-1].text] == [
        ["$", "ochy", "--version"],
        "a\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}<b>",
    ]
    assert texts[-1].get("textLength") == f"{6 * terminals.WIDTH:g}"
