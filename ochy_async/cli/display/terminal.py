"""Messages on stderr: which of them are printed, and how they are kept apart from the live display.

Invariant: a message that any thread prints while a live display is shown appears above the display and stays.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import RLock
from typing import Final, Protocol

import click
from attrs import evolve, frozen

from ...log_level import LEVELS, LOG_VARIABLE
from ...protocol.text_summary import printable
from .wrapping import fitted

__all__ = [
    "ACTIVE_DISPLAYS",
    "TERMINAL_LOCK",
    "LiveDisplay",
    "Verbosity",
    "clean_lines",
    "confirm",
    "display_options",
    "display_paused",
    "log_to_stderr",
    "print_info",
    "print_message",
    "print_verbose",
    "verbosity",
    "write_stderr",
]

_LOGGER: Final = logging.getLogger("ochy_async")


# --- verbosity --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool = False
    """Only results and messages that need action."""
    no_progress: bool = False
    """Plain lines instead of a live display."""
    verbose: bool = False
    """Also routine messages."""
    debug: bool = False
    """Also the library's log."""


def verbosity() -> Verbosity:
    """The verbosity that the options of the running command ask for."""
    context = click.get_current_context(silent=True)
    chosen: Verbosity = Verbosity() if context is None else context.meta.get(__name__, Verbosity())
    return chosen


def _set_verbosity(context: click.Context, option: click.Parameter, given: bool) -> None:
    if not given:
        return
    # A group shares `meta` with its commands, so that the options may be given before or after a command's name.
    chosen = evolve(verbosity(), **{str(option.name): True})
    if chosen.quiet and (chosen.verbose or chosen.debug):
        raise click.UsageError("--quiet cannot be combined with --verbose or --debug.")
    context.meta[__name__] = chosen
    if chosen.debug:
        _set_level(logging.DEBUG)


def display_options() -> list[click.Parameter]:
    """The options that every command has."""
    return [
        click.Option(names, is_flag=True, expose_value=False, callback=_set_verbosity, help=text)
        for names, text in (
            (["-q", "--quiet"], "Print only results and messages that need action."),
            (["--no-progress"], "Print plain lines instead of a live progress display."),
            (["-v", "--verbose"], "Also print routine steps: clips sent, status changes, retries."),
            (
                ["--debug"],
                f"Print the library's log on stderr, as {LOG_VARIABLE}=debug does. The log never contains the key.",
            ),
        )
    ]


# --- messages ---------------------------------------------------------------------------------------


class LiveDisplay(Protocol):
    """Something that is redrawn again and again at the bottom of the terminal."""

    def hide(self) -> None:
        """Removes it from the terminal, so that the next line is printed in its place."""
        ...

    def show(self) -> None:
        """Draws it again, now or soon."""
        ...


TERMINAL_LOCK: Final = RLock()
"""Whoever holds it may write to the terminal."""
ACTIVE_DISPLAYS: Final[list[LiveDisplay]] = []
"""The live display, if there is one. It is global because the process has one terminal."""


@contextmanager
def display_paused() -> Generator[None]:
    """Hides the live display inside the block, and lets no other thread write."""
    with TERMINAL_LOCK:
        hidden = [*ACTIVE_DISPLAYS]
        ACTIVE_DISPLAYS.clear()  # so that a nested call neither hides nor shows anything
        for display in hidden:
            display.hide()
        try:
            yield
        finally:
            ACTIVE_DISPLAYS.extend(hidden)
            for display in hidden:
                display.show()


def write_stderr(text: str) -> None:
    """Writes lines to stderr: wrapped on a terminal, elsewhere without colors, which click removes."""
    with display_paused():
        click.echo(fitted(text, sys.stderr), err=True)


def print_message(text: str) -> None:
    """Prints a message that needs action, whatever the verbosity. Only line breaks survive as control characters."""
    write_stderr(clean_lines(text))


def clean_lines(text: str) -> str:
    """The lines of a text with every control character replaced."""
    return "\n".join(map(printable, text.split("\n")))


def print_info(text: str) -> None:
    """Prints a message unless `--quiet` is given."""
    if not verbosity().quiet:
        print_message(text)


def print_verbose(text: str) -> None:
    """Prints a routine message if `--verbose` or `--debug` is given."""
    if verbosity().verbose or verbosity().debug:
        print_message(text)


def confirm(question: str, *, yes: bool) -> None:
    """Asks on the terminal. Raises `Abort` if the answer is no, a usage error if there is no terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nothing was changed: confirmation needs a terminal. To confirm without one, add --yes.")
    click.confirm(question, abort=True, err=True)


# --- the library's log ------------------------------------------------------------------------------


class _StderrLogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_message(self.format(record))
        except Exception:  # noqa: BLE001 - what every handler of `logging` does, so that a log never ends a program
            self.handleError(record)


_HANDLER: Final = _StderrLogHandler()
_HANDLER.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


def _set_level(level: int) -> None:
    _HANDLER.setLevel(level)
    _LOGGER.setLevel(level)


@contextmanager
def log_to_stderr() -> Generator[None]:
    """Prints the library's log inside the block: only errors, unless OCHY_LOG or `--debug` ask for more."""
    before, level = _LOGGER.level, os.environ.get(LOG_VARIABLE, "").lower() or "error"
    if level not in LEVELS:
        raise click.UsageError(f"{LOG_VARIABLE} must be one of {', '.join(LEVELS)}.")
    # The commands report the library's warnings in their own words, so its log shows only errors by default.
    _set_level(logging.getLevelNamesMapping()[level.upper()])
    _LOGGER.addHandler(_HANDLER)
    try:
        yield
    finally:
        _LOGGER.removeHandler(_HANDLER)
        _LOGGER.setLevel(before)
