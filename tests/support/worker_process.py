"""One worker of a campaign: a process with a batch over a folder, whose journal in Postgres other workers share.

Its event loop is faster than the clock of the server, so the journal translates between both, and a lease is shorter.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, ClassVar, Final

from attrs import frozen

from ochy_async import Clip, Concurrency, Limits, OchySession, Retry, SideView
from ochy_async.journal.postgres import journal as postgres_journal
from ochy_async.journal.postgres.connections import ConnectionLimits
from ochy_async.journal.postgres.journal import PostgresJournal
from tests.support.accelerated_time import ACCELERATION, run_accelerated
from tests.support.kills import accelerated_now, slow_clip

__all__ = ["KEY", "LEASE", "POLLS_PER_SECOND", "UPLOADS", "AcceleratedJournal", "WorkerTask", "replace", "work"]

KEY: Final = "worker-kills-key-3b9e57"
LEASE: Final = 3.0
"""Seconds of the server's clock. The workers beat every `BEAT / ACCELERATION` = 0.5 s."""
UPLOADS: Final = 3
"""The ceiling of all workers together."""
PIECE_SECONDS: Final = 2.0
"""Between the ten pieces of a clip that is sent slowly, in accelerated time: a second for the clip."""
POLLS_PER_SECOND: Final = 0.5
"""The same for polls, in accelerated time."""


class AcceleratedJournal(PostgresJournal):
    """A journal whose caller's seconds are shorter than those of the server."""

    _connection_limits: ClassVar[ConnectionLimits] = ConnectionLimits(
        connect=10.0 * ACCELERATION,
        reply=20.0 * ACCELERATION,
        reconnect=30.0 * ACCELERATION,
        close=5.0 * ACCELERATION,
    )

    async def beat(self) -> float:
        return ACCELERATION * await super().beat()

    async def now(self) -> None:
        """The clock of the server is slower."""

    async def pause(self, seconds: float) -> None:
        await super().pause(seconds / ACCELERATION)

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        return ACCELERATION * await super().reserve(name, count, per_second * ACCELERATION)


@frozen
class WorkerTask:
    """What a worker is to do."""

    url: str
    database: str
    schema: str
    folder: Path
    run: Path
    """The path of its log, its outcomes and the mark that its journal is open, without their suffixes."""
    order: int | None
    """The seed of the order in which it takes the clips; None is that of their names."""
    max_credits: int | None


def replace(module: ModuleType, name: str, value: object) -> None:
    """Gives a name of a module another value, in this process."""
    assert hasattr(module, name)
    setattr(module, name, value)


def work(task: WorkerTask) -> None:
    """Runs one batch over the folder. Its outcomes are written only when it finishes."""
    with task.run.with_suffix(".log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    logging.basicConfig(level=logging.DEBUG)
    replace(postgres_journal, "LEASE", LEASE)
    run_accelerated(_batch(task))


async def _batch(task: WorkerTask) -> None:
    retry, limits = Retry(budget=1000), Limits(stall=10 * LEASE * ACCELERATION, call=20 * LEASE * ACCELERATION)
    journal = AcceleratedJournal(task.database, schema=task.schema, uploads=UPLOADS, polls_per_second=POLLS_PER_SECOND)
    settings: dict[str, Any] = {"tag_starts": True, "concurrency": Concurrency(uploads=UPLOADS, in_flight=6)}
    async with (
        OchySession(KEY, base_url=task.url, retry=retry, limits=limits, clock=accelerated_now, preflight="off") as ochy,
        ochy.batch(SideView(), journal=journal, max_credits=task.max_credits, **settings) as batch,
    ):
        task.run.with_suffix(".open").touch()
        outcomes = [outcome async for outcome in batch.run(_clips(task))]
    lines = [f"{Path(each.label).name} {each.word} {each.analysis_id} {each.bought}" for each in outcomes]
    task.run.with_suffix(".outcomes").write_text("\n".join(lines))


def _clips(task: WorkerTask) -> list[Path | Clip]:
    """The clips, of which two of three are sent slowly."""
    paths = sorted(task.folder.glob("*.mp4"))
    clips = [slow_clip(path, PIECE_SECONDS) if number % 3 else path for number, path in enumerate(paths)]
    if task.order is not None:
        Random(task.order).shuffle(clips)
    return clips
