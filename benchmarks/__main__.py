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
from .formatting import as_json, as_markdown
from .machine import machine

SUITE = (
    "uploads",
    "polls",
    "waiting",
    "deliveries",
    "batches",
    "starts",
    "journals",
    "growth",
    "lookups",
    "resume",
    "reading",
    "memory",
    "exports",
    "report",
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
    parser.add_argument("--entries", type=int, help="entries of the largest journal of `growth` (default: 100,000)")
    parser.add_argument("--clips", type=int, help="`memory` measures one batch of so many clips instead")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="folder for the two files")
    given = parser.parse_args()
    unknown = set(given.names) - set(SUITE)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(SUITE)}")
    sizes = {name: {"entries": given.entries} for name in ("growth", "lookups")} if given.entries else {}
    sizes |= {"memory": {"clips": given.clips}} if given.clips else {}
    modules = {name: import_module(f".{name}", __package__) for name in given.names or SUITE}
    facts, tables = machine(), list[Table]()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        began = time.perf_counter()
        tables.extend(module.benchmarks(given.rounds, **sizes.get(name, {})))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        # After each, so that one that fails does not lose what the others took minutes to measure.
        (given.out / "benchmarks.md").write_text(as_markdown(tables, facts), encoding="utf-8")
        (given.out / "benchmarks.json").write_bytes(as_json(tables, facts))
    print(as_markdown(tables, facts))


if __name__ == "__main__":
    main()
