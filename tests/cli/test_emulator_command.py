"""`ochy emulator --webhook`: it delivers to a receiver of this machine, and prints how each delivery was answered."""

from __future__ import annotations

import re
import signal
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest

from tests.support.cli_harness import CliRunner, cli_process, wait_until

# isort: split
from ochy_async import OchySession, SideView
from ochy_async.cli.app import ochy
from tests.conftest import CLIP

TOKEN = "token-91c2"


@contextmanager
def receiver() -> Generator[tuple[int, list[str]]]:
    """A receiver that answers 503 at first and then 204: its port, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            self.send_response(503 if len(paths) == 1 else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the standard library
            """The path holds the token."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield server.server_address[1], paths
        finally:
            server.shutdown()
            serving.join()


async def start_notified(base_url: str, key: str) -> None:
    async with OchySession(key, base_url=base_url, preflight="off") as session:
        await session.start(CLIP, SideView(notify_via_webhook=True))


def test_the_emulator_delivers_to_a_webhook_and_prints_the_answers(tmp_path: Path) -> None:
    """First the test event of the dashboard; of the URL only the host is printed."""
    with receiver() as (port, paths):
        options = ("--port", "0", "--speed", "100", "--webhook", f"http://localhost:{port}/hooks/{TOKEN}")
        with cli_process("emulator", *options, "--webhook-faults", folder=tmp_path, env={}) as child:
            out, err = tmp_path / "stdout", tmp_path / "stderr"
            wait_until(lambda: "  test #1: HTTP 503" in err.read_text())
            wait_until(lambda: "  test #1, attempt 2: HTTP 204" in err.read_text())
            (settings,) = re.findall(r"OCHY_BASE_URL=(\S+) OCHY_API_KEY=(\S+)", out.read_text())
            anyio.run(start_notified, *settings)
            wait_until(lambda: "  forged (" in err.read_text())
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 0
        printed = out.read_text() + err.read_text()
    assert f"Deliveries go to localhost:{port}, for analyses" in printed
    assert TOKEN not in printed
    assert set(paths) == {f"/hooks/{TOKEN}"}


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://hooks.example.org/{TOKEN}", f"http://192.168.1.1/{TOKEN}", f"http://localhost:x/{TOKEN}", TOKEN),
        *(f"ftp://127.0.0.1/{TOKEN}", f"http://[::1/{TOKEN}", f"https://127.0.0.1:99999/{TOKEN}", ""),
    ],
)
@pytest.mark.parametrize("on_stdin", [False, True], ids=["argument", "stdin"])
def test_the_emulator_refuses_a_webhook_elsewhere(url: str, on_stdin: bool) -> None:
    """Before it starts, and without repeating the URL."""
    result = CliRunner().invoke(ochy, ["emulator", "--webhook", "-" if on_stdin else url], input=f"{url}\n")
    assert result.exit_code == 2
    assert "this machine only" in result.stderr
    assert TOKEN not in result.output
