"""Many errands under a bound, and what is left to say however they end.

Law of this room: every errand gets an outcome, Ctrl-C included; nothing new is started once the key or
the credits are refused; and nobody leaves without the ids of what was paid for and not collected.
"""

from __future__ import annotations

import errno
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import anyio
import click
from attrs import Factory, define, evolve, field, frozen

from ..errors import BuyCredits, KeyRefused, OchyError
from ..protocol.analysis import Results, Started
from ..protocol.request import AnalysisRequest
from ..session import OchySession
from .account import Place
from .exits import Exit, worst
from .outcomes import Kind, Outcome, kind_of, line_of
from .paper import Paper, draw, tell
from .sheets import sheets_of

__all__ = ["Errand", "Job", "carry_out", "show"]


@define(eq=False)
class Errand:
    """One analysis to bring home: a clip to be started, or one that was started already."""

    clip: str | None = None
    """The path as it was given."""
    request: AnalysisRequest[Any, Any] | None = None
    started: Started[Any, Any] | str | None = None
    """From the moment that it is paid for."""
    begun: bool = False
    """Whether anything was done for it in this run."""
    ended: Kind | None = None
    label: str | None = field(default=Factory(lambda self: self.clip, takes_self=True))
    """What events and messages call the clip: the path, which tells clips of one name apart."""

    @property
    def analysis_id(self) -> str | None:
        """The id, once it is started."""
        return self.started.analysis_id if isinstance(self.started, Started) else self.started

    @property
    def view(self) -> str | None:
        """`side_view` or `back_view`, as far as it is known beforehand."""
        if self.request is not None:
            return self.request.view
        return self.started.view if isinstance(self.started, Started) else None

    @property
    def owed(self) -> bool:
        """Paid for and not brought home."""
        return self.started is not None and self.ended in (None, Kind.UNFINISHED)


@frozen(kw_only=True)
class Job:
    """What is done for each errand."""

    timeout: float | None = None
    """Seconds that an analysis is waited for."""
    calculated: bool = False
    """Whether the calculated data are fetched too."""
    concurrency: int = 3


Emit = Callable[[Outcome], None]


@define(eq=False)
class _Run:
    errands: Sequence[Errand]
    job: Job
    emit: Emit
    paper: Paper
    exits: list[Exit] = field(factory=list)
    refusal: OchyError | None = None
    """Why nothing new is started any more."""

    async def main(self, place: Place) -> None:
        try:
            async with place.open(self.paper.listen) as ochy, anyio.create_task_group() as lanes:
                errands = iter(self.errands)
                for _ in range(self.job.concurrency):
                    lanes.start_soon(self._lane, ochy, errands)
        except BaseExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is None:
                # Whoever read the results has gone; click ends such a run quietly.
                raise BrokenPipeError(errno.EPIPE, "stdout is closed") from None
            raise

    async def _lane(self, ochy: OchySession, errands: Iterator[Errand]) -> None:
        for errand in errands:
            self._end(errand, await self._outcome(ochy, errand))

    async def _outcome(self, ochy: OchySession, errand: Errand) -> Outcome:
        if errand.started is None and self.refusal is not None:
            return _ended(errand, Kind.NOT_STARTED, error=self.refusal)
        errand.begun = True
        try:
            if errand.started is None and errand.clip is not None and errand.request is not None:
                errand.started = await ochy.start(errand.clip, errand.request, label=errand.label)
            results: Results = await ochy.wait(_started(errand), timeout=self.job.timeout)
        except OchyError as error:
            return self._failed(errand, error)
        outcome = _ended(errand, Kind.ANALYSED, results=results)
        return await self._with_calculated(ochy, errand, outcome) if self.job.calculated else outcome

    async def _with_calculated(self, ochy: OchySession, errand: Errand, outcome: Outcome) -> Outcome:
        try:
            return evolve(outcome, calculated=await ochy.calculated_data(_started(errand)))
        except OchyError as error:
            # The results are there and stay; the error stands beside them.
            return evolve(outcome, error=error)

    def _failed(self, errand: Errand, error: OchyError) -> Outcome:
        if isinstance(error, KeyRefused | BuyCredits):
            self.refusal = error
        return _ended(errand, kind_of(error, paid=errand.started is not None), error=error)

    def _end(self, errand: Errand, outcome: Outcome) -> None:
        self.paper.forget(errand.label, errand.analysis_id)
        with self.paper.aside():
            self.emit(outcome)
        errand.ended = outcome.kind
        self.exits.append(outcome.exit)

    def interrupted(self) -> None:
        """Gives everything that has not ended an outcome."""
        for errand in self.errands:
            if errand.ended is None:
                self._end(errand, _ended(errand, self._left_as(errand)))

    def _left_as(self, errand: Errand) -> Kind:
        if errand.started is not None:
            return Kind.UNFINISHED
        doubtful = errand.begun and errand.label in self.paper.doubtful
        return Kind.UNCERTAIN if doubtful else Kind.NOT_STARTED


