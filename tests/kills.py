"""Real kills: batches in child processes against an emulator on a real socket, killed at random moments.

`python tests/kills.py --kills 2000` does it for as long as one likes; the suite does it with fewer. Each
campaign is a folder of clips, one journal and one emulator with faults; a batch is started, killed with
SIGKILL, started again, until one comes to its end. Then the emulator's ledger says what was paid.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal
from attrs import define, field
from virtual_time import HURRY, hurried

from ochy_async import Bounds, Limits, OchySession, Retry, SideView
from ochy_async.emulator import (
    Body,
    CutAfter,
    CutBefore,
    CutInside,
    Delay,
    Emulator,
    Fault,
    RetryAfter,
    Seeded,
    Slow,
    Status,
    StatusAfter,
    World,
    sample_clip,
)
from ochy_async.protocol.routes import START

CLIPS: Final = 12
DISTINCT: Final = 10
BORN: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z: where hurried time begins, for all processes alike."""
KEY: Final = "kills-key-8d21c6"
FAULTS: Final[tuple[Fault, ...]] = (
    CutBefore(),
    CutInside(30_000),
    CutAfter(charged=True),
    CutAfter(charged=False),
    Status(503),
    StatusAfter(500),
    RetryAfter("0"),
    Body(lambda body: body[: len(body) // 2]),
    Slow(800_000, side="upload"),
)
LATE: Final = (Delay(0.2, after=True), Delay(0.4, after=True))
"""Starts that are charged some time before they are answered: moments at which a kill would cost a credit."""
RATE: Final = 0.15
MOST_ROUNDS: Final = 200
"""A campaign that does not come to its end is a fault of its own."""


@define
class Tally:
    """What campaigns have come to."""

    kills: int = 0
    campaigns: int = 0
    clips: int = 0
    """Distinct clips."""
    paid: int = 0
    uncertain: int = 0
    wrong: list[str] = field(factory=list)
    """What must never be, with its seed."""


class Plan:
    """Faults on every route, and on many starts an answer that comes late."""

    def __init__(self, seed: int) -> None:
        self._late = Seeded(seed, 0.4, LATE, str(START))
        self._other = Seeded(seed, RATE, FAULTS)

    def next(self, route: str, count: int) -> Fault | None:
        return self._late.next(route, count) or self._other.next(route, count)


# --- the child ----------------------------------------------------------------------------------


def child(url: str, folder: str, told: str) -> None:
    """One batch over the folder, to its end if nobody kills it. Its outcomes are written at that end only."""
    hurried(_batch(url, Path(folder), Path(told)))


def _clock() -> datetime:
    """The time of day, as much in a hurry as the loop is."""
    return datetime.fromtimestamp(BORN + (time.time() - BORN) * HURRY, UTC)


async def _batch(url: str, folder: Path, told: Path) -> None:
    retry, limits = Retry(budget=1000), Limits(stall=120, call=120)
    paths = sorted(folder.glob("*.mp4"))  # noqa: ASYNC240 - a dozen small files
    bounds = Bounds(uploads=3, in_flight=6)
    async with (
        OchySession(KEY, base_url=url, retry=retry, limits=limits, clock=_clock, check="nothing") as ochy,
        ochy.batch(SideView(), journal=folder / "clips.journal", tag_starts=True, bounds=bounds) as batch,
    ):
        outcomes = [outcome async for outcome in batch.run(paths)]
    lines = [f"{Path(each.label).name} {each.word} {each.analysis_id}" for each in outcomes]
    told.write_text("\n".join(lines))  # noqa: ASYNC240 - the end of the process


# --- the campaign -------------------------------------------------------------------------------


def campaign(seed: int, processes: ForkServerContext, tally: Tally) -> None:
    """One folder, killed again and again until it is done; what is wrong is noted."""
    chance = random.Random(seed)
    settings = World(keys={KEY}, seed=seed, slots=4, queueing=0.5, listing_lag=5.0)
    emulator = Emulator(settings, Plan(seed), speed=HURRY)
    with tempfile.TemporaryDirectory(prefix="ochy-kills-") as name, start_blocking_portal() as portal:
        folder = Path(name)
        for number in range(CLIPS):
            (folder / f"{number:02}.mp4").write_bytes(sample_clip(1000 * seed + number % DISTINCT, size=40_000))
        with portal.wrap_async_context_manager(emulator):
            for _ in range(MOST_ROUNDS):
                if _round(emulator.url, folder, processes, chance, tally):
                    break
        _judge(seed, emulator, folder, tally)


def _round(url: str, folder: Path, processes: ForkServerContext, chance: random.Random, tally: Tally) -> bool:
    """Starts the batch once and kills it at some moment. Whether it came to its end before, with nothing left to do."""
    told = folder / "told"
    told.unlink(missing_ok=True)
    process = processes.Process(target=child, args=(url, str(folder), str(told)))
    process.start()
    process.join(chance.uniform(0.0, 1.5))
    if process.is_alive():
        process.kill()
        tally.kills += 1
    process.join()
    process.close()
    return told.exists() and " unfinished " not in told.read_text()


def _judge(seed: int, emulator: Emulator, folder: Path, tally: Tally) -> None:
    charges = Counter(charge.sha256 for charge in emulator.service.ledger)
    outcomes = (
        [line.split() for line in (folder / "told").read_text().splitlines()] if (folder / "told").exists() else []
    )
    words = Counter(word for _, word, _ in outcomes)
    tally.campaigns += 1
    tally.clips += DISTINCT
    tally.paid += sum(charges.values())
    tally.uncertain += words["uncertain"]
    ids = {analysis_id for _, word, analysis_id in outcomes if word == "analyzed"}
    paid = {charge.analysis_id for charge in emulator.service.ledger}
    if not outcomes:
        tally.wrong.append(f"seed {seed}: did not come to its end")
    elif max(charges.values(), default=0) > 1:
        tally.wrong.append(f"seed {seed}: {charges.most_common(1)[0][1]} credits for one clip")
    elif ids != paid:
        tally.wrong.append(f"seed {seed}: {len(paid - ids)} paid results lost, {len(ids - paid)} of nobody")
    elif len(outcomes) != CLIPS or words.keys() - {"analyzed", "uncertain"}:
        tally.wrong.append(f"seed {seed}: ended as {dict(words)}")


def campaigns(kills: int, first_seed: int = 0) -> Tally:
    """Campaign after campaign, until there were so many kills."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["kills"])
    tally, seed = Tally(), first_seed
    while tally.kills < kills:
        campaign(seed, processes, tally)
        seed += 1
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="Of the first campaign.")
    given = parser.parse_args()
    began = time.monotonic()
    found = campaigns(given.kills, given.seed)
    print(
        f"{found.kills} kills in {found.campaigns} campaigns, {time.monotonic() - began:.0f} s: {found.paid} credits "
        f"for {found.clips} distinct clips, {found.uncertain} outcomes left uncertain"
    )
    print(
        "\n".join(found.wrong)
        or "No clip was charged twice, no paid result was lost: what is uncertain was not charged."
    )
    sys.exit(bool(found.wrong))
