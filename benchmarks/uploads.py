"""Uploads of clips of 30 MB: how long they take, how long they block the event loop, and how much memory they need."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final, cast

import aiohttp
from attrs import evolve, frozen

from ochy_async import OchySession, SideView

from .alternatives import alternative
from .comparison import OURS, Figure, Goal, Table, alternate
from .sink_server import Sink, sink

__all__ = ["benchmarks"]

SIZE: Final = 29_900_000
"""Bytes of a clip. Its form is just below 30 MB."""
SHORT: Final = 2_000_000
"""Bytes of the clip on the slow disk: some contenders need a hundred reads for it."""
SLOWNESS: Final = 0.02
"""Seconds that each read of a slow file takes."""
KEY: Final = "benchmark-key"
PATH: Final = f"/analysis/start?apiKey={KEY}"
FIELDS: Final = {"view": "side_view", "height": "1.75", "weight": "68.0"}


class SlowFile(io.FileIO):
    """A file on a slow disk: each read takes `SLOWNESS` seconds."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(SLOWNESS)
        return super().read(-1 if size is None else min(size, 4 << 20)) or b""


@frozen
class UploadTask:
    """Several simultaneous uploads of a clip to a sink."""

    sink: Sink
    clip: Path
    tls: bool
    at_once: int
    slow: bool = False
    """From a slow disk."""
    cold: bool = False
    """From the disk, not from the system's cache."""
    repeats: int = 1
    """Consecutive uploads in each of the simultaneous rows."""

    @property
    def size(self) -> int:
        """Bytes of the clip."""
        return self.clip.stat().st_size

    def open(self) -> IO[bytes]:
        """Opens the clip."""
        return cast("IO[bytes]", SlowFile(self.clip)) if self.slow else self.clip.open("rb")

    @property
    def url(self) -> str:
        return self.sink.url(self.tls)

    def context(self) -> ssl.SSLContext | None:
        """The TLS context that trusts the sink's certificate; None without TLS."""
        return ssl.create_default_context(cafile=self.sink.authority) if self.tls else None


Lags = list[float]
"""Event-loop lag: the seconds by which each timer of another task fired late."""


async def _measure_lag(lags: Lags) -> None:
    """Measures the lag every millisecond until it is cancelled."""
    while True:
        expected = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        lags.append(time.perf_counter() - expected)


async def _together(task: UploadTask, upload: Callable[[], Awaitable[object]], lags: Lags | None) -> float:
    """Seconds for all uploads of a task. The first uploads of all rows start together."""

    async def row() -> None:
        for _ in range(task.repeats):
            if task.cold:
                await asyncio.to_thread(_evict, task.clip)
            await upload()

    measuring = asyncio.ensure_future(_measure_lag(lags)) if lags is not None else None
    began = time.perf_counter()
    await asyncio.gather(*(row() for _ in range(task.at_once)))
    took = time.perf_counter() - began
    if measuring is not None:
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring
    return took


async def _ours(task: UploadTask, lags: Lags | None) -> float:
    request = SideView(height=1.75, weight=68)
    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=task.context() or True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        OchySession(KEY, base_url=task.url, http=http, preflight="off") as ochy,
    ):

        async def upload() -> None:
            if not task.slow:
                await ochy.start(task.clip, request)
                return
            with task.open() as file:
                await ochy.start(file, request, name="clip.mp4")

        return await _together(task, upload, lags)


async def _aiohttp(task: UploadTask, lags: Lags | None) -> float:
    async def upload() -> None:
        with task.open() as file:
            form = aiohttp.FormData(FIELDS)
            form.add_field("video", file, filename="clip.mp4", content_type="video/mp4")
            async with http.post(task.url + PATH, data=form) as response:
                assert response.status == 202
                await response.json()

    connector = aiohttp.TCPConnector(limit=0, ssl=task.context() or True)
    async with aiohttp.ClientSession(connector=connector) as http:
        return await _together(task, upload, lags)


