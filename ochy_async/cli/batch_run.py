"""Runs one batch from the command line: its session, its journal, its signals and its messages.

Invariant: the batch alone decides and records. This module shows its outcomes as they come, and tells a user who stops
the run what was paid for and how to continue.
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
from ..batch.outcomes import Uncertain
from ..batch.reopen import Reopened
from ..batch.report import Plan
from ..batch.sources import BatchItem
from ..errors import JournalBusy, JournalError
from ..events import Event, SubjectCreated
from ..journal.contract import Entry
from ..journal.memory import MemoryJournal
from ..journal.sqlite.files import location_warning
from ..policy.clip_states import UNRESOLVED, State
from ..protocol.text_summary import count_of
from ..session import OchySession
from .connection import ConnectionSettings
from .default_journal import add_alternatives
from .display.reporter import Reporter
from .display.summary import BatchSummary
from .display.terminal import print_message
from .display.uncertain import ResolveCommands
from .exit_codes import ExitCode, most_severe
from .journal_place import JournalPlace, PostgresAddress, open_journal
from .notifications import warn_if_nobody_is_notified
from .outcomes import CommandOutcome
from .quoting import ShellCommand
from .signals import Interrupts

__all__ = ["BatchJob", "plan_batch", "run_batch"]

FINISHING: Final = (
    "Stopping: no new clip is started, and clips in progress are finished. Press Ctrl-C again to stop immediately."
)
HANDING_OVER: Final = "Stopping: clips under way are left to other workers of the journal and to the next run."
UNCERTAIN_KEPT: Final = "Uncertain starts stay in the journal: run the same command again to look them up."
NOT_RECORDED: Final = "No journal records it, so nothing remembers it after this run."
STOPPED: Final = "Stopped. Analyses that are paid for continue on the server."
NOTHING_STARTED: Final = "Stopped before anything was started."
MAX_NAMES: Final = 5
PATIENCE: Final = 60.0
"""Seconds to wait for the account's journal while another command has it open."""
BUSY: Final = (
    "Another command has this account's journal open. Waiting for it, at most a minute. Commands with different --out "
    "or --journal do not wait for each other, but none knows what the others have paid for."
)


@frozen(kw_only=True)
class BatchJob:
    """What the user asked for."""

    clips: Sequence[BatchItem]
    journal: JournalPlace | None
    """None keeps the journal in memory."""
    default_journal: bool = False
    """Whether the journal is the account's one in the user's state folder, which the user did not name."""
    environment_journal: bool = False
    """Whether the journal is the one that the environment names."""
    journal_options: tuple[str, ...] = ()
    """Options by which `ochy journal` finds the default journal."""
    settings: Mapping[str, Any]
    """For `OchySession.batch`, without the journal."""
    create_subjects: bool = False
    """Whether the clips' subjects may be names, of which the unknown ones are created."""
    again: bool = False
    """Whether finished clips are bought again."""
    command: ShellCommand
    """The command that was typed, so that it can be repeated."""

    @property
    def resolve(self) -> ResolveCommands:
        """Builds the commands that resolve uncertain starts."""
        named = not (self.default_journal or self.environment_journal)
        place = None if self.journal is None else (str(self.journal),)
        where = place if named else self.journal_options
        return ResolveCommands(repeat=str(self.command), journal=where, is_path=named)


Show = Callable[[CommandOutcome], None]


def run_batch(job: BatchJob, connection: ConnectionSettings, show: Show) -> ExitCode:
    """Analyzes all clips, passes each outcome to `show`, and prints a summary on stderr.

    Raises what a session or a journal raises that cannot be opened.
    """
    reporter = Reporter(connection.simulated, total=len(job.clips), journaled=job.journal is not None)
    if isinstance(job.journal, Path) and (warning := location_warning(job.journal)):
        print_message(warning)
    memory = MemoryJournal() if job.journal is None else None
    limits = [job.settings.get(name) for name in ("max_credits", "max_credits_per_run")]
    summary = BatchSummary(
        reporter,
        len(job.clips),
        job.command,
        job.resolve,
        job.settings.get("out"),
        max_credits=next((each for each in limits if each is not None), None),
        per_run=limits[0] is None,
    )
    run = _BatchRun(job, memory, reporter, summary, show)
    unshown: list[Entry] = []
    try:
        with reporter:
            anyio.run(run.main, connection)
    finally:
        if memory is not None and summary.report is not None:
            unshown = anyio.run(_unshown_entries, memory, run.shown)
        summary.print(unshown)
    return most_severe(run.codes)


