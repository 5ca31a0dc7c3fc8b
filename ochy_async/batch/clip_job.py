"""One clip on its way through a batch: what is known of it, and how its end is told.

Invariant: what the journal remembers decides what comes next, never what this process believes.
"""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import define

from ..clips import Clip
from ..errors import OchyError
from ..journal.contract import Entry
from ..policy.clip_states import NEXT_STEP, Step
from ..protocol.analysis import AnalysisState, Started
from .context import BatchContext
from .outcomes import Failed, Refused, Uncertain, Unfinished
from .sources import Item

__all__ = ["ClipJob", "NotAnalyzed"]

NotAnalyzed = Refused | Failed | Uncertain | Unfinished
N = TypeVar("N", bound=Refused | Failed | Uncertain | Unfinished)


@define(eq=False)
class ClipJob:
    """A clip on its way."""

    context: BatchContext
    item: Item
    clip: Clip
    content: str
    """The SHA-256 of the content, in hex."""
    key: str
    """Its identity in the journal."""
    entry: Entry | None = None
    """What the journal remembers of it; None is nothing."""
    state: AnalysisState[Any] | None = None
    """The last look at the analysis, if this run had one."""
    bought: bool = False
    """Whether this run spent the credit."""
    told: bool = False
    """Whether an event has told of the doubt in which its start is."""

    def step(self) -> Step:
        """What is to be done for it now."""
        return NEXT_STEP[self.entry.state if self.entry is not None else None]

    @property
    def known(self) -> Entry:
        """What the journal remembers, where it is known to remember something."""
        if self.entry is None:
            raise LookupError("nothing was written down for this clip yet")
        return self.entry

    @property
    def started(self) -> Started[Any, Any]:
        """The paid analysis."""
        entry = self.known
        return Started(
            analysis_id=entry.analysis_id or "",
            view=entry.view,
            started_at=entry.started_at,
            clip=entry.name,
            subject_id=entry.subject_id,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What every outcome tells of the clip."""
        analysis_id = self.entry.analysis_id if self.entry is not None else None
        return {**self.item.facts, "key": self.key, "analysis_id": analysis_id, "bought": self.bought}

    def end(self, kind: type[N], reason: str, error: OchyError | None = None, **more: Any) -> N:
        """An outcome for the clip as it stands."""
        return kind(**self.facts, reason=reason, error=error, **more)
