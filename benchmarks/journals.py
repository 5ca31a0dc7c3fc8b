"""How fast a journal stores changes: Postgres with 1, 4 and 16 workers, and SQLite with the only one that it allows.

Each worker is a process of its own with a journal of its own, and a few clips at once: for each an intent, the
permission to send, the id, and the results, which is the life of a clip. The server is that of the tests on this
machine, with its writes synced; SQLite syncs too.

Invariant: every life ends, and the journal holds one credit for each that is counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

import asyncpg
from attrs import evolve

from ochy_async import PostgresJournal
from ochy_async.journal.contract import Entry, Journal, StoredResults
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from tests.support.servers import PostgresServer

from .comparison import Figure, Table, alternate

__all__ = ["SyncedServer", "benchmarks", "journal_at", "live"]

WORKERS: Final = (1, 4, 16)
AT_ONCE: Final = 8
"""Clips of one worker at once."""
LIVES: Final = 320
"""Clips of all workers of one round together."""
CHANGES: Final = 4
"""Changes of the entry of one clip."""
PATIENCE: Final = 300.0
"""Seconds until a worker that does not come counts as lost."""
SQLITE: Final = "SQLite, 1 worker"
UNCOUNTED: Final = f"Postgres, {WORKERS[-1]} workers, no budget"
"""Shows what it costs that all workers share one limit of credits."""
RESULTS: Final = StoredResults(results=Random(1).randbytes(4_000), calculated=Random(2).randbytes(20_000))
"""Does not compress, so that the bytes that are written are an upper bound for results of that size."""


class SyncedServer(PostgresServer):
    """A server that writes through to the disk and has the default size of buffers, as a real one does."""

    def command(self) -> list[str]:
        changed = {"fsync=off": "fsync=on", "shared_buffers=16MB": "shared_buffers=128MB"}
        return [changed.get(word, word) for word in super().command()]


def journal_at(place: str, schema: str) -> Journal:
    """The journal at an address, or in a file."""
    return PostgresJournal(place, schema=schema) if "://" in place else SqliteJournal(place)


async def live(journal: Journal, key: str, *, counted: bool = True) -> None:
    """Stores the life of one clip, as a batch does; if not `counted`, without its credit."""
    at = datetime.now(UTC)
    if journal.shared:
        await journal.take(key)
    intended = Entry(key=key, state=State.INTENDED, credits=int(counted), at=at)
    entry = await journal.put(intended, most=10**9 if counted else None)
    entry = await journal.put(evolve(entry, state=State.SENDING, token=key))
    entry = await journal.put(evolve(entry, state=State.STARTED, analysis_id=key))
    await journal.put(evolve(entry, state=State.ANALYZED), RESULTS)
    if journal.shared:
        await journal.leave(key)


# --- one worker, in a process of its own ------------------------------------------------------------


def _work(place: str, schema: str, lives: int, at_once: int, counted: bool, together: Barrier) -> None:
    """Lives that many clips between the two moments at which all workers and the clock wait for each other."""

    async def work() -> None:
        async with journal_at(place, schema) as journal:
            await asyncio.gather(
                *(live(journal, uuid4().hex, counted=counted) for _ in range(at_once))
            )  # makes the connections
            keys = iter([uuid4().hex for _ in range(lives)])
            together.wait(PATIENCE)
            await asyncio.gather(*(lane(journal, keys) for _ in range(at_once)))
            together.wait(PATIENCE)

    async def lane(journal: Journal, keys: Iterator[str]) -> None:
        for key in keys:
            await live(journal, key, counted=counted)

    asyncio.run(work())


# --- all of them ------------------------------------------------------------------------------------


def _stored(place: str, workers: int, at_once: int, *, counted: bool = True) -> float:
    """Milliseconds for one change, of all workers together."""
    schema = f"bench_{uuid4().hex}"
    forks = get_context("fork")  # a new interpreter would spend more time on its imports than on the journal
    together = forks.Barrier(workers + 1)
    arguments = (place, schema, LIVES // workers, at_once, counted, together)
    children = [forks.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
    for child in children:
        child.start()
    together.wait(PATIENCE)
    began = time.perf_counter()
    together.wait(PATIENCE)
    took = time.perf_counter() - began
    for child in children:
        child.join(PATIENCE)
    asyncio.run(_check(place, schema, LIVES + workers * at_once, counted))
    return took / (LIVES * CHANGES) * 1000


async def _check(place: str, schema: str, lives: int, counted: bool) -> None:
    async with journal_at(place, schema) as journal:
        totals = await journal.totals()
    if totals.entries != {State.ANALYZED: lives} or totals.credits != lives * counted:
        raise AssertionError(f"a life did not end, or was counted twice: {totals}")


def _stored_in_file(at_once: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _stored(str(Path(folder) / "clips.journal"), 1, at_once)


async def _written(address: str) -> tuple[int, int]:
    """The bytes that the server has written to its log so far, and those of its database."""
    connection = await asyncpg.connect(address)
    try:
        await connection.execute("CHECKPOINT")
        row = await connection.fetchrow(
            "SELECT (pg_current_wal_lsn() - '0/0')::bigint, pg_database_size(current_database())"
        )
        assert row is not None
        return row[0], row[1]
    finally:
        await connection.close()


def _bytes(address: str) -> str:
    before = asyncio.run(_written(address))
    _stored(address, 1, AT_ONCE)
    after = asyncio.run(_written(address))
    log, tables = ((last - first) / (LIVES + AT_ONCE) / 1000 for first, last in zip(before, after, strict=True))
    size = (len(RESULTS.results) + len(RESULTS.calculated or b"")) / 1000
    return f"a life with {size:.0f} kB of results writes {log:.0f} kB to the log and {tables:.0f} kB to the tables"


def benchmarks(rounds: int) -> Iterator[Table]:
    """One table for workers with one clip at a time, and one for workers with several."""
    server = SyncedServer()
    try:
        server.start()
        for at_once in (1, AT_ONCE):
            contenders = {_name(each): partial(_stored, server.url, each, at_once) for each in WORKERS}
            contenders[UNCOUNTED] = partial(_stored, server.url, WORKERS[-1], at_once, counted=False)
            took = alternate({**contenders, SQLITE: partial(_stored_in_file, at_once)}, rounds)
            figures = {name: Figure.of(values) for name, values in took.items()}
            notes = tuple(
                f"{name}: {1000 / each.median:,.0f} changes/s, {1000 / each.median / CHANGES:,.0f} clips/s"
                for name, each in figures.items()
            )
            notes = (*notes, _bytes(server.url)) if at_once == AT_ONCE else notes
            yield Table(f"journal, a change, {at_once} at once", "ms", figures, _name(1), notes=notes)
    finally:
        server.end()


def _name(workers: int) -> str:
    return f"Postgres, {workers} worker{'s' * (workers > 1)}"
