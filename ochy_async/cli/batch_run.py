"""One batch from the command line: its session, its journal, its signals, and what it says.

Invariant: the batch decides and remembers. Here its outcomes are shown as they come, and whoever
breaks off is told what goes on and what was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CancelScope, current_time, sleep
from attrs import define, evolve, field, frozen

from ..batch.dry_run import PlanCounter, Planned
from ..batch.engine import Batch
from ..batch.outcomes import Outcome as Ended
from ..batch.outcomes import Uncertain
from ..batch.reopen import Reopened
from ..batch.report import Plan
from ..batch.sources import BatchItem
from ..errors import JournalBusy, JournalError
from ..events import Event, SubjectCreated
from ..journal.contract import Entry, Journal
from ..journal.memory import MemoryJournal
from ..journal.sqlite.files import location_warning
from ..policy.clip_states import State
from ..session import OchySession
from .connection import Place
from .default_journal import explained
from .display.outcomes import Outcome
from .display.reporter import Paper
from .display.summary import Summary
from .display.uncertain import WaysOut
from .exit_codes import Exit, worst
from .quoting import Command
from .signals import Interrupts

__all__ = ["Job", "carry_out", "plan"]

STOPPING: Final = (
    "Stopping: nothing new is started, and what is under way is brought to its end. Ctrl-C again stops now."
)
LOOKED_UP: Final = "What is in doubt stays remembered: it is not bought again; the same command looks it up again."
FORGETTING: Final = "Nothing remembers it once this run has ended."
MOST_NAMED: Final = 5
STOPPED: Final = "Stopped. What is paid goes on at the server."
NOTHING_BEGUN: Final = "Stopped before anything was started."
PATIENCE: Final = 60.0
"""Seconds for which the journal of the account is waited for while another command has it open."""
BUSY: Final = (
    "Another command has the journal of this account open; it is waited for, up to a minute. With --out or --journal "
    "commands do not wait for each other, and do not know what the other has paid for."
)


@frozen(kw_only=True)
class Job:
    """What is to be done."""

    clips: Sequence[BatchItem]
    journal: Path | None
    """None is in memory."""
    in_state: bool = False
    """Whether that is the account's journal in the user's state folder, which nobody has named."""
    journal_options: tuple[str, ...] = ()
    """How other commands are told the account, and so its journal."""
    settings: Mapping[str, Any]
    """For `OchySession.batch`, the journal apart."""
    create_subjects: bool = False
    """Whether subjects may be names, of subjects that exist or are to be made."""
    again: bool = False
    """Whether finished clips are to be bought anew."""
    command: Command
    """What does the same again."""

    @property
    def ways(self) -> WaysOut:
        """What settles a doubt."""
        named = None if self.journal is None else (str(self.journal),)
        where = self.journal_options if self.in_state else named
        return WaysOut(again=str(self.command), journal=where, path=not self.in_state)


Emit = Callable[[Outcome], None]


def carry_out(job: Job, place: Place, emit: Emit) -> Exit:
    """Analyses all clips and says on stderr what is left to do.

    Raises what a session or a journal raises that cannot be opened.
    """
    paper = Paper(place.made_up, total=len(job.clips), kept=job.journal is not None)
    if job.journal is not None and (doubt := location_warning(job.journal)):
        paper.note(doubt)
    memory = MemoryJournal() if job.journal is None else None
    limits = [job.settings.get(name) for name in ("max_credits", "max_credits_per_run")]
    summary = Summary(
        paper,
        len(job.clips),
        job.command,
        job.ways,
        job.settings.get("out"),
        limit=next((each for each in limits if each is not None), None),
        per_run=limits[0] is None,
    )
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
            self.paper.note(NOTHING_BEGUN)
            scope.cancel()
        else:
            in_doubt = self.batch.report.uncertain and self.job.journal is not None
            self.paper.note(f"{STOPPING} {LOOKED_UP}" if in_doubt else STOPPING)
            self.batch.stop("It was interrupted.")

    def _break_off(self, scope: CancelScope) -> None:
        self.paper.note(STOPPED)
        scope.cancel()

    async def _batch(self, place: Place) -> None:
        begun = False
        try:
            async with AsyncExitStack() as stack:
                ochy = await stack.enter_async_context(place.open(self._listen))
                batch = await self._opened(ochy, stack)
                clips = await batch.resolve_subjects(self.job.clips, create=self.job.create_subjects)
                self.batch, self.paper.report = batch, lambda: batch.report
                if self.job.again:
                    self._tell_reopened(await batch.reopen(clips))
                begun = True
                async with aclosing(batch.run(clips)) as outcomes:
                    async for ended in outcomes:
                        self._end(self._outcome(ended), ended.key)
        finally:
            if self.batch is not None and begun:  # what was broken off on leaving it has become a doubt by now
                self.summary.report = self.batch.report

    async def _opened(self, ochy: OchySession, stack: AsyncExitStack) -> Batch[Any, Any]:
        """The batch with its journal open. The journal of the account is waited for, since nobody has chosen it."""
        until, told = current_time() + PATIENCE, False
        while True:
            batch: Batch[Any, Any] = ochy.batch(journal=self.journal, **self.job.settings)
            try:
                return await stack.enter_async_context(batch)
            except JournalError as trouble:
                failure = trouble
            if not self.job.in_state:
                raise failure
            if not isinstance(failure, JournalBusy) or current_time() >= until:
                raise explained(failure)
            if not told:
                self.paper.note(BUSY)
            told = True
            await sleep(0.5)

    def _tell_reopened(self, reopened: Reopened) -> None:
        self.summary.reopened = reopened
        for line in reopened_told(reopened):
            self.paper.note(line)

    def _listen(self, event: Event) -> None:
        if isinstance(event, SubjectCreated):
            self.paper.note(f"{event.clip}: created the subject {event.subject_id}")
        self.paper.listen(event)

    def _outcome(self, ended: Ended[Any, Any]) -> Outcome:
        outcome = Outcome.of(ended)
        if outcome.word != Uncertain.word:
            return outcome
        commands = tuple(command for _, command in self.job.ways.of(outcome))
        forgetting = f" {FORGETTING}" if self.job.journal is None else ""
        return evolve(outcome, commands=commands, reason=outcome.reason + forgetting)

    def _end(self, outcome: Outcome, key: str | None) -> None:
        with self.paper.aside():
            self.emit(outcome)
        self.shown.add(key)
        self.codes.append(outcome.exit)
        self.summary.count(outcome)
        self.paper.ended(outcome)


def reopened_told(reopened: Reopened) -> Iterator[str]:
    """What `--again` has come to, before anything is bought."""
    yield from (f"--again: left as it is: {each}" for each in reopened.unfit)
    if reopened.clips:
        count = f"{reopened.clips} clip{'s are' if reopened.clips != 1 else ' is'}"
        yield (
            f"--again: {count} analyzed anew, for one credit each. Former results stay in the journal until new ones "
            "replace them."
        )
    elif reopened.unfinished:
        names = ", ".join(reopened.unfinished[:MOST_NAMED])
        more = f" and {len(reopened.unfinished) - MOST_NAMED} more" if len(reopened.unfinished) > MOST_NAMED else ""
        yield (
            f"--again: nothing is analyzed anew, since some of the clips are not finished, or were not shown yet: "
            f"{names}{more}. This run finishes them, and buys no clip a second time."
        )
    else:
        yield "--again: none of the clips was analyzed before."


async def _left_over(memory: MemoryJournal, shown: set[str | None]) -> list[Entry]:
    """What is paid, or may be, and nobody was shown: it is lost with this process."""
    owed = (State.STARTED, State.INTENDED, State.UNCERTAIN)
    async with memory:
        return [each async for each in memory.entries() if each.state in owed or _unseen(each, shown)]


def _unseen(entry: Entry, shown: set[str | None]) -> bool:
    return entry.state is State.ANALYZED and entry.key not in shown


def plan(job: Job, place: Place, show: Callable[[Planned], None]) -> Plan:
    """What `carry_out` would do and buy; each clip is shown as it is found.

    Sends nothing, and makes no journal where there is none.
    """
    settings: dict[str, Any] = {**job.settings, "out": None, "keep": ()}
    known = job.journal if job.journal is not None and job.journal.exists() else None
    tally = PlanCounter()

    async def planned() -> Plan:
        paper = Paper(place.made_up)
        async with place.open(paper.listen) as ochy, ochy.batch(journal=known, **settings) as batch:
            clips = await batch.resolve_subjects(job.clips, create=job.create_subjects, ask=False)
            async with aclosing(batch.dry_run(clips, reopened=job.again)) as found:
                async for each in found:
                    tally.add(each)
                    show(each)
        return tally.plan

    return anyio.run(planned)
