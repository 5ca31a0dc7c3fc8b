"""A journal in an SQLite file: durable, for one process at a time. Runs the store in worker threads.

Invariant: no SQL runs on the event loop, no error of SQLite reaches the caller, and changes that wait during a commit
share the next one.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, Event, Lock, current_time, move_on_after, to_thread
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from ...cancellation import run_to_completion
from ...errors import JournalBusy, JournalError
from ...policy.clip_states import State
from ..contract import Ceilings, Entry, HistoryEntry, JournalTotals, StoredResults
from .errors import SQLITE_ERRORS, from_sqlite_error, unusable_error
from .store import Store, open_store

__all__ = ["SqliteJournal", "finish_in_thread"]

T = TypeVar("T")


class _Change(Generic[T]):
    """A change that waits for a commit, and its result."""

    def __init__(self, make: Callable[[Store], T]) -> None:
        self.make = make
        self.done = False
        self._result: Any = None

    def finish(self, result: Any) -> None:
        """Sets the result: a value, or the exception that `result` raises."""
        self._result, self.done = result, True

    def result(self) -> T:
        if not self.done:
            raise JournalError(
                "A thread was interrupted while it stored a change, which may be stored or lost. Run again."
            )
        if isinstance(self._result, Exception):
            raise self._result
        result: T = self._result
        return result


def _raise_error(result: T | JournalError) -> T:
    if isinstance(result, JournalError):
        raise result
    return result


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Runs `work` in a thread of its own and returns its result, or raises its error, once the thread has ended.

    A cancellation that comes meanwhile is raised after that. A worker thread of anyio cannot be used here:
    `Task.cancel()` abandons it, or keeps it from starting.
    """
    loop, ended, future = asyncio.get_running_loop(), asyncio.Event(), Future[T]()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised by `future.result()`
            future.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed, and nothing waits any more
            loop.call_soon_threadsafe(ended.set)

    thread = threading.Thread(target=run, name="ochy-journal")
    thread.start()
    try:
        await run_to_completion(ended.wait)
    finally:
        thread.join()
    return future.result()


