"""What a batch would do and buy, for each clip and in total.

Invariant: a dry run reads the clips and the journal, and sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal

from attrs import define, field, frozen

from ..errors import Problem
from ..policy.clip_states import UNSENT, State
from ..protocol.request import AnalysisRequest
from .clip_job import ClipJob
from .outcomes import ClipReference, Refused, Unfinished
from .pipeline import Pipeline
from .reopen import survey
from .report import Plan
from .sources import Clips, Item, items

__all__ = ["PlanCounter", "Planned", "dry_run"]

MAX_REFUSALS: Final = 20

Word = Literal["to_buy", "done", "paid", "uncertain", "failed", "refused", "duplicate"]

_WORDS: Final[dict[State | None, Word]] = {
    None: "to_buy",
    State.OPEN: "to_buy",
    State.INTENDED: "to_buy" if State.INTENDED in UNSENT else "uncertain",
    State.SENDING: "uncertain",
    State.UNCERTAIN: "uncertain",
    State.STARTED: "paid",
    State.ANALYZED: "done",
    State.FAILED: "failed",
    State.REFUSED: "refused",
}
"""What a batch would do with a clip in each state; None is a clip that the journal does not know."""


@frozen(kw_only=True)
class Planned(ClipReference):
    """What a batch would do with one clip."""

    word: Word
    """`to_buy` (costs one credit), `done`, `paid` (will be collected), `uncertain` (will be looked up), `failed`,
    `refused`, or `duplicate` (of an earlier clip of the input). Only `to_buy` costs anything."""
    reason: str = ""
    """Why it is refused, uncertain or failed; otherwise empty."""
    problems: tuple[Problem, ...] = ()
    """All problems of the clip, if it is refused because of them."""
    duplicate_of: str | None = None
    """The label of the earlier clip with the same content and request."""


@define(eq=False)
class PlanCounter:
    """Counts planned clips."""

    counts: Counter[str] = field(factory=Counter, init=False)
    refusals: list[str] = field(factory=list, init=False)

    def add(self, planned: Planned) -> None:
        """Counts one more clip."""
        self.counts[planned.word] += 1
        if planned.word == "refused" and planned.reason and len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(f"{planned.label}: {planned.reason}")

    @property
    def plan(self) -> Plan:
        """The sum so far."""
        counts = {word: self.counts[word] for word in _WORDS.values()}
        return Plan(**counts, duplicates=self.counts["duplicate"], refusals=tuple(self.refusals))


async def dry_run(
    pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None, *, reopened: bool = False
) -> AsyncGenerator[Planned]:
    """What `run` would do with each clip, in the order of the input; with `reopened` as if after `reopen`.

    Raises what reading the input or the journal raises.
    """
    seen: dict[str, str] = {}
    openable = frozenset((await survey(pipeline, clips, request)).openable if reopened else ())
    async with aclosing(items(clips, request)) as source:
        async for item in source:
            yield await _planned(pipeline, item, seen, openable)


async def _planned(pipeline: Pipeline, item: Item, seen: dict[str, str], openable: frozenset[str]) -> Planned:
    """What would be done with a clip. `seen` has the labels of the earlier clips by key."""
    async with pipeline.identified(item) as job:
        if isinstance(job, Refused | Unfinished):
            return _refused(item, job)
        return await _planned_job(pipeline, job, seen, openable)


async def _planned_job(pipeline: Pipeline, job: ClipJob, seen: dict[str, str], openable: frozenset[str]) -> Planned:
    item = job.item
    if job.key in seen:
        return Planned(**item.facts, key=job.key, word="duplicate", duplicate_of=seen[job.key])
    seen[job.key] = item.label
    job.entry = await pipeline.context.recorder.find(job.key)
    unfit = None if job.key in openable else await pipeline.preflight_before_start(job)
    if unfit is not None:
        return _refused(item, unfit)
    word = "to_buy" if job.key in openable else _word(job)
    analysis_id, reason = (None, "") if job.entry is None else (job.entry.analysis_id, job.entry.reason)
    shown_reason = reason if word in ("uncertain", "failed", "refused") else ""
    return Planned(**item.facts, key=job.key, analysis_id=analysis_id, word=word, reason=shown_reason)


def _refused(item: Item, refused: Refused | Unfinished) -> Planned:
    problems = refused.problems if isinstance(refused, Refused) else ()
    return Planned(**item.facts, key=refused.key, word="refused", reason=refused.reason, problems=problems)


def _word(job: ClipJob) -> Word:
    return "to_buy" if job.is_retried() else _WORDS[job.entry.state if job.entry is not None else None]
