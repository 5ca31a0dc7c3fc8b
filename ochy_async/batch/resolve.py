"""Settling by hand what a batch left open: the user's word, written down like everything else.

Invariant: an analysis belongs to one clip only, and what is let go may cost a second credit, so
nothing here is done unasked. Each change is a compare-and-set along `TRANSITIONS`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import evolve

from ..errors import InvalidRequest, Problem
from ..journal.contract import Entry, Journal
from ..policy.clip_states import State
from .recorder import opened, remember_release
from .tagging import retire

__all__ = ["DOUBTS", "RELEASABLE", "adopt", "release"]

DOUBTS: Final = frozenset({State.INTENDED, State.UNCERTAIN})
"""It may have been started and charged. `INTENDED` is one too, in a journal that nobody else has open."""
RELEASABLE: Final = DOUBTS | {State.FAILED, State.REFUSED}
"""What is not bought again unless the user says so."""


async def adopt(journal: Journal, key: str, analysis_id: str) -> Entry:
    """Settles a doubt: the start became this analysis, which the next run collects. Spends nothing.

    Its upload lane is never used again: whatever kept a lookup from settling it may yet be linked to that.

    Raises `InvalidRequest` where the clip is in no doubt, or where any clip of the journal has or ever
    had that analysis; `JournalError` where it cannot be written.
    """
    entry = await _entry("adopt", journal, key, DOUBTS)
    if not _is_id(analysis_id):
        raise _refused("adopt", "analysis_id", f"{analysis_id!r} is no id: give one as the vendor's dashboard shows it")
    if analysis_id in await journal.analysis_ids():
        raise _refused("adopt", "analysis_id", f"{analysis_id} belongs to a clip of this journal, or did once")
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
    """Lets a clip be bought again, which may cost a second credit: one in doubt, failed or refused.

    The upload lane of a start in doubt is never used again, since what became of that start may yet
    appear on it. Raises `InvalidRequest` where nothing holds the clip back, and `JournalError`.
    """
    entry = await _entry("release", journal, key, RELEASABLE)
    if entry.state in DOUBTS:
        await remember_release(journal, entry, datetime.now(UTC))
        if entry.subject_id is not None:
            await retire(journal, entry.subject_id)
    return await journal.put(opened(entry, f"Released by hand; it was {entry.state}.", datetime.now(UTC)))


async def _entry(what: str, journal: Journal, key: str, states: frozenset[State]) -> Entry:
    entry = await journal.get(key)
    if entry is None:
        raise _refused(what, "key", f"{key!r} is not known to this journal")
    if entry.state not in states:
        raise _refused(what, "clip", f"{entry.clip or entry.name!r} is {entry.state}: there is nothing to {what}")
    return entry


def _is_id(text: object) -> bool:
    return (
        isinstance(text, str) and text.isascii() and text.isprintable() and bool(text) and not set(text) & set(" /?#")
    )


def _refused(what: str, name: str, why: str) -> InvalidRequest:
    problem = Problem(name, why)
    return InvalidRequest(f"Cannot {what}; nothing was changed.\n  - {problem}", problems=(problem,))
