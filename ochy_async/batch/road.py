"""What all clips of a batch share on their way: wire, books, bounds.

Law of this room: one road for one batch; whoever walks it holds it and keeps nothing of its own.
"""

from __future__ import annotations

from anyio import CapacityLimiter, Event, current_time, move_on_after
from attrs import define, field

from ..errors import OchyError
from ..exchange import Exchange
from ..journal.contract import Entry
from ..policy.batching import State
from ..policy.uploading import Window
from ..waiting import Scheduler
from .books import Books
from .lanes import Lanes

__all__ = ["Road"]


@define(eq=False)
class Road:
    """What all clips of a batch share on their way: bounds, books, wire."""

    exchange: Exchange
    scheduler: Scheduler
    books: Books
    window: Window
    in_flight: CapacityLimiter
    timeout: float
    """Seconds for which an analysis is watched."""
    lanes: Lanes
    tag_starts: bool = False
    """Whether each start goes on an upload lane of its own."""
    retry_refused: bool = False
    refused: set[str] = field(factory=set, init=False)
    """The keys of what the server refused in this batch: copies of it are not sent again."""
    uploads: CapacityLimiter = field(init=False)
    spent: int = 0
    """Credits that this batch surely spent."""
    hurry: Event = field(factory=Event, init=False)
    """Set once waiting for what may yet turn up is over: the user wants to go."""

    def __attrs_post_init__(self) -> None:
        self.uploads = CapacityLimiter(self.window.width)

    async def nap(self, seconds: float) -> None:
        """Sleeps, or less once there is a hurry."""
        with move_on_after(seconds):
            await self.hurry.wait()

    def trouble(self, error: OchyError) -> None:
        """An attempt to start failed: fewer uploads at once, if the line is to blame."""
        self.window.trouble(error, current_time())
        self.uploads.total_tokens = self.window.width

    def retries(self, entry: Entry) -> bool:
        """Whether a clip was refused in an earlier run and may be sent again."""
        return self.retry_refused and entry.state is State.REFUSED and entry.key not in self.refused

    def accepted(self) -> None:
        """A start was accepted: there is credit, and the line is good."""
        self.spent += 1
        self.books.guard.accepted()
        self.window.went_well()
        self.uploads.total_tokens = self.window.width
