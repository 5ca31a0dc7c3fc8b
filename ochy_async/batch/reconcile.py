"""Looking up what a start in doubt has become.

Invariant: it looks and never buys. Adopted is only what can be nothing else; an empty list proves
nothing, so what stays open is told and left to the user.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

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
from .uncertain_text import lookup_told, sent_told

__all__ = ["look_up"]


async def look_up(job: ClipJob) -> NotAnalyzed | None:
    """Looks at once, and again while the analysis may yet turn up. None once it was found."""
    if job.known.state is State.INTENDED:
        await _doubted(job)
    job.context.doubts.setdefault(job.key, False)
    if not job.told:
        job.context.core.emit(StartUncertain(job.item.label, _attempt(job), job.known.reason))
    began, attempt, seen = current_time(), 0, None
    while True:
        look = await _look(job)
        attempt += 1
        seen = look if look.trouble is None else seen
        if look.found is not None:
            await _adopt(job, look.found)
            return None
        age = max(_age(job), current_time() - began)
        ahead = () if job.context.stopping.is_set() else tuple(lookup_delays(age))
        job.context.core.emit(_looked_up(job.item.label, attempt, ahead, reached=look.trouble is None))
        if not ahead:
            return _open(job, seen, look.trouble)
        await job.context.wait_or_stop(ahead[0])


def _looked_up(clip: str, attempt: int, ahead: Sequence[float], *, reached: bool) -> ReconciliationAttempted:
    """The event after a lookup that did not settle it; `ahead` are the pauses before those to come."""
    next_in = ahead[0] if ahead else None
    return ReconciliationAttempted(clip, attempt, attempt + len(ahead), next_in, sum(ahead), reached)


async def _doubted(job: ClipJob) -> None:
    """An intent that another process left behind is a doubt; that process had an end, at the latest its deadline."""
    context, entry = job.context, job.known
    deadline = (entry.earliest or entry.at) + timedelta(seconds=context.core.limits.transfer(job.clip.size))
    job.entry = await context.recorder.record(
        entry,
        State.UNCERTAIN,
        latest=min(context.recorder.clock(), deadline),
        reason="The process ended while it was being sent.",
    )


def _attempt(job: ClipJob) -> StartAttempt:
    return attempt_of(job.known, job.context.recorder.clock())


def _age(job: ClipJob) -> float:
    """Seconds since the start had surely ended, by a clock that may have been put back meanwhile."""
    now: datetime = job.context.recorder.clock()
    return (now - (job.known.latest or job.known.at)).total_seconds()


@frozen
class _Look:
    """What one lookup showed."""

    found: ListedAnalysis | None = None
    """The analysis that the start became."""
    candidates: tuple[ListedAnalysis, ...] = ()
    trouble: OchyError | None = None


async def _look(job: ClipJob) -> _Look:
    context, entry = job.context, job.known
    on_a_lane = context.subject_pool.has(entry.subject_id)
    try:
        listed = await context.core.perform(list_call(entry.subject_id if on_a_lane else None))
        # In this order: a start whose answer comes meanwhile is a rival, or its id is known, or both.
        rivals = [attempt_of(each, context.recorder.clock()) async for each in _others(job)]
        rivals += await released_starts(context.recorder.journal)
        known = await context.recorder.journal.analysis_ids() | context.core.started_ids
    except OchyError as error:
        context.recorder.guard.refused(error, current_time())
        return _Look(trouble=error)
    reconciliation = candidates_of(_attempt(job), listed, known, own_subject=on_a_lane)
    found = unambiguous_match(reconciliation, known, rivals, own_subject=on_a_lane)
    return _Look(found, reconciliation.candidates)


async def _others(job: ClipJob) -> AsyncGenerator[Entry]:
    """All other starts that are under way or in doubt."""
    async for entry in job.context.recorder.journal.entries(State.INTENDED, State.UNCERTAIN):
        if entry.key != job.key:
            yield entry


async def _adopt(job: ClipJob, found: ListedAnalysis) -> None:
    job.bought = job.context.found(job.key)
    job.entry = await job.context.recorder.record(
        job.known,
        State.STARTED,
        analysis_id=found.analysis_id,
        started_at=found.created_at or job.known.latest,
        reason="Found by a lookup.",
    )
    job.context.subject_pool.give(job.known.subject_id)


def _open(job: ClipJob, seen: _Look | None, trouble: OchyError | None) -> Uncertain:
    """The outcome of what no lookup settled: `seen` is what the last showed that had an answer."""
    attempt, cause = _attempt(job), job.known.reason
    candidates = seen.candidates if seen is not None else ()
    told = (sent_told(attempt, job.clip.size), lookup_told(candidates, seen is not None, trouble))
    return job.end(
        Uncertain,
        " ".join(("It may have been charged and is not bought again.", cause, *told)),
        trouble,
        start=attempt,
        size=job.clip.size,
        cause=cause,
        reached=seen is not None,
        candidates=candidates,
    )
