"""The contenders that upload a clip, each measured in a fresh process.

Invariant: each upload of each contender has a connection of its own, and no contender finds an allocator or a cache
that another one has prepared.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import shutil
import socket
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

import aiohttp
from attrs import field, frozen

from ochy_async import OchySession, SideView

from .alternatives import alternative
from .comparison import OURS
from .lag import Lags, measure_lag
from .sink_server import Sink

__all__ = ["ASYNC", "PLAIN", "SLOWNESS", "Run", "UploadTask", "contenders", "fresh", "measure", "peak_memory"]

T = TypeVar("T")
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


def _evict(clip: Path) -> None:
    """Drops a file from the system's cache, where the system allows it."""
    if hasattr(os, "posix_fadvise"):
        with clip.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


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
    line: bool = False
    """Over a line that carries 100 Mbit/s for each connection."""

    @property
    def size(self) -> int:
        """Bytes of the clip."""
        return self.clip.stat().st_size

    def open(self) -> IO[bytes]:
        """Opens the clip."""
        return cast("IO[bytes]", SlowFile(self.clip)) if self.slow else self.clip.open("rb")

    @property
    def url(self) -> str:
        return self.sink.url(self.tls, line=self.line)

    def context(self) -> ssl.SSLContext | None:
        """The TLS context that trusts the sink's certificate; None without TLS."""
        return ssl.create_default_context(cafile=self.sink.authority) if self.tls else None


async def _together(task: UploadTask, upload: Callable[[], Awaitable[object]], lags: Lags | None) -> float:
    """Seconds for all uploads of a task. The first uploads of all rows start together."""

    async def row() -> None:
        for _ in range(task.repeats):
            if task.cold:
                await asyncio.to_thread(_evict, task.clip)
            await upload()

    measuring = asyncio.ensure_future(measure_lag(lags)) if lags is not None else None
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

    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=task.context() or True)
    async with aiohttp.ClientSession(connector=connector) as http:
        return await _together(task, upload, lags)


async def _httpx(task: UploadTask, lags: Lags | None) -> float:
    httpx = alternative("httpx")

    async def upload() -> None:
        with task.open() as file:
            files = {"video": ("clip.mp4", file, "video/mp4")}
            assert (await http.post(task.url + PATH, data=FIELDS, files=files)).status_code == 202

    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(verify=task.context() or True, timeout=60, limits=limits) as http:
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
            verify = str(task.sink.authority)  # the session's own would lose against a variable of the environment
            response = session.post(task.url + PATH, data=FIELDS, files=files, verify=verify, timeout=60)
            assert response.status_code == 202

    with requests.Session() as session:
        session.headers["Connection"] = "close"
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=task.at_once))
        return _in_threads(task, upload)


def _plain(task: UploadTask) -> float:
    """Only the bytes of the clip, from threads. No lower bound: the threads share the interpreter."""
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
PLAIN: Final = "plain sockets in threads"
THREADS: Final[Mapping[str, Callable[[UploadTask], float]]] = {PLAIN: _plain, "requests": _requests, "curl": _curl}
LIBRARIES: Final = ("httpx", "requests")


def contenders(*, programs: bool = True) -> tuple[str, ...]:
    """The contenders on this machine; curl only with `programs`."""
    curl = programs and shutil.which("curl")
    return (*ASYNC, PLAIN, "requests", *(("curl",) if curl else ()))


@frozen
class Run:
    """What a contender needed for all uploads of a task."""

    seconds: float
    cpu: float
    """Processor seconds, of the programs that it ran too."""
    lags: Lags = field(factory=list)


def _load(contender: str) -> None:
    """Imports the library of a contender, which is no part of its uploads."""
    if contender in LIBRARIES:
        alternative(contender)


def _upload(task: UploadTask, contender: str, lags: Lags | None = None) -> float:
    return asyncio.run(ASYNC[contender](task, lags)) if contender in ASYNC else THREADS[contender](task)


def measure(task: UploadTask, contender: str, heartbeat: bool = False) -> Run:
    """Makes all uploads of a task, and listens to the heartbeat of the event loop meanwhile if it is asked to."""
    _load(contender)
    lags, before = Lags(), _processor_seconds()
    seconds = _upload(task, contender, lags if heartbeat else None)
    return Run(seconds, _processor_seconds() - before, lags)


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory(task: UploadTask, contender: str) -> float:
    """The peak memory of Python for each upload, in MB above the level before."""
    _load(contender)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    _upload(task, contender)
    return (tracemalloc.get_traced_memory()[1] - before) / task.at_once / 1e6


def fresh(function: Callable[..., T], *args: Any) -> T:
    """Calls a function of this module in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()
