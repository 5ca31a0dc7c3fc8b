"""What both views are made of: scores, ranges, words, running styles.

Invariant: the vendor's ranges and scores are passed on, never reinterpreted.
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
"""Of a range that are shown."""


@documented
@frozen(repr=False)
class Ranges:
    """One or several closed intervals, in the unit of the thing assessed (degrees: inferred).

    Source: a pair is documented; a list of pairs is read too, since the back view's shape is open.
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
        told = [f"{low:g} to {high:g}" for low, high in self.intervals[:MOST_INTERVALS]]
        return " or ".join(told + ["…"] * (len(self.intervals) > MOST_INTERVALS))

    def __repr__(self) -> str:
        return f"Ranges({self})"  # the vendor's reference, the same for everybody: no health data

    def __rich_repr__(self) -> Iterator[str]:
        yield str(self)


def _pair(value: Any) -> tuple[float, float] | None:
    # Spelt out, for a result has a dozen: `min`, `max` and `all` would take a third of the whole reading.
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
    """What the results of both views have. Source: documented."""

    view: ClassVar[str]
    """The vendor's `analysis_type`."""

    analysis_id: str = field(metadata=json_keys(*ID_KEYS))
    thumbnail: SignedUrl | None = None
    """A JPEG; dead after 1 hour, ask for the results again to renew it (inferred)."""
    output_video: SignedUrl | None = None
    """The annotated MP4; dead after 1 hour, ask for the results again to renew it (inferred)."""

    known_keys = frozenset({"status", "percentage"})


@answer_class
class CalculatedData(Answer):
    """What the calculated data of both views have: keys that the vendor's other answers have too."""

    view: ClassVar[str]
    """The vendor's `analysis_type`."""

    known_keys = frozenset({*ID_KEYS, "status", "percentage"})


@answer_class
class Texts(Answer):
    """What the vendor says to the runner, in the language asked for. Never match on these words.

    Source: documented keys; which of them are present varies.
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
    """Ids of exercises, spelt as the vendor spells it."""
    search_key: tuple[str, ...] | None = None
    """Stable ids such as `HeadG` for `OchySession.exercises`; newer answers only."""


@answer_class
class Assessment(Answer):
    """One assessed part of the body. Source: documented; each key may be missing."""

    score_number: float | None = None
    """0 to 1, higher is better."""
    range_good: Ranges | None = None
    range_okay: Ranges | None = None
    """Sometimes encloses `range_good`, sometimes only adjoins it."""
    texts: Texts | None = None

    @property
    def position(self) -> str | None:
        """Where the runner stands, in the vendor's words and the language asked for."""
        return None if self.texts is None else self.texts.position

    def described(self) -> tuple[str, str]:
        """Score and position, in words; a dash for what was not sent."""
        return format_score(self.score_number), display_text(self.position)

    def _summary(self) -> Iterator[str]:
        title = None if self.texts is None else self.texts.title
        yield f"{'assessment' if title is None else display_text(title)}: score {format_score(self.score_number)}"
        yield f"  good: {display_text(self.range_good)}; okay: {display_text(self.range_okay)}"
        yield f"  position: {display_text(self.position, 64)}"


@answer_class
class RunningStyle(Answer):
    """One running style. Source: documented keys; the scale of `percentage` is not."""

    title: str | None = None
    animal: str | None = None
    percentage: float | None = None
    """As it came: 0 to 1 or 0 to 100, the vendor does not say."""
    summary: str | None = None

    @property
    def share(self) -> float | None:
        """0 to 1: `percentage` as a fraction, anything above 1 read as per cent (inferred)."""
        if self.percentage is None or self.percentage <= 1:
            return self.percentage
        return self.percentage / 100

    def _summary(self) -> Iterator[str]:
        share = "" if self.share is None else f", {format_number(self.share * 100)} %"
        yield f"running style: {display_text(self.title or self.animal)}{share}"
