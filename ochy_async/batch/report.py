"""The totals of a batch: its outcomes, what it cost, what was paid for already, and the texts about that.

Invariant: a report holds counts only, neither names of clips nor results.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..field_docs import documented
from ..protocol.text_summary import count_of

__all__ = ["Plan", "Report", "credits_text", "short_credits_text"]


@documented
@frozen(kw_only=True)
class Report:
    """The totals of a batch so far."""

    outcomes: Mapping[str, int]
    """The number of clips for each kind of outcome."""
    spent: int
    """Credits that this batch certainly spent: starts that the server accepted, or that a lookup found."""
    uncertain: int
    """Unresolved starts of the clips of this batch that may have cost a credit each."""
    already_paid: int
    """Clips whose results were paid for already: by an earlier run, or by a clip of the same content."""
    committed: int
    """Credits that all runs of the journal may have spent, uncertain ones included. This is what `max_credits`
    limits."""
    charged: int
    """Those of `committed` that are certainly spent. The others may be: uncertain starts, released clips, refused
    uploads."""
    held_back: int = 0
    """Clips that were not started because a limit on credits was reached."""
    limit_reached: str = ""
    """Which limit on credits keeps clips from being started now; empty while clips are started, also after credits were
    given back."""
    stopped: str = ""
    """Why no new clip was started any more; empty if nothing stopped the batch."""

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {word}" for word, count in self.outcomes.items()) or "no clip is finished yet"
        return f"{outcomes}. {credits_text(self)}{self.stopped and ' '}{self.stopped}"


def short_credits_text(report: Report, *, simulated: bool = False) -> str:
    """What was spent so far, as a short text for a progress bar."""
    uncertain = f", {report.uncertain} uncertain" if report.uncertain else ""
    return f"{_credits(report.spent, simulated)} spent{uncertain}"


def credits_text(report: Report, *, simulated: bool = False) -> str:
    """What was spent, in this run and in total, and what was not needed. All outputs use this one sentence."""
    text = f"{_credits(report.spent, simulated)} spent by this run"
    if report.uncertain:
        text += f" and {report.uncertain} uncertain"
    if report.committed != report.spent + report.uncertain:
        text += f", {'' if report.charged == report.committed else 'at most '}{report.committed} in all"
    if report.already_paid:
        text += f"; {report.already_paid} not needed: results were already paid for"
    return f"{text}."


def _credits(count: int, simulated: bool) -> str:
    return count_of(count, "simulated credit" if simulated else "credit")


@documented
@frozen(kw_only=True)
class Plan:
    """What a batch would do; found without sending a request or spending a credit."""

    to_buy: int
    """Clips that would be started, one credit each."""
    done: int
    """Clips whose results are stored."""
    paid: int
    """Clips that are paid for and would be collected."""
    uncertain: int
    """Clips with an uncertain start: they would be looked up, not bought."""
    failed: int
    """Clips whose analysis failed in an earlier run."""
    refused: int
    """Clips that cannot be sent, or that the server refused before."""
    duplicates: int
    """Clips with the same content and request as an earlier one of the input: not bought again."""
    refusals: tuple[str, ...] = ()
    """Which clips are refused and why, one line each; at most 20."""
