"""The connections of a journal to Postgres: made, checked, lent to one statement at a time, and replaced when lost.

Invariant: errors of asyncpg end here, because their frames hold the password: what fails is returned, and raised where
no such frame is. Each statement runs to its end in a task of the journal's block, however often its caller is
cancelled, and has a deadline. After it, the connection is closed instead of the statement being cancelled: asyncpg
would cancel it over a second connection, in a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Semaphore, Task, TaskGroup
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import Event, Lock
from attrs import define, field, frozen

from ...cancellation import run_to_completion
from ...errors import JournalError
from ...http_client import drop_frames
from .errors import is_transient, journal_error, unusable_error
from .schema import SERVER

if TYPE_CHECKING:
    import asyncpg

__all__ = ["ConnectionLimits", "Connections", "Work", "deadline"]

T = TypeVar("T")
Work = Callable[["asyncpg.Connection", bool], Awaitable[T]]
"""Sends a statement. The second argument says whether it was sent before, and may have been carried out."""

logger: logging.Logger = logging.getLogger("ochy_async")
AT_ONCE: Final = 4
"""Connections of one journal, besides the one that listens."""
SETTINGS: Final = {
    "application_name": "ochy-async",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "15s",
    "tcp_keepalives_idle": "60",
}
"""The server sends something on an idle connection every minute, so that firewalls do not forget it."""


@frozen
class _FailedAttempt:
    """What an attempt ended with instead of a result."""

    error: JournalError
    transient: bool


@frozen(kw_only=True)
class ConnectionLimits:
    """Deadlines, in seconds."""

    connect: float = 10.0
    reply: float = 20.0
    """How long a statement may take, its wait for a connection included. The server ends it earlier, so that it does
    not go on without us."""
    reconnect: float = 15.0
    """For how much longer a statement is tried again after its connection was lost."""
    close: float = 5.0
    """How long it may take to give up what the worker holds, and to end the connections."""


@define(eq=False, repr=False)
class Connections:
    """The connections of one journal, from `open` to `close`."""

    _address: str
    _place: str
    _channel: str
    _limits: ConnectionLimits = field(factory=ConnectionLimits)
    identity: str = field(default="", init=False)
    """The server to which the first connection led. No later one may lead to another."""
    _tasks: TaskGroup = field(factory=TaskGroup, init=False)
    _running: set[Task[Any]] = field(factory=set[Task[Any]], init=False)
    _turns: Semaphore = field(factory=lambda: Semaphore(AT_ONCE), init=False)
    _idle: list[asyncpg.Connection] = field(factory=list, init=False)
    _listener: asyncpg.Connection | None = field(default=None, init=False)
    _listen_lock: Lock = field(factory=Lock, init=False)
    _waiting: defaultdict[str, set[Event]] = field(factory=lambda: defaultdict(set), init=False)

    async def open(self, prepare: Work[T]) -> T:
        """Connects and prepares the journal. What fails is not tried again."""
        # asyncio's task group, not anyio's: a service may close a journal in another task than it opened it.
        await self._tasks.__aenter__()
        return await self._complete(self._attempt(prepare, False, self._limits.reply))

    async def close(self, leave: Work[None] | None) -> None:
        """Ends every connection, once the statements under way have ended and `leave` was tried."""
        await self._complete(self._disconnect(leave))
        await self._tasks.__aexit__(None, None, None)

    async def run(self, work: Work[T]) -> T:
        """Sends a statement and returns its result, also if its connection is lost meanwhile."""
        return await self._complete(self._attempts(work))

    async def read(self, work: Work[T]) -> T:
        """The same for a statement that changes nothing: a caller that is cancelled does not wait for its end."""
        task = self._start(self._attempts(work))
        await asyncio.wait([task])
        return _result(task.result())

    @contextmanager
    def hearing(self, payload: str) -> Generator[Event]:
        """Yields what is set by a notification with this payload, and when notifications may have been missed."""
        event = Event()
        self._waiting[payload].add(event)
        try:
            yield event
        finally:
            self._waiting[payload].discard(event)
            if not self._waiting[payload]:
                del self._waiting[payload]

    async def listen(self) -> None:
        """Listens to notifications from now on."""
        await self.run(self._listen)

    async def _complete(self, work: Awaitable[T | _FailedAttempt]) -> T:
        task = self._start(work)
        await run_to_completion(lambda: asyncio.wait([task]))
        return _result(task.result())

    def _start(self, work: Awaitable[T]) -> Task[T]:
        async def run() -> T:
            return await work

        task = self._tasks.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    # --- in a task of its own -------------------------------------------------------------------------

    async def _attempts(self, work: Work[T]) -> T | _FailedAttempt:
        """Tries until the server has answered, or for too long."""
        result = await self._attempt(work, False, self._limits.reply)
        clock = asyncio.get_running_loop().time
        ends, delay = clock() + self._limits.reconnect, 0.02
        while isinstance(result, _FailedAttempt) and result.transient and clock() + delay < ends:
            await asyncio.sleep(delay)
            delay = min(2 * delay, 1.0)
            result = await self._attempt(work, True, ends - clock())
        return result

    async def _attempt(self, work: Work[T], again: bool, seconds: float) -> T | _FailedAttempt:
        """Tries once. The wait for a connection counts: otherwise, of many calls at once, the last waits for all."""
        ends = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(ends):
                await self._turns.acquire()
            try:
                return await self._attempt_once(work, again, ends)
            finally:
                self._turns.release()
        except JournalError as error:
            return _FailedAttempt(error, transient=False)
        except Exception as error:  # noqa: BLE001 - whatever asyncpg raises, its frames and text may hold the password
            return _FailedAttempt(journal_error(error, self._place), is_transient(error))
        except BaseException as interruption:
            drop_frames(interruption)
            raise

    async def _attempt_once(self, work: Work[T], again: bool, ends: float) -> T:
        seconds = ends - asyncio.get_running_loop().time()
        self._idle = [each for each in self._idle if not each.is_closed()]
        connection = self._idle.pop() if self._idle else await self._connect(seconds)
        try:
            with deadline(connection, ends - asyncio.get_running_loop().time()):
                result = await work(connection, again)
        except BaseException:
            if connection.is_closed():
                self._distrust_idle()
            connection.terminate()
            raise
        self._idle.append(connection)
        return result

    def _distrust_idle(self) -> None:
        """Ends the idle connections: what has taken one of them, such as a firewall, may have taken all of them."""
        for connection in self._idle:
            connection.terminate()

    async def _connect(self, seconds: float) -> asyncpg.Connection:
        import asyncpg

        limit = min(seconds, self._limits.connect)
        connection = await asyncpg.connect(self._address, timeout=limit, server_settings=SETTINGS)
        try:
            with deadline(connection, seconds):
                server = await connection.fetchrow(SERVER)
            self._check(server)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _check(self, server: Any) -> None:
        """Raises `JournalUnusable` for a server on which a stored change may be lost."""
        if server["replica"]:
            raise unusable_error(self._place, "is a replica, which only repeats another server", "Name the primary")
        if server["synchronous_commit"] == "off":
            why = "confirms changes before they are durable (synchronous_commit is off)"
            raise unusable_error(self._place, why, "Set it to on for this user or database")
        if server["fsync"] == "off" and not self.identity:
            logger.warning(
                "the server of the journal in Postgres (%s) does not wait for its disk (fsync is off): if its machine "
                "fails, it may forget what is paid for, and that would be bought again",
                self._place,
            )
        if server["identity"] != (self.identity or server["identity"]):
            why = "is on another server than when it was opened, which may lack the latest changes"
            raise unusable_error(self._place, why, "Run again, so that what is open can be looked up first")
        self.identity = server["identity"]

    async def _listen(self, _: asyncpg.Connection, __: bool) -> None:
        async with self._listen_lock:
            if self._listener is None or self._listener.is_closed():
                listener = self._listener = await self._connect(self._limits.reply)
                listener.add_termination_listener(lambda _connection: self._wake(*self._waiting))
                with deadline(listener, self._limits.reply):
                    await listener.add_listener(self._channel, lambda *notification: self._wake(str(notification[-1])))

    def _wake(self, *payloads: str) -> None:
        for payload in payloads:
            for event in self._waiting.get(payload, ()):
                event.set()

    async def _disconnect(self, leave: Work[None] | None) -> None:
        if others := self._running - {asyncio.current_task()}:
            await asyncio.wait(others)
        if leave is not None:
            # If that fails, the lease of the worker ends what it holds.
            await self._attempt(leave, False, self._limits.close)
        connections = [*self._idle, *([self._listener] if self._listener is not None else [])]
        self._idle, self._listener = [], None
        await asyncio.gather(*(self._end(connection) for connection in connections))

    async def _end(self, connection: asyncpg.Connection) -> None:
        try:
            with deadline(connection, self._limits.close):
                await connection.close()
        except Exception:  # noqa: BLE001 - it is lost, and nothing waits for it any more
            connection.terminate()


def _result(result: T | _FailedAttempt) -> T:
    if isinstance(result, _FailedAttempt):
        raise result.error
    return result


@contextmanager
def deadline(connection: asyncpg.Connection, seconds: float) -> Generator[None]:
    """Closes the connection if the statement inside takes longer, so that the statement raises."""
    timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        timer.cancel()
