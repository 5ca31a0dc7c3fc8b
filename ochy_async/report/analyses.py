"""One analysis as a report needs it, read from an outcome of a batch, from results, or from a line of `results.jsonl`.

Invariant: a value that is missing or odd is None or empty; nothing here raises on one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, Final

from attrs import field, frozen

from ..batch.outcomes import Analyzed, ClipReference, Outcome
from ..batch.output.folder import ARTIFACT_FILES, file_stem, safe_id
from ..batch.output.measures import measures_of
from ..errors import InvalidSettings
from ..protocol.assessment import AnalysisResults, Assessment, Texts
from ..protocol.redaction import redact_links
from ..protocol.text_summary import NOTHING
from ..protocol.views import Calculated, Results, view_title
from ..result_loaders import SavedRecord

__all__ = [
    "METRICS",
    "Metric",
    "Part",
    "ReportedAnalysis",
    "hundred",
    "hundred_text",
    "of_record",
    "of_results",
    "of_source",
    "plain",
    "rounded",
]

LONGEST_TEXT: Final = 600
"""Characters of a text that are shown."""
_LEFT_OUT: Final = "\N{SOFT HYPHEN}\N{ZERO WIDTH SPACE}"
_BIDI_CONTROLS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""They change the direction of what follows, beyond their own text."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


@frozen
class Metric:
    """A measure that pages show as a number."""

    name: str
    """Its name in the table of results."""
    title: str
    unit: str
    digits: int


METRICS: Final = (
    Metric("cadence_steps_per_min", "Cadence", "steps/min", 0),
    Metric("ground_contact_time_ms", "Ground contact", "ms", 0),
    Metric("flight_time_ms", "Flight", "ms", 0),
    Metric("step_length_m", "Step length", "m", 2),
    Metric("speed_m_per_s", "Speed", "m/s", 2),
    Metric("duty_factor", "Duty factor", "of the stride", 3),
    Metric("overstride_angle_deg", "Overstride", "degrees", 1),
)


@frozen(kw_only=True)
class Part:
    """One assessed part of the body, or one leg of it."""

    name: str
    """In English words, such as `foot` or `pronation, left`."""
    assessment: Assessment

    @property
    def title(self) -> str:
        """The vendor's title in the language of the request, else the name; without the side."""
        return plain(self.texts.title) if self.texts.title else self.name.partition(", ")[0].capitalize()

    @property
    def side(self) -> str:
        """`left` or `right` for a leg, else empty."""
        return self.name.partition(", ")[2]

    @property
    def texts(self) -> Texts:
        """The vendor's texts; empty if there are none."""
        return self.assessment.texts or Texts()

    @property
    def score(self) -> float | None:
        """0 to 1; None for anything else."""
        return _possible_score(self.assessment.score_number)


@frozen(kw_only=True)
class ReportedAnalysis:
    """One analysis, or one clip that has none."""

    clip: str | None
    view: str | None
    outcome: str
    analysis_id: str | None
    subject: str | None = field(default=None, repr=False)
    subject_id: str | None = field(default=None, repr=False)
    simulated: bool = False
    """Whether the emulator answered."""
    language: str = "en"
    """The language of the vendor's texts."""
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    date: datetime | None = field(default=None, repr=False)
    """When it was filmed, as the input's column `date` says it; UTC."""
    files: tuple[str, ...] = ()
    """The files that were written for it."""
    reason: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The runner's name if it is known, else the clip's name or the id."""
        return plain(self.subject or self.clip_name or self.analysis_id or "clip")

    @property
    def clip_name(self) -> str:
        """The clip's name without its folder; empty if there is none."""
        return "" if self.clip is None else PurePath(self.clip.replace("\\", "/")).name

    @property
    def in_english(self) -> bool:
        """Whether the vendor's texts are English, as this program's own are."""
        return self.language.partition("-")[0] == "en"

    @property
    def has_page(self) -> bool:
        """Whether there is anything to show on a page of its own."""
        return self.results is not None or self.calculated is not None

    @property
    def page_name(self) -> str:
        """The name of its page: safe on every system, and another one for each analysis."""
        return f"{file_stem(self.clip or 'analysis')}.{safe_id(self.analysis_id or 'unknown')}.html"

    @property
    def view_title(self) -> str:
        """The view in words."""
        return plain(view_title(self.view)).capitalize()

    @property
    def score(self) -> float | None:
        """The total score, 0 to 1; None for anything else."""
        return _possible_score(getattr(self.results or self.calculated, "total_score", None))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The assessed parts, in the order of the view."""
        found: Any = () if self.results is None else self.results.assessments()
        return tuple(Part(name=name, assessment=assessment) for name, assessment in found)

    @property
    def lowest_parts(self) -> list[Part]:
        """The parts that have a score, the lowest first."""
        return sorted((part for part in self.parts if part.score is not None), key=lambda part: part.score or 0.0)

    @property
    def measures(self) -> Mapping[str, Any]:
        """All numbers by the names that the table of results uses."""
        return measures_of(self.results, self.calculated)

    @property
    def metrics(self) -> dict[str, float]:
        """The known numbers of `METRICS`, by their names in the table of results."""
        numbers = {metric.name: finite(self.measures.get(metric.name)) for metric in METRICS}
        numbers["duty_factor"] = self.duty_factor
        return {name: value for name, value in numbers.items() if value is not None}

    @property
    def pace(self) -> timedelta | None:
        """Time per kilometer, from the speed."""
        return getattr(getattr(self.calculated, "metrics", None), "pace", None)

    @property
    def duty_factor(self) -> float | None:
        """The length of a stance as a share of a stride; None if the vendor's number is none."""
        share = finite(self.measures.get("duty_factor"))
        return share if share is not None and 0 < share < 1 else None

    def file(self, artifact: str) -> str | None:
        """The name of a file that was written for it, such as its `raw_data`, without its folder."""
        names = (PurePath(path.replace("\\", "/")).name for path in self.files)
        return next((name for name in names if name.endswith(f".{ARTIFACT_FILES[artifact]}")), None)


