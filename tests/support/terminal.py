"""A terminal for tests: the command line runs in a pseudo-terminal, and a terminal emulator records the screen.

POSIX only. `Terminal.rows` is the scrollback and the screen; a failing test shows both.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click
import pyte
from attrs import define, field

from tests.support.canary import leaks

SIZES: Final = ((80, 24), (80, 50), (120, 50))
EARLIER_ROWS: Final = (*(f"an older line of the shell, {number}" for number in range(1, 31)), "$ ochy analyze clips")
"""The rows on the terminal before the program starts, more than the smallest screen has."""
HISTORY: Final = 10_000
SELECTOR: Final = "\N{VARIATION SELECTOR-16}"
"""The terminal emulator drops the rest of a text after one, which no real terminal does."""

PROGRAM: Final = """
import fcntl, signal, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
import click
printed, echo = open(sys.argv[2], "a", encoding="utf-8", errors="replace"), click.echo
def recording_echo(message=None, *args, **kwargs):
    print(message, file=printed, flush=True)
    echo(message, *args, **kwargs)
click.echo = recording_echo
del sys.argv[1:3]
from ochy_async.cli import main
{patch}
main()
"""
"""Makes the terminal its controlling one, so that Ctrl-C reaches it, and writes what it prints to a file as well."""


def without_whitespace(text: str) -> str:
    """A text without blanks, line breaks and colors, with composed letters: the same for rows of any width."""
    return "".join(unicodedata.normalize("NFC", click.unstyle(text).replace(SELECTOR, "")).split())


@define(eq=False)
class Terminal:
    """A screen with its scrollback."""

    columns: int
    lines: int
    printed_file: Path
    """A file with everything that the program printed to stay."""
    screen: Any = field(init=False)
    _stream: Any = field(init=False)
    _outer: int = field(init=False)
    _inner: int = field(init=False)
    received: bytes = b""
    _decoder: Any = field(factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), init=False)

    def __attrs_post_init__(self) -> None:
        self.screen = pyte.HistoryScreen(self.columns, self.lines, history=HISTORY)
        self._stream = pyte.Stream(self.screen)
        self._outer, self._inner = os.openpty()
        self._set_size()
        # Without it the system drops unread output on Ctrl-C; real terminals read faster.
        modes = termios.tcgetattr(self._inner)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(self._inner, termios.TCSANOW, modes)
        self._stream.feed("".join(f"{line}\r\n" for line in EARLIER_ROWS))

    def _set_size(self) -> None:
        fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

    @property
    def rows(self) -> list[str]:
        """Scrollback and screen from the top, without empty rows at the end."""
        shown = [*self.screen.history.top, *(self.screen.buffer[row] for row in range(self.screen.lines))]
        rows = ["".join(row[column].data for column in range(self.screen.columns)).rstrip() for row in shown]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def all(self) -> str:
        """All rows, separated by line breaks."""
        return "\n".join(self.rows)

    @property
    def text(self) -> str:
        """All rows `without_whitespace`, so that a line that is wider than the screen is one again."""
        return without_whitespace("".join(self.rows))

    @property
    def on_screen(self) -> str:
        """The rows that are visible now."""
        return "\n".join(row.rstrip() for row in self.screen.display)

    @property
    def cursor_visible(self) -> bool:
        return not self.screen.cursor.hidden

    @property
    def printed(self) -> str:
        """The earlier rows and everything that the program printed to stay, `without_whitespace`."""
        printed = self.printed_file.read_text(encoding="utf-8") if self.printed_file.exists() else ""
        return without_whitespace("".join(EARLIER_ROWS) + printed)

    def __str__(self) -> str:
        shown = "\n".join(f"|{row}" for row in self.rows)
        return f"{self.columns}x{self.lines}, cursor {'visible' if self.cursor_visible else 'HIDDEN'}:\n{shown}"

    def check(self) -> None:
        """Fails unless everything printed is there in order, once, with nothing between, and the cursor is visible."""
        # The system's echo of Ctrl-C stays where no progress bar is drawn over it.
        seen, printed = self.text.replace("^C", ""), self.printed
        at = next((n for n in range(len(seen)) if seen[: n + 1] != printed[: n + 1]), len(seen))
        near = slice(max(0, at - 60), at + 60)
        assert seen == printed, f"seen:    …{seen[near]!r}\nprinted: …{printed[near]!r}\n{self}"
        assert self.cursor_visible, str(self)

    def resize(self, columns: int, lines: int) -> None:
        """Changes the size of the window; rows that do not fit go to the scrollback."""
        row = self.screen.cursor.y
        for _ in range(max(0, row - lines + 1)):
            self.screen.cursor.y = self.screen.lines - 1
            self.screen.index()
        self.screen.cursor.y = min(row, lines - 1)
        for number in range(lines, self.screen.lines):
            self.screen.buffer.pop(number, None)
        self.screen.lines = lines
        self.screen.resize(lines, columns)
        self.screen.set_margins()
        self.columns, self.lines = columns, lines
        self._set_size()

    def type(self, keys: str) -> None:
        """Presses keys; Ctrl-C is `\\x03`."""
        os.write(self._outer, keys.encode())

    @contextmanager
    def running(self, *args: str, patch: str = "pass", **streams: Any) -> Generator[subprocess.Popen[Any]]:
        """Runs the command line on this terminal, except for given streams; it does not outlive the block."""
        for name in ("stdin", "stdout", "stderr"):
            streams.setdefault(name, self._inner)
        program = [sys.executable, "-c", PROGRAM.replace("{patch}", patch), "0", str(self.printed_file), *args]
        child = subprocess.Popen(program, start_new_session=True, **streams)  # noqa: S603 - our own program
        try:
            yield child
        finally:
            child.kill()
            child.wait(10)
            self.read_output(0.1)
            assert not leaks(self.received.decode(errors="replace"))

    def read_output(self, seconds: float = 0.0) -> bool:
        """Reads the output that arrives within so many seconds, and returns whether there was any."""
        if not select.select([self._outer], [], [], seconds)[0]:
            return False
        with suppress(OSError):  # Linux reports the closed other side this way
            output = os.read(self._outer, 65_536)
            self.received += output
            self._stream.feed(self._decoder.decode(output).replace(SELECTOR, ""))
        return True

    def wait_until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Reads output until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not happen in time\n{self}"
            self.read_output(0.02)

    def exit_code(self, child: subprocess.Popen[Any], seconds: float = 90) -> int:
        """Waits until the program has exited, reads all of its output, and returns its exit code."""
        self.wait_until(lambda: child.poll() is not None, seconds)
        while self.read_output(0.1):
            pass
        return int(child.returncode)

    def close(self) -> None:
        os.close(self._outer)
        os.close(self._inner)


@contextmanager
def terminal(columns: int, lines: int, printed_file: Path) -> Generator[Terminal]:
    """A terminal of that size."""
    it = Terminal(columns, lines, printed_file)
    try:
        yield it
    finally:
        it.close()
