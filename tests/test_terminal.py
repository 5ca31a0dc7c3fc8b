"""A terminal is tested as a terminal: nothing that was printed is missing afterwards, in order, once."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from conftest import world
from shop import QUICK, START, Shop, opened

from ochy_async.emulator import Rule, Script, Slow

if sys.platform == "win32":
    pytest.skip("needs the pseudo-terminals of POSIX", allow_module_level=True)
pytest.importorskip("pyte", reason="needs the terminal emulator of the extra `dev`")

from terminal import SIZES, Terminal, terminal

SIDE = ("--view", "side")
WIDE = (
    "日本語のとても長い名前のランニング動画ファイル、朝の走り込み.mp4",
    "🏃🏽‍♀️ am Fluss, sehr lange Strecke mit viel Gegenwind 🌬️ und Regen.mp4",
    "e\u0301te\u0301-".replace("\u0301", "\u0301") * 12 + "course.mp4",
)
"""Names of wide letters, of emoji that are joined of several, and of combining marks."""
SIZED = pytest.mark.parametrize(("columns", "lines"), SIZES, ids=[f"{c}x{r}" for c, r in SIZES])
COUNTED = pytest.mark.parametrize("count", [3, 30])


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    """A shop that takes about half a second for an analysis, after a while in its queue; some of them fail."""
    folder = tmp_path / "clips"
    folder.mkdir()
    settings = world(queueing=0.2, durations=(0.3, 0.8), slots=6, failing_clips={"clip-01.mp4"})
    with opened(settings, folder) as it:
        it.emulator.faults = Script([Rule(START, Slow(40_000, side="upload"), times=100)])
        yield it


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Where the program's lasting words are noted."""
    return tmp_path / "said"


def some_clips(shop: Shop, count: int) -> tuple[str, ...]:
    """So many clips, one of which fails at the vendor's, and for the rest names that are long and wide."""
    return tuple(shop.clips(*(f"clip-{number:02}.mp4" for number in range(count - 2)), *WIDE[: 3 if count > 3 else 2]))


def analyzing(shop: Shop, it: Terminal, *args: str, **how: Any) -> Any:
    env = {**os.environ, "TERM": "xterm-256color", **shop.environment(), **how.pop("env", {})}
    for name in ("NO_COLOR", "CI", "COLUMNS", "LINES"):
        env.pop(name, None)
    return it.running("analyze", *QUICK, *SIDE, *args, env=env, **how)


@COUNTED
@SIZED
def test_nothing_that_was_printed_is_lost(columns: int, lines: int, count: int, shop: Shop, said: Path) -> None:
    """Older lines, refused clips with their reasons, a failed one, results and the summary: in order, once."""
    clips = (*some_clips(shop, count), str(shop.folder / "not there.mp4"))
    (shop.folder / "empty.mp4").write_bytes(b"")
    (shop.folder / "a text.mp4").write_text("no video")
    clips += (str(shop.folder / "empty.mp4"), str(shop.folder / "a text.mp4"))
    with terminal(columns, lines, said) as it:
        with analyzing(shop, it, *clips) as child:
            code = it.ended(child)
        assert code == 1, str(it)
        it.check()
