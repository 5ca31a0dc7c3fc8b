"""Two machines that run `ochy analyze` with the same bucket and the same journal in Postgres, and are killed.

A machine is a group of processes. A single process is killed with SIGKILL, or a whole machine, and started again. At
the end the same command runs once more, and the emulator's ledger is compared with its outcomes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from ochy_async.cli.exit_codes import ExitCode
from ochy_async.emulator import Emulator, sample_clip
from tests.support.canary import leaks
from tests.support.object_servers import ObjectServer

__all__ = ["BucketCampaign", "fill"]

MACHINES: Final = 2
PROCESSES: Final = 2
"""Of each machine."""
PAUSES: Final = (0.2, 1.5)
"""Seconds between two kills."""
PATIENCE: Final = 300.0
"""Seconds until a campaign has failed."""
TWICE: Final = 8
"""Every so many objects, one has the content of another one."""


def fill(server: ObjectServer, bucket: str, clips: int, seed: int) -> int:
    """Stores clips in a bucket. Returns how many different ones there are."""
    distinct = clips - clips // TWICE
    for number in range(clips):
        content = sample_clip(100_000 * seed + number % distinct, size=40_000)
        server.put(bucket, f"clips/{number:04}.mp4", content)
    return distinct


@frozen
class _Started:
    process: subprocess.Popen[bytes]
    machine: int


@define(eq=False)
class BucketCampaign:
    """Two machines whose processes all have the same command."""

    words: tuple[str, ...]
    """Of the command line."""
    environment: Mapping[str, str]
    folder: Path
    """For what the commands print."""
    emulator: Emulator
    chance: random.Random
    kills: int = 0
    machines_killed: int = 0
    outcomes: list[dict[str, Any]] = field(factory=list)
    _running: list[_Started] = field(factory=list)
    _starts: int = 0
    _groups: dict[int, int] = field(factory=dict)
    """The process group of each machine."""

    def run(self, kills: int) -> None:
        """Kills so many times, lets the commands finish, and runs the command once more."""
        deadline = time.monotonic() + PATIENCE
        try:
            for machine in range(MACHINES):
                self._begin(machine)
            while self._running:
                assert time.monotonic() < deadline, f"did not finish: {self._last_lines()}"
                time.sleep(self.chance.uniform(*PAUSES))
                self._forget_finished()
                if self._running and self.kills < kills and self.emulator.service.ledger:
                    self._kill(self.chance.choice(self._running))
        finally:
            for machine in range(MACHINES):
                self._end(machine)
        last = self._start(None)
        try:
            last.wait(PATIENCE)
        finally:
            last.kill()
            last.wait()
        self.outcomes = [json.loads(line) for line in self._output(self._starts - 1, "out").splitlines()]

    @property
    def charges(self) -> Counter[str]:
        """The charges of each content."""
        return Counter(charge.sha256 for charge in self.emulator.service.ledger)

    def leaks(self) -> bool:
        """Whether a command printed a secret."""
        return any(leaks(path.read_text(errors="replace")) for path in self.folder.iterdir())

    def _begin(self, machine: int) -> None:
        self._groups.pop(machine, None)
        for _ in range(PROCESSES):
            self._running.append(_Started(self._start(machine), machine))

    def _start(self, machine: int | None) -> subprocess.Popen[bytes]:
        """Starts a process in the group of its machine, which the first one of them makes."""
        number, self._starts = self._starts, self._starts + 1
        group = 0 if machine is None else self._groups.get(machine, 0)
        with (self.folder / f"{number}.out").open("wb") as out, (self.folder / f"{number}.err").open("wb") as err:
            process = subprocess.Popen(  # noqa: S603 - a program of the tests
                [sys.executable, "-m", "tests.support.accelerated_command", *self.words],
                stdout=out,
                stderr=err,
                env={**os.environ, **self.environment},
                process_group=group,
            )
        if machine is not None:
            self._groups.setdefault(machine, process.pid)
        return process

    def _forget_finished(self) -> None:
        finished = [each for each in self._running if each.process.poll() is not None]
        for each in finished:
            assert each.process.returncode in (ExitCode.OK, ExitCode.UNCERTAIN), (
                f"a command failed: {self._last_lines()}"
            )
        self._running = [each for each in self._running if each not in finished]

    def _kill(self, victim: _Started) -> None:
        self.kills += 1
        if self.chance.random() < 0.3:
            self.machines_killed += 1
            self._end(victim.machine)
            self._begin(victim.machine)
        else:
            victim.process.kill()
            victim.process.wait()
            self._running.remove(victim)
            alive = any(each.machine == victim.machine for each in self._running)
            if not alive:
                self._groups.pop(victim.machine)
            self._running.append(_Started(self._start(victim.machine), victim.machine))

    def _end(self, machine: int) -> None:
        """Kills all processes of a machine at once."""
        members = [each for each in self._running if each.machine == machine]
        if members:
            with suppress(ProcessLookupError):
                os.killpg(self._groups[machine], signal.SIGKILL)
        for each in members:
            each.process.wait()
        self._running = [each for each in self._running if each not in members]

    def _output(self, number: int, stream: str) -> str:
        return (self.folder / f"{number}.{stream}").read_text()

    def _last_lines(self) -> str:
        return "\n".join(self._output(number, "err")[-500:] for number in range(self._starts))
