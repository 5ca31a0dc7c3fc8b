"""Heights, weights and paces as people write them, for manifests and the command line.

Invariant: pure, and nothing is guessed: a number alone is in the vendor's unit, any other unit must be written.
Two spellings of one measure give the same number to the last digit, since it is part of what a clip is known by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import evolve

from ..errors import Problem

__all__ = ["READERS", "height", "pace", "weight", "with_accepted_forms"]


def height(text: str) -> float:
    """Meters: `1.75`, `1,75`, `175 cm`, `5 ft 9 in`. Raises `ValueError` for what is no height."""
    return _measured(text, _LENGTHS)


def weight(text: str) -> float:
    """Kilograms: `68.5`, `68,5`, `68 kg`, `150 lb`. Raises `ValueError` for what is no weight."""
    return _measured(text, _MASSES)


def pace(text: str) -> str:
    """The vendor's `MM:SS` per km: `4:30`, `04:30`, `4:30 /km`, `7:15 /mi`. Raises `ValueError` for what is no pace."""
    found = _PACE.fullmatch(_plain(text))
    if found is None:
        raise ValueError("no pace")
    minutes, seconds, mile = int(found[1]), int(found[2]), found[3]
    if mile:
        minutes, seconds = divmod(round((60 * minutes + seconds) / KM_PER_MILE), 60)
    return f"{minutes:02}:{seconds:02}"


READERS: Final[Mapping[str, Callable[[str], Any]]] = {"height": height, "weight": weight, "pace": pace}
"""The fields of a request that are measures, and how their texts are read."""

_FORMS: Final = {
    "height": "1.75, 1,75, '175 cm', '5 ft 9 in'",
    "weight": "68.5, 68,5, '68 kg', '150 lb'",
    "pace": "04:30, 4:30, '4:30 /km', '7:15 /mi'",
}


def with_accepted_forms(problem: Problem) -> Problem:
    """A problem with a measure, with the forms in which it can be written."""
    form = _FORMS.get(problem.field.rpartition(" ")[2])
    return problem if form is None else evolve(problem, message=f"{problem.message}. Accepted: {form}")


_LENGTHS: Final = {
    **dict.fromkeys(("", "m", "meter", "meters", "meter", "meters"), Decimal(1)),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimeter", "centimeters"), Decimal("0.01")),
    "mm": Decimal("0.001"),
    **dict.fromkeys(("ft", "foot", "feet", "'", "’", "′"), Decimal("0.3048")),
    **dict.fromkeys(("in", "inch", "inches", '"', "”", "″"), Decimal("0.0254")),
}
_MASSES: Final = {
    **dict.fromkeys(("", "kg", "kgs", "kilogram", "kilograms"), Decimal(1)),
    **dict.fromkeys(("g", "gram", "grams"), Decimal("0.001")),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), Decimal("0.45359237")),
    **dict.fromkeys(("st", "stone"), Decimal("6.35029318")),
}
KM_PER_MILE: Final = 1.609344
LONGEST: Final = 60
_PART: Final = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?)\s*([^\s0-9.,]*)\.?\s*", re.ASCII)
_PACE: Final = re.compile(r"(?:00?:)?([0-9]{1,2}):([0-5][0-9])\s*(?:(?:min)?\s?/\s?(?:km|(mi|mile)))?", re.ASCII)
"""Spreadsheets write `0:04:30` for a time of some minutes."""


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _measured(text: str, units: Mapping[str, Decimal]) -> float:
    """The sum of its parts, each of a smaller unit than the one before."""
    total, last, rest = Decimal(0), Decimal("Infinity"), _plain(text)
    if not 0 < len(rest) <= LONGEST:
        raise ValueError("no measure")
    while rest:
        part = _PART.match(rest)
        unit = units.get(part[2]) if part is not None else None
        if part is None or unit is None or unit >= last or (not part[2] and part.end() < len(rest)):
            raise ValueError("no measure")
        total += Decimal(part[1].replace(",", ".")) * unit
        last, rest = unit, rest[part.end() :]
    return float(total)
