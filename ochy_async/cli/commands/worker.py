"""`ochy worker`: works on the clips of the queue until it is stopped.

Invariant: the batch alone decides and records, as in `ochy analyze`. A worker that is stopped or killed leaves its
clips to other workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
from anyio import CancelScope
from attrs import define, evolve, field

from ...batch.outcomes import Outcome
from ...batch.report import credits_text
from ...engines.feeder import JobFeeder
from ..buying_options import buying_options, buying_settings
from ..ceiling_options import ceiling_options, with_ceilings
from ..connection import ConnectionSettings, connection_options
from ..display.reporter import Reporter
from ..display.summary import counts_text
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode, most_severe
from ..groups import CommandDecorator, option_group
from ..job_queue import journal_of_queue, queue_at
from ..journal_place import ENVIRONMENT, JournalPlace, JournalType, PostgresAddress
from ..outcomes import CommandOutcome
from ..output_options import waiting_options
from ..signals import Interrupts

__all__ = ["command"]

JOBS: Final = 128
"""Jobs that a worker has at a time by default: other workers cannot take what it has taken."""
STOPPING: Final = "Stopping: no new clip is taken, and clips under way are left to other workers."
STOPPED: Final = "Stopped. What is paid for is in the journal; the clips go back to the queue."

worker_options: CommandDecorator = option_group(
    click.option(
        "--journal",
        type=JournalType(dir_okay=False, path_type=Path),
        metavar="ADDRESS",
        help="postgresql:// address of the journal's database, which also holds the queue. Default: "
        f"{ENVIRONMENT}, which other processes cannot read.",
    ),
    click.option("--drain", is_flag=True, help="End when no clip is in the queue or under way on any machine."),
    click.option(
        "--max-credits",
        type=click.IntRange(0),
        metavar="N",
        help="Spend at most this many credits, all workers and earlier runs of the journal together.",
    ),
)


@click.command("worker")
@worker_options
@buying_options
@ceiling_options
@waiting_options
@connection_options
def command(
    journal: JournalPlace | None, drain: bool, as_json: bool, connection: ConnectionSettings, **options: Any
) -> None:
    """Work on the clips that `ochy enqueue` put into the queue. Costs one credit per clip, once.

    Start as many workers as you like, on any machines. The journal knows what is paid for, so a clip whose worker was
    killed is finished by another one and not bought again. The results are in the journal: `ochy analyze` with the same
    clips and journal shows and saves them, and with --max-credits 0 buys nothing.

    A worker runs until it is stopped, until nothing can be bought any more or, with --drain, until no clip is left.
    SIGTERM or Ctrl-C stops it, and its clips go to other workers; a second one ends it at once.
    """
    place, queue = with_ceilings(journal_of_queue(journal), options), queue_at(journal)
    settings = {
        **buying_settings(options),
        "max_credits": options["max_credits"],
        "keep": ("calculated",) if options["calculated"] else (),
    }
    worker = _Worker(place, queue, settings, as_json=as_json, in_flight=options["in_flight"] or JOBS)
    click.get_current_context().exit(worker.run(evolve(connection, interval=options["interval"]), drain=drain))


@define(eq=False)
class _Worker:
    place: PostgresAddress
    queue: Any
    settings: Mapping[str, Any]
    as_json: bool = field(kw_only=True)
    in_flight: int = field(kw_only=True)
    reporter: Reporter = field(factory=lambda: Reporter(journaled=True))
    codes: set[ExitCode] = field(factory=set)
    feeder: JobFeeder | None = None
    worker: Any = None

    def run(self, connection: ConnectionSettings, *, drain: bool) -> ExitCode:
        """Works, prints a summary, and returns the exit code. Raises what a session or a journal raises."""
        with self.reporter:
            anyio.run(partial(self._main, connection, drain=drain))
        if self.reporter.report is not None:
            report = self.reporter.report()
            print_info(f"{counts_text(report.outcomes) or 'No clip'}. {credits_text(report)}")
        return most_severe(self.codes)

    async def _main(self, connection: ConnectionSettings, *, drain: bool) -> None:
        scope = CancelScope()
        interrupts = Interrupts(lambda: self._stop(scope), self._end)
        with scope, interrupts.listening():
            await self._work(connection, drain=drain)
        if interrupts.count:
            self.codes.add(ExitCode.INTERRUPTED)
        elif self.feeder is not None and self.feeder.refuses:
            print_message(f"Nothing more can be bought: {self.feeder.refuses}")

    async def _work(self, connection: ConnectionSettings, *, drain: bool) -> None:
        from ...engines.pgqueuer import QueueWorker

        async with connection.open(self.reporter.listen) as ochy:
            batch = ochy.batch(journal=self.place.journal(), **self.settings)
            async with JobFeeder(batch, on_outcome=self._show) as self.feeder:
                self.reporter.report = lambda: batch.report
                self.worker = QueueWorker(self.queue, self.feeder, max(2, self.in_flight))
                await self.worker.run(drain=drain)

    def _stop(self, scope: CancelScope) -> None:
        if self.worker is None:
            scope.cancel()
        else:
            print_message(STOPPING)
            self.worker.stop("It was interrupted.", hand_over=True)

    def _end(self) -> None:
        print_message(STOPPED)
        if self.worker is not None:
            self.worker.end()

    def _show(self, outcome: Outcome[Any, Any]) -> None:
        shown = CommandOutcome.of(outcome)
        if self.as_json:  # otherwise no results: what a service prints is a machine's log
            with self.reporter.paused():
                click.echo(shown.json_line())
        self.codes.add(shown.exit_code)
        self.reporter.finish(shown)
