"""Writes figures of an output folder: one for each analysis, for each runner, or for all of them together.

Invariant: memory holds one recording, and of several that are drawn together their mean curves. What cannot be drawn
costs no other figure its place. Only the user may read the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path, PurePath
from typing import Final

from attrs import define, field, frozen

from ..batch.output.folder import file_stem, output_errors
from ..durable_files import private_folder, write_file
from ..errors import OchyError
from ..gait.analysis import BackGait, back_gait, side_gait
from ..gait.recording import CannotTell
from ..protocol.text_summary import count_of
from ..result_loaders import load_landmarks
from .analyses import ReportedAnalysis, plain
from .figure_content import (
    FigureContent,
    Gait,
    RunnerMeans,
    comparison_content,
    group_content,
    single_content,
)
from .figure_settings import FigureSettings
from .paper_figure import drawn
from .results_folder import analyses_in, stored_file

__all__ = ["WrittenFigures", "write_all_figures"]

_READERS: Final[dict[str | None, Callable[..., Gait]]] = {"side_view": side_gait, "back_view": back_gait}
NO_LANDMARKS: Final = "no landmarks are stored"
HOW_TO_GET: Final = (
    "Landmarks of paid analyses cost nothing: run the command that analyzed the clips again with --keep raw-data, or "
    "ochy wait ID --out FOLDER --keep raw-data"
)


@define
class WrittenFigures:
    """The figures that were written, and what they do not show."""

    folder: Path
    files: list[Path] = field(factory=list, repr=False)
    failures: list[str] = field(factory=list, repr=False)
    """Analyses that are left out, each with the reason."""
    notes: list[str] = field(factory=list)
    """What else the figures do not show."""


@frozen
class RunnerKey:
    """What tells a runner apart."""

    view: str
    key: str = field(repr=False)
    name: str = field(eq=False, repr=False)


def write_all_figures(results: Path, folder: Path | None, settings: FigureSettings) -> WrittenFigures:
    """See `ochy_async.report.write_figures`."""
    analyses = analyses_in(results)
    writer = _Writer(results, settings, WrittenFigures(folder or results / "figures"))
    with output_errors(writer.written.folder):
        private_folder(writer.written.folder)
    if settings.per == "analysis":
        writer.each_analysis(analyses)
    else:
        writer.together(analyses)
    return writer.written


@define
class _Writer:
    results: Path
    settings: FigureSettings
    written: WrittenFigures

    def each_analysis(self, analyses: Iterator[ReportedAnalysis]) -> None:
        missing = Counter[str]()
        for analysis, path, gait in self._recordings(analyses):
            try:
                content = single_content(gait, self.settings.what, analysis.duty_factor, simulated=analysis.simulated)
            except CannotTell as reason:
                self._leave_out(analysis, str(reason))
                continue
            self._write(path.name.removesuffix(".raw_data.json"), content, analysis.name)
            missing.update(content.missing)
        self.written.notes += [f"{count_of(count, 'figure')} {reason}" for reason, count in missing.items()]

    def together(self, analyses: Iterator[ReportedAnalysis]) -> None:
        """Draws the recordings of each runner, or of all."""
        runners, nameless = dict[RunnerKey, RunnerMeans](), 0
        for analysis, path, gait in self._recordings(analyses):
            key = analysis.subject_id or analysis.subject
            nameless += key is None
            runner = RunnerKey(str(analysis.view), key or path.name, analysis.name)
            means = runners.setdefault(runner, RunnerMeans(isinstance(gait, BackGait)))
            means.add(gait, analysis.duty_factor, simulated=analysis.simulated)
        if nameless:
            whose = f"{count_of(nameless, 'analysis', 'analyses')} without a runner's name"
            self.written.notes.append(f"{whose}: each counts as a runner of its own")
        draw = self._each_runner if self.settings.per == "runner" else self._group
        draw(runners)

    def _each_runner(self, runners: dict[RunnerKey, RunnerMeans]) -> None:
        used, single = Counter[str](), 0
        for runner, means in runners.items():
            name = f"runner.{file_stem(runner.name)}.{runner.view}"
            used[name.casefold()] += 1
            count = used[name.casefold()]
            single += len(means.recordings) == 1
            if len(means.recordings) > 1:
                self._try(name if count == 1 else f"{name}.{count}", runner.name, comparison_content, means)
        if single:
            self.written.notes.append(f"{count_of(single, 'runner')} with one recording: nothing to compare")

    def _group(self, runners: dict[RunnerKey, RunnerMeans]) -> None:
        for view in dict.fromkeys(runner.view for runner in runners):
            group = [means for runner, means in runners.items() if runner.view == view]
            self._try(f"group.{view}", None, group_content, group)

    def _try(self, stem: str, title: str | None, content: Callable[..., FigureContent], means: object) -> None:
        try:
            found = content(means, self.settings.what)
        except CannotTell as reason:
            self.written.failures.append(f"{stem}: {reason}")
        else:
            self._write(stem, found, title)

    def _recordings(self, analyses: Iterator[ReportedAnalysis]) -> Iterator[tuple[ReportedAnalysis, Path, Gait]]:
        """The recordings that can be read. Identical clips share one."""
        seen, lacking = set[Path](), False
        for analysis in analyses:
            path = stored_file(self.results, analysis, "raw_data")
            if path is None:
                lacking |= analysis.has_page
                self._leave_out(analysis, NO_LANDMARKS)
            elif path not in seen:
                seen.add(path)
                if (gait := self._gait(analysis, path)) is not None:
                    yield analysis, path, gait
        if lacking:
            self.written.notes.append(HOW_TO_GET)

    def _gait(self, analysis: ReportedAnalysis, path: Path) -> Gait | None:
        read = _READERS.get(analysis.view)
        try:
            if read is None:
                raise CannotTell("whether it is a side view or a back view is not known")
            return read(load_landmarks(path))
        except (CannotTell, OchyError) as reason:
            self._leave_out(analysis, str(reason))
        return None

    def _leave_out(self, analysis: ReportedAnalysis, reason: str) -> None:
        """Notes that an analysis is in no figure. A clip that has no results needs no figure."""
        if analysis.has_page:
            clip = (analysis.clip or "").replace("\\", "/")
            self.written.failures.append(f"{plain(PurePath(clip).name or analysis.analysis_id)}: {reason}")

    def _write(self, stem: str, content: FigureContent, title: str | None) -> None:
        settings, body = self.settings, BytesIO()
        figure = drawn(content, settings.width, title if settings.names else None)
        figure.savefig(body, format=settings.file_format, dpi=settings.dpi)
        path = self.written.folder / f"{stem}.{settings.file_format}"
        with output_errors(path):
            write_file(path, body.getvalue())
        self.written.files.append(path)
