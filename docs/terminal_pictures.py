"""Pictures of the command line: it runs in a pseudo-terminal, and what its screen shows becomes an SVG. POSIX only.

Invariant: a picture shows what a real run printed; only the line with the prompt is added. It loads nothing.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import pyte

__all__ = ["COLUMNS", "Row", "record", "svg_of", "text_of"]

COLUMNS: Final = 80
LINES: Final = 200
"""More than any picture has, so that nothing scrolls away."""
PATIENCE: Final = 90.0
"""Seconds for a program to get to the moment that is wanted."""

Row = Sequence[tuple[str, str, bool]]
"""The characters of a row: each with its color and whether it is bold."""

# --- recording --------------------------------------------------------------------------------------


def record(
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    *,
    until: Callable[[str], bool] | None = None,
    interrupts: int = 0,
) -> list[Row]:
    """The rows of the screen, below a prompt with the command `ochy …`.

    With `until`, they are those at the moment when the text of the screen first fulfills it. Then Ctrl-C is pressed
    `interrupts` times, and the rows are those at the end; without interrupts the program is killed.
    """
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover - this is the child
        _become_ochy(arguments, folder, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = _Screen(terminal)
    try:
        if until is not None:
            screen.read(lambda: until(screen.text))
            if not interrupts:
                return _with_prompt(arguments, screen.rows)
            for _ in range(interrupts):
                os.write(terminal, b"\x03")
                screen.read_for(0.5)
        screen.read(lambda: screen.ended)
        return _with_prompt(arguments, screen.rows)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def _become_ochy(arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:  # pragma: no cover
    os.chdir(folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OCHY_", "COLUMNS", "CI"))}
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    time.sleep(0.2)  # the size of the terminal is set meanwhile
    os.execve(  # noqa: S606 - our own program
        sys.executable,
        [sys.executable, "-m", "ochy_async.cli", *arguments],
        {**inherited, "PYTHONPATH": path, "TERM": "xterm-256color", **env},
    )


class _Screen:
    """What a program wrote to a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._screen: Any = pyte.Screen(COLUMNS, LINES)
        self._stream: Any = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.ended = False

    def read(self, condition: Callable[[], bool]) -> None:
        """Reads until the condition holds or the program has ended. Raises `TimeoutError`."""
        end = time.monotonic() + PATIENCE
        while not (self.ended or condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"it did not come to that:\n{self.text}")
            self.read_for(0.02)

    def read_for(self, seconds: float) -> None:
        """Reads what arrives within so many seconds."""
        end = time.monotonic() + seconds
        while select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                output = os.read(self._terminal, 65_536)
            except OSError:  # Linux says so that the other side is closed
                output = b""
            if not output:
                self.ended = True
                return
            self._stream.feed(self._decoder.decode(output))

    @property
    def text(self) -> str:
        return text_of(self.rows)

    @property
    def rows(self) -> list[Row]:
        """The rows without empty ones at the end."""
        rows: list[Row] = [
            [(each.data, each.fg, each.bold) for each in (line[column] for column in range(COLUMNS))]
            for line in (self._screen.buffer[number] for number in range(LINES))
        ]
        while rows and not text_of(rows[-1:]).strip():
            rows.pop()
        return rows


def _with_prompt(arguments: Sequence[str], rows: list[Row]) -> list[Row]:
    words = f"$ ochy {shlex.join(arguments)}"
    start = 0
    prompt: list[Row] = []
    while start < len(words):  # as the terminal itself breaks a long line
        prompt.append([(each, "default", True) for each in words[start : start + COLUMNS]])
        start += COLUMNS
    return [*prompt, *rows]


def text_of(rows: Sequence[Row]) -> str:
    """The rows as plain text."""
    return "\n".join("".join(data for data, _, _ in row).rstrip() for row in rows)


# --- drawing ----------------------------------------------------------------------------------------

WIDTH, HEIGHT, SIZE, PAD = 8.4, 16, 14, 14
"""Of a character, of a row, of the font, and around the text, in pixels."""
FONTS: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
BACKGROUND: Final = "#1b1f27"
COLORS: Final[Mapping[str, str]] = {
    "default": "#e3e6eb", "black": "#8a93a3", "red": "#ff8f8f", "green": "#86d993", "brown": "#ecc46b",
    "blue": "#8cb8ff", "magenta": "#e29bf0", "cyan": "#77d4de", "white": "#e3e6eb", "brightblack": "#8a93a3",
    "brightred": "#ff8f8f", "brightgreen": "#86d993", "brightbrown": "#ecc46b", "brightyellow": "#ecc46b",
    "brightblue": "#8cb8ff", "brightmagenta": "#e29bf0", "brightcyan": "#77d4de", "brightwhite": "#ffffff",
}  # fmt: skip
"""By the names that pyte gives them; all have a contrast of at least 4.5 to 1 on the background."""


def svg_of(rows: Sequence[Row], title: str) -> str:
    """The rows as SVG, as wide as the longest of them. Its background is its own, so it is the same in the dark."""
    columns = max(len(line) for line in text_of(rows).split("\n"))
    width, height = columns * WIDTH + 2 * PAD, len(rows) * HEIGHT + 2 * PAD
    lines = "\n".join(part for number, row in enumerate(rows) for part in _parts(row, PAD + number * HEIGHT + SIZE))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f'<g font-family="{FONTS}" font-size="{SIZE}">\n{lines}\n</g>\n</svg>\n'
    )


def _parts(row: Row, y: float) -> Iterator[str]:
    """A text for each stretch of a row that looks the same. Its length is given, so that columns meet in any font."""
    column = 0
    for (color, bold), group in groupby(row, lambda each: each[1:]):
        text = "".join(data for data, _, _ in group)
        start, column = column, column + len(text)
        if not (shown := text.strip()):
            continue
        start += len(text) - len(text.lstrip())
        weight = ' font-weight="bold"' if bold else ""
        yield (
            f'<text x="{PAD + start * WIDTH:g}" y="{y:g}" fill="{COLORS.get(color, f"#{color}")}"{weight} '
            f'textLength="{len(shown) * WIDTH:g}" lengthAdjust="spacingAndGlyphs">{escape(_spaced(shown))}</text>'
        )


def _spaced(text: str) -> str:
    """The text with blanks that a browser does not join."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
