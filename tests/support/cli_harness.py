"""An emulator on a port, a folder of clips, and the command line, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from attrs import define, field

from tests.conftest import CLIP
from tests.support.canary import API_KEY, leaks

# Tests of the command line import click from here, so that without the extra they are skipped, file by file.
pytest.importorskip("click", reason="needs the extra cli: click is not installed")
pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
pytest.importorskip("platformdirs", reason="needs the extra cli: platformdirs is not installed")

import click
from click.testing import CliRunner, Result

from ochy_async.cli.app import ochy
from ochy_async.emulator import (
    Emulator,
    EmulatorSettings,
    Fault,
    FaultPlan,
    FaultRule,
    Service,
    ServiceRequest,
    ServiceResponse,
)

__all__ = [
    "FAST_POLLING",
    "START",
    "CliHarness",
    "CliRunner",
    "RecordingService",
    "Result",
    "cli_harness",
    "cli_process",
    "click",
    "json_lines",
    "run_cli",
    "wait_until",
]

START = "POST /analysis/start"
FAST_POLLING = ("--interval", "0.1")


class RecordingService(Service):
    """A service that records the fields of every form."""

    def __init__(self, settings: EmulatorSettings) -> None:
        super().__init__(settings)
        self.forms: list[dict[str, str]] = []

    def handle(self, request: ServiceRequest, now: float) -> ServiceResponse:
        if request.form is not None:
            self.forms.append(dict(request.form.fields))
        return super().handle(request, now)


@define(eq=False)
class CliHarness:
    """An emulator on a port, a folder of clips, and the command line."""

    emulator: Emulator
    service: RecordingService
    folder: Path
    skipped: list[float] = field(factory=lambda: [0.0])
    """Seconds by which the emulator's clock is ahead."""

    def clips(self, *names: str) -> list[str]:
        """Writes clips with different content and returns their paths."""
        for name in names:
            (self.folder / name).write_bytes(CLIP + name.encode())
        return [str(self.folder / name) for name in names]

    def faults(self, route: str, fault: Fault, times: int = 1) -> None:
        """Makes the next requests to a route meet a fault."""
        self.emulator.faults = FaultPlan([FaultRule(route, fault, times=times)])

    def ochy(self, *args: str, **env: str | None) -> Result:
        """Runs the command line in this process and checks that its output contains no secret."""
        result = run_cli(*args, OCHY_BASE_URL=self.emulator.url, **env)
        assert not leaks(result.output)
        return result

    def analyze(self, *args: str, **env: str | None) -> Result:
        """Runs `ochy analyze` with fast polling."""
        return self.ochy("analyze", *FAST_POLLING, *args, **env)

    def environment(self, **env: str) -> dict[str, str]:
        """The environment in which a child process finds the emulator."""
        state = os.environ["OCHY_STATE_DIR"]
        usual = {"OCHY_BASE_URL": self.emulator.url, "OCHY_API_KEY": API_KEY, "OCHY_PREFLIGHT": "off"}
        return {**usual, "OCHY_STATE_DIR": state, **env}

    @property
    def starts(self) -> int:
        """The number of starts that were sent."""
        return self.service.count(START)

    @property
    def ids(self) -> list[str]:
        """The ids of all analyses that were charged."""
        return [str(charge.analysis_id) for charge in self.service.ledger]


def run_cli(*args: str, **env: str | None) -> Result:
    return CliRunner().invoke(ochy, args, env={"OCHY_API_KEY_FILE": None, **env}, prog_name="ochy")


def json_lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@contextmanager
def cli_harness(settings: EmulatorSettings, folder: Path) -> Generator[CliHarness]:
    folder.mkdir(exist_ok=True)
    service, skipped = RecordingService(settings), [0.0]
    emulator = Emulator(service, clock=lambda: time.time() + skipped[0])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield CliHarness(emulator, service, folder, skipped)


# Tests that run in the background may have SIGINT disabled, and child processes inherit that.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ochy_async.cli import main
main()
"""


@contextmanager
def cli_process(
    *args: str, folder: Path, env: dict[str, str], cwd: Path | None = None
) -> Generator[subprocess.Popen[str]]:
    """Runs the command line in a child process; its output is in files in `folder`, which are searched for secrets."""
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        command = [sys.executable, "-c", PROGRAM, *args]
        child = subprocess.Popen(command, stdout=out, stderr=err, text=True, env=env, cwd=cwd)  # noqa: S603
        try:
            yield child
        finally:
            child.kill()
            child.wait(10)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
