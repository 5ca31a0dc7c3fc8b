"""What the analyses of a folder show together: rows of the table, quartiles, weak parts, progress.

Invariant: one pass over the analyses; only small rows are kept of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import quantiles
from typing import Final

from attrs import field, frozen

from .analyses import METRICS, ReportedAnalysis, plain

__all__ = ["AnalysisRow", "FolderStatistics", "Progress", "Quartiles", "folder_statistics"]

FEWEST: Final = 5
"""Analyses of a view from which quartiles are shown."""


@frozen
class AnalysisRow:
    """One row of the overview."""

    name: str = field(repr=False)
    page: str | None = field(repr=False)
    """The name of its page; None if it has none."""
    clip: str | None = field(repr=False)
    analysis_id: str | None
    view: str
    outcome: str
    score: float | None = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)
    strike: str = field(repr=False)
    lowest_part: str = field(repr=False)
    """The part with the lowest score, in English words; empty if there is none."""
    lowest_title: str = field(repr=False)
    """Its title on the page if that is English, else empty."""
    runner: str = field(repr=False)
    """What tells runners apart."""
    reason: str = field(repr=False)
    date: datetime | None = field(default=None, repr=False)
    simulated: bool = False


@frozen
class Quartiles:
    """How a measure is distributed over the analyses of one view."""

    low: float
    first: float
    median: float
    third: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles | None:
        """None for fewer than `FEWEST` values, or if all are equal."""
        if len(values) < FEWEST or min(values) == max(values):
            return None
        first, median, third = quantiles(values, n=4, method="inclusive")
        return cls(min(values), first, median, third, max(values))


@frozen
class Progress:
    """The scores of one runner in one view, in the order of their dates, or without them of the folder."""

    name: str = field(repr=False)
    view: str
    scores: tuple[float, ...] = field(repr=False)
    dates: tuple[datetime, datetime] | None = field(default=None, repr=False)
    """The first and the last; None unless every analysis has one."""


@frozen
class FolderStatistics:
    """What the analyses show together. An analysis that several identical clips share counts once."""

    rows: tuple[AnalysisRow, ...]
    """One for each clip."""
    analyses: tuple[AnalysisRow, ...] = field(init=False, repr=False)
    """The first row of each analysis that has results."""

    def __attrs_post_init__(self) -> None:
        with_results = ((row.analysis_id or number, row) for number, row in enumerate(self.rows) if row.page)
        first = dict[str | int, AnalysisRow]()
        for key, row in with_results:
            first.setdefault(key, row)
        object.__setattr__(self, "analyses", tuple(first.values()))

    @property
    def scores(self) -> list[float]:
        """All total scores."""
        return [row.score for row in self.analyses if row.score is not None]

    def by_view(self) -> dict[str, tuple[dict[str, Quartiles], list[float]]]:
        """For each view the quartiles of its metrics, and its total scores."""
        views = {row.view for row in self.rows}
        return {
            view: (
                self.quartiles(view),
                [row.score for row in self.analyses if row.score is not None and row.view == view],
            )
            for view in views
        }

    def quartiles(self, view: str) -> dict[str, Quartiles]:
        """The quartiles of each metric over the analyses of one view, where there are enough."""
        rows = [row.metrics for row in self.analyses if row.view == view]
        values = {metric.name: [row[metric.name] for row in rows if metric.name in row] for metric in METRICS}
        return {name: found for name, each in values.items() if (found := Quartiles.of(each))}

    def weak_parts(self) -> list[tuple[str, int]]:
        """How often each part has the lowest score of its analysis, the most frequent first."""
        return Counter(row.lowest_part for row in self.analyses if row.lowest_part).most_common()

    def part_title(self, name: str) -> str:
        """A part as pages in English call it, so that it has one name everywhere."""
        titles = (row.lowest_title for row in self.analyses if row.lowest_part == name and row.lowest_title)
        return next(titles, name.capitalize())

    def progress(self) -> list[Progress]:
        """The runners who have several scores in one view."""
        found: dict[tuple[str, str], list[AnalysisRow]] = defaultdict(list)
        for row in self.analyses:
            if row.score is not None and row.runner:
                found[row.runner, row.view].append(row)
        return [_progress(view, rows) for (_, view), rows in found.items() if len(rows) > 1]


def _progress(view: str, rows: Sequence[AnalysisRow]) -> Progress:
    dated = sorted(((row.date, place) for place, row in enumerate(rows) if row.date is not None))
    in_order = [rows[place] for _, place in dated] if len(dated) == len(rows) else rows
    dates = (dated[0][0], dated[-1][0]) if in_order is not rows else None
    return Progress(rows[0].name, view, tuple(row.score or 0.0 for row in in_order), dates)


def folder_statistics(analyses: Iterable[ReportedAnalysis]) -> FolderStatistics:
    """Reads all analyses once. Each page gets a name of its own."""
    used, rows = Counter[str](), list[AnalysisRow]()
    for analysis in analyses:
        rows.append(_row(analysis, used))
    return FolderStatistics(tuple(rows))


def _row(analysis: ReportedAnalysis, used: Counter[str]) -> AnalysisRow:
    lowest, strike = analysis.lowest_parts[:1], analysis.measures.get("foot_strike_pattern")
    return AnalysisRow(
        name=analysis.name,
        page=_unused_name(analysis.page_name, used) if analysis.has_page else None,
        clip=analysis.clip,
        analysis_id=analysis.analysis_id,
        view=analysis.view_title,
        outcome=plain(analysis.outcome),
        score=analysis.score,
        metrics=analysis.metrics,
        strike="" if strike is None else plain(strike),
        lowest_part=lowest[0].name.partition(",")[0] if lowest else "",
        lowest_title=lowest[0].title if lowest and analysis.in_english else "",
        runner=analysis.subject_id or analysis.subject or "",
        reason=plain(analysis.reason) if analysis.reason else "",
        date=analysis.date,
        simulated=analysis.simulated,
    )


def _unused_name(name: str, used: Counter[str]) -> str:
    """The name, with a number if another page has it: identical clips share an analysis."""
    used[name.casefold()] += 1
    count = used[name.casefold()]
    return name if count == 1 else f"{name.removesuffix('.html')}.{count}.html"
