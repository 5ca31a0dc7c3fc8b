"""The pytest fixture `ochy_emulator`, available wherever the package is installed.

Invariant: every pytest run of every user loads this module, so it imports only pytest until the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Emulator

__all__ = ["ochy_emulator"]


@pytest.fixture
def ochy_emulator() -> Iterator[Emulator]:
    """A running emulator with `url`, `api_key`, `service` and `faults`; an analysis takes a quarter of a second.

    `set_webhook` stores a webhook of this machine, `send_test_event` tests it, and `deliveries` shows what was sent.

    It runs in a thread with an event loop of its own, so any kind of test can use it: plain, pytest-asyncio, anyio,
    trio. Reading from `service` and setting `faults` is safe from the test's thread at any time.
    """
    # Imported here, so that tests without the fixture do not pay for aiohttp.
    from anyio.from_thread import start_blocking_portal

    from .delivery_settings import DeliverySettings
    from .server import Emulator
    from .settings import EmulatorSettings

    # Short analyses instead of a fast clock, so that the service's time is the test's time.
    deliveries = DeliverySettings(latency_seconds=(0.0, 0.02), retry_seconds=(0.1, 0.3))
    settings = EmulatorSettings(queue_seconds=0.05, analysis_seconds=(0.1, 0.2), deliveries=deliveries)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Emulator(settings)) as emulator:
        yield emulator
