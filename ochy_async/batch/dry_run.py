"""What a batch would do and buy, before it does: clip by clip, and in all.

Invariant: it reads clips and journal, and sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal

from attrs import define, field, frozen

from ..errors import Problem
from ..policy.clip_states import State
from ..protocol.request import AnalysisRequest
from .clip_job import ClipJob
from .outcomes import Refused, Unfinished
from .pipeline import Pipeline
from .reopen import survey
from .report import Plan
from .sources import Clips, Item, items

__all__ = ["PlanCounter", "Planned", "dry_run", "planned"]

MOST_REFUSALS: Final = 20

Word = Literal["to_buy", "done", "paid", "uncertain", "failed", "refused", "duplicate"]

_WORDS: Final[dict[State | None, Word]] = {
    None: "to_buy",
    State.OPEN: "to_buy",
    State.INTENDED: "uncertain",
    State.UNCERTAIN: "uncertain",
    State.STARTED: "paid",
    State.ANALYZED: "done",
    State.FAILED: "failed",
    State.REFUSED: "refused",
}
"""What the journal remembers → what would become of the clip."""


@frozen(kw_only=True)
class Planned:
    """What a batch would do with one clip."""

    clip: Any
    """The clip as it was given."""
    index: int
    """Its place in the input, from 0."""
    label: str
    """What events, logs and reports call it: the path, or the name."""
    request: AnalysisRequest[Any, Any]
    word: Word
    """`to_buy` (one credit), `done`, `paid` (to be collected), `uncertain` (to be looked up), `failed`, `refused`, or
    `duplicate` of a clip further up; only the first would cost anything."""
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    """What else the input says of it: the further columns of a manifest, or `BatchItem.extra`."""
    subject: str | None = field(default=None, repr=False)
    """The runner's name, where the input gave a name and not an id; the id is `request.subject_id`."""
    reason: str = ""
    """Why it is refused, in doubt or failed; empty for everything else."""
    problems: tuple[Problem, ...] = ()
    """Everything that is wrong with the clip, where that is why it is refused."""
    key: str | None = None
    """Its identity in the journal; None where it could not be read."""
    analysis_id: str | None = None
    """The analysis that was paid for, if there is one."""
    duplicate_of: str | None = None
    """The label of the clip further up that has the same content and request."""


@define(eq=False)
class PlanCounter:
    """Counts what would become of clips."""

    counts: Counter[str] = field(factory=Counter, init=False)
    refusals: list[str] = field(factory=list, init=False)

    def add(self, planned: Planned) -> None:
        """Counts one more."""
        self.counts[planned.word] += 1
        if planned.word == "refused" and planned.reason and len(self.refusals) < MOST_REFUSALS:
            self.refusals.append(f"{planned.label}: {planned.reason}")

    @property
    def plan(self) -> Plan:
        """All of them so far."""
        counts = {word: self.counts[word] for word in _WORDS.values()}
        return Plan(**counts, duplicates=self.counts["duplicate"], refusals=tuple(self.refusals))


async def planned(
    pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None, *, reopened: bool = False
) -> Plan:
    """The plan for all clips of an input. Raises what `dry_run` raises."""
    tally = PlanCounter()
    async with aclosing(dry_run(pipeline, clips, request, reopened=reopened)) as found:
        async for each in found:
            tally.add(each)
    return tally.plan


async def dry_run(
    pipeline: Pipeline, clips: Clips, request: AnalysisRequest[Any, Any] | None, *, reopened: bool = False
) -> AsyncGenerator[Planned]:
    """What would become of each clip, in the order of the input, after `reopen` where `reopened` says so.

    Raises what reading input or journal raises.
    """
    seen: dict[str, str] = {}
    openable = frozenset((await survey(pipeline, clips, request)).openable if reopened else ())
    async with aclosing(items(clips, request)) as found:
        async for item in found:
            yield await _planned(pipeline, item, seen, openable)


async def _planned(pipeline: Pipeline, item: Item, seen: dict[str, str], openable: frozenset[str]) -> Planned:
    """What would become of a clip; `seen` holds the labels of those further up, by key."""
    job = await pipeline.identified(item)
    if isinstance(job, Refused | Unfinished):
        return _refused(item, job)
    if job.key in seen:
        return Planned(**item.facts, key=job.key, word="duplicate", duplicate_of=seen[job.key])
    seen[job.key] = item.label
    job.entry = await pipeline.context.recorder.find(job.key)
    unfit = None if job.key in openable else await pipeline.unfit(job)
    if unfit is not None:
        return _refused(item, unfit)
    word = "to_buy" if job.key in openable else _fate(pipeline, job)
    paid, reason = (None, "") if job.entry is None else (job.entry.analysis_id, job.entry.reason)
    told = reason if word in ("uncertain", "failed", "refused") else ""
    return Planned(**item.facts, key=job.key, analysis_id=paid, word=word, reason=told)


def _refused(item: Item, refused: Refused | Unfinished) -> Planned:
    problems = refused.problems if isinstance(refused, Refused) else ()
    return Planned(**item.facts, key=refused.key, word="refused", reason=refused.reason, problems=problems)


def _fate(pipeline: Pipeline, job: ClipJob) -> Word:
    return "to_buy" if pipeline.again(job) else _WORDS[job.entry.state if job.entry is not None else None]
