"""Spending a credit on a clip: guard, lane, intent, deed, and what the deed has come to.

Law of this room: the intent is durable before the first byte leaves, and a credit is given back only
where it is known that the start did not happen (`Sending.fate`): what cleans up infers nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from anyio import CancelScope, current_time
from attrs import evolve

from ..clips import pinned
from ..errors import (
    ClipRefused,
    FilmAgain,
    FixRequest,
    JournalTrouble,
    KeyRefused,
    NotFound,
    OchyError,
    RequestRefused,
    StartAttempt,
    UncertainStart,
)
from ..policy.batching import State
from ..policy.spending import Closed
from ..policy.starts import Fate
from ..protocol.analysis import Started
from ..protocol.request import AnalysisRequest
from ..starting import Sending
from .books import let_go
from .outcomes import Refused, Unfinished
from .walk import NotAnalyzed, Walk

__all__ = ["start"]


async def start(walk: Walk) -> NotAnalyzed | None:
    """Spends a credit if the guard lets it; else waits for its turn, or ends."""
    road = walk.road
    async with road.uploads:
        admitted = road.books.guard.admit(current_time())
        if isinstance(admitted, Closed):
            if road.books.guard.left == 0:
                road.held_back.add(walk.key)
            return walk.end(Unfinished, admitted.reason, admitted.error)
        if admitted == 0:
            return await _spend(walk)
    await road.nap(admitted)
    return None


async def _spend(walk: Walk) -> NotAnalyzed | None:
    """Intent, then deed."""
    road = walk.road
    try:
        request = await _tagged(walk)
        sending = Sending(road.exchange, pinned(walk.clip, walk.content), request, walk.item.label, road.trouble)
        walk.entry = await road.books.intend(walk.entry, **_intent(walk, request))
    except OchyError as error:
        road.books.guard.give_back()
        road.books.guard.refused(error, current_time())  # making a lane may be refused for the account, too
        return walk.end(Unfinished, str(error), error)
    except BaseException:
        road.books.guard.give_back()
        raise
    return await _sent(walk, sending)


def _on_a_lane(walk: Walk) -> bool:
    """Whether its start goes on an upload lane: a subject of the user's own stays."""
    return walk.road.tag_starts and walk.item.request.subject_id is None


async def _tagged(walk: Walk) -> AnalysisRequest[Any, Any]:
    """The request as it is sent."""
    request = walk.item.request
    return evolve(request, subject_id=await walk.road.lanes.take()) if _on_a_lane(walk) else request


def _intent(walk: Walk, request: AnalysisRequest[Any, Any]) -> dict[str, Any]:
    return {
        "key": walk.key,
        "clip": walk.item.label,
        "name": walk.clip.name,
        "view": request.view,
        "subject_id": request.subject_id,
    }


async def _sent(walk: Walk, sending: Sending[Any, Any]) -> NotAnalyzed | None:
    try:
        await _accepted(walk, await sending.started())
    except OchyError as error:
        return await _not_started(walk, sending, error)
    except BaseException:
        await _broken_off(walk, sending, "It was broken off.")
        raise
    return None


async def _accepted(walk: Walk, started: Started[Any, Any]) -> None:
    """Writes down what is paid, before anything else is done with it. Done again where it was broken off."""
    if not walk.bought:
        walk.bought = True
        walk.road.accepted(_seconds(walk.known.earliest, started.started_at))
    walk.entry = await walk.road.books.record(
        walk.known, State.STARTED, analysis_id=started.analysis_id, started_at=started.started_at
    )
    walk.road.lanes.give(walk.known.subject_id)


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    return (end - begin).total_seconds() if begin is not None and end is not None else 0.0


async def _not_started(walk: Walk, sending: Sending[Any, Any], error: OchyError) -> NotAnalyzed | None:
    """What an error of a start means: for this clip, and for those to come. None where its way goes on."""
    road, reason = walk.road, error.why if isinstance(error, UncertainStart) else str(error)
    for_account = road.books.guard.refused(error, current_time())  # first of all, so that nobody else starts meanwhile
    if isinstance(error, ClipRefused):
        road.refused.add(walk.key)
    if isinstance(error, ClipRefused | RequestRefused) and not await _left_behind(walk):
        return walk.end(Refused, reason, error)  # to the next run it is a doubt
    if isinstance(error, ClipRefused):
        walk.entry = await road.books.record(walk.known, State.REFUSED, reason=reason)
        return walk.end(Refused, reason, error)
    await _broken_off(walk, sending, reason)
    if sending.fate in (Fate.UNCERTAIN, Fate.ACCEPTED):
        return None
    if for_account and road.books.guard.closed is None:
        return None  # starts are paused: it takes its turn again
    if isinstance(error, NotFound) and _on_a_lane(walk):
        if await road.lanes.drop(walk.known.subject_id):
            return None  # it takes its turn again, on another lane
    elif isinstance(error, FixRequest | FilmAgain) and not isinstance(error, KeyRefused):
        return walk.end(Refused, reason, error, problems=getattr(error, "problems", ()))
    return walk.end(Unfinished, reason, error)


async def _left_behind(walk: Walk) -> bool:
    """Whether it is written down that a refused upload may have left an analysis behind, which is not documented:
    neither its lane nor its time proves anything for other starts any more."""
    road = walk.road
    with CancelScope(shield=True):
        try:
            await let_go(road.books.journal, walk.known, road.books.clock())
            await road.lanes.retire(walk.known.subject_id)
        except JournalTrouble as trouble:
            road.books.fails(trouble)
            return False
    return True


async def _broken_off(walk: Walk, sending: Sending[Any, Any], reason: str) -> None:
    """Writes down whether a start that did not come to its end may have been charged."""
    with CancelScope(shield=True):
        if sending.accepted is not None:
            await _accepted(walk, sending.accepted)
        elif sending.fate in (Fate.NOT_HAPPENED, Fate.REFUSED):
            walk.entry = await walk.road.books.give_up(walk.known, reason)
            walk.road.lanes.give(walk.known.subject_id)
        else:
            await _doubted(walk, sending.doubt, reason)


async def _doubted(walk: Walk, doubt: StartAttempt | None, reason: str) -> None:
    """It may have been charged. Without `doubt` it was struck before that could be told."""
    walk.told, walk.road.doubts[walk.key] = doubt is not None, True
    latest = doubt.latest if doubt is not None else walk.road.books.clock()
    walk.entry = await walk.road.books.record(walk.known, State.UNCERTAIN, latest=latest, reason=reason)
