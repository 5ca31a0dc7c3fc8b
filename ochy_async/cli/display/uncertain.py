"""An uncertain start in the summary of a command: what is known of it, and the shell commands that resolve it.

Invariant: every command can be pasted unchanged, and the one that may cost a second credit comes last and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ...batch.uncertain_text import UNTAGGED, candidate_text, lookup_text, sent_text
from ...protocol.text_summary import printable
from ..outcomes import CommandOutcome
from ..quoting import command_line

__all__ = ["KEY_DIGITS", "ResolveCommands", "uncertain_lines"]

KEY_DIGITS: Final = 12
"""Digits of a key that are printed: enough to find its clip."""
ID_PLACEHOLDER: Final = "ID"
LOOK_UP: Final = "look it up once more (spends nothing)"
BUY: Final = "if it was never charged, buy it (may cost a second credit)"
MAX_CANDIDATES: Final = 5
"""Candidates that get a command of their own."""


@frozen(kw_only=True)
class ResolveCommands:
    """Builds the shell commands that resolve an uncertain start."""

    repeat: str
    """The same command again, which looks the start up once more."""
    journal: tuple[str, ...] | None
    """The words that name the journal to `ochy journal`: none, options, or its path. None for one in memory."""
    is_path: bool = False
    """Whether `journal` is a path, which comes among the operands."""

    @property
    def show_journal(self) -> str:
        """The command that shows the journal."""
        return self._journal_command("show")

    def for_outcome(self, outcome: CommandOutcome) -> list[tuple[str, str]]:
        """Pairs of what a command does, and the command."""
        return list(self._without_journal(outcome) if self.journal is None else self._with_journal(outcome))

    def _with_journal(self, outcome: CommandOutcome) -> Iterator[tuple[str, str]]:
        yield LOOK_UP, self.repeat
        # By its key: the journal may know the clip by another path, that of a copy or from before it was moved.
        key = (outcome.key or "")[:KEY_DIGITS]
        for candidate in _candidates(outcome):
            yield _collect(candidate), self._journal_command("adopt", key, candidate)
        yield BUY, self._journal_command("release", key)

    def _without_journal(self, outcome: CommandOutcome) -> Iterator[tuple[str, str]]:
        for candidate in _candidates(outcome):
            yield _collect(candidate), command_line("ochy", "wait", operands=[candidate])
        yield BUY, self.repeat

    def _journal_command(self, name: str, *operands: str) -> str:
        where = self.journal or ()
        options, paths = ((), where) if self.is_path else (where, ())
        return command_line("ochy", "journal", name, *options, operands=[*paths, *operands])


def _candidates(outcome: CommandOutcome) -> list[str]:
    found = outcome.uncertain.candidates if outcome.uncertain is not None else ()
    return [each.analysis_id for each in found[:MAX_CANDIDATES]] or [ID_PLACEHOLDER]


def _collect(candidate: str) -> str:
    if candidate == ID_PLACEHOLDER:
        return "if the vendor's dashboard shows its analysis for that time, collect it (spends nothing)"
    return "if it became this analysis, collect it (spends nothing)"


def uncertain_lines(outcome: CommandOutcome, commands: ResolveCommands) -> Iterator[str]:
    """Everything that is known of an uncertain start, line by line."""
    start = outcome.uncertain
    yield f"{printable(outcome.label)}: uncertain. It may have been charged, and is not bought again."
    if start is not None:
        yield f"  {start.cause}"
        yield f"  {sent_text(start.start, start.size)}"
        if not start.candidates:
            yield f"  {lookup_text(start.start, (), start.reached, start.error)}"
        else:
            yield "  It may have become:"
            yield from (f"    {candidate_text(each)}" for each in start.candidates[:MAX_CANDIDATES])
            if len(start.candidates) > MAX_CANDIDATES:
                yield f"    and {len(start.candidates) - MAX_CANDIDATES} more"
            if start.start.subject_id is None:
                yield f"  {UNTAGGED}"
    for effect, command in commands.for_outcome(outcome):
        yield f"  - {effect}:"
        yield f"      {command}"
