"""Looking up which analysis an uncertain start has become.

Invariant: a lookup costs nothing. An analysis is adopted only if nothing else explains it; an empty list proves
nothing, so an unresolved start is reported and left to the user.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

from anyio import current_time
from attrs import frozen

from ..errors import OchyError, StartAttempt
from ..events import ReconciliationAttempted, StartUncertain
from ..journal.contract import Entry
from ..policy.clip_states import State
from ..policy.reconciliation import candidates_of, lookup_delays, unambiguous_match
from ..protocol.analysis import ListedAnalysis, list_call
from .clip_job import ClipJob, NotAnalyzed
from .outcomes import Uncertain
from .recorder import attempt_of, released_starts
from .uncertain_text import lookup_text, sent_text

__all__ = ["reconcile_start"]


async def reconcile_start(job: ClipJob) -> NotAnalyzed | None:
    """Looks the start up at once, and again while its analysis may still appear. Returns None once it is found."""
    context = job.context
    if job.known.state is State.INTENDED:
        await _record_uncertain(job)
    context.uncertain.setdefault(job.key, False)
    if not job.uncertain_reported:
        context.core.emit(StartUncertain(job.item.label, _attempt(job), job.known.reason))
    began, number, answered = current_time(), 0, None
    while True:
        lookup = await _look_up(job)
        number += 1
        answered = lookup if lookup.error is None else answered
        if lookup.found is not None:
            await _adopt(job, lookup.found)
            return None
        age = max(_age(job), current_time() - began)
        delays = () if context.stopping.is_set() else tuple(lookup_delays(age))
        context.core.emit(_event(job.item.label, number, delays, reached=lookup.error is None))
        if not delays:
            return _unresolved(job, answered, lookup.error)
        await context.wait_or_stop(delays[0])


def _event(clip: str, number: int, delays: Sequence[float], *, reached: bool) -> ReconciliationAttempted:
    """The event after a lookup that did not resolve the start; `delays` are those before the lookups that follow."""
    next_in = delays[0] if delays else None
    return ReconciliationAttempted(clip, number, number + len(delays), next_in, sum(delays), reached)


async def _record_uncertain(job: ClipJob) -> None:
    """Marks a start that another process intended as uncertain. That start was over at its deadline at the latest."""
    context, entry = job.context, job.known
    deadline = (entry.earliest or entry.at) + timedelta(seconds=context.core.limits.transfer(job.clip.size))
    await job.record(
        State.UNCERTAIN, latest=min(context.now(), deadline), reason="The process ended while the start was being sent."
    )


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


async def _look_up(job: ClipJob) -> _Lookup:
    context, entry = job.context, job.known
    tagged = entry.subject_id in context.subject_pool
    try:
        listed = await context.core.perform(list_call(entry.subject_id if tagged else None))
        # The order matters: a start whose answer comes meanwhile is among the others, or its id is known, or both.
        others = [attempt_of(each, context.now()) async for each in _other_entries(job)]
        others += await released_starts(context.journal)
        known = await context.journal.analysis_ids() | context.core.state.started_ids
    except OchyError as error:
        context.server_refused(error)
        return _Lookup(error=error)
    reconciliation = candidates_of(_attempt(job), listed, known, own_subject=tagged)
    found = unambiguous_match(reconciliation, known, others, own_subject=tagged)
    return _Lookup(found, reconciliation.candidates)


async def _other_entries(job: ClipJob) -> AsyncGenerator[Entry]:
    """The entries of all other starts that are under way or uncertain."""
    async for entry in job.context.journal.entries(State.INTENDED, State.UNCERTAIN):
        if entry.key != job.key:
            yield entry


async def _adopt(job: ClipJob, found: ListedAnalysis) -> None:
    job.bought = job.context.start_found(job.key)
    await job.record(
        State.STARTED,
        analysis_id=found.analysis_id,
        started_at=found.created_at or job.known.latest,
        reason="Found by a lookup.",
    )
    job.release_subject()


def _unresolved(job: ClipJob, answered: _Lookup | None, error: OchyError | None) -> Uncertain:
    """The outcome of a start that no lookup resolved. `answered` is the last lookup that got an answer."""
    attempt, cause = _attempt(job), job.known.reason
    candidates = answered.candidates if answered is not None else ()
    texts = (sent_text(attempt, job.clip.size), lookup_text(candidates, answered is not None, error))
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
