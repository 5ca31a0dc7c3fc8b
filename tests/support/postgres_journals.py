"""Journals of tests in Postgres: each place is a schema of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import anyio
from anyio import fail_after, sleep

from ochy_async.journal.postgres.journal import PostgresJournal
from tests.support.servers import Server

__all__ = ["PostgresPlace", "database", "query"]


class PostgresPlace:
    """A new schema on a server, which several workers share."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.schema = f"test_{uuid4().hex}"

    def worker(self, **settings: Any) -> PostgresJournal:
        """One more journal on the schema, not yet open."""
        return PostgresJournal(self.server.url, schema=self.schema, **{"uploads": 3, **settings})

    async def later(self, seconds: float) -> None:
        """Lets time pass: moves every moment that the schema holds into the past."""
        await self.query("UPDATE {schema}.workers SET until = until - make_interval(secs => $1)", seconds)
        await self.query("UPDATE {schema}.about SET paused_until = paused_until - make_interval(secs => $1)", seconds)
        await self.query("UPDATE {schema}.rates SET next = next - make_interval(secs => $1)", seconds)

    @asynccontextmanager
    async def meeting(self, count: int) -> AsyncGenerator[None]:
        """Lets the changes that the block begins run until so many of them wait: for each other, or for the budget."""
        import asyncpg

        connection = await asyncpg.connect(self.server.url)
        try:
            await connection.execute(f"BEGIN; LOCK TABLE {self.schema}.budget IN EXCLUSIVE MODE")
            yield
            await self._wait_for_locks(count)
        finally:
            await connection.close()

    @asynccontextmanager
    async def interrupted(self, statement: str, *arguments: object) -> AsyncGenerator[None]:
        """Sends a statement, and commits it once something that the block begins waits for it."""
        import asyncpg

        connection = await asyncpg.connect(self.server.url)
        try:
            async with connection.transaction():
                await connection.execute(statement.format(schema=self.schema), *arguments)
                yield
                await self._wait_for_locks(1)
        finally:
            await connection.close()

    async def _wait_for_locks(self, count: int) -> None:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with fail_after(60):
            while (await self.query(waiting))[0][0] < count:  # noqa: ASYNC110 - other processes change it
                await sleep(0.005)

    @asynccontextmanager
    async def listening(self, heard: list[str]) -> AsyncGenerator[None]:
        """Collects what is sent to those who wait for a claim."""
        import asyncpg

        connection = await asyncpg.connect(self.server.url)
        try:
            await connection.add_listener(f"{self.schema}_claims", lambda *sent: heard.append(str(sent[-1])))
            yield
        finally:
            await connection.close()

    async def query(self, statement: str, *arguments: object) -> list[Any]:
        """Sends a statement over a connection of its own, and returns the rows."""
        return await query(self.server.url, statement.format(schema=self.schema), *arguments)


async def query(url: str, statement: str, *arguments: object) -> list[Any]:
    """Sends a statement to a database, over a connection of its own, and returns the rows."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


def database(server: Server) -> str:
    """The address of a new database on a server, whose journal is in the default schema."""
    name = f"test_{uuid4().hex}"
    anyio.run(query, server.url, f"CREATE DATABASE {name}")
    return f"{server.url.rpartition('/')[0]}/{name}"
