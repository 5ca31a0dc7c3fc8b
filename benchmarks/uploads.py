"""Uploads of clips of 30 MB: how long they take, how long they hold the loop, and what memory they need."""

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

from .peers import peer
from .race import OURS, Aim, Figure, Table, alternate
from .sinks import Sink, sink

__all__ = ["benchmarks"]

SIZE: Final = 29_900_000
"""Bytes of a clip; a form with it is just below 30 MB."""
SHORT: Final = 2_000_000
"""Bytes of the clip on the slow disk: some need a hundred reads for it."""
SLOWNESS: Final = 0.02
"""Seconds that each read of a slow file takes."""
KEY: Final = "benchmark-key"
PATH: Final = f"/analysis/start?apiKey={KEY}"
FIELDS: Final = {"view": "side_view", "height": "1.75", "weight": "68.0"}


class SlowFile(io.FileIO):
    """A file on a slow disk: each read takes its time."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(SLOWNESS)
        return super().read(-1 if size is None else min(size, 4 << 20)) or b""


@frozen
class Errand:
    """So many uploads of a clip at once, to a sink."""

    sink: Sink
    clip: Path
    tls: bool
    at_once: int
    slow: bool = False
    """From a disk of which each read takes its time."""
    cold: bool = False
    """From a disk, and not from what the system has in memory."""
    in_a_row: int = 1
    """Uploads of each of those at once."""

    @property
    def size(self) -> int:
        """Bytes of the clip."""
        return self.clip.stat().st_size

    def open(self) -> IO[bytes]:
        """The clip, opened anew."""
        return cast("IO[bytes]", SlowFile(self.clip)) if self.slow else self.clip.open("rb")

    @property
    def url(self) -> str:
        return self.sink.url(self.tls)

    def context(self) -> ssl.SSLContext | None:
        """What the sink's certificate is checked with; None without TLS."""
        return ssl.create_default_context(cafile=self.sink.authority) if self.tls else None


Pulse = list[float]
"""Seconds by which each beat of a heartbeat came too late."""


async def _beats(pulse: Pulse) -> None:
    """A beat each millisecond, for as long as nobody cancels it."""
    while True:
        expected = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        pulse.append(time.perf_counter() - expected)


async def _together(errand: Errand, upload: Callable[[], Awaitable[object]], pulse: Pulse | None) -> float:
    """Seconds for all uploads of an errand, the first of each row started together."""

    async def row() -> None:
        for _ in range(errand.in_a_row):
            if errand.cold:
                await asyncio.to_thread(_evict, errand.clip)
            await upload()

    beating = asyncio.ensure_future(_beats(pulse)) if pulse is not None else None
    began = time.perf_counter()
    await asyncio.gather(*(row() for _ in range(errand.at_once)))
    took = time.perf_counter() - began
    if beating is not None:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
    return took


async def _ours(errand: Errand, pulse: Pulse | None) -> float:
    request = SideView(height=1.75, weight=68)
    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=errand.context() or True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        OchySession(KEY, base_url=errand.url, http=http, preflight="off") as ochy,
    ):

        async def upload() -> None:
            if not errand.slow:
                await ochy.start(errand.clip, request)
                return
            with errand.open() as file:
                await ochy.start(file, request, name="clip.mp4")

        return await _together(errand, upload, pulse)


async def _aiohttp(errand: Errand, pulse: Pulse | None) -> float:
    async def upload() -> None:
        with errand.open() as file:
            form = aiohttp.FormData(FIELDS)
            form.add_field("video", file, filename="clip.mp4", content_type="video/mp4")
            async with http.post(errand.url + PATH, data=form) as response:
                assert response.status == 202
                await response.json()

    connector = aiohttp.TCPConnector(limit=0, ssl=errand.context() or True)
    async with aiohttp.ClientSession(connector=connector) as http:
        return await _together(errand, upload, pulse)


