"""The section about the landings: each step on the screen, and on paper equal ones of a side joined.

Invariant: pure. The vendor does not document the layout of the steps, so what is not clearly a landing is not shown as
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import htpy as h

from ..gait.joints import SIDES
from ..protocol.side_view import FootStrike, SideViewCalculated
from ..protocol.text_summary import count_of
from .analyses import ReportedAnalysis, plain
from .document import Source, section

__all__ = ["landings_section"]

_MOST: Final = 60
"""Steps that are shown."""
_LANDINGS: Final = frozenset(each.value for each in FootStrike)
_DEEPEST: Final = 4
"""Levels of lists and objects that are looked through."""

Step = tuple[str, str]
"""The side, which may be empty, and the landing."""


def landings_section(analysis: ReportedAnalysis) -> h.Node:
    """How many steps landed on which part of the foot, and each step. None if nothing is known of them."""
    calculated = analysis.calculated
    if not isinstance(calculated, SideViewCalculated) or not calculated.foot_landing:
        return None
    steps = list(_steps(calculated.foot_landing))
    notes = list(_notes(calculated.landings, len(steps)))
    content = [_chips(steps[:_MOST]), _joined(steps[:_MOST])] if steps else None
    return section("Landing, step by step", Source.OCHY, " ".join(notes), content)


def _notes(counts: Mapping[str, int], steps: int) -> Iterator[str]:
    if counted := ", ".join(f"{count:,} {name}" for name, count in counts.items() if count):
        yield f"{counted}."
    if steps > _MOST:
        yield f"{count_of(steps - _MOST, 'more step is', 'more steps are')} not shown."
    if not steps:
        yield "The layout of the steps is not known."


def _chips(steps: Sequence[Step]) -> h.Node:
    return h.ol(".steps")[[h.li(class_=side)[f"{side} ", h.b[landing]] for side, landing in steps]]


def _joined(steps: Sequence[Step]) -> h.Node:
    """The landings of each side in their order, with equal ones joined. Shown on paper only."""
    sides = [side for side in (*SIDES, "") if any(side == each for each, _ in steps)]
    return h.div(".joined")[[h.p[h.b[side.capitalize() or "Steps"], ": ", _runs(steps, side)] for side in sides]]


def _runs(steps: Sequence[Step], side: str) -> str:
    runs = (
        (landing, len(list(each))) for landing, each in groupby(landing for other, landing in steps if other == side)
    )
    return ", ".join(f"{count} × {landing}" if count > 1 else landing for landing, count in runs)


def _steps(landing: Any, side: str = "", depth: int = _DEEPEST) -> Iterator[Step]:
    """The steps in a list of landings or of objects, or in such lists by side."""
    if isinstance(landing, dict) and (word := _landing_of(landing)):
        yield _side_in(landing.values()) or side, plain(word)
    elif isinstance(landing, dict):
        for name, each in landing.items() if depth else ():
            yield from _steps(each, _side_in([name]) or side, depth - 1)
    elif isinstance(landing, list) and any(_is_landing(each) for each in landing):
        yield from ((side, plain(each)) for each in landing if isinstance(each, str))
    elif isinstance(landing, list):
        for each in landing if depth else ():
            yield from _steps(each, side, depth - 1)


def _landing_of(step: Mapping[str, Any]) -> str | None:
    """The landing of a step: a word that is known to be one, else what a name says is one."""
    texts = {name: value for name, value in step.items() if isinstance(value, str)}
    known = filter(_is_landing, texts.values())
    named = (value for name, value in texts.items() if value and ("land" in name.lower() or "strike" in name.lower()))
    return next(known, None) or next(named, None)


def _is_landing(value: object) -> bool:
    return isinstance(value, str) and value.strip().casefold() in _LANDINGS


def _side_in(values: Iterable[object]) -> str:
    """The side that one of the values is; empty if none is."""
    texts = (value.strip().casefold() for value in values if isinstance(value, str))
    return next((text for text in texts if text in SIDES), "")
