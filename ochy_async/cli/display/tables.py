"""Results as sheets of text: a title, columns, rows. How a sheet looks on paper is not its matter.

Invariant: pure; how numbers are written, `protocol.text_summary` says: what is missing is a dash.
"""

from __future__ import annotations

from itertools import islice
from pathlib import PurePath
from typing import Final

from attrs import evolve, frozen

from ...protocol.assessment import Assessment
from ...protocol.text_summary import NOTHING, format_number, format_pace, format_score
from ...protocol.views import Calculated, Results, view_title
from .outcomes import Outcome
from .terminal import printable

__all__ = [
    "NOTHING",
    "Sheet",
    "filled",
    "format_number",
    "format_pace",
    "format_score",
    "line_about",
    "printable",
    "sheets_of",
    "view_title",
]

MOST_MEASURES: Final = 40


@frozen
class Sheet:
    """A table that is not yet drawn."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Lines below the table."""


def filled(sheet: Sheet) -> Sheet:
    """The sheet without the columns that hold nothing but dashes."""
    kept = [index for index in range(len(sheet.columns)) if any(row[index] != NOTHING for row in sheet.rows)]
    rows = tuple(tuple(row[index] for index in kept) for row in sheet.rows)
    return evolve(sheet, columns=tuple(sheet.columns[index] for index in kept), rows=rows)


def sheets_of(outcome: Outcome) -> tuple[Sheet, ...]:
    """The sheets of an outcome: one for the results, one for the calculated data; none without results."""
    if outcome.results is None:
        return ()
    who = PurePath(outcome.clip).name if outcome.clip else outcome.analysis_id
    title = f"{who}: {view_title(outcome.view)}, total score {format_score(outcome.results.total_score)}"
    results = Sheet(title, *_assessed(outcome.results), notes=_notes(outcome))
    calculated = outcome.calculated
    return (results,) if calculated is None else (results, _calculated(f"{who}: calculated data", calculated))


def line_about(outcome: Outcome) -> str:
    """The results in one line."""
    total = format_score(outcome.results.total_score) if outcome.results is not None else NOTHING
    known = filter(None, dict.fromkeys((outcome.clip, outcome.analysis_id)))
    return "  ".join((total, view_title(outcome.view), *known))


def _assessed(results: Results) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = tuple((name, *_assessment(part)) for name, part in results.assessments())
    return ("part", "score", "good", "okay", "position"), rows


def _assessment(part: Assessment) -> tuple[str, ...]:
    ranges = (NOTHING if each is None else str(each) for each in (part.range_good, part.range_okay))
    return format_score(part.score_number), *ranges, part.position or NOTHING


def _notes(outcome: Outcome) -> tuple[str, ...]:
    highlights = () if outcome.results is None else outcome.results.highlights()
    return (*highlights, f"analysis {outcome.analysis_id}")


def _calculated(title: str, calculated: Calculated) -> Sheet:
    return Sheet(title, ("measure", "value"), tuple(islice(calculated.described(), MOST_MEASURES)))
