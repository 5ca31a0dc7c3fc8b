"""The fixture `ochy_emulator`, which every pytest user has once the package is installed.

Invariant: it is loaded into every pytest run of every user, so it imports pytest and nothing
else until the fixture is asked for.
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
    """A running emulator with `url`, `api_key`, `service` and `faults`; its analyses take a quarter second.

    It runs in a thread with a loop of its own, so tests of any kind can use it: plain, pytest-asyncio,
    anyio, trio. Read from `service` as you like and set `faults` at any time; both are safe from the
    test's thread.
    """
    # Imported here and not above: whoever does not ask for the fixture should not pay for aiohttp.
    from anyio.from_thread import start_blocking_portal

    from .server import Emulator
    from .settings import EmulatorSettings

    # Short analyses instead of a fast clock: the service's time stays the test's time.
    world = EmulatorSettings(queue_seconds=0.05, analysis_seconds=(0.1, 0.2))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Emulator(world)) as emulator:
        yield emulator
