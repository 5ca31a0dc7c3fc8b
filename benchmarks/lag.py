"""Event-loop lag: by how much the timers of another task are late."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Lags", "measure_lag"]

Lags = list[float]
"""Event-loop lag: the seconds by which each timer of another task fired late."""


async def measure_lag(lags: Lags) -> None:
    """Measures the lag every millisecond until it is cancelled."""
    while True:
        expected = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        lags.append(time.perf_counter() - expected)
