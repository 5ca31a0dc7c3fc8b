"""Results as sheets of text: a title, columns, rows. How a sheet looks on paper is not its matter.

Law of this room: pure, and nothing is made of a number but its writing: what is missing is a dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import Any, Final

from attrs import evolve, frozen

from ..protocol.analysis import Calculated, Results
from ..protocol.assessment import Assessment, Ranges, RunningStyle
from ..protocol.back_view import BackViewCalculated, BackViewResults, Legs
from ..protocol.side_view import Metrics, SideViewCalculated, SideViewResults
from .outcomes import Outcome
from .terminal import clean

__all__ = ["NOTHING", "Sheet", "clean", "filled", "line_about", "number", "pace", "score", "sheets_of", "view_words"]

NOTHING: Final = "–"
SIDE_PARTS: Final = ("head", "trunk", "arm", "forward_cycle", "back_cycle", "foot")
BACK_PARTS: Final = ("pronation", "knee_adduction", "pelvic_drop")
MOST_LEAVES: Final = 40


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


def number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number with its unit, or a dash."""
    return NOTHING if value is None else f"{value:.{digits}f}{unit and ' '}{unit}"


def score(value: float | None) -> str:
    """A score from 0 to 1, or a dash."""
    return number(value, digits=2)


def pace(value: timedelta | None) -> str:
    """Minutes and seconds per kilometre, or a dash."""
    if value is None:
        return NOTHING
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes}:{seconds:02d} /km"


def view_words(view: str | None) -> str:
    """`side_view` as people say it."""
    return (view or "unknown view").replace("_", " ")


def sheets_of(outcome: Outcome) -> tuple[Sheet, ...]:
    """The sheets of an outcome: one for the results, one for the calculated data; none without results."""
    if outcome.results is None:
        return ()
    who = PurePath(outcome.clip).name if outcome.clip else outcome.analysis_id
    title = f"{who}: {view_words(outcome.view)}, total score {score(outcome.results.total_score)}"
    results = Sheet(title, *_assessed(outcome.results), notes=_notes(outcome))
    calculated = outcome.calculated
    return (results,) if calculated is None else (results, _calculated(f"{who}: calculated data", calculated))


def line_about(outcome: Outcome) -> str:
    """The results in one line."""
    total = score(outcome.results.total_score) if outcome.results is not None else NOTHING
    return f"{total}  {view_words(outcome.view)}  {outcome.who}  {outcome.analysis_id}"


def _assessed(results: Results) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if isinstance(results, SideViewResults):
        rows = tuple((name.replace("_", " "), *_assessment(getattr(results, name))) for name in SIDE_PARTS)
    else:
        rows = tuple(_leg_rows(results))
    return ("part", "score", "good", "okay", "position"), rows


def _leg_rows(results: BackViewResults) -> Iterator[tuple[str, ...]]:
    for name in BACK_PARTS:
        legs: Legs | None = getattr(results, name)
        for side in ("left", "right"):
            leg = getattr(legs, side, None)
            if leg is not None:
                yield (f"{name.replace('_', ' ')}, {side}", *_assessment(leg))


def _assessment(part: Assessment) -> tuple[str, ...]:
    position = part.texts.position if part.texts is not None else None
    return score(part.score_number), _ranges(part.range_good), _ranges(part.range_okay), position or NOTHING


def _ranges(ranges: Ranges | None) -> str:
    if ranges is None:
        return NOTHING
    return " or ".join(f"{low:g} to {high:g}" for low, high in ranges.intervals)


def _notes(outcome: Outcome) -> tuple[str, ...]:
    results = outcome.results
    side = (
        (f"foot strike: {results.foot.foot_strike_pattern or NOTHING}", *map(_style, results.running_styles))
        if isinstance(results, SideViewResults)
        else ()
    )
    return (*side, f"analysis {outcome.analysis_id}")


def _style(style: RunningStyle) -> str:
    share = "" if style.share is None else f", {style.share:.0%}"
    return f"running style: {style.title or style.animal or NOTHING}{share}"


# --- calculated data ----------------------------------------------------------------------------


def _calculated(title: str, calculated: Calculated) -> Sheet:
    rows = _side_rows(calculated) if isinstance(calculated, SideViewCalculated) else _back_rows(calculated)
    return Sheet(title, ("measure", "value"), tuple(rows))


def _side_rows(calculated: SideViewCalculated) -> Iterator[tuple[str, ...]]:
    metrics = calculated.metrics or Metrics()
    yield "speed", number(metrics.speed, "m/s", 2)
    yield "pace", pace(metrics.pace)
    yield "cadence", number(metrics.cadence, "steps/min")
    yield "step length", number(metrics.step_length, "m", 2)
    yield "ground contact time", number(metrics.ground_contact_time, "ms")
    yield "flight time", number(metrics.flight_time, "ms")
    yield "duty factor", number(metrics.duty_factor, digits=2)
    if calculated.overstride is not None:
        yield "overstride, mean angle", number(calculated.overstride.mean_angle, "degrees", 1)
        yield "overstride, score", calculated.overstride.score or NOTHING


def _back_rows(calculated: BackViewCalculated) -> Iterable[tuple[str, ...]]:
    """What numbers there are, by their way through the JSON: the layout is not documented."""
    cycle = {} if calculated.gait_cycle is None else calculated.gait_cycle.raw
    return tuple(_leaves(cycle))[:MOST_LEAVES]


def _leaves(value: Mapping[str, Any], way: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each, (*way, name))
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield " ".join((*way, name)).replace("_", " "), f"{each:g}"
