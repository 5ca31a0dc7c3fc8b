"""What is asked of an analysis, whichever the view: validated when made, all problems told at once.

Invariant: a request that exists can be sent. Every value that the vendor would refuse, or
take and misread (a height in centimeters), is refused here, where it costs nothing.
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
    """A `timedelta` per kilometer, or `M:SS`, as the vendor's `MM:SS`; anything else as it is, for the check."""
    if isinstance(value, str) and _SHORT_PACE.fullmatch(value):
        return f"0{value}"
    if not isinstance(value, timedelta):
        return value
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes:02d}:{seconds:02d}"


@documented
@frozen(kw_only=True)
class AnalysisRequest(Generic[R, C]):
    """What both views take. Make a `SideView` or a `BackView`, not this.

    `R` is the class of the results that the request leads to, `C` that of the calculated data.
    Raises `InvalidRequest` with every problem at once. Source: documented but where marked.
    """

    view: ClassVar[str]
    """The vendor's `analysis_type`."""
    results_type: ClassVar[type[Answer]]
    calculated_type: ClassVar[type[Answer]]

    height: float = field(default=1.7, repr=False)
    """The runner's height in meters."""
    weight: float = field(default=70.0, repr=False)
    """The runner's weight in kilograms."""
    pace: str | None = field(default=None, converter=_pace, repr=False)
    """Minutes and seconds per kilometer as `MM:SS` or `M:SS`, or a `timedelta`. Required on a treadmill."""
    treadmill: bool = False
    """Whether the runner is on a treadmill; it decides the orientation of the clip."""
    language: str = "en"
    """The language of the result texts, one of `LANGUAGES`."""
    subject_id: str | None = None
    """Links the analysis to a subject."""
    notify_via_webhook: bool = False
    """Needs an enabled webhook; fixed at the start."""

    def __attrs_post_init__(self) -> None:
        if type(self) is AnalysisRequest:
            raise InvalidRequest.of("AnalysisRequest", (Problem("view", "make a SideView or a BackView"),))
        problems = tuple(self._problems())
        if problems:
            raise InvalidRequest.of(type(self).__name__, problems)

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The form fields of the start, as the vendor spells them; defaults are sent in full."""
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
    """Whether `value` is a text that says something and can be sent."""
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= each <= "\udfff" for each in value)


def form_flag(value: bool) -> str:
    """A boolean as the vendor's forms spell it."""
    return "true" if value else "false"


def quantity_problems(
    name: str, value: object, bounds: tuple[float, float], unit: str, factor: int, other: str
) -> Iterator[Problem]:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == math.inf:
        yield Problem(name, f"must be a number of {unit}")
    elif low * factor <= value <= high * factor:
        yield Problem(name, f"looks like {other}; the vendor takes {unit}, so divide it by {factor}")
    elif not low <= value <= high:
        yield Problem(name, f"must be between {low} and {high} {unit}")
