"""A simulated network link to the emulator: each upload takes the time that its declared size would take.

Invariant: simultaneous uploads share the link equally, none is faster than one connection allows, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anyio import Event, current_time, move_on_after
from attrs import define, field

from ochy_async.emulator import InProcessTransport, Service
from ochy_async.protocol.wire import Request, Response

__all__ = ["MBIT", "ROUND_TRIP", "SharedLink", "SlowTransport"]

MBIT: Final = 125_000.0
"""Bytes per second."""
ROUND_TRIP: Final = 0.03
"""Seconds."""
_DONE: Final = 0.5
"""Bytes. An upload with less left is finished: the rest is a rounding error."""


@define(eq=False)
class SharedLink:
    """Processor sharing: each of n uploads gets 1/n of the link, and at most the rate of one connection."""

    rate: float
    """Bytes per second of the link."""
    max_rate: float
    """Bytes per second of one connection."""
    active: int = 0
    _changed: Event = field(factory=Event, init=False)

    async def carry(self, size: float) -> None:
        """Returns after `size` bytes were transmitted."""
        self._share(+1)
        try:
            while size > _DONE:
                changed, began, rate = self._changed, current_time(), min(self.max_rate, self.rate / self.active)
                with move_on_after(size / rate):
                    await changed.wait()
                size -= (current_time() - began) * rate
        finally:
            self._share(-1)

    def _share(self, more: int) -> None:
        self.active += more
        self._changed.set()
        self._changed = Event()


class SlowTransport(InProcessTransport):
    """The emulator behind a link. The clips are small; the link transmits the size that `sizes` has for their names."""

    def __init__(self, service: Service, link: SharedLink, sizes: Mapping[str, int]) -> None:
        super().__init__(service, latency=ROUND_TRIP)
        self._link, self._sizes = link, sizes

    async def send(self, request: Request) -> Response:
        """The emulator's answer, after the upload was transmitted."""
        if request.upload is not None:
            await self._link.carry(self._sizes[request.upload.filename])
        return await super().send(request)
