"""Fixtures of the tests of the command line."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import world
from tests.support.servers import postgres_server

if TYPE_CHECKING:
    from tests.support.cli_harness import CliHarness

__all__ = ["postgres_server"]

# The fixtures import the harness themselves, because that skips a test where the extra `cli` is not installed.


@pytest.fixture
def harness(tmp_path: Path) -> Generator[CliHarness]:
    """A harness whose analyses take a fraction of a second."""
    from tests.support.cli_harness import cli_harness

    with cli_harness(world(queue_seconds=0.05, analysis_seconds=(0.1, 0.2)), tmp_path / "clips") as opened:
        yield opened


@pytest.fixture
def slow_harness(tmp_path: Path) -> Generator[CliHarness]:
    """A harness whose analyses take a day."""
    from tests.support.cli_harness import cli_harness

    with cli_harness(world(analysis_seconds=(86_400, 86_400)), tmp_path / "clips") as opened:
        yield opened


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for the output of a process."""
    path = tmp_path / "output"
    path.mkdir()
    return path