def _started(errand: Errand) -> Started[Any, Any] | str:
    if errand.started is None:
        raise ValueError("an errand needs a clip and a request, or what was started")
    return errand.started


def _ended(errand: Errand, kind: Kind, *, results: Results | None = None, error: OchyError | None = None) -> Outcome:
    return Outcome(
        kind=kind,
        clip=errand.clip,
        view=results.view if results is not None else errand.view,
        analysis_id=errand.analysis_id or (error.analysis_id if error is not None else None),
        results=results,
        error=error,
    )


def carry_out(errands: Sequence[Errand], job: Job, place: Place, emit: Emit) -> Exit:
    """Carries all errands out and says on stderr what is left to do. The exit code is for the caller to use.

    Raises what a session raises that cannot be opened.
    """
    paper = Paper(place.made_up)
    run = _Run(errands, job, emit, paper)
    try:
        with paper:
            anyio.run(run.main, place)
    except KeyboardInterrupt:
        run.interrupted()
        run.exits.append(Exit.INTERRUPTED)
    finally:
        _tell_the_rest(errands, paper)
    return worst(run.exits)


# --- what is said of an outcome, and in the end ---------------------------------------------------


def show(outcome: Outcome, *, as_json: bool) -> None:
    """The outcome on stdout, and in words on stderr where it is no success."""
    if as_json:
        click.echo(line_of(outcome))
    else:
        for sheet in sheets_of(outcome):
            draw(sheet)
    if outcome.error is not None or outcome.kind is not Kind.ANALYSED:
        who = outcome.clip or outcome.analysis_id or "?"
        why = "" if outcome.error is None else f": {outcome.error}"
        tell(f"{who}: {outcome.kind.value.replace('_', ' ')}{why}")


_UNCERTAIN: Final = (
    "Uncertain starts are not sent again, as they may have been charged. Look into the vendor's dashboard: an analysis "
    "that is listed there for that time is collected with `ochy wait ID`. How soon one is listed is not documented: "
    "analyze the clip anew only if none appears after some hours, and a second credit would be acceptable."
)


def _tell_the_rest(errands: Sequence[Errand], paper: Paper) -> None:
    kinds = Counter(errand.ended for errand in errands)
    told = ", ".join(f"{kinds[kind]} {kind.value.replace('_', ' ')}" for kind in Kind if kinds[kind])
    if told:
        tell(f"{told}.")
    if kinds[Kind.UNCERTAIN]:
        tell(_UNCERTAIN)
    if paper.differences and not paper.made_up:
        tell(
            f"The answers differ from the vendor's documentation in {paper.differences} ways; nothing of them was lost."
        )
    if not paper.made_up:
        _tell_owed([errand for errand in errands if errand.owed])


def _tell_owed(owed: Sequence[Errand]) -> None:
    if owed:
        tell("Paid for and not collected yet. This collects them and spends nothing:")
    for view in sorted({errand.view or "" for errand in owed}):
        ids = [errand.analysis_id or "" for errand in owed if (errand.view or "") == view]
        ending = f" --view {view.removesuffix('_view')}" if view else ""
        tell(f"  ochy wait {shlex.join(ids)}{ending}")
