"""Reads what a report is about, and has its pages written.

Invariant: memory holds the small rows of all analyses and everything of one; only the user may read the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from ..batch.outcomes import Outcome
from ..batch.output.folder import output_errors
from ..errors import InvalidSettings, OchyError, OutputError
from ..gait.recording import CannotTell
from ..protocol.landmarks import Landmarks
from ..protocol.views import Results
from ..result_loaders import load_landmarks
from .analyses import ReportedAnalysis, of_source, plain
from .motion import RunnerMotion, motion_of
from .overview_page import overview_page
from .pages_folder import OVERVIEW, PagesFolder
from .reference import NO_REFERENCE, read_reference
from .results_folder import analyses_in, stored_file
from .runner_page import RunnerPage, runner_page
from .statistics import AnalysisRow, Quartiles, folder_statistics

__all__ = ["single_page", "write_pages"]

LARGEST_PICTURE: Final = 256 * 1024
"""Bytes; a larger thumbnail is left out."""
TOO_LARGE: Final = "The thumbnail is left out, because it is larger than 256 KiB."
NO_JPEG: Final = "The thumbnail is left out, because it is no JPEG."
NO_LANDMARKS: Final = "There are no landmarks of this analysis, so no curves can be drawn."
HOW_TO_GET: Final = (
    "To fetch them, run the same command again with --out and --keep raw-data, or the same batch with out and "
    'keep=["raw_data"]; that costs no credit.'
)


def write_pages(
    results: Path | None,
    sources: Sequence[Outcome[Any, Any] | Results],
    folder: Path | None,
    reference: Path | None,
    notice: str,
) -> Path:
    """Reports on an output folder or, if that is None, on outcomes or results. See `ochy_async.report.write_report`."""
    target = folder or (None if results is None else results / "report")
    if target is None:
        raise InvalidSettings(
            "Outcomes and results say no folder for their report. Give one: write_report(outcomes, folder)."
        )
    bands = NO_REFERENCE if reference is None else read_reference(reference)
    statistics = folder_statistics(_analyses(results, sources))
    pages = PagesFolder(target)
    names = [OVERVIEW, *(row.page for row in statistics.rows if row.page is not None)]
    pages.open(names)
    by_view = statistics.by_view()
    for row, analysis in _again(statistics.rows, _analyses(results, sources)):
        if row.page is not None:
            page = _page(results, analysis, *by_view[row.view])
            pages.write(row.page, runner_page(evolve(page, reference=bands, overview=OVERVIEW, notice=notice)))
    name = "these outcomes" if results is None else results.resolve().name
    pages.write(OVERVIEW, overview_page(statistics, plain(name), notice))
    pages.remove_others(names)
    return target / OVERVIEW


def single_page(
    analysis: ReportedAnalysis,
    landmarks: Landmarks | None,
    thumbnail: bytes | None,
    reference: Path | None,
    notice: str,
) -> str:
    """The page of an analysis that is in no folder. See `ochy_async.report.report_page`."""
    bands = NO_REFERENCE if reference is None else read_reference(reference)
    motion, reason = (None, NO_LANDMARKS) if landmarks is None else _motion(landmarks, analysis.view)
    picture, no_picture = _picture(thumbnail)
    return runner_page(
        RunnerPage(
            analysis=analysis,
            motion=motion,
            no_motion=reason,
            thumbnail=picture,
            no_thumbnail=no_picture,
            reference=bands,
            notice=notice,
        )
    )


def _analyses(results: Path | None, sources: Iterable[Outcome[Any, Any] | Results]) -> Iterator[ReportedAnalysis]:
    """All analyses, one at a time."""
    return map(of_source, sources) if results is None else analyses_in(results)


def _again(
    rows: Iterable[AnalysisRow], analyses: Iterator[ReportedAnalysis]
) -> Iterator[tuple[AnalysisRow, ReportedAnalysis]]:
    """Each row with its analysis, which is read once more. A batch that ends meanwhile may have replaced the table."""
    for row in rows:
        analysis = next(analyses, None)
        if analysis is None or (analysis.clip, analysis.analysis_id) != (row.clip, row.analysis_id):
            raise OutputError(
                "The results have changed while the report was written, so its pages would be mixed up. No overview "
                "was written. Write the report again when the batch has ended."
            )
        yield row, analysis


def _page(
    results: Path | None,
    analysis: ReportedAnalysis,
    quartiles: Mapping[str, Quartiles],
    scores: Sequence[float],
) -> RunnerPage:
    motion, reason = _stored_motion(_path(results, analysis, "raw_data"), analysis.view)
    picture, no_picture = _stored_picture(_path(results, analysis, "thumbnail"))
    return RunnerPage(
        analysis=analysis,
        motion=motion,
        no_motion=reason,
        thumbnail=picture,
        no_thumbnail=no_picture,
        quartiles=quartiles,
        view_scores=scores,
    )


def _path(results: Path | None, analysis: ReportedAnalysis, artifact: str) -> Path | None:
    """Where a file of an analysis is: in the folder, or where the outcome says."""
    if results is not None:
        return stored_file(results, analysis, artifact)
    path = next((path for path in map(Path, analysis.files) if path.name == analysis.file(artifact)), None)
    return path if path is not None and path.is_file() else None


def _stored_motion(path: Path | None, view: str | None) -> tuple[RunnerMotion | None, str]:
    """The motion, or the reason why there is none."""
    if path is None:
        return None, f"{NO_LANDMARKS} {HOW_TO_GET}"
    try:
        landmarks = load_landmarks(path)
    except OchyError:
        return None, f"The landmarks in {path.name} cannot be read."
    return _motion(landmarks, view)


def _motion(landmarks: Landmarks, view: str | None) -> tuple[RunnerMotion | None, str]:
    try:
        return motion_of(landmarks, view), ""
    except CannotTell as error:
        return None, f"The landmarks show no strides: {error}"


def _stored_picture(path: Path | None) -> tuple[bytes | None, str]:
    if path is None:
        return None, ""
    with output_errors(path), path.open("rb") as file:
        return _picture(file.read(LARGEST_PICTURE + 1))


def _picture(content: bytes | None) -> tuple[bytes | None, str]:
    """A thumbnail, if it is a JPEG of a size that fits into a page, else the reason why it is left out."""
    if content and len(content) > LARGEST_PICTURE:
        return None, TOO_LARGE
    if content and not content.startswith(b"\xff\xd8\xff"):
        return None, NO_JPEG
    return content or None, ""
