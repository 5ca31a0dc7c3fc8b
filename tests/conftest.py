"""Fixtures of every test: an API key that is searched for in every place it must not reach, and an emulator."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import settings

from ochy_async import Limits, OchySession, Polling, Retry, Webhooks
from ochy_async.core import SessionCore
from ochy_async.emulator import (
    Emulator,
    EmulatorSettings,
    Fault,
    FaultPlan,
    FaultSource,
    InProcessTransport,
    Service,
    in_process,
)
from ochy_async.errors import OchyError
from ochy_async.events import Event
from ochy_async.journal.postgres.journal import PostgresJournal
from ochy_async.protocol.routes import RESULTS
from ochy_async.webhooks.remote_bus import RemoteBus
from tests.support import canary
from tests.support.canary import API_KEY, HOOK_TOKEN
from tests.support.exports import RUNNER, record_exports

settings.register_profile("without deadlines", deadline=None)  # time is benchmarked, not asserted in tests
settings.load_profile("without deadlines")

CLIP = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
"""An MP4 by its container signature only."""

QUICK = Polling(interval=0.05, shortest=0.02, longest=0.5, requests_per_second=1000)
"""For a real socket and an emulator that runs fast."""


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio only."""
    return "asyncio"


class _Records(logging.Handler):
    """Every log record with its arguments and fields, in the most detailed format."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {vars(record)!r}")


@pytest.fixture(autouse=True)
def _no_secret_escapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[None]:
    """Runs every test with canaries as the API key and other secrets, and searches for them everywhere.

    It searches logs at every level, every error that was made (text, chain, pickle, frames), every event, span and
    measurement, the repr of every living object, and every file. The report hook below searches what is printed.
    """
    monkeypatch.setenv("OCHY_API_KEY", API_KEY)
    monkeypatch.setenv("OCHY_WEBHOOK_TOKEN", HOOK_TOKEN)
    monkeypatch.delenv("OCHY_BASE_URL", raising=False)
    monkeypatch.delenv("OCHY_PROXY", raising=False)
    monkeypatch.delenv("OCHY_JOURNAL", raising=False)
    monkeypatch.setenv("OCHY_STATE_DIR", str(tmp_path / "state"))  # so that no test touches the home folder
    monkeypatch.setenv("OCHY_PREFLIGHT", "off")  # most clips of the tests are not videos
    errors: list[OchyError] = []
    events: list[Event] = []
    holders: list[None] = []
    make, emit = OchyError.__init__, SessionCore.emit

    @wraps(make)
    def remember_error(self: OchyError, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        errors.append(self)

    def remember_event(self: SessionCore, event: Event) -> None:
        events.append(event)
        emit(self, event)

    def remember_holders_of(kind: Any) -> None:
        construct = kind.__init__

        @wraps(construct)
        def remember_holder(self: Any, *args: Any, **kwargs: Any) -> None:
            holders.append(None)
            construct(self, *args, **kwargs)

        monkeypatch.setattr(kind, "__init__", remember_holder)

    for kind in (OchySession, Webhooks, RemoteBus, PostgresJournal):
        remember_holders_of(kind)
    monkeypatch.setattr(OchyError, "__init__", remember_error)
    monkeypatch.setattr(SessionCore, "emit", remember_event)
    exports = record_exports(monkeypatch)
    records, root = _Records(), logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(records)
    root.setLevel(level)
    found = [place for error in errors for place in canary.leaks_in_error(error)]
    found += canary.leaks_in_texts("log", records.lines)
    found += canary.leaks_in_texts("event", map(repr, events))
    found += canary.leaks_in_texts("telemetry", exports)
    found += [f"telemetry: {text[:80]}" for text in exports if RUNNER in text]
    found += canary.leaks_in_files(tmp_path)
    if holders:  # searching every living object takes a while, and otherwise none holds a secret
        found += canary.leaks_in_objects()
    assert not found, f"a secret escaped into {found}"


def pytest_collection_finish() -> None:
    """Leaves what was made before the first test out of every search of living objects, which most of it would be."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails a test that printed the canary."""
    report = yield
    printed = [name for name, text in report.sections if canary.leaks(text)]
    if printed:
        report.outcome = "failed"
        report.longrepr = f"a secret was printed: {printed}"
    return report


class Recorded:
    """Faults that also record every request, including those that the service never sees."""

    def __init__(self, faults: FaultSource | None = None) -> None:
        self.routes: list[str] = []
        self._faults = faults

    def fault_for(self, route: str, count: int) -> Fault | None:
        self.routes.append(route)
        return self._faults.fault_for(route, count) if self._faults else None


class Clocked(Recorded):
    """Faults that also record the time of each poll."""

    def __init__(self, faults: FaultPlan | None = None) -> None:
        super().__init__(faults)
        self.times: list[float] = []

    def fault_for(self, route: str, count: int) -> Fault | None:
        if route == str(RESULTS):
            self.times.append(anyio.current_time())
        return super().fault_for(route, count)

    def closest(self, polls: int) -> float:
        """The shortest time in which so many polls were made."""
        times = sorted(self.times)
        return min(later - earlier for earlier, later in zip(times, times[polls:], strict=False))


def world(**settings: Any) -> EmulatorSettings:
    """Settings of an emulator that accepts the canary as its key."""
    keys: frozenset[str] = frozenset({API_KEY})
    return EmulatorSettings(api_keys=keys, **settings)


@pytest.fixture
async def emulator() -> AsyncGenerator[Emulator]:
    """An emulator on a real port, fifty times faster than real time."""
    async with Emulator(world(), speed=50) as running:
        yield running


@pytest.fixture
async def ochy(emulator: Emulator) -> AsyncGenerator[OchySession]:
    """A session with the emulator, over a real socket."""
    async with real_session(emulator) as session:
        yield session


def real_session(emulator: Emulator, **settings: Any) -> OchySession:
    """A session over a real socket that retries and polls quickly."""
    given: dict[str, Any] = {
        "polling": QUICK,
        "retry": Retry(first_delay=0.01),
        "limits": Limits(stall=5, call=10),
        **settings,
    }
    return OchySession(base_url=emulator.url, **given)


def direct_session(
    service: Service | EmulatorSettings | None = None, faults: FaultSource | None = None, **settings: Any
) -> OchySession:
    """A session connected to the emulator without a socket, for virtual time. Jitter is always one half."""
    key = settings.pop("api_key_in_use", API_KEY)
    transport = InProcessTransport(service or world(), faults, api_key=key, latency=0.05)
    given: dict[str, Any] = {"chance": lambda: 0.5, "clock": loop_clock, **settings}
    return OchySession(transport=transport, **given)


def loop_clock() -> datetime:
    """The time of day on the clock of the event loop, which is also the emulator's."""
    return datetime.fromtimestamp(in_process.loop_clock(), UTC)
