"""How it ended, as commands tell it: a value for the sheets, a line of JSON, an exit code.

Law of this room: what is paid for always carries its id, and signed URLs stay behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from ..batch.outcomes import Analyzed, Failed, Refused, Uncertain, Unfinished
from ..batch.outcomes import Outcome as Ended
from ..errors import AnalysisFailed, NotFound, OchyError
from ..protocol.analysis import Calculated, Results
from ..protocol.links import without_links
from .exits import Exit, exit_of

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
    key: str | None = None
    """Its identity in the journal."""
    bought: bool = False
    """Whether this run spent a credit on it."""
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    error: OchyError | None = None

    @classmethod
    def of(cls, ended: Ended[Any, Any]) -> Outcome:
        """The outcome of a clip of a batch."""
        told: dict[str, Any] = {"reason": ended.reason, "key": ended.key}
        if isinstance(ended, Analyzed):
            told |= {"results": ended.results, "calculated": ended.calculated, "bought": ended.bought}
            told |= {"files": tuple(map(str, ended.files)), "missing": ended.missing}
        else:
            told |= {"error": ended.error}
        return cls(word=ended.word, clip=ended.label, view=ended.request.view, analysis_id=ended.analysis_id, **told)

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


# --- JSON ---------------------------------------------------------------------------------------


def line_of(outcome: Outcome) -> str:
    """The outcome as one line of JSON in plain ASCII."""
    told: Mapping[str, Any] = {
        "clip": outcome.clip,
        "outcome": outcome.word,
        "analysis_id": outcome.analysis_id,
        "view": outcome.view,
        "key": outcome.key,
        "bought": outcome.bought,
        "results": None if outcome.results is None else without_links(outcome.results.raw),
        "calculated": None if outcome.calculated is None else without_links(outcome.calculated.raw),
        "files": outcome.files,
        "missing": outcome.missing,
        "reason": outcome.reason,
        "error": _error(outcome.error),
    }
    return json.dumps(told)


def _error(error: OchyError | None) -> Mapping[str, Any] | None:
    if error is None:
        return None
    return {"class": type(error).__name__, "message": str(error), "status": error.status, "code": error.code}
