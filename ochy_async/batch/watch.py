"""Watching a paid analysis to its end, and keeping what it brings.

Invariant: it may be done again at any time by any process, and costs nothing.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from anyio import current_time, move_on_after

from ..errors import OchyError
from ..events import WatchStarted
from ..journal.contract import StoredResults
from ..policy.clip_states import State
from ..protocol.analysis import AnalysisState, Status
from ..protocol.redaction import redact_links
from ..waiting import wait_timeout
from .clip_job import ClipJob, NotAnalyzed
from .outcomes import Unfinished

__all__ = ["kept_of", "watch"]


async def watch(job: ClipJob) -> NotAnalyzed | None:
    """Waits for the analysis within the batch's patience. None once it has ended, failed or not."""
    context = job.context
    context.core.emit(WatchStarted(job.item.label, job.started.analysis_id))
    try:
        job.state = state = await _finished(job)
    except OchyError as error:
        context.recorder.guard.refused(error, current_time())
        return job.end(Unfinished, str(error), error)
    if state.status == Status.FAILED:
        reason = f"The analysis {state.analysis_id} failed. The vendor gives no reason; the credit is gone."
        job.entry = await context.recorder.record(job.known, State.FAILED, reason=reason)
    else:
        job.entry = await context.recorder.record(job.known, State.ANALYZED, kept_of(state))
    return None


async def _finished(job: ClipJob) -> AnalysisState[Any]:
    """The state that it ends with; the first look on the way tells the road how busy the server is."""
    context, first = job.context, True
    with move_on_after(context.timeout):
        async with aclosing(context.scheduler.watch(job.started)) as states:
            async for state in states:
                if first:
                    context.first_look(state)
                if state.finished:
                    return state
                first = False
    raise wait_timeout(job.started, context.timeout)


def kept_of(state: AnalysisState[Any]) -> StoredResults:
    """What is kept of a successful analysis: all but the links."""
    return StoredResults(results=orjson.dumps(redact_links(state.raw)))
