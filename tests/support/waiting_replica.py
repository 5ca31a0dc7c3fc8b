"""A process that analyzes one clip and receives no delivery: `python -m tests.support.waiting_replica BUS BASE_URL`.

The address of the bus is in `BUS_URL`. The first poll comes after a minute, unless a hint comes over the bus.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from attrs import define, field

from ochy_async import OchySession, Polling, SideView, Webhooks
from ochy_async.webhooks.bus import Bus
from tests.support.buses import KINDS

CLIP = b"\x00\x00\x00\x18ftypmp42" + bytes(1000)


@define(eq=False)
class ObservedBus:
    """A bus that tells when it is connected: an earlier hint is lost, and the wait would end a minute later."""

    bus: Bus
    connected: asyncio.Event = field(factory=asyncio.Event)

    async def publish(self, message: str) -> None:
        await self.bus.publish(message)

    async def listen(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        def connected() -> None:
            self.connected.set()
            ready()

        await self.bus.listen(receive, connected)


async def main(name: str, base_url: str) -> None:
    """Prints the id of the analysis when it has its results."""
    bus = ObservedBus(KINDS[name].bus(os.environ["BUS_URL"]))
    hooks = Webhooks(bus=bus)
    polling = Polling(interval=60, longest=60)
    async with OchySession(base_url=base_url, webhooks=hooks, polling=polling) as ochy:
        await bus.connected.wait()
        print((await ochy.analyze(CLIP, SideView())).analysis_id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
