"""An outcome as a row: which columns there are, and what stands in them.

Law of this room: pure, one table. Units stand in the names, a cell is never a formula, a row never holds a
link; what is not known is an empty cell.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from ..protocol.assessment import Assessment
from ..protocol.back_view import BackViewResults, Legs
from ..protocol.links import without_links
from ..protocol.side_view import Metrics, SideViewCalculated, SideViewResults
from .outcomes import Analyzed, Outcome

__all__ = ["COLUMNS", "csv_line", "header", "json_line"]

Cell = str | float | int | None


def json_line(outcome: Outcome[Any, Any]) -> str:
    """The outcome as one line of JSON in plain ASCII, with all that the server said."""
    results, calculated = (outcome.results, outcome.calculated) if isinstance(outcome, Analyzed) else (None, None)
    told = {
        **{name: COLUMNS[name](outcome) for name in ("index", "file", "view", "outcome", "analysis_id", "reason")},
        "missing": outcome.missing if isinstance(outcome, Analyzed) else (),
        "results": None if results is None else without_links(results.raw),
        "calculated": None if calculated is None else without_links(calculated.raw),
    }
    return json.dumps(told) + "\n"


def header() -> str:
    """The first line of the CSV file."""
    return _line(list(COLUMNS))


def csv_line(outcome: Outcome[Any, Any]) -> str:
    """The outcome as one record of the CSV file."""
    return _line([_defused(cell(outcome)) for cell in COLUMNS.values()])


def _line(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _defused(cell: Cell) -> Cell:
    """A text that a spreadsheet would run as a formula, made a text again."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


# --- the cells ------------------------------------------------------------------------------------


def _results(read: Callable[[Any], Cell]) -> Callable[[Outcome[Any, Any]], Cell]:
    return lambda outcome: read(outcome.results) if isinstance(outcome, Analyzed) else None


def _metric(read: Callable[[Metrics], Cell]) -> Callable[[Outcome[Any, Any]], Cell]:
    def cell(outcome: Outcome[Any, Any]) -> Cell:
        metrics = _side(outcome).metrics
        return read(metrics) if metrics is not None else None

    return cell


def _side(outcome: Outcome[Any, Any]) -> SideViewCalculated:
    """The calculated data of a side view, empty ones where there are none."""
    calculated = outcome.calculated if isinstance(outcome, Analyzed) else None
    return calculated if isinstance(calculated, SideViewCalculated) else _NOTHING


def _pace(metrics: Metrics) -> str | None:
    """Minutes and seconds per kilometre, spelt as in a request: MM:SS."""
    if metrics.pace is None:
        return None
    minutes, seconds = divmod(round(metrics.pace / timedelta(seconds=1)), 60)
    return f"{minutes:02}:{seconds:02}"


def _overstride(outcome: Outcome[Any, Any]) -> Cell:
    overstride = _side(outcome).overstride
    return overstride.mean_angle if overstride is not None else None


def _strike(results: Any) -> Cell:
    pattern = results.foot.foot_strike_pattern if isinstance(results, SideViewResults) else None
    return None if pattern is None else str(pattern)


def _style(results: Any) -> Cell:
    """The title of the running style that has the largest share."""
    styles = results.running_styles if isinstance(results, SideViewResults) else ()
    return max(styles, key=lambda style: style.share or 0.0).title if styles else None


def _score(part: str) -> Callable[[Any], Cell]:
    return lambda results: _number(getattr(results, part)) if isinstance(results, SideViewResults) else None


def _leg_score(part: str, leg: str) -> Callable[[Any], Cell]:
    def read(results: Any) -> Cell:
        legs: Legs | None = getattr(results, part) if isinstance(results, BackViewResults) else None
        return _number(getattr(legs, leg)) if legs is not None else None

    return read


def _number(assessment: Assessment | None) -> float | None:
    return assessment.score_number if assessment is not None else None


_NOTHING: Final = SideViewCalculated()
_PARTS: Final = ("arm", "back_cycle", "foot", "forward_cycle", "head", "trunk")
_LEG_PARTS: Final = ("pronation", "knee_adduction", "pelvic_drop")

COLUMNS: Final[Mapping[str, Callable[[Outcome[Any, Any]], Cell]]] = {
    "index": lambda outcome: outcome.index,
    "file": lambda outcome: outcome.label,
    "view": lambda outcome: outcome.request.view,
    "outcome": lambda outcome: outcome.word,
    "analysis_id": lambda outcome: outcome.analysis_id,
    "total_score": _results(lambda results: results.total_score),
    "cadence_steps_per_min": _metric(lambda metrics: metrics.cadence),
    "speed_m_per_s": _metric(lambda metrics: metrics.speed),
    "pace_per_km": _metric(_pace),
    "step_length_m": _metric(lambda metrics: metrics.step_length),
    "ground_contact_time_ms": _metric(lambda metrics: metrics.ground_contact_time),
    "flight_time_ms": _metric(lambda metrics: metrics.flight_time),
    "duty_factor": _metric(lambda metrics: metrics.duty_factor),
    "overstride_angle_deg": _overstride,
    "foot_strike_pattern": _results(_strike),
    "running_style": _results(_style),
    **{f"{part}_score": _results(_score(part)) for part in _PARTS},
    **{f"{part}_{leg}_score": _results(_leg_score(part, leg)) for part in _LEG_PARTS for leg in ("left", "right")},
    "reason": lambda outcome: without_links(outcome.reason),
}
"""Every column of the CSV file, in order. Scores are 0 to 1, the duty factor is a fraction, a pace is MM:SS."""
