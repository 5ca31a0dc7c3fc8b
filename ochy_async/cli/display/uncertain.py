"""A start in doubt as the end of a command tells it: what is known, and the exact commands for each way out.

Invariant: every command can be pasted as it stands, and what may cost a second credit comes last and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ...batch.uncertain_text import candidate_told, lookup_told, sent_told
from ..quoting import command_line
from .outcomes import Outcome
from .tables import printable

__all__ = ["SHOWN", "WaysOut", "lines_about"]

SHOWN: Final = 12
"""Digits of a key that are shown: enough to find its clip."""
UNKNOWN: Final = "ID"
BUY: Final = "it was never charged: buy it, which may cost a second credit"
MOST: Final = 5
"""Candidates that get a command of their own."""


@frozen(kw_only=True)
class WaysOut:
    """What the commands need that settle a doubt."""

    again: str
    """The same command again, which looks the start up once more."""
    journal: tuple[str, ...] | None
    """How `ochy journal` is told which journal: nothing, options, or its path. None where it was in memory."""
    path: bool = False
    """Whether that is a path, which stands among the operands."""

    @property
    def shown(self) -> str:
        """The command that shows what the journal remembers."""
        return self._settled("show")

    def of(self, outcome: Outcome) -> list[tuple[str, str]]:
        """What each way does, and its command."""
        if self.journal is None:
            return list(self._bare(outcome))
        return list(self._kept(outcome))

    def _kept(self, outcome: Outcome) -> Iterator[tuple[str, str]]:
        yield "look it up once more, which spends nothing", self.again
        # By its key: the journal may know the clip by another path, of a copy or from before a move.
        key = (outcome.key or "")[:SHOWN]
        for candidate in _candidates(outcome):
            yield _collect(candidate), self._settled("adopt", key, candidate)
        yield BUY, self._settled("release", key)

    def _bare(self, outcome: Outcome) -> Iterator[tuple[str, str]]:
        for candidate in _candidates(outcome):
            yield _collect(candidate), command_line("ochy", "wait", operands=[candidate])
        yield BUY, self.again

    def _settled(self, what: str, *operands: str) -> str:
        where = self.journal or ()
        options, paths = ((), where) if self.path else (where, ())
        return command_line("ochy", "journal", what, *options, operands=[*paths, *operands])


def _candidates(outcome: Outcome) -> list[str]:
    found = outcome.doubt.candidates if outcome.doubt is not None else ()
    return [each.analysis_id for each in found[:MOST]] or [UNKNOWN]


def _collect(candidate: str) -> str:
    which = "the analysis that the vendor's dashboard shows for that time" if candidate == UNKNOWN else "that analysis"
    return f"it became {which}: collect it, which spends nothing"


def lines_about(outcome: Outcome, ways: WaysOut) -> Iterator[str]:
    """All that is known of a doubt, line by line."""
    doubt = outcome.doubt
    yield f"{printable(outcome.who)}: uncertain. It may have been charged, and is not bought again."
    if doubt is not None:
        yield f"  {doubt.cause}"
        yield f"  {sent_told(doubt.start, doubt.size)}"
        yield f"  {lookup_told((), doubt.reached, doubt.error) if not doubt.candidates else 'It may have become:'}"
        yield from (f"    {candidate_told(each)}" for each in doubt.candidates)
    for what, command in ways.of(outcome):
        yield f"  - {what}:"
        yield f"      {command}"
