"""The numbers of an analysis as a flat mapping whose names hold the units: the columns of `results.csv`.

Documented numbers have the fixed names of the table of views. Numbers in layouts that the vendor does not document
are named after their path in the JSON. Nothing here raises on an unexpected answer; values that are no numbers are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from ...protocol.answer import ID_KEYS
from ...protocol.redaction import redact_links
from ...protocol.text_summary import minutes_seconds
from ...protocol.views import VIEWS

__all__ = ["MEASURE_NAMES", "Measure", "measures_of"]

Measure = str | float | int
"""The value of a column."""

MEASURE_NAMES: Final = ("total_score", *(name for view in VIEWS.values() for name in view.measures))
"""The fixed names, in the order of the columns."""
MAX_FURTHER: Final = 100
"""How many numbers are named after their path, so that no answer makes a table of unbounded width."""
MAX_NAME: Final = 80


def measures_of(results: Any, calculated: Any) -> dict[str, Measure]:
    """The numbers of an analysis, and a few texts such as the pace and the foot strike pattern.

    `results` and `calculated` are the typed answers, or None. The order is that of `MEASURE_NAMES`; numbers without a
    fixed name follow, sorted.
    """
    answers = {"results": results, "calculated": calculated}
    known: dict[str, Any] = {"total_score": getattr(calculated if results is None else results, "total_score", None)}
    covered = _COMMON_PATHS
    for view in VIEWS.values():
        known |= {name: _at(answers, path) for name, path in view.measures.items()}
        covered |= view.measured_paths(calculated if isinstance(calculated, view.calculated) else None)
    fixed = {name: _plain(value) for name, value in known.items() if value is not None}
    return fixed | {name: value for name, value in _further(results, calculated, covered).items() if name not in known}


def _at(value: Any, path: str) -> Any:
    """The value at a path of attributes and keys; None if there is none."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _plain(value: float | str | timedelta) -> Measure:
    if isinstance(value, timedelta):
        return minutes_seconds(value)
    return str(redact_links(str(value))) if isinstance(value, str) else value


# --- numbers without a fixed name ---------------------------------------------------------------------

_COMMON_PATHS: Final = frozenset({*ID_KEYS, "percentage", "total_score", "status"})
_NAMES_DEGREES: Final = re.compile(r"(^|_)deg(rees?)?$")
_REDUNDANT: Final = ("joint_angles_", "gait_cycle_", "metrics_", "analysis_content_")
"""Beginnings that are removed from the names."""


def _further(results: Any, calculated: Any, covered: frozenset[str]) -> dict[str, Measure]:
    """The numbers at paths that are not `covered`, by names made from the paths."""
    found: dict[str, Measure] = {}
    if results is not None:
        found |= _named(results.raw.get("biomechanical_analysis"), covered)
    if calculated is not None:
        found |= _named(calculated.raw, covered)
    return {name: found[name] for name in sorted(found)[:MAX_FURTHER]}


def _named(value: Any, covered: frozenset[str]) -> dict[str, Measure]:
    leaves = _leaves(value, (), covered) if isinstance(value, dict) else ()
    return {_name(path): number for path, number in leaves}


def _leaves(
    value: Mapping[str, Any], path: tuple[str, ...], covered: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], Measure]]:
    """Every number outside of lists. Lists hold one value per step or frame and are no columns."""
    for name, each in value.items():
        here = (*path, str(name))
        if ".".join(here) in covered:
            continue
        if isinstance(each, dict):
            yield from _leaves(each, here, covered)
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield here, each


def _name(path: tuple[str, ...]) -> str:
    """The name of a column for a path: lower case, plain, with the unit if it is known to be degrees."""
    plain = "_".join(re.sub(r"[^a-z0-9]+", "_", redact_links(part).lower()).strip("_") for part in path)
    prefix = next((each for each in _REDUNDANT if plain.startswith(each)), "")
    is_angle = any(view.calculated.is_angle(plain) for view in VIEWS.values())
    unit = "_deg" if is_angle and not _NAMES_DEGREES.search(plain) else ""
    return plain.removeprefix(prefix)[:MAX_NAME] + unit
