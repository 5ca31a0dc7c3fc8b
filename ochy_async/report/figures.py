"""Figures for papers: joint angles over the gait cycle, drawn with matplotlib. Needs the extra `plot`.

Invariant: matplotlib is imported when something is drawn, and pyplot never.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidSettings
from ..extras import missing_library
from ..gait.analysis import BackGait, SideGait, back_gait, side_gait
from ..protocol.landmarks import Landmarks
from .figure_content import FigureContent, RunnerMeans, comparison_content, group_content, single_content
from .figure_settings import USUAL_ANGLES, FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .figure_files import WrittenFigures

__all__ = ["comparison_figure", "figure", "group_figure", "write_figures"]


def figure(
    recording: SideGait | BackGait | Landmarks,
    what: Iterable[str] = USUAL_ANGLES,
    *,
    view: str = "side_view",
    duty_factor: float | None = None,
    width: float = 85.0,
    title: str | None = None,
) -> Figure:
    """Draws the joint angles of a recording over the gait cycle, as a figure for a paper.

    `recording` is a gait, or landmarks, which are read as those of a `view`. `what` names angles: `hip`, `knee`,
    `ankle`, `elbow` and `trunk` from the side, `pelvis` and `knee` from behind, or `all`; those that the view does not
    have are left out, and so are those that `gait.missing` lists. The stance is shaded if the vendor's `duty_factor`
    (0 to 1, of the calculated data) is given. `width` is in millimeters: 85 for a column, 180 for a page. `title`
    stands above the figure, as it is.

    The figure does not belong to pyplot. Its `savefig` writes the same bytes for the same input, whatever your settings
    of matplotlib are. Raises `CannotTell` if the recording shows none of the angles, and `InvalidSettings` for wrong
    arguments or a missing extra (`plot`).
    """
    if isinstance(recording, Landmarks):
        if view not in ("side_view", "back_view"):
            raise InvalidSettings(f"The view {view!r} is not known. Give side_view or back_view.")
        recording = back_gait(recording) if view == "back_view" else side_gait(recording)
    settings = FigureSettings(what=what, width=width)
    return _drawn(single_content(recording, settings.what, _checked_share(duty_factor)), settings, title)


def group_figure(
    runners: Iterable[SideGait | BackGait | Sequence[SideGait | BackGait]],
    what: Iterable[str] = USUAL_ANGLES,
    *,
    duty_factor: float | None = None,
    width: float = 85.0,
    title: str | None = None,
) -> Figure:
    """Draws the mean of the runners' means, with a band of one standard deviation across runners.

    `runners` has one gait of each runner, or a sequence of them. The other arguments and errors are those of `figure`.
    `CannotTell` also means that there are fewer than two runners, and `InvalidSettings` that both views are among them.
    """
    means = [_means(runner if isinstance(runner, Sequence) else (runner,), duty_factor) for runner in runners]
    settings = FigureSettings(what=what, width=width)
    return _drawn(group_content(means, settings.what), settings, title)


def comparison_figure(
    recordings: Sequence[SideGait | BackGait],
    what: Iterable[str] = USUAL_ANGLES,
    *,
    duty_factor: float | None = None,
    width: float = 180.0,
    title: str | None = None,
) -> Figure:
    """Draws the mean curves of several recordings of a runner, from the first (light) to the last (dark).

    The other arguments and errors are those of `figure`. `CannotTell` also means that there are fewer than two
    recordings, and `InvalidSettings` that both views are among them.
    """
    settings = FigureSettings(what=what, width=width)
    return _drawn(comparison_content(_means(recordings, duty_factor), settings.what), settings, title)


def write_figures(
    results: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    what: Iterable[str] = USUAL_ANGLES,
    per: str = "analysis",
    file_format: str = "pdf",
    width: float = 85.0,
    dpi: int = 300,
    names: bool = False,
) -> WrittenFigures:
    """Writes figures of the analyses in an output folder, by default to its folder `figures`.

    `per` is `analysis`, `runner` (the recordings of each runner compared) or `group` (the mean of all runners, for each
    view). `file_format` is `pdf`, `png` or `svg`, `dpi` the dots per inch of a PNG. With `names` the runner's name
    stands above each figure. `what` and `width` are those of `figure`.

    Existing figures of the same name are replaced; other files stay. Returns the files, and what is left out, with the
    reasons. Raises `InvalidSettings` for wrong arguments, a missing extra or a folder without results, `OutputError` if
    files cannot be read or written, and `UnreadableAnswer` for a damaged table. Blocks: some tenths of a second for
    each figure.
    """
    _need_matplotlib()
    from . import figure_files  # needs matplotlib

    settings = FigureSettings(what=what, per=per, file_format=file_format, width=width, dpi=dpi, names=names)
    return figure_files.write_all_figures(Path(results), None if folder is None else Path(folder), settings)


def _means(recordings: Sequence[SideGait | BackGait], duty_factor: float | None) -> RunnerMeans:
    """The mean curves of the recordings of a runner. Raises `InvalidSettings` for recordings of both views."""
    backs = {isinstance(gait, BackGait) for gait in recordings}
    if len(backs) > 1:
        raise InvalidSettings("A side view and a back view show different angles. Draw a figure for each view.")
    means = RunnerMeans(True in backs)
    for gait in recordings:
        means.add(gait, _checked_share(duty_factor))
    return means


def _drawn(content: FigureContent, settings: FigureSettings, title: str | None) -> Figure:
    _need_matplotlib()
    from . import paper_figure  # needs matplotlib

    return paper_figure.drawn(content, settings.width, title)


def _checked_share(duty_factor: float | None) -> float | None:
    if duty_factor is not None and not 0 < duty_factor < 1:
        raise InvalidSettings("A duty factor is a share of the gait cycle, above 0 and below 1.")
    return duty_factor


def _need_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise InvalidSettings(f"Nothing was written. {missing_library('A figure', 'matplotlib', 'plot')}")
