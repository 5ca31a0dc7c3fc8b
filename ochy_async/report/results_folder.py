"""The analyses of an output folder, and their files.

Invariant: a folder may have been moved since it was written, so of a file's path only its name counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..batch.output.tables import JSONL
from ..errors import InvalidSettings
from ..result_loaders import load_records
from .analyses import ReportedAnalysis, of_record

__all__ = ["analyses_in", "stored_file"]


def analyses_in(folder: Path) -> Iterator[ReportedAnalysis]:
    """All analyses of a folder, one at a time. Raises `InvalidSettings` at once if it has no table of results."""
    table = folder / JSONL
    if not table.is_file():
        raise InvalidSettings(
            f"{str(folder)!r} holds no {JSONL}, so there is nothing to show. Nothing was written. Give the folder that "
            "a run with --out has filled."
        )
    return map(of_record, load_records(table))


def stored_file(folder: Path, analysis: ReportedAnalysis, artifact: str) -> Path | None:
    """Where a file of an analysis is, such as its `raw_data`; None if there is none."""
    name = analysis.file(artifact)
    path = None if name is None else folder / name
    return path if path is not None and path.is_file() else None
