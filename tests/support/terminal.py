"""A terminal for tests: the command line runs in a pseudo-terminal, and an emulator of one keeps what is seen.

POSIX only. `Terminal.rows` is the scrollback and the screen; a test that fails shows both.
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
BEFORE: Final = (*(f"an older line of the shell, {number}" for number in range(1, 31)), "$ ochy analyze clips")
"""What stands on the terminal before the program begins; more than the lowest screen holds."""
HISTORY: Final = 10_000
SELECTOR: Final = "\N{VARIATION SELECTOR-16}"
"""The emulator drops the rest of a text that holds one, as no terminal does."""

PROGRAM: Final = """
import fcntl, signal, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
import click
said, echo = open(sys.argv[2], "a", encoding="utf-8", errors="replace"), click.echo
def heard(message=None, *args, **kwargs):
    print(message, file=said, flush=True)
    echo(message, *args, **kwargs)
click.echo = heard
del sys.argv[1:3]
from ochy_async.cli import main
{patch}
main()
"""
"""Takes the terminal as its own, so that Ctrl-C reaches it, and notes what is to be printed beside printing it."""


def bare(text: str) -> str:
    """The text as rows of any width hold it: without blanks, line breaks and colors, letters composed."""
    return "".join(unicodedata.normalize("NFC", click.unstyle(text).replace(SELECTOR, "")).split())


@define(eq=False)
class Terminal:
    """A screen with all that ever scrolled off it."""

    columns: int
    lines: int
    said: Path
    """A file of all that the program meant to last."""
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
        self._tell_size()
        # Else the system throws away on Ctrl-C what was written and not read yet; people's terminals are quicker.
        modes = termios.tcgetattr(self._inner)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(self._inner, termios.TCSANOW, modes)
        self._stream.feed("".join(f"{line}\r\n" for line in BEFORE))

    def _tell_size(self) -> None:
        fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

    @property
    def rows(self) -> list[str]:
        """Scrollback and screen from the top, without the empty rows below the last."""
        shown = [*self.screen.history.top, *(self.screen.buffer[row] for row in range(self.screen.lines))]
        rows = ["".join(row[column].data for column in range(self.screen.columns)).rstrip() for row in shown]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def all(self) -> str:
        """All rows, one below the other."""
        return "\n".join(self.rows)

    @property
    def text(self) -> str:
        """All rows in one, as `bare` writes it: a line that is wider than the screen is whole again."""
        return bare("".join(self.rows))

    @property
    def on_screen(self) -> str:
        """What is in sight now."""
        return "\n".join(row.rstrip() for row in self.screen.display)

    @property
    def cursor_visible(self) -> bool:
        return not self.screen.cursor.hidden

    @property
    def printed(self) -> str:
        """All that was there before and all that the program printed to last, as `bare` writes it."""
        said = self.said.read_text(encoding="utf-8") if self.said.exists() else ""
        return bare("".join(BEFORE) + said)

    def __str__(self) -> str:
        shown = "\n".join(f"|{row}" for row in self.rows)
        return f"{self.columns}x{self.lines}, cursor {'visible' if self.cursor_visible else 'HIDDEN'}:\n{shown}"

    def check(self) -> None:
        """Fails unless all that was printed stands there, in order, once, with nothing between and a cursor behind."""
        # What the system itself echoes stays where no bar is drawn over it.
        seen, printed = self.text.replace("^C", ""), self.printed
        at = next((n for n in range(len(seen)) if seen[: n + 1] != printed[: n + 1]), len(seen))
        near = slice(max(0, at - 60), at + 60)
        assert seen == printed, f"seen:    …{seen[near]!r}\nprinted: …{printed[near]!r}\n{self}"
        assert self.cursor_visible, str(self)

    def resize(self, columns: int, lines: int) -> None:
        """As if somebody drew at the window's corner: what has no room any more goes to the scrollback."""
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
        self._tell_size()

    def type(self, keys: str) -> None:
        """Keys are pressed; Ctrl-C is `\\x03`."""
        os.write(self._outer, keys.encode())

    @contextmanager
    def running(self, *args: str, patch: str = "pass", **streams: Any) -> Generator[subprocess.Popen[Any]]:
        """The command line on this terminal, but for streams that are given; it does not outlive the block."""
        for name in ("stdin", "stdout", "stderr"):
            streams.setdefault(name, self._inner)
        program = [sys.executable, "-c", PROGRAM.replace("{patch}", patch), "0", str(self.said), *args]
        child = subprocess.Popen(program, start_new_session=True, **streams)  # noqa: S603 - ourselves
        try:
            yield child
        finally:
            child.kill()
            child.wait(10)
            self.look(0.1)
            assert not leaks(self.received.decode(errors="replace"))

    def look(self, seconds: float = 0.0) -> bool:
        """Takes in what comes within so many seconds; whether anything came."""
        if not select.select([self._outer], [], [], seconds)[0]:
            return False
        with suppress(OSError):  # so Linux tells that the other side is closed
            told = os.read(self._outer, 65_536)
            self.received += told
            self._stream.feed(self._decoder.decode(told).replace(SELECTOR, ""))
        return True

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Looks on until it is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not happen in time\n{self}"
            self.look(0.02)

    def ended(self, child: subprocess.Popen[Any], seconds: float = 90) -> int:
        """Looks on until the program has ended and all that it wrote is seen; its exit code."""
        self.until(lambda: child.poll() is not None, seconds)
        while self.look(0.1):
            pass
        return int(child.returncode)

    def close(self) -> None:
        os.close(self._outer)
        os.close(self._inner)


@contextmanager
def terminal(columns: int, lines: int, said: Path) -> Generator[Terminal]:
    """A terminal of that size."""
    it = Terminal(columns, lines, said)
    try:
        yield it
    finally:
        it.close()
