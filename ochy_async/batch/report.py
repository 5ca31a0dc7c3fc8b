"""The sum of a batch: what came out, what it cost, what was paid for already; and the words for it.

Invariant: counts only. Nothing of it names a clip or tells a measure.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..field_docs import documented

__all__ = ["Plan", "Report", "credits_note", "credits_told"]


@documented
@frozen(kw_only=True)
class Report:
    """What a batch has come to so far."""

    outcomes: Mapping[str, int]
    """Clips by the word of their outcome."""
    spent: int
    """Credits that this batch surely spent: starts that the server accepted, or that a lookup found."""
    uncertain: int
    """Starts of the clips of this batch that may have cost a credit each, and are not settled."""
    already_paid: int
    """Clips whose results were paid for already: by an earlier run, or by a clip of the same content."""
    committed: int
    """Credits that the journal counts in all, earlier runs and all that is uncertain included: what `max_credits`
    limits."""
    charged: int
    """Those of them that are surely spent. The others may be: starts in doubt, released clips, refused uploads."""
    held_back: int = 0
    """Clips that were not started because a limit on credits was reached."""
    stopped: str = ""
    """Why nothing new was started any more; empty where nothing stopped it."""

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {word}" for word, count in self.outcomes.items()) or "no clip has ended yet"
        return f"{ended}. {credits_told(self)}{self.stopped and ' '}{self.stopped}"


def credits_note(report: Report, *, made_up: bool = False) -> str:
    """What was spent so far, in a few words for a progress bar."""
    doubt = f", {report.uncertain} uncertain" if report.uncertain else ""
    return f"{_credits(report.spent, made_up)} spent{doubt}"


def credits_told(report: Report, *, made_up: bool = False) -> str:
    """What was spent, in all, and not needed: the one sentence about money, wherever it is told."""
    told = f"{_credits(report.spent, made_up)} spent by this run"
    if report.uncertain:
        told += f" and {report.uncertain} uncertain"
    if report.committed != report.spent + report.uncertain:
        told += f", {'' if report.charged == report.committed else 'at most '}{report.committed} in all"
    if report.already_paid:
        told += f"; {report.already_paid} not needed: results were already paid for"
    return f"{told}."


def _credits(count: int, made_up: bool) -> str:
    return f"{count} {'made-up ' if made_up else ''}credit{'' if count == 1 else 's'}"


@documented
@frozen(kw_only=True)
class Plan:
    """What a batch would do, found without a request and without a credit."""

    to_buy: int
    """Clips that would be started, one credit each."""
    done: int
    """Clips whose results are there."""
    paid: int
    """Clips that are paid and still to be collected."""
    uncertain: int
    """Clips whose start is in doubt: looked up, not bought."""
    failed: int
    """Clips whose analysis failed in an earlier run."""
    refused: int
    """Clips that cannot be sent, or that the server has refused before."""
    duplicates: int
    """Clips of the same content and request as one further up: not bought again."""
    refusals: tuple[str, ...] = ()
    """Which clips are refused and why, one line each; the first few."""
