"""Waiting for a paid analysis and storing its results.

Invariant: waiting costs nothing, and any process may wait again at any time.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..errors import OchyError
from ..events import WatchStarted
from ..journal.contract import StoredResults
from ..policy.clip_states import State
from ..protocol.analysis import AnalysisState, Status
from ..protocol.redaction import redact_links
from .clip_job import ClipJob, NotAnalyzed
from .outcomes import Unfinished

__all__ = ["results_to_store", "watch"]


async def watch(job: ClipJob) -> NotAnalyzed | None:
    """Waits for the analysis within the batch's timeout. Returns None once it is finished, failed or not."""
    context = job.context
    context.core.emit(WatchStarted(job.item.label, job.started.analysis_id))
    try:
        # the first poll also shows how busy the server is
        state = await context.scheduler.wait(job.started, context.settings.timeout, on_first=context.first_poll)
        job.state = state
    except OchyError as error:
        context.server_refused(error)
        return job.outcome(Unfinished, str(error), error)
    if state.status == Status.FAILED:
        reason = f"The analysis {state.analysis_id} failed. The vendor gives no reason; the credit is spent."
        await job.record(State.FAILED, reason=reason)
    else:
        await job.record(State.ANALYZED, results_to_store(state))
    return None


def results_to_store(state: AnalysisState[Any]) -> StoredResults:
    """What the journal stores of a successful analysis: everything except the signed URLs."""
    return StoredResults(results=orjson.dumps(redact_links(state.raw)))
