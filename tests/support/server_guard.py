"""Runs a server for as long as the process that started this script lives: `python server_guard.py FOLDER COMMAND…`.

The script prints the id of the server's process. When its standard input ends, which also happens if the tests are
killed, it ends the server and removes the folder, unless the input said to keep it.

Invariant: neither the server nor its folder outlives the tests, however they end.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys

SECONDS = 5


def main() -> None:
    """Starts the server, waits for the end of standard input, and ends the server."""
    folder, *command = sys.argv[1:]
    with subprocess.Popen(  # noqa: S603 - what `servers.py` passes on
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
    ) as server:
        print(server.pid, flush=True)
        keep = sys.stdin.read()
        server.send_signal(signal.SIGCONT)  # it may have been stopped
        server.send_signal(signal.SIGQUIT)  # Postgres closes its connections at once; Redis ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(SECONDS)
        server.kill()
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
