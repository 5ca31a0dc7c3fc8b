"""What it costs to begin: imports, and a first word from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import evolve

from .peers import peer
from .race import OURS, Aim, Figure, Table, alternate

__all__ = ["benchmarks"]

IMPORTS: Final = {
    "aiohttp alone": "import aiohttp",
    OURS: "from ochy_async import OchySession, SideView",
    "openai": "from openai import AsyncOpenAI",
}


def _imported(statement: str, folder: str) -> float:
    """Milliseconds of an import in a new process, without the start of Python, of what is installed and compiled."""
    timed = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told = subprocess.run([sys.executable, "-c", timed], cwd=folder, env=env, capture_output=True, check=True)  # noqa: S603
    return float(told.stdout) * 1000


def _helped() -> float:
    """Milliseconds of `ochy --help`, from the shell's point of view."""
    began = time.perf_counter()
    asked = [str(Path(sys.executable).parent / "ochy"), "--help"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
    assert "analyze" in told.stdout
    return (time.perf_counter() - began) * 1000


def _python() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return (time.perf_counter() - began) * 1000


def benchmarks(rounds: int) -> Iterator[Table]:
    """All benchmarks of this room."""
    peer("openai")
    with TemporaryDirectory() as folder:  # elsewhere than beside the sources
        contenders = {who: partial(_imported, statement, folder) for who, statement in IMPORTS.items()}
        for first in contenders.values():
            first()
        took = alternate(contenders, 3 * rounds)
    table = Table("import", "ms", {who: Figure.of(values) for who, values in took.items()}, "aiohttp alone")
    yield evolve(table, aims=(table.aim(1.15),))
    took = alternate({"python alone": _python, "ochy --help": _helped}, 3 * rounds)
    figures = {who: Figure.of(values) for who, values in took.items()}
    aim = Aim("ochy --help", figures["ochy --help"].median, 150, "ms")
    yield Table("a first word", "ms", figures, "python alone", (aim,))
