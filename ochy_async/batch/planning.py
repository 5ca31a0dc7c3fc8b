"""What a batch would do and buy, before it does: clip by clip, and in all.

Law of this room: it reads clips and journal, and sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, Literal

from attrs import define, field, frozen

from ..errors import Problem
from ..policy.batching import State
from ..protocol.request import AnalysisRequest
from .line import Line
from .outcomes import Refused, Unfinished
from .reopening import survey
from .report import Plan
from .sources import Clips, Item, items
from .walk import Walk

__all__ = ["Planned", "Tally", "dry_run", "planned"]

MOST_REFUSALS: Final = 20

Word = Literal["to_buy", "done", "paid", "uncertain", "failed", "refused", "duplicate"]

_WORDS: Final[dict[State | None, Word]] = {
    None: "to_buy",
    State.OPEN: "to_buy",
    State.INTENDED: "uncertain",
    State.UNCERTAIN: "uncertain",
    State.STARTED: "paid",
    State.ANALYSED: "done",
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
class Tally:
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
    line: Line, clips: Clips, request: AnalysisRequest[Any, Any] | None, *, reopened: bool = False
) -> Plan:
    """The plan for all clips of an input. Raises what `dry_run` raises."""
    tally = Tally()
    async with aclosing(dry_run(line, clips, request, reopened=reopened)) as found:
        async for each in found:
            tally.add(each)
    return tally.plan


async def dry_run(
    line: Line, clips: Clips, request: AnalysisRequest[Any, Any] | None, *, reopened: bool = False
) -> AsyncGenerator[Planned]:
    """What would become of each clip, in the order of the input, after `reopen` where `reopened` says so.

    Raises what reading input or journal raises.
    """
    seen: dict[str, str] = {}
    openable = frozenset((await survey(line, clips, request)).openable if reopened else ())
    async with aclosing(items(clips, request)) as found:
        async for item in found:
            yield await _planned(line, item, seen, openable)


async def _planned(line: Line, item: Item, seen: dict[str, str], openable: frozenset[str]) -> Planned:
    """What would become of a clip; `seen` holds the labels of those further up, by key."""
    walk = await line.identified(item)
    if isinstance(walk, Refused | Unfinished):
        return _refused(item, walk)
    if walk.key in seen:
        return Planned(**item.facts, key=walk.key, word="duplicate", duplicate_of=seen[walk.key])
    seen[walk.key] = item.label
    walk.entry = await line.road.books.find(walk.key)
    unfit = None if walk.key in openable else await line.unfit(walk)
    if unfit is not None:
        return _refused(item, unfit)
    word = "to_buy" if walk.key in openable else _fate(line, walk)
    paid, reason = (None, "") if walk.entry is None else (walk.entry.analysis_id, walk.entry.reason)
    told = reason if word in ("uncertain", "failed", "refused") else ""
    return Planned(**item.facts, key=walk.key, analysis_id=paid, word=word, reason=told)


def _refused(item: Item, refused: Refused | Unfinished) -> Planned:
    problems = refused.problems if isinstance(refused, Refused) else ()
    return Planned(**item.facts, key=refused.key, word="refused", reason=refused.reason, problems=problems)


def _fate(line: Line, walk: Walk) -> Word:
    return "to_buy" if line.again(walk) else _WORDS[walk.entry.state if walk.entry is not None else None]
