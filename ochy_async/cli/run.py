"""One batch from the command line: its session, its journal, its signals, and what it says.

Law of this room: the batch decides and remembers. Here its outcomes are shown as they come, and whoever
breaks off is told what goes on and what was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CancelScope
from attrs import define, evolve, field, frozen

from ..batch.engine import Batch
from ..batch.outcomes import Outcome as Ended
from ..batch.outcomes import Uncertain
from ..batch.planning import Planned, Tally
from ..batch.report import Plan
from ..batch.sources import BatchItem
from ..events import Event, SubjectCreated
from ..journal.contract import Entry, Journal
from ..journal.memory import MemoryJournal
from ..policy.batching import State
from .account import Place
from .exits import Exit, worst
from .interrupts import Interrupts
from .outcomes import Outcome
from .paper import Paper
from .summary import Summary

__all__ = ["Job", "carry_out", "plan"]

STOPPING: Final = (
    "Stopping: nothing new is started, and what is under way is brought to its end. Ctrl-C again stops now."
)
FORGETTING: Final = "It may have been charged, and nothing remembers it once this run has ended."
STOPPED: Final = "Stopped. What is paid goes on at the server."


@frozen(kw_only=True)
class Job:
    """What is to be done."""

    clips: Sequence[BatchItem]
    journal: Path | None
    """None is in memory."""
    settings: Mapping[str, Any]
    """For `OchySession.batch`, the journal apart."""
    create_subjects: bool = False
    """Whether subjects may be names, of subjects that exist or are to be made."""
    again: str
    """The command that does the same again."""


Emit = Callable[[Outcome], None]


def carry_out(job: Job, place: Place, emit: Emit) -> Exit:
    """Analyses all clips and says on stderr what is left to do.

    Raises what a session or a journal raises that cannot be opened.
    """
    paper = Paper(place.made_up, total=len(job.clips), kept=job.journal is not None)
    memory = MemoryJournal() if job.journal is None else None
    summary = Summary(paper, len(job.clips), job.again, job.journal, job.settings.get("out"))
    run = _Run(job, memory or job.journal, paper, summary, emit)
    left_over: list[Entry] = []
    try:
        with paper:
            anyio.run(run.main, place)
    finally:
        if memory is not None and summary.report is not None:
            left_over = anyio.run(_left_over, memory, run.shown)
        summary.tell(left_over)
    return worst(run.codes)


@define(eq=False)
class _Run:
    job: Job
    journal: Journal | Path | None
    paper: Paper
    summary: Summary
    emit: Emit
    codes: list[Exit] = field(factory=list)
    shown: set[str | None] = field(factory=set)
    """The keys of the clips whose outcome was shown."""
    batch: Batch[Any, Any] | None = None

    async def main(self, place: Place) -> None:
        with CancelScope() as scope:
            interrupts = Interrupts(lambda: self._stop(scope), lambda: self._break_off(scope))
            with interrupts.listening():
                await self._batch(place)
            if interrupts.count:
                self.codes.append(Exit.INTERRUPTED)
        if scope.cancelled_caught:
            self.codes.append(Exit.INTERRUPTED)

    def _stop(self, scope: CancelScope) -> None:
        if self.batch is None:
            scope.cancel()
        else:
            self.paper.note(STOPPING)
            self.batch.stop("It was interrupted.")

    def _break_off(self, scope: CancelScope) -> None:
        self.paper.note(STOPPED)
        scope.cancel()

    async def _batch(self, place: Place) -> None:
        batch: Batch[Any, Any]
        try:
            async with (
                place.open(self._listen) as ochy,
                ochy.batch(journal=self.journal, **self.job.settings) as batch,
            ):
                clips = await batch.resolve_subjects(self.job.clips, create=self.job.create_subjects)
                self.batch, self.paper.report = batch, lambda: batch.report
                async with aclosing(batch.run(clips)) as outcomes:
                    async for ended in outcomes:
                        self._end(self._outcome(ended), ended.key)
        finally:
            if self.batch is not None:  # what was broken off on leaving it has become a doubt by now
                self.summary.report = self.batch.report

    def _listen(self, event: Event) -> None:
        if isinstance(event, SubjectCreated):
            self.paper.note(f"{event.clip}: created the subject {event.subject_id}")
        self.paper.listen(event)

    def _outcome(self, ended: Ended[Any, Any]) -> Outcome:
        outcome = Outcome.of(ended)
        bare = self.job.journal is None and outcome.word == Uncertain.word
        # What a batch advises is for journals that outlive it.
        return evolve(outcome, reason=FORGETTING) if bare else outcome

    def _end(self, outcome: Outcome, key: str | None) -> None:
        with self.paper.aside():
            self.emit(outcome)
        self.shown.add(key)
        self.codes.append(outcome.exit)
        self.summary.count(outcome)
        self.paper.ended(outcome)


async def _left_over(memory: MemoryJournal, shown: set[str | None]) -> list[Entry]:
    """What is paid, or may be, and nobody was shown: it is lost with this process."""
    owed = (State.STARTED, State.INTENDED, State.UNCERTAIN)
    async with memory:
        return [each async for each in memory.entries() if each.state in owed or _unseen(each, shown)]


def _unseen(entry: Entry, shown: set[str | None]) -> bool:
    return entry.state is State.ANALYSED and entry.key not in shown


def plan(job: Job, place: Place, show: Callable[[Planned], None]) -> Plan:
    """What `carry_out` would do and buy; each clip is shown as it is found.

    Sends nothing, and makes no journal where there is none.
    """
    settings: dict[str, Any] = {**job.settings, "out": None, "keep": ()}
    known = job.journal if job.journal is not None and job.journal.exists() else None
    tally = Tally()

    async def planned() -> Plan:
        paper = Paper(place.made_up)
        async with place.open(paper.listen) as ochy, ochy.batch(journal=known, **settings) as batch:
            clips = await batch.resolve_subjects(job.clips, create=job.create_subjects, ask=False)
            async with aclosing(batch.dry_run(clips)) as found:
                async for each in found:
                    tally.add(each)
                    show(each)
        return tally.plan

    return anyio.run(planned)
