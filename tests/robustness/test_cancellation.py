"""Nothing outlives its block: no task, socket, thread or file, wherever it is left or cancelled."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from ochy_async import OchySession, SideView
from ochy_async.emulator import Emulator
from ochy_async.events import AnalysisStarted, Event, StartUncertain
from tests.conftest import CLIP, QUICK, real_session, world
from tests.support.canary import API_KEY


@types.coroutine
def cancelled_at(scenario: Coroutine[Any, Any, Any], step: int) -> Generator[Any, Any, bool]:
    """Runs a coroutine and cancels it at its `step`-th await. Returns True if it has fewer awaits."""
    value, error, steps = None, None, 0
    while True:
        try:
            waiting = scenario.send(value) if error is None else scenario.throw(error)
        except StopIteration:
            return steps < step
        steps += 1
        if steps == step:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        value, error = None, None
        try:
            value = yield waiting
        except BaseException as thrown:  # noqa: BLE001 - passed on to the coroutine unchanged
            error = thrown


def open_files() -> set[str]:
    """The open files of the process, including sockets."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("the system does not tell which files are open")
    return {f"{path.name}: {link}" for path in folder.iterdir() if (link := _link(path))}


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def tasks() -> list[str]:
    """All tasks except the emulator's, which serve a connection until it is closed."""
    return sorted(text for task in asyncio.all_tasks() if "RequestHandler" not in (text := repr(task.get_coro())))


async def _analyze(url: str, clip: Path, events: list[Event]) -> None:
    async with OchySession(base_url=url, polling=QUICK, on_event=events.append) as ochy:
        await ochy.analyze(clip, SideView())


async def _cancelled(clip: Path, step: int) -> tuple[bool, int]:
    """Cancels an analysis at one await. Returns whether it had fewer awaits, and the charges without an event."""
    events: list[Event] = []
    async with Emulator(world(), speed=1000) as emulator:
        before, left = (tasks(), open_files()), set[str]()
        try:
            done = await cancelled_at(_analyze(emulator.url, clip, events), step)
        except asyncio.CancelledError:
            done = False
        for _ in range(100):  # the server takes a moment to close its ends
            left = {name for name in open_files() - before[1] if "socket" in name or str(clip) in name}
            if not left and tasks() == before[0]:
                break
            await asyncio.sleep(0.01)
        assert tasks() == before[0]
        assert not left
        reported = any(isinstance(event, AnalysisStarted | StartUncertain) for event in events)
        unreported = 0 if reported else len(emulator.service.ledger)
    return done, unreported


@pytest.mark.anyio
async def test_cancelling_at_any_await_leaves_nothing_behind(tmp_path: Path) -> None:
    """Start and wait are cancelled at every await: no task, socket or file is left, and every charge has an event."""
    clip = tmp_path / "runner.mp4"
    clip.write_bytes(CLIP * 60)
    for step in range(1, 400):
        done, unreported = await _cancelled(clip, step)
        assert unreported == 0, f"cancelled at await {step}: charged, without an event"
        if done:
            assert step > 8
            return
    pytest.fail("the scenario has more awaits than expected")


def test_no_thread_outlives_the_loop(tmp_path: Path) -> None:
    """Clips are read in threads; at whatever await the task is cancelled, the last thread ends with the loop."""
    clip = tmp_path / "runner.mp4"
    clip.write_bytes(CLIP * 60)
    before = set(threading.enumerate())
    for step in (2, 4, 6, 8, 12, 20, 400):
        asyncio.run(_cancelled(clip, step))
        left = set(threading.enumerate()) - before
        for thread in left:
            thread.join(5)
        assert not any(thread.is_alive() for thread in left)


@pytest.mark.anyio
async def test_a_session_runs_no_background_task(emulator: Emulator) -> None:
    """Between calls no task runs, so none can be left behind."""
    before = tasks()
    async with real_session(emulator) as ochy:
        await ochy.get_webhook()
        assert tasks() == before


def test_one_session_serves_two_runs_of_asyncio() -> None:
    """A module-level session works in a second `asyncio.run`, entered again or never exited."""

    async def ask(ochy: OchySession, base: str) -> None:
        assert not (await ochy.get_webhook()).stored

    async def entered(ochy: OchySession, base: str) -> None:
        async with ochy:
            await ask(ochy, base)

    async def never_left(ochy: OchySession, base: str) -> None:
        await ochy.__aenter__()
        await ask(ochy, base)

    async def left(ochy: OchySession, base: str) -> None:
        await ask(ochy, base)
        await ochy.__aexit__(None, None, None)

    with running_emulator() as url, warnings.catch_warnings():
        # The garbage collector closes a session that is never exited, with a ResourceWarning.
        warnings.simplefilter("ignore", ResourceWarning)
        ochy = OchySession(base_url=url)
        for scenario in (entered, entered, never_left, left):
            asyncio.run(scenario(ochy, url))
        gc.collect()


class running_emulator:  # noqa: N801 - used like a function
    """An emulator in a loop and a thread of its own, for tests that run loops themselves."""

    def __enter__(self) -> str:
        from anyio.from_thread import start_blocking_portal

        self._portal = start_blocking_portal()
        portal = self._portal.__enter__()
        self._emulator = portal.wrap_async_context_manager(Emulator(world(), speed=50))
        return self._emulator.__enter__().url

    def __exit__(self, *_: object) -> None:
        self._emulator.__exit__(None, None, None)
        self._portal.__exit__(None, None, None)


EXITS = {
    "left open": "await ochy.__aenter__(); await ochy.get_webhook()",
    "left in the middle of a wait": (
        "await ochy.__aenter__(); started = await ochy.start(b'0123ftypmp42', SideView()); "
        "waiting = asyncio.ensure_future(ochy.wait(started)); await asyncio.sleep(0.05)"
    ),
    "exit in the block": "await ochy.__aenter__(); await ochy.get_webhook(); raise SystemExit(0)",
}


@pytest.mark.parametrize("scenario", EXITS.values(), ids=EXITS.keys())
def test_a_program_that_does_not_close_exits_cleanly(scenario: str) -> None:
    """It exits at once, without `event loop is closed` and without showing the key."""
    program = f"""
        import asyncio
        from ochy_async import OchySession, SideView
        async def main():
            global ochy
            ochy = OchySession()
            {scenario}
        asyncio.run(main())
    """
    with running_emulator() as url:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**os.environ, "OCHY_BASE_URL": url, "OCHY_API_KEY": API_KEY},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "loop is closed" not in done.stderr
    assert "Traceback" not in done.stderr
    assert API_KEY not in done.stderr
