"""Which analyses an uncertain start may have become.

Invariant: an analysis is matched with a start only if nothing else explains it. An empty list proves nothing for a
while: how soon the vendor's lists show a new analysis is not documented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from typing import Final

from attrs import frozen

from ..errors import InvalidRequest, Problem, StartAttempt
from ..field_docs import documented
from ..protocol.analysis import AnalysisList, ListedAnalysis, Started
from ..protocol.views import Calculated, Results

__all__ = ["Reconciliation", "candidates_of", "lookup_delays", "unambiguous_match"]

SKEW: Final = timedelta(minutes=15)
"""The largest assumed difference between the server's clock and ours."""


@documented
@frozen
class Reconciliation:
    """What a lookup of an uncertain start found."""

    start: StartAttempt
    candidates: tuple[ListedAnalysis, ...]
    """Analyses that the start may have become. If there are none, that proves nothing. Even a single one may belong to
    another program that uses the account."""

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
    """The listed analyses that are not in `known` and that may be the start.

    `own_subject` says that nothing else is ever linked to the start's subject. Then times are ignored, because the
    server's clock may be hours off.
    """
    possible = _linked if own_subject else _possible
    return Reconciliation(start, tuple(each for each in listed if possible(start, each, known)))


def _linked(start: StartAttempt, each: ListedAnalysis, known: Collection[str]) -> bool:
    return each.analysis_id not in known and each.subject_id in (None, start.subject_id)


def _possible(start: StartAttempt, each: ListedAnalysis, known: Collection[str]) -> bool:
    created = each.created_at
    in_time = created is None or start.earliest - SKEW <= created <= start.latest + SKEW
    return in_time and _linked(start, each, known)


def unambiguous_match(
    found: Reconciliation, known: Collection[str], other_starts: Iterable[StartAttempt], *, own_subject: bool
) -> ListedAnalysis | None:
    """The one candidate that can only be this start; None if anything else is possible.

    With `own_subject` a single candidate is proof. Otherwise the candidate must also state when it was created, fit the
    view, and not be possible for any of the `other_starts`: our starts that are under way, uncertain, released or
    refused.
    """
    if len(found.candidates) != 1:
        return None
    (only,) = found.candidates
    if own_subject:
        return only
    fits = only.created_at is not None and only.view in (None, found.start.view)
    return only if fits and not any(_possible(other, only, known) for other in other_starts) else None


_LISTING_LAG: Final = 60.0
"""Seconds after a start in which the lists may not show it yet."""
_SHORTEST_DELAY: Final = 3.0


def lookup_delays(age: float) -> Iterator[float]:
    """Seconds before each further lookup of a start that is `age` seconds old; yields nothing once waiting cannot
    help."""
    while age < _LISTING_LAG:
        delay = max(_SHORTEST_DELAY, age)
        yield delay
        age += delay