class SqliteJournal:
    """Stores entries in the file `path`, which is created if needed.

    Use it as `async with`. Inside the block the file belongs to this process alone, by a lock of the operating system
    that ends with the process. While the journal is open, and after a crash, `…-wal` is beside the file; the two belong
    together. Network file systems are refused on Linux and Windows; on other systems avoid them yourself.
    Entering raises `JournalError` and its subclasses, before a credit is spent.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._store: Store | None = None
        self._store_lock = threading.Lock()
        """Held by the thread that uses the store: a thread that `Task.cancel()` abandons runs on for a moment."""
        self._pending: deque[_Change[Any]] = deque()
        self._block: object | None = None
        """Identifies the `async with` block in which the journal is used; None outside of one."""
        self._process = os.getpid()
        """The process that entered the block: a forked child must not use SQLite."""
        self._claims: dict[str, Event] = {}
        """The names that this worker, the only one, holds; each event is set when its claim ends."""
        self._paused_until = 0.0
        self._reserved: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<SqliteJournal in {str(self._path)!r}>"

    @property
    def shared(self) -> bool:
        return False

    @property
    def ceilings(self) -> Ceilings:
        return Ceilings()

    @property
    def failover(self) -> bool:
        return False

    async def __aenter__(self) -> Self:
        if self._block is not None:
            self._check_process()
            raise JournalBusy(f"The journal {str(self._path)!r} is already open. End that batch first.")
        self._block, self._process = object(), os.getpid()
        self._commit_lock = Lock()
        self._limiter = CapacityLimiter(1)
        self._paused_until, self._reserved = 0.0, {}
        try:
            await self._in_thread(partial(self._open, self._block))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    # --- entries ------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        return await self._read(lambda store: store.get(key))

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        return await self._write(lambda store: store.put(entry, results, most=most, held=self._claims))

    async def put_all(self, entries: Sequence[Entry]) -> None:
        await self._write(lambda store: store.put_all(entries))

    async def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        return await self._write(lambda store: store.add_analysis(key, analysis_id, reason))

    async def results(self, key: str) -> StoredResults | None:
        return await self._read(lambda store: store.results(key))

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        after = 0
        while page := await self._read(partial(Store.entries, states=states, after=after)):
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        return await self._read(lambda store: store.history(key))

    async def totals(self) -> JournalTotals:
        return await self._read(lambda store: store.totals(self._claims))

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        return await self._read(lambda store: store.known(analysis_ids))

    # --- notes, tagging subjects, digests -------------------------------------------------------------

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        return await self._read(lambda store: store.notes(prefix, since))

    async def set_note(self, name: str, value: str) -> None:
        await self._write(lambda store: store.set_note(name, value))

    async def swap_note(self, name: str, before: str | None, value: str) -> bool:
        return await self._write(lambda store: store.swap_note(name, before, value))

    async def tagging_subjects(self) -> Mapping[str, bool]:
        return await self._read(Store.tagging_subjects)

    async def add_tagging_subject(self, subject_id: str) -> None:
        await self._write(lambda store: store.add_tagging_subject(subject_id))

    async def retire_tagging_subject(self, subject_id: str) -> None:
        await self._write(lambda store: store.retire_tagging_subject(subject_id))

    async def remembered_digest(self, source: str) -> str | None:
        return await self._read(lambda store: store.remembered_digest(source))

    async def remember_digest(self, source: str, digest: str) -> None:
        await self._write(lambda store: store.remember_digest(source, digest))

    # --- workers: this one is the only one, so claims, the pause and rates live in this object --------

    async def take(self, *names: str) -> str | None:
        await self._checkpoint()
        for name in names[:1]:  # no other worker holds any of them
            self._claims.setdefault(name, Event())
        return names[0] if names else None

    async def leave(self, name: str) -> None:
        await self._checkpoint()
        if (ended := self._claims.pop(name, None)) is not None:
            ended.set()

    async def holder(self, name: str) -> str | None:
        await self._checkpoint()
        return "this process" if name in self._claims else None

    async def changed(self, name: str, seconds: float) -> None:
        await self._checkpoint()
        if (ended := self._claims.get(name)) is not None:
            with move_on_after(seconds):
                await ended.wait()

    async def beat(self) -> float:
        await self._checkpoint()
        return max(0.0, self._paused_until - current_time())

    async def now(self) -> datetime | None:
        await self._checkpoint()
        return None

    async def pause(self, seconds: float) -> None:
        await self._checkpoint()
        self._paused_until = current_time() + seconds

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        await self._checkpoint()
        now = current_time()
        first = max(now, self._reserved.get(name, now))
        self._reserved[name] = first + count / per_second
        return first - now

    async def end_failover(self) -> None:
        await self._checkpoint()

    async def _checkpoint(self) -> None:
        """Lets other tasks run before a call that needs no thread."""
        self._require_open()
        await checkpoint()

    # --- on the event loop --------------------------------------------------------------------------

    async def _read(self, query: Callable[[Store], T]) -> T:
        self._require_open()
        return await self._in_thread(lambda: query(self._require_open()))

    async def _write(self, make: Callable[[Store], T]) -> T:
        """The task that holds the lock commits every waiting change: many small changes share one wait for the disk."""
        self._require_open()
        await checkpoint_if_cancelled()
        change = _Change(make)
        self._pending.append(change)
        try:
            with CancelScope(shield=True):
                async with self._commit_lock:
                    if not change.done:
                        await self._in_thread(self._commit)
        finally:
            with suppress(
                ValueError
            ):  # `Task.cancel()` goes through the shield; a change that has not begun is not made
                self._pending.remove(change)
        return change.result()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs every use of the store. The thread returns errors; raised here, none has SQLite's as its context."""
        return _raise_error(await to_thread.run_sync(self._exclusively, work, limiter=self._limiter))

    async def _close(self) -> None:
        for name in list(self._claims):
            self._claims.pop(name).set()
        if self._process == os.getpid():  # otherwise the parent closes it
            _raise_error(await finish_in_thread(partial(self._exclusively, self._close_store)))

    # --- in a thread --------------------------------------------------------------------------------

    def _exclusively(self, work: Callable[[], T]) -> T | JournalError:
        with self._store_lock:
            return self._translated(work)

    def _translated(self, work: Callable[[], T]) -> T | JournalError:
        try:
            return work()
        except JournalError as error:
            return error
        except SQLITE_ERRORS as error:
            return from_sqlite_error(error, self._path)

    def _open(self, block: object) -> None:
        if self._block is block:  # otherwise entering was cancelled before this thread got the lock
            self._store = open_store(self._path)

    def _close_store(self) -> None:
        store, self._store, self._block = self._store, None, None
        if store is not None:
            store.close()

    def _require_open(self) -> Store:
        if self._store is None:
            raise unusable_error(self._path, "is not open", "Use it inside of `async with journal:`")
        self._check_process()
        return self._store

    def _check_process(self) -> None:
        if self._process != os.getpid():
            why = "was opened by the process from which this one was forked, and only that one can use it"
            raise unusable_error(self._path, why, "Open a journal after the fork, or start the process with `spawn`")

    def _commit(self) -> None:
        changes = self._take_pending()
        for change, result in zip(changes, self._commit_all(changes), strict=True):
            change.finish(result)

    def _commit_all(self, changes: list[_Change[Any]]) -> list[Any]:
        """Returns the result of each. If the common commit fails, each is tried alone: a small one may still fit."""
        if not changes:
            return []
        results = self._translated(lambda: self._require_open().commit([change.make for change in changes]))
        if not isinstance(results, JournalError):
            return results
        return [results] if len(changes) == 1 else [self._commit_all([change])[0] for change in changes]

    def _take_pending(self) -> list[_Change[Any]]:
        taken: list[_Change[Any]] = []
        with suppress(IndexError):
            while True:
                taken.append(self._pending.popleft())
        return taken
