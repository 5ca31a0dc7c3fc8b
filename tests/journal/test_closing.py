"""Opening and closing a journal: whatever interrupts it, confirmed changes are stored and nothing stays open."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from anyio import to_thread
from attrs import evolve

from ochy_async.errors import JournalError, JournalUnusable
from ochy_async.journal.sqlite import store
from ochy_async.journal.sqlite.journal import SqliteJournal, finish_in_thread
from ochy_async.policy.clip_states import State
from tests.journal.test_files import connection_of, files_held, fill_up, small_disk, until_full
from tests.journal.test_journal import listed, new, stored_in_state

__all__ = ["small_disk"]

pytestmark = pytest.mark.anyio

ITERATIONS = range(40)
"""The loop iterations at which the interruption comes; after a dozen of them only the thread is waited for."""
ENTRIES = 3

Leaving = Callable[[], None]
"""Called when the block is about to be left."""


# --- interruptions --------------------------------------------------------------------------------


async def write_and_close(path: Path, leaving: Leaving) -> None:
    """Writes into a journal and leaves its block."""
    async with SqliteJournal(path) as journal:
        for number in range(ENTRIES):
            await stored_in_state(journal, State.STARTED, str(number), analysis_id=f"id-{number}")
        leaving()


async def after(iterations: int, begun: asyncio.Event, action: Callable[[], object]) -> None:
    """Calls a function some loop iterations after something else has begun."""
    await begun.wait()
    for _ in range(iterations):
        await asyncio.sleep(0)
    action()


async def by_a_timeout(path: Path, iterations: int) -> None:
    """The time limit of the entire block is reached."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:

        def out_of_time() -> None:
            if not scope.expired():
                scope.reschedule(loop.time())

        clock = asyncio.ensure_future(after(iterations, begun, out_of_time))
        try:
            await write_and_close(path, begun.set)
        finally:
            clock.cancel()


async def by_a_sibling(path: Path, iterations: int) -> None:
    """Another task of its group fails."""
    begun = asyncio.Event()

    def fail() -> None:
        raise LookupError

    async with asyncio.TaskGroup() as group:
        group.create_task(write_and_close(path, begun.set))
        group.create_task(after(iterations, begun, fail))


async def by_hand(path: Path, iterations: int, times: int = 1) -> None:
    """The task is cancelled, once or several times in a row."""
    begun = asyncio.Event()
    task = asyncio.ensure_future(write_and_close(path, begun.set))
    await after(iterations, begun, lambda: None)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await task


async def by_hand_twice(path: Path, iterations: int) -> None:
    """The user presses Ctrl-C twice."""
    await by_hand(path, iterations, times=2)


async def by_hand_for_long(path: Path, iterations: int) -> None:
    """The task is cancelled in every loop iteration, as a cancel scope does."""
    await by_hand(path, iterations, times=50)


BREAKS: list[Callable[[Path, int], Coroutine[Any, Any, None]]] = [
    by_a_timeout,
    by_a_sibling,
    by_hand,
    by_hand_twice,
    by_hand_for_long,
]


# --- the next opening -----------------------------------------------------------------------------


async def loss(path: Path) -> str:
    """What is wrong with a closed journal; empty if nothing is."""
    threads = [each.name for each in threading.enumerate() if "journal" in each.name]
    held = files_held(path)
    gc.collect()
    try:
        async with SqliteJournal(path) as journal:
            there = len(await listed(journal, State.STARTED))
    except JournalError as error:
        return f"{type(error).__name__}: {error}"
    wrong = [f"{there} of {ENTRIES} entries"] if there != ENTRIES else []
    wrong += ["threads left"] if threads else []
    wrong += ["handles left"] if held else []
    return ", ".join(wrong)


async def ended(work: Awaitable[None]) -> None:
    """Waits for a task, whatever it ends with."""
    with suppress(asyncio.CancelledError, TimeoutError, LookupError, ExceptionGroup):
        await work


@pytest.mark.parametrize("interrupt", BREAKS)
async def test_closing_may_be_interrupted_at_any_iteration(
    tmp_path: Path, interrupt: Callable[[Path, int], Coroutine[Any, Any, None]]
) -> None:
    """All confirmed changes are there at once, and no handle or thread is left."""
    wrong: dict[int, str] = {}
    for iterations in ITERATIONS:
        path = tmp_path / f"{iterations}.journal"
        await ended(interrupt(path, iterations))
        if found := await loss(path):
            wrong[iterations] = found
    assert wrong == {}


