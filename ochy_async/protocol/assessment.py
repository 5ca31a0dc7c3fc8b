"""The parts that all views share: scores, ranges, texts, running styles.

Invariant: the vendor's ranges and scores are passed on and never reinterpreted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from attrs import field, frozen

from ..field_docs import documented
from .answer import ID_KEYS, Answer, SignedUrl, answer_class, json_keys
from .converter import converter
from .drift import mismatch
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


def _pair(value: Any) -> tuple[float, float] | None:
    # Written out because results have a dozen pairs: `min`, `max` and `all` would take a third of the reading time.
    if type(value) is list and len(value) == 2:
        one, other = value
        if (type(one) is int or type(one) is float) and (type(other) is int or type(other) is float):
            return float(other if other < one else one), float(other if other > one else one)  # noqa: FURB136
    return None


def _ranges(value: Any, _: Any) -> Ranges:
    pair = _pair(value)
    if pair:
        return Ranges((pair,))
    pairs = [_pair(each) for each in value] if isinstance(value, list) else []
    intervals = tuple(pair for pair in pairs if pair)
    if not pairs or len(intervals) < len(pairs):
        raise mismatch("a pair of numbers or a list of pairs", value)
    return Ranges(intervals)


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

    known_keys = frozenset({"status", "percentage"})

    def highlights(self) -> Iterator[str]:
        """Findings beside the scores, as lines of text."""
        yield from ()


@answer_class
class CalculatedData(Answer):
    """The calculated data of an analysis, as far as all views share them."""

    view: ClassVar[str]
    """The vendor's `analysis_type`."""

    known_keys = frozenset({*ID_KEYS, "status", "percentage"})


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
