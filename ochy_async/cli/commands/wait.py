"""`ochy wait`: collects analyses that are paid for already.

Invariant: it looks and never starts, so it spends nothing and may be run as often as one likes;
nobody leaves without the ids of what was not collected.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import click
from attrs import define, field, frozen

from ...batch.output.results_folder import ResultsFolder
from ...errors import OchyError
from ...protocol.analysis import Started
from ...protocol.views import BY_WORD, VIEW_WORDS
from ...session import OchySession
from ..connection import Account, Place, account_options
from ..display.outcomes import WORDS, Outcome, word_of
from ..display.reporter import Paper, tell
from ..display.summary import tell_counts, tell_drift, tell_owed
from ..display.tables import printable
from ..exit_codes import Exit, worst
from ..output_options import FEW, KEEP, homeless, keep_option, output_options, show
from ..request_options import refuse

__all__ = ["command"]

LANES: Final = 20
ANALYZED, UNFINISHED = WORDS[0], WORDS[-1]


@click.command("wait")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--view", type=click.Choice(VIEW_WORDS), help="As it was asked for; without it the answer's keys tell.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for results and tables.")
@keep_option
@output_options
@account_options
def command(
    analysis_ids: tuple[str, ...],
    view: str | None,
    as_json: bool,
    interval: float,
    base_url: str | None,
    key_file: str | None,
    **how: Any,
) -> None:
    """Wait for analyses that were started before, and show their results. Spends nothing.

    With --out their files are kept and their rows added to the tables there, as `ochy analyze` does.
    """
    if problems := list(homeless(how)):
        raise refuse(problems)
    account = Account(base_url=base_url, key_file=key_file, interval=interval)
    job = _Job(as_json=as_json, timeout=how["timeout"], out=how["out"], keep=_kept(**how))
    analyses = [_started(each, view) for each in dict.fromkeys(analysis_ids)]
    collecting = _Collecting(analyses, job, Paper(total=len(analyses) if len(analyses) > 1 else None))
    click.get_current_context().exit(collecting.carried_out(account))


def _kept(*, calculated: bool, keep: Sequence[str], out: Path | None, **_: Any) -> tuple[str, ...]:
    """What is fetched besides the results, in a batch's words; the numbers of a table always."""
    asked = [KEEP[each] for each in keep] + ["calculated"] * (calculated or out is not None)
    return tuple(dict.fromkeys(asked))


def _started(analysis_id: str, view: str | None) -> Started[Any, Any] | str:
    return analysis_id if view is None else Started.of(analysis_id, BY_WORD[view].request)


@frozen(kw_only=True)
class _Job:
    as_json: bool
    timeout: float | None
    out: Path | None
    keep: tuple[str, ...]


@define(eq=False)
class _Collecting:
    """Many analyses under a bound, and what is left to say however they end."""

    analyses: Sequence[Started[Any, Any] | str]
    job: _Job
    paper: Paper
    outcomes: dict[str, Outcome] = field(factory=dict)
    """By analysis id."""

    def carried_out(self, place: Place) -> Exit:
        """Collects all. Raises what a session raises that cannot be opened."""
        codes: list[Exit] = []
        try:
            with self.paper:
                anyio.run(self._main, place)
        except KeyboardInterrupt:
            codes.append(Exit.INTERRUPTED)
            for started in self.analyses:
                if _id(started) not in self.outcomes:
                    self._end(_outcome(started, UNFINISHED))
        finally:
            self._tell_the_rest()
        return worst([*codes, *(each.exit for each in self.outcomes.values())])

    async def _main(self, place: Place) -> None:
        try:
            async with (
                place.open(self.paper.listen) as ochy,
                ochy.results_folder(self.job.out, self.job.keep) as folder,
            ):
                async with anyio.create_task_group() as lanes:
                    analyses = iter(self.analyses)
                    for _ in range(LANES):
                        lanes.start_soon(self._lane, ochy, folder, analyses)
                await folder.finish()
        except BaseExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is None:
                # Whoever read the results has gone; click ends such a run quietly.
                raise BrokenPipeError(errno.EPIPE, "stdout is closed") from None
            raise

    async def _lane(
        self, ochy: OchySession, folder: ResultsFolder, analyses: Iterator[Started[Any, Any] | str]
    ) -> None:
        for started in analyses:
            outcome = await self._collected(ochy, folder, started)
            await folder.add(outcome.record())
            self._end(outcome)

    async def _collected(self, ochy: OchySession, folder: ResultsFolder, started: Started[Any, Any] | str) -> Outcome:
        try:
            results = await ochy.wait(started, timeout=self.job.timeout)
        except OchyError as error:
            return _outcome(started, word_of(error), error=error)
        collected = await folder.keep(started, results)
        return _outcome(
            started,
            ANALYZED,
            results=results,
            view=results.view,
            calculated=collected.calculated,
            files=tuple(map(str, collected.files)),
            missing=tuple(collected.missing),
            reason=collected.reason,
            error=next(iter(collected.missing.values()), None),  # the results are there all the same
        )

    def _end(self, outcome: Outcome) -> None:
        with self.paper.aside():
            show(outcome, as_json=self.job.as_json, few=len(self.analyses) <= FEW)
        self.outcomes[outcome.analysis_id or ""] = outcome
        self.paper.ended(outcome)

    def _tell_the_rest(self) -> None:
        tell_counts(self.outcomes.values())
        tell_drift(self.paper)
        if self.job.out is not None and self.outcomes:
            tell(f"Results and tables: {printable(str(self.job.out))}")
        owed = [each for each in self.analyses if self._is_owed(_id(each))]
        if owed:
            tell("Paid for and not collected yet. This collects them and spends nothing:")
            tell_owed((_id(each), each.view if isinstance(each, Started) else "") for each in owed)

    def _is_owed(self, analysis_id: str) -> bool:
        outcome = self.outcomes.get(analysis_id)
        return outcome is None or outcome.word == UNFINISHED


def _id(started: Started[Any, Any] | str) -> str:
    return started if isinstance(started, str) else started.analysis_id


def _outcome(started: Started[Any, Any] | str, word: str, **facts: Any) -> Outcome:
    facts.setdefault("view", started.view if isinstance(started, Started) else None)
    return Outcome(word=word, analysis_id=_id(started), **facts)
