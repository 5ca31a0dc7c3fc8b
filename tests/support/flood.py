"""Sends 6,000 messages on the channel of a bus: `python -m tests.support.flood NAME URL`."""

from __future__ import annotations

import asyncio
import sys

from ochy_async.webhooks.remote_bus import DEFAULT_CHANNEL
from tests.support.buses import KINDS


async def main(name: str, url: str) -> None:
    """Sends them in two batches."""
    for _ in range(2):
        await KINDS[name].send_raw(url, DEFAULT_CHANNEL, [f"flood {number:080}" for number in range(3_000)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
