"""Buying finished clips again at the user's request: all of them in one step, and only once for each request.

Invariant: only finished clips are reopened, never uncertain ones. While the outcomes of an earlier reopening have not
been shown, nothing is reopened. So a command that is repeated after a crash goes on with that reopening and buys
nothing twice.
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
from ..protocol.text_summary import count_of
from .clip_job import ClipJob
from .context import BatchContext
from .outcomes import Refused, Unfinished
from .pipeline import Pipeline
from .recorder import reopened
from .sources import Clips, Item, items

__all__ = ["Reopened", "Survey", "pending_reopens", "reopen", "settle_reopens", "survey"]

NOTE: Final = "reopened:"
"""The prefix of the notes about reopened clips: their keys, and the versions of their entries before."""


@frozen(kw_only=True)
class Reopened:
    """The result of `Batch.reopen`."""

    clips: int = 0
    """Clips that were reopened. The next `run` buys them again, for one credit each."""
    unfinished: tuple[str, ...] = ()
    """Clips that are under way, uncertain, or reopened and not yet shown. Because of them nothing was reopened."""
    unfit: tuple[str, ...] = ()
    """Clips that were left as they are because they would be refused now, with the reason."""


@define(eq=False)
class Survey:
    """Which clips of an input can be reopened, and which prevent it."""

    finished: dict[str, Entry] = field(factory=dict)
    """By key."""
    unfinished: list[str] = field(factory=list)
    unfit: list[str] = field(factory=list)
    seen: set[str] = field(factory=set)

    @property
    def openable(self) -> Mapping[str, Entry]:
        """The entries that would be reopened: all finished ones, or none."""
        return {} if self.unfinished else self.finished


async def survey(pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> Survey:
    """Reads and hashes the clips and asks the journal; changes nothing. Raises what reading the input raises."""
    result, pending = Survey(), await pending_reopens(pipeline.context.journal)
    async with aclosing(items(clips, request)) as source:
        async for item in source:
            await _add(result, pipeline, item, pending)
    return result


async def _add(result: Survey, pipeline: Pipeline, item: Item, pending: Mapping[str, int]) -> None:
    async with pipeline.identified(item) as job:
        if not isinstance(job, Refused | Unfinished) and job.key not in result.seen:
            result.seen.add(job.key)
            await _add_job(result, pipeline, job, pending)


async def _add_job(result: Survey, pipeline: Pipeline, job: ClipJob, pending: Mapping[str, int]) -> None:
    job.entry = entry = await pipeline.context.recorder.find(job.key)
    if entry is None:
        return
    if entry.state not in FINISHED or pending.get(entry.key, entry.version) != entry.version:
        result.unfinished.append(job.item.label)
    elif (refused := await pipeline.preflight(job)) is not None:
        result.unfit.append(f"{job.item.label}: {refused.reason}")
    else:
        result.finished[entry.key] = entry


async def reopen(pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> Reopened:
    """Carries out `Batch.reopen`."""
    context = pipeline.context
    result = await survey(pipeline, clips, request)
    entries = () if context.stopping.is_set() else tuple(result.openable.values())
    remaining = context.guard.remaining
    if remaining is not None and remaining < len(entries):
        raise _too_many(len(entries), remaining)
    if entries:
        await _open(context, entries)
    return Reopened(clips=len(entries), unfinished=tuple(result.unfinished), unfit=tuple(result.unfit))


async def _open(context: BatchContext, entries: Sequence[Entry]) -> None:
    """Stores the note first. If the process dies after it, the versions show whether all clips or none were opened."""
    journal, now = context.journal, context.now()
    before = {entry.key: entry.version for entry in entries}
    name = hashlib.sha256("".join(sorted(before)).encode()).hexdigest()
    await journal.set_note(NOTE + name, json.dumps(before))
    await journal.put_all([reopened(entry, _reason(entry), now) for entry in entries])


def _reason(entry: Entry) -> str:
    analysis = f" as {entry.analysis_id}" if entry.analysis_id else ""
    return f"The user wants it analyzed again; it was {entry.state}{analysis}."


def _too_many(count: int, remaining: int) -> InvalidRequest:
    clips = count_of(count, "clip")
    left = count_of(remaining, "credit")
    problem = Problem("max_credits", f"leaves {left}, but {clips} would be analyzed again for one credit each")
    return InvalidRequest(f"Nothing was reopened or charged.\n  - {problem}", problems=(problem,))


async def pending_reopens(journal: Journal) -> dict[str, int]:
    """Keys of reopened clips whose outcomes have not been shown since, and the versions of their entries before."""
    return {key: version for note in (await journal.notes(NOTE)).values() for key, version in json.loads(note).items()}


async def settle_reopens(journal: Journal, shown: Collection[str]) -> None:
    """Forgets that clips were reopened, if they are finished again: their outcomes were shown."""
    done = {key for key in shown if (entry := await journal.get(key)) is not None and entry.state in FINISHED}
    for name, note in (await journal.notes(NOTE)).items():
        before: dict[str, int] = json.loads(note)
        pending = {key: version for key, version in before.items() if key not in done}
        if pending != before:
            await journal.set_note(name, json.dumps(pending))
