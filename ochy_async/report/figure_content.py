"""What a figure for a paper shows: a panel for each angle, with lines and their bands.

Invariant: pure. The curves are those of the gait; the means over runners are all that is computed here. What cannot be
drawn is a `CannotTell` with its reason.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Final

from attrs import define, evolve, field, frozen

from ..errors import InvalidSettings
from ..gait.analysis import BackGait, SideGait
from ..gait.joints import SIDES
from ..gait.recording import CannotTell
from ..protocol.text_summary import count_of
from .figure_settings import BACK_VIEW, SIDE_VIEW
from .motion import ANGLE_TITLES

__all__ = [
    "FigureContent",
    "Gait",
    "Line",
    "Panel",
    "RunnerMeans",
    "comparison_content",
    "group_content",
    "single_content",
]

Gait = SideGait | BackGait
"""What the landmarks of one recording show."""

_FEWEST: Final = 2
"""Runners, since a standard deviation needs two; also recordings that can be compared."""


@frozen
class Kind:
    """What the lines of a figure are."""

    noun: str
    """What they are means of."""
    lines: str
    stance: str


_ONE: Final = Kind("stride", "Line: mean of the strides; band: \N{PLUS-MINUS SIGN}1 SD.", "Ochy's duty factor")
_GROUP: Final = Kind(
    "runner",
    "Line: mean of the runners' means; band: \N{PLUS-MINUS SIGN}1 SD across runners.",
    "mean of Ochy's duty factors",
)
_COMPARED: Final = Kind("stride", "Line: mean of the strides of a recording.", "mean of Ochy's duty factors")


@frozen(kw_only=True, repr=False)
class Line:
    """One line of a panel."""

    side: str
    """`left` or `right`."""
    mean: Sequence[float]
    """Degrees at 101 points, 0 to 100 % of the panel's axis."""
    deviation: Sequence[float] | None = None
    """One standard deviation at each point; None where there is no band."""
    count: int = 0
    """Strides, or runners, of which it is the mean."""
    order: int = 0
    """The position of its recording among those that are compared."""


@frozen
class Panel:
    """One angle, or one side of it."""

    angle: str
    """Its name in a gait. Panels of the same angle have the same scale."""
    title: str
    lines: tuple[Line, ...]


@frozen(kw_only=True)
class FigureContent:
    """All that a figure shows."""

    panels: tuple[Panel, ...]
    percent: tuple[int, int]
    """The ends of the horizontal axes, per cent of the gait cycle."""
    axis: str
    """What the horizontal axes show."""
    stance: float | None
    """The length of the stance as a share of the gait cycle; None where it is not known or not drawn."""
    noun: str
    """What the lines are means of: `stride` or `runner`."""
    note: str
    """The small print."""
    compared: int = 0
    """How many recordings are compared; 0 if none are."""
    missing: tuple[str, ...] = ()
    """Why angles that were asked for are not shown."""


def single_content(gait: Gait, what: Sequence[str], stance: float | None, *, simulated: bool = False) -> FigureContent:
    """The mean curves of one recording. Raises `CannotTell` if it shows none of the angles."""
    back = isinstance(gait, BackGait)
    names = _names(back, what)
    panels = _filled(Panel(name, ANGLE_TITLES[name], tuple(_stride_means(gait, name))) for name in names)
    drawn = {panel.angle for panel in panels}
    reasons = {name: gait.missing.get(f"{SIDES[0]} {name}", "") for name in names if name not in drawn}
    if not panels:
        raise CannotTell(" ".join(dict.fromkeys(reasons.values())))
    missing = tuple(f"without {ANGLE_TITLES[name].lower()}: {reason}" for name, reason in reasons.items())
    stances = [] if stance is None else [stance]
    return evolve(_content(_ONE, panels, back, stances, simulated=simulated), missing=missing)


def _names(back: bool, what: Sequence[str]) -> list[str]:
    """The angles of a view that are asked for, by their names in a gait. Raises `CannotTell` if there are none."""
    names = BACK_VIEW if back else SIDE_VIEW
    if wanted := [name for word, name in names.items() if word in what]:
        return wanted
    view = "back view" if back else "side view"
    raise CannotTell(f"A {view} shows {', '.join(names)}, and none of them is asked for.")


def _stride_means(gait: Gait, name: str) -> Iterator[Line]:
    for side in SIDES:
        curve = gait.curves[side].get(name)
        if curve is not None:
            deviation = curve.deviation if curve.strides > 1 else None
            yield Line(side=side, mean=curve.mean, deviation=deviation, count=curve.strides)


def _filled(panels: Iterable[Panel]) -> tuple[Panel, ...]:
    return tuple(panel for panel in panels if panel.lines)


