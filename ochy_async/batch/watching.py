"""Watching a paid analysis to its end, and keeping what it brings.

Law of this room: it may be done again at any time by any process, and costs nothing.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from anyio import current_time, move_on_after

from ..errors import OchyError
from ..events import AnalysisWatched
from ..journal.contract import Kept
from ..policy.batching import State
from ..protocol.analysis import AnalysisState, Status
from ..protocol.links import without_links
from ..waiting import too_late
from .outcomes import Unfinished
from .walk import NotAnalyzed, Walk

__all__ = ["kept_of", "watch"]


async def watch(walk: Walk) -> NotAnalyzed | None:
    """Waits for the analysis within the batch's patience. None once it has ended, failed or not."""
    road = walk.road
    road.exchange.tell(AnalysisWatched(walk.item.label, walk.started.analysis_id))
    try:
        walk.state = state = await _finished(walk)
    except OchyError as error:
        road.books.guard.refused(error, current_time())
        return walk.end(Unfinished, str(error), error)
    if state.status == Status.FAILED:
        reason = f"The analysis {state.analysis_id} failed. The vendor gives no reason; the credit is gone."
        walk.entry = await road.books.record(walk.known, State.FAILED, reason=reason)
    else:
        walk.entry = await road.books.record(walk.known, State.ANALYSED, kept_of(state))
    return None


async def _finished(walk: Walk) -> AnalysisState[Any]:
    """The state that it ends with; the first look on the way tells the road how busy the server is."""
    road, first = walk.road, True
    with move_on_after(road.timeout):
        async with aclosing(road.scheduler.watch(walk.started)) as states:
            async for state in states:
                if first:
                    road.first_look(state)
                if state.finished:
                    return state
                first = False
    raise too_late(walk.started, road.timeout)


def kept_of(state: AnalysisState[Any]) -> Kept:
    """What is kept of a successful analysis: all but the links."""
    return Kept(results=orjson.dumps(without_links(state.raw)))
