"""A process that analyzes one clip and receives no delivery: `python -m tests.support.waiting_replica BUS BASE_URL`.

The address of the bus is in `BUS_URL`. The first poll comes after a minute, unless a hint comes over the bus.
"""

from __future__ import annotations

import asyncio
import os
import sys

from ochy_async import OchySession, Polling, SideView, Webhooks
from tests.support.buses import KINDS

CLIP = b"\x00\x00\x00\x18ftypmp42" + bytes(1000)


async def main(name: str, base_url: str) -> None:
    """Prints the id of the analysis when it has its results."""
    hooks = Webhooks(bus=KINDS[name].bus(os.environ["BUS_URL"]))
    polling = Polling(interval=60, longest=60)
    async with OchySession(base_url=base_url, webhooks=hooks, polling=polling) as ochy:
        print((await ochy.analyze(CLIP, SideView())).analysis_id)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
