"""An S3 server, and a bucket for each test."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import pytest

from tests.support.object_servers import ObjectServer, object_server

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Generator[ObjectServer]:
    with object_server() as running:
        yield running


@pytest.fixture
def bucket(server: ObjectServer) -> str:
    name = f"lab{next(_NUMBERS)}"
    server.put(name)
    return name
