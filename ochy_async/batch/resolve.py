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
from ..policy.clip_states import NEXT_STEP, UNRESOLVED, State, Step
from .recorder import remember_release, reopened

__all__ = ["RELEASABLE", "adopt", "release"]

RELEASABLE: Final = UNRESOLVED | {State.FAILED, State.REFUSED}
"""These clips are not sent again unless the user releases them."""
_HELD: Final = (
    "wait until that worker has finished with it, or stop the worker. If it was killed, wait half a minute. Use force "
    "only if you know that it is gone: the answer to its start may still come"
)


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
    if await journal.known({analysis_id}):
        raise _refused("adopt", "analysis_id", f"{analysis_id} belongs, or once belonged, to a clip of this journal")
    if entry.subject_id is not None:
        await journal.retire_tagging_subject(entry.subject_id)
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


async def release(journal: Journal, key: str, *, force: bool = False) -> Entry:
    """Lets an uncertain, failed or refused clip be started again, which may cost a second credit.

    The tagging subject of an uncertain start is never used again, because the analysis of that start may still appear
    under it. Raises `InvalidRequest` if the clip is in another state or, without `force`, if a live worker of a shared
    journal is processing it: the answer to its start may still come. Raises `JournalError`.
    """
    entry = await _entry("release", journal, key, RELEASABLE)
    holder = None if force else await journal.holder(key)
    if holder is not None:
        raise _refused("release", "clip", f"{entry.clip or entry.name!r} is being processed by {holder}; {_HELD}")
    if entry.state in UNRESOLVED:
        await remember_release(journal, entry, datetime.now(UTC))
        if entry.subject_id is not None:
            await journal.retire_tagging_subject(entry.subject_id)
    return await journal.put(reopened(entry, f"Released by hand; it was {entry.state}.", datetime.now(UTC)))


async def _entry(action: str, journal: Journal, key: str, states: frozenset[State]) -> Entry:
    entry = await journal.get(key)
    if entry is None:
        raise _refused(action, "key", f"{key!r} is not in this journal")
    if entry.state not in states:
        advice = "; the next run starts it" if NEXT_STEP[entry.state] is Step.START else ""
        name = entry.clip or entry.name
        raise _refused(action, "clip", f"{name!r} is {entry.state}: there is nothing to {action}{advice}")
    return entry


def _is_id(text: object) -> bool:
    return (
        isinstance(text, str) and text.isascii() and text.isprintable() and bool(text) and not set(text) & set(" /?#")
    )


def _refused(action: str, name: str, reason: str) -> InvalidRequest:
    problem = Problem(name, reason)
    return InvalidRequest(f"Cannot {action}; nothing was changed.\n  - {problem}", problems=(problem,))
