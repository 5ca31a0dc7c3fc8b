"""How it ended, as commands tell it: a value for the sheets, a line of JSON, an exit code.

Invariant: what is paid for always carries its id, and signed URLs stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from ...batch.outcomes import Analyzed, Failed, Refused, Uncertain, Unfinished
from ...batch.outcomes import Outcome as Ended
from ...batch.output.records import json_line, record
from ...errors import AnalysisFailed, NotFound, OchyError
from ...protocol.request import AnalysisRequest
from ...protocol.views import Calculated, Results
from ..exit_codes import Exit, exit_of

__all__ = ["WORDS", "Outcome", "line_of", "word_of"]

WORDS: Final = tuple(kind.word for kind in (Analyzed, Refused, Failed, Uncertain, Unfinished))
"""How it can end, in the words of a batch."""


@frozen(kw_only=True)
class Outcome:
    """The end of a clip of a batch, or of an analysis that was waited for."""

    word: str
    """One of `WORDS`."""
    clip: str | None = None
    """The path as it was given; None where only the id of an analysis was."""
    view: str | None = None
    """`side_view` or `back_view`; None where that is not known."""
    analysis_id: str | None = None
    index: int | None = None
    """Its place in the input, from 0."""
    request: AnalysisRequest[Any, Any] | None = field(default=None, repr=False)
    """What was asked for; None where only the id of an analysis was given."""
    subject: str | None = field(default=None, repr=False)
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    key: str | None = None
    """Its identity in the journal."""
    bought: bool = False
    """Whether this run spent a credit on it."""
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    doubt: Uncertain | None = None
    """What is known of a start whose fate is not."""
    commands: tuple[str, ...] = ()
    """What settles the doubt, as it can be typed."""
    error: OchyError | None = None

    @classmethod
    def of(cls, ended: Ended[Any, Any]) -> Outcome:
        """The outcome of a clip of a batch."""
        told: dict[str, Any] = {"reason": ended.reason, "key": ended.key, "index": ended.index}
        told |= {"request": ended.request, "subject": ended.subject, "extra": ended.extra, "bought": ended.bought}
        if isinstance(ended, Analyzed):
            told |= {"results": ended.results, "calculated": ended.calculated}
            told |= {"files": tuple(map(str, ended.files)), "missing": ended.missing}
        else:
            told |= {"error": ended.error, "doubt": ended if isinstance(ended, Uncertain) else None}
        return cls(word=ended.word, clip=ended.label, view=ended.request.view, analysis_id=ended.analysis_id, **told)

    def record(self) -> dict[str, Any]:
        """All that is known of it, for programs."""
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
            doubt=self.doubt,
            commands=self.commands,
            error=self.error,
        )

    @property
    def who(self) -> str:
        """What to call it."""
        return self.clip or self.analysis_id or "?"

    @property
    def well(self) -> bool:
        """Whether there is nothing to say but the results."""
        return self.word == Analyzed.word and self.error is None and not self.missing

    @property
    def exit(self) -> Exit:
        """The exit code that this outcome alone would lead to."""
        if self.word == Uncertain.word:
            return Exit.UNCERTAIN
        if self.error is not None:
            return exit_of(self.error)
        return Exit.OK if self.well else Exit.SOME_FAILED


_ENDS: Final[tuple[tuple[type[OchyError], str], ...]] = (
    (AnalysisFailed, Failed.word),
    (NotFound, Refused.word),
    (OchyError, Unfinished.word),
)


def word_of(error: OchyError) -> str:
    """What an error means for an analysis that was waited for."""
    return next(word for kind, word in _ENDS if isinstance(error, kind))


def line_of(outcome: Outcome) -> str:
    """The outcome as one line of JSON in plain ASCII, in the form of `batch.output.records`."""
    return json_line(outcome.record())
