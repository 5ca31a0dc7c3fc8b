"""Servers that accept every upload and parse nothing, in their own process: `python -m benchmarks.sink_server`.

Invariant: the sink must not be the bottleneck. Each thread receives into one buffer, without holding the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from functools import cache
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final, cast

from attrs import frozen

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.biomechanics.runner import runner_of

from .alternatives import alternative

__all__ = ["POLLS", "Sink", "sink"]

BUFFER: Final = 1 << 20
LINE: Final = 12_500_000
"""Bytes per second that a connection of the line carries: 100 Mbit/s."""
LINE_BUFFER: Final = 64 * 1024
"""Bytes of a read from the line, and about those that the system takes without one."""
POLLS: Final = 4
ANSWER: Final = b'{"video_id": "a1b2c3d4", "status": "pending"}'


@frozen
class Sink:
    """The ports of a running sink."""

    http: int
    https: int
    line: int
    """The port for uploads over TLS on a line that carries `LINE` bytes per second for each connection."""
    polls: int
    """The port for polls: every analysis is running, and has failed at its poll number `POLLS`."""
    authority: Path
    """The certificate of the authority that signed the sink's certificate."""

    def url(self, tls: bool, *, line: bool = False) -> str:
        """The base URL, with or without TLS."""
        if line:
            return f"https://localhost:{self.line}"
        return f"https://localhost:{self.https}" if tls else f"http://127.0.0.1:{self.http}"

    def received(self) -> int:
        """Bytes of all bodies so far, without headers."""
        with socket.create_connection(("127.0.0.1", self.http)) as asking:
            asking.sendall(b"GET /received HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: asking.recv(4096), b""))
        return int(answer.partition(b"\r\n\r\n")[2])


@contextlib.contextmanager
def sink() -> Generator[Sink]:
    """A sink that runs during the block."""
    with TemporaryDirectory() as folder:
        started = [sys.executable, "-m", __spec__.name, folder]
        with subprocess.Popen(started, stdout=subprocess.PIPE) as child:  # noqa: S603
            assert child.stdout is not None
            output = json.loads(child.stdout.readline())
            try:
                yield Sink(
                    output["http"], output["https"], output["line"], output["polls"], Path(folder) / "authority.pem"
                )
            finally:
                child.kill()


@cache
def _results() -> bytes:
    """The results of every analysis at the sink."""
    runner = runner_of(b"benchmark", height=1.75, weight=68, pace=None)
    analysis = side_view_results(runner, language="en")
    return json.dumps({"video_id": "a1b2c3d4", "status": "success", "biomechanical_analysis": analysis}).encode()


class _Count:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, some: int) -> None:
        with self._lock:
            self.bytes += some


def _serve(connection: socket.socket, count: _Count, rate: float = inf) -> None:
    """Answers the requests of a connection that carries `rate` bytes per second."""
    buffer, kept = memoryview(bytearray(BUFFER if rate == inf else LINE_BUFFER)), b""
    with connection, contextlib.suppress(OSError):
        while True:
            head, complete, kept = kept.partition(b"\r\n\r\n")
            while not complete:
                more = connection.recv(65536)
                if not more:
                    return
                head, complete, kept = (head + more).partition(b"\r\n\r\n")
            left = _length(head) - len(kept)
            count.add(_length(head))
            kept, due = b"", time.perf_counter()
            while left > 0:
                took = connection.recv_into(buffer, min(left, len(buffer)))
                if not took:
                    return
                left, due = left - took, due + took / rate
                if (early := due - time.perf_counter()) > 0:
                    time.sleep(early)
            if head.startswith(b"POST"):
                connection.sendall(_answer(b"202 Accepted", ANSWER))
            else:
                body = str(count.bytes).encode() if head.startswith(b"GET /received") else _results()
                connection.sendall(_answer(b"200 OK", body))
            if b"connection: close" in head.lower():
                return


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _listen(count: _Count, context: ssl.SSLContext | None, rate: float = inf) -> int:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    if rate < inf:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LINE_BUFFER)

    def taken(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _serve(context.wrap_socket(connection, server_side=True) if context else connection, count, rate)

    def accepting() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=taken, args=(connection,), daemon=True).start()

    threading.Thread(target=accepting, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


class _Answering(asyncio.Protocol):
    """Answers each poll: the analysis is running, and has failed at poll number `POLLS`."""

    seen: ClassVar[Counter[bytes]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        path = data[: data.index(b"\r\n")]
        self.seen[path] += 1
        self.transport.write(_RUNNING if self.seen[path] < POLLS else _FAILED)


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_RUNNING: Final = _answer(b"200 OK", b'{"video_id": "a1b2c3d4", "status": "analyzing", "percentage": 42}')
_FAILED: Final = _answer(b"400 Bad Request", b'{"video_id": "a1b2c3d4", "status": "failed"}')


async def _answering(ready: Callable[[int], None]) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=4096)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(folder: Path) -> None:
    trustme = alternative("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    count = _Count()
    ports = {"http": _listen(count, None), "https": _listen(count, context), "line": _listen(count, context, LINE)}
    asyncio.run(_answering(lambda polls: print(json.dumps({**ports, "polls": polls}), flush=True)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
