"""The request of an analysis, as far as all views share it.

Invariant: a request that exists can be sent. Every value that the vendor would refuse, or accept and misread (such as
a height in centimeters), is refused when the request is created, where it costs nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar, Final, Generic, TypeVar

from attrs import field, frozen

from ..errors import InvalidRequest, Problem
from ..field_docs import documented
from .answer import Answer
from .assessment import CalculatedData
from .text_summary import minutes_seconds

__all__ = ["LANGUAGES", "AnalysisRequest"]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)

LANGUAGES: Final = ("en", "fr", "de", "zh", "ko", "pt", "es", "it", "ja")
"""The languages of the result texts (documented)."""

HEIGHT_METERS: Final = (0.5, 2.8)
"""The vendor states no bounds; these only catch other units."""
WEIGHT_KG: Final = (10.0, 400.0)
"""The vendor states no bounds; these only catch other units."""

_PACE: Final = re.compile(r"(\d{2}):([0-5]\d)", re.ASCII)
_SHORT_PACE: Final = re.compile(r"\d:[0-5]\d", re.ASCII)


def _pace(value: str | timedelta | None) -> str | None:
    """`M:SS` or a `timedelta` per kilometer as the vendor's `MM:SS`. Any other value is left for the validation."""
    if isinstance(value, str) and _SHORT_PACE.fullmatch(value):
        return f"0{value}"
    return minutes_seconds(value) if isinstance(value, timedelta) else value


@documented
@frozen(kw_only=True)
class AnalysisRequest(Generic[R, C]):
    """The fields that all views share. Create the request of a view, such as `SideView` or `BackView`, instead.

    `R` is the class of the results that the request leads to, `C` the class of the calculated data. Raises
    `InvalidRequest` with all problems at once. Source: documented, unless a field says otherwise.
    """

    view: ClassVar[str]
    """The vendor's `analysis_type`."""
    results_type: ClassVar[type[Answer]]
    calculated_type: ClassVar[type[CalculatedData]]

    height: float = field(default=1.7, repr=False)
    """The runner's height in meters."""
    weight: float = field(default=70.0, repr=False)
    """The runner's weight in kilograms."""
    pace: str | None = field(default=None, converter=_pace, repr=False)
    """Minutes and seconds per kilometer as `MM:SS` or `M:SS`, or a `timedelta`. Required on a treadmill."""
    treadmill: bool = False
    """Whether the runner is on a treadmill. It decides the orientation of the clip."""
    language: str = "en"
    """The language of the result texts, one of `LANGUAGES`."""
    subject_id: str | None = None
    """Links the analysis to a subject."""
    notify_via_webhook: bool = False
    """Requires an enabled webhook. It cannot be changed after the start."""

    def __attrs_post_init__(self) -> None:
        if type(self) is AnalysisRequest:
            problem = Problem("view", "is missing; create the request of a view, such as SideView(...)")
            raise InvalidRequest.of("AnalysisRequest", (problem,))
        problems = tuple(self._problems())
        if problems:
            raise InvalidRequest.of(type(self).__name__, problems)

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The form fields of the start, in the vendor's spelling. Defaults are sent too."""
        optional = (("pace", self.pace), ("subject_id", self.subject_id))
        return (
            ("analysis_type", self.view),
            ("height", repr(float(self.height))),
            ("weight", repr(float(self.weight))),
            ("language", self.language),
            ("treadmill", form_flag(self.treadmill)),
            ("notify_via_webhook", form_flag(self.notify_via_webhook)),
            *((name, value) for name, value in optional if value is not None),
        )

    def _problems(self) -> Iterator[Problem]:
        yield from quantity_problems("height", self.height, HEIGHT_METERS, "meters", 100, "centimeters")
        yield from quantity_problems("weight", self.weight, WEIGHT_KG, "kilograms", 1000, "grams")
        yield from self._pace_problems()
        if self.language not in LANGUAGES:
            yield Problem("language", f"must be one of {', '.join(LANGUAGES)}")
        if self.subject_id is not None and not is_text(self.subject_id):
            yield Problem("subject_id", "must be a non-empty text or left out")
        for name in ("treadmill", "notify_via_webhook"):
            if not isinstance(getattr(self, name), bool):
                yield Problem(name, "must be True or False")

    def _pace_problems(self) -> Iterator[Problem]:
        if self.pace is None:
            if self.treadmill is True:
                yield Problem("pace", "is required on a treadmill: the server cannot see the speed of the belt")
        elif not (isinstance(self.pace, str) and _PACE.fullmatch(self.pace)) or self.pace == "00:00":
            yield Problem("pace", "must be minutes and seconds per km as 'MM:SS', seconds below 60, such as '05:30'")


def is_text(value: object) -> bool:
    """Whether `value` is a text that is not blank and can be encoded as UTF-8."""
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= each <= "\udfff" for each in value)


def form_flag(value: bool) -> str:
    """A boolean in the spelling of the vendor's forms."""
    return "true" if value else "false"


def quantity_problems(
    name: str, value: object, bounds: tuple[float, float], unit: str, factor: int, other_unit: str
) -> Iterator[Problem]:
    """The problem with a quantity, if it is no number, out of bounds, or `factor` times too large for its unit."""
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == math.inf:
        yield Problem(name, f"must be a number of {unit}")
    elif low * factor <= value <= high * factor:
        yield Problem(name, f"looks like {other_unit}; the vendor expects {unit}, so divide it by {factor}")
    elif not low <= value <= high:
        yield Problem(name, f"must be between {low} and {high} {unit}")
