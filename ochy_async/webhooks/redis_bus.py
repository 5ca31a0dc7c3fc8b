"""Carries hints over Redis or Valkey, with SUBSCRIBE on one connection and PUBLISH on another.

Invariant: the connections end with `listen`, and the server is never waited for longer than its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from anyio import create_task_group, move_on_after
from anyio.lowlevel import checkpoint

from .remote_bus import RemoteBus

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisBus"]


class RedisBus(RemoteBus):
    """Hints over Redis or Valkey: `RedisBus("redis://:password@host:6379")`, with `rediss://` over TLS.

    The URL is read by redis-py. A channel is one for the whole server, whatever the number of the database. With a
    cluster, name any of its nodes. The connections are two for each process.
    """

    server = "Redis"
    library = "redis"
    extra = "redis"
    schemes: ClassVar[tuple[str, ...]] = ("redis", "rediss", "unix")

    async def _exchange(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        client = self._client()
        pubsub: Any = client.pubsub()  # `aclose` has no types
        try:
            await pubsub.subscribe(self._channel)
            with self._queue.sending():
                async with create_task_group() as sending:
                    sending.start_soon(self._send, client)
                    await self._receive(pubsub, receive, ready)
        finally:
            with move_on_after(self.reply_seconds, shield=True):
                await pubsub.aclose()
                await client.aclose()

    async def _receive(self, pubsub: Any, receive: Callable[[str], None], ready: Callable[[], None]) -> NoReturn:
        waits_for_answer = True  # to the subscription; later, to the question whether the server is still there
        while True:
            message = await pubsub.get_message(timeout=self.reply_seconds if waits_for_answer else self.health_seconds)
            if message is None and waits_for_answer:
                raise TimeoutError
            waits_for_answer = message is None
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                ready()
            elif message["type"] == "message":
                receive(_text(message["data"]))
            await checkpoint()  # redis-py does not wait for messages that have arrived, so a flood would hold the loop

    async def _send(self, client: Redis) -> NoReturn:
        while True:
            messages = await self._queue.take(self.health_seconds)
            async with client.pipeline(transaction=False) as commands:
                for message in messages:
                    commands.publish(self._channel, message)
                commands.ping()  # asks whether the server is still there if no message waited
                await commands.execute()

    def _client(self) -> Redis:
        """A client that has no connection yet, and does not repeat commands: who listens again connects again."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis.from_url(
            self._address,
            protocol=2,  # a message in version 3 of the protocol is logged by redis-py
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=self.connect_seconds,
            socket_timeout=self.reply_seconds,
        )

    def _problem(self) -> str | None:
        return super()._problem() or self._problem_of_options()

    def _problem_of_options(self) -> str | None:
        try:
            pool: Any = self._client().connection_pool  # `make_connection` has no types
            pool.make_connection()
        except Exception:  # noqa: BLE001 - whatever redis-py raises, its text may quote the address
            return "has an option that redis-py does not know, or a value that it cannot read"
        return None


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "replace")
