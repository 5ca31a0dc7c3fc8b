"""Carries hints over Postgres, with LISTEN and NOTIFY on one connection.

Invariant: one task uses the connection, and every statement has a deadline. After it, the connection is closed instead
of the statement being cancelled: asyncpg would cancel it over a second connection, in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from .remote_bus import RemoteBus

if TYPE_CHECKING:
    import asyncpg

__all__ = ["PostgresBus"]

_NOTIFY: Final = "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message"
"""Sends any number of messages. With none it asks whether the server is still there."""


class PostgresBus(RemoteBus):
    """Hints over Postgres: `PostgresBus("postgresql://user:password@host/database")`.

    The DSN is read by asyncpg, like libpq's: further hosts, `sslmode` and the environment variables of libpq count. All
    replicas need the same database. A pooler in transaction mode does not forward notifications: name the server
    itself. The connection is one for each process.
    """

    server = "Postgres"
    library = "asyncpg"
    extra = "postgres"
    schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")

    async def _exchange(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        import asyncpg

        connection = await asyncpg.connect(self._address, timeout=self.connect_seconds)
        try:
            connection.add_termination_listener(lambda _connection: self._queue.interrupt())
            with _deadline(connection, self.reply_seconds):
                await connection.add_listener(self._channel, lambda *notification: receive(str(notification[-1])))
            with self._queue.sending():
                ready()
                while True:
                    messages = await self._queue.take(self.health_seconds)
                    if connection.is_closed():
                        raise ConnectionResetError
                    with _deadline(connection, self.reply_seconds):
                        await connection.execute(_NOTIFY, self._channel, messages)
        finally:
            connection.terminate()


@contextmanager
def _deadline(connection: asyncpg.Connection, seconds: float) -> Generator[None]:
    """Closes the connection if the statement inside takes longer, so that the statement raises."""
    timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    finally:
        timer.cancel()