async def open_and_wait(path: Path, entering: Leaving) -> None:
    """Opens a journal and stays in its block for a while."""
    entering()
    async with SqliteJournal(path):
        await asyncio.sleep(0.001)


async def test_opening_may_be_interrupted_at_any_iteration(tmp_path: Path) -> None:
    """Its content is there at once, and no handle or thread is left."""
    wrong: dict[int, str] = {}
    for iterations in ITERATIONS:
        path = tmp_path / f"{iterations}.journal"
        await write_and_close(path, lambda: None)
        begun = asyncio.Event()
        task = asyncio.ensure_future(open_and_wait(path, begun.set))
        await after(iterations, begun, task.cancel)
        await ended(task)
        if found := await loss(path):
            wrong[iterations] = found
    assert wrong == {}


@pytest.mark.parametrize("times", [1, 2, 20])
async def test_closing_comes_back_after_its_thread(times: int) -> None:
    """However often it is cancelled: the cancellation is raised once the work has ended, and the loop runs on."""
    released, done = threading.Event(), threading.Event()

    def work() -> None:
        released.wait(60)
        done.set()

    task = asyncio.ensure_future(finish_in_thread(work))
    for _ in range(times):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not done.is_set(), "the loop was held until the work had ended"
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    assert "ochy-journal" not in [thread.name for thread in threading.enumerate()]


# --- every line -----------------------------------------------------------------------------------


def raise_at(line: int, work: Callable[[], None]) -> bool:
    """Does the work and raises SystemExit at a line of this thread. Returns whether it had so many lines."""
    remaining = line

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal remaining
        name = frame.f_code.co_filename.replace(os.sep, "/")
        if "ochy_async/journal/" not in name and "ochy_async/cancellation.py" not in name:
            return None
        if event == "line":
            remaining -= 1
            if remaining == 0:
                raise SystemExit
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    except SystemExit:
        return True
    finally:
        sys.settrace(before)
    return remaining <= 0


def close_with_exit_at(path: Path, line: int) -> bool:
    """Opens a journal, writes, and closes it with an exit at a line that runs on the event loop."""
    found = False

    async def main() -> None:
        nonlocal found
        journal = await SqliteJournal(path).__aenter__()
        for number in range(ENTRIES):
            await stored_in_state(journal, State.STARTED, str(number), analysis_id=f"id-{number}")
        closing = journal.__aexit__(None, None, None)

        def once() -> None:
            with suppress(StopIteration):
                closing.send(None)

        found = raise_at(line, once)
        closing.close()

    asyncio.run(main())
    forget()
    return found


def forget() -> None:
    """Waits for the threads of a loop that has ended, as an interpreter does, and collects garbage."""
    for thread in threading.enumerate():
        if thread.name in ("ochy-journal", "AnyIO worker thread"):
            thread.join()
    gc.collect()


