"""Jobs on PgQueuer, in the database of the journal: nothing else has to run (extra `queue`).

Invariant: a job leaves the queue only once its clip has an outcome. One whose worker is killed comes back when its
heartbeat is stale, and the journal knows what was paid for. No error holds the address of the database.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from anyio import move_on_after
from attrs import define, field

from ..errors import InvalidSettings, JournalError, JournalUnusable, OchyError, SourceError
from ..extras import install_hint
from ..http_client import drop_frames
from ..journal.contract import LEASE
from ..journal.postgres.address import address_place
from ..journal.postgres.connections import SETTINGS, deadline
from ..journal.postgres.errors import journal_error
from .feeder import JobFeeder
from .jobs import Job

with install_hint("queue"):
    import asyncpg
    from pgqueuer import AsyncpgDriver, Queries, QueueManager, RetryRequested
    from pgqueuer import Job as QueuedJob
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
    from pgqueuer.domain.settings import DBSettings

__all__ = ["JobQueue", "QueueWorker"]

ENTRYPOINT: Final = "ochy_analyze"
INSTALLING: Final = "SELECT pg_advisory_xact_lock(hashtext('ochy_queue'))"
"""Two commands at once make the tables only once."""
PAGE: Final = 1000
"""Jobs that are stored at a time."""
POLL: Final = timedelta(seconds=5)
"""Between two looks for jobs whose worker was killed; new jobs are announced."""
REPLY: Final = 20.0
"""Seconds that the database has for an answer. After them the connection is closed."""
ENDING: Final = 2.0
"""Seconds that a worker that is ended at once has to put its clips back."""
RETRY: Final = timedelta(seconds=60)
ATTEMPTS: Final = 10
"""After so many on one worker a job is parked as failed: `pgq failed` lists it."""


@define(eq=False)
class JobQueue:
    """The queue in a database: PgQueuer's tables, in a schema of their own."""

    _address: str = field(repr=False)
    schema: str = "ochy_queue"

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Queries]:
        """A connection to the queue, whose tables are made if they are missing. Raises `JournalError`s."""
        connection = await self._connect()
        try:
            names = DBSettings(db_schema=self.schema)
            builders = QueryBuilderEnvironment(names), QueryQueueBuilder(names), QuerySchedulerBuilder(names)
            queries = Queries(_Driver(connection), *builders)
            with deadline(connection, REPLY):
                async with connection.transaction():
                    await connection.execute(INSTALLING)
                    if not await queries.has_table(queries.qbe.settings.queue_table):
                        await queries.install()
            yield queries
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            drop_frames(error)
            raise journal_error(error, address_place(self._address)) from None
        except RuntimeError as error:  # PgQueuer's, about tables of another version
            raise JournalUnusable(str(error)) from None
        finally:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        # Without a time-out of its own: a job that the server could not put back in time would be parked as failed.
        settings = SETTINGS | {"statement_timeout": "0"}
        try:
            return await asyncpg.connect(self._address, timeout=10, server_settings=settings)
        except Exception as error:  # noqa: BLE001 - whatever asyncpg raises, its frames and text may hold the password
            drop_frames(error)
            failed = journal_error(error, address_place(self._address))
        raise failed

    async def add(self, jobs: Sequence[Job]) -> int:
        """Stores jobs, except those that are in the queue already, and returns how many it has stored."""
        added, rest = 0, iter(jobs)
        async with self.connected() as queries:
            while page := list(islice(rest, PAGE)):
                ids = await queries.enqueue(
                    [ENTRYPOINT] * len(page),
                    [job.to_bytes() for job in page],
                    [0] * len(page),
                    dedupe_key=[f"{ENTRYPOINT}:{job.digest}" for job in page],
                    on_conflict="skip",
                )
                added += sum(each is not None for each in ids)
        return added


