"""Watching a paid analysis to its end, and keeping what it brings.

Law of this room: it may be done again at any time by any process, and costs nothing.
"""

from __future__ import annotations

from typing import Any

import orjson
from anyio import current_time

from ..errors import OchyError
from ..events import AnalysisWatched
from ..journal.contract import Kept
from ..policy.batching import State
from ..protocol.analysis import AnalysisState, Status
from ..protocol.links import without_links
from .outcomes import Unfinished
from .walk import NotAnalyzed, Walk

__all__ = ["kept_of", "watch"]


async def watch(walk: Walk) -> NotAnalyzed | None:
    """Waits for the analysis within the batch's patience. None once it has ended, failed or not."""
    road = walk.road
    road.exchange.tell(AnalysisWatched(walk.item.label, walk.started.analysis_id))
    try:
        walk.state = state = await road.scheduler.finished(walk.started, road.timeout)
    except OchyError as error:
        road.books.guard.refused(error, current_time())
        return walk.end(Unfinished, str(error), error)
    if state.status == Status.FAILED:
        reason = f"The analysis {state.analysis_id} failed. The vendor gives no reason; the credit is gone."
        walk.entry = await road.books.record(walk.known, State.FAILED, reason=reason)
    else:
        walk.entry = await road.books.record(walk.known, State.ANALYSED, kept_of(state))
    return None


def kept_of(state: AnalysisState[Any]) -> Kept:
    """What is kept of a successful analysis: all but the links."""
    return Kept(results=orjson.dumps(without_links(state.raw)))
