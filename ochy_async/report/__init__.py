"""Reports and figures of analyses, made of what is on this machine.

`write_report("results")` writes pages of HTML about an output folder, `write_report(outcomes, "report")` about the
outcomes of a batch, or results, and `report_page(results)` returns the page of one analysis; they need the extra
`report`. `figure(gait)` draws joint angles for a paper with matplotlib, `group_figure` and `comparison_figure` those of
several recordings, and `write_figures("results")` writes figures of an output folder; they need the extra `plot`.

Invariant: nothing here sends anything. All of it shows health data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..batch.outcomes import Outcome
from ..errors import InvalidSettings
from ..extras import missing_library
from ..protocol.landmarks import Landmarks
from ..protocol.views import Calculated, Results
from .figures import comparison_figure, figure, group_figure, write_figures

__all__ = [
    "comparison_figure",
    "figure",
    "group_figure",
    "missing_extra",
    "report_page",
    "write_figures",
    "write_report",
]


def missing_extra() -> str:
    """What to install before `write_report` can be used; empty if nothing is missing."""
    return "" if find_spec("htpy") else missing_library("A report", "htpy", "report")


def write_report(
    source: str | os.PathLike[str] | Iterable[Outcome[Any, Any] | Results],
    folder: str | os.PathLike[str] | None = None,
    *,
    reference: str | os.PathLike[str] | None = None,
    notice: str = "",
) -> Path:
    """Writes a report and returns the path of its overview, `index.html`.

    `source` is an output folder, the outcomes of a batch, or results that were awaited. `folder` is where the pages are
    written, by default the folder `report` in the output folder; outcomes and results need one. Curves and figures need
    landmarks, which a batch keeps with `out=…` and `keep=["raw_data"]`; results alone have none. Pages of an earlier
    report in the folder are replaced, or removed if their analysis is gone; files that no report has written stay.

    `reference` is a CSV file of your own with the ranges of metrics in some source, which pages then show beside the
    numbers; docs/how-to/report.md describes it. `notice` stands on top of each page, for example whose report it is.
    That results are simulated stands there anyway, if a record or an outcome says so.

    Raises `InvalidSettings` if the extra is missing, the reference cannot be used or there is nothing to report,
    `OutputError` if files cannot be read or written or a page would replace a file of yours, and `UnreadableAnswer` for
    a damaged table. Blocks: tens of milliseconds for each analysis.
    """
    if missing := missing_extra():
        raise InvalidSettings(f"Nothing was written. {missing}")
    from . import writer  # needs htpy

    target, bands = (None if path is None else Path(path) for path in (folder, reference))
    if isinstance(source, str | os.PathLike):
        return writer.write_pages(Path(source), (), target, bands, notice)
    return writer.write_pages(None, tuple(source), target, bands, notice)


def report_page(
    results: Results,
    *,
    calculated: Calculated | None = None,
    landmarks: Landmarks | None = None,
    thumbnail: bytes | None = None,
    runner: str | None = None,
    language: str = "en",
    reference: str | os.PathLike[str] | None = None,
    notice: str = "",
) -> str:
    """Returns the page of one analysis as HTML that loads nothing, for a service that answers with it.

    `calculated` has the numbers and the landings, `landmarks` the curves and the figure, and `thumbnail` is a JPEG of
    at most 256 KiB; the page does without what is missing. `runner` is the name on the page, by default the id of the
    analysis. `language` is that of the request, which the vendor's texts have. `reference` and `notice` are those of
    `write_report`.

    Raises `InvalidSettings` if the extra is missing or an argument cannot be used. Blocks: tens of milliseconds.
    """
    if missing := missing_extra():
        raise InvalidSettings(missing)
    from . import writer  # needs htpy
    from .analyses import of_results

    analysis = of_results(results, calculated=calculated, subject=runner, language=language)
    bands = None if reference is None else Path(reference)
    return writer.single_page(analysis, landmarks, thumbnail, bands, notice)
