"""What the tests of `docs/examples` share: an example as a module, and a service as a process."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import define

from tests.support.canary import HOOK_TOKEN
from tests.support.ports import free_port

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"
SECONDS: Final = 30.0


def load_example(name: str) -> ModuleType:
    """The example as a module, which is not left in `sys.modules` under a name as common as its own."""
    spec = importlib.util.spec_from_file_location(f"ochy_example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """The first true value of the condition."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


@define
class ServiceProcess:
    """A service of `docs/examples` in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def end(self) -> int:
        """Waits for the end of the process and returns its exit code."""
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        """SIGKILL: the process can do nothing about it."""
        self.process.kill()
        self.process.wait(SECONDS)


class Clock:
    """The emulator's clock, which can jump: to the end of an analysis that takes minutes."""

    skipped = 0.0

    def __call__(self) -> float:
        return time.time() + self.skipped


@contextmanager
def serving(example: str, ochy_url: str, folder: Path, **environment: str) -> Generator[ServiceProcess]:
    """Runs a service over the jobs in a folder, against the emulator at `ochy_url`. It is killed at the end.

    Its output is a file in the folder, which is searched for secrets.
    """
    port, log = free_port(), folder / f"{time.monotonic_ns()}.log"
    env = {
        **os.environ,
        "OCHY_BASE_URL": ochy_url,
        "OCHY_WEBHOOK_TOKEN": HOOK_TOKEN,
        "JOBS_FOLDER": str(folder / "jobs"),
        "PORT": str(port),
        **environment,
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path),
    }
    with log.open("wb") as output:
        command = [sys.executable, str(EXAMPLES / f"{example}.py")]
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)  # noqa: S603 - our own program
    try:
        wait_until(lambda: _accepts(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield ServiceProcess(process, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait(SECONDS)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