async def _httpx(task: UploadTask, lags: Lags | None) -> float:
    httpx = alternative("httpx")

    async def upload() -> None:
        with task.open() as file:
            files = {"video": ("clip.mp4", file, "video/mp4")}
            assert (await http.post(task.url + PATH, data=FIELDS, files=files)).status_code == 202

    async with httpx.AsyncClient(verify=task.context() or True, timeout=60) as http:
        return await _together(task, upload, lags)


def _in_threads(task: UploadTask, upload: Callable[[int], object]) -> float:
    with ThreadPoolExecutor(task.at_once) as threads:
        began = time.perf_counter()
        list(threads.map(upload, range(task.at_once)))
        return time.perf_counter() - began


def _requests(task: UploadTask) -> float:
    requests = alternative("requests")

    def upload(_: int) -> None:
        with task.open() as file:
            files = {"video": ("clip.mp4", file, "video/mp4")}
            verify = str(task.sink.authority)
            response = requests.post(task.url + PATH, data=FIELDS, files=files, verify=verify, timeout=60)
            assert response.status_code == 202

    return _in_threads(task, upload)


def _raw(task: UploadTask) -> float:
    """The lower bound: only the bytes of the clip, from threads that do not hold the interpreter."""
    context = task.context()
    port = task.sink.https if task.tls else task.sink.http

    def upload(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain, task.clip.open("rb", buffering=0) as file:
            connection = context.wrap_socket(plain, server_hostname="localhost") if context else plain
            with connection:
                connection.sendall(
                    b"POST %b HTTP/1.1\r\nHost: sink\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), task.size)
                )
                while chunk := file.read(256 * 1024):
                    connection.sendall(chunk)
                assert connection.recv(4096).startswith(b"HTTP/1.1 202")

    return _in_threads(task, upload)


def _curl(task: UploadTask) -> float:
    """The time that curl itself reports, which does not include the start of the program."""
    one = ["--silent", "--show-error", "--fail", "--cacert", str(task.sink.authority), "--header", "Expect:"]
    one += [part for name, value in FIELDS.items() for part in ("--form", f"{name}={value}")]
    one += ["--form", f"video=@{task.clip};type=video/mp4", "--output", os.devnull]
    one += ["--write-out", "%{http_code} %{time_total}\n", task.url + PATH]
    several = ["--parallel", "--parallel-immediate", "--parallel-max", str(task.at_once)]
    forms = [part for number in range(task.at_once) for part in (["--next"] if number else []) + one]
    output = subprocess.run(["curl", *several, *forms], capture_output=True, text=True, check=True)  # noqa: S603, S607
    lines = [line.split() for line in output.stdout.splitlines()]
    assert [status for status, _ in lines] == ["202"] * task.at_once, output.stdout
    return max(float(took) for _, took in lines)


ASYNC: Final[Mapping[str, Callable[[UploadTask, Lags | None], Coroutine[Any, Any, float]]]] = {
    OURS: _ours,
    "aiohttp's own form": _aiohttp,
    "httpx": _httpx,
}
BOUND: Final = "raw socket (the lower bound)"


def _alone(upload: Callable[[UploadTask, Lags | None], Coroutine[Any, Any, float]], task: UploadTask) -> float:
    return asyncio.run(upload(task, None))


def _contenders(task: UploadTask) -> dict[str, Callable[[], float]]:
    """Each returns the seconds for all uploads of a task."""
    threads: dict[str, Callable[[UploadTask], float]] = {BOUND: _raw, "requests": _requests}
    if shutil.which("curl"):
        threads["curl"] = _curl
    return {
        **{contender: partial(_alone, upload, task) for contender, upload in ASYNC.items()},
        **{contender: partial(upload, task) for contender, upload in threads.items()},
    }


def _check(name: str, task: UploadTask, contenders: Mapping[str, Callable[[], object]]) -> None:
    """Checks that every contender sends all clips, and little else."""
    for contender, upload in contenders.items():
        before = task.sink.received()
        upload()
        got = task.sink.received() - before
        count = task.at_once * task.repeats
        if not task.size * count <= got <= (task.size + 4096) * count:
            raise AssertionError(f"{name}: {contender} sent {got:,} bytes")


def _throughput(task: UploadTask, rounds: int) -> Table:
    name = f"upload 30 MB, {task.at_once} at once, {'TLS' if task.tls else 'HTTP'}"
    contenders = _contenders(task)
    _check(name, task, contenders)
    took = alternate(contenders, rounds)
    figures = {contender: Figure.of([seconds * 1000 for seconds in values]) for contender, values in took.items()}
    base = "curl" if "curl" in figures else BOUND
    table = Table(name, "ms", figures, base)
    return evolve(table, goals=(table.goal(1.0),)) if base == "curl" else table


def _loop_lag(task: UploadTask, rounds: int) -> Iterator[Table]:
    """Event-loop lag for another task during uploads."""
    kind = "a slow file" if task.slow else "a cold file" if task.cold else "TLS" if task.tls else "HTTP"
    name, lags_of = f"event-loop lag during {task.at_once} uploads, {kind}", dict[str, list[Lags]]()

    def run(contender: str) -> float:
        asyncio.run(ASYNC[contender](task, lags_of.setdefault(contender, [[]])[-1]))
        late, lags_of[contender] = sorted(lags_of[contender][-1]), [*lags_of[contender], []]
        return late[len(late) * 99 // 100] * 1000

    contenders = {contender: partial(run, contender) for contender in ASYNC}
    _check(name, task, contenders)
    p99 = {contender: Figure.of(values) for contender, values in alternate(contenders, rounds).items()}
    worst = {contender: Figure.of([max(lags) * 1000 for lags in each[1:-1]]) for contender, each in lags_of.items()}
    if not task.slow:
        goal = Goal(f"{OURS}, p99", p99[OURS].median, 2.0, "ms")
        yield Table(f"{name}, p99", "ms", p99, OURS, (goal,))
    goals = (Goal(f"{OURS}, a read never blocks the loop", worst[OURS].median, SLOWNESS * 500, "ms"),)
    yield Table(f"{name}, worst", "ms", worst, OURS, goals if task.slow else ())


def _evict(clip: Path) -> None:
    """Drops a file from the system's cache, where the system allows it."""
    if hasattr(os, "posix_fadvise"):
        with clip.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _memory(task: UploadTask, rounds: int) -> Table:
    """Peak memory of Python per upload, above the level before."""
    name = f"memory of {task.at_once} uploads at once, {'TLS' if task.tls else 'HTTP'}"

    def peak(upload: Callable[[], float]) -> float:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            upload()
            return (tracemalloc.get_traced_memory()[1] - before) / task.at_once / 1e6
        finally:
            tracemalloc.stop()

    contenders = {
        contender: partial(peak, upload) for contender, upload in _contenders(task).items() if contender != "curl"
    }
    _check(name, task, contenders)
    figures = {contender: Figure.of(values) for contender, values in alternate(contenders, rounds).items()}
    goal = Goal(f"{OURS}, per upload", figures[OURS].median, 1.0, "MB")
    return Table(name, "MB", figures, BOUND, (goal,))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    with TemporaryDirectory() as folder, sink() as listening:
        clip, short = Path(folder) / "clip.mp4", Path(folder) / "short.mp4"
        clip.write_bytes(os.urandom(SIZE))
        short.write_bytes(os.urandom(SHORT))
        tasks = [UploadTask(listening, clip, tls, at_once) for tls in (False, True) for at_once in (1, 16)]
        for task in tasks:
            yield _throughput(task, rounds)
        http, tls = tasks[1], tasks[3]
        for task in (http, tls, evolve(http, cold=True)):
            yield from _loop_lag(evolve(task, repeats=4), rounds)
        yield from _loop_lag(UploadTask(listening, short, False, 2, slow=True), rounds)
        for task in (http, tls):
            yield _memory(task, rounds)
