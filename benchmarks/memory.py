"""How much memory grows during a batch of 5,000 clips, compared with hand-written loops that keep or drop results.

Each run has a process of its own: `python -m benchmarks.memory CONTENDER CLIPS` prints its growth. The measure is the
resident memory (RSS) of that process after a garbage collection, including SQLite's caches. The contenders of one round
run at the same time, which does not change their memory.

Invariant: only the client is measured; the service behind it stores nothing.
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

from .comparison import MIN_ROUNDS, OURS, Figure, Goal, Table

__all__ = ["CLIPS", "benchmarks"]

CLIPS: Final = 5_000
FIRST: Final = 1_000
UNMEASURED: Final = 200
"""Clips after the second measurement. It is not at the last clip: by then fewer clips are in flight, and the memory
that they free would hide growth."""
CLIP_BYTES: Final = 300
GOAL: Final = 1.0
"""MB per 1,000 clips."""
_RESULTS: Final = side_view_results(runner_of(b"benchmark", height=1.75, weight=68, pace=None), language="en")


@define(eq=False)
class ForgetfulService:
    """A service that finishes every analysis at its first poll, and remembers only the number of charges."""

    origin: str = "http://forgetful.invalid"
    account: str = "benchmark"
    charged: int = 0

    async def send(self, request: Request) -> Response:
        """Accepts a clip, or returns the results of one."""
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
        """Does nothing: no connection is open."""


def _answer(status: int, output: object) -> Response:
    return Response(status, {}, orjson.dumps(output), request_complete=True)


# --- contenders -----------------------------------------------------------------------------------


@define
class Meter:
    """The memory of the process at the thousandth outcome and near the end, while the batch still runs."""

    clips: int
    done: int = 0
    bytes_at: dict[int, int] = field(factory=dict)

    def outcome(self) -> None:
        """Counts an outcome, and measures at the two points."""
        self.done += 1
        if self.done in (FIRST, self.last):
            gc.collect()
            self.bytes_at[self.done] = _resident()

    @property
    def last(self) -> int:
        """The clip of the second measurement."""
        return self.clips - UNMEASURED

    @property
    def growth(self) -> float:
        """MB per 1,000 clips."""
        return (self.bytes_at[self.last] - self.bytes_at[FIRST]) / (self.last - FIRST) * 1_000 / 1e6


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    output = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - a system command
    return int(output.stdout) * 1024


Run = Callable[[OchySession, Meter, Path], Awaitable[None]]


async def _library(ochy: OchySession, meter: Meter, folder: Path) -> None:
    async with ochy.batch(SideView(), journal=folder / "clips.journal") as batch:
        async for outcome in batch.run(_clips(meter.clips)):
            if outcome.word != "analyzed":
                raise AssertionError(f"{outcome.label}: {outcome.word}")
            meter.outcome()


async def _clips(clips: int) -> AsyncGenerator[bytes]:
    for number in range(clips):
        yield sample_clip(number, size=CLIP_BYTES)


async def _gather(limit: int | None, ochy: OchySession, meter: Meter, _: Path, *, keep: bool) -> None:
    slots = asyncio.Semaphore(limit or meter.clips)

    async def analyzed(number: int) -> object:
        async with slots:
            results = await ochy.analyze(sample_clip(number, size=CLIP_BYTES), SideView())
        meter.outcome()
        return results if keep else None

    await asyncio.gather(*(analyzed(number) for number in range(meter.clips)))


CONTENDERS: Final[Mapping[str, Run]] = {
    "gather over all, results kept": partial(_gather, None, keep=True),
    "a semaphore of 8, results kept": partial(_gather, 8, keep=True),
    "a semaphore of 8, results dropped": partial(_gather, 8, keep=False),
    OURS: _library,
}
POLLING: Final = Polling(interval=0.01, shortest=0.01, longest=0.01, requests_per_second=1000)


async def _measured(run: Run, clips: int) -> Meter:
    service, meter = ForgetfulService(), Meter(clips)
    with tempfile.TemporaryDirectory() as folder:
        async with OchySession(transport=service, polling=POLLING, preflight="off") as ochy:
            await run(ochy, meter, Path(folder))
    if not service.charged == meter.done == clips:
        raise AssertionError(f"{service.charged} charges, {meter.done} outcomes for {clips} clips")
    return meter


def main() -> None:
    """Runs one contender in this process."""
    print(json.dumps(asyncio.run(_measured(CONTENDERS[sys.argv[1]], int(sys.argv[2]))).growth))


# --- table ----------------------------------------------------------------------------------------


def growth(rounds: int) -> Table:
    """MB per 1,000 clips, from the thousandth clip to near the end."""
    growths: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    for _ in range(max(rounds, MIN_ROUNDS)):
        children = {contender: _child(contender, CLIPS) for contender in CONTENDERS}
        for contender, child in children.items():
            growths[contender].append(float(_output_of(child)))
    figures = {contender: Figure.of(values) for contender, values in growths.items()}
    goal = Goal(f"{OURS}, growth per 1,000 clips", figures[OURS].median, GOAL, "MB")
    name = f"memory: growth per 1,000 clips of a batch of {CLIPS:,}"
    notes = (
        "resident memory, each contender in a process of its own, against a service that stores nothing",
        "the batch drops each result that was consumed, as one loop does, and keeps them all in its journal",
        "gather over all grows less than one semaphore because it holds all its tasks from the start",
    )
    return Table(name, "MB", figures, OURS, (goal,), notes)


def large(clips: int) -> Table:
    """The same for one large batch, of the library only, beside a batch of the usual size."""
    growths = {f"{each:,} clips": float(_output_of(_child(OURS, each))) for each in (CLIPS, clips)}
    figures = {name: Figure.of([growth]) for name, growth in growths.items()}
    return Table("memory: growth per 1,000 clips of one batch", "MB", figures, f"{CLIPS:,} clips")


def _child(contender: str, clips: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"{__package__}.memory", contender, str(clips)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program


def _output_of(child: subprocess.Popen[str]) -> str:
    output, _ = child.communicate()
    if child.returncode:
        raise AssertionError(f"{child.args!r} failed")
    return output


def benchmarks(rounds: int, clips: int | None = None) -> Iterator[Table]:
    """All benchmarks of this module; with `clips` that of one large batch instead."""
    yield growth(rounds) if clips is None else large(clips)


if __name__ == "__main__":
    main()
