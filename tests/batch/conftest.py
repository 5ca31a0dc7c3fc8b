"""A real server for the tests of workers that share a journal in Postgres."""

from __future__ import annotations

from tests.support.servers import postgres_server

__all__ = ["postgres_server"]
