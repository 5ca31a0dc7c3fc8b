"""Makes the pictures of the README and the site anew: `python -m docs.pictures`.

They show the report that `ochy demo` ends with, and the terminal during commands. Needs the extras `cli`, `report` and
`video`, Playwright with Chromium, and pyte.

Invariant: a picture shows simulated results only, of real runs against the emulator.
"""

from __future__ import annotations

import base64
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from docs.terminal_pictures import Row, record, svg_of
from ochy_async.emulator import render_video

FOLDER: Final = Path(__file__).parent / "images"
RUNNER: Final = "mia-january"
WIDE, NARROW = 1120, 800
"""Pixels of a page. A narrow one can still be read when it is scaled to a small screen."""
MOMENT: Final = "62"
"""Per cent of a stride at which the figure stands."""
OCHY: Final = (sys.executable, "-m", "ochy_async.cli")


def main() -> None:
    """Replaces the pictures, and says how large they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [*OCHY, "demo", "--out", str(folder / "pages"), "--clips", str(folder / "clips")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
        for file, content in (*_pages(folder / "pages"), *_terminals(folder)):
            (FOLDER / file).write_bytes(content)
            print(f"{FOLDER / file}: {len(content):,} bytes")


# --- pages ------------------------------------------------------------------------------------------


def _pages(folder: Path) -> Iterator[tuple[str, bytes]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        runner = next(folder.glob(f"{RUNNER}.*.html"))
        yield "report.webp", picture_of(runner, browser)
        yield "report-runner.webp", picture_of(runner, browser, width=NARROW)
        yield "report-overview.webp", picture_of_overview(folder / "index.html", browser)
        browser.close()


def picture_of(page: Path, browser: Browser, *, width: int = WIDE) -> bytes:
    """The page of a runner from its top to the end of its figure, beside which there are curves on a wide page."""
    opened = _opened(page, browser, width)
    opened.locator("#position").fill(MOMENT)
    opened.locator("#position").blur()
    return _webp(opened, "document.querySelector('.player')")


def picture_of_overview(page: Path, browser: Browser) -> bytes:
    """The overview of all clips from its top to the end of their table."""
    return _webp(_opened(page, browser, NARROW), "document.querySelector('table')")


def _opened(page: Path, browser: Browser, width: int) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", reduced_motion="reduce", device_scale_factor=1.5
    )
    opened = context.new_page()
    opened.goto(page.as_uri())
    return opened


def _webp(page: Page, last: str) -> bytes:
    """The page down to the end of an element, as WebP, which Playwright itself does not write."""
    width, height = page.evaluate(f"[innerWidth, {last}.getBoundingClientRect().bottom + scrollY + 12]")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    wanted = {"format": "webp", "quality": 80, "clip": clip, "captureBeyondViewport": True}
    return base64.b64decode(page.context.new_cdp_session(page).send("Page.captureScreenshot", wanted)["data"])


# --- terminals --------------------------------------------------------------------------------------

ONE: Final = ("analyze", "clips/morning-run.mp4", "--view", "side", "--height", "1.78", "--emulator")
BATCH: Final = ("analyze", "clips/runners.csv", "--subjects", "create", "--out", "results", "--report")
"""As the tutorial has it, against `ochy emulator`."""


def _terminals(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield "terminal-check.svg", _svg(record(("check", "new", "--view", "side"), _new_clips(folder), {}))
    yield "terminal-analysis.svg", _svg(record(ONE, folder, {}))
    with emulator() as env:
        yield "terminal-batch.svg", _svg(record(BATCH, folder, env, until=_half_way))
    shutil.rmtree(folder / "results")
    with emulator() as env:
        stopped = record(BATCH, folder, env, until=_half_way, interrupts=2)
        yield "terminal-resume.svg", _svg([*stopped, (), *record(BATCH, folder, env)])


def _half_way(text: str) -> bool:
    return "\n3 of 12" in text


def _svg(rows: Sequence[Row]) -> bytes:
    return svg_of(rows, "A terminal, with simulated results of the emulator").encode()


def _new_clips(folder: Path) -> Path:
    """A folder `new` with clips of which some do not fit; returns the folder that it is in."""
    (folder / "new").mkdir()
    for name, clip in (
        ("anna.mp4", render_video(0, width=1280, height=720)),
        ("ben-long.mp4", render_video(1, width=1280, height=720, seconds=12)),
        ("cora-cut.mp4", render_video(2, width=1280, height=720, truncate_to=0.5)),
    ):
        (folder / "new" / name).write_bytes(clip)
    return folder


@contextmanager
def emulator() -> Generator[dict[str, str]]:
    """`ochy emulator` in a process of its own, and the variables that lead to it."""
    command = [*OCHY[:1], "-u", *OCHY[1:], "emulator", "--port", "0", "--speed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            line = next(line for line in process.stdout or () if line.startswith("export "))
            yield dict(re.findall(r"(OCHY_\w+)=(\S+)", line))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


if __name__ == "__main__":
    main()
