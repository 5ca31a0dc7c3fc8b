"""Prints one Markdown table of all benchmarks, and the machine it was made on."""

from __future__ import annotations

import os
import platform

from . import reading


def main() -> None:
    """Runs everything; a minute or so."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores\n")
    print("| benchmark | contender | ms (median) | ratio |\n|---|---|---|---|")
    for result in reading.benchmarks():
        print("\n".join(result.rows()))
    for frames in (600, 2_400):
        longest = reading.longest_slice(frames) * 1000
        print(f"\nLongest hold of the event loop, raw data of {frames} frames: {longest:.1f} ms")


if __name__ == "__main__":
    main()
