"""Memory that a batch of 5,000 clips goes on taking, clip by clip, beside the loops that one would write.

Each run has a process of its own: `python -m benchmarks.memory CONTENDER` prints what it came to. Measured is the
resident memory (RSS) of that process, SQLite's caches and all, after a collection; those of one round run side by
side, as that changes nothing of it. Invariant: what is measured is the client; the service behind it forgets.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import orjson
from attrs import define, field

from ochy_async import OchySession, Polling, SideView
from ochy_async.emulator import sample_clip
from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.biomechanics.runner import runner_of
from ochy_async.protocol.wire import Request, Response, Upload

from .race import LEAST_ROUNDS, OURS, Aim, Figure, Table

__all__ = ["CLIPS", "benchmarks"]

CLIPS: Final = 5_000
FROM: Final = 1_000
TO: Final = 4_800
"""Not the last: by then those that are under way get fewer, and what they held would be set off against the growth."""
CLIP_BYTES: Final = 300
MOST: Final = 1.0
"""MB per 1,000 clips."""
_RESULTS: Final = side_view_results(runner_of(b"benchmark", height=1.75, weight=68, pace=None), language="en")


@define(eq=False)
class Forgetful:
    """A service that is done when it is asked for the first time, and remembers how many it has charged."""

    origin: str = "http://forgetful.invalid"
    account: str = "benchmark"
    charged: int = 0

    async def send(self, request: Request) -> Response:
        """Takes a clip, or tells how it stands with one."""
        await asyncio.sleep(0)
        if request.upload is not None:
            return await self._start(request.upload)
        analysis_id = request.path.split("/")[2]
        return _answer(200, {"video_id": analysis_id, "status": "success", "biomechanical_analysis": _RESULTS})

    async def _start(self, upload: Upload) -> Response:
        async with aclosing(upload.chunks()) as chunks:
            async for _ in chunks:
                pass
        self.charged += 1
        return _answer(202, {"message": "Analysis started successfully", "video_id": str(UUID(int=self.charged))})

    async def aclose(self) -> None:
        """Nothing is open."""


def _answer(status: int, told: object) -> Response:
    return Response(status, {}, orjson.dumps(told), request_complete=True)


# --- contenders -----------------------------------------------------------------------------------


@define
class Meter:
    """What the process holds at the thousandth outcome and near the end, while all is still at work."""

    done: int = 0
    held: dict[int, int] = field(factory=dict)

    def outcome(self) -> None:
        """Counts one more, and measures where it is time."""
        self.done += 1
        if self.done in (FROM, TO):
            gc.collect()
            self.held[self.done] = _resident()

    @property
    def growth(self) -> float:
        """MB per 1,000 clips."""
        return (self.held[TO] - self.held[FROM]) / (TO - FROM) * 1_000 / 1e6


def _resident() -> int:
    """Bytes of memory that this process has at the moment."""
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    told = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - a system command
    return int(told.stdout) * 1024


Run = Callable[[OchySession, Meter, Path], Awaitable[None]]


async def _library(ochy: OchySession, meter: Meter, folder: Path) -> None:
    async with ochy.batch(SideView(), journal=folder / "clips.journal") as batch:
        async for outcome in batch.run(_clips()):
            if outcome.word != "analyzed":
                raise AssertionError(f"{outcome.label}: {outcome.word}")
            meter.outcome()


async def _clips() -> AsyncGenerator[bytes]:
    for number in range(CLIPS):
        yield sample_clip(number, size=CLIP_BYTES)


async def _gather(most: int, ochy: OchySession, meter: Meter, _: Path) -> None:
    slots = asyncio.Semaphore(most)

    async def analyzed(number: int) -> object:
        async with slots:
            results = await ochy.analyze(sample_clip(number, size=CLIP_BYTES), SideView())
        meter.outcome()
        return results

    await asyncio.gather(*(analyzed(number) for number in range(CLIPS)))


CONTENDERS: Final[Mapping[str, Run]] = {
    "gather over all": partial(_gather, CLIPS),
    "one semaphore of 8": partial(_gather, 8),
    OURS: _library,
}
POLLING: Final = Polling(interval=0.01, shortest=0.01, longest=0.01, requests_per_second=1000)


async def _measured(run: Run) -> Meter:
    service, meter = Forgetful(), Meter()
    with tempfile.TemporaryDirectory() as folder:
        async with OchySession(transport=service, polling=POLLING, preflight="off") as ochy:
            await run(ochy, meter, Path(folder))
    if not service.charged == meter.done == CLIPS:
        raise AssertionError(f"{service.charged} charges, {meter.done} outcomes for {CLIPS} clips")
    return meter


def main() -> None:
    """One run of one contender, in a process of its own."""
    print(json.dumps(asyncio.run(_measured(CONTENDERS[sys.argv[1]])).growth))


# --- table ----------------------------------------------------------------------------------------


def growth(rounds: int) -> Table:
    """MB per 1,000 clips, from the thousandth to near the end."""
    grown: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    for _ in range(max(rounds, LEAST_ROUNDS)):
        children = {who: _child(who) for who in CONTENDERS}
        for who, child in children.items():
            grown[who].append(float(_told(child)))
    figures = {who: Figure.of(values) for who, values in grown.items()}
    aim = Aim(f"{OURS}, growth per 1,000 clips", figures[OURS].median, MOST, "MB")
    name = f"memory: growth per 1,000 clips of a batch of {CLIPS:,}"
    notes = (
        "resident memory, each contender in a process of its own, against a service that forgets",
        "gather over all grows less than one semaphore as it has made all its tasks, and holds them, from the start",
    )
    return Table(name, "MB", figures, "one semaphore of 8", (aim,), notes)


def _child(who: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"{__package__}.memory", who]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program


def _told(child: subprocess.Popen[str]) -> str:
    told, _ = child.communicate()
    if child.returncode:
        raise AssertionError(f"{child.args!r} failed")
    return told


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    yield growth(rounds)


if __name__ == "__main__":
    main()
