"""Writes the pages of a report.

Invariant: memory holds the small rows of all analyses and everything of one; only the user may read the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..batch.outcomes import Outcome
from ..batch.output.folder import output_errors
from ..durable_files import write_file
from ..errors import InvalidSettings, OchyError
from ..gait.recording import CannotTell
from ..result_loaders import load_landmarks, load_records
from .analyses import ReportedAnalysis, of_outcome, of_record
from .motion import RunnerMotion, motion_of
from .overview_page import overview_page
from .runner_page import RunnerPage, runner_page
from .statistics import Quartiles, folder_statistics

__all__ = ["write_pages"]

TABLE: Final = "results.jsonl"
OVERVIEW: Final = "index.html"
LARGEST_PICTURE: Final = 256 * 1024
"""Bytes; a larger thumbnail is left out."""
HOW_TO_GET: Final = (
    "There are no landmarks of this analysis, so no curves can be drawn. To fetch them, run the same command again "
    "with --out and --keep raw-data; that costs no credit."
)


def write_pages(results: Path | None, outcomes: Sequence[Outcome[Any, Any]], folder: Path | None) -> Path:
    """Reports on an output folder or, if that is None, on outcomes. See `ochy_async.report.write_report`."""
    target = folder or (None if results is None else results / "report")
    if target is None:
        raise InvalidSettings("Outcomes say no folder for their report. Give one: write_report(outcomes, folder).")
    if results is not None and not (results / TABLE).is_file():
        raise InvalidSettings(
            f"{str(results)!r} holds no {TABLE}, so there is nothing to report. Nothing was written. Give the folder "
            "that a run with --out has filled."
        )
    statistics = folder_statistics(_analyses(results, outcomes))
    with output_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    by_view = statistics.by_view()
    for row, analysis in zip(statistics.rows, _analyses(results, outcomes), strict=False):
        if row.page is not None:
            _write(target / row.page, runner_page(_page(results, analysis, *by_view[row.view])))
    name = "these outcomes" if results is None else results.resolve().name
    _write(target / OVERVIEW, overview_page(statistics, name))
    return target / OVERVIEW


def _analyses(results: Path | None, outcomes: Iterable[Outcome[Any, Any]]) -> Iterator[ReportedAnalysis]:
    """All analyses, one at a time."""
    return map(of_outcome, outcomes) if results is None else map(of_record, load_records(results / TABLE))


def _page(
    results: Path | None, analysis: ReportedAnalysis, quartiles: Mapping[str, Quartiles], scores: Sequence[float]
) -> RunnerPage:
    motion, reason = _motion(_path(results, analysis, "raw_data"), analysis.view)
    return RunnerPage(
        analysis=analysis,
        motion=motion,
        no_motion=reason,
        thumbnail=_picture(_path(results, analysis, "thumbnail")),
        quartiles=quartiles,
        view_scores=scores,
    )


def _path(results: Path | None, analysis: ReportedAnalysis, artifact: str) -> Path | None:
    """Where a file of an analysis is. A folder may have been moved since, so only the file's name counts in it."""
    if results is None:
        path = next((path for path in map(Path, analysis.files) if path.name == analysis.file(artifact)), None)
    else:
        name = analysis.file(artifact)
        path = None if name is None else results / name
    return path if path is not None and path.is_file() else None


def _motion(path: Path | None, view: str | None) -> tuple[RunnerMotion | None, str]:
    """The motion, or the reason why there is none."""
    if path is None:
        return None, HOW_TO_GET
    try:
        return motion_of(load_landmarks(path), view), ""
    except CannotTell as error:
        return None, f"The landmarks show no strides: {error}"
    except OchyError:
        return None, f"The landmarks in {path.name} cannot be read."


def _picture(path: Path | None) -> bytes | None:
    """A thumbnail, if it is a JPEG of a size that fits into a page."""
    if path is None:
        return None
    with output_errors(path), path.open("rb") as file:
        picture = file.read(LARGEST_PICTURE + 1)
    return picture if picture.startswith(b"\xff\xd8\xff") and len(picture) <= LARGEST_PICTURE else None


def _write(path: Path, page: str) -> None:
    with output_errors(path):
        write_file(path, page.encode(), mode=0o600)
