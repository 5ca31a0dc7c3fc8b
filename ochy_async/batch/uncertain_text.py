"""A start in doubt, in words: what was sent and when, and what the lookups showed.

Invariant: pure, and nothing is said of the vendor's lists that no answer has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ..errors import OchyError, StartAttempt
from ..protocol.analysis import ListedAnalysis

__all__ = ["candidate_told", "lookup_told", "sent_told"]

MOST: Final = 5
"""Candidates that are told in a sentence; of more, their number."""


def sent_told(start: StartAttempt, size: int) -> str:
    """The name and size that were sent, and the window in which the server may have taken the start."""
    between = f"between {_moment(start.earliest)} and {_moment(start.latest)} UTC"
    return f"It was sent as {start.clip!r} ({_megabytes(size)}) {between}."


def candidate_told(candidate: ListedAnalysis) -> str:
    """The id of an analysis that the start may have become, and what its list says of it."""
    facts = [
        f"made {_moment(candidate.created_at)} UTC" if candidate.created_at else "",
        f"subject {candidate.subject_id}" if candidate.subject_id else "",
    ]
    told = ", ".join(filter(None, facts))
    return f"{candidate.analysis_id} ({told})" if told else candidate.analysis_id


def lookup_told(candidates: Sequence[ListedAnalysis], reached: bool, trouble: OchyError | None) -> str:
    """What the lookups showed. `trouble` is why the last of them had no answer."""
    if not reached:
        return f"No lookup could be made, so nothing is known of it yet: {trouble}"
    told = _seen(candidates)
    return told if trouble is None else f"{told} The last lookup could not be made: {trouble}"


def _seen(candidates: Sequence[ListedAnalysis]) -> str:
    if not candidates:
        return "A lookup did not settle it: no list shows it, which proves nothing."
    if len(candidates) == 1:
        return f"It may be the analysis {candidate_told(candidates[0])}, but something else is possible."
    named = "; ".join(candidate_told(each) for each in candidates[:MOST])
    more = f"; and {len(candidates) - MOST} more" if len(candidates) > MOST else ""
    return f"It may be one of {len(candidates)} analyses: {named}{more}."


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"
