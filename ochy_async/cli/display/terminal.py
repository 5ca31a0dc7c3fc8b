"""What commands tell on stderr: how much of it, and never through the live display.

Invariant: whatever is told while a live display stands, by whatever thread, stands above it and stays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from threading import RLock
from typing import Final, Protocol

import click
from attrs import evolve, frozen

from ...protocol.text_summary import printable

__all__ = [
    "LOCK",
    "SHOWN",
    "Amount",
    "Display",
    "amount",
    "aside",
    "cleaned",
    "detail",
    "display_options",
    "inform",
    "logging_on",
    "printable",
    "say",
    "tell",
]

LOG: Final = "OCHY_LOG"
LEVELS: Final = ("debug", "info", "warning", "error")
_LOGGER: Final = logging.getLogger("ochy_async")


# --- how much ---------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Amount:
    """How much a command tells."""

    quiet: bool = False
    """Results and what must be acted on, nothing else."""
    no_progress: bool = False
    """Plain lines where a live display would be."""
    verbose: bool = False
    """Routine too."""
    debug: bool = False
    """The library's log too."""


def amount() -> Amount:
    """What the options of the command that runs ask for."""
    context = click.get_current_context(silent=True)
    asked: Amount = Amount() if context is None else context.meta.get(__name__, Amount())
    return asked


def _ask(context: click.Context, option: click.Parameter, given: bool) -> None:
    if not given:
        return
    # Groups share this with their commands, so that the options may stand before or behind a command's name.
    asked = evolve(amount(), **{str(option.name): True})
    if asked.quiet and (asked.verbose or asked.debug):
        raise click.UsageError("--quiet does not go together with --verbose or --debug.")
    context.meta[__name__] = asked
    if asked.debug:
        _listen(logging.DEBUG)


def display_options() -> list[click.Parameter]:
    """The options that every command has."""
    return [
        click.Option(names, is_flag=True, expose_value=False, callback=_ask, help=words)
        for names, words in (
            (["-q", "--quiet"], "Tell results and what must be acted on, nothing else."),
            (["--no-progress"], "Tell plain lines instead of live bars."),
            (["-v", "--verbose"], "Tell routine too: what was sent, started, looked at and tried again."),
            (["--debug"], f"Show the library's log on stderr; {LOG}=debug does so too. It holds no key."),
        )
    ]


# --- telling ----------------------------------------------------------------------------------------


class Display(Protocol):
    """What is redrawn at the bottom of the terminal again and again."""

    def hide(self) -> None:
        """Takes it off the terminal, so that the next line stands where it began."""
        ...

    def show(self) -> None:
        """Draws it again, now or soon."""
        ...


LOCK: Final = RLock()
"""Whoever holds it writes to the terminal."""
SHOWN: Final[list[Display]] = []
"""The live display, if there is one. A terminal belongs to the whole process, and so does this."""


@contextmanager
def aside() -> Generator[None]:
    """The live display is out of the way inside, and nobody else writes."""
    with LOCK:
        hidden = [*SHOWN]
        SHOWN.clear()  # an inner `aside` has nothing left to hide, and shows nothing too early
        for display in hidden:
            display.hide()
        try:
            yield
        finally:
            SHOWN.extend(hidden)
            for display in hidden:
                display.show()


def say(text: str) -> None:
    """One or more lines on stderr as they are; colors are left out where nobody sees them."""
    with aside():
        click.echo(text, err=True)


def tell(text: str) -> None:
    """What must be acted on: told whatever the options are. Line breaks stay; what a terminal would obey goes."""
    say(cleaned(text))


def cleaned(text: str) -> str:
    """The lines of a text without anything that a terminal would obey."""
    return "\n".join(map(printable, text.split("\n")))


def inform(text: str) -> None:
    """What is good to know: not told with `--quiet`."""
    if not amount().quiet:
        tell(text)


def detail(text: str) -> None:
    """Routine: told with `--verbose` only."""
    if amount().verbose or amount().debug:
        tell(text)


# --- the library's log ------------------------------------------------------------------------------


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            tell(self.format(record))
        except Exception:  # noqa: BLE001 - what every handler of `logging` does, so that a log never ends a program
            self.handleError(record)


_HANDLER: Final = _Stderr()
_HANDLER.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


def _listen(level: int) -> None:
    _HANDLER.setLevel(level)
    _LOGGER.setLevel(level)


@contextmanager
def logging_on() -> Generator[None]:
    """The library's log goes to stderr inside: its errors only, unless OCHY_LOG or `--debug` ask for more."""
    before, asked = _LOGGER.level, os.environ.get(LOG, "").lower() or "error"
    if asked not in LEVELS:
        raise click.UsageError(f"{LOG} must be one of {', '.join(LEVELS)}.")
    # What the library warns of, the commands tell in their own words; only its own faults come through.
    _listen(logging.getLevelNamesMapping()[asked.upper()])
    _LOGGER.addHandler(_HANDLER)
    try:
        yield
    finally:
        _LOGGER.removeHandler(_HANDLER)
        _LOGGER.setLevel(before)
