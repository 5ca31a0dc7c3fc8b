"""Compares the library with its alternatives: `python -m benchmarks`.

Prints a Markdown table, and writes it as Markdown and JSON to a folder. README.md explains the figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from .comparison import MIN_ROUNDS, Table
from .machine import machine
from .report import as_json, as_markdown

SUITE = (
    "uploads",
    "polls",
    "waiting",
    "deliveries",
    "batches",
    "reading",
    "memory",
    "end_to_end",
    "startup",
    "webhooks",
)
"""Modules with a function `benchmarks(rounds)` that yields tables."""


def main() -> None:
    """Runs the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compares ochy_async with its alternatives."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(SUITE)} (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=MIN_ROUNDS, help="rounds per contender, at least 5")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="folder for the two files")
    given = parser.parse_args()
    unknown = set(given.names) - set(SUITE)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(SUITE)}")
    facts, tables = machine(), list[Table]()
    for name in given.names or SUITE:
        began = time.perf_counter()
        tables.extend(import_module(f".{name}", __package__).benchmarks(given.rounds))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    output = as_markdown(tables, facts)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "benchmarks.md").write_text(output, encoding="utf-8")
    (given.out / "benchmarks.json").write_bytes(as_json(tables, facts))
    print(output)


if __name__ == "__main__":
    main()
