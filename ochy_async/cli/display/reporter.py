"""Where a command writes: sheets to stdout, notes and progress to stderr.

Invariant: bars only on a terminal, plain lines anywhere else; the id of what was paid for is
written the moment it is known, by a journal or by us.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import click
from attrs import define, field
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...batch.report import Report, credits_note
from ...batch.uncertain_text import lookup_told
from ...events import (
    AnalysisProgress,
    AnalysisStarted,
    BytesSent,
    ClipFlagged,
    DriftDetected,
    Event,
    ReconciliationAttempted,
    Retried,
    StartUncertain,
    WatchStarted,
)
from .outcomes import WORDS, Outcome
from .progress import Bars, seconds_left
from .tables import NOTHING, Sheet, format_score, printable
from .terminal import amount, aside, cleaned, detail, inform, say, tell

__all__ = ["Paper", "as_table", "detail", "draw", "inform", "tell"]

# --- sheets -----------------------------------------------------------------------------------------

NAMES: Final = frozenset({"clip", "file", "name"})
"""Columns that may be folded anywhere; others at a blank only, so that an id is always whole."""
LEAST_NAME: Final = 12
"""Cells that are left to such a column."""
FRAME: Final = 3
"""Cells of the frame for each column, and one more for the last."""


def draw(sheet: Sheet) -> None:
    """The sheet on stdout: a table on a terminal, plain lines anywhere else."""
    rich = sys.stdout.isatty() and not Console().is_dumb_terminal
    with aside():
        click.echo("\n".join(as_table(sheet) if rich else _lines(sheet)))


def as_table(sheet: Sheet) -> Iterator[str]:
    """The sheet as rich draws it, or as records where the terminal is too narrow for whole ids."""
    console = Console()
    rows = [tuple(map(printable, row)) for row in (sheet.columns, *sheet.rows)]
    with console.capture() as drawn:
        console.print(Text(printable(sheet.title), style="bold"), soft_wrap=True)
        widths = _widths(sheet.columns, rows, console.width)
        if widths is not None:
            console.print(_table(rows, widths))
        for row in rows[1:] if widths is None else ():
            console.print(Text("\n  ".join(_record(sheet.columns, row, console.width - 4))), soft_wrap=True)
        for note in sheet.notes:
            console.print(Text(printable(note)), soft_wrap=True)
    yield drawn.get()


def _table(rows: Sequence[tuple[str, ...]], widths: Sequence[int]) -> Table:
    table = Table()
    for name, width in zip(rows[0], widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column; None where a table would have to cut an id in two."""
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths = [
        min(most, LEAST_NAME)
        if name in NAMES
        else max(cell_len(word) for cell in column for word in cell.split() or " ")
        for name, most, column in zip(columns, wanted, zip(*rows, strict=True), strict=True)
    ]
    room = width - FRAME * len(widths) - 1 - sum(widths)
    if room < 0:
        return None
    # Whoever needs the least gets it first, so that only what is truly long is folded.
    for waiting, column in enumerate(sorted(range(len(widths)), key=lambda each: wanted[each] - widths[each])):
        more = min(wanted[column] - widths[column], room // (len(widths) - waiting))
        widths[column] += more
        room -= more
    return widths


def _record(columns: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """A row as lines of pairs, for a terminal that is too narrow for the table."""
    lines = [""]
    for name, cell in zip(columns, row, strict=True):
        if cell == NOTHING:
            continue
        pair = f"{name}: {cell}"
        if lines[-1] and cell_len(lines[-1]) + len(", ") + cell_len(pair) > width:
            lines.append(pair)
        else:
            lines[-1] += f"{', ' if lines[-1] else ''}{pair}"
    return lines


def _lines(sheet: Sheet) -> Iterator[str]:
    rows = [tuple(map(printable, row)) for row in (sheet.columns, *sheet.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    yield printable(sheet.title)
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells).rstrip()}"
    for note in sheet.notes:
        yield f"  {printable(note)}"


# --- notes and progress -----------------------------------------------------------------------------

LONG_PAUSE: Final = 10.0
"""Seconds before another attempt from which on it is told for good."""
COLORS: Final = dict(zip(WORDS, ("green", "yellow", "red", "red", "yellow"), strict=True))


def _colored() -> bool:
    return not os.environ.get("NO_COLOR")


def _live() -> bool:
    """Whether stderr is a terminal that a live display is wanted on."""
    machine = os.environ.get("CI", "").lower() not in ("", "0", "false")
    plain = amount().no_progress or amount().quiet or not _colored() or machine
    return not plain and sys.stderr.isatty() and Console(stderr=True).is_interactive


@define(eq=False)
class Paper:
    """Shows what happens on stderr, as a listener of the session, while it is entered."""

    made_up: bool = False
    """Whether nothing is paid for."""
    total: int | None = None
    """Clips that are expected; None where there is no sense in counting."""
    kept: bool = False
    """Whether a journal on a disk has every id, so that we need not show each."""
    doubtful: set[str] = field(factory=set)
    """Clips whose start is in doubt, and that have not come to an end yet."""
    report: Callable[[], Report] | None = None
    """What the batch has come to so far; None where nothing is bought."""
    differences: int = 0
    """In how many ways answers differed from the vendor's documentation."""
    _done: int = 0
    _statuses: dict[str, str] = field(factory=dict)
    """By analysis id, as they were last seen."""
    _bars: Bars | None = None

    def __enter__(self) -> Self:
        if _live():
            self._bars = Bars(self.total)
            self._count()
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
            case StartUncertain(clip):
                self.doubtful.add(clip)
            case WatchStarted(clip):
                self.doubtful.discard(clip)
            case DriftDetected():
                self.differences += 1
            case _:
                pass
        if self._bars is not None:
            _move(self._bars, event)
            self._count()
        self._tell(event)

    def _tell(self, event: Event) -> None:
        routine = detail if self._bars is not None else inform
        match event:
            case StartUncertain(clip, _, reason):
                self.note(f"{clip}: {reason} It may have been charged, and is not bought again. It is being looked up.")
            case ReconciliationAttempted(clip):
                left = "" if event.next_in is None else f", {seconds_left(event.seconds_left)} left"
                routine(f"{clip}: {_looked_up(event)}{left}; Ctrl-C is safe")
            case AnalysisStarted(clip, analysis_id):
                words = f"{clip}: started{'' if self.made_up else ' and paid for'}, analysis {analysis_id}"
                (detail if self.kept else inform)(words)
            case ClipFlagged(clip, findings):
                inform("\n".join(f"{clip}: {each.severity}: {each}" for each in findings))
            case Retried(_, _, delay):
                (inform if delay >= LONG_PAUSE else routine)(_again(event))
            case BytesSent(clip, sent, total) if sent == total:
                detail(f"{clip}: sent")
            case AnalysisProgress(analysis_id, status) if self._statuses.get(analysis_id) != status:
                self._statuses[analysis_id] = status
                detail(f"analysis {analysis_id}: {status}")
            case _:
                pass

    def ended(self, outcome: Outcome) -> None:
        """One of them has come to its end: its row goes, and it is told in words unless stdout on a terminal has it."""
        self._done += 1
        self.doubtful.discard(outcome.clip or "")
        self._statuses.pop(outcome.analysis_id or "", None)
        if self._bars is not None:
            self._bars.forget(outcome.clip, outcome.analysis_id)
        self._count()
        if outcome.well and (amount().quiet or (self._bars is not None and sys.stdout.isatty())):
            return
        count = "" if self.total is None else f"{self._done} of {self.total}, "
        # On a terminal the score stands beside its clip; what may be the log of a machine holds no health data.
        shown = outcome.results is not None and self._bars is not None
        say(count + _told(outcome, format_score(outcome.results.total_score) if shown and outcome.results else ""))

    def note(self, text: str) -> None:
        """A line on stderr that must be seen."""
        tell(text)

    @contextmanager
    def aside(self) -> Generator[None]:
        """The bars are out of the way inside, where stdout is a terminal too."""
        if sys.stdout.isatty():
            with aside():
                yield
        else:
            yield

    def _count(self) -> None:
        if self._bars is not None:
            words = credits_note(self.report(), made_up=self.made_up) if self.report is not None else ""
            self._bars.overall(self._done, words)


def _move(bars: Bars, event: Event) -> None:
    match event:
        case BytesSent(clip, sent, total):
            bars.uploading(clip, sent, total)
        case AnalysisStarted(clip, analysis_id) | WatchStarted(clip, analysis_id):
            bars.watched(clip, analysis_id)
        case AnalysisProgress(analysis_id, status, percentage):
            bars.analyzing(analysis_id, status, percentage)
        case StartUncertain(clip):
            bars.doubted(clip, "was it charged?")
        case ReconciliationAttempted(clip):
            bars.doubted(clip, _looked_up(event), None if event.next_in is None else event.seconds_left)
        case Retried(_, _, delay):
            bars.passing(_again(event), delay)
        case _:
            pass


def _again(event: Retried) -> str:
    return f"{event.route}: attempt {event.attempt} failed ({event.reason}); again in {event.delay:.1f} s"


def _looked_up(event: ReconciliationAttempted) -> str:
    found = "" if event.server_answered else ", the server could not be reached"
    return f"lookup {event.attempt} of {event.max_attempts}{found}"


def _told(outcome: Outcome, total: str) -> str:
    word = click.style(outcome.word, fg=COLORS.get(outcome.word)) if _colored() else outcome.word
    doubt = outcome.doubt  # its cause was told when it came, and all of it is told at the end
    why = outcome.reason if doubt is None else lookup_told(doubt.candidates, doubt.reached, doubt.error)
    why = why or str(outcome.error or "")
    return f"{printable(outcome.who)}: {word}{', score ' if total else ''}{total}{': ' if why else ''}{cleaned(why)}"
