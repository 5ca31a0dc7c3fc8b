"""Side by side with what one would otherwise write: `python -m benchmarks`.

Prints one Markdown table and writes it, and the same as JSON, to a folder. How to read the figures: README.md here.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from .machine import machine
from .race import LEAST_ROUNDS, Table
from .report import as_json, as_markdown

SUITE = ("uploads", "polls", "waiting", "batches", "reading", "memory", "life", "starting")
"""Each a module with `benchmarks(rounds)`, which gives its tables."""


def main() -> None:
    """Runs what is named, or all of it."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description="ochy_async beside its alternatives")
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITE)}; all when left out")
    asked.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="turns for each contender, 5 at least")
    asked.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="where the two files go")
    given = asked.parse_args()
    unknown = set(given.names) - set(SUITE)
    if unknown:
        asked.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(SUITE)}")
    facts, tables = machine(), list[Table]()
    for name in given.names or SUITE:
        began = time.perf_counter()
        tables.extend(import_module(f".{name}", __package__).benchmarks(given.rounds))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    told = as_markdown(tables, facts)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "benchmarks.md").write_text(told, encoding="utf-8")
    (given.out / "benchmarks.json").write_bytes(as_json(tables, facts))
    print(told)


if __name__ == "__main__":
    main()