async def _httpx(errand: Errand, pulse: Pulse | None) -> float:
    httpx = peer("httpx")

    async def upload() -> None:
        with errand.open() as file:
            files = {"video": ("clip.mp4", file, "video/mp4")}
            assert (await http.post(errand.url + PATH, data=FIELDS, files=files)).status_code == 202

    async with httpx.AsyncClient(verify=errand.context() or True, timeout=60) as http:
        return await _together(errand, upload, pulse)


def _in_threads(errand: Errand, upload: Callable[[int], object]) -> float:
    with ThreadPoolExecutor(errand.at_once) as threads:
        began = time.perf_counter()
        list(threads.map(upload, range(errand.at_once)))
        return time.perf_counter() - began


def _requests(errand: Errand) -> float:
    requests = peer("requests")

    def upload(_: int) -> None:
        with errand.open() as file:
            files = {"video": ("clip.mp4", file, "video/mp4")}
            verify = str(errand.sink.authority)
            response = requests.post(errand.url + PATH, data=FIELDS, files=files, verify=verify, timeout=60)
            assert response.status_code == 202

    return _in_threads(errand, upload)


def _raw(errand: Errand) -> float:
    """The limit: nothing but the bytes of the clip, from threads that hold no interpreter."""
    context = errand.context()
    port = errand.sink.https if errand.tls else errand.sink.http

    def upload(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain, errand.clip.open("rb", buffering=0) as file:
            line = context.wrap_socket(plain, server_hostname="localhost") if context else plain
            with line:
                line.sendall(
                    b"POST %b HTTP/1.1\r\nHost: sink\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), errand.size)
                )
                while chunk := file.read(256 * 1024):
                    line.sendall(chunk)
                assert line.recv(4096).startswith(b"HTTP/1.1 202")

    return _in_threads(errand, upload)


def _curl(errand: Errand) -> float:
    """Its own account of the time, so that starting the program is not held against it."""
    one = ["--silent", "--show-error", "--fail", "--cacert", str(errand.sink.authority), "--header", "Expect:"]
    one += [part for name, value in FIELDS.items() for part in ("--form", f"{name}={value}")]
    one += ["--form", f"video=@{errand.clip};type=video/mp4", "--output", os.devnull]
    one += ["--write-out", "%{http_code} %{time_total}\n", errand.url + PATH]
    several = ["--parallel", "--parallel-immediate", "--parallel-max", str(errand.at_once)]
    forms = [part for number in range(errand.at_once) for part in (["--next"] if number else []) + one]
    told = subprocess.run(["curl", *several, *forms], capture_output=True, text=True, check=True)  # noqa: S603, S607
    lines = [line.split() for line in told.stdout.splitlines()]
    assert [status for status, _ in lines] == ["202"] * errand.at_once, told.stdout
    return max(float(took) for _, took in lines)


ASYNC: Final[Mapping[str, Callable[[Errand, Pulse | None], Coroutine[Any, Any, float]]]] = {
    OURS: _ours,
    "aiohttp's own form": _aiohttp,
    "httpx": _httpx,
}
LIMIT: Final = "raw socket (the limit)"


def _alone(upload: Callable[[Errand, Pulse | None], Coroutine[Any, Any, float]], errand: Errand) -> float:
    return asyncio.run(upload(errand, None))


def _contenders(errand: Errand) -> dict[str, Callable[[], float]]:
    """Each gives the seconds that it took for all uploads of an errand."""
    threads: dict[str, Callable[[Errand], float]] = {LIMIT: _raw, "requests": _requests}
    if shutil.which("curl"):
        threads["curl"] = _curl
    return {
        **{who: partial(_alone, upload, errand) for who, upload in ASYNC.items()},
        **{who: partial(upload, errand) for who, upload in threads.items()},
    }


def _check(name: str, errand: Errand, contenders: Mapping[str, Callable[[], object]]) -> None:
    """All must have sent all clips, and hardly anything else."""
    for who, upload in contenders.items():
        before = errand.sink.received()
        upload()
        got = errand.sink.received() - before
        count = errand.at_once * errand.in_a_row
        if not errand.size * count <= got <= (errand.size + 4096) * count:
            raise AssertionError(f"{name}: {who} sent {got:,} bytes")


def _throughput(errand: Errand, rounds: int) -> Table:
    name = f"upload 30 MB, {errand.at_once} at once, {'TLS' if errand.tls else 'HTTP'}"
    contenders = _contenders(errand)
    _check(name, errand, contenders)
    took = alternate(contenders, rounds)
    figures = {who: Figure.of([seconds * 1000 for seconds in values]) for who, values in took.items()}
    base = "curl" if "curl" in figures else LIMIT
    table = Table(name, "ms", figures, base)
    return evolve(table, aims=(table.aim(1.0),)) if base == "curl" else table


def _heartbeat(errand: Errand, rounds: int) -> Iterator[Table]:
    """By how much a heartbeat of 1 ms comes too late while uploading."""
    kind = "a slow file" if errand.slow else "a cold file" if errand.cold else "TLS" if errand.tls else "HTTP"
    name, pulses = f"heartbeat during {errand.at_once} uploads, {kind}", dict[str, list[Pulse]]()

    def run(who: str) -> float:
        asyncio.run(ASYNC[who](errand, pulses.setdefault(who, [[]])[-1]))
        late, pulses[who] = sorted(pulses[who][-1]), [*pulses[who], []]
        return late[len(late) * 99 // 100] * 1000

    contenders = {who: partial(run, who) for who in ASYNC}
    _check(name, errand, contenders)
    p99 = {who: Figure.of(values) for who, values in alternate(contenders, rounds).items()}
    worst = {who: Figure.of([max(pulse) * 1000 for pulse in each[1:-1]]) for who, each in pulses.items()}
    if not errand.slow:
        aim = Aim(f"{OURS}, p99", p99[OURS].median, 2.0, "ms")
        yield Table(f"{name}, p99", "ms", p99, OURS, (aim,))
    aims = (Aim(f"{OURS}, the loop is never held by a read", worst[OURS].median, SLOWNESS * 500, "ms"),)
    yield Table(f"{name}, worst", "ms", worst, OURS, aims if errand.slow else ())


def _evict(clip: Path) -> None:
    """Makes the system forget what it has in memory of a file, where it can be asked to."""
    if hasattr(os, "posix_fadvise"):
        with clip.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _memory(errand: Errand, rounds: int) -> Table:
    """What Python had at its peak, beyond what it had before, for each upload."""
    name = f"memory of {errand.at_once} uploads at once, {'TLS' if errand.tls else 'HTTP'}"

    def peak(upload: Callable[[], float]) -> float:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            upload()
            return (tracemalloc.get_traced_memory()[1] - before) / errand.at_once / 1e6
        finally:
            tracemalloc.stop()

    contenders = {who: partial(peak, upload) for who, upload in _contenders(errand).items() if who != "curl"}
    _check(name, errand, contenders)
    figures = {who: Figure.of(values) for who, values in alternate(contenders, rounds).items()}
    aim = Aim(f"{OURS}, for each upload", figures[OURS].median, 1.0, "MB")
    return Table(name, "MB", figures, LIMIT, (aim,))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    with TemporaryDirectory() as folder, sink() as listening:
        clip, short = Path(folder) / "clip.mp4", Path(folder) / "short.mp4"
        clip.write_bytes(os.urandom(SIZE))
        short.write_bytes(os.urandom(SHORT))
        errands = [Errand(listening, clip, tls, at_once) for tls in (False, True) for at_once in (1, 16)]
        for errand in errands:
            yield _throughput(errand, rounds)
        http, tls = errands[1], errands[3]
        for errand in (http, tls, evolve(http, cold=True)):
            yield from _heartbeat(evolve(errand, in_a_row=4), rounds)
        yield from _heartbeat(Errand(listening, short, False, 2, slow=True), rounds)
        for errand in (http, tls):
            yield _memory(errand, rounds)
