"""Which analyses an uncertain start may have become.

Invariant: taken for the start is only what can be nothing else, and an empty list proves nothing
for a while: how soon the vendor's lists show a new analysis is not documented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from typing import Final

from attrs import frozen

from ..errors import InvalidRequest, Problem, StartAttempt
from ..field_docs import documented
from ..protocol.analysis import AnalysisList, Calculated, ListedAnalysis, Results, Started

__all__ = ["Reconciliation", "candidates_of", "pauses", "the_one_meant"]

SKEW: Final = timedelta(minutes=15)
"""How far the server's clock may be from ours."""


@documented
@frozen
class Reconciliation:
    """What a lookup of an uncertain start found."""

    start: StartAttempt
    candidates: tuple[ListedAnalysis, ...]
    """Analyses that it may have become. None proves nothing; even one may be somebody else's."""

    def adopt(self, analysis_id: str) -> Started[Results, Calculated]:
        """Takes a candidate as the analysis that was started. Raises `InvalidRequest` for any other id."""
        if analysis_id not in {each.analysis_id for each in self.candidates}:
            problem = Problem("analysis_id", "is not among the candidates")
            raise InvalidRequest.of("adopt", (problem,))
        return Started(
            analysis_id=analysis_id,
            view=self.start.view,
            started_at=self.start.latest,
            clip=self.start.clip,
            subject_id=self.start.subject_id,
        )


def candidates_of(
    start: StartAttempt, listed: AnalysisList, known: Collection[str], *, own_subject: bool = False
) -> Reconciliation:
    """The listed analyses that are not `known` and that nothing says cannot be the start.

    With a subject of its own, to which nothing else is ever linked (`own_subject`), times say nothing: the server's
    clock may be hours off.
    """
    possible = _linked if own_subject else _possible
    return Reconciliation(start, tuple(each for each in listed if possible(start, each, known)))


def _linked(start: StartAttempt, each: ListedAnalysis, known: Collection[str]) -> bool:
    return each.analysis_id not in known and each.subject_id in (None, start.subject_id)


def _possible(start: StartAttempt, each: ListedAnalysis, known: Collection[str]) -> bool:
    created = each.created_at
    in_time = created is None or start.earliest - SKEW <= created <= start.latest + SKEW
    return in_time and _linked(start, each, known)


def the_one_meant(
    found: Reconciliation, known: Collection[str], rivals: Iterable[StartAttempt], *, own_subject: bool
) -> ListedAnalysis | None:
    """The candidate that can be nothing but the start; None where there is any other possibility.

    With a subject of its own (`own_subject`) one candidate is proof. Without, it must tell when it was made, fit the
    view, and be possible for none of the `rivals`: starts of ours that are under way or in doubt as well, or refused.
    """
    if len(found.candidates) != 1:
        return None
    (only,) = found.candidates
    if own_subject:
        return only
    fits = only.created_at is not None and only.view in (None, found.start.view)
    return only if fits and not any(_possible(rival, only, known) for rival in rivals) else None


_LAG: Final = 60.0
"""Seconds after a start in which lists may well not show it yet."""
_SOON: Final = 3.0


def pauses(age: float) -> Iterator[float]:
    """Seconds before each lookup to come of a start that is `age` seconds old; none where waiting is of no use."""
    while age < _LAG:
        pause = max(_SOON, age)
        yield pause
        age += pause
