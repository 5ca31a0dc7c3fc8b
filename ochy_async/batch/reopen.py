"""Buying finished clips anew, by the user's word: all of them in one step, and once for each time that it is said.

Invariant: only what is finished is opened, never a doubt; and while an earlier pass is not done and shown, none
begins, so that a command that is repeated after a crash finishes that pass and buys nothing twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from attrs import define, field, frozen

from ..errors import InvalidRequest, Problem
from ..journal.contract import Entry, Journal
from ..policy.clip_states import FINISHED
from ..protocol.request import AnalysisRequest
from .outcomes import Refused, Unfinished
from .pipeline import Pipeline
from .recorder import opened
from .sources import Clips, Item, items

__all__ = ["Reopened", "Survey", "passes", "reopen", "settle_passes", "survey"]

NOTE: Final = "reopened:"
"""Notes of what was opened: for each clip the version that its entry had before."""


@frozen(kw_only=True)
class Reopened:
    """What `Batch.reopen` has come to."""

    clips: int = 0
    """Clips that were opened, and that the next `run` buys anew: a credit for each."""
    unfinished: tuple[str, ...] = ()
    """Clips that are under way, in doubt, or opened and not yet shown: because of them nothing was opened."""
    unfit: tuple[str, ...] = ()
    """Clips that were left as they are, since they would be refused now; with the reason."""


@define(eq=False)
class Survey:
    """What may be opened of an input, and what stands against it."""

    finished: dict[str, Entry] = field(factory=dict)
    """By key."""
    unfinished: list[str] = field(factory=list)
    unfit: list[str] = field(factory=list)
    seen: set[str] = field(factory=set)

    @property
    def openable(self) -> Mapping[str, Entry]:
        """What would be opened: all or nothing."""
        return {} if self.unfinished else self.finished


async def survey(pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> Survey:
    """Reads and hashes the clips and asks the journal; changes nothing. Raises what reading the input raises."""
    found, earlier = Survey(), await passes(pipeline.context.recorder.journal)
    async with aclosing(items(clips, request)) as source:
        async for item in source:
            await _look_at(pipeline, item, found, earlier)
    return found


async def _look_at(pipeline: Pipeline, item: Item, found: Survey, earlier: Mapping[str, int]) -> None:
    job = await pipeline.identified(item)
    if isinstance(job, Refused | Unfinished) or job.key in found.seen:
        return
    found.seen.add(job.key)
    job.entry = entry = await pipeline.context.recorder.find(job.key)
    if entry is None:
        return
    if entry.state not in FINISHED or earlier.get(entry.key, entry.version) != entry.version:
        found.unfinished.append(item.label)
    elif (refused := await pipeline.refused(job)) is not None:
        found.unfit.append(f"{item.label}: {refused.reason}")
    else:
        found.finished[entry.key] = entry


async def reopen(pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> Reopened:
    """See `Batch.reopen`."""
    found = await survey(pipeline, clips, request)
    entries = () if pipeline.context.stopping.is_set() else tuple(found.openable.values())
    left = pipeline.context.recorder.guard.remaining
    if left is not None and left < len(entries):
        raise _too_many(len(entries), left)
    if entries:
        await _open(pipeline, entries)
    return Reopened(clips=len(entries), unfinished=tuple(found.unfinished), unfit=tuple(found.unfit))


async def _open(pipeline: Pipeline, entries: Sequence[Entry]) -> None:
    """The note first: a pass that is broken off behind it is known to have opened all, or, by the versions, nothing."""
    journal, now = pipeline.context.recorder.journal, pipeline.context.recorder.clock()
    before = {entry.key: entry.version for entry in entries}
    name = hashlib.sha256("".join(sorted(before)).encode()).hexdigest()
    await journal.set_note(NOTE + name, json.dumps(before))
    await journal.put_all([opened(entry, _why(entry), now) for entry in entries])


def _why(entry: Entry) -> str:
    analysis = f" as {entry.analysis_id}" if entry.analysis_id else ""
    return f"To be analyzed anew, as the user said; it was {entry.state}{analysis}."


def _too_many(count: int, left: int) -> InvalidRequest:
    problem = Problem("max_credits", f"leaves {left} credits; {count} clips would be analyzed anew for one each")
    return InvalidRequest(f"Nothing was opened or charged.\n  - {problem}", problems=(problem,))


async def passes(journal: Journal) -> dict[str, int]:
    """What was opened and has not been shown since, so far as is known: keys, and the versions from before."""
    return {key: version for note in (await journal.notes(NOTE)).values() for key, version in json.loads(note).items()}


async def settle_passes(journal: Journal, shown: Collection[str]) -> None:
    """Forgets that clips were opened: they are finished again, and their ends were shown."""
    done = {key for key in shown if (entry := await journal.get(key)) is not None and entry.state in FINISHED}
    for name, note in (await journal.notes(NOTE)).items():
        before: dict[str, int] = json.loads(note)
        left = {key: version for key, version in before.items() if key not in done}
        if left != before:
            await journal.set_note(name, json.dumps(left))
