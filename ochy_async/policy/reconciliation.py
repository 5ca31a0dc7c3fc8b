"""Which analyses an uncertain start may have become.

Invariant: an analysis is matched with a start only if nothing else explains it. An empty list proves nothing for a
while: how soon the vendor's lists show a new analysis is not documented.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final

from attrs import frozen

from ..errors import InvalidRequest, Problem, StartAttempt
from ..field_docs import documented
from ..protocol.analysis import Started
from ..protocol.analysis_list import ItemFacts, ListedAnalysis
from ..protocol.views import Calculated, Results

__all__ = [
    "LISTING_PAUSE",
    "MOST_CANDIDATES",
    "AnalysesByTime",
    "Reconciliation",
    "candidates_of",
    "first_rival",
    "lookup_delays",
    "may_matter",
    "unambiguous_match",
]

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
    start: StartAttempt,
    listed: Iterable[ListedAnalysis],
    known: Collection[str],
    *,
    own_subject: bool = False,
    most: int | None = None,
) -> Reconciliation:
    """The listed analyses that are not in `known` and that may be the start: all, or the first `most` of them.

    `own_subject` says that nothing else is ever linked to the start's subject. Then times are ignored, because the
    server's clock may be hours off.
    """
    window = None if own_subject else _window(start)
    found = (each for each in listed if _possible(start, each, known, window))
    return Reconciliation(start, tuple(islice(found, most)))


def _possible(
    start: StartAttempt, each: ListedAnalysis, known: Collection[str], window: tuple[datetime, datetime] | None
) -> bool:
    created = each.created_at
    in_time = window is None or created is None or window[0] <= created <= window[1]
    is_of_subject = each.subject_id in (None, start.subject_id) or not start.view  # else nothing of the start is known
    return in_time and each.analysis_id not in known and is_of_subject


def _window(start: StartAttempt) -> tuple[datetime, datetime]:
    """The times, by the server's clock, between which the start happened if it happened."""
    return start.earliest - SKEW, start.latest + SKEW


def first_rival(starts: Iterable[StartAttempt]) -> datetime:
    """A start that was over before this time cannot have become an analysis that one of `starts` may have become."""
    return min(each.earliest for each in starts) - 2 * SKEW


def may_matter(starts: Sequence[StartAttempt], known: Collection[str]) -> Callable[[Any], bool]:
    """Whether an item of a list, before it is read, may be one of the starts: it is not `known` and not of another
    time."""
    firsts, lasts = list[datetime](), list[datetime]()  # of the times in which any of the starts may have happened
    for first, last in sorted(map(_window, starts)):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)

    def may(item: Any) -> bool:
        facts = ItemFacts.of(item)
        if facts.created_at is not None:
            place = bisect_right(firsts, facts.created_at)
            if not place or facts.created_at > lasts[place - 1]:
                return False
        return facts.analysis_id not in known

    return may


@frozen
class AnalysesByTime:
    """Listed analyses by the time at which they were made, so that a lookup need not go through all of them."""

    undated: Sequence[ListedAnalysis]
    times: Sequence[datetime]
    dated: Sequence[ListedAnalysis]
    """In the order of `times`."""

    @classmethod
    def of(cls, listed: Iterable[ListedAnalysis]) -> AnalysesByTime:
        """Sorts the analyses."""
        undated, dated = list[ListedAnalysis](), list[tuple[datetime, ListedAnalysis]]()
        for each in listed:
            if each.created_at is None:
                undated.append(each)
            else:
                dated.append((each.created_at, each))
        dated.sort(key=itemgetter(0))
        return cls(undated, [time for time, _ in dated], [each for _, each in dated])

    def near(self, start: StartAttempt) -> Iterator[ListedAnalysis]:
        """The analyses that have no time, or one at which the start may have happened."""
        earliest, latest = _window(start)
        first, end = bisect_left(self.times, earliest), bisect_right(self.times, latest)
        return chain(self.undated, self.dated[first:end])


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
    return only if fits and not any(_possible(other, only, known, _window(other)) for other in other_starts) else None


_LISTING_LAG: Final = 60.0
"""Seconds after a start in which the lists may not show it yet."""
_SHORTEST_DELAY: Final = 3.0
MOST_CANDIDATES: Final = 100
"""Of a start in a batch. More say no more, and where the account lists no times, every analysis is one."""
LISTING_PAUSE: Final = 2.0
"""Seconds from the end of one list of the account to the next one, for all lookups of a batch together."""


def lookup_delays(age: float) -> Iterator[float]:
    """Seconds before each further lookup of a start that is `age` seconds old; yields nothing once waiting cannot
    help."""
    while age < _LISTING_LAG:
        delay = max(_SHORTEST_DELAY, age)
        yield delay
        age += delay
