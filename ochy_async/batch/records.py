"""The record of an outcome: the JSON of `ochy --json` and of `results.jsonl`, from which `results.csv` is made.

Invariant: pure. A record of paid results holds the analysis id, and no record holds a link or an API key.
docs/reference/results-schema.md describes the format; results.schema.json, beside this module, is the same as a JSON
Schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from attrs import evolve, field, frozen

from ..errors import OchyError
from ..protocol.redaction import redact_links
from ..protocol.request import AnalysisRequest
from ..protocol.views import Calculated, Results
from .outcomes import Analyzed, Outcome, Uncertain
from .output.columns import REQUEST_COLUMNS
from .output.measures import measures_of
from .output.tables import SCHEMA

__all__ = ["OutcomeRecord"]


@frozen(kw_only=True)
class OutcomeRecord:
    """What is reported about a clip of a batch, or about an analysis that is known by its id."""

    word: str
    """The outcome in one word: the `word` of its class in `batch.outcomes`."""
    index: int | None = None
    """Position in the input, from 0."""
    clip: str | None = None
    """The clip as the input names it; None if only the analysis id was given."""
    view: str | None = None
    """`side_view` or `back_view`; None if it is not known."""
    analysis_id: str | None = None
    key: str | None = None
    """The clip's key in the journal."""
    bought: bool = False
    """Whether this run spent a credit on it."""
    simulated: bool = False
    """Whether the emulator answered."""
    request: AnalysisRequest[Any, Any] | None = field(default=None, repr=False)
    """None if only the analysis id was given."""
    subject: str | None = field(default=None, repr=False)
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    uncertain: Uncertain | None = None
    """The uncertain start."""
    commands: tuple[str, ...] = ()
    """Shell commands that resolve the uncertain start."""
    error: OchyError | None = None

    @classmethod
    def of(cls, outcome: Outcome[Any, Any]) -> Self:
        """The record of an outcome of a batch."""
        analyzed = outcome if isinstance(outcome, Analyzed) else None
        return cls(
            word=outcome.word,
            index=outcome.index,
            clip=outcome.label,
            view=outcome.request.view,
            analysis_id=outcome.analysis_id,
            key=outcome.key,
            bought=outcome.bought,
            simulated=outcome.simulated,
            request=outcome.request,
            subject=outcome.subject,
            extra=outcome.extra,
            results=None if analyzed is None else analyzed.results,
            calculated=None if analyzed is None else analyzed.calculated,
            files=() if analyzed is None else tuple(map(str, analyzed.files)),
            missing=() if analyzed is None else analyzed.missing,
            reason=outcome.reason,
            uncertain=outcome if isinstance(outcome, Uncertain) else None,
            error=None if isinstance(outcome, Analyzed) else outcome.error,
        )

    @classmethod
    def of_entry(cls, outcome: Outcome[Any, Any]) -> Self:
        """The record of an outcome of `Batch.tend`: the journal knows neither the request nor the input."""
        return evolve(cls.of(outcome), request=None, index=None)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values. Every field is present: null or empty if nothing is known."""
        return {
            "schema": SCHEMA,
            "index": self.index,
            "clip": self.clip,
            "view": self.view,
            "outcome": self.word,
            "analysis_id": self.analysis_id,
            "key": self.key,
            "bought": self.bought,
            "simulated": self.simulated,
            **_request_values(self.request, self.subject),
            "language": None if self.request is None else self.request.language,
            "extra": dict(self.extra),
            "measures": measures_of(self.results, self.calculated),
            "results": None if self.results is None else redact_links(self.results.raw),
            "calculated": None if self.calculated is None else redact_links(self.calculated.raw),
            "files": list(self.files),
            "missing": list(self.missing),
            "reason": redact_links(self.reason),
            "doubt": None if self.uncertain is None else _uncertain_values(self.uncertain, self.commands),
            "error": None if self.error is None else _error_values(self.error),
        }


def _request_values(request: AnalysisRequest[Any, Any] | None, subject: str | None) -> dict[str, Any]:
    if request is None:
        return dict.fromkeys(REQUEST_COLUMNS)
    values = (
        subject if subject is not None else request.subject_id,
        request.subject_id,
        request.height,
        request.weight,
        request.pace,
        request.treadmill,
    )
    return dict(zip(REQUEST_COLUMNS, values, strict=True))


def _uncertain_values(uncertain: Uncertain, commands: Iterable[str]) -> dict[str, Any]:
    return {
        "cause": redact_links(uncertain.cause),
        "name": uncertain.start.clip,
        "size": uncertain.size,
        "earliest": uncertain.start.earliest.isoformat(),
        "latest": uncertain.start.latest.isoformat(),
        "reached": uncertain.reached,
        "candidates": [
            {
                "analysis_id": each.analysis_id,
                "created_at": each.created_at and each.created_at.isoformat(),
                "subject_id": each.subject_id,
            }
            for each in uncertain.candidates
        ],
        "commands": list(commands),
    }


def _error_values(error: OchyError) -> dict[str, Any]:
    message = redact_links(str(error))
    return {"class": type(error).__name__, "message": message, "status": error.status, "code": error.code}