def of_source(source: Outcome[Any, Any] | Results) -> ReportedAnalysis:
    """What a report shows of an outcome of a batch, or of results. Raises `InvalidSettings` for anything else."""
    if isinstance(source, ClipReference):
        return _of_outcome(source)
    return of_results(source)


def of_results(
    results: Results, *, calculated: Calculated | None = None, subject: str | None = None, language: str = "en"
) -> ReportedAnalysis:
    """What a report shows of results that were awaited. Raises `InvalidSettings` for anything else, and for calculated
    data of another view."""
    if isinstance(results, AnalysisResults):
        if calculated is not None and calculated.view != results.view:
            raise InvalidSettings(
                f"The results are of a {view_title(results.view)}, the calculated data of a "
                f"{view_title(calculated.view)}. Give both of the same analysis."
            )
        return ReportedAnalysis(
            clip=None,
            view=results.view,
            outcome=Analyzed.word,
            analysis_id=results.analysis_id,
            subject=subject,
            language=_language(language),
            results=results,
            calculated=calculated,
        )
    raise InvalidSettings(
        f"A report is made of outcomes of a batch or of results, not of {type(results).__name__}. Nothing was written."
    )


def _of_outcome(outcome: Outcome[Any, Any]) -> ReportedAnalysis:
    return ReportedAnalysis(
        clip=outcome.label,
        view=outcome.request.view,
        outcome=outcome.word,
        analysis_id=outcome.analysis_id,
        subject=outcome.subject or outcome.request.subject_id,
        subject_id=outcome.request.subject_id,
        simulated=outcome.simulated,
        language=_language(outcome.request.language),
        date=_date(outcome.extra),
        results=getattr(outcome, "results", None),
        calculated=getattr(outcome, "calculated", None),
        files=tuple(map(str, getattr(outcome, "files", ()))),
        reason=outcome.reason,
    )


def of_record(record: SavedRecord) -> ReportedAnalysis:
    """What a report shows of a line of `results.jsonl`."""
    raw = record.raw
    return ReportedAnalysis(
        clip=_text(record.clip),
        view=_text(record.view) or getattr(record.results or record.calculated, "view", None),
        outcome=record.outcome,
        analysis_id=_text(record.analysis_id),
        subject=_text(raw.get("subject")),
        subject_id=_text(raw.get("subject_id")),
        simulated=raw.get("simulated") is True,
        language=_language(raw.get("language")),
        date=_date(raw.get("extra")),
        results=record.results,
        calculated=record.calculated,
        files=tuple(_texts(raw.get("files"))),
        reason=_text(raw.get("reason")) or "",
    )


def plain(text: object) -> str:
    """A text of anyone's as one line without links and control characters; a dash for nothing.

    All spaces and line ends become plain spaces. What joins or parts letters stays, and hyphens that show only at the
    end of a line are left out, because a terminal's rules, by which `display_text` replaces them all, are not a page's.
    """
    if text is None or text == "":
        return NOTHING
    known = str(text)
    redacted: str = redact_links(known if known.isprintable() else "".join(map(_shown_letter, known)))
    return redacted if len(redacted) <= LONGEST_TEXT else f"{redacted[: LONGEST_TEXT - 1]}…"


def _shown_letter(letter: str) -> str:
    """A letter as pages show it: empty, a space, itself, or a mark in place of what a page would obey."""
    if letter in _LEFT_OUT:
        return ""
    category = unicodedata.category(letter)
    if category.startswith("Z") or letter in "\t\r\n":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category in ("Cc", "Cs", "Co") or letter in _BIDI_CONTROLS else letter


def finite(value: object) -> float | None:
    """The number, or None for anything that is no finite number."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and isinstance(value, int | float) else None


def _possible_score(value: object) -> float | None:
    """A score, which is from 0 to 1; None for any other number, whose scale nobody knows."""
    score = finite(value)
    return score if score is not None and 0 <= score <= 1 else None


def hundred(score: float) -> int:
    """A score from 0 to 1 as a whole number of 100, rounded as the command line rounds it to two digits."""
    return round(100 * round(score, 2))


def hundred_text(score: float | None) -> str:
    """A score from 0 to 1 as text of 100; a dash for none."""
    return NOTHING if score is None else f"{hundred(score)}"


def rounded(value: object, digits: int = 0) -> str:
    """A number as text, with as many digits after the point; a dash for anything else."""
    number = finite(value)
    if number is None:
        return NOTHING
    return f"{number:.{digits}f}" if abs(number) < 1e6 else f"{number:.3g}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> Iterator[str]:
    yield from (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _date(extra: object) -> datetime | None:
    """The date in the input's own columns, if it is written as ISO 8601 says. Without a zone it counts as UTC."""
    cells = extra.items() if isinstance(extra, Mapping) else ()
    texts = [value for name, value in cells if isinstance(value, str) and str(name).strip().casefold() == "date"]
    try:
        date = datetime.fromisoformat(texts[0].strip()) if texts else None
        return date and (date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _language(value: object) -> str:
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else "en"
