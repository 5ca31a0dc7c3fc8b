"""The options that `analyze` and `wait` share, and how they show an outcome.

Invariant: the same word means the same thing in every command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from shutil import get_terminal_size
from typing import Any, Final

import click
from attrs import evolve

from .display.outcomes import Outcome, line_of
from .display.progress import cells, shortened
from .display.reporter import draw
from .display.tables import line_about, printable, sheets_of

__all__ = ["FEW", "KEEP", "homeless", "keep_option", "output_options", "show"]

FEW: Final = 3
"""So many results are shown in full; of more, each gets one line."""
LEAST_NAME: Final = 12
"""Cells of a clip's name that are shown however narrow the terminal is."""

_OPTIONS: Final = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, as the clips complete."),
    click.option("--calculated", is_flag=True, help="Fetch the calculated data too."),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 86_400),
        metavar="SECONDS",
        help="How long each analysis is waited for. Default: 600; for many at once, 3600.",
    ),
    click.option(
        "--interval",
        type=click.FloatRange(0.1, 300),
        default=3.0,
        show_default=True,
        metavar="SECONDS",
        help="Between looks at an analysis; the vendor advises 3 to 5.",
    ),
)


KEEP: Final = {
    "calculated": "calculated",
    "raw-data": "raw_data",
    "thumbnail": "thumbnail",
    "video": "output_video",
}
"""What `--keep` takes, and what a batch calls it."""

keep_option = click.option(
    "--keep", type=click.Choice(tuple(KEEP)), multiple=True, help="Fetch this too; may be given more than once."
)


def homeless(options: Mapping[str, Any]) -> Iterator[str]:
    """What is to be kept and has no folder, as a problem."""
    files = [each for each in options["keep"] if each != "calculated"]
    if files and options["out"] is None:
        yield f"--keep {files[0]}: needs a folder, given with --out"


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--json`, `--calculated`, `--timeout` and `--interval`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show(outcome: Outcome, *, as_json: bool, few: bool) -> None:
    """The outcome on stdout: as JSON, or its results in full or in one line."""
    if as_json:
        click.echo(line_of(outcome))
    elif few:
        for sheet in sheets_of(outcome):
            draw(sheet)
    elif outcome.results is not None:
        click.echo(printable(_fitted(outcome)))


def _fitted(outcome: Outcome) -> str:
    """The results in one line: on a terminal with as much of the clip's name as leaves the id whole."""
    line = line_about(outcome)
    if outcome.clip is None or not sys.stdout.isatty():
        return line
    room = cells(outcome.clip) + get_terminal_size().columns - cells(line)
    return line_about(evolve(outcome, clip=shortened(outcome.clip, max(LEAST_NAME, room))))
