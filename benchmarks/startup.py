"""Startup time: imports, and `ochy --help`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import evolve

from .alternatives import alternative
from .comparison import OURS, Figure, Goal, Table, alternate

__all__ = ["benchmarks"]

FOUR: Final = "aiohttp, anyio, attrs and cattrs"
"""What the library is built on: nobody who uses it can import less."""
OPENED: Final = f"{OURS}, and a session"
IMPORTS: Final = {
    FOUR: "import aiohttp, anyio, attrs, cattrs",
    OURS: "from ochy_async import OchySession, SideView",
    OPENED: "from ochy_async import OchySession, SideView; OchySession('benchmark-key')",
    "openai": "from openai import AsyncOpenAI",
}


def _import(statement: str, folder: str) -> float:
    """Milliseconds of processor time of an import in a new process, without the start of Python.

    Modules are compiled already.
    """
    timed = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run([sys.executable, "-c", timed], cwd=folder, env=env, capture_output=True, check=True)  # noqa: S603
    return float(output.stdout) * 1000


def _instructions(statement: str, folder: str) -> float:
    """Millions of instructions of an import, without the start of Python, as callgrind counts them."""
    return (_counted(statement, folder) - _counted("", folder)) / 1e6


def _counted(program: str, folder: str) -> int:
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    run = [*valgrind, sys.executable, "-c", program]
    output = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, check=True)  # noqa: S603
    return int(output.stderr.partition("Collected :")[2].split()[0])


def _help() -> float:
    """Milliseconds of `ochy --help`, including the start of Python."""
    began = time.perf_counter()
    asked = [str(Path(sys.executable).parent / "ochy"), "--help"]
    output = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
    assert "analyze" in output.stdout
    return (time.perf_counter() - began) * 1000


def _start_python() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return (time.perf_counter() - began) * 1000


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this module."""
    alternative("openai")
    with TemporaryDirectory() as folder:  # not beside the sources
        contenders = {contender: partial(_import, statement, folder) for contender, statement in IMPORTS.items()}
        for first in contenders.values():
            first()
        took = alternate(contenders, 3 * rounds)
        counts = {name: _instructions(IMPORTS[name], folder) for name in IMPORTS if shutil.which("valgrind")}
    table = Table("import", "ms", {contender: Figure.of(values) for contender, values in took.items()}, FOUR)
    yield evolve(table, goals=(table.goal(1.33), table.goal(1.4, contender=OPENED)))
    if counts:
        figures = {contender: Figure(count, count, count) for contender, count in counts.items()}
        yield Table("import, instructions", "million", figures, FOUR)
    took = alternate({"python alone": _start_python, "ochy --help": _help}, 3 * rounds)
    figures = {contender: Figure.of(values) for contender, values in took.items()}
    goal = Goal("ochy --help", figures["ochy --help"].median, 150, "ms")
    yield Table("help", "ms", figures, "python alone", (goal,))
