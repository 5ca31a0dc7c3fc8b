"""Fixtures of the tests of engines: a database for each test, the command line, and an S3 server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import world
from tests.support.postgres_journals import database
from tests.support.servers import Server, postgres_server

if TYPE_CHECKING:
    from tests.support.cli_harness import CliHarness
    from tests.support.object_servers import ObjectServer

__all__ = ["postgres_server"]


@pytest.fixture
def address(postgres_server: Server) -> str:
    """The address of a new database."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    return database(postgres_server)


@pytest.fixture
def harness(tmp_path: Path) -> Generator[CliHarness]:
    """A harness whose analyses take a fraction of a second."""
    from tests.support.cli_harness import cli_harness

    with cli_harness(world(queue_seconds=0.05, analysis_seconds=(0.1, 0.2)), tmp_path / "clips") as opened:
        yield opened


@pytest.fixture(scope="session")
def object_store() -> Generator[ObjectServer]:
    """An S3 server."""
    from tests.support.object_servers import object_server

    with object_server() as running:
        yield running


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for the output of a process."""
    path = tmp_path / "output"
    path.mkdir()
    return path
