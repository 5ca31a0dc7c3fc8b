"""Jobs on a Dask cluster, whatever it runs on: Slurm, Kubernetes, SSH (extra `dask`).

Invariant: key and address come from the environment of each worker (`OCHY_API_KEY`, `OCHY_JOURNAL`), so no task and no
plugin holds them. A task that Dask runs again, because its worker is gone, finds in the journal what was paid for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, Final
from uuid import uuid4

from anyio import Lock, current_time, move_on_after, sleep

from ..batch.outcomes import Outcome, Unfinished
from ..batch.sources import Clips, items
from ..errors import InvalidSettings, JournalConflict, JournalError, LimitReached
from ..extras import install_hint
from ..journal.postgres.journal import PostgresJournal
from ..protocol.request import AnalysisRequest
from ..session import OchySession
from .feeder import JobFeeder
from .jobs import Job, JobResult

with install_hint("dask"):
    from distributed import KilledWorker, WorkerPlugin, as_completed, get_worker

__all__ = ["WorkerSession", "analyze"]

AT_ONCE: Final = 1000
"""Tasks that a cluster has at a time."""
CLOSING: Final = 15.0
"""Seconds that a worker which is closed has to hand over what is under way."""
REOPEN: Final = 5.0
"""Seconds before a batch is opened again whose journal has failed."""
OUTAGE: Final = 600.0
"""Seconds after which a clip is not tried again if the journal fails."""
ADDRESS: Final = "Leave out `dsn`: it is a secret, and each worker takes the address from its own OCHY_JOURNAL."
LOST: Final = "Too many workers ended while they had this clip. Run again."


def analyze(
    client: Any,
    clips: Clips,
    request: AnalysisRequest[Any, Any] | None = None,
    *,
    journal: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """The result of every clip as plain JSON (`JobResult`), each as soon as a worker of the cluster has it.

    `client` is a `distributed.Client`: returns an iterator, or an async iterator if the client is asynchronous. `clips`
    are what `Batch.run` takes, but with a path that every worker can read, or a URL. `settings` are those of
    `OchySession.batch` for each worker, and `journal` those of `PostgresJournal` without its address, such as
    `{"polls_per_second": 50}`. A worker carries out as many clips at a time as it has threads.

    Raises `InvalidRequest` for a clip that other machines cannot read, and what the workers raise, such as `KeyRefused`
    and `JournalError`. Results with the outcome `unfinished` need another call; no call buys a clip twice.
    """
    if "out" in settings:
        raise InvalidSettings("Workers write no folder: their results are in the journal. Leave out `out`.")
    if journal is not None and "dsn" in journal:
        del journal  # a traceback shows the variables of this frame
        raise InvalidSettings(ADDRESS)
    plugin = WorkerSession(journal or {}, settings)
    results = _results(client, plugin, clips, request)
    return results if client.asynchronous else _in_turn(client, results)


def _in_turn(client: Any, results: AsyncGenerator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same for a client that is not asynchronous, whose loop runs in another thread."""

    async def following() -> dict[str, Any] | None:
        return await anext(results, None)

    try:
        while (result := client.sync(following)) is not None:
            yield result
    finally:
        client.sync(results.aclose)


async def _results(
    client: Any, plugin: WorkerSession, clips: Clips, request: AnalysisRequest[Any, Any] | None
) -> AsyncGenerator[dict[str, Any]]:
    completed: Any = as_completed  # it has no types
    tasks, jobs = completed(loop=client.loop), dict[Any, Job]()
    async with AsyncExitStack() as stack:
        await client.register_plugin(plugin)
        stack.push_async_callback(client.unregister_worker_plugin, plugin.name)
        source = await stack.enter_async_context(aclosing(items(clips, request)))
        while True:
            while len(jobs) < AT_ONCE and (item := await anext(source, None)) is not None:
                job = Job.of(item)
                task = client.submit(_carry_out, plugin.name, job.to_json(), key=f"{plugin.name}-{item.index}")
                jobs[task] = job
                tasks.add(task)
            if not jobs:
                return
            task = await anext(tasks)
            yield await _result(task, jobs.pop(task))


async def _result(task: Any, job: Job) -> dict[str, Any]:
    try:
        result: dict[str, Any] = await task.result()
    except KilledWorker:
        result = JobResult.unfinished(job, LOST).to_json()
    return result


async def _carry_out(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The task: runs on the event loop of a worker."""
    plugin: Any = get_worker().plugins[name]
    result = await plugin.carry_out(Job.from_json(values))
    return dict(result.to_json())


class WorkerSession(WorkerPlugin):
    """A session and a batch in each worker, from its start or that of the call until the end of either."""

    def __init__(self, journal: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Raises `InvalidSettings` for an address, which would be sent to the scheduler and to every worker."""
        if "dsn" in journal:
            del journal, settings  # a traceback shows the variables of this frame
            raise InvalidSettings(ADDRESS)
        self.name: str = f"ochy-{uuid4().hex}"
        self._journal, self._settings = dict(journal), dict(settings)
        self._session: OchySession | None = None
        self._feeder: JobFeeder | None = None
        self._closing = False
        self._failed: JobFeeder | None = None
        """The latest feeder whose journal has failed."""

    async def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Called by Dask. What it raises reaches the client before the first task."""
        self._reopening: Lock = Lock()
        self._session = await OchySession().open()
        self._feeder = await self._opened(self._session)

    async def _opened(self, session: OchySession) -> JobFeeder:
        batch = session.batch(journal=PostgresJournal(**self._journal), **self._settings)
        feeder = JobFeeder(batch, on_outcome=lambda outcome: self._learn(feeder, outcome))
        return await feeder.open()

    def _learn(self, feeder: JobFeeder, outcome: Outcome[Any, Any]) -> None:
        error = outcome.error if isinstance(outcome, Unfinished) else None
        if isinstance(error, JournalError) and not isinstance(error, JournalConflict | LimitReached):
            self._failed = feeder

    async def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Called by Dask. Hands over what is under way."""
        self._closing = True
        if self._feeder is not None:
            self._feeder.stop("The Dask worker is closing.", hand_over=True)
            with move_on_after(CLOSING):
                await self._feeder.ended.wait()
            await self._feeder.aclose()
        if self._session is not None:
            await self._session.aclose()

    async def carry_out(self, job: Job) -> JobResult:
        """The result of one job. If the journal fails meanwhile, it is tried again in another batch."""
        ends = current_time() + OUTAGE
        while True:
            if self._feeder is None:
                raise InvalidSettings("This Dask worker could not open its session or the journal. Its log says why.")
            feeder = self._feeder
            result = await feeder.run(job)
            if result.is_final or self._failed is not feeder or self._closing or current_time() > ends:
                return result
            await self._reopen(feeder)

    async def _reopen(self, failed: JobFeeder) -> None:
        """Opens a new batch, unless another job has done it: one whose journal has failed starts nothing any more."""
        async with self._reopening:
            if self._feeder is failed and self._session is not None and not self._closing:
                failed.stop("The journal has failed.")
                await failed.ended.wait()  # what is paid for is collected
                await sleep(REOPEN)
                with suppress(JournalError):
                    self._feeder = await self._opened(self._session)
                    await failed.aclose()
                    if self._closing:
                        await self._feeder.aclose()
