"""Real servers for the tests of buses."""

from __future__ import annotations

from tests.support.servers import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]
