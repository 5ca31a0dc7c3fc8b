"""What it costs to begin: imports, and a first word from the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
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


def _imported(statement: str) -> float:
    """Milliseconds of an import in a new process, the start of Python not counted."""
    timed = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    told = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)  # noqa: S603
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
    took = alternate({who: partial(_imported, statement) for who, statement in IMPORTS.items()}, 3 * rounds)
    table = Table("import", "ms", {who: Figure.of(values) for who, values in took.items()}, "aiohttp alone")
    yield evolve(table, aims=(table.aim(1.15),))
    took = alternate({"python alone": _python, "ochy --help": _helped}, 3 * rounds)
    figures = {who: Figure.of(values) for who, values in took.items()}
    aim = Aim("ochy --help", figures["ochy --help"].median, 150, "ms")
    yield Table("a first word", "ms", figures, "python alone", (aim,))