@define(eq=False)
class _BatchRun:
    job: BatchJob
    memory: MemoryJournal | None
    """The journal, where none is kept."""
    reporter: Reporter
    summary: BatchSummary
    show: Show
    codes: list[ExitCode] = field(factory=list)
    shown: set[str | None] = field(factory=set)
    """The keys of the clips whose outcome was shown."""
    batch: Batch[Any, Any] | None = None

    async def main(self, connection: ConnectionSettings) -> None:
        with CancelScope() as scope:
            interrupts = Interrupts(
                lambda: self._finish(scope, terminated=interrupts.terminated), lambda: self._stop(scope)
            )
            with interrupts.listening():
                await self._run(connection)
            if interrupts.count:
                self.codes.append(ExitCode.INTERRUPTED)
        if scope.cancelled_caught:
            self.codes.append(ExitCode.INTERRUPTED)

    def _finish(self, scope: CancelScope, *, terminated: bool) -> None:
        if self.batch is None:
            print_message(NOTHING_STARTED)
            scope.cancel()
        elif terminated and isinstance(self.job.journal, PostgresAddress):
            print_message(HANDING_OVER)
            self.batch.stop("It was terminated.", hand_over=True)
        else:
            uncertain = self.batch.report.uncertain and self.job.journal is not None
            print_message(f"{FINISHING} {UNCERTAIN_KEPT}" if uncertain else FINISHING)
            self.batch.stop("It was interrupted.")

    def _stop(self, scope: CancelScope) -> None:
        print_message(STOPPED)
        scope.cancel()

    async def _run(self, connection: ConnectionSettings) -> None:
        begun = False
        try:
            async with AsyncExitStack() as stack:
                ochy = await stack.enter_async_context(connection.open(self._listen))
                batch = await self._open_batch(ochy, stack)
                clips = await batch.resolve_subjects(self.job.clips, create=self.job.create_subjects)
                self.batch, self.reporter.report = batch, lambda: batch.report
                if self.job.again:
                    self._report_reopened(await batch.reopen(clips))
                if not connection.simulated:
                    await warn_if_nobody_is_notified(ochy, self.job.clips)
                begun = True
                async with aclosing(batch.run(clips)) as outcomes:
                    async for outcome in outcomes:
                        self._add(self._with_commands(CommandOutcome.of(outcome)), outcome.key)
        finally:
            if self.batch is not None and begun:  # only now, since leaving the batch makes interrupted starts uncertain
                self.summary.report = self.batch.report

    async def _open_batch(self, ochy: OchySession, stack: AsyncExitStack) -> Batch[Any, Any]:
        """The batch with its journal open. A default journal that is in use is waited for."""
        deadline, waiting = current_time() + PATIENCE, False
        while True:
            journal = self.memory if self.job.journal is None else open_journal(self.job.journal)
            batch: Batch[Any, Any] = ochy.batch(journal=journal, **self.job.settings)
            try:
                return await stack.enter_async_context(batch)
            except JournalError as error:
                failure = error
            if not self.job.default_journal:
                raise failure
            if not isinstance(failure, JournalBusy) or current_time() >= deadline:
                raise add_alternatives(failure)
            if not waiting:
                print_message(BUSY)
            waiting = True
            await sleep(0.5)

    def _report_reopened(self, reopened: Reopened) -> None:
        self.summary.reopened = reopened
        for line in _reopened_lines(reopened):
            print_message(line)

    def _listen(self, event: Event) -> None:
        if isinstance(event, SubjectCreated):
            print_message(f"{event.clip}: created the subject {event.subject_id}")
        self.reporter.listen(event)

    def _with_commands(self, outcome: CommandOutcome) -> CommandOutcome:
        if outcome.word != Uncertain.word:
            return outcome
        commands = tuple(command for _, command in self.job.resolve.for_outcome(outcome))
        note = f" {NOT_RECORDED}" if self.job.journal is None else ""
        return evolve(outcome, commands=commands, reason=outcome.reason + note)

    def _add(self, outcome: CommandOutcome, key: str | None) -> None:
        with self.reporter.paused():
            self.show(outcome)
        self.shown.add(key)
        self.codes.append(outcome.exit_code)
        self.summary.add(outcome)
        self.reporter.finish(outcome)


def _reopened_lines(reopened: Reopened) -> Iterator[str]:
    """The result of `--again`, before anything is bought."""
    yield from (f"--again: left unchanged: {each}" for each in reopened.unfit)
    if reopened.clips:
        clips = count_of(reopened.clips, "clip is", "clips are")
        yield f"--again: {clips} analyzed again, for one credit each. The journal keeps the old results until then."
    elif reopened.unfinished:
        names = ", ".join(reopened.unfinished[:MAX_NAMES])
        more = f" and {len(reopened.unfinished) - MAX_NAMES} more" if len(reopened.unfinished) > MAX_NAMES else ""
        yield (
            "--again: no clip is analyzed again yet, since these are not finished or were not shown: "
            f"{names}{more}. This run finishes them and buys no clip a second time."
        )
    else:
        yield "--again: none of the clips was analyzed before."


async def _unshown_entries(memory: MemoryJournal, shown: set[str | None]) -> list[Entry]:
    """Entries that are or may be paid for and whose results were not shown: they are lost with this process."""
    unfinished = {State.STARTED, *UNRESOLVED}
    async with memory:
        return [
            each
            async for each in memory.entries()
            if each.state in unfinished or (each.state is State.ANALYZED and each.key not in shown)
        ]


def plan_batch(job: BatchJob, connection: ConnectionSettings, show: Callable[[Planned], None]) -> Plan:
    """What `run_batch` would do and buy; each clip is passed to `show` as it is found.

    Sends nothing, and creates no file.
    """
    settings: dict[str, Any] = {**job.settings, "out": None, "keep": ()}
    missing = job.journal is None or (isinstance(job.journal, Path) and not job.journal.exists())
    existing = None if missing or job.journal is None else open_journal(job.journal)
    counts = PlanCounter()

    async def main() -> Plan:
        listen = Reporter(connection.simulated).listen
        async with connection.open(listen) as ochy, ochy.batch(journal=existing, **settings) as batch:
            clips = await batch.resolve_subjects(job.clips, create=job.create_subjects, ask=False)
            async with aclosing(batch.dry_run(clips, reopened=job.again)) as planned:
                async for each in planned:
                    counts.add(each)
                    show(each)
        return counts.plan

    return anyio.run(main)