@pytest.mark.filterwarnings(
    "ignore:unclosed database:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_an_exit_at_any_line_of_closing_loses_nothing(tmp_path: Path) -> None:
    """As from a signal handler: the log stays unless the file holds everything."""
    wrong: dict[int, str] = {}
    line = 1
    while close_with_exit_at(path := tmp_path / f"{line}.journal", line):
        if found := asyncio.run(loss(path)):
            wrong[line] = found
        line += 1
    assert wrong == {}
    assert line > 10


@pytest.mark.filterwarnings(
    "ignore:unclosed database:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_journal_that_nobody_leaves_loses_nothing(tmp_path: Path) -> None:
    """As by a framework that never resumes its block: the next process reads the log."""
    path = tmp_path / "clips.journal"

    async def forgetful() -> None:
        journal = await SqliteJournal(path).__aenter__()
        for number in range(ENTRIES):
            await stored_in_state(journal, State.STARTED, str(number), analysis_id=f"id-{number}")

    asyncio.run(forgetful())
    forget()
    assert path.with_name(f"{path.name}-wal").stat().st_size
    assert not asyncio.run(loss(path))


# --- full disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [1, 5, 25])
@pytest.mark.parametrize("room", [0, 1, 2, 3, 6, 12])
async def test_closing_on_a_full_disk_loses_nothing(small_disk: Path, entries: int, room: int) -> None:
    """With any number of free pages, all confirmed changes are there once there is space."""
    path, ballast = small_disk / "clips.journal", small_disk / "ballast"
    ballast.write_bytes(bytes(4096 * room))
    async with SqliteJournal(path) as journal:
        for number in range(entries):
            await stored_in_state(journal, State.STARTED, str(number))
        fill_up(small_disk / "more")
        ballast.unlink()
    (small_disk / "more").unlink()
    async with SqliteJournal(path) as journal:
        assert len(await listed(journal)) == entries


async def test_filling_the_disk_loses_nothing(small_disk: Path) -> None:
    """No confirmed change is lost, and nothing needs a repair."""
    path, ballast = small_disk / "clips.journal", small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    async with SqliteJournal(path) as journal:
        stored = await until_full(journal)
    ballast.unlink()
    async with SqliteJournal(path) as journal:
        assert len(await listed(journal)) == stored


async def test_a_log_that_cannot_be_tidied_up_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning names a log that has to stay beside the journal."""
    path = tmp_path / "clips.journal"
    async with SqliteJournal(path) as journal:
        await journal.put(new())
        connection_of(journal).execute("PRAGMA query_only = ON")
    assert "clips.journal-wal stays beside it" in caplog.text
    async with SqliteJournal(path) as journal:
        assert await journal.get("a") is not None


# --- one process ----------------------------------------------------------------------------------


FORKS = """
import os, sys, warnings
sys.path.append(sys.argv[2])
warnings.simplefilter("ignore", DeprecationWarning)  # forking while there are threads is what this test is about
import anyio, asyncio, threading
from tests.journal.test_journal import new
from ochy_async.errors import JournalError
from ochy_async.journal.sqlite.journal import SqliteJournal, finish_in_thread

async def tried():
    for action in (journal.get("a"), journal.put(new("c")), journal.__aenter__(), SqliteJournal(path).__aenter__()):
        try:
            await action
        except JournalError as error:
            print(error, flush=True)
    await journal.__aexit__(None, None, None)

path = sys.argv[1]
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
journal = SqliteJournal(path)

def awaited(action):
    return asyncio.run_coroutine_threadsafe(action, loop).result(30)

awaited(journal.__aenter__())
awaited(journal.put(new("a")))
child = os.fork()
if not child:
    anyio.run(tried)
    sys.exit(7)  # an ordinary exit, which finalizes all objects
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print("log", os.path.getsize(path + "-wal") > 0, flush=True)
awaited(journal.put(new("b")))
awaited(journal.__aexit__(None, None, None))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
async def test_a_forked_child_leaves_the_journal_of_its_parent_alone(tmp_path: Path) -> None:
    """The child gets an error, cannot open the file a second time, and changes nothing when it ends."""
    path = tmp_path / "clips.journal"
    command = [sys.executable, "-c", FORKS, str(path), str(Path(__file__).parents[2])]
    done = await to_thread.run_sync(partial(subprocess.run, command, capture_output=True, text=True, timeout=60))
    printed = done.stdout.splitlines()
    assert [line for line in printed if "from which this one was forked" in line] == printed[:3], done.stderr
    assert "is open elsewhere" in printed[3]
    assert printed[4:] == ["child 7", "log True"], done.stderr
    async with SqliteJournal(path) as journal:
        assert [entry.key for entry in await listed(journal)] == ["a", "b"]


def moved(path: Path) -> None:
    """Another name for the file."""
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    """Another journal under its name."""
    path.rename(path.with_name("elsewhere"))
    path.with_name(f"{path.name}-wal").rename(path.with_name("elsewhere-wal"))
    store.open_store(path).close()


def deleted(path: Path) -> None:
    """The file and its log are gone."""
    path.unlink()
    without_its_log(path)


def without_its_log(path: Path) -> None:
    """The log alone was deleted."""
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be moved there")
@pytest.mark.parametrize("fate", [moved, replaced, deleted, without_its_log])
async def test_a_journal_that_is_taken_away_intends_nothing(tmp_path: Path, fate: Callable[[Path], None]) -> None:
    """No start is intended or sent that the next run would not find; paid analyses are still recorded."""
    path = tmp_path / "clips.journal"
    async with SqliteJournal(path) as journal:
        entry = await journal.put(new())
        fate(path)
        with pytest.raises(JournalUnusable, match="deleted, moved or replaced while it was open"):
            await journal.put(new("b"))
        with pytest.raises(JournalUnusable, match="deleted, moved or replaced while it was open"):
            await journal.put(evolve(entry, state=State.SENDING))
        await journal.put(evolve(entry, state=State.STARTED, analysis_id="paid"))
