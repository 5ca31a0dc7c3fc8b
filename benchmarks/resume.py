"""How long a resumed batch takes whose clips are all analyzed: files of unchanged size, times and inode are not read.

Invariant: every run has the results of all clips, and buys nothing.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from attrs import evolve

from ochy_async import OchySession, Polling, SideView
from ochy_async.clips import SETTLED
from ochy_async.emulator import EmulatorSettings, InProcessTransport, Service, sample_clip

from .comparison import OURS, Goal, Table, compare

__all__ = ["benchmarks"]

FILES: Final = 500
BYTES: Final = 5_000_000
"""Size of each file. All but its head is a hole, which the system reads without a disk."""
REHASH: Final = f"{OURS}, rehash=True"
LISTING: Final = "a listing with size and times"
GOAL: Final = 0.5
QUICK: Final = Polling(interval=0.01, shortest=0.01, longest=0.1, requests_per_second=1_000)


def _written(folder: Path, files: int) -> list[Path]:
    paths = [folder / f"{number}.mp4" for number in range(files)]
    for number, path in enumerate(paths):
        path.write_bytes(sample_clip(number, size=300))
        os.truncate(path, BYTES)
    return paths


def _listed(folder: Path) -> None:
    for entry in os.scandir(folder):
        entry.stat()


def _resumed(service: Service, paths: Sequence[Path], journal: Path, *, rehash: bool = False) -> None:
    asyncio.run(_run(service, paths, journal, rehash=rehash))
    if len(service.ledger) != len(paths):
        raise AssertionError(f"{len(service.ledger)} charges for {len(paths)} clips")


async def _run(service: Service, paths: Sequence[Path], journal: Path, *, rehash: bool) -> None:
    transport = InProcessTransport(service)
    async with (
        OchySession(transport=transport, polling=QUICK, preflight="off") as ochy,
        ochy.batch(SideView(), journal=journal, rehash=rehash) as batch,
    ):
        found = [outcome.word async for outcome in batch.run(paths)]
    if found != ["analyzed"] * len(paths):
        raise AssertionError(f"{found.count('analyzed')} results of {len(paths)} clips")


def benchmarks(rounds: int, files: int = FILES) -> Iterator[Table]:
    """Milliseconds for a batch that has nothing to do."""
    settings = EmulatorSettings(
        credits=files, analysis_seconds=(0.0, 0.0), queue_seconds=0.0, concurrent_analyses=files
    )
    service = Service(settings)
    with tempfile.TemporaryDirectory() as name:
        folder, journal = Path(name, "clips"), Path(name, "clips.journal")
        folder.mkdir()
        paths = _written(folder, files)
        time.sleep(SETTLED + 1)  # until a change would show, nothing is remembered of a file
        _resumed(service, paths, journal)
        runs = {
            LISTING: partial(_listed, folder),
            OURS: partial(_resumed, service, paths, journal),
            REHASH: partial(_resumed, service, paths, journal, rehash=True),
        }
        name = f"resume: {files} analyzed clips of {BYTES / 1e6:.0f} MB"
        table = compare(name, runs, rounds, base=OURS)
    goal = Goal(f"{OURS} / {REHASH}", table.ratio(OURS, REHASH), GOAL)
    yield evolve(table, goals=(goal,), notes=("the files are in the system's cache",))
