"""Tests of the script and the notebook in `docs/examples`."""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from ochy_async.emulator import Delay, Emulator, FaultPlan, FaultRule, Throttle
from ochy_async.protocol.routes import RESULTS, START
from tests.conftest import Recorded, world
from tests.support.accelerated_time import run_accelerated
from tests.support.batches import clip
from tests.support.examples import EXAMPLES, SECONDS, wait_until

CLIPS = 3
MANY = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with clips, and with a file that is none."""
    (tmp_path / "clips").mkdir()
    for number in range(CLIPS):
        (tmp_path / "clips" / f"runner-[{number}].mp4").write_bytes(clip(number))
    (tmp_path / "clips" / "notes.txt").write_text("no video")
    return tmp_path / "clips"


@pytest.fixture
def ochy(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    emulator = Emulator(world(queue_seconds=0.02, analysis_seconds=(0.05, 0.1)))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        monkeypatch.setenv("OCHY_BASE_URL", emulator.url)
        yield emulator


@contextmanager
def script(folder: Path, *options: str) -> Generator[subprocess.Popen[str]]:
    """The script over a folder in a process of its own; its output is searched for secrets."""
    # Tests that run in the background may have SIGINT disabled, and child processes inherit that.
    program = f"""
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path({str(EXAMPLES / "batch_with_progress.py")!r}, run_name="__main__")
"""
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}
    command = [sys.executable, "-c", program, str(folder), "--height", "1.75", "--weight", "68", *options]
    with (folder.parent / "output").open("w") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, text=True)  # noqa: S603 - our own program
    try:
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)


def run(folder: Path, *options: str) -> tuple[int, str]:
    """The exit code and the output of the script."""
    with script(folder, *options) as process:
        code = process.wait(SECONDS)
    return code, (folder.parent / "output").read_text()


def test_the_script_prints_a_table_and_buys_nothing_twice(ochy: Emulator, folder: Path) -> None:
    """Each clip is a row with its score; a second run sends nothing."""
    pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
    code, output = run(folder)
    assert code == 0
    assert len(re.findall(r"runner-\[\d\]\.mp4 +│ analyzed +│ 0\.\d\d", output)) == CLIPS
    assert f"{CLIPS} credits spent by this run." in output
    code, output = run(folder)
    assert (code, len(ochy.service.ledger)) == (0, CLIPS)
    assert f"{CLIPS} not needed" in output


def test_the_script_stops_in_order_at_ctrl_c(ochy: Emulator, folder: Path) -> None:
    """Clips under way are finished, no other is started, and the next run buys the rest."""
    pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
    for number in range(CLIPS, MANY):
        (folder / f"runner-[{number}].mp4").write_bytes(clip(number))
    ochy.faults = FaultPlan([FaultRule(str(START), Throttle(1_000, direction="upload"), times=100)])
    with script(folder) as process:
        wait_until(lambda: ochy.service.ledger)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    output = (folder.parent / "output").read_text()
    bought = len(ochy.service.ledger)
    assert 0 < bought < MANY
    assert output.count("analyzed") >= bought
    assert "Run the same command again" in re.sub(r"\s+", " ", output)
    ochy.faults = None
    assert run(folder)[0] == 0
    assert len(ochy.service.ledger) == MANY


def test_the_script_stops_at_once_at_a_second_ctrl_c(ochy: Emulator, folder: Path) -> None:
    """What is paid for stays in the journal, and the next run collects it."""
    pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
    ochy.faults = recorded = Recorded(FaultPlan([FaultRule(str(RESULTS), Delay(60), times=100)]))
    with script(folder) as process:
        wait_until(lambda: recorded.routes.count(str(RESULTS)) == CLIPS)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    ochy.faults = None
    assert run(folder)[0] == 0
    assert len(ochy.service.ledger) == CLIPS


def test_the_script_says_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence instead of a traceback."""
    pytest.importorskip("rich", reason="needs the extra cli: rich is not installed")
    monkeypatch.setenv("OCHY_BASE_URL", "http://127.0.0.1:9")
    for path, options, text in (
        (folder, ("--height", "175"), "centimeters"),
        (folder / "missing", (), "No such file"),
    ):
        code, output = run(path, *options)
        assert (code, text in output, "Traceback" in output) == (2, True, False)


# --- the notebook -------------------------------------------------------------------------------

NOTEBOOK = (EXAMPLES / "notebook.py").read_text(encoding="utf-8")


def cells() -> list[str]:
    """The code cells, as a notebook runs them."""
    _, *found = re.split(r"^# %%", NOTEBOOK, flags=re.MULTILINE)
    return [cell for cell in found if not cell.startswith(" [markdown]")]


async def run_cells(names: dict[str, Any], *wanted: str) -> None:
    """Runs the cells in one event loop, as Jupyter does."""
    for cell in wanted:
        code = compile(cell, "notebook.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)  # noqa: S307 - the example is meant to run
        if inspect.isawaitable(result):
            await result


def test_the_notebook_runs_and_its_cells_can_be_repeated(
    ochy: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that is run again buys nothing."""
    pytest.importorskip("numpy", reason="needs NumPy, of the extra dev")
    monkeypatch.chdir(folder.parent)
    first, buying, *others = cells()

    async def main() -> None:
        await run_cells({"__name__": "__main__"}, first, buying, buying, *others)

    run_accelerated(main())
    output = capsys.readouterr().out
    assert f"{CLIPS} credits spent by this run" in output
    assert f"{CLIPS} not needed" in output
    assert output.count("total score") == 2 * CLIPS
    assert "up and down" in output
    assert len(ochy.service.ledger) == CLIPS


def test_every_example_says_how_to_run_it() -> None:
    """Within its first lines, with what must be installed and set."""
    for path in EXAMPLES.glob("*.py"):
        head = path.read_text(encoding="utf-8").partition("\nimport ")[0]
        assert path.name == "jobs.py" or ("pip install" in head and "OCHY_API_KEY" in head)
