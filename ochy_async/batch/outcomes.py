"""How it ended for one clip of a batch: one value for each end that there is.

Invariant: an outcome is tied to its clip whatever the end, and carries the id of what was paid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, ClassVar, Final, Generic, TypeVar

from attrs import field, frozen

from ..errors import OchyError, Problem, StartAttempt
from ..field_docs import documented
from ..protocol.analysis import ListedAnalysis
from ..protocol.answer import Answer
from ..protocol.request import AnalysisRequest
from ..protocol.text_summary import Summarized, display_text

__all__ = ["Analyzed", "Failed", "Outcome", "Refused", "Uncertain", "Unfinished"]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)

MOST_OF_REASON: Final = 1_000
"""Characters of a reason that are printed."""


def _named(clip: Any) -> str:
    """A path as it is, anything else by its kind: bytes may be a whole video."""
    return repr(clip) if isinstance(clip, str | Path) else f"<{type(clip).__name__}>"


@frozen(kw_only=True)
class _Ended(Summarized):
    """What every outcome tells. Prints as a summary."""

    word: ClassVar[str]
    """The outcome in one word, as reports spell it."""

    clip: Any = field(repr=_named)
    """The clip as it was given."""
    index: int
    """Its place in the input, from 0."""
    label: str
    """What events, logs and reports call it: the path, or the name."""
    request: AnalysisRequest[Any, Any]
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    """What else the input says of it: the further columns of a manifest, or `BatchItem.extra`."""
    subject: str | None = field(default=None, repr=False)
    """The runner's name, where the input gave a name and not an id; the id is `request.subject_id`."""
    key: str | None = None
    """Its identity in the journal; None where it could not be read."""
    analysis_id: str | None = None
    """The analysis that was paid for, if there is one."""
    bought: bool = False
    """Whether this run surely spent a credit on it; False where it was paid before, or by the same clip further up."""

    def _summary(self) -> Iterator[str]:
        yield f"{display_text(self.label)}: {self.word}"
        results: Answer | None = getattr(self, "results", None)
        if results is not None:
            yield from str(results).splitlines()
        elif self.analysis_id is not None:
            yield f"  analysis {display_text(self.analysis_id)}"
        for line in getattr(self, "reason", "")[:MOST_OF_REASON].splitlines():
            yield from wrap(line, 78, initial_indent="  ", subsequent_indent="  ")


@documented
@frozen(kw_only=True)
class Analyzed(_Ended, Generic[R, C]):
    """The results are there and kept."""

    word = "analyzed"

    results: R = field(repr=False)
    calculated: C | None = field(default=None, repr=False)
    """The calculated data, if they were asked for and could be had."""
    files: tuple[Path, ...] = ()
    """What was written for it to the output folder."""
    missing: tuple[str, ...] = ()
    """What was asked for and could not be had this time (`calculated`, `raw_data`, …); run again to fetch it."""
    reason: str = ""
    """Why something is missing; empty where nothing is."""


@frozen(kw_only=True)
class _NotAnalyzed(_Ended):
    reason: str
    """What happened and what to do next, in words for people."""
    error: OchyError | None = None
    """The error behind it, where there was one in this run."""


@documented
@frozen(kw_only=True)
class Refused(_NotAnalyzed):
    """Not started: refused by us or by the server. Change the clip or the request."""

    word = "refused"

    problems: tuple[Problem, ...] = ()
    """Everything that is wrong, where it was found before anything was sent."""


@documented
@frozen(kw_only=True)
class Failed(_NotAnalyzed):
    """The vendor's analysis ended without results. The credit is gone; no reason is given."""

    word = "failed"


@documented
@frozen(kw_only=True)
class Uncertain(_NotAnalyzed):
    """It may have been started and charged, and is not sent again. `ochy journal` settles it."""

    word = "uncertain"

    start: StartAttempt
    """The name that was sent, the window in which the start was under way (UTC), its subject."""
    size: int
    """Bytes of the clip."""
    cause: str
    """What happened to the start, in words for people."""
    reached: bool
    """Whether any lookup of this run was answered. False: nothing was learned of it, and `error` says why."""
    candidates: tuple[ListedAnalysis, ...] = ()
    """Analyses that it may have become."""


@documented
@frozen(kw_only=True)
class Unfinished(_NotAnalyzed):
    """Nothing is wrong with the clip: run again. With an `analysis_id` it is paid and goes on, else not started."""

    word = "unfinished"


Outcome = Analyzed[R, C] | Refused | Failed | Uncertain | Unfinished
