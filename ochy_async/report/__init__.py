"""Report pages of analyses: one HTML file for each, and an overview with a table. Needs the extra `report`.

`write_report("results")` reads an output folder; `write_report(outcomes, "report")` takes the outcomes of a batch. The
pages need no server and no network. They hold health data.

Invariant: reports are made of what is on this machine; nothing here sends anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ..batch.outcomes import Outcome
from ..errors import InvalidSettings

__all__ = ["write_report"]

INSTALL: Final = "pip install 'ochy-async[report]'"


def write_report(
    source: str | os.PathLike[str] | Iterable[Outcome[Any, Any]], folder: str | os.PathLike[str] | None = None
) -> Path:
    """Writes a report and returns the path of its overview, `index.html`.

    `source` is an output folder, or the outcomes of a batch. `folder` is where the pages are written, by default the
    folder `report` in the output folder; outcomes need one. Curves and figures need landmarks, which an output folder
    holds if the batch kept `raw_data`. Existing pages of the same analyses are replaced; other files stay.

    Raises `InvalidSettings` if the extra is missing or there is nothing to report, `OutputError` if files cannot be
    read or written, and `UnreadableAnswer` for a damaged table. Blocks: tens of milliseconds for each analysis.
    """
    if find_spec("htpy") is None:
        raise InvalidSettings(f"Reports need htpy, which is not installed. Nothing was written. Install it: {INSTALL}")
    from . import writer  # needs htpy

    target = None if folder is None else Path(folder)
    if isinstance(source, str | os.PathLike):
        return writer.write_pages(Path(source), (), target)
    return writer.write_pages(None, tuple(source), target)
