"""Looking up what a start in doubt has become.

Law of this room: it looks and never buys. Adopted is only what can be nothing else; an empty list proves
nothing, so what stays open is told and left to the user.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta

from anyio import current_time
from attrs import frozen

from ..errors import OchyError, StartAttempt
from ..events import StartLookedUp, StartUncertain
from ..journal.contract import Entry
from ..policy.batching import State
from ..policy.reconciling import candidates_of, pauses, the_one_meant
from ..protocol.analysis import ListedAnalysis, list_call
from .books import attempt_of, ghosts
from .doubts import lookup_told, sent_told
from .outcomes import Uncertain
from .walk import NotAnalyzed, Walk

__all__ = ["look_up"]


async def look_up(walk: Walk) -> NotAnalyzed | None:
    """Looks at once, and again while the analysis may yet turn up. None once it was found."""
    if walk.known.state is State.INTENDED:
        await _doubted(walk)
    walk.road.doubts.setdefault(walk.key, False)
    if not walk.told:
        walk.road.exchange.tell(StartUncertain(walk.item.label, _attempt(walk), walk.known.reason))
    began, attempt, seen = current_time(), 0, None
    while True:
        look = await _look(walk)
        attempt += 1
        seen = look if look.trouble is None else seen
        if look.found is not None:
            await _adopt(walk, look.found)
            return None
        age = max(_age(walk), current_time() - began)
        ahead = () if walk.road.hurry.is_set() else tuple(pauses(age))
        walk.road.exchange.tell(_looked_up(walk.item.label, attempt, ahead, reached=look.trouble is None))
        if not ahead:
            return _open(walk, seen, look.trouble)
        await walk.road.nap(ahead[0])


def _looked_up(clip: str, attempt: int, ahead: Sequence[float], *, reached: bool) -> StartLookedUp:
    """The event after a lookup that did not settle it; `ahead` are the pauses before those to come."""
    next_in = ahead[0] if ahead else None
    return StartLookedUp(clip, attempt, attempt + len(ahead), next_in, sum(ahead), reached)


async def _doubted(walk: Walk) -> None:
    """An intent that another process left behind is a doubt; that process had an end, at the latest its deadline."""
    road, entry = walk.road, walk.known
    deadline = (entry.earliest or entry.at) + timedelta(seconds=road.exchange.limits.upload(walk.clip.size))
    walk.entry = await road.books.record(
        entry,
        State.UNCERTAIN,
        latest=min(road.books.clock(), deadline),
        reason="The process ended while it was being sent.",
    )


def _attempt(walk: Walk) -> StartAttempt:
    return attempt_of(walk.known, walk.road.books.clock())


def _age(walk: Walk) -> float:
    """Seconds since the start had surely ended, by a clock that may have been put back meanwhile."""
    now: datetime = walk.road.books.clock()
    return (now - (walk.known.latest or walk.known.at)).total_seconds()


@frozen
class _Look:
    """What one lookup showed."""

    found: ListedAnalysis | None = None
    """The analysis that the start became."""
    candidates: tuple[ListedAnalysis, ...] = ()
    trouble: OchyError | None = None


async def _look(walk: Walk) -> _Look:
    road, entry = walk.road, walk.known
    on_a_lane = road.lanes.has(entry.subject_id)
    try:
        listed = await road.exchange.perform(list_call(entry.subject_id if on_a_lane else None))
        # In this order: a start whose answer comes meanwhile is a rival, or its id is known, or both.
        rivals = [attempt_of(each, road.books.clock()) async for each in _others(walk)]
        rivals += await ghosts(road.books.journal)
        known = await road.books.journal.analysis_ids() | road.exchange.started
    except OchyError as error:
        road.books.guard.refused(error, current_time())
        return _Look(trouble=error)
    reconciliation = candidates_of(_attempt(walk), listed, known, own_subject=on_a_lane)
    found = the_one_meant(reconciliation, known, rivals, own_subject=on_a_lane)
    return _Look(found, reconciliation.candidates)


async def _others(walk: Walk) -> AsyncGenerator[Entry]:
    """All other starts that are under way or in doubt."""
    async for entry in walk.road.books.journal.entries(State.INTENDED, State.UNCERTAIN):
        if entry.key != walk.key:
            yield entry


async def _adopt(walk: Walk, found: ListedAnalysis) -> None:
    walk.bought = walk.road.found(walk.key)
    walk.entry = await walk.road.books.record(
        walk.known,
        State.STARTED,
        analysis_id=found.analysis_id,
        started_at=found.created_at or walk.known.latest,
        reason="Found by a lookup.",
    )
    walk.road.lanes.give(walk.known.subject_id)


def _open(walk: Walk, seen: _Look | None, trouble: OchyError | None) -> Uncertain:
    """The outcome of what no lookup settled: `seen` is what the last showed that had an answer."""
    attempt, cause = _attempt(walk), walk.known.reason
    candidates = seen.candidates if seen is not None else ()
    told = (sent_told(attempt, walk.clip.size), lookup_told(candidates, seen is not None, trouble))
    return walk.end(
        Uncertain,
        " ".join(("It may have been charged and is not bought again.", cause, *told)),
        trouble,
        start=attempt,
        size=walk.clip.size,
        cause=cause,
        reached=seen is not None,
        candidates=candidates,
    )
