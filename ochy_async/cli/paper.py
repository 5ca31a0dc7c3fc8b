"""Where a command writes: sheets to stdout, notes and progress to stderr.

Law of this room: bars only on a terminal, plain lines anywhere else; the id of what was paid for is
written the moment it is known.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import click
from attrs import define, field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..events import (
    AnalysisProgress,
    AnalysisStarted,
    BytesSent,
    DriftSeen,
    Event,
    Retried,
    StartUncertain,
)
from .bars import Bars
from .sheets import Sheet, clean

__all__ = ["Paper", "draw", "tell"]


def tell(text: str) -> None:
    """One note on stderr; line breaks stay, anything else that a terminal would obey goes."""
    click.echo("\n".join(map(clean, text.split("\n"))), err=True)


def draw(sheet: Sheet) -> None:
    """The sheet on stdout: a table on a terminal, plain lines anywhere else."""
    if sys.stdout.isatty():
        _table(sheet)
    else:
        _lines(sheet)


def _table(sheet: Sheet) -> None:
    table = Table()
    for name in sheet.columns:
        table.add_column(name)
    for row in sheet.rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console = Console()
    console.print(Text(clean(sheet.title), style="bold"))
    console.print(table)
    for note in sheet.notes:
        console.print(Text(clean(note)))
    console.print()


def _lines(sheet: Sheet) -> None:
    rows = [tuple(map(clean, row)) for row in (sheet.columns, *sheet.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo(clean(sheet.title))
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"  {'  '.join(cells).rstrip()}")
    for note in sheet.notes:
        click.echo(f"  {clean(note)}")


@define(eq=False)
class Paper:
    """Shows what happens on stderr, as a listener of the session, while it is entered."""

    made_up: bool = False
    """Whether nothing is paid for."""
    doubtful: set[str] = field(factory=set)
    """Labels of the clips whose start is uncertain."""
    differences: int = 0
    """In how many ways answers differed from the vendor's documentation."""
    _bars: Bars | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = Bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()

    def listen(self, event: Event) -> None:
        """Shows an event."""
        match event:
            case BytesSent(clip, sent, total):
                if self._bars is not None:
                    self._bars.uploading(clip, sent, total)
            case AnalysisStarted(clip, analysis_id):
                self.note(f"{clip}: started{'' if self.made_up else ' and paid for'}, analysis {analysis_id}")
                if self._bars is not None:
                    self._bars.started(clip, analysis_id)
            case AnalysisProgress(analysis_id, status, percentage):
                if self._bars is not None:
                    self._bars.analysing(analysis_id, status, percentage)
            case Retried(route, attempt, delay, reason):
                self.note(f"{route}: attempt {attempt} failed ({reason}); again in {delay:.1f} s")
            case StartUncertain(clip):
                self.doubtful.add(clip)
            case DriftSeen():
                self.differences += 1

    def note(self, text: str) -> None:
        """A line on stderr that does not tear the bars."""
        with self.aside():
            tell(text)

    @contextmanager
    def aside(self) -> Generator[None]:
        """The bars are out of the way inside."""
        if self._bars is None:
            yield
            return
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def forget(self, clip: str | None, analysis_id: str | None) -> None:
        """Takes away the bars of what has ended; `clip` by its label."""
        if self._bars is not None:
            self._bars.forget(clip, analysis_id)
