"""Starting the analysis of a clip, which spends a credit.

Invariant: the intent is stored before the first byte is sent, and `SENDING` before the last chunk. A credit is released
only if the start certainly did not happen (`StartTransaction.fate`); error handling and cleanup never infer that from a
step that did not run.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from anyio import CancelScope
from attrs import evolve, frozen

from ..clips import verified
from ..errors import (
    ClipRefused,
    FilmAgain,
    FixRequest,
    JournalConflict,
    JournalError,
    KeyRefused,
    LimitReached,
    NotFound,
    OchyError,
    RequestRefused,
    StartAttempt,
    UncertainStart,
)
from ..policy.clip_states import State
from ..policy.credit_guard import RETRY_INTERVAL, StopReason
from ..policy.start_fate import Fate
from ..protocol.analysis import Started
from ..starting import StartTransaction
from .clip_job import ClipJob, NotAnalyzed
from .orphans import credits_given_back
from .outcomes import Refused, Unfinished
from .recorder import remember_release

__all__ = ["start"]


MOST_SUBJECTS: Final = 20
"""Tagging subjects that are tried for a start. Those that a worker has may all be retired by others."""
_CUT_SHORT: Final = "The journal failed, so the clip was not sent completely and no credit was spent. "


@frozen
class _JournalPermission:
    """The permission to send the last chunk, which the journal gives: see `starting.SendingPermission`."""

    job: ClipJob

    async def take(self) -> None:
        if self.job.context.handing_over:
            raise OchyError("The batch was handed over, so the clip was not sent completely. No credit was spent.")
        self.job.context.protect(self.job.scope)  # from here on, only its answer tells whether a credit was spent
        self.job.entry = await self.job.context.recorder.record_sending(self.job.known)

    async def withdraw(self) -> None:
        self.job.entry = await self.job.context.recorder.record_cut_short(self.job.known)
        self.job.context.expose(self.job.scope)


async def start(job: ClipJob) -> NotAnalyzed | None:
    """Starts the analysis if the credit guard admits it.

    Returns None if the journal entry decides the next step, also after a wait for credits; otherwise the outcome.
    """
    context = job.context
    async with context.uploads, context.workers.upload_slot():
        admitted = context.admit()
        if isinstance(admitted, StopReason):
            if context.guard.remaining == 0:
                if await credits_given_back(context):
                    return None
                context.hold_back(job.key, admitted.reason)
            return job.outcome(Unfinished, admitted.reason, admitted.error)
        if admitted == 0:
            context.go_ahead(job.key)
            return await _start_admitted(job)
    await context.wait_or_stop(admitted)
    return None


async def _start_admitted(job: ClipJob) -> NotAnalyzed | None:
    """Stores the intent, then sends the start."""
    context = job.context
    try:
        transaction = await _intend(job)
    except JournalConflict:
        context.guard.release_credit()
        raise
    except LimitReached as error:
        context.guard.limit_reached(error.committed)
        return None
    except OchyError as error:
        context.guard.release_credit()
        context.server_refused(error)  # creating a tagging subject may be refused for the account, too
        return job.outcome(Unfinished, str(error), error)
    except BaseException:
        context.guard.release_credit()
        raise
    return await _send(job, transaction)


async def _intend(job: ClipJob) -> StartTransaction[Any, Any]:
    """Stores the intent, with another tagging subject if the journal refuses one."""
    tried = 0
    while True:
        tried += 1
        try:
            return await _intend_once(job)
        except JournalConflict as error:
            if not error.about_subject or tried == MOST_SUBJECTS:
                raise


async def _intend_once(job: ClipJob) -> StartTransaction[Any, Any]:
    """Stores the intent, with a tagging subject if the start needs one.

    If that fails, the subject is used again, unless the journal refuses it: then another worker has used or retired it.
    """
    context, request, tag = job.context, job.item.request, None
    if context.is_tagged(request):
        tag = await context.subject_pool.acquire()
        request = evolve(request, subject_id=tag)
    try:
        clip = verified(job.clip, job.content)
        transaction = StartTransaction(
            context.core, clip, request, job.item.label, context.upload_failed, _JournalPermission(job)
        )
        job.entry = await context.recorder.record_intent(
            job.entry,
            key=job.key,
            clip=job.item.label,
            name=clip.name,
            view=request.view,
            subject_id=request.subject_id,
        )
    except BaseException as error:
        if not (isinstance(error, JournalConflict) and error.about_subject):
            context.subject_pool.release(tag)
        raise
    return transaction


async def _send(job: ClipJob, transaction: StartTransaction[Any, Any]) -> NotAnalyzed | None:
    try:
        await _record_started(job, await transaction.run())
    except OchyError as error:
        return await _handle_error(job, transaction, error)
    except BaseException:
        with suppress(JournalConflict):
            await _record_fate(job, transaction, "The start was interrupted.")
        raise
    return None


async def _record_started(job: ClipJob, started: Started[Any, Any]) -> None:
    """Stores the id of the paid analysis before anything else happens. It is called again if it was interrupted."""
    if not job.bought:
        job.bought = True
        job.context.start_accepted(_seconds(job.known.earliest, started.started_at))
    await job.record(State.STARTED, analysis_id=started.analysis_id, started_at=started.started_at)
    job.release_subject()
    await job.release_copy()
    job.context.expose(job.scope)


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    return (end - begin).total_seconds() if begin is not None and end is not None else 0.0


async def _handle_error(job: ClipJob, transaction: StartTransaction[Any, Any], error: OchyError) -> NotAnalyzed | None:
    """Decides what the error of a start means for this clip and for the next ones. Returns None if the clip goes on."""
    context, reason = job.context, _reason(transaction, error)
    account_refused = context.server_refused(error)  # before anything else, so that no other start begins meanwhile
    if isinstance(error, ClipRefused):
        context.refused.add(job.key)
    if isinstance(error, ClipRefused | RequestRefused) and not await _remember_refused_upload(job):
        return job.outcome(Refused, reason, error)  # the entry stays as it is: if the clip was sent, it is uncertain
    if isinstance(error, ClipRefused):
        await job.record(State.REFUSED, reason=reason)
        return job.outcome(Refused, reason, error)
    await _record_fate(job, transaction, reason)
    if isinstance(error, JournalConflict):
        raise error
    if transaction.fate in (Fate.UNCERTAIN, Fate.ACCEPTED):
        return None
    if account_refused and context.guard.stopped is None:
        await context.workers.pause(RETRY_INTERVAL)
        return None  # starts are paused; the clip is started again later
    if isinstance(error, NotFound) and context.is_tagged(job.item.request):
        if await context.subject_pool.drop_missing(job.known.subject_id):
            return None  # the clip is started again with another tagging subject
    elif isinstance(error, FixRequest | FilmAgain) and not isinstance(error, KeyRefused):
        return job.outcome(Refused, reason, error, problems=error.problems)
    return job.outcome(Unfinished, reason, error)


def _reason(transaction: StartTransaction[Any, Any], error: OchyError) -> str:
    if isinstance(error, JournalError) and transaction.fate is Fate.NOT_HAPPENED:
        return f"{_CUT_SHORT}{error}"
    return error.why if isinstance(error, UncertainStart) else str(error)


async def _remember_refused_upload(job: ClipJob) -> bool:
    """Stores that a refused upload may have left an analysis behind, which is not documented.

    Its tagging subject is not used again, and lookups take this start into account as another one of its time. Returns
    whether this was stored.
    """
    context = job.context
    with CancelScope(shield=True):
        try:
            await remember_release(context.journal, job.known, context.now())
            await context.subject_pool.retire(job.known.subject_id)
        except JournalError as error:
            context.recorder.journal_failed(error)
            return False
    return True


async def _record_fate(job: ClipJob, transaction: StartTransaction[Any, Any], reason: str) -> None:
    """Stores whether a start that failed or was interrupted may have been charged."""
    with CancelScope(shield=True):
        if transaction.started is not None:
            await _record_started(job, transaction.started)
        elif transaction.fate in (Fate.NOT_HAPPENED, Fate.REFUSED):
            job.entry = await job.context.recorder.record_not_started(job.known, reason)
            job.release_subject()
        else:
            await _record_uncertain(job, transaction.uncertain_start, reason)


async def _record_uncertain(job: ClipJob, attempt: StartAttempt | None, reason: str) -> None:
    """Stores that the start may have been charged. `attempt` is None if it was interrupted before it was reported."""
    job.uncertain_reported, job.context.uncertain[job.key] = attempt is not None, True
    latest = attempt.latest if attempt is not None else job.context.now()
    await job.record(State.UNCERTAIN, latest=latest, reason=reason)