def _content(
    kind: Kind, panels: tuple[Panel, ...], back: bool, stances: Sequence[float], *, simulated: bool
) -> FigureContent:
    cycle = "middle of the stance" if back else "touchdown of the same foot"
    stance = None if back or not stances else fmean(stances)  # a back view is drawn around the middle of the stance
    shaded = "" if stance is None else f"Stance: {kind.stance}. "
    source = "Simulated by the emulator of ochy-async. " if simulated else ""
    angles = "Angles: read off the landmarks by ochy-async, not measured by Ochy."
    return FigureContent(
        panels=panels,
        percent=(-20, 20) if back else (0, 100),
        axis="From mid-stance (% of gait cycle)" if back else "Gait cycle (%)",
        stance=stance,
        noun=kind.noun,
        note=f"{source}0 %: {cycle}. {kind.lines} {shaded}{angles}",
    )


# --- several recordings -----------------------------------------------------------------------------


@define(repr=False)
class RunnerMeans:
    """The mean curves of the recordings of one runner in one view: all that is kept of them."""

    back: bool
    recordings: list[Mapping[tuple[str, str], array[float]]] = field(factory=list)
    """The mean of each recording, by angle and side."""
    stances: list[float] = field(factory=list)
    simulated: bool = False
    """Whether any of the recordings is the emulator's."""

    def add(self, gait: Gait, stance: float | None, *, simulated: bool = False) -> None:
        """Keeps the curves of a recording, which is of this view."""
        self.simulated |= simulated
        self.recordings.append(
            {(name, side): array("d", curve.mean) for side in SIDES for name, curve in gait.curves[side].items()}
        )
        self.stances += [] if stance is None else [stance]

    def mean(self, name: str, side: str) -> list[float] | None:
        """The mean of the recordings that have this curve."""
        curves = [found for each in self.recordings if (found := each.get((name, side))) is not None]
        return [fmean(column) for column in zip(*curves, strict=True)] if curves else None


def group_content(runners: Sequence[RunnerMeans], what: Sequence[str]) -> FigureContent:
    """The mean of the runners' means, with the standard deviation across runners.

    Raises `CannotTell` for fewer than two runners, or if no two show the same angle, and `InvalidSettings` for both
    views.
    """
    back = _are_back_views(runners)
    panels = _filled(Panel(name, ANGLE_TITLES[name], tuple(_group_means(runners, name))) for name in _names(back, what))
    if not panels:
        raise CannotTell(f"A mean of runners needs {_FEWEST} who show the same angle; here {_are(runners, 'runner')}.")
    stances = [fmean(runner.stances) for runner in runners if runner.stances]
    return _content(_GROUP, panels, back, stances, simulated=any(runner.simulated for runner in runners))


def _are_back_views(runners: Sequence[RunnerMeans]) -> bool:
    if len({runner.back for runner in runners}) > 1:
        raise InvalidSettings("A side view and a back view show different angles. Draw a figure for each view.")
    return any(runner.back for runner in runners)


def _group_means(runners: Sequence[RunnerMeans], name: str) -> Iterator[Line]:
    for side in SIDES:
        means = [found for runner in runners if (found := runner.mean(name, side)) is not None]
        if len(means) >= _FEWEST:
            columns = list(zip(*means, strict=True))
            yield Line(side=side, mean=[*map(fmean, columns)], deviation=[*map(stdev, columns)], count=len(means))


def comparison_content(runner: RunnerMeans, what: Sequence[str]) -> FigureContent:
    """The mean curves of each recording of a runner, with a panel for each side.

    Raises `CannotTell` for fewer than two recordings, or if none shows any of the angles.
    """
    names = _names(runner.back, what)
    panels = _filled(_compared(runner, name, side) for name in names for side in SIDES)
    count = len(runner.recordings)
    if not panels or count < _FEWEST:
        raise CannotTell(
            f"A comparison needs {_FEWEST} recordings of a runner; here {_are(runner.recordings, 'recording')}."
        )
    content = _content(_COMPARED, panels, runner.back, runner.stances, simulated=runner.simulated)
    return evolve(content, compared=count)


def _compared(runner: RunnerMeans, name: str, side: str) -> Panel:
    curves = ((order, each.get((name, side))) for order, each in enumerate(runner.recordings))
    lines = (Line(side=side, mean=curve, order=order) for order, curve in curves if curve is not None)
    return Panel(name, f"{ANGLE_TITLES[name]}, {side}", tuple(lines))


def _are(some: Sequence[object], noun: str) -> str:
    return f"{'is' if len(some) == 1 else 'are'} {count_of(len(some), noun)}"
