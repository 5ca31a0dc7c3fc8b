"""Heights, weights and paces as people write them, for manifests and the command line.

Invariant: pure. A number without a unit is in the vendor's unit; any other unit must be written. Two spellings of one
quantity give exactly the same number, because the number is part of the identity of a clip.
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
    """Meters: `1.75`, `1,75`, `175 cm`, `5 ft 9 in`. Raises `ValueError` for any other text."""
    return _parsed_sum(text, _LENGTHS)


def weight(text: str) -> float:
    """Kilograms: `68.5`, `68,5`, `68 kg`, `150 lb`. Raises `ValueError` for any other text."""
    return _parsed_sum(text, _MASSES)


def pace(text: str) -> str:
    """The vendor's `MM:SS` per km: `4:30`, `04:30`, `4:30 /km`, `7:15 /mi`. Raises `ValueError` for any other text."""
    found = _PACE.fullmatch(_normalized(text))
    if found is None:
        raise ValueError("not a pace")
    minutes, seconds, mile = int(found[1]), int(found[2]), found[3]
    if mile:
        minutes, seconds = divmod(round((60 * minutes + seconds) / KM_PER_MILE), 60)
    return f"{minutes:02}:{seconds:02}"


READERS: Final[Mapping[str, Callable[[str], Any]]] = {"height": height, "weight": weight, "pace": pace}
"""The fields of a request that are quantities, and how their texts are read."""

_FORMS: Final = {
    "height": "1.75, 1,75, '175 cm', '5 ft 9 in'",
    "weight": "68.5, 68,5, '68 kg', '150 lb'",
    "pace": "04:30, 4:30, '4:30 /km', '7:15 /mi'",
}


def with_accepted_forms(problem: Problem) -> Problem:
    """Adds the accepted forms to a problem with a quantity; returns any other problem unchanged."""
    form = _FORMS.get(problem.field.rpartition(" ")[2])
    return problem if form is None else evolve(problem, message=f"{problem.message}. Accepted: {form}")


_LENGTHS: Final = {
    **dict.fromkeys(("", "m", "meter", "meters", "metre", "metres"), Decimal(1)),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), Decimal("0.01")),
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
MAX_LENGTH: Final = 60
_PART: Final = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?)\s*([^\s0-9.,]*)\.?\s*", re.ASCII)
_PACE: Final = re.compile(r"(?:00?:)?([0-9]{1,2}):([0-5][0-9])\s*(?:(?:min)?\s?/\s?(?:km|(mi|mile)))?", re.ASCII)
"""Spreadsheets write `0:04:30` for a duration of minutes."""


def _normalized(text: str) -> str:
    return " ".join(text.split()).casefold()


def _parsed_sum(text: str, units: Mapping[str, Decimal]) -> float:
    """Returns the sum of the parts, each of which has a smaller unit than the part before."""
    total, last, rest = Decimal(0), Decimal("Infinity"), _normalized(text)
    if not 0 < len(rest) <= MAX_LENGTH:
        raise ValueError("not a quantity")
    while rest:
        part = _PART.match(rest)
        unit = units.get(part[2]) if part is not None else None
        if part is None or unit is None or unit >= last or (not part[2] and part.end() < len(rest)):
            raise ValueError("not a quantity")
        total += Decimal(part[1].replace(",", ".")) * unit
        last, rest = unit, rest[part.end() :]
    return float(total)
