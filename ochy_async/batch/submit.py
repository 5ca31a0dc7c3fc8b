"""Spending a credit on a clip: guard, lane, intent, deed, and what the deed has come to.

Invariant: the intent is durable before the first byte leaves, and a credit is given back only
where it is known that the start did not happen (`StartTransaction.fate`): what cleans up infers nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from anyio import CancelScope, current_time
from attrs import evolve

from ..clips import verified
from ..errors import (
    ClipRefused,
    FilmAgain,
    FixRequest,
    JournalError,
    KeyRefused,
    NotFound,
    OchyError,
    RequestRefused,
    StartAttempt,
    UncertainStart,
)
from ..policy.clip_states import State
from ..policy.credit_guard import StopReason
from ..policy.start_fate import Fate
from ..protocol.analysis import Started
from ..protocol.request import AnalysisRequest
from ..starting import StartTransaction
from .clip_job import ClipJob, NotAnalyzed
from .outcomes import Refused, Unfinished
from .recorder import remember_release

__all__ = ["start"]


async def start(job: ClipJob) -> NotAnalyzed | None:
    """Spends a credit if the guard lets it; else waits for its turn, or ends."""
    context = job.context
    async with context.uploads:
        admitted = context.recorder.guard.admit(current_time())
        if isinstance(admitted, StopReason):
            if context.recorder.guard.remaining == 0:
                context.held_back.add(job.key)
            return job.end(Unfinished, admitted.reason, admitted.error)
        if admitted == 0:
            return await _spend(job)
    await context.wait_or_stop(admitted)
    return None


async def _spend(job: ClipJob) -> NotAnalyzed | None:
    """Intent, then deed."""
    context = job.context
    try:
        request = await _tagged(job)
        sending = StartTransaction(
            context.core, verified(job.clip, job.content), request, job.item.label, context.trouble
        )
        job.entry = await context.recorder.intend(job.entry, **_intent(job, request))
    except OchyError as error:
        context.recorder.guard.release_credit()
        context.recorder.guard.refused(error, current_time())  # making a lane may be refused for the account, too
        return job.end(Unfinished, str(error), error)
    except BaseException:
        context.recorder.guard.release_credit()
        raise
    return await _sent(job, sending)


def _on_a_lane(job: ClipJob) -> bool:
    """Whether its start goes on an upload lane: a subject of the user's own stays."""
    return job.context.tag_starts and job.item.request.subject_id is None


async def _tagged(job: ClipJob) -> AnalysisRequest[Any, Any]:
    """The request as it is sent."""
    request = job.item.request
    return evolve(request, subject_id=await job.context.subject_pool.take()) if _on_a_lane(job) else request


def _intent(job: ClipJob, request: AnalysisRequest[Any, Any]) -> dict[str, Any]:
    return {
        "key": job.key,
        "clip": job.item.label,
        "name": job.clip.name,
        "view": request.view,
        "subject_id": request.subject_id,
    }


async def _sent(job: ClipJob, sending: StartTransaction[Any, Any]) -> NotAnalyzed | None:
    try:
        await _accepted(job, await sending.run())
    except OchyError as error:
        return await _not_started(job, sending, error)
    except BaseException:
        await _broken_off(job, sending, "It was broken off.")
        raise
    return None


async def _accepted(job: ClipJob, started: Started[Any, Any]) -> None:
    """Writes down what is paid, before anything else is done with it. Done again where it was broken off."""
    if not job.bought:
        job.bought = True
        job.context.accepted(_seconds(job.known.earliest, started.started_at))
    job.entry = await job.context.recorder.record(
        job.known, State.STARTED, analysis_id=started.analysis_id, started_at=started.started_at
    )
    job.context.subject_pool.give(job.known.subject_id)


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    return (end - begin).total_seconds() if begin is not None and end is not None else 0.0


async def _not_started(job: ClipJob, sending: StartTransaction[Any, Any], error: OchyError) -> NotAnalyzed | None:
    """What an error of a start means: for this clip, and for those to come. None where its way goes on."""
    context, reason = job.context, error.why if isinstance(error, UncertainStart) else str(error)
    for_account = context.recorder.guard.refused(
        error, current_time()
    )  # first of all, so that nobody else starts meanwhile
    if isinstance(error, ClipRefused):
        context.refused.add(job.key)
    if isinstance(error, ClipRefused | RequestRefused) and not await _left_behind(job):
        return job.end(Refused, reason, error)  # to the next run it is a doubt
    if isinstance(error, ClipRefused):
        job.entry = await context.recorder.record(job.known, State.REFUSED, reason=reason)
        return job.end(Refused, reason, error)
    await _broken_off(job, sending, reason)
    if sending.fate in (Fate.UNCERTAIN, Fate.ACCEPTED):
        return None
    if for_account and context.recorder.guard.stopped is None:
        return None  # starts are paused: it takes its turn again
    if isinstance(error, NotFound) and _on_a_lane(job):
        if await context.subject_pool.drop(job.known.subject_id):
            return None  # it takes its turn again, on another lane
    elif isinstance(error, FixRequest | FilmAgain) and not isinstance(error, KeyRefused):
        return job.end(Refused, reason, error, problems=getattr(error, "problems", ()))
    return job.end(Unfinished, reason, error)


async def _left_behind(job: ClipJob) -> bool:
    """Whether it is written down that a refused upload may have left an analysis behind, which is not documented:
    neither its lane nor its time proves anything for other starts any more."""
    context = job.context
    with CancelScope(shield=True):
        try:
            await remember_release(context.recorder.journal, job.known, context.recorder.clock())
            await context.subject_pool.retire(job.known.subject_id)
        except JournalError as trouble:
            context.recorder.fails(trouble)
            return False
    return True


async def _broken_off(job: ClipJob, sending: StartTransaction[Any, Any], reason: str) -> None:
    """Writes down whether a start that did not come to its end may have been charged."""
    with CancelScope(shield=True):
        if sending.started is not None:
            await _accepted(job, sending.started)
        elif sending.fate in (Fate.NOT_HAPPENED, Fate.REFUSED):
            job.entry = await job.context.recorder.give_up(job.known, reason)
            job.context.subject_pool.give(job.known.subject_id)
        else:
            await _doubted(job, sending.uncertain_start, reason)


async def _doubted(job: ClipJob, doubt: StartAttempt | None, reason: str) -> None:
    """It may have been charged. Without `doubt` it was struck before that could be told."""
    job.told, job.context.doubts[job.key] = doubt is not None, True
    latest = doubt.latest if doubt is not None else job.context.recorder.clock()
    job.entry = await job.context.recorder.record(job.known, State.UNCERTAIN, latest=latest, reason=reason)
