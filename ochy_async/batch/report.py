"""The sum of a batch: what came out, what it cost, what it saved.

Law of this room: counts only. Nothing of it names a clip or tells a measure.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

__all__ = ["Plan", "Report"]


@frozen(kw_only=True)
class Report:
    """What a batch has come to so far."""

    outcomes: Mapping[str, int]
    """Clips by the word of their outcome."""
    spent: int
    """Credits that this batch surely spent: starts that the server accepted, and those found by a lookup."""
    uncertain: int
    """Starts that may have cost a credit each, and are not settled."""
    saved: int
    """Clips that were not bought because their results were there: from an earlier run, or of the same content."""
    committed: int
    """Credits that the journal counts in all, earlier runs included: what `max_credits` limits."""
    stopped: str = ""
    """Why nothing new was started any more; empty where nothing stopped it."""


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
