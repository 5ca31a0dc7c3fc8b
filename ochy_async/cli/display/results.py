"""The results of an analysis on stdout: as tables, as one line, or as JSON.

Numbers are written as `protocol.text_summary` writes them: a missing one is a dash.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import PurePath
from shutil import get_terminal_size
from typing import Final

import click
from attrs import evolve

from ...protocol.assessment import Assessment
from ...protocol.text_summary import NOTHING, format_score, printable
from ...protocol.views import view_title
from ..outcomes import CommandOutcome
from .progress import cell_width, shorten
from .tables import TextTable, print_table

__all__ = ["print_outcome", "result_line"]

MAX_TABLES: Final = 3
"""Up to so many outcomes of one command are printed as tables; of more, each is one line."""
MAX_MEASURES: Final = 40
MIN_NAME: Final = 12
"""Cells of a clip's name that are printed however narrow the terminal is."""


def print_outcome(outcome: CommandOutcome, *, as_json: bool, of: int) -> None:
    """Prints one of `of` outcomes on stdout."""
    if as_json:
        click.echo(outcome.json_line())
    elif of <= MAX_TABLES:
        for table in _result_tables(outcome):
            print_table(table)
    elif outcome.results is not None:
        click.echo(printable(_fitted_line(outcome)))


def _fitted_line(outcome: CommandOutcome) -> str:
    """The results in one line. A terminal gets as much of the clip's name as leaves room for the complete id."""
    line = result_line(outcome)
    if outcome.clip is None or not sys.stdout.isatty():
        return line
    room = cell_width(outcome.clip) + get_terminal_size().columns - cell_width(line)
    return result_line(evolve(outcome, clip=shorten(outcome.clip, max(MIN_NAME, room))))


def result_line(outcome: CommandOutcome) -> str:
    """The results in one line."""
    total = format_score(outcome.results.total_score) if outcome.results is not None else NOTHING
    known = filter(None, dict.fromkeys((outcome.clip, outcome.analysis_id)))
    return "  ".join((total, view_title(outcome.view), *known))


def _result_tables(outcome: CommandOutcome) -> Iterable[TextTable]:
    """One table for the results and one for the calculated data, as far as the outcome has them."""
    if outcome.results is None:
        return
    name = PurePath(outcome.clip).name if outcome.clip else outcome.analysis_id
    title = f"{name}: {view_title(outcome.view)}, total score {format_score(outcome.results.total_score)}"
    rows = tuple((name, *_cells(part)) for name, part in outcome.results.assessments())
    notes = (*outcome.results.highlights(), f"analysis {outcome.analysis_id}")
    yield TextTable(title, ("part", "score", "good", "okay", "position"), rows, notes)
    if outcome.calculated is not None:
        measures = tuple(islice(outcome.calculated.described(), MAX_MEASURES))
        yield TextTable(f"{name}: calculated data", ("measure", "value"), measures)


def _cells(part: Assessment) -> tuple[str, ...]:
    ranges = (NOTHING if each is None else str(each) for each in (part.range_good, part.range_okay))
    return format_score(part.score_number), *ranges, part.position or NOTHING
