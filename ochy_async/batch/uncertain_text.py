"""Texts about an uncertain start: what was sent and when, and what the lookups showed.

Invariant: pure. A text says about the vendor's lists only what an answer has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ..errors import OchyError, StartAttempt
from ..policy.reconciliation import MOST_CANDIDATES
from ..protocol.analysis_list import ListedAnalysis

__all__ = ["UNTAGGED", "candidate_text", "lookup_text", "sent_text"]

MAX_NAMED: Final = 5
"""Candidates that a sentence names; the others are only counted."""
UNTAGGED: Final = (
    "The start had no subject, so a lookup cannot tell it from other starts of the account at that time. With "
    "tag_starts (--tag-starts) later starts can be told apart."
)
"""What is said of candidates that a start without a subject has."""


def sent_text(start: StartAttempt, size: int) -> str:
    """The name and size that were sent, and the time window in which the server may have taken the start. The size is 0
    if it is not known."""
    window = f"between {_moment(start.earliest)} and {_moment(start.latest)} UTC"
    bytes_sent = f" ({_megabytes(size)})" if size else ""
    return f"The clip was sent as {start.clip!r}{bytes_sent} {window}."


def candidate_text(candidate: ListedAnalysis) -> str:
    """The id of an analysis that the start may have become, and what the vendor's list says about it."""
    facts = [
        f"made {_moment(candidate.created_at)} UTC" if candidate.created_at else "",
        f"subject {candidate.subject_id}" if candidate.subject_id else "",
    ]
    text = ", ".join(filter(None, facts))
    return f"{candidate.analysis_id} ({text})" if text else candidate.analysis_id


def lookup_text(
    start: StartAttempt, candidates: Sequence[ListedAnalysis], reached: bool, error: OchyError | None
) -> str:
    """What the lookups showed. `error` is why the last of them got no answer."""
    if not reached:
        return f"No lookup got an answer, so nothing is known about the start yet: {error}"
    text = _candidates_text(candidates)
    if candidates and start.subject_id is None:
        text = f"{text} {UNTAGGED}"
    return text if error is None else f"{text} The last lookup got no answer: {error}"


def _candidates_text(candidates: Sequence[ListedAnalysis]) -> str:
    if not candidates:
        return "A lookup did not resolve the start: the vendor's lists do not show its analysis, which proves nothing."
    if len(candidates) == 1:
        return f"The start may have become the analysis {candidate_text(candidates[0])}, but that is not certain."
    names = "; ".join(candidate_text(each) for each in candidates[:MAX_NAMED])
    count, more = len(candidates), "; and more" if len(candidates) > MAX_NAMED else ""
    of = f"{count} or more" if count >= MOST_CANDIDATES else count
    return f"The start may have become one of {of} analyses: {names}{more}."


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"
