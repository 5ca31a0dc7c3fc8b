"""One clip while a batch processes it.

Invariant: the clip's journal entry decides what comes next.
"""

from __future__ import annotations

from typing import Any, TypeVar

from anyio import CancelScope
from attrs import define, field

from ..clips import Clip
from ..errors import OchyError
from ..journal.contract import Entry, StoredResults
from ..policy.clip_states import NEXT_STEP, UNSENT, State, Step
from ..protocol.analysis import AnalysisState, Started
from .context import BatchContext
from .outcomes import Failed, Refused, Uncertain, Unfinished
from .sources import Item

__all__ = ["ClipJob", "NotAnalyzed"]

NotAnalyzed = Refused | Failed | Uncertain | Unfinished
N = TypeVar("N", bound=Refused | Failed | Uncertain | Unfinished)


@define(eq=False)
class ClipJob:
    """One clip while a batch processes it."""

    context: BatchContext
    item: Item
    clip: Clip
    content: str
    """The SHA-256 of the content, in hex."""
    key: str
    """Its identity in the journal."""
    entry: Entry | None = None
    """Its journal entry; None if the journal does not know the clip."""
    state: AnalysisState[Any] | None = None
    """What the last poll of the analysis showed, if this run polled it."""
    bought: bool = False
    """Whether this run spent the credit."""
    scope: CancelScope = field(factory=CancelScope)
    """The block in which it is processed: see `BatchContext.interruptible`."""
    uncertain_reported: bool = False
    """Whether a `StartUncertain` event was emitted for its uncertain start."""

    def next_step(self) -> Step:
        """What has to be done next."""
        return NEXT_STEP[self.entry.state if self.entry is not None else None]

    def is_left_unsent(self) -> bool:
        """Whether a process intended the start and ended before it had sent the complete clip: it did not happen.

        After a failover nobody knows that.
        """
        return self.entry is not None and self.entry.state in UNSENT and not self.context.journal.failover

    def is_retried(self) -> bool:
        """Whether the server refused the clip in an earlier run and it is sent again."""
        return self.entry is not None and self.entry.state is State.REFUSED and self.context.may_retry(self.key)

    @property
    def known(self) -> Entry:
        """The journal entry of a clip that has one."""
        if self.entry is None:
            raise LookupError("the journal has no entry for this clip yet")
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
        """What every outcome says about the clip."""
        analysis_id = self.entry.analysis_id if self.entry is not None else None
        return {**self.item.facts, "key": self.key, "analysis_id": analysis_id, "bought": self.bought}

    def outcome(self, kind: type[N], reason: str, error: OchyError | None = None, **more: Any) -> N:
        """An outcome without results."""
        return kind(**self.facts, reason=reason, error=error, **more)

    async def record(self, state: State, results: StoredResults | None = None, **facts: Any) -> None:
        """Stores the new state of the clip in the journal; see `Recorder.record`."""
        self.entry = await self.context.recorder.record(self.known, state, results, **facts)

    async def release_copy(self) -> None:
        """Deletes the copy of remote content. If the content is needed again, it is copied again."""
        if self.clip.remote is not None:
            await self.clip.remote.release()

    def release_subject(self) -> None:
        """Makes the tagging subject of the start available again, if it has one."""
        self.context.subject_pool.release(self.known.subject_id)
