"""Looking up which analysis an uncertain start has become.

Invariant: a lookup costs nothing. An analysis is adopted only if nothing else explains it; an empty list proves
nothing, so an unresolved start is reported and left to the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from anyio import current_time
from attrs import frozen

from ..errors import JournalConflict, JournalError, OchyError, StartAttempt
from ..events import ReconciliationAttempted, StartUncertain
from ..journal.contract import Entry
from ..policy.clip_states import State
from ..policy.reconciliation import MOST_CANDIDATES, candidates_of, lookup_delays, unambiguous_match
from ..protocol.analysis_list import ListedAnalysis, list_call
from ..protocol.video_limits import MAX_BYTES
from .clip_job import ClipJob, NotAnalyzed
from .context import BatchContext
from .outcomes import Uncertain
from .recorder import attempt_of
from .uncertain_text import lookup_text, sent_text

__all__ = ["look_up_once", "reconcile_start"]


async def reconcile_start(job: ClipJob) -> NotAnalyzed | None:
    """Looks the start up at once, and again while its analysis may still appear. Returns None once it is found."""
    context = job.context
    if job.known.state is not State.UNCERTAIN:
        await _record_uncertain(job)
    context.uncertain.setdefault(job.key, False)
    if not job.uncertain_reported:
        context.core.emit(StartUncertain(job.item.label, _attempt(job), job.known.reason))
    began, number, answered = current_time(), 0, None
    while True:
        lookup = await _look_up(context, job.known)
        number += 1
        answered = lookup if lookup.error is None else answered
        if lookup.found is not None:
            job.bought = context.start_found(job.key)
            job.entry = await _adopt(context, job.known, lookup.found)
            return None
        await _check_entry(job)
        age = max(_age(job), current_time() - began)
        delays = () if context.stopping.is_set() else tuple(lookup_delays(age))
        context.core.emit(_event(job.item.label, number, delays, reached=lookup.error is None))
        if not delays:
            return _unresolved(job, answered, lookup.error)
        await context.wait_or_stop(delays[0])


async def look_up_once(context: BatchContext, entry: Entry) -> bool:
    """Looks up an uncertain start without its clip. Returns whether the server answered, whatever it said."""
    lookup = await _look_up(context, entry)
    if lookup.found is not None:
        context.uncertain.setdefault(entry.key, False)
        context.start_found(entry.key)
        await _adopt(context, entry, lookup.found)
    return lookup.error is None


def _event(clip: str, number: int, delays: Sequence[float], *, reached: bool) -> ReconciliationAttempted:
    """The event after a lookup that did not resolve the start; `delays` are those before the lookups that follow."""
    next_in = delays[0] if delays else None
    return ReconciliationAttempted(clip, number, number + len(delays), next_in, sum(delays), reached)


async def _record_uncertain(job: ClipJob) -> None:
    """Marks a start that another process was sending as uncertain. It was over at its deadline at the latest."""
    context, entry = job.context, job.known
    size = job.clip.size or MAX_BYTES  # a clip of unknown size took at most as long as the largest
    deadline = (entry.earliest or entry.at) + timedelta(seconds=context.core.limits.transfer(size))
    await job.record(
        State.UNCERTAIN, latest=min(context.now(), deadline), reason="The process ended while the start was being sent."
    )


async def _check_entry(job: ClipJob) -> None:
    """Raises `JournalConflict` if another worker or a person has changed the entry."""
    if not job.context.journal.shared:
        return
    try:
        stored = await job.context.journal.get(job.key)
    except JournalError:
        return  # the lookup says what is known
    if stored is not None and stored.version != job.known.version:
        raise JournalConflict(f"The start of {job.item.label!r} was resolved meanwhile. Read its journal entry again.")


def _attempt(job: ClipJob) -> StartAttempt:
    return attempt_of(job.known, job.context.now())


def _age(job: ClipJob) -> float:
    """Seconds since the start was certainly over, by a clock that may have been set back meanwhile."""
    return (job.context.now() - (job.known.latest or job.known.at)).total_seconds()


@frozen
class _Lookup:
    """What one lookup showed."""

    found: ListedAnalysis | None = None
    """The analysis that the start has become."""
    candidates: tuple[ListedAnalysis, ...] = ()
    error: OchyError | None = None
    """Why the lookup got no answer."""


async def _look_up(context: BatchContext, entry: Entry) -> _Lookup:
    try:
        tagged = await context.subject_pool.tags(entry.subject_id)
        return await (_look_up_subject if tagged else _look_up_account)(context, entry)
    except OchyError as error:
        context.server_refused(error)
        return _Lookup(error=error)


async def _look_up_subject(context: BatchContext, entry: Entry) -> _Lookup:
    """Looks a tagged start up: nothing else is ever linked to its subject."""
    listed = await context.core.perform_in_slices(list_call(entry.subject_id))
    known = await context.journal.known(listed.ids) | context.core.state.started_ids
    found = candidates_of(attempt_of(entry, context.now()), listed, known, own_subject=True, most=MOST_CANDIDATES)
    return _Lookup(unambiguous_match(found, known, (), own_subject=True), found.candidates)


async def _look_up_account(context: BatchContext, entry: Entry) -> _Lookup:
    start, known = attempt_of(entry, context.now()), context.core.state.started_ids
    account = await context.account.view(start)
    found = candidates_of(start, account.near(start), known, most=MOST_CANDIDATES)
    others = account.other_starts(entry.key)
    match = unambiguous_match(found, known, others, own_subject=False) if account.complete else None
    return _Lookup(match, found.candidates)


async def _adopt(context: BatchContext, entry: Entry, found: ListedAnalysis) -> Entry:
    entry = await context.recorder.record(
        entry,
        State.STARTED,
        analysis_id=found.analysis_id,
        started_at=found.created_at or entry.latest,
        reason="Found by a lookup.",
    )
    context.subject_pool.release(entry.subject_id)
    return entry


def _unresolved(job: ClipJob, answered: _Lookup | None, error: OchyError | None) -> Uncertain:
    """The outcome of a start that no lookup resolved. `answered` is the last lookup that got an answer."""
    attempt, cause = _attempt(job), job.known.reason
    candidates = answered.candidates if answered is not None else ()
    texts = (sent_text(attempt, job.clip.size), lookup_text(attempt, candidates, answered is not None, error))
    return job.outcome(
        Uncertain,
        " ".join(("The start may have been charged and is not sent again.", f"{cause.rstrip('.')}.", *texts)),
        error,
        start=attempt,
        size=job.clip.size,
        cause=cause,
        reached=answered is not None,
        candidates=candidates,
    )
