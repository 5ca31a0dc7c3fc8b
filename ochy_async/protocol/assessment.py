"""The parts that all views share: scores, ranges, texts, running styles.

Invariant: the vendor's ranges and scores are passed on and never reinterpreted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from attrs import field, frozen

from ..field_docs import documented
from .answer import ID_KEYS, Answer, SignedUrl, answer_class, json_keys
from .converter import converter
from .drift import mismatch
from .json_table import json_columns
from .table_columns import Column
from .tabular import Tabular
from .text_summary import display_text, format_number, format_score

__all__ = ["AnalysisResults", "Assessment", "CalculatedData", "Ranges", "RunningStyle", "Texts"]

MOST_INTERVALS: Final = 4
"""How many intervals of a range are shown."""


@documented
@frozen(repr=False)
class Ranges:
    """One or several closed intervals, in the unit of the assessed quantity (degrees: inferred).

    Source: a pair is documented; a list of pairs is read too, because the shape is not documented for the back view.
    """

    intervals: tuple[tuple[float, float], ...]
    """The intervals in the order they came, each with its lower bound first."""

    @property
    def low(self) -> float:
        """The lowest bound of all intervals."""
        return min(low for low, _ in self.intervals)

    @property
    def high(self) -> float:
        """The highest bound of all intervals."""
        return max(high for _, high in self.intervals)

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    def __str__(self) -> str:
        shown = [f"{low:g} to {high:g}" for low, high in self.intervals[:MOST_INTERVALS]]
        return " or ".join(shown + ["…"] * (len(self.intervals) > MOST_INTERVALS))

    def __repr__(self) -> str:
        return f"Ranges({self})"  # reference values of the vendor, the same for all runners: no health data

    def __rich_repr__(self) -> Iterator[str]:
        yield str(self)


@lru_cache(256)
def _range(one: float, other: float) -> Ranges:
    """The range between two bounds in any order, made once: results of many runners have the same dozen (inferred)."""
    low, high = (one, other) if one <= other else (other, one)
    return Ranges(((low + 0.0, high + 0.0),))  # floats, and no negative zero


def _are_bounds(value: Any) -> bool:
    # Written out, because every range of a result is checked: `all` takes four times as long.
    return type(value) is list and len(value) == 2 and type(value[0]) in _NUMBERS and type(value[1]) in _NUMBERS


def _ranges(value: Any, _: Any) -> Ranges:
    if _are_bounds(value):
        return _range(*value)
    if isinstance(value, list) and value and all(map(_are_bounds, value)):
        return Ranges(tuple(_range(*each).intervals[0] for each in value))
    raise mismatch("a pair of numbers or a list of pairs", value)


_NUMBERS: Final = frozenset({int, float})

converter.register_structure_hook(Ranges, _ranges)


@answer_class
class AnalysisResults(Answer):
    """The results of an analysis, as far as all views share them. Source: documented."""

    view: ClassVar[str]
    """The vendor's `analysis_type`."""

    analysis_id: str = field(metadata=json_keys(*ID_KEYS))
    thumbnail: SignedUrl | None = None
    """A JPEG. The link expires after 1 hour; requesting the results again renews it (inferred)."""
    output_video: SignedUrl | None = None
    """The annotated MP4. The link expires after 1 hour; requesting the results again renews it (inferred)."""

    known_keys: ClassVar[frozenset[str]] = frozenset({"status", "percentage"})

    def highlights(self) -> Iterator[str]:
        """Findings beside the scores, as lines of text."""
        yield from ()


@answer_class
class CalculatedData(Tabular, Answer):
    """The calculated data of an analysis, as far as all views share them.

    As a table they have one row for each number and text, wherever it stands: `name`, its path of keys such as
    `metrics.step_length_meter`; `index`, its position in the innermost list; `value` or `text`; and `unit` where it is
    known. What is missing is null.
    """

    view: ClassVar[str]
    """The vendor's `analysis_type`."""
    units: ClassVar[Mapping[str, str]] = {}
    """The units of numbers, by their names in the table."""
    angles: ClassVar[re.Pattern[str]]
    """Matches the names, with `_` between keys, of numbers that are degrees unless the name ends with another unit."""

    known_keys: ClassVar[frozenset[str]] = frozenset({*ID_KEYS, "status", "percentage"})

    @classmethod
    def is_angle(cls, name: str) -> bool:
        """Whether a number is in degrees (inferred), by its name with `_` between keys."""
        return cls.angles.match(name) is not None and not _OTHER_UNIT.search(name)

    def table_columns(self) -> Iterator[Column]:
        return json_columns({key: self.raw[key] for key in self.raw if key not in self.known_keys}, self._unit)

    def _unit(self, name: str) -> str | None:
        return self.units.get(name) or ("deg" if self.is_angle(name.replace(".", "_")) else None)


_OTHER_UNIT: Final = re.compile(r"(^|_)(ms|s|sec|seconds?|time|percent(age)?|score|frames?|counts?|steps?|ratio)$")
"""Endings of numbers among angles that have another unit."""


@answer_class
class Texts(Answer):
    """The vendor's texts for the runner, in the language of the request. Never match on these texts.

    Source: the keys are documented; which of them are present varies.
    """

    title: str | None = None
    position: str | None = None
    recap: tuple[str, ...] | None = None
    explanation: str | None = None
    """Back view only."""
    side: str | None = None
    """Back view only: which leg."""
    overstride_title: str | None = None
    """Side view, foot only."""
    exercice: tuple[str, ...] | None = None
    """Ids of exercises; the spelling is the vendor's."""
    search_key: tuple[str, ...] | None = None
    """Stable ids such as `HeadG` for `OchySession.exercises`; in newer answers only."""


@answer_class
class Assessment(Answer):
    """One assessed part of the body. Source: documented; each key may be missing."""

    score_number: float | None = None
    """0 to 1, higher is better."""
    range_good: Ranges | None = None
    range_okay: Ranges | None = None
    """Encloses `range_good` in some answers and only adjoins it in others."""
    texts: Texts | None = None

    @property
    def position(self) -> str | None:
        """How the runner does, in the vendor's words and the language of the request."""
        return None if self.texts is None else self.texts.position

    def described(self) -> tuple[str, str]:
        """Score and position as text; a dash for a missing value."""
        return format_score(self.score_number), display_text(self.position)

    def _summary(self) -> Iterator[str]:
        title = None if self.texts is None else self.texts.title
        yield f"{'assessment' if title is None else display_text(title)}: score {format_score(self.score_number)}"
        yield f"  good: {display_text(self.range_good)}; okay: {display_text(self.range_okay)}"
        yield f"  position: {display_text(self.position, 64)}"


@answer_class
class RunningStyle(Answer):
    """One running style. Source: the keys are documented, the scale of `percentage` is not."""

    title: str | None = None
    animal: str | None = None
    percentage: float | None = None
    """As sent: 0 to 1 or 0 to 100, the vendor does not say."""
    summary: str | None = None

    @property
    def share(self) -> float | None:
        """0 to 1: `percentage` as a fraction; a value above 1 is read as per cent (inferred)."""
        if self.percentage is None or self.percentage <= 1:
            return self.percentage
        return self.percentage / 100

    def _summary(self) -> Iterator[str]:
        share = "" if self.share is None else f", {format_number(self.share * 100)} %"
        yield f"running style: {display_text(self.title or self.animal)}{share}"
