"""Says that a task over many analyses takes a while, before it begins.

Invariant: a folder that cannot be read is left to the task, which says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...batch.output.tables import JSONL
from .terminal import print_info

__all__ = ["announce"]

LARGE: Final = 1024 * 1024
"""Bytes of a table of results, of about 200 analyses, for which a task takes many seconds."""


def announce(results: Path, doing: str) -> None:
    """Prints that what is being done with an output folder takes a while, if it holds many analyses."""
    try:
        size = (results / JSONL).stat().st_size
    except OSError:
        return
    if size > LARGE:
        print_info(f"{doing} takes a while, because there are many analyses.")
