"""Report pages in a real browser: Debian's Chromium, driven by Playwright. Without it the tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.report_folders import report_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on side views, back views and a clip that failed."""
    pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
    from ochy_async.report import write_report

    return write_report(report_folder(tmp_path_factory.mktemp("results"))).parent


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """One browser for the tests of a module: while it is open, no test in this process can run an event loop."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    reason = "playwright is not installed"
    with pytest.importorskip("playwright.sync_api", reason=reason).sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Generator[Callable[..., Page]]:
    """Opens a file. At the end the console must be empty, and nothing requested but pages of reports.

    With `fake_time` the clock of the page stands until the test moves it.
    """
    said: list[str] = []
    requested: list[str] = []
    contexts: list[Any] = []

    def open_(path: Path, *, width: int = 1440, fake_time: bool = False, **settings: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page: Page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        if fake_time:
            page.clock.install(time=0)
        page.goto(path.as_uri())
        if fake_time:
            page.clock.pause_at(60_000)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    others = [url for url in requested if not url.startswith("data:image/jpeg;base64,") and url != "data:,"]
    assert all(url.startswith("file:") and url.partition("?")[0].endswith(".html") for url in others), others