class _Driver(AsyncpgDriver):
    """Closes the connection if the server does not answer in time, so that whatever waits for it ends.

    asyncpg's own time-out would cancel the statement over a second connection, and wait for that.
    """

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        with deadline(self._connection, REPLY):
            return await super().fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        with deadline(self._connection, REPLY):
            return await super().execute(query, *args)

    async def notify(self, channel: str, payload: str) -> None:
        with deadline(self._connection, REPLY):
            await super().notify(channel, payload)

    def terminate(self) -> None:
        """Ends whatever waits for the server."""
        self._connection.terminate()


@define(eq=False)
class QueueWorker:
    """Works on the jobs of a queue."""

    queue: JobQueue
    feeder: JobFeeder
    at_once: int = 32
    """Jobs that this worker has at a time; at least 2."""
    heartbeat: float = LEASE
    """Seconds after which a job of a worker that is gone comes back."""
    _stopping: asyncio.Event = field(factory=asyncio.Event, init=False)
    _failures: Counter[int] = field(factory=Counter, init=False)
    """By the number of the job. PgQueuer's own count also has each time that a stopped worker put it back."""
    _ending: bool = field(default=False, init=False)
    _unusable: str = field(default="", init=False)
    """Why a store of clips cannot be used on this machine."""
    _driver: Any = field(default=None, init=False)

    async def run(self, *, drain: bool = False) -> None:
        """Works until it is stopped, the batch starts no clips any more or, with `drain`, no job is left anywhere.

        Raises `SourceError` if a store of clips cannot be used on this machine.
        """
        try:
            await self._work(drain)
        except JournalError:
            if not self._ending:
                raise
        if self._unusable:
            raise SourceError(self._unusable)

    async def _work(self, drain: bool) -> None:
        async with self.queue.connected() as queries:
            self._driver = queries.driver
            manager = QueueManager(queries)
            manager.entrypoint(ENTRYPOINT, on_failure="hold")(self._carry_out)
            watch = asyncio.create_task(self._watch(manager, drain))
            try:
                await manager.run(
                    dequeue_timeout=POLL,
                    batch_size=min(10, self.at_once // 2),
                    max_concurrent_tasks=self.at_once,
                    heartbeat_timeout=timedelta(seconds=self.heartbeat),
                )
            finally:
                watch.cancel()
                await asyncio.wait({watch})
            if not watch.cancelled():
                watch.result()

    def stop(self, reason: str = "The worker was asked to stop.", *, hand_over: bool = False) -> None:
        """Takes no new job. What is under way is finished; with `hand_over` it goes back to the queue like the rest."""
        self.feeder.stop(reason, hand_over=hand_over)
        self._stopping.set()

    def end(self) -> None:
        """Ends at once. What is under way goes back to the queue, or comes back when its heartbeat is stale."""
        self.feeder.cancel()
        self._ending = True
        if self._driver is not None:
            asyncio.get_running_loop().call_later(ENDING, self._driver.terminate)

    async def _carry_out(self, job: QueuedJob) -> None:
        try:
            result = await self.feeder.run(Job.from_bytes(job.payload))
        except InvalidSettings as error:
            self._unusable = str(error)
            self.stop(self._unusable)
            raise RetryRequested(reason=self._unusable) from None
        if self.feeder.refuses or self.feeder.ended.is_set():
            self.stop(self.feeder.refuses)
        if result.is_final:
            self._failures.pop(job.id, None)
            return
        if self._stopping.is_set():
            raise RetryRequested(reason=result.reason)
        self._failures[job.id] += 1
        if self._failures[job.id] < ATTEMPTS:
            raise RetryRequested(RETRY, result.reason)
        del self._failures[job.id]
        raise OchyError(result.reason)

    async def _watch(self, manager: QueueManager, drain: bool) -> None:
        """Ends the manager when it should stop: PgQueuer's own draining does not wait for jobs of killed workers."""
        try:
            while not self._stopping.is_set() and not (drain and await _is_empty(manager)):
                with move_on_after(1):
                    await self._stopping.wait()
        finally:
            manager.shutdown.set()


async def _is_empty(manager: QueueManager) -> bool:
    found: Any = await manager.queries.queue_size()
    return not any(each.entrypoint == ENTRYPOINT and each.status in ("queued", "picked") for each in found)
