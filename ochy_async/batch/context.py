"""What all clips of a batch share on their way: wire, books, bounds.

Invariant: one road for one batch; whoever walks it holds it and keeps nothing of its own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from anyio import CapacityLimiter, Event, current_time, move_on_after
from attrs import define, field

from ..core import SessionCore
from ..errors import OchyError
from ..journal.contract import Entry
from ..policy.clip_states import State
from ..policy.concurrency import InFlightLimit, UploadLimit
from ..protocol.analysis import AnalysisState, Status
from ..waiting import PollScheduler
from .recorder import Recorder
from .tagging import SubjectPool

__all__ = ["BatchContext"]


@define(eq=False)
class BatchContext:
    """What all clips of a batch share on their way: bounds, books, wire."""

    core: SessionCore
    scheduler: PollScheduler
    recorder: Recorder
    upload_limit: UploadLimit
    in_flight_limit: InFlightLimit
    extra_slots: int
    """Clips that have room beside those in flight."""
    timeout: float
    """Seconds for which an analysis is watched."""
    subject_pool: SubjectPool
    tag_starts: bool = False
    """Whether each start goes on an upload lane of its own."""
    retry_refused: bool = False
    refused: set[str] = field(factory=set, init=False)
    """The keys of what the server refused in this batch: copies of it are not sent again."""
    uploads: CapacityLimiter = field(init=False)
    in_flight: CapacityLimiter = field(init=False)
    _rooms: list[CapacityLimiter] = field(factory=list, init=False)
    spent: int = 0
    """Credits that this batch surely spent."""
    doubts: dict[str, bool] = field(factory=dict, init=False)
    """Starts in doubt by key, and whether this batch sent them: no more than one for each clip."""
    held_back: set[str] = field(factory=set, init=False)
    """Keys of the clips that a limit on credits kept from being started."""
    stopping: Event = field(factory=Event, init=False)
    """Set once waiting for what may yet turn up is over: the user wants to go."""

    def __attrs_post_init__(self) -> None:
        self.uploads = CapacityLimiter(self.upload_limit.slots)
        self.in_flight = CapacityLimiter(self.in_flight_limit.slots)

    async def wait_or_stop(self, seconds: float) -> None:
        """Sleeps, or less once there is a hurry."""
        with move_on_after(seconds):
            await self.stopping.wait()

    def trouble(self, error: OchyError) -> None:
        """An attempt to start failed: fewer uploads at once, if the line is to blame."""
        self.upload_limit.failed(error, current_time())
        self.uploads.total_tokens = self.upload_limit.slots

    def first_look(self, state: AnalysisState[Any]) -> None:
        """What the first look at an analysis shows: whether the server has room for more."""
        self.in_flight_limit.first_poll(queued=state.status == Status.PENDING)
        self.in_flight.total_tokens = self.in_flight_limit.slots
        for room in self._rooms:
            room.total_tokens = self.in_flight_limit.slots + self.extra_slots

    @contextmanager
    def room(self) -> Generator[CapacityLimiter]:
        """Room for the clips of one run, at any stage; it grows with the flight."""
        room = CapacityLimiter(self.in_flight_limit.slots + self.extra_slots)
        self._rooms.append(room)
        try:
            yield room
        finally:
            self._rooms.remove(room)

    def retries(self, entry: Entry) -> bool:
        """Whether a clip was refused in an earlier run and may be sent again."""
        return self.retry_refused and entry.state is State.REFUSED and entry.key not in self.refused

    def found(self, key: str) -> bool:
        """A start in doubt was found: it was charged. Whether by this batch, or by an earlier one."""
        ours = self.doubts.pop(key)
        self.spent += ours
        self.recorder.charged += 1
        return ours

    def accepted(self, seconds: float) -> None:
        """A start was accepted, after so many seconds: there is credit, and the line is good."""
        self.spent += 1
        self.recorder.charged += 1
        self.recorder.guard.accepted()
        self.upload_limit.succeeded(seconds)
        self.uploads.total_tokens = self.upload_limit.slots
