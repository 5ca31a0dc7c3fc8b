"""Resolving by hand what a batch left uncertain, failed or refused.

Invariant: an analysis belongs to one clip only. Nothing is released unless the user says so, because that may cost a
second credit. Each change is a compare-and-set along `TRANSITIONS`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import evolve

from ..errors import InvalidRequest, Problem
from ..journal.contract import Entry, Journal
from ..policy.clip_states import State
from .recorder import remember_release, reopened
from .tagging import retire

__all__ = ["RELEASABLE", "UNRESOLVED", "adopt", "release"]

UNRESOLVED: Final = frozenset({State.INTENDED, State.UNCERTAIN})
"""The start may have been charged. `INTENDED` means that too, in a journal that no other process has open."""
RELEASABLE: Final = UNRESOLVED | {State.FAILED, State.REFUSED}
"""These clips are not sent again unless the user releases them."""


async def adopt(journal: Journal, key: str, analysis_id: str) -> Entry:
    """Resolves an uncertain start: it became this analysis, which the next run collects. Costs nothing.

    Its tagging subject is never used again: whatever kept a lookup from finding the analysis may still be linked to it.

    Raises `InvalidRequest` if the clip is not uncertain, or if any clip of the journal has or ever had that analysis,
    and `JournalError` if the change cannot be stored.
    """
    entry = await _entry("adopt", journal, key, UNRESOLVED)
    if not _is_id(analysis_id):
        raise _refused(
            "adopt", "analysis_id", f"{analysis_id!r} is not an id; give it as the vendor's dashboard shows it"
        )
    if analysis_id in await journal.analysis_ids():
        raise _refused("adopt", "analysis_id", f"{analysis_id} belongs, or once belonged, to a clip of this journal")
    if entry.subject_id is not None:
        await retire(journal, entry.subject_id)
    return await journal.put(
        evolve(
            entry,
            state=State.STARTED,
            analysis_id=analysis_id,
            started_at=entry.latest or entry.at,
            reason="Adopted by hand.",
            at=datetime.now(UTC),
        )
    )


async def release(journal: Journal, key: str) -> Entry:
    """Lets an uncertain, failed or refused clip be started again, which may cost a second credit.

    The tagging subject of an uncertain start is never used again, because the analysis of that start may still appear
    under it. Raises `InvalidRequest` if the clip is in another state, and `JournalError`.
    """
    entry = await _entry("release", journal, key, RELEASABLE)
    if entry.state in UNRESOLVED:
        await remember_release(journal, entry, datetime.now(UTC))
        if entry.subject_id is not None:
            await retire(journal, entry.subject_id)
    return await journal.put(reopened(entry, f"Released by hand; it was {entry.state}.", datetime.now(UTC)))


async def _entry(action: str, journal: Journal, key: str, states: frozenset[State]) -> Entry:
    entry = await journal.get(key)
    if entry is None:
        raise _refused(action, "key", f"{key!r} is not in this journal")
    if entry.state not in states:
        raise _refused(action, "clip", f"{entry.clip or entry.name!r} is {entry.state}: there is nothing to {action}")
    return entry


def _is_id(text: object) -> bool:
    return (
        isinstance(text, str) and text.isascii() and text.isprintable() and bool(text) and not set(text) & set(" /?#")
    )


def _refused(action: str, name: str, reason: str) -> InvalidRequest:
    problem = Problem(name, reason)
    return InvalidRequest(f"Cannot {action}; nothing was changed.\n  - {problem}", problems=(problem,))
