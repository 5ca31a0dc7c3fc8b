"""A signal may interrupt a start at any line; whatever has happened by then, the next run does not buy it twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

import ochy_async
from ochy_async.emulator import Emulator, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from tests.conftest import direct_session, world
from tests.support.batches import batched, charges, clips

PACKAGE = Path(ochy_async.__file__).parent
ATOMIC = (PACKAGE / "journal" / "memory.py", PACKAGE / "emulator")
"""What stands for the disk and the vendor: these are not interrupted."""
MIN_LINES = 80
"""Lines between the intent and the id; with fewer the test has missed some."""


@cache
def path_in_package(filename: str) -> str | None:
    """The path of a file in the package; None for a file that is not interrupted."""
    path = Path(filename)
    if PACKAGE not in path.parents or any(each == path or each in path.parents for each in ATOMIC):
        return None
    return str(path.relative_to(PACKAGE))


class InterruptingJournal(MemoryJournal):
    """A journal that traces the lines of a start, and raises `kind` at line number `at`."""

    def __init__(self, at: int | None, kind: type[BaseException]) -> None:
        super().__init__()
        self.at, self.kind = at, kind
        self.lines: list[str] = []

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is State.INTENDED:
            sys.settrace(self.trace)
        try:
            return await super().put(entry, results, most=most)
        finally:
            if entry.state is State.STARTED:
                sys.settrace(None)

    def stop(self) -> list[str]:
        """Releases what the process held, and returns the traced lines."""
        self.at, self._worker = None, None
        return [*self.lines]

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """A trace function: called when the loop resumes a coroutine, and for each of its lines."""
        file = path_in_package(frame.f_code.co_filename)
        if file is None:
            return None
        if event == "line":
            self.lines.append(f"{file}:{frame.f_lineno}")
            if len(self.lines) - 1 == self.at:
                sys.settrace(None)
                raise self.kind
        return self.trace


def interrupted(at: int | None, kind: type[BaseException], *, tagged: bool) -> tuple[list[str], Service, str]:
    """Runs a batch of one clip that `kind` interrupts, and a second run on its journal.

    Returns the traced lines, the service, and the outcome of the second run.
    """
    service, journal = Service(world()), InterruptingJournal(at, kind)
    settings: dict[str, Any] = {"journal": journal, "tag_starts": tagged, "timeout": 1}  # results are not needed
    before = sys.gettrace()
    try:
        in_virtual_time(batched(direct_session(service), clips(1), **settings))
    except kind:
        pass
    except RuntimeError as error:  # anyio may raise this if a cancel scope inside of another one was not left
        if "cancel scope" not in str(error):
            raise
    except BaseExceptionGroup as group:  # or this
        if group.split((kind, RuntimeError))[1] is not None:
            raise
    finally:
        sys.settrace(before)
    lines = journal.stop()
    (second,) = in_virtual_time(batched(direct_session(service), clips(1), **settings))
    sys.settrace(before)
    return lines, service, second.word


@pytest.mark.parametrize(("kind", "tagged"), [(SystemExit, False), (KeyboardInterrupt, True)])
def test_a_signal_may_interrupt_a_start_at_any_line(kind: type[BaseException], *, tagged: bool) -> None:
    """A handler raises between the intent and the id: the clip is charged once or not at all, never twice."""
    in_virtual_time(batched(direct_session(), clips(1)))  # work that a process does only once is done here
    lines = interrupted(None, kind, tagged=tagged)[0]
    assert len(lines) >= MIN_LINES
    twice = {at: lines[at] for at in range(len(lines)) if sum(charges(interrupted(at, kind, tagged=tagged)[1])) > 1}
    assert twice == {}


PROCESS = """
import asyncio, logging, os, signal, sys
from datetime import UTC, datetime

from ochy_async import OchySession, SideView

signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
url, journal, clip, mode = sys.argv[1:]
answered = []

class Answered(logging.Handler):
    def emit(self, record):
        if record.getMessage() == "POST /analysis/start: HTTP 202":
            answered.append(record)

def clock():
    if answered and mode == "interrupt":
        answered.clear()
        os.kill(os.getpid(), signal.SIGTERM)
    return datetime.now(UTC)

logging.getLogger("ochy_async").addHandler(Answered())
logging.getLogger("ochy_async").setLevel(logging.DEBUG)

async def main():
    async with OchySession(base_url=url, clock=clock, preflight="off") as ochy:
        async with ochy.batch(SideView(), journal=journal) as batch:
            async for outcome in batch.run([clip]):
                print(outcome.word)

asyncio.run(main())
"""


def run_process(*args: str) -> subprocess.CompletedProcess[str]:
    """Runs a process with a batch of one clip whose SIGTERM handler calls `sys.exit`, as in many services."""
    command = [sys.executable, "-c", PROCESS, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process on Windows")
def test_a_process_whose_signal_handler_exits_buys_once(tmp_path: Path) -> None:
    """The signal comes while the answer to the start is processed; the same program once more only collects."""
    (tmp_path / "clip.mp4").write_bytes(clips(1)[0])
    journal, clip = str(tmp_path / "batch.journal"), str(tmp_path / "clip.mp4")
    emulator = Emulator(world(), speed=50)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        first = run_process(emulator.url, journal, clip, "interrupt")
        assert (first.returncode, first.stdout, charges(emulator.service)) == (3, "", [1]), first.stderr
        again = run_process(emulator.url, journal, clip, "run")
        assert (again.stdout, charges(emulator.service)) == ("analyzed\n", [1]), again.stderr


def _main() -> None:
    """Prints how each interruption ends, and which ones buy twice."""
    for kind in (SystemExit, KeyboardInterrupt):
        for tagged in (False, True):
            in_virtual_time(batched(direct_session(), clips(1)))
            lines, ends = interrupted(None, kind, tagged=tagged)[0], Counter[tuple[str, int]]()
            unexpected = []
            for at, line in enumerate(lines):
                _, service, word = interrupted(at, kind, tagged=tagged)
                ends[word, sum(charges(service))] += 1
                if (word, sum(charges(service))) != ("unfinished", 1):
                    unexpected.append(f"{line} {word} {charges(service)}")
            print(
                kind.__name__,
                "tagged" if tagged else "plain",
                f"{len(lines)} lines",
                dict(ends),
                *unexpected,
                sep="\n",
            )


if __name__ == "__main__":
    _main()
