"""Tests of `docs/examples/replicas.py`: two real processes that share a journal in a real Postgres are killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from ochy_async import PostgresJournal
from ochy_async.emulator import Emulator
from ochy_async.policy.clip_states import State
from ochy_async.protocol.routes import START
from tests.conftest import world
from tests.support.batches import clip
from tests.support.examples import Clock, ServiceProcess, serving, wait_until
from tests.support.postgres_journals import database
from tests.support.servers import Server, postgres_server

httpx = pytest.importorskip("httpx", reason="needs the extra dev: httpx is not installed")
pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")

__all__ = ["postgres_server"]

CLIPS = 6
SECONDS = 180.0
"""A lease ends after half a minute, and the machine may be slow."""


@pytest.fixture
def ochy(clock: Clock) -> Generator[Emulator]:
    """An emulator in which an analysis takes an hour."""
    emulator = Emulator(world(queue_seconds=0.0, analysis_seconds=(3600.0, 3600.0)), clock=clock)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


@pytest.fixture
def address(postgres_server: Server) -> str:
    """A journal of this test alone."""
    return database(postgres_server)


@pytest.fixture
def replica(ochy: Emulator, address: str, tmp_path: Path) -> Any:
    """Starts a replica."""

    def start() -> AbstractContextManager[ServiceProcess]:
        return serving("replicas", ochy.url, tmp_path, OCHY_JOURNAL=address, TEND_SECONDS="2")

    return start


@pytest.fixture
def clients() -> Generator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4 * CLIPS) as threads:
        yield threads


def post(service: ServiceProcess, number: int) -> Any:
    query = {"view": "side", "height": "1.8765", "weight": "68"}
    return httpx.post(f"{service.url}/analyses", params=query, content=clip(number), timeout=SECONDS)


def post_to_both(clients: ThreadPoolExecutor, *services: ServiceProcess) -> list[list[Future[Any]]]:
    """Sends every clip to each of the services at the same time: the answers by service."""
    return [[clients.submit(partial(post, service, number)) for number in range(CLIPS)] for service in services]


def states(address: str) -> Any:
    async def read() -> Any:
        async with PostgresJournal(address) as journal:
            return (await journal.totals()).entries

    return asyncio.run(read())


def test_replicas_that_get_the_same_clips_buy_each_once_and_all_answer(
    replica: Any, ochy: Emulator, clock: Clock, clients: ThreadPoolExecutor
) -> None:
    """One of the two bought it; both have its results."""
    with replica() as one, replica() as other:
        asked = post_to_both(clients, one, other)
        wait_until(lambda: len(ochy.service.ledger) == CLIPS, SECONDS)
        clock.skipped += 7200
        answers = [[each.result(SECONDS).json() for each in of_one] for of_one in asked]
    assert len(ochy.service.ledger) == CLIPS
    for first, second in zip(*answers, strict=True):
        assert first["id"] == second["id"]
        assert sorted([first["bought"], second["bought"]]) == [False, True]


def test_what_a_killed_replica_paid_for_is_collected_and_not_bought_again(
    replica: Any, ochy: Emulator, clock: Clock, address: str, clients: ThreadPoolExecutor
) -> None:
    """Killed in the middle and started again, it tends what it left, and a client that asks again gets it."""
    with replica() as one, replica() as other:
        post_to_both(clients, one)
        wait_until(lambda: states(address) == {State.STARTED: CLIPS}, SECONDS)
        one.kill()
        clock.skipped += 7200
        with replica() as again:
            wait_until(lambda: states(address) == {State.ANALYZED: CLIPS}, SECONDS)
            asked = post_to_both(clients, again, other)
            answers = [[each.result(SECONDS).json() for each in of_one] for of_one in asked]
    assert not any(answer["bought"] for of_one in answers for answer in of_one)
    assert len({answer["id"] for of_one in answers for answer in of_one}) == CLIPS
    assert len(ochy.service.ledger) == ochy.service.count(str(START)) == CLIPS


def test_a_replica_that_is_told_to_end_hands_over(
    replica: Any, ochy: Emulator, clock: Clock, clients: ThreadPoolExecutor
) -> None:
    """Its client is told to ask again, and the other replica has the results without a wait for a lease."""
    with replica() as one, replica() as other:
        asked = clients.submit(partial(post, one, 1))
        wait_until(lambda: ochy.service.ledger and ochy.service.count(str(START)), SECONDS)
        one.process.send_signal(signal.SIGTERM)
        assert asked.result(SECONDS).status_code == 503
        assert one.end() == 0
        clock.skipped += 7200
        assert not post(other, 1).json()["bought"]
    assert len(ochy.service.ledger) == 1
