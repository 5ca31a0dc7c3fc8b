"""The outcome that a command reports for a clip or an analysis, with its JSON record and its exit code.

Invariant: an outcome that was paid for carries its analysis id, and its record holds no signed URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from ..batch.outcomes import Analyzed, Failed, Outcome, Refused, Uncertain, Unfinished
from ..batch.output.records import json_line, record
from ..errors import AnalysisFailed, NotFound, OchyError
from ..protocol.request import AnalysisRequest
from ..protocol.views import Calculated, Results
from .exit_codes import ExitCode, exit_code_of

__all__ = ["OUTCOMES", "CommandOutcome", "outcome_of_error"]

OUTCOMES: Final = tuple(kind.word for kind in (Analyzed, Refused, Failed, Uncertain, Unfinished))
"""The names of the outcomes, as in a batch."""


@frozen(kw_only=True)
class CommandOutcome:
    """The outcome of a clip of a batch, or of an analysis that `ochy wait` collected."""

    word: str
    """One of `OUTCOMES`."""
    clip: str | None = None
    """The path as it was given; None where the command was given an analysis id."""
    view: str | None = None
    """`side_view` or `back_view`; None where it is not known."""
    analysis_id: str | None = None
    index: int | None = None
    """Position in the input, from 0."""
    request: AnalysisRequest[Any, Any] | None = field(default=None, repr=False)
    """None where the command was given an analysis id."""
    subject: str | None = field(default=None, repr=False)
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    key: str | None = None
    """The clip's key in the journal."""
    bought: bool = False
    """Whether this run spent a credit on it."""
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    uncertain: Uncertain | None = None
    """What is known of a start that may have been charged."""
    commands: tuple[str, ...] = ()
    """Shell commands that resolve the uncertain start."""
    error: OchyError | None = None

    @classmethod
    def of(cls, outcome: Outcome[Any, Any]) -> CommandOutcome:
        """The outcome of a clip of a batch."""
        facts: dict[str, Any] = {"reason": outcome.reason, "key": outcome.key, "index": outcome.index}
        facts |= {"request": outcome.request, "subject": outcome.subject, "extra": outcome.extra}
        if isinstance(outcome, Analyzed):
            facts |= {"results": outcome.results, "calculated": outcome.calculated}
            facts |= {"files": tuple(map(str, outcome.files)), "missing": outcome.missing}
        else:
            facts |= {"error": outcome.error, "uncertain": outcome if isinstance(outcome, Uncertain) else None}
        return cls(
            word=outcome.word,
            clip=outcome.label,
            view=outcome.request.view,
            analysis_id=outcome.analysis_id,
            bought=outcome.bought,
            **facts,
        )

    def record(self) -> dict[str, Any]:
        """Everything that is known of it, as JSON values."""
        return record(
            outcome=self.word,
            index=self.index,
            clip=self.clip,
            view=self.view,
            analysis_id=self.analysis_id,
            key=self.key,
            bought=self.bought,
            request=self.request,
            subject=self.subject,
            extra=self.extra,
            results=self.results,
            calculated=self.calculated,
            files=self.files,
            missing=self.missing,
            reason=self.reason,
            doubt=self.uncertain,
            commands=self.commands,
            error=self.error,
        )

    def json_line(self) -> str:
        """The record as one line of JSON in plain ASCII."""
        return json_line(self.record())

    @property
    def label(self) -> str:
        """The clip, or else the analysis id."""
        return self.clip or self.analysis_id or "?"

    @property
    def complete(self) -> bool:
        """Whether it is analyzed and nothing is missing."""
        return self.word == Analyzed.word and self.error is None and not self.missing

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that this outcome alone leads to."""
        if self.word == Uncertain.word:
            return ExitCode.UNCERTAIN
        if self.error is not None:
            return exit_code_of(self.error)
        return ExitCode.OK if self.complete else ExitCode.SOME_FAILED


_OUTCOMES_BY_ERROR: Final[tuple[tuple[type[OchyError], str], ...]] = (
    (AnalysisFailed, Failed.word),
    (NotFound, Refused.word),
    (OchyError, Unfinished.word),
)


def outcome_of_error(error: OchyError) -> str:
    """The outcome of an analysis whose results could not be collected because of this error."""
    return next(word for kind, word in _OUTCOMES_BY_ERROR if isinstance(error, kind))
