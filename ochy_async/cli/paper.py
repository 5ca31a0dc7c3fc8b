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
    AnalysisWatched,
    BytesSent,
    ClipDoubted,
    DriftSeen,
    Event,
    Retried,
    StartUncertain,
)
from .bars import Bars
from .outcomes import Outcome
from .sheets import Sheet, clean

__all__ = ["Paper", "draw", "restored", "tell"]


def tell(text: str) -> None:
    """One note on stderr; line breaks stay, anything else that a terminal would obey goes."""
    click.echo("\n".join(map(clean, text.split("\n"))), err=True)


def restored() -> None:
    """Puts the terminal right after a process that was killed while it showed bars."""
    if sys.stderr.isatty():
        Console(stderr=True).show_cursor()


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
    total: int | None = None
    """Clips that are expected; None where there is no sense in counting."""
    kept: bool = False
    """Whether a journal on a disk has every id, so that a terminal need not show each."""
    doubtful: set[str] = field(factory=set)
    """Clips whose start is in doubt, and that have not come to an end yet."""
    differences: int = 0
    """In how many ways answers differed from the vendor's documentation."""
    _done: int = 0
    _spent: int = 0
    _bars: Bars | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = Bars(self.total)
            self._bars.overall(self._done, self._spent)
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
            case AnalysisStarted(clip, analysis_id):
                self._spent += 1
                if self._bars is None or not self.kept:
                    self.note(
                        f"{clean(clip)}: started{'' if self.made_up else ' and paid for'}, analysis {analysis_id}"
                    )
            case ClipDoubted(clip, findings):
                for each in findings:
                    self.note(f"{clean(clip)}: {each.severity}: {each}")
            case Retried(route, attempt, delay, reason):
                self.note(f"{route}: attempt {attempt} failed ({reason}); again in {delay:.1f} s")
            case StartUncertain(clip):
                self.doubtful.add(clip)
                self.note(f"{clean(clip)}: may have been charged, and is not sent again; looking it up")
            case AnalysisWatched(clip):
                self.doubtful.discard(clip)
            case DriftSeen():
                self.differences += 1
            case _:
                pass
        if self._bars is not None:
            _move(self._bars, event)
            self._bars.overall(self._done, self._spent)

    def ended(self, outcome: Outcome) -> None:
        """One of them has come to its end: its bars go, and it is told in words where it is no success."""
        self._done += 1
        self.doubtful.discard(outcome.clip or "")
        if self._bars is not None:
            self._bars.forget(outcome.clip, outcome.analysis_id)
            self._bars.overall(self._done, self._spent)
        if self._bars is None or not outcome.well:
            count = "" if self.total is None else f"{self._done} of {self.total}, "
            self.note(count + _told(outcome))

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


def _move(bars: Bars, event: Event) -> None:
    match event:
        case BytesSent(clip, sent, total):
            bars.uploading(clip, sent, total)
        case AnalysisStarted(clip, analysis_id) | AnalysisWatched(clip, analysis_id):
            bars.watched(clip, analysis_id)
        case AnalysisProgress(analysis_id, status, percentage):
            bars.analysing(analysis_id, status, percentage)
        case _:
            pass


def _told(outcome: Outcome) -> str:
    why = outcome.reason or str(outcome.error or "")
    return f"{clean(outcome.who)}: {outcome.word}{': ' if why else ''}{why}"
