"""What lookups of uncertain starts cost in a large account: CPU, requests, and how long they block the event loop.

A server that answers no start makes 32 starts of one batch uncertain at once. The batch looks them up in lists of the
account, with a journal that has entries of its own, and is stopped after a while. The batch runs in a process of its
own, and so does the server, whose list was made before. The list has analyses of one every ten seconds until now; as
many as the journal knows are its own.

`python -m benchmarks lookups --entries 100000` sets the size of the journal.

Invariant: each run has the same starts, none is resolved, and every lookup got an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from ochy_async import Concurrency, OchySession, SideView, Uncertain
from ochy_async.emulator import sample_clip

from .comparison import Figure, Table, alternate
from .growth import fill_file
from .lag import Lags, measure_lag

__all__ = ["benchmarks", "look_up"]

ACCOUNTS: Final = (10_000, 20_000, 100_000, 200_000)
ENTRIES: Final = 100_000
DOUBTS: Final = 32
SECONDS: Final = 20.0
"""After this time the batch is stopped. Each start is looked up about five times until then, and once after it."""
QUESTIONS: Final = {"CPU": "s", "lists": "", "latest timer": "ms", "most work before a timer": "ms CPU"}
KEY: Final = "benchmark-key-of-no-account"


# --- the server, in a process of its own ------------------------------------------------------------


def _list(analyses: int, entries: int) -> bytes:
    """The newest first. The ids are those that `growth` gives to the clips of a journal."""
    now = datetime.now(UTC)
    items = [
        {
            "video_id": f"{(entries if number < entries else 10**9) - 1 - number:032x}",
            "status": "success",
            "analysis_type": "side_view",
            "created_at": f"{now - timedelta(seconds=10 * number):%Y-%m-%dT%H:%M:%SZ}",
        }
        for number in range(analyses)
    ]
    return json.dumps({"analyses": items}).encode()


async def _serve(analyses: int, entries: int) -> None:
    body, lists = _list(analyses, entries), 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lists
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"POST"):  # the complete clip is read, and nobody learns what became of it
                    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                    await reader.readexactly(int(length.partition(b":")[2]))
                    return
                listed = head.startswith(b"GET /analysis")
                lists += listed
                content = body if listed else str(lists).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def _server(analyses: int, entries: int) -> Generator[str]:
    command = [sys.executable, "-m", __spec__.name, "serve", str(analyses), str(entries)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603 - our program
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()


# --- the batch, in a process of its own -------------------------------------------------------------


async def _measured(url: str, journal: str, seconds: float) -> tuple[float, float, float]:
    """CPU seconds of the process, the longest lateness of a timer, and the most CPU seconds before one."""
    lags, work = Lags(), list[float]()
    clips = [sample_clip(number, size=300) for number in range(DOUBTS)]
    concurrency = Concurrency(uploads=DOUBTS, in_flight=DOUBTS)
    async with (
        OchySession(api_key=KEY, base_url=url, preflight="off") as ochy,
        ochy.batch(SideView(), journal=journal, concurrency=concurrency) as batch,
    ):
        began = time.process_time()
        tasks = [asyncio.create_task(measure_lag(lags)), asyncio.create_task(_measure_work(work))]
        asyncio.get_running_loop().call_later(seconds, batch.stop)
        outcomes = [each async for each in batch.run(clips)]
        cpu = time.process_time() - began
        for task in tasks:
            task.cancel()
    if len(outcomes) != DOUBTS or not all(isinstance(each, Uncertain) and each.reached for each in outcomes):
        raise AssertionError("not every start stayed uncertain after lookups that got answers")
    return cpu, max(lags), max(work)


async def _measure_work(work: list[float]) -> None:
    """Measures the CPU time of the loop's thread between timers of another task, until it is cancelled.

    Unlike lateness, it does not grow when other processes keep the machine busy.
    """
    while True:
        before = time.thread_time()
        await asyncio.sleep(0.001)
        work.append(time.thread_time() - before)


def _run(url: str, journal: str, seconds: float) -> None:
    cpu, lag, work = asyncio.run(_measured(url, journal, seconds))
    with urlopen(f"{url}/count") as answer:  # noqa: S310 - our server
        lists = int(answer.read())
    print(json.dumps(dict(zip(QUESTIONS, (cpu, lists, lag * 1000, work * 1000), strict=True))))


def look_up(analyses: int, journal: Path, entries: int, seconds: float = SECONDS) -> dict[str, float]:
    """The figures of one batch in an account of so many analyses. The journal is left as it was."""
    with tempfile.TemporaryDirectory() as folder, _server(analyses, entries) as url:
        copied = Path(folder) / "clips.journal"
        copied.write_bytes(journal.read_bytes())
        command = [sys.executable, "-m", __spec__.name, "look_up", url, str(copied), str(seconds)]
        output = subprocess.run(command, env=dict(os.environ), check=True, stdout=subprocess.PIPE)  # noqa: S603
    figures: dict[str, float] = json.loads(output.stdout)
    return figures


# --- tables -----------------------------------------------------------------------------------------


def benchmarks(_: int, entries: int = ENTRIES) -> Iterator[Table]:
    """Three rounds, since each takes half a minute."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "clips.journal"
        fill_file(journal, entries)

        def measured(analyses: int) -> float:
            found.setdefault(f"{analyses:,} analyses", []).append(look_up(analyses, journal, entries))
            return 0.0

        alternate({str(analyses): partial(measured, analyses) for analyses in ACCOUNTS}, 3, min_rounds=3)
    for question, unit in QUESTIONS.items():
        figures = {name: Figure.of([each[question] for each in rounds]) for name, rounds in found.items()}
        yield Table(f"{DOUBTS} doubts, {entries:,} entries, {question}", unit, figures, next(iter(figures)))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(int(sys.argv[2]), int(sys.argv[3])))
    else:
        _run(sys.argv[2], sys.argv[3], float(sys.argv[4]))
