"""A signal may strike at any line: whatever a start has come to by then, the next run does not buy it twice."""

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
from tests.batch.test_batch import batched, charges, clips
from tests.conftest import direct_session, world

HOUSE = Path(ochy_async.__file__).parent
WHOLE = (HOUSE / "journal" / "memory.py", HOUSE / "emulator")
"""What stands for a disk and for the vendor: nothing of that happens by halves."""
LEAST = 80
"""Lines between the intent and the id: a walk that is shorter has missed some."""


@cache
def of_the_library(filename: str) -> str | None:
    """The file as it lies in the library; None for one that is not walked through."""
    path = Path(filename)
    if HOUSE not in path.parents or any(each == path or each in path.parents for each in WHOLE):
        return None
    return str(path.relative_to(HOUSE))


class Strike(MemoryJournal):
    """A journal that sees the way of a start, and raises `kind` at one line of the library on it: at number `at`."""

    def __init__(self, at: int | None, kind: type[BaseException]) -> None:
        super().__init__()
        self.at, self.kind = at, kind
        self.lines: list[str] = []

    async def put(self, entry: Entry, results: StoredResults | None = None) -> Entry:
        if entry.state is State.INTENDED:
            sys.settrace(self.walked)
        try:
            return await super().put(entry, results)
        finally:
            if entry.state is State.STARTED:
                sys.settrace(None)

    def ended(self) -> list[str]:
        """Lets go of what the process held, and gives the lines of its walk."""
        self.at, self._open = None, False
        return [*self.lines]

    def walked(self, frame: FrameType, event: str, _: Any) -> Any:
        """A trace function: called when the loop goes on with a coroutine, and for each of its lines."""
        file = of_the_library(frame.f_code.co_filename)
        if file is None:
            return None
        if event == "line":
            self.lines.append(f"{file}:{frame.f_lineno}")
            if len(self.lines) - 1 == self.at:
                sys.settrace(None)
                raise self.kind
        return self.walked


def struck(at: int | None, kind: type[BaseException], *, tagged: bool) -> tuple[list[str], Service, str]:
    """A batch of one clip into which `kind` strikes, and a second run on its journal: how that ends."""
    service, journal = Service(world()), Strike(at, kind)
    settings: dict[str, Any] = {"journal": journal, "tag_starts": tagged, "timeout": 1}  # results are not the matter
    before = sys.gettrace()
    try:
        in_virtual_time(batched(direct_session(service), clips(1), **settings))
    except kind:
        pass
    except BaseExceptionGroup as group:  # where it kept a cancel scope from being left, anyio says so with this
        if group.split((kind, RuntimeError))[1] is not None:
            raise
    finally:
        sys.settrace(before)
    lines = journal.ended()
    (second,) = in_virtual_time(batched(direct_session(service), clips(1), **settings))
    sys.settrace(before)
    return lines, service, second.word


@pytest.mark.parametrize(("kind", "tagged"), [(SystemExit, False), (KeyboardInterrupt, True)])
def test_a_signal_may_strike_at_any_line_of_a_start(kind: type[BaseException], *, tagged: bool) -> None:
    """A handler that raises, between the intent and the id: the clip is charged once, or not, and never twice."""
    in_virtual_time(batched(direct_session(), clips(1)))  # what happens once in a process happens now
    lines = struck(None, kind, tagged=tagged)[0]
    assert len(lines) >= LEAST
    twice = {at: lines[at] for at in range(len(lines)) if sum(charges(struck(at, kind, tagged=tagged)[1])) > 1}
    assert twice == {}


PROCESS = """
import asyncio, logging, os, signal, sys
from datetime import UTC, datetime

from ochy_async import OchySession, SideView

signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
url, journal, clip, struck = sys.argv[1:]
answered = []

class Answered(logging.Handler):
    def emit(self, record):
        if record.getMessage() == "POST /analysis/start: HTTP 202":
            answered.append(record)

def clock():
    if answered and struck == "struck":
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


def ran(*args: str) -> subprocess.CompletedProcess[str]:
    """A process with a batch of one clip; its handler of SIGTERM calls `sys.exit`, as those of many services do."""
    command = [sys.executable, "-c", PROCESS, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process where others get SIGTERM")
def test_a_process_whose_handler_exits_when_it_is_terminated_buys_once(tmp_path: Path) -> None:
    """The signal comes while the answer to the start is taken in; the same program once more only collects."""
    (tmp_path / "clip.mp4").write_bytes(clips(1)[0])
    journal, clip = str(tmp_path / "batch.journal"), str(tmp_path / "clip.mp4")
    emulator = Emulator(world(), speed=50)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        struck = ran(emulator.url, journal, clip, "struck")
        assert (struck.returncode, struck.stdout, charges(emulator.service)) == (3, "", [1]), struck.stderr
        again = ran(emulator.url, journal, clip, "calm")
        assert (again.stdout, charges(emulator.service)) == ("analyzed\n", [1]), again.stderr


def _main() -> None:
    """Tells how each strike ends, and which ones buy twice."""
    for kind in (SystemExit, KeyboardInterrupt):
        for tagged in (False, True):
            in_virtual_time(batched(direct_session(), clips(1)))
            lines, ends = struck(None, kind, tagged=tagged)[0], Counter[tuple[str, int]]()
            doubtful = []
            for at, line in enumerate(lines):
                _, service, word = struck(at, kind, tagged=tagged)
                ends[word, sum(charges(service))] += 1
                if (word, sum(charges(service))) != ("unfinished", 1):
                    doubtful.append(f"{line} {word} {charges(service)}")
            print(
                kind.__name__,
                "on a lane" if tagged else "plain",
                f"{len(lines)} lines",
                dict(ends),
                *doubtful,
                sep="\n",
            )


if __name__ == "__main__":
    _main()
