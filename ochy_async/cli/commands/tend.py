"""`ochy tend`: finishes what killed runs and workers left in a journal.

Invariant: it starts no analysis, so it spends nothing and may be repeated. It creates no journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
from anyio import CancelScope
from attrs import define, evolve, field

from ...batch.engine import Batch
from ...batch.outcomes import Outcome, Uncertain, Unfinished
from ...journal.contract import Journal
from ...policy.clip_states import State
from ...protocol.text_summary import count_of
from ..ceiling_options import polls_option, with_ceilings
from ..connection import ConnectionSettings, connection_options
from ..default_journal import find_state_journal
from ..display.reporter import Reporter
from ..display.results import print_outcome
from ..display.summary import BatchSummary
from ..display.terminal import print_info, print_message
from ..display.uncertain import ResolveCommands
from ..exit_codes import ExitCode, most_severe
from ..final_report import write_final_report
from ..groups import CommandDecorator, option_group
from ..journal_place import ENVIRONMENT, JournalPlace, JournalType, environment_journal, open_journal
from ..outcomes import CommandOutcome
from ..output_options import kept_artifacts, output_options, output_problems
from ..repeatable import RepeatableCommand, typed_command
from ..request_options import usage_error
from ..signals import Interrupts

__all__ = ["command"]

STOPPING: Final = "Stopping: what is not finished stays in the journal. Press Ctrl-C again to stop immediately."
STOPPED: Final = "Stopped. Analyses that are paid for continue on the server."
NOTHING: Final = "Nothing is left to collect or to look up."
_ONE_LINE_EACH: Final = 1_000
"""How many outcomes are expected, as far as their display is concerned."""
_UNDER_WAY: Final = (State.INTENDED, State.SENDING, State.STARTED)

tend_options: CommandDecorator = option_group(
    click.option(
        "--journal",
        type=JournalType(dir_okay=False, path_type=Path),
        help=f"File, or postgresql:// address, of the journal. Default: {ENVIRONMENT}, or else clips.journal in the "
        "--out folder, or else the account's journal in your state folder.",
    ),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for result files and tables."),
    click.option("--same-account", is_flag=True, help="Say that a new API key belongs to the account of the journal."),
    click.option("--same-origin", is_flag=True, help="Say that a new base URL leads to the server of the journal."),
)


@click.command("tend", cls=RepeatableCommand)
@tend_options
@polls_option
@output_options
@connection_options
def command(as_json: bool, connection: ConnectionSettings, **options: Any) -> None:
    """Finish what killed runs or workers left in a journal, without their clips. Spends nothing.

    Analyses that are paid for are waited for, and their results stored in the journal. Starts that may have been
    charged are looked up, and never sent again. Starts that were not sent completely give their credit back. What a
    running worker is processing is left alone; a killed worker counts as running for half a minute.

    With --out, result files are saved and rows are added to the tables in that folder, as `ochy wait` does. Without
    it, `ochy analyze` with the clips and the journal shows and saves the stored results later; with --max-credits 0 it
    buys nothing.
    """
    if problems := list(output_problems(options)):
        raise usage_error(problems)
    found, named = _journal(connection, options)
    place = with_ceilings(found, options)
    if isinstance(place, Path) and not place.is_file():
        raise usage_error([f"--journal: {str(place)!r} does not exist; `ochy analyze` creates a journal"])
    tending = _TendRun(place, options, as_json=as_json, summary=_summary(place if named else None, options))
    code = tending.run(evolve(connection, interval=options["interval"]))
    click.get_current_context().exit(write_final_report(options["out"], code) if options["report"] else code)


def _journal(connection: ConnectionSettings, options: Mapping[str, Any]) -> tuple[JournalPlace, bool]:
    """The journal, and whether the commands that resolve uncertain starts have to name it."""
    if options["journal"] is not None:
        return options["journal"], True
    if (usual := environment_journal()) is not None:
        return usual, False
    if options["out"] is not None and (in_folder := options["out"] / "clips.journal").is_file():
        return in_folder, True
    given = {"same_account": options["same_account"] or None, "same_origin": options["same_origin"]}
    return anyio.run(partial(find_state_journal, *connection.account_and_origin(), **given)), False


def _summary(named: JournalPlace | None, options: Mapping[str, Any]) -> BatchSummary:
    typed = typed_command()
    words = () if named is None else (str(named),)
    resolve = ResolveCommands(repeat=str(typed), journal=words, is_path=named is not None)
    return BatchSummary(Reporter(journaled=True), 0, typed, resolve, options["out"])


@define(eq=False)
class _TendRun:
    place: JournalPlace
    options: Mapping[str, Any]
    as_json: bool = field(kw_only=True)
    summary: BatchSummary = field(kw_only=True)
    codes: set[ExitCode] = field(factory=set)
    left_alone: int = 0
    """Clips that live workers are processing."""

    def run(self, connection: ConnectionSettings) -> ExitCode:
        """Finishes what is left, prints a summary, and returns the exit code. Raises what a session or a journal
        raises."""
        with self.summary.reporter:
            anyio.run(self._main, connection)
        if self.summary.total:
            self.summary.print()
        elif not self.codes and not self.left_alone:
            print_info(NOTHING)
        if self.left_alone:
            print_info(
                f"{count_of(self.left_alone, 'clip')} left alone: other workers are processing them. If such a worker "
                "was killed, run this again in half a minute."
            )
        return most_severe(self.codes)

    async def _main(self, connection: ConnectionSettings) -> None:
        journal, reporter = open_journal(self.place), self.summary.reporter
        settings = {name: self.options[name] for name in ("out", "timeout", "same_account", "same_origin")}
        async with connection.open(reporter.listen) as ochy:
            batch = ochy.batch(journal=journal, keep=kept_artifacts(self.options), **settings)
            scope = CancelScope()
            interrupts = Interrupts(partial(_stop, batch), partial(_end, scope))
            with scope:
                async with batch:
                    reporter.report = lambda: batch.report
                    with interrupts.listening():
                        await self._tend(batch)
                    self.left_alone = await self._count_left_alone(journal)
            if interrupts.count:
                self.codes.add(ExitCode.INTERRUPTED)
        self.summary.report = batch.report

    async def _tend(self, batch: Batch[Any, Any]) -> None:
        async with aclosing(batch.tend()) as outcomes:
            async for outcome in outcomes:
                self._add(outcome)

    async def _count_left_alone(self, journal: Journal) -> int:
        entries = (await journal.totals()).entries
        under_way = sum(entries.get(state, 0) for state in _UNDER_WAY)
        return max(0, under_way - self.summary.counts[Unfinished.word]) if journal.shared else 0

    def _add(self, told: Outcome[Any, Any]) -> None:
        outcome = CommandOutcome.of_entry(told)
        if outcome.word == Uncertain.word:
            commands = tuple(command for _, command in self.summary.resolve.for_outcome(outcome))
            outcome = evolve(outcome, commands=commands)
        with self.summary.reporter.paused():
            print_outcome(outcome, as_json=self.as_json, of=_ONE_LINE_EACH)
        self.codes.add(outcome.exit_code)
        self.summary.total += 1
        self.summary.add(outcome)
        self.summary.reporter.finish(outcome)


def _stop(batch: Batch[Any, Any]) -> None:
    print_message(STOPPING)
    batch.stop("It was interrupted.", hand_over=True)


def _end(scope: CancelScope) -> None:
    print_message(STOPPED)
    scope.cancel()
