"""A journal in an SQLite file: durable, for one process at a time.

Invariant: the worker between the event loop and the store. No SQL runs on the loop, no error of
SQLite leaves, and changes that wait while one commit is running share the next.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, Lock, to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from ...errors import JournalBusy, JournalError
from ...policy.clip_states import State
from ..contract import Entry, Kept, Past, Tally
from .errors import SQLITE_ERRORS, of_sqlite, unusable
from .joining import joined
from .store import Store, open_store

__all__ = ["SqliteJournal"]

T = TypeVar("T")


class _Change(Generic[T]):
    """A change that waits for a commit, and what became of it."""

    def __init__(self, make: Callable[[Store], T]) -> None:
        self.make = make
        self.done = False
        self.answer: Any = None

    def settle(self, answer: Any) -> None:
        self.answer, self.done = answer, True

    def result(self) -> T:
        if not self.done:
            raise JournalError("The thread that stored the change broke off; it may be stored or not. Run again.")
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: T = self.answer
        return answer


def _raised(answer: T | JournalError) -> T:
    if isinstance(answer, JournalError):
        raise answer
    return answer


class SqliteJournal:
    """Keeps entries in the file `path`, which is made if it is not there.

    Use it as `async with`; then the file belongs to this process alone, by a lock of the operating system that
    ends with the process. Beside it lies `…-wal` while it is open, and after a crash: the two belong together.
    On Linux and Windows network file systems are refused; elsewhere that is not checked, and is up to you.
    Raises `JournalError` and its kinds when entered, before anything is bought.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._store: Store | None = None
        self._mutex = threading.Lock()
        """Held by the thread that uses the store: a task's own `cancel()` leaves its thread behind for a moment."""
        self._waiting: deque[_Change[Any]] = deque()
        self._entered: object | None = None
        """Stands for the block that it is used in, from the first moment to the last."""
        self._process = os.getpid()
        """The one that it was entered in: SQLite must not be used by a child of it."""

    def __repr__(self) -> str:
        return f"<SqliteJournal in {str(self._path)!r}>"

    async def __aenter__(self) -> Self:
        if self._entered is not None:
            self._check_process()
            raise JournalBusy(f"The journal {str(self._path)!r} is open already: end that batch first.")
        self._entered, self._process = object(), os.getpid()
        self._turn = Lock()
        self._limiter = CapacityLimiter(1)
        try:
            await self._threaded(partial(self._open, self._entered))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def get(self, key: str) -> Entry | None:
        return await self._asked(lambda store: store.get(key))

    async def put(self, entry: Entry, kept: Kept | None = None) -> Entry:
        return await self._changed(lambda store: store.put(entry, kept))

    async def put_all(self, entries: Sequence[Entry]) -> None:
        await self._changed(lambda store: store.put_all(entries))

    async def kept(self, key: str) -> Kept | None:
        return await self._asked(lambda store: store.kept(key))

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        after = 0
        while page := await self._asked(partial(Store.entries, states=states, after=after)):
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def history(self, key: str) -> tuple[Past, ...]:
        return await self._asked(lambda store: store.history(key))

    async def tally(self) -> Tally:
        return await self._asked(Store.tally)

    async def analysis_ids(self) -> frozenset[str]:
        return await self._asked(Store.analysis_ids)

    async def notes(self, prefix: str) -> Mapping[str, str]:
        return await self._asked(lambda store: store.notes(prefix))

    async def set_note(self, name: str, value: str) -> None:
        await self._changed(lambda store: store.set_note(name, value))

    # --- on the loop --------------------------------------------------------------------------------

    async def _asked(self, question: Callable[[Store], T]) -> T:
        self._opened()
        return await self._threaded(lambda: question(self._opened()))

    async def _changed(self, make: Callable[[Store], T]) -> T:
        """Whoever has the turn commits all that waits: many small changes share the wait for the disk."""
        self._opened()
        await checkpoint_if_cancelled()
        change = _Change(make)
        self._waiting.append(change)
        try:
            with CancelScope(shield=True):
                async with self._turn:
                    if not change.done:
                        await self._threaded(self._commit)
        finally:
            with suppress(ValueError):  # a task's own `cancel()` goes through the shield: not begun, so not made
                self._waiting.remove(change)
        return change.result()

    async def _threaded(self, work: Callable[[], T]) -> T:
        """The choke point. Errors are returned by the thread and raised here, so that none has SQLite's as context."""
        return _raised(await to_thread.run_sync(self._translated, work, limiter=self._limiter))

    async def _close(self) -> None:
        if self._process == os.getpid():  # else the parent closes it
            _raised(await joined(partial(self._translated, self._shut)))

    # --- in the thread ------------------------------------------------------------------------------

    def _translated(self, work: Callable[[], T]) -> T | JournalError:
        with self._mutex:
            return self._outcome(work)

    def _outcome(self, work: Callable[[], T]) -> T | JournalError:
        try:
            return work()
        except JournalError as trouble:
            return trouble
        except SQLITE_ERRORS as error:
            return of_sqlite(error, self._path)

    def _open(self, entered: object) -> None:
        if self._entered is entered:  # else it was given up before this thread had its turn
            self._store = open_store(self._path)

    def _shut(self) -> None:
        store, self._store, self._entered = self._store, None, None
        if store is not None:
            store.close()

    def _opened(self) -> Store:
        if self._store is None:
            raise unusable(self._path, "is not open", "Use it inside of `async with journal:`")
        self._check_process()
        return self._store

    def _check_process(self) -> None:
        if self._process != os.getpid():
            why = "was opened by the process from which this one was forked, and only that one can use it"
            raise unusable(self._path, why, "Open a journal after the fork, or start the process with `spawn`")

    def _commit(self) -> None:
        changes = self._taken()
        answers = self._answers(changes)
        for change, answer in zip(changes, answers, strict=True):
            change.settle(answer)

    def _answers(self, changes: list[_Change[Any]]) -> list[Any]:
        """What became of each. Where all together fail, each is tried alone: a small one may still find room."""
        if not changes:
            return []
        outcome = self._outcome(lambda: self._opened().commit([change.make for change in changes]))
        if not isinstance(outcome, JournalError):
            return outcome
        return [outcome] if len(changes) == 1 else [self._answers([change])[0] for change in changes]

    def _taken(self) -> list[_Change[Any]]:
        taken: list[_Change[Any]] = []
        with suppress(IndexError):
            while True:
                taken.append(self._waiting.popleft())
        return taken
