"""The outcomes of a clip in a batch: one class for each kind.

Invariant: every outcome identifies its clip, and has the id of the analysis if one was paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, ClassVar, Final, Generic, TypeVar

from attrs import field, frozen

from ..errors import OchyError, Problem, StartAttempt
from ..field_docs import documented
from ..protocol.analysis_list import ListedAnalysis
from ..protocol.answer import Answer
from ..protocol.request import AnalysisRequest
from ..protocol.text_summary import Summarized, display_text

__all__ = ["Analyzed", "ClipReference", "Failed", "Outcome", "Refused", "Uncertain", "Unfinished"]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)

MAX_PRINTED_REASON: Final = 1_000
"""Characters of a reason that are printed."""


def _named(clip: Any) -> str:
    """The path, or the type of anything else: bytes may be an entire video."""
    return repr(clip) if isinstance(clip, str | Path) else f"<{type(clip).__name__}>"


@frozen(kw_only=True)
class ClipReference:
    """What identifies a clip of a batch."""

    clip: Any = field(repr=_named)
    """The clip as it was given."""
    index: int
    """Its position in the input, from 0."""
    label: str
    """Its name in events, logs and reports: the path, or the name."""
    request: AnalysisRequest[Any, Any]
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    """What else the input says about it: the other columns of a manifest, or `BatchItem.extra`."""
    subject: str | None = field(default=None, repr=False)
    """The runner's name, if the input has a name instead of an id; the id is `request.subject_id`."""
    key: str | None = None
    """Its identity in the journal; None if it could not be read."""
    analysis_id: str | None = None
    """The analysis that was paid for, if there is one."""


@frozen(kw_only=True)
class _OutcomeBase(ClipReference, Summarized):
    """What every outcome holds. Prints as a summary."""

    word: ClassVar[str]
    """The kind of outcome, as reports spell it."""

    bought: bool = False
    """Whether this run certainly spent a credit on it. False if it was paid for before, or by an identical clip."""
    simulated: bool = False
    """Whether the emulator answered: then nothing of it is a result of the vendor's."""

    def _summary(self) -> Iterator[str]:
        yield f"{display_text(self.label)}: {self.word}"
        results: Answer | None = getattr(self, "results", None)
        if results is not None:
            yield from str(results).splitlines()
        elif self.analysis_id is not None:
            yield f"  analysis {display_text(self.analysis_id)}"
        for line in getattr(self, "reason", "")[:MAX_PRINTED_REASON].splitlines():
            yield from wrap(line, 78, initial_indent="  ", subsequent_indent="  ")


@documented
@frozen(kw_only=True)
class Analyzed(_OutcomeBase, Generic[R, C]):
    """The results are available, and stored in the journal."""

    word = "analyzed"

    results: R = field(repr=False)
    calculated: C | None = field(default=None, repr=False)
    """The calculated data, if they were requested and available."""
    files: tuple[Path, ...] = ()
    """The files that were written to the output folder."""
    missing: tuple[str, ...] = ()
    """What was requested but not available this time (`calculated`, `raw_data`, …); run again to fetch it."""
    reason: str = ""
    """Why something is missing; empty if nothing is."""


@frozen(kw_only=True)
class _WithReason(_OutcomeBase):
    reason: str
    """What happened and what to do next, as text for people."""
    error: OchyError | None = None
    """The error that caused it, if there was one in this run."""


@documented
@frozen(kw_only=True)
class Refused(_WithReason):
    """Not started: the library or the server refused the clip. Change the clip or the request."""

    word = "refused"

    problems: tuple[Problem, ...] = ()
    """All problems that were found before anything was sent."""


@documented
@frozen(kw_only=True)
class Failed(_WithReason):
    """The vendor's analysis finished without results. The credit is spent; no reason is given."""

    word = "failed"


@documented
@frozen(kw_only=True)
class Uncertain(_WithReason):
    """The clip may have been started and charged, and is not sent again. Resolve it with `ochy journal`."""

    word = "uncertain"

    start: StartAttempt
    """The name that was sent, the time window of the start (UTC), and its subject."""
    size: int
    """The size of the clip in bytes; 0 if it is not known, because `Batch.tend` reads no clip."""
    cause: str
    """What happened to the start, as text for people."""
    reached: bool
    """Whether any lookup of this run got an answer. If not, nothing is known about the start, and `error` says why."""
    candidates: tuple[ListedAnalysis, ...] = ()
    """Analyses that the start may have become: at most 100."""


@documented
@frozen(kw_only=True)
class Unfinished(_WithReason):
    """Nothing is wrong with the clip: run again. If it has an `analysis_id` it is paid for and will be collected, else
    it was not started."""

    word = "unfinished"


Outcome = Analyzed[R, C] | Refused | Failed | Uncertain | Unfinished
"""What became of one clip."""
