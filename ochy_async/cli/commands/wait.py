"""`ochy wait`: collects analyses that are already paid for.

Invariant: it polls and never starts an analysis, so it spends nothing and may be repeated. However it ends, the ids
that were not collected are printed.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import click
from attrs import define, evolve, field

from ...batch.outcomes import Analyzed, Unfinished
from ...batch.output.results_folder import ResultsFolder
from ...errors import OchyError
from ...protocol.analysis import Started, analysis_id_of
from ...protocol.text_summary import printable
from ...protocol.views import BY_WORD, VIEW_WORDS
from ...session import OchySession
from ..connection import ConnectionSettings, connection_options
from ..display.reporter import Reporter
from ..display.results import print_outcome
from ..display.summary import counts_text, print_drift, print_wait_commands
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode, most_severe
from ..final_report import write_final_report
from ..journal_place import IdType
from ..outcomes import CommandOutcome, outcome_of_error
from ..output_options import kept_artifacts, output_options, output_problems
from ..request_options import usage_error

__all__ = ["command"]

CONCURRENT: Final = 20
"""Analyses that are waited for at once."""


@click.command("wait")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, type=IdType(), required=True)
@click.option(
    "--view", type=click.Choice(VIEW_WORDS), help="The view that was requested. Default: recognized from the results."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for result files and tables.")
@output_options
@connection_options
def command(
    analysis_ids: tuple[str, ...],
    view: str | None,
    as_json: bool,
    interval: float,
    connection: ConnectionSettings,
    **options: Any,
) -> None:
    """Wait for analyses that were started before, and show their results. Spends nothing.

    With --out, result files are saved and rows are added to the tables in that folder, as `ochy analyze` does.
    """
    if problems := list(output_problems(options)):
        raise usage_error(problems)
    analyses = [_started(each, view) for each in dict.fromkeys(analysis_ids)]
    collector = _Collector(
        analyses=analyses,
        as_json=as_json,
        timeout=options["timeout"],
        out=options["out"],
        keep=kept_artifacts(options),
        reporter=Reporter(total=len(analyses) if len(analyses) > 1 else None),
    )
    code = collector.run(evolve(connection, interval=interval))
    click.get_current_context().exit(write_final_report(options["out"], code) if options["report"] else code)


def _started(analysis_id: str, view: str | None) -> Started[Any, Any] | str:
    return analysis_id if view is None else Started.of(analysis_id, BY_WORD[view].request)


@define(eq=False, kw_only=True)
class _Collector:
    """Waits for many analyses, a limited number at once."""

    analyses: Sequence[Started[Any, Any] | str]
    as_json: bool
    timeout: float | None
    out: Path | None
    keep: tuple[str, ...]
    reporter: Reporter
    outcomes: dict[str, CommandOutcome] = field(factory=dict)
    """By analysis id."""

    def run(self, connection: ConnectionSettings) -> ExitCode:
        """Collects all. Raises what a session raises that cannot be opened."""
        codes: list[ExitCode] = []
        try:
            with self.reporter:
                anyio.run(self._main, connection)
        except KeyboardInterrupt:
            codes.append(ExitCode.INTERRUPTED)
            for started in self.analyses:
                if analysis_id_of(started) not in self.outcomes:
                    self._add(_outcome(started, Unfinished.word))
        finally:
            self._print_summary()
        return most_severe([*codes, *(each.exit_code for each in self.outcomes.values())])

    async def _main(self, connection: ConnectionSettings) -> None:
        try:
            async with (
                connection.open(self.reporter.listen) as ochy,
                ochy.results_folder(self.out, self.keep) as folder,
            ):
                async with anyio.create_task_group() as workers:
                    analyses = iter(self.analyses)
                    for _ in range(CONCURRENT):
                        workers.start_soon(self._work, ochy, folder, analyses)
                await folder.finish()
        except BaseExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is None:
                # The reader of stdout has gone. click handles this error by exiting without a traceback.
                raise BrokenPipeError(errno.EPIPE, "stdout is closed") from None
            raise

    async def _work(
        self, ochy: OchySession, folder: ResultsFolder, analyses: Iterator[Started[Any, Any] | str]
    ) -> None:
        for started in analyses:
            outcome = await self._collect(ochy, folder, started)
            await folder.add(outcome.to_json())
            self._add(outcome)

    async def _collect(
        self, ochy: OchySession, folder: ResultsFolder, started: Started[Any, Any] | str
    ) -> CommandOutcome:
        try:
            results = await ochy.wait(started, timeout=self.timeout)
        except OchyError as error:
            return _outcome(started, outcome_of_error(error), error=error, simulated=ochy.simulated)
        collected = await folder.save(started, results)
        return _outcome(
            started,
            Analyzed.word,
            results=results,
            view=results.view,
            simulated=ochy.simulated,
            calculated=collected.calculated,
            files=tuple(map(str, collected.files)),
            missing=tuple(collected.missing),
            reason=collected.reason,
            error=next(iter(collected.missing.values()), None),  # the results themselves are there
        )

    def _add(self, outcome: CommandOutcome) -> None:
        with self.reporter.paused():
            print_outcome(outcome, as_json=self.as_json, of=len(self.analyses))
        self.outcomes[outcome.analysis_id or ""] = outcome
        self.reporter.finish(outcome)

    def _print_summary(self) -> None:
        if self.outcomes:
            print_info(f"{counts_text(Counter(each.word for each in self.outcomes.values()))}.")
        print_drift(self.reporter)
        if self.out is not None and self.outcomes:
            print_message(f"Results and tables: {printable(str(self.out))}")
        pending = [each for each in self.analyses if self._is_pending(analysis_id_of(each))]
        if pending:
            print_message("These are paid for and not collected yet. To collect them (spends nothing):")
            print_wait_commands(
                (analysis_id_of(each), each.view if isinstance(each, Started) else "") for each in pending
            )

    def _is_pending(self, analysis_id: str) -> bool:
        outcome = self.outcomes.get(analysis_id)
        return outcome is None or outcome.word == Unfinished.word


def _outcome(started: Started[Any, Any] | str, word: str, **facts: Any) -> CommandOutcome:
    facts.setdefault("view", started.view if isinstance(started, Started) else None)
    return CommandOutcome(word=word, analysis_id=analysis_id_of(started), **facts)
