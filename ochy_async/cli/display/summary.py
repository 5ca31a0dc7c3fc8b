"""What is left to say when a command has ended: counts, credits, and the command that goes on.

Invariant: nobody leaves without knowing what was spent, what is in doubt, and what to type next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from attrs import define, field

from ...batch.outcomes import Uncertain, Unfinished
from ...batch.reopen import Reopened
from ...batch.report import Report, credits_told
from ...journal.contract import Entry
from ..quoting import Command, command_line
from .outcomes import WORDS, Outcome
from .reporter import Paper, inform, tell
from .tables import printable
from .uncertain import WaysOut, lines_about

__all__ = ["Summary", "tell_counts", "tell_drift", "tell_owed"]

MOST: Final = 3
"""Doubts that are told with their commands; of more, the journal tells."""

_FORGOTTEN: Final = (
    "They may have been charged, and this run kept no journal: the same command would buy them again. Look into the "
    "vendor's dashboard: an analysis that is listed there for that time is collected with `ochy wait ID`. How soon one "
    "is listed is not documented: analyze the clip anew only if none appears after some hours, and a second credit "
    "would be acceptable."
)


def tell_counts(outcomes: Iterable[Outcome], not_begun: int = 0) -> None:
    """How many came to which end."""
    counts = Counter(each.word for each in outcomes)
    told = [f"{counts[word]} {word}" for word in WORDS if counts[word]]
    told += [f"{not_begun} not finished or not begun"] if not_begun else []
    if told:
        inform(f"{', '.join(told)}.")


def tell_drift(paper: Paper) -> None:
    """That the vendor's answers differ from its documentation, if they do."""
    if paper.differences and not paper.made_up:
        ways = "one way" if paper.differences == 1 else f"{paper.differences} ways"
        inform(f"The answers differ from the vendor's documentation in {ways}; nothing of them was lost.")


def tell_owed(owed: Iterable[tuple[str, str]]) -> None:
    """The commands that collect analyses: pairs of id and view, the view empty where it is not known."""
    for view, pairs in groupby(sorted(owed, key=lambda pair: pair[1]), key=lambda pair: pair[1]):
        ending = ("--view", view.removesuffix("_view")) if view else ()
        tell(f"  {command_line('ochy', 'wait', *ending, operands=[each for each, _ in pairs])}")


@define(eq=False)
class Summary:
    """The end of `ochy analyze`."""

    paper: Paper
    total: int
    command: Command
    """What does the same again."""
    ways: WaysOut
    out: Path | None = None
    limit: int | None = None
    """What `--max-credits` says."""
    per_run: bool = False
    """Whether that is for this run alone."""
    counts: Counter[str] = field(factory=Counter)
    doubts: dict[str, Outcome] = field(factory=dict)
    """The first few that are uncertain, by key: copies of a clip are one doubt."""
    missing: int = 0
    reopened: Reopened | None = None
    """What `--again` has come to."""
    report: Report | None = None
    """None where the run never began."""

    def count(self, outcome: Outcome) -> None:
        """Takes note of an outcome."""
        self.counts[outcome.word] += 1
        self.missing += bool(outcome.missing)
        if outcome.word == Uncertain.word and outcome.key is not None and len(self.doubts) < MOST:
            self.doubts.setdefault(outcome.key, outcome)

    @property
    def left(self) -> int:
        """Clips without an outcome."""
        return self.total - sum(self.counts.values())

    @property
    def unfinished(self) -> bool:
        """Whether the same command has something left to do."""
        return bool(self.left or self.missing or self.counts[Unfinished.word] or self.counts[Uncertain.word])

    def tell(self, left_over: Sequence[Entry] = ()) -> None:
        """All of it. `left_over` is what a journal in memory holds that nobody was shown."""
        if self.report is None:
            return
        self._tell_counts(self.report)
        tell_drift(self.paper)
        if self.out is not None:
            inform(f"Results and tables: {printable(str(self.out))}")
        if self.paper.made_up:
            return
        self._tell_doubts()
        if self.ways.journal is None:
            self._tell_forgotten(self.report, left_over)
        else:
            self._tell_again(self.report)

    def _tell_counts(self, report: Report) -> None:
        told = [f"{self.counts[word]} {word}" for word in WORDS if self.counts[word]]
        told += [f"{self.left} not finished or not begun"] if self.left else []
        inform(f"{self.total} clip{'s' if self.total != 1 else ''}: {', '.join(told) or 'none'}.")
        inform(credits_told(report, made_up=self.paper.made_up))
        if report.stopped:
            tell(report.stopped)

    def _tell_doubts(self) -> None:
        for doubt in self.doubts.values():
            tell("\n".join(lines_about(doubt, self.ways)))
        if self.counts[Uncertain.word] > len(self.doubts) and self.ways.journal is not None:
            tell("All that are uncertain, and more of each:")
            tell(f"  {self.ways.shown}")

    def _tell_again(self, report: Report) -> None:
        if report.held_back:
            tell(f"--max-credits {self.limit} kept {report.held_back} clips from being started. To buy these too:")
            tell(f"  {self.command.with_value('--max-credits', str(self._enough(report)))}")
        elif self.unfinished:
            tell("To go on, run the same command again; nothing that is paid is bought twice:")
            tell(f"  {self.command}")
        elif self.reopened is not None and self.reopened.unfinished:
            tell("Nothing was analyzed anew, since some clips were not finished. Do it now, for a credit each:")
            tell(f"  {self.command.with_flag('--again')}")

    def _enough(self, report: Report) -> int:
        """A limit under which all that is left is bought."""
        needed = report.held_back + self.left
        return max(needed, self.limit or 0) if self.per_run else report.committed + needed

    def _tell_forgotten(self, report: Report, left_over: Sequence[Entry]) -> None:
        _tell_left_over([each for each in left_over if each.key not in self.doubts])
        if report.committed and (self.left or self.counts[Unfinished.word]):
            tell("Without a journal the same command buys every clip again: name only those that are left.")


def _tell_left_over(entries: Sequence[Entry]) -> None:
    owed = [entry for entry in entries if entry.analysis_id]
    doubts = [entry for entry in entries if not entry.analysis_id]
    if owed:
        tell("Paid for and not collected or shown yet. This collects them and spends nothing:")
        tell_owed((entry.analysis_id or "", entry.view) for entry in owed)
    if doubts:
        tell(f"Uncertain: {', '.join(printable(entry.clip) for entry in doubts)}. {_FORGOTTEN}")
