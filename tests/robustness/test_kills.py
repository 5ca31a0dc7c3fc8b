"""Batches that are killed and stopped: child processes, signals, a journal on the disk, an emulator on a socket."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import anyio
import pytest

from ochy_async import Clip, OchySession
from ochy_async.emulator import Emulator
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from tests.conftest import world
from tests.support.batches import Outcomes, batched, clip
from tests.support.canary import API_KEY
from tests.support.kills import Conditions, run_campaigns

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")

KILLS = 50
PATIENCE = 100.0
"""Seconds until a test gives up."""


def test_no_kill_costs_a_second_credit_or_a_paid_result() -> None:
    """Fifty kills at random moments, under faults: one credit for each clip, and every paid result comes home."""
    found = run_campaigns(KILLS)
    assert found.kills >= KILLS
    assert not found.wrong
    assert found.charges > found.distinct * 0.7  # the faults leave some in doubt that were never charged


def test_neither_chaos_nor_stops_cost_a_second_credit_or_a_paid_result() -> None:
    """Kills and stops through a proxy that breaks connections cost one credit for each clip and lose no paid result."""
    found = run_campaigns(3, conditions=Conditions(clips=4, chaos=True))
    assert not found.wrong
    assert found.kills >= 3
    assert found.stops >= 3
    assert found.charges


# --- one kill at one moment -----------------------------------------------------------------------


class Reached(SqliteJournal):
    """A journal that touches `mark` once `SENDING` is stored, and goes no further."""

    def __init__(self, path: Path, mark: Path) -> None:
        super().__init__(path)
        self._mark = mark

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        if entry.state is State.SENDING:
            self._mark.touch()
            await anyio.sleep_forever()
        return stored


def sender(url: str, folder: Path, state: State) -> None:
    """A process that goes no further than half of an upload, or than the permission to send its last chunk."""
    mark, openings = folder / "mark", list[None]()

    async def chunks() -> AsyncGenerator[bytes]:
        openings.append(None)
        if len(openings) > 1 and state is State.INTENDED:  # the first time, the clip is hashed
            yield clip(0)[:150]
            mark.touch()
            await anyio.sleep_forever()
        yield clip(0)

    anyio.run(run_batch, url, Clip.stream(chunks, name="runner.mp4", size=300), Reached(folder / "clips.journal", mark))


async def run_batch(url: str, source: Clip | bytes, journal: SqliteJournal, later: float = 0.0) -> Outcomes:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=later)

    return await batched(OchySession(API_KEY, base_url=url, preflight="off", clock=clock), [source], journal=journal)


def killed_in(state: State, url: str, folder: Path) -> None:
    """Starts a sender, waits until it is in the state, and kills it."""
    process = get_context("forkserver").Process(target=sender, args=(url, folder, state))
    process.start()
    mark, began = folder / "mark", time.monotonic()
    try:
        while not mark.exists():
            assert process.is_alive(), "it has ended too early"
            assert time.monotonic() < began + PATIENCE
            time.sleep(0.01)
    finally:
        process.kill()
        process.join()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("state", "word", "credits_"), [(State.INTENDED, "analyzed", 1), (State.SENDING, "uncertain", 0)]
)
async def test_only_a_kill_at_the_last_chunk_leaves_a_doubt(
    state: State, word: str, credits_: int, tmp_path: Path
) -> None:
    """Half of a clip is sent when the process is killed: the next run buys it. At its last chunk it is in doubt."""
    async with Emulator(world(), speed=50) as emulator:
        await anyio.to_thread.run_sync(killed_in, state, emulator.url, tmp_path)
        journal = SqliteJournal(tmp_path / "clips.journal")
        (outcome,) = await run_batch(emulator.url, clip(0), journal, later=3600.0)
        assert (outcome.word, len(emulator.service.ledger)) == (word, credits_)
        async with journal:
            states = [each.state for each in await journal.history(str(outcome.key))]
    assert (State.UNCERTAIN in states) is (word == "uncertain")
