"""The section about the motion of a runner: the figure that moves, and the curves of the angles.

Invariant: pure. The program of the page gets the numbers that were drawn, so the figure, the dots and the curves agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import htpy as h

from ..protocol.text_summary import count_of
from .analyses import plain
from .curve_chart import CHART, axis_of, curve_chart, line_key
from .document import Source, section
from .motion import ANGLE_TITLES, RunnerMotion
from .stick_figure import FIGURE_HEIGHT, figure, still_figures

__all__ = ["motion_section", "program_data"]

_STILLS: Final = (0, 15, 35, 60, 80)
_SPEEDS: Final = (("1", "1"), ("0.5", "½"), ("0.25", "¼"), ("0.1", "⅒"))


def motion_section(motion: RunnerMotion, stance: float | None) -> h.Renderable:
    """The figure and the curves. `stance` is the vendor's duty factor: the share of a stride on the ground."""
    shaded = None if motion.back else stance  # the curves of a back view show little else
    stills = motion.frames and still_figures(motion, _STILLS)
    beside, below = (stills, None) if motion.back else (None, stills)  # a back view has two charts, a side view four
    drawings = h.div(".motion")[_player(motion), h.div[_charts(motion, shaded), beside]]
    return section("Motion", Source.LANDMARKS, _note(motion), [_legend(shaded), drawings, below])


def _note(motion: RunnerMotion) -> str:
    window = (
        "from a fifth of a stride before the middle of the stance to a fifth after it"
        if motion.back
        else "from a touchdown of the foot (0 %) to its next one (100 %)"
    )
    rate = "; frame rate unknown" if motion.fps is None else f" at {motion.fps:g} frames/s"
    several = max((most for _, most in motion.strides.values()), default=0) > 1
    band = "; the band is one standard deviation" if several else ""
    return f"{'Means' if several else 'Curves'} of {_strides(motion)}{rate}{band}. The curves run {window}."


def _strides(motion: RunnerMotion) -> str:
    """How many strides are in the curves, by side if the sides differ."""
    counts = {
        side: f"{'' if fewest == most else f'{fewest:,} to '}{count_of(most, 'stride')}"
        for side, (fewest, most) in motion.strides.items()
    }
    if len(set(counts.values())) == 1:
        return next(iter(counts.values()))
    return " and ".join(f"{count} ({side})" for side, count in counts.items())


def _legend(stance: float | None) -> h.Node:
    return h.p(".legend")[
        h.span[line_key("left"), "left"],
        h.span[line_key("right"), "right (dashed)"],
        stance is not None
        and h.span(".shaded")[f"on the ground: the first {100 * stance:.0f} %, by Ochy's duty factor"],
    ]


def _player(motion: RunnerMotion) -> h.Node:
    if not motion.frames:
        return None
    moment = f"{motion.leader} {'middle of the stance' if motion.back else 'touchdown'}"
    return h.div(".player")[
        figure(motion, "figure", f"The runner's mean stride, from a {moment} to the next"),
        h.div(".controls")[
            h.button("#play", type="button")["Play"],
            motion.seconds is not None
            and h.label["Speed ", h.select("#speed")[[_speed(value, name) for value, name in _SPEEDS]]],
            h.input("#position", type="range", min="0", max="100", value="0", aria_label="Position in the stride"),
            h.output("#percent", for_="position", aria_live="off")["0 %"],
        ],
    ]


def _speed(value: str, name: str) -> h.Node:
    return h.option(value=value, selected=value == "0.25")[name]


def _charts(motion: RunnerMotion, stance: float | None) -> h.Node:
    percent = (-20, 20) if motion.back else (0, 100)
    return h.div(".charts")[
        [
            h.figure[
                h.figcaption[h.b[ANGLE_TITLES[angle]], " degrees"],
                curve_chart(angle, ANGLE_TITLES[angle], sides, percent=percent, stance=stance),
            ]
            for angle, sides in motion.curves.items()
        ],
        [h.p(".note")[f"{angles}: {reason}"] for reason, angles in _missing(motion.missing)],
    ]


def _missing(missing: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each reason, with the angles that are missing for it: `Ankle (both sides), left elbow`."""
    for reason in dict.fromkeys(missing.values()):
        sides: dict[str, list[str]] = {}
        for name in (name for name, why in missing.items() if why == reason):
            side, _, angle = name.partition(" ")
            sides.setdefault(angle.replace("_", " "), []).append(side)
        named = [f"{angle} (both sides)" if len(of) > 1 else f"{of[0]} {angle}" for angle, of in sides.items()]
        text = plain(", ".join(named))
        yield reason, text[:1].upper() + text[1:]


def program_data(motion: RunnerMotion) -> dict[str, Any]:
    """What the page's program moves the figure and the dots of the charts with."""
    drawn = {joint: path for joint, path in motion.frames.items() if joint not in ("nose", "neck", "pelvis")}
    return {
        "seconds": motion.seconds,
        "area": [CHART.left, CHART.right],
        "spans": motion.spans,
        "frames": {
            joint: [
                each
                for point in path
                for each in (round(FIGURE_HEIGHT * point.real), round(FIGURE_HEIGHT * (1 - point.imag)))
            ]
            for joint, path in drawn.items()
        },
        "dots": {
            f"{angle} {side}": [round(axis.y(value), 1) for value in curve.mean]
            for angle, sides in motion.curves.items()
            for axis in (axis_of(sides.values()),)
            for side, curve in sides.items()
        },
    }
