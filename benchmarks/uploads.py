"""Uploads of clips of 30 MB: how long they take, how long they block the event loop, and how much memory they need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from attrs import evolve

from .comparison import OURS, Figure, Goal, Table, alternate
from .sink_server import sink
from .upload_contenders import ASYNC, PLAIN, SLOWNESS, Run, UploadTask, contenders, fresh, measure, peak_memory

__all__ = ["benchmarks"]

SIZE: Final = 29_900_000
"""Bytes of a clip. Its form is just below 30 MB."""
SHORT: Final = 2_000_000
"""Bytes of the clip on the slow disk: some contenders need a hundred reads for it."""


def _check(name: str, task: UploadTask, uploads: Mapping[str, Callable[[], object]]) -> None:
    """Checks that every contender sends all clips, and little else."""
    for contender, upload in uploads.items():
        before = task.sink.received()
        upload()
        got = task.sink.received() - before
        count = task.at_once * task.repeats
        if not task.size * count <= got <= (task.size + 4096) * count:
            raise AssertionError(f"{name}: {contender} sent {got:,} bytes")


def _runs(
    name: str, task: UploadTask, who: tuple[str, ...], rounds: int, *, heartbeat: bool = False
) -> dict[str, list[Run]]:
    """The runs of each contender, which take turns, each in a fresh process."""
    runs: dict[str, list[Run]] = {}

    def run(contender: str) -> float:
        done = fresh(measure, task, contender, heartbeat)
        runs.setdefault(contender, []).append(done)
        return done.seconds

    uploads = {contender: partial(run, contender) for contender in who}
    _check(name, task, uploads)
    runs.clear()
    alternate(uploads, rounds)
    return runs


def _figure(runs: list[Run], values: list[float]) -> Figure:
    """The figure of the values of some runs, with the processor time of the uploads only."""
    return evolve(Figure.of(values), cpu=median(run.cpu for run in runs))


def _throughput(task: UploadTask, rounds: int) -> Table:
    name = f"upload 30 MB, {task.at_once} at once, {'TLS' if task.tls else 'HTTP'}"
    who = contenders()
    runs = _runs(name, task, who, rounds)
    figures = {contender: _figure(each, [run.seconds * 1000 for run in each]) for contender, each in runs.items()}
    base = "curl" if "curl" in figures else PLAIN
    table = Table(name, "ms", figures, base)
    aimed = base == "curl" and task.tls  # nobody sends clips over plain HTTP
    return evolve(table, goals=(table.goal(1.0),)) if aimed else table


def _loop_lag(task: UploadTask, rounds: int) -> Iterator[Table]:
    """Event-loop lag for another task during uploads."""
    kind = "a slow file" if task.slow else "a cold file, TLS" if task.cold else "TLS"
    where = ", 100 Mbit/s for each connection" if task.line else ""
    name = f"event-loop lag during {task.at_once} uploads, {kind}{where}"
    runs = _runs(name, task, tuple(ASYNC), rounds, heartbeat=True)
    if not task.slow:
        p99 = {contender: _figure(each, [_p99(run) for run in each]) for contender, each in runs.items()}
        goals = (Goal(f"{OURS}, p99", p99[OURS].median, 2.0, "ms"),) if task.line else ()
        yield Table(f"{name}, p99", "ms", p99, OURS, goals)
    worst = {contender: _figure(each, [max(run.lags) * 1000 for run in each]) for contender, each in runs.items()}
    goals = (Goal(f"{OURS}, a read never blocks the loop", worst[OURS].median, SLOWNESS * 500, "ms"),)
    yield Table(f"{name}, worst", "ms", worst, OURS, goals if task.slow else ())


def _p99(run: Run) -> float:
    """Milliseconds by which one in a hundred timers of a run was late."""
    late = sorted(run.lags)
    return late[len(late) * 99 // 100] * 1000


def _memory(task: UploadTask, rounds: int) -> Table:
    """Peak memory of Python per upload, above the level before."""
    name = f"memory of {task.at_once} uploads at once, {'TLS' if task.tls else 'HTTP'}"
    uploads = {who: partial(fresh, peak_memory, task, who) for who in contenders(programs=False)}
    _check(name, task, uploads)
    figures = {contender: Figure.of(list(values)) for contender, values in alternate(uploads, rounds).items()}
    goal = Goal(f"{OURS}, per upload", figures[OURS].median, 1.0, "MB")
    return Table(name, "MB", figures, PLAIN, (goal,))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    with TemporaryDirectory() as folder, sink() as listening:
        clip, short = Path(folder) / "clip.mp4", Path(folder) / "short.mp4"
        clip.write_bytes(os.urandom(SIZE))
        short.write_bytes(os.urandom(SHORT))
        tasks = [UploadTask(listening, clip, tls, at_once) for tls in (False, True) for at_once in (1, 16)]
        for task in tasks:
            yield _throughput(task, rounds)
        tls = tasks[-1]
        for task in (evolve(tls, repeats=4), evolve(tls, line=True), evolve(tls, line=True, cold=True)):
            yield from _loop_lag(task, rounds)
        yield from _loop_lag(UploadTask(listening, short, False, 2, slow=True), rounds)
        yield _memory(tls, rounds)
