"""The outcome that a command reports for a clip or an analysis, with its JSON record and its exit code.

Invariant: an outcome that was paid for carries its analysis id, and its record holds no signed URL.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ..batch.outcomes import Analyzed, Failed, Refused, Uncertain, Unfinished
from ..batch.output.tables import json_line
from ..batch.records import OutcomeRecord
from ..errors import AnalysisFailed, NotFound, OchyError
from .exit_codes import ExitCode, exit_code_of

__all__ = ["OUTCOMES", "CommandOutcome", "outcome_of_error"]

OUTCOMES: Final = tuple(kind.word for kind in (Analyzed, Refused, Failed, Uncertain, Unfinished))
"""The names of the outcomes, as in a batch."""


@frozen(kw_only=True)
class CommandOutcome(OutcomeRecord):
    """The outcome of a clip of a batch, or of an analysis that `ochy wait` collected."""

    def json_line(self) -> str:
        """The record as one line of JSON in plain ASCII."""
        return json_line(self.to_json())

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
