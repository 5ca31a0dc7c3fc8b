"""Reports what happens during a command on stderr: as a live display on a terminal, as plain lines elsewhere.

Invariant: the id of a paid analysis is printed as soon as it is known, unless a journal on disk already holds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Self

import click
from attrs import define, field
from rich.console import Console

from ...batch.report import Report, short_credits_text
from ...batch.uncertain_text import lookup_text
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
from ...protocol.text_summary import format_score, printable
from ..outcomes import OUTCOMES, CommandOutcome
from .progress import ProgressDisplay, format_countdown
from .terminal import clean_lines, display_paused, print_info, print_message, print_verbose, verbosity, write_stderr

__all__ = ["Reporter"]

LONG_DELAY: Final = 10.0
"""Seconds before another attempt from which on the retry gets a line of its own."""
COLORS: Final = dict(zip(OUTCOMES, ("green", "yellow", "red", "red", "yellow"), strict=True))


def _wants_colors() -> bool:
    return not os.environ.get("NO_COLOR")


def _wants_live_display() -> bool:
    """Whether stderr is a terminal on which a live display is wanted."""
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    plain = verbosity().no_progress or verbosity().quiet or not _wants_colors() or in_ci
    return not plain and sys.stderr.isatty() and Console(stderr=True).is_interactive


@define(eq=False)
class Reporter:
    """A listener of the session that reports events on stderr; a live display is shown while it is entered."""

    simulated: bool = False
    """Whether the results come from the built-in emulator and nothing is paid for."""
    total: int | None = None
    """The number of clips; None where counting them makes no sense."""
    journaled: bool = False
    """Whether a journal on disk holds every id."""
    report: Callable[[], Report] | None = None
    """Returns the batch's report so far; None where nothing is bought."""
    drift_count: int = 0
    """How many differences from the vendor's documentation the answers showed."""
    _done: int = 0
    _statuses: dict[str, str] = field(factory=dict)
    """The last known status by analysis id."""
    _display: ProgressDisplay | None = None

    def __enter__(self) -> Self:
        if _wants_live_display():
            self._display = ProgressDisplay(self.total)
            self._update_totals()
            self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.stop()

    def listen(self, event: Event) -> None:
        """Reports an event."""
        self.drift_count += isinstance(event, DriftDetected)
        if self._display is not None:
            _update_display(self._display, event)
            self._update_totals()
        self._print(event)

    def _print(self, event: Event) -> None:
        routine = print_verbose if self._display is not None else print_info
        match event:
            case StartUncertain(clip, _, reason):
                print_message(
                    f"{clip}: {reason} The start may have been charged. It is being looked up, and the clip is not "
                    "bought again."
                )
            case ReconciliationAttempted(clip):
                left = "" if event.next_in is None else f", {format_countdown(event.seconds_left)} left"
                routine(f"{clip}: {_lookup_text(event)}{left}; Ctrl-C is safe")
            case AnalysisStarted(clip, analysis_id):
                text = f"{clip}: started{'' if self.simulated else ' and paid for'}, analysis {analysis_id}"
                (print_verbose if self.journaled else print_info)(text)
            case ClipFlagged(clip, findings):
                print_info("\n".join(f"{clip}: {each.severity}: {each}" for each in findings))
            case Retried(_, _, delay):
                (print_info if delay >= LONG_DELAY else routine)(_retry_text(event))
            case BytesSent(clip, sent, total) if sent == total:
                print_verbose(f"{clip}: sent")
            case AnalysisProgress(analysis_id, status) if self._statuses.get(analysis_id) != status:
                self._statuses[analysis_id] = status
                print_verbose(f"analysis {analysis_id}: {status}")
            case _:
                pass

    def finish(self, outcome: CommandOutcome) -> None:
        """Reports a finished clip or analysis, unless the terminal shows its results on stdout anyway."""
        self._done += 1
        self._statuses.pop(outcome.analysis_id or "", None)
        if self._display is not None:
            self._display.remove(outcome.clip, outcome.analysis_id)
        self._update_totals()
        if outcome.complete and (verbosity().quiet or (self._display is not None and sys.stdout.isatty())):
            return
        count = "" if self.total is None else f"{self._done} of {self.total}, "
        # Only a terminal gets the score: without one, stderr may be a machine's log, which must hold no health data.
        with_score = self._display is not None and outcome.results is not None
        write_stderr(count + _outcome_line(outcome, with_score=with_score))

    @contextmanager
    def paused(self) -> Generator[None]:
        """Hides the live display inside the block if stdout is a terminal too."""
        if sys.stdout.isatty():
            with display_paused():
                yield
        else:
            yield

    def _update_totals(self) -> None:
        if self._display is not None:
            spending = short_credits_text(self.report(), simulated=self.simulated) if self.report is not None else ""
            self._display.set_totals(self._done, spending)


def _update_display(display: ProgressDisplay, event: Event) -> None:
    match event:
        case BytesSent(clip, sent, total):
            display.upload_progress(clip, sent, total)
        case AnalysisStarted(clip, analysis_id) | WatchStarted(clip, analysis_id):
            display.analysis_started(clip, analysis_id)
        case AnalysisProgress(analysis_id, status, percentage):
            display.analysis_progress(analysis_id, status, percentage)
        case StartUncertain(clip):
            display.lookup_progress(clip, "was it charged?")
        case ReconciliationAttempted(clip):
            display.lookup_progress(clip, _lookup_text(event), None if event.next_in is None else event.seconds_left)
        case Retried(_, _, delay):
            display.show_notice(_retry_text(event), delay)
        case _:
            pass


def _retry_text(event: Retried) -> str:
    return f"{event.route}: attempt {event.attempt} failed ({event.reason}); next attempt in {event.delay:.1f} s"


def _lookup_text(event: ReconciliationAttempted) -> str:
    unreachable = "" if event.server_answered else ", the server could not be reached"
    return f"lookup {event.attempt} of {event.max_attempts}{unreachable}"


def _outcome_line(outcome: CommandOutcome, *, with_score: bool) -> str:
    word = click.style(outcome.word, fg=COLORS.get(outcome.word)) if _wants_colors() else outcome.word
    total = f", score {format_score(outcome.results.total_score)}" if with_score and outcome.results is not None else ""
    start = outcome.uncertain  # its cause was printed when it happened, and all of it is printed in the summary
    reason = outcome.reason if start is None else lookup_text(start.start, start.candidates, start.reached, start.error)
    reason = reason or str(outcome.error or "")
    return f"{printable(outcome.label)}: {word}{total}{': ' if reason else ''}{clean_lines(reason)}"
