"""Servers that take whatever comes and parse nothing, in a process of their own: `python -m benchmarks.sinks`.

Law of this room: a sink must not be what limits anybody. Threads that receive into one buffer each do
their work without the interpreter.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from .peers import peer

__all__ = ["Sink", "sink"]

BUFFER: Final = 1 << 20
ANSWER: Final = b'{"video_id": "a1b2c3d4", "status": "pending"}'


@frozen
class Sink:
    """Where a sink listens."""

    http: int
    https: int
    authority: Path
    """The certificate that its own is signed with."""

    def url(self, tls: bool) -> str:
        """Its origin, over TLS or not."""
        return f"https://localhost:{self.https}" if tls else f"http://127.0.0.1:{self.http}"

    def received(self) -> int:
        """Bytes of all bodies so far, headers not counted."""
        with socket.create_connection(("127.0.0.1", self.http)) as asking:
            asking.sendall(b"GET /received HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: asking.recv(4096), b""))
        return int(answer.partition(b"\r\n\r\n")[2])


@contextlib.contextmanager
def sink() -> Generator[Sink]:
    """A sink for as long as the block lasts."""
    with TemporaryDirectory() as folder:
        started = [sys.executable, "-m", __spec__.name, folder]
        with subprocess.Popen(started, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as child:  # noqa: S603
            assert child.stdout is not None
            told = json.loads(child.stdout.readline())
            try:
                yield Sink(told["http"], told["https"], Path(folder) / "authority.pem")
            finally:
                child.kill()


class _Count:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, some: int) -> None:
        with self._lock:
            self.bytes += some


def _serve(connection: socket.socket, count: _Count) -> None:
    buffer, kept = memoryview(bytearray(BUFFER)), b""
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
            kept = b""
            while left > 0:
                took = connection.recv_into(buffer, min(left, BUFFER))
                if not took:
                    return
                left -= took
            body = str(count.bytes).encode() if head.startswith(b"GET /received") else ANSWER
            status = b"202 Accepted" if head.startswith(b"POST") else b"200 OK"
            connection.sendall(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )
            if b"connection: close" in head.lower():
                return


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _listen(count: _Count, context: ssl.SSLContext | None) -> int:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)

    def taken(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            _serve(context.wrap_socket(connection, server_side=True) if context else connection, count)

    def accepting() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=taken, args=(connection,), daemon=True).start()

    threading.Thread(target=accepting, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def _main(folder: Path) -> None:
    trustme = peer("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    count = _Count()
    print(json.dumps({"http": _listen(count, None), "https": _listen(count, context)}), flush=True)
    sys.stdin.read()  # ends with whoever started it


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
