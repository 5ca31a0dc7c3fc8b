"""A simulated line to the emulator: uploads that take the time that their announced size would.

Invariant: the line is fair. Uploads that are under way together share it in equal parts, none is
faster than its own connection, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anyio import Event, current_time, move_on_after
from attrs import define, field

from ochy_async.emulator import InProcessTransport, Service
from ochy_async.protocol.wire import Request, Response

__all__ = ["MBIT", "ROUND_TRIP", "Line", "SlowTransport"]

MBIT: Final = 125_000.0
"""Bytes per second."""
ROUND_TRIP: Final = 0.03
"""Seconds."""
_DONE: Final = 0.5
"""Bytes: what is left of an upload that is through, but for rounding."""


@define(eq=False)
class Line:
    """Processor sharing: of n uploads each has 1/n of the line, and at most what one connection carries."""

    rate: float
    """Bytes per second for all together."""
    most: float
    """Bytes per second for one connection."""
    busy: int = 0
    _changed: Event = field(factory=Event, init=False)

    async def carry(self, size: float) -> None:
        """Returns once so many bytes have gone through."""
        self._share(+1)
        try:
            while size > _DONE:
                changed, began, rate = self._changed, current_time(), min(self.most, self.rate / self.busy)
                with move_on_after(size / rate):
                    await changed.wait()
                size -= (current_time() - began) * rate
        finally:
            self._share(-1)

    def _share(self, more: int) -> None:
        self.busy += more
        self._changed.set()
        self._changed = Event()


class SlowTransport(InProcessTransport):
    """The emulator behind a line. The contents that it gets are small; the line carries what `sizes` tells by name."""

    def __init__(self, service: Service, line: Line, sizes: Mapping[str, int]) -> None:
        super().__init__(service, latency=ROUND_TRIP)
        self._line, self._sizes = line, sizes

    async def send(self, request: Request) -> Response:
        """As the emulator answers, once the upload is through."""
        if request.upload is not None:
            await self._line.carry(self._sizes[request.upload.filename])
        return await super().send(request)
