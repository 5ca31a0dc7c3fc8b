"""`ochy wait`: collects analyses that are paid for already.

Law of this room: it looks and never starts, so it spends nothing and may be run as often as one likes;
nobody leaves without the ids of what was not collected.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any, Final

import anyio
import click
from attrs import define, evolve, field, frozen

from ..errors import OchyError
from ..protocol.analysis import Started
from ..session import OchySession
from .account import Account, Place, account_options
from .exits import Exit, worst
from .outcomes import WORDS, Outcome, word_of
from .output import FEW, REQUESTS, VIEWS, output_options, show
from .paper import Paper, tell
from .summary import tell_counts, tell_drift, tell_owed

__all__ = ["command"]

LANES: Final = 20
ANALYZED, UNFINISHED = WORDS[0], WORDS[-1]


@click.command("wait")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--view", type=click.Choice(VIEWS), help="As it was asked for; without it the answer's keys tell.")
@output_options
@account_options
def command(
    analysis_ids: tuple[str, ...],
    view: str | None,
    as_json: bool,
    calculated: bool,
    timeout: float | None,
    interval: float,
    base_url: str | None,
    key_file: str | None,
) -> None:
    """Wait for analyses that were started before, and show their results. Spends nothing."""
    account = Account(base_url=base_url, key_file=key_file, interval=interval)
    job = _Job(as_json=as_json, calculated=calculated, timeout=timeout)
    collecting = _Collecting([_started(each, view) for each in dict.fromkeys(analysis_ids)], job)
    click.get_current_context().exit(collecting.carried_out(account))


def _started(analysis_id: str, view: str | None) -> Started[Any, Any] | str:
    return analysis_id if view is None else Started.of(analysis_id, REQUESTS[view])


@frozen(kw_only=True)
class _Job:
    as_json: bool
    calculated: bool
    timeout: float | None


@define(eq=False)
class _Collecting:
    """Many analyses under a bound, and what is left to say however they end."""

    analyses: Sequence[Started[Any, Any] | str]
    job: _Job
    paper: Paper = field(factory=Paper)
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
            async with place.open(self.paper.listen) as ochy, anyio.create_task_group() as lanes:
                analyses = iter(self.analyses)
                for _ in range(LANES):
                    lanes.start_soon(self._lane, ochy, analyses)
        except BaseExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is None:
                # Whoever read the results has gone; click ends such a run quietly.
                raise BrokenPipeError(errno.EPIPE, "stdout is closed") from None
            raise

    async def _lane(self, ochy: OchySession, analyses: Iterator[Started[Any, Any] | str]) -> None:
        for started in analyses:
            self._end(await self._collected(ochy, started))

    async def _collected(self, ochy: OchySession, started: Started[Any, Any] | str) -> Outcome:
        try:
            results = await ochy.wait(started, timeout=self.job.timeout)
        except OchyError as error:
            return _outcome(started, word_of(error), error=error)
        outcome = _outcome(started, ANALYZED, results=results, view=results.view)
        if not self.job.calculated:
            return outcome
        try:
            return evolve(outcome, calculated=await ochy.calculated_data(started))
        except OchyError as error:
            # The results are there and stay; the error stands beside them.
            return evolve(outcome, error=error, missing=("calculated",))

    def _end(self, outcome: Outcome) -> None:
        with self.paper.aside():
            show(outcome, as_json=self.job.as_json, few=len(self.analyses) <= FEW)
        self.outcomes[outcome.analysis_id or ""] = outcome
        self.paper.ended(outcome)

    def _tell_the_rest(self) -> None:
        tell_counts(self.outcomes.values())
        tell_drift(self.paper)
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
