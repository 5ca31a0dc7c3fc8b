"""The numbers of an analysis by flat names that hold their unit: what the tables have as columns.

Invariant: pure. Known numbers have fixed names; the numbers of layouts that the vendor does not document are named by
their way through the JSON. Nothing raises on an odd answer: what is no number is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from ...protocol.answer import ID_KEYS
from ...protocol.assessment import Assessment
from ...protocol.back_view import BackViewResults, Legs
from ...protocol.redaction import redact_links
from ...protocol.side_view import Metrics, Overstride, SideViewCalculated, SideViewResults

__all__ = ["KNOWN", "Measure", "measures_of"]

Measure = str | float | int

MOST_FURTHER: Final = 100
"""Numbers by their way through the JSON, at most: an answer must not make a table of any width."""
LONGEST_NAME: Final = 80


def measures_of(results: Any, calculated: Any) -> dict[str, Measure]:
    """All numbers of an analysis, and the few words that are as good as numbers.

    `results` and `calculated` are the typed answers, or None where there are none. The order is that of `KNOWN`; what
    is not in there follows by name.
    """
    known = {name: read(results, calculated) for name, read in KNOWN.items()}
    told: dict[str, Measure] = {name: redact_links(value) for name, value in known.items() if value is not None}
    return told | {name: value for name, value in _further(results, calculated).items() if name not in KNOWN}


# --- what is known by name --------------------------------------------------------------------------

Reader = Callable[[Any, Any], Measure | None]


def _metric(read: Callable[[Metrics], Measure | None]) -> Reader:
    def reader(_: Any, calculated: Any) -> Measure | None:
        metrics = calculated.metrics if isinstance(calculated, SideViewCalculated) else None
        return read(metrics) if metrics is not None else None

    return reader


def _pace(metrics: Metrics) -> str | None:
    """Minutes and seconds per kilometer, spelt as in a request: MM:SS."""
    if metrics.pace is None:
        return None
    minutes, seconds = divmod(round(metrics.pace / timedelta(seconds=1)), 60)
    return f"{minutes:02}:{seconds:02}"


def _overstride(read: Callable[[Overstride], Measure | None]) -> Reader:
    def reader(_: Any, calculated: Any) -> Measure | None:
        overstride = calculated.overstride if isinstance(calculated, SideViewCalculated) else None
        return read(overstride) if overstride is not None else None

    return reader


def _total(results: Any, calculated: Any) -> Measure | None:
    return results.total_score if results is not None else getattr(calculated, "total_score", None)


def _strike(results: Any, _: Any) -> str | None:
    pattern = results.foot.foot_strike_pattern if isinstance(results, SideViewResults) else None
    return None if pattern is None else str(pattern)


def _style(read: Callable[[Any], Measure | None]) -> Reader:
    """Of the running style that has the largest share."""

    def reader(results: Any, _: Any) -> Measure | None:
        styles = results.running_styles if isinstance(results, SideViewResults) else ()
        return read(max(styles, key=lambda style: style.share or 0.0)) if styles else None

    return reader


def _score(part: str) -> Reader:
    return lambda results, _: _number(getattr(results, part)) if isinstance(results, SideViewResults) else None


def _leg_score(part: str, leg: str) -> Reader:
    def reader(results: Any, _: Any) -> float | None:
        legs: Legs | None = getattr(results, part) if isinstance(results, BackViewResults) else None
        return _number(getattr(legs, leg)) if legs is not None else None

    return reader


def _number(assessment: Assessment | None) -> float | None:
    return assessment.score_number if assessment is not None else None


def _landings(pattern: str) -> Reader:
    """How many steps landed so; None where none is told."""

    def reader(_: Any, calculated: Any) -> int | None:
        told = calculated.foot_landing if isinstance(calculated, SideViewCalculated) else None
        patterns = list(_patterns(told))
        return patterns.count(pattern) if patterns else None

    return reader


def _patterns(value: Any) -> Iterator[str]:
    """Every landing that is told, wherever it stands: the layout is not documented."""
    if isinstance(value, str) and value.lower() in PATTERNS:
        yield value.lower()
    elif isinstance(value, list | dict):
        for name, each in value.items() if isinstance(value, dict) else ((None, each) for each in value):
            if str(name).lower() in PATTERNS and isinstance(each, int) and not isinstance(each, bool):
                yield from [str(name).lower()] * min(each, MOST_STEPS)  # counts, not one entry for each step
            else:
                yield from _patterns(each)


PATTERNS: Final = ("rearfoot", "midfoot", "forefoot")
MOST_STEPS: Final = 1_000
_PARTS: Final = ("arm", "back_cycle", "foot", "forward_cycle", "head", "trunk")
_LEG_PARTS: Final = ("pronation", "knee_adduction", "pelvic_drop")

KNOWN: Final[Mapping[str, Reader]] = {
    "total_score": _total,
    "cadence_steps_per_min": _metric(lambda metrics: metrics.cadence),
    "speed_m_per_s": _metric(lambda metrics: metrics.speed),
    "pace_per_km": _metric(_pace),
    "step_length_m": _metric(lambda metrics: metrics.step_length),
    "ground_contact_time_ms": _metric(lambda metrics: metrics.ground_contact_time),
    "flight_time_ms": _metric(lambda metrics: metrics.flight_time),
    "duty_factor": _metric(lambda metrics: metrics.duty_factor),
    "overstride_angle_deg": _overstride(lambda overstride: overstride.mean_angle),
    "overstride_score": _overstride(lambda overstride: overstride.score),
    "foot_strike_pattern": _strike,
    **{f"landings_{pattern}": _landings(pattern) for pattern in PATTERNS},
    "running_style": _style(lambda style: style.title),
    "running_style_share": _style(lambda style: style.share),
    **{f"{part}_score": _score(part) for part in _PARTS},
    **{f"{part}_{leg}_score": _leg_score(part, leg) for part in _LEG_PARTS for leg in ("left", "right")},
}
"""Every measure that is known by name, in the order of the columns. Scores and shares are 0 to 1, the duty factor is a
fraction, a pace is MM:SS, landings are counts of steps."""


# --- what is not --------------------------------------------------------------------------------------

_TOLD: Final = frozenset(
    {*ID_KEYS, "percentage", "running_styles", "total_score", "status"}
    | {f"metrics.{name}" for name in ("speed_meter_per_second", "step_length_meter", "pace_min_per_km")}
    | {f"metrics.{name}" for name in ("step_frequency_steps_per_min", "ground_contact_time_ms", "time_of_flight_ms")}
    | {f"metrics.{name}" for name in ("duty_factor", "duty_factor_percentage")}
    | {"overstride.mean_angle"}
    | {f"analysis_content.{part}.score_number" for part in _PARTS}
    | {f"analysis_content.{part}.{leg}.score_number" for part in _LEG_PARTS for leg in ("left", "right")}
)
"""The ways to what `KNOWN` tells already."""
_ANGLES: Final = re.compile(r"joint_angles_|gait_cycle_(.*_)?(pronation|knee_adduction|pelvic_drop)(_|$)")
_NO_ANGLE: Final = re.compile(
    r"(^|_)(ms|s|sec|seconds?|time|percent(age)?|score|frames?|counts?|steps?|ratio|deg(rees?)?)$"
)
"""How a number among angles ends that has another unit, or tells that it is in degrees."""
_GROUPS: Final = ("joint_angles_", "gait_cycle_", "metrics_", "analysis_content_")
"""What goes without saying at the beginning of a name."""


def _further(results: Any, calculated: Any) -> dict[str, Measure]:
    """Every number that `KNOWN` does not tell, by its way through the JSON."""
    named: dict[str, Measure] = {}
    if results is not None:
        named |= _named(results.raw.get("biomechanical_analysis"), _TOLD)
    if calculated is not None:
        landings = {"foot_landing"} if any(_patterns(calculated.raw.get("foot_landing"))) else set[str]()
        named |= _named(calculated.raw, _TOLD | landings)
    return {name: named[name] for name in sorted(named)[:MOST_FURTHER]}


def _named(value: Any, told: frozenset[str]) -> dict[str, Measure]:
    leaves = _leaves(value, (), told) if isinstance(value, dict) else ()
    return {_name(way): number for way, number in leaves}


def _leaves(
    value: Mapping[str, Any], way: tuple[str, ...], told: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], Measure]]:
    """Every number that does not stand in a list. Lists are steps and courses: no columns, but whole in the JSON."""
    for name, each in value.items():
        here = (*way, str(name))
        if ".".join(here) in told:
            continue
        if isinstance(each, dict):
            yield from _leaves(each, here, told)
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield here, each


def _name(way: tuple[str, ...]) -> str:
    """A column for a way: lower case, plain, with the unit where it is known to be degrees."""
    plain = "_".join(re.sub(r"[^a-z0-9]+", "_", redact_links(part).lower()).strip("_") for part in way)
    group = next((group for group in _GROUPS if plain.startswith(group)), "")
    unit = "_deg" if _ANGLES.match(plain) and not _NO_ANGLE.search(plain) else ""
    return plain.removeprefix(group)[:LONGEST_NAME] + unit
