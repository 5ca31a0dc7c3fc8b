"""The last lines of a command: counts, credits, uncertain starts, and the command to run next.

Invariant: they state what was spent, which starts are uncertain and which command continues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from attrs import define, field

from ...batch.outcomes import Uncertain, Unfinished
from ...batch.reopen import Reopened
from ...batch.report import Report, credits_text
from ...journal.contract import Entry
from ...protocol.text_summary import count_of, printable
from ..outcomes import OUTCOMES, CommandOutcome
from ..quoting import ShellCommand, command_line
from .reporter import Reporter
from .terminal import print_info, print_message
from .uncertain import ResolveCommands, uncertain_lines

__all__ = ["BatchSummary", "counts_text", "print_drift", "print_wait_commands"]

MAX_UNCERTAIN: Final = 3
"""Uncertain starts that are printed with their commands; `ochy journal` shows the others."""

_UNRECORDED: Final = (
    "They may have been charged, and this run kept no journal, so the same command would buy them again. Check the "
    "vendor's dashboard: if it lists an analysis for that time, collect it with `ochy wait ID`. The vendor does not "
    "document how soon an analysis is listed. Analyze the clip again only if none appears after some hours and you "
    "accept the risk of a second credit."
)


def counts_text(counts: Mapping[str, int], unfinished: int = 0) -> str:
    """How many clips have which outcome, and how many have none; empty if there are no clips."""
    texts = [f"{counts[word]} {word}" for word in OUTCOMES if counts.get(word)]
    return ", ".join([*texts, f"{unfinished} not started or not finished"] if unfinished else texts)


def print_drift(reporter: Reporter) -> None:
    """Prints that the vendor's answers differ from its documentation, if they do."""
    if reporter.drift_count and not reporter.simulated:
        ways = count_of(reporter.drift_count, "way")
        print_info(f"The answers differ from the vendor's documentation in {ways}; no data was lost.")


def print_wait_commands(analyses: Iterable[tuple[str, str]]) -> None:
    """Prints the commands that collect analyses: pairs of id and view, the view empty where it is not known."""
    for view, pairs in groupby(sorted(analyses, key=lambda pair: pair[1]), key=lambda pair: pair[1]):
        option = ("--view", view.removesuffix("_view")) if view else ()
        print_message(f"  {command_line('ochy', 'wait', *option, operands=[each for each, _ in pairs])}")


@define(eq=False)
class BatchSummary:
    """The summary of `ochy analyze`."""

    reporter: Reporter
    total: int
    command: ShellCommand
    """The command that was typed, so that it can be repeated."""
    resolve: ResolveCommands
    out: Path | None = None
    max_credits: int | None = None
    per_run: bool = False
    """Whether `max_credits` limits this run alone."""
    counts: Counter[str] = field(factory=Counter)
    uncertain: dict[str, CommandOutcome] = field(factory=dict)
    """The first few uncertain starts by key; copies of a clip share one."""
    incomplete: int = 0
    """Analyzed clips of which files are missing."""
    reopened: Reopened | None = None
    """The result of `--again`."""
    report: Report | None = None
    """None where the batch never began."""

    def add(self, outcome: CommandOutcome) -> None:
        """Counts an outcome."""
        self.counts[outcome.word] += 1
        self.incomplete += bool(outcome.missing)
        if outcome.word == Uncertain.word and outcome.key is not None and len(self.uncertain) < MAX_UNCERTAIN:
            self.uncertain.setdefault(outcome.key, outcome)

    @property
    def remaining(self) -> int:
        """Clips without an outcome."""
        return self.total - sum(self.counts.values())

    @property
    def unfinished(self) -> bool:
        """Whether the same command has something left to do."""
        return bool(self.remaining or self.incomplete or self.counts[Unfinished.word] or self.counts[Uncertain.word])

    def print(self, unshown: Sequence[Entry] = ()) -> None:
        """Prints the summary. `unshown` are entries of a journal in memory that are lost with this process."""
        if self.report is None:
            return
        self._print_counts(self.report)
        print_drift(self.reporter)
        if self.out is not None:
            print_info(f"Results and tables: {printable(str(self.out))}")
        if self.reporter.simulated:
            return
        self._print_uncertain()
        if self.resolve.journal is None:
            self._print_unrecorded(self.report, unshown)
        else:
            self._print_next_command(self.report)

    def _print_counts(self, report: Report) -> None:
        print_info(f"{count_of(self.total, 'clip')}: {counts_text(self.counts, self.remaining) or 'none'}.")
        print_info(credits_text(report, simulated=self.reporter.simulated))
        if report.stopped:
            print_message(report.stopped)

    def _print_uncertain(self) -> None:
        for outcome in self.uncertain.values():
            print_message("\n".join(uncertain_lines(outcome, self.resolve)))
        if self.counts[Uncertain.word] > len(self.uncertain) and self.resolve.journal is not None:
            print_message("To see all uncertain starts in detail:")
            print_message(f"  {self.resolve.show_journal}")

    def _print_next_command(self, report: Report) -> None:
        if report.held_back:
            clips = count_of(report.held_back, "clip")
            print_message(f"--max-credits {self.max_credits} was reached: {clips} not started. To buy these too:")
            print_message(f"  {self.command.with_value('--max-credits', str(self._sufficient_limit(report)))}")
        elif self.unfinished:
            print_message("To continue, run the same command again. Nothing that is paid for is bought twice:")
            print_message(f"  {self.command}")
        elif self.reopened is not None and self.reopened.unfinished:
            print_message("No clip was analyzed again, since some were not finished.")
            print_message("To analyze all of them again now, for one credit each:")
            print_message(f"  {self.command.with_flag('--again')}")

    def _sufficient_limit(self, report: Report) -> int:
        """A limit under which all remaining clips are bought."""
        needed = report.held_back + self.remaining
        return max(needed, self.max_credits or 0) if self.per_run else report.committed + needed

    def _print_unrecorded(self, report: Report, unshown: Sequence[Entry]) -> None:
        _print_unshown([each for each in unshown if each.key not in self.uncertain])
        if report.committed and (self.remaining or self.counts[Unfinished.word]):
            print_message("Without a journal the same command buys every clip again. Name only the remaining clips.")


def _print_unshown(entries: Sequence[Entry]) -> None:
    paid = [entry for entry in entries if entry.analysis_id]
    uncertain = [entry for entry in entries if not entry.analysis_id]
    if paid:
        print_message("These are paid for, and were not collected or shown. To collect them (spends nothing):")
        print_wait_commands((entry.analysis_id or "", entry.view) for entry in paid)
    if uncertain:
        print_message(f"Uncertain: {', '.join(printable(entry.clip) for entry in uncertain)}. {_UNRECORDED}")
