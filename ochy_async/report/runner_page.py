"""The page of one analysis: what to work on, the motion, the numbers, left against right, all parts.

Invariant: pure. Each section says whether its numbers are Ochy's or were read off the landmarks.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

import htpy as h
from attrs import frozen

from ..gait.curves import Curve
from ..protocol.side_view import SideViewCalculated, SideViewResults
from ..protocol.text_summary import count_of, format_pace
from ..protocol.views import view_title
from .analyses import METRICS, Part, ReportedAnalysis, finite, plain, rounded
from .charts import (
    CHART,
    FIGURE_HEIGHT,
    axis_of,
    bar,
    curve_chart,
    figure,
    gauge,
    pair_scale,
    quartile_scale,
    range_scale,
    still_figures,
)
from .document import document, section
from .motion import RunnerMotion
from .statistics import Quartiles

__all__ = ["RunnerPage", "runner_page"]

OCHY: Final = "From Ochy."
LANDMARKS: Final = "Read off the landmarks by this program, not measured by Ochy."
SIDES: Final = ("left", "right")
_TITLES: Final = {
    "hip": "Hip flexion",
    "knee": "Knee flexion",
    "ankle": "Ankle dorsiflexion",
    "elbow": "Elbow flexion",
    "pelvic_drop": "Pelvic drop",
    "knee_adduction": "Knee adduction",
}
_STILLS: Final = (0, 15, 35, 60, 80)
_SPEEDS: Final = (("1", "1"), ("0.5", "½"), ("0.25", "¼"), ("0.1", "⅒"))
_MOST_STEPS: Final = 60


@frozen(kw_only=True)
class RunnerPage:
    """All that a page shows."""

    analysis: ReportedAnalysis
    motion: RunnerMotion | None = None
    no_motion: str = ""
    """Why there is no motion, and how to get it."""
    thumbnail: bytes | None = None
    """A JPEG."""
    quartiles: Mapping[str, Quartiles] = {}
    """Of the folder's analyses of this view, by the name of the metric."""
    view_scores: Sequence[float] = ()
    """The total scores of all analyses of this view in the folder, this one included."""


def runner_page(page: RunnerPage) -> str:
    """The page as HTML."""
    analysis, motion = page.analysis, page.motion
    title = f"{analysis.name}, {analysis.view_title.lower()}"
    return document(title, _sections(page), data=None if motion is None else _program_data(motion))


def _sections(page: RunnerPage) -> Iterator[h.Node]:
    analysis, motion = page.analysis, page.motion
    yield _header(page)
    yield _work_first(analysis)
    yield _motion(page)
    yield _numbers(page)
    yield _ranges(analysis)
    yield None if motion is None else _left_and_right(motion)
    yield _all_parts(analysis)
    yield _landings(analysis)


# --- header -----------------------------------------------------------------------------------------


def _header(page: RunnerPage) -> h.Node:
    analysis = page.analysis
    return h.header(".card.head")[
        page.thumbnail and h.img(src=_data_uri(page.thumbnail), alt="A picture from the video", class_="thumbnail"),
        h.div(".who")[
            h.p(".kicker")[h.a(href="index.html")["Running form report"]],
            h.h1(dir="auto")[analysis.name],
            h.ul(".chips")[[h.li[name, " ", h.b(lang=language)[value]] for name, value, language in _chips(page)]],
            h.p(".note")[_rank(page)],
        ],
        gauge(analysis.score, "Ochy's total score"),
    ]


def _chips(page: RunnerPage) -> Iterator[tuple[str, str, str | None]]:
    """What is said of a runner in a word: the name, the value, and its language if it is a text of the vendor's."""
    analysis, motion = page.analysis, page.motion
    yield analysis.view_title, "", None
    if isinstance(analysis.results, SideViewResults):
        if analysis.results.foot.foot_strike_pattern:
            yield "Foot strike", plain(analysis.results.foot.foot_strike_pattern), None
        style = analysis.results.main_running_style
        if style is not None:
            share = finite(style.share)
            text = plain(style.title or style.animal)
            yield "Style", text if share is None else f"{text} {100 * share:.0f} %", analysis.language
    if isinstance(analysis.calculated, SideViewCalculated) and analysis.calculated.metrics is not None:
        pace = analysis.calculated.metrics.pace
        if pace is not None:
            yield "Pace", format_pace(pace), None
    if motion is not None and motion.strides:
        rate = "" if motion.fps is None else f" at {motion.fps:g} frames/s"
        yield f"{count_of(motion.strides, 'stride')}{rate}", "", None


def _rank(page: RunnerPage) -> str:
    score, others = page.analysis.score, len(page.view_scores) - 1
    if score is None or others < 1:
        return ""
    lower = sum(other < score for other in page.view_scores)
    view = view_title(page.analysis.view)
    compared = count_of(others, f"{view} analysis", f"{view} analyses")
    return f"Higher than {lower} of the other {compared} in this folder."


def _data_uri(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


# --- what to work on --------------------------------------------------------------------------------


def _work_first(analysis: ReportedAnalysis) -> h.Node:
    lowest = analysis.lowest_parts[:3]
    if not lowest:
        return None
    cards = [_card(number, part, analysis.language) for number, part in enumerate(lowest, 1)]
    return section("Work on this first", f"The lowest scores, in Ochy's words. {OCHY}", h.ol(".cards")[cards])


def _card(number: int, part: Part, language: str) -> h.Node:
    texts = part.texts
    return h.li[
        h.h3(lang=language)[h.span(".rank", aria_hidden="true")[f"{number}"], part.title],
        h.p(".score")[_hundred(part.score), " of 100"],
        bar(part.score),
        texts.position and h.p(".position", lang=language, dir="auto")[plain(texts.position)],
        texts.recap and h.ul(lang=language)[[h.li(dir="auto")[plain(line)] for line in texts.recap[:4]]],
        texts.explanation and h.p(".note", lang=language, dir="auto")[plain(texts.explanation)],
    ]


def _hundred(score: float | None) -> str:
    return rounded(None if score is None else 100 * score)


# --- motion -----------------------------------------------------------------------------------------


def _motion(page: RunnerPage) -> h.Node:
    motion = page.motion
    if motion is None:
        return section("Motion", page.no_motion, None)
    window = "from a fifth of a stride before the middle of the stance to a fifth after it"
    note = (
        f"{LANDMARKS} Means of {count_of(motion.strides, 'stride')}; the band is one standard deviation. "
        f"The curves run {window if motion.back else 'from a touchdown of the foot (0 %) to its next one (100 %)'}."
    )
    stills = _stills(motion)
    beside, below = (stills, None) if motion.back else (None, stills)  # a back view has two charts, a side view four
    drawings = h.div(".motion")[_player(motion), h.div[_charts(page), beside]]
    return section("Motion", note, [_legend(page), drawings, below])


def _legend(page: RunnerPage) -> h.Node:
    stance = _stance(page.analysis)
    return h.p(".legend")[
        h.span(".key.left")["left"],
        h.span(".key.right")["right (dashed)"],
        stance is not None
        and h.span(".key.stance")[f"on the ground: the first {100 * stance:.0f} %, by Ochy's duty factor"],
    ]


def _player(motion: RunnerMotion) -> h.Node:
    if not motion.frames:
        return None
    moment = f"{motion.leader} {'middle of the stance' if motion.back else 'touchdown'}"
    return h.div(".player")[
        figure(motion, "figure", f"The runner's mean stride, from a {moment} to the next"),
        h.div(".controls")[
            h.button("#play", type="button")["Play"],
            h.label["Speed ", h.select("#speed")[[_speed(value, name) for value, name in _SPEEDS]]],
            h.input("#position", type="range", min="0", max="100", value="0", aria_label="Position in the stride"),
            h.output("#percent", for_="position")["0 %"],
        ],
    ]


def _speed(value: str, name: str) -> h.Node:
    return h.option(value=value, selected=value == "0.25")[name]


def _charts(page: RunnerPage) -> h.Node:
    motion = page.motion
    if motion is None:
        return None
    percent = (-20, 20) if motion.back else (0, 100)
    stance = None if motion.back else _stance(page.analysis)
    return h.div(".charts")[
        [
            h.figure[
                h.figcaption[h.b[_TITLES[angle]], " degrees"],
                curve_chart(angle, _TITLES[angle], sides, percent=percent, stance=stance),
            ]
            for angle, sides in motion.curves.items()
        ],
        [h.p(".note")[f"{plain(name.replace('_', ' '))}: {reason}"] for name, reason in motion.missing.items()],
    ]


def _stance(analysis: ReportedAnalysis) -> float | None:
    """The vendor's duty factor, which is the length of a stance as a share of a stride."""
    share = finite(analysis.measures.get("duty_factor"))
    return share if share is not None and 0 < share < 1 else None


def _stills(motion: RunnerMotion) -> h.Node:
    return motion.frames and still_figures(motion, _STILLS)


def _program_data(motion: RunnerMotion) -> dict[str, Any]:
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


# --- numbers ----------------------------------------------------------------------------------------


def _numbers(page: RunnerPage) -> h.Node:
    measures = page.analysis.measures
    known = [(metric, value) for metric in METRICS if (value := finite(measures.get(metric.name))) is not None]
    if not known:
        return None
    note = f"{OCHY} "
    if page.quartiles:
        note += (
            "Below each: where it lies among the analyses of this view in the folder. The box is the middle half, the "
            "line the median, the dot this runner; the folder is no norm."
        )
    verdict = measures.get("overstride_score")
    return section(
        "Numbers",
        note,
        h.ul(".tiles")[
            [
                h.li[
                    h.p(".name")[metric.title, _verdict(verdict) if metric.name == "overstride_angle_deg" else ""],
                    h.p(".value")[h.b[rounded(value, metric.digits)], " ", metric.unit],
                    _quartiles(value, metric.digits, page.quartiles.get(metric.name)),
                ]
                for metric, value in known
            ]
        ],
    )


def _verdict(verdict: object) -> str:
    return "" if verdict is None else f" · {plain(verdict).removeprefix('score_').replace('_', ' ')}"


def _quartiles(value: float, digits: int, quartiles: Quartiles | None) -> h.Node:
    if quartiles is None:
        return None
    told = f"Folder: {rounded(quartiles.low, digits)} to {rounded(quartiles.high, digits)}, "
    return h.fragment[
        quartile_scale(value, quartiles),
        h.p(".ends")[h.span[rounded(quartiles.low, digits)], h.span[rounded(quartiles.high, digits)]],
        h.p(".unseen")[f"{told}median {rounded(quartiles.median, digits)}"],
    ]


# --- left and right ---------------------------------------------------------------------------------


def _ranges(analysis: ReportedAnalysis) -> h.Node:
    """The vendor's means of the stance of a back view on the vendor's ranges."""
    parts = getattr(analysis.results, "parts", {}) if analysis.view == "back_view" else {}
    measures = analysis.measures
    rows: list[h.Node] = []
    for name, legs in parts.items():
        values = {side: value for side in SIDES if (value := _stance_mean(measures, name, side)) is not None}
        leg = next(iter(legs.sides.values()), None)
        ranges = {word: each for word in ("okay", "bad", "good") if (each := getattr(leg, f"range_{word}", None))}
        if values and ranges:
            rows.append(_pair_row(name.replace("_", " ").capitalize(), values, range_scale(ranges, values)))
    note = f"Means of the stance on Ochy's own ranges, in degrees (the unit is inferred). {OCHY} {_SHAPES}"
    return section("Pronation, knee and pelvis", note, _pair_table(rows)) if rows else None


_SHAPES: Final = "Circle: left. Square: right."


def _stance_mean(measures: Mapping[str, Any], part: str, side: str) -> float | None:
    """The mean of one leg. The layout is not documented, so it must be the only number that can be meant."""
    named = {name: value for name, value in measures.items() if part in name and side in name and "score" not in name}
    named = {name: value for name, value in named.items() if finite(value) is not None}
    means = {name: value for name, value in named.items() if "mean" in name} or named
    return finite(next(iter(means.values()))) if len(means) == 1 else None


def _left_and_right(motion: RunnerMotion) -> h.Node:
    compared = list(_compared(motion.curves))
    if not compared:
        return None
    half = max(5.0, *(abs(left - right) for _, left, right in compared))
    rows = [
        _pair_row(title, {"left": left, "right": right}, pair_scale(left, right, half))
        for title, left, right in compared
    ]
    note = f"{LANDMARKS} Each line spans {2 * half:.0f} degrees around the mean of both sides. {_SHAPES}"
    return section("Left and right", note, _pair_table(rows))


_COMPARED: Final = (
    ("knee", "Knee flexion at touchdown", lambda curve: curve.at_start),
    ("knee", "Knee flexion, highest", lambda curve: curve.peak),
    ("hip", "Hip flexion, highest", lambda curve: curve.peak),
    ("hip", "Hip flexion, lowest", lambda curve: curve.lowest),
    ("ankle", "Ankle dorsiflexion, highest", lambda curve: curve.peak),
    ("elbow", "Elbow flexion, mean", lambda curve: fmean(curve.mean)),
    ("pelvic_drop", "Pelvic drop, highest", lambda curve: curve.peak),
    ("knee_adduction", "Knee adduction, highest", lambda curve: curve.peak),
)


def _compared(curves: Mapping[str, Mapping[str, Curve]]) -> Iterator[tuple[str, float, float]]:
    for angle, title, value in _COMPARED:
        sides = curves.get(angle, {})
        if "left" in sides and "right" in sides:
            yield title, value(sides["left"]), value(sides["right"])


def _pair_table(rows: Iterable[h.Node]) -> h.Node:
    heads = ("Measure", "Where they lie", "Left", "Right", "Difference")
    return h.div(".scroll", tabindex="0", role="group", aria_label="Table")[
        h.table(".pairs")[h.thead[_heads(heads, "Measure", "Where they lie")], h.tbody[rows]]
    ]


def _heads(heads: Iterable[str], *texts: str) -> h.Node:
    """The headings of a table. All columns but `texts` hold numbers."""
    return h.tr[[h.th(scope="col", class_=None if head in texts else "n")[head] for head in heads]]


def _pair_row(title: str, values: Mapping[str, float], scale: h.Node) -> h.Node:
    difference = abs(values["left"] - values["right"]) if len(values) > 1 else None
    return h.tr[
        h.th(scope="row")[title],
        h.td[scale],
        [h.td(".n")[_degrees(values.get(side))] for side in SIDES],
        h.td(".n")[_degrees(difference)],
    ]


def _degrees(value: float | None) -> str:
    return rounded(value, 1) if value is None else f"{rounded(value, 1)} °"


# --- all parts --------------------------------------------------------------------------------------


def _all_parts(analysis: ReportedAnalysis) -> h.Node:
    parts = analysis.parts
    if not parts:
        return None
    with_bad = any(getattr(part.assessment, "range_bad", None) for part in parts)
    heads = ("Part", "Score", "0 to 100", "Position", "Good", "Okay", *(("Bad",) if with_bad else ()))
    table = h.table(".parts")[
        h.thead[_heads(heads, "Part", "0 to 100", "Position")],
        h.tbody[[_part_row(part, analysis.language, with_bad=with_bad) for part in parts]],
    ]
    note = f"Scores, texts and ranges. The ranges are in degrees (inferred). {OCHY}"
    return section("All parts", note, h.div(".scroll", tabindex="0", role="group", aria_label="Table")[table])


def _part_row(part: Part, language: str, *, with_bad: bool) -> h.Node:
    ranges = [part.assessment.range_good, part.assessment.range_okay]
    ranges += [getattr(part.assessment, "range_bad", None)] if with_bad else []
    return h.tr[
        h.th(scope="row", lang=language)[part.title],
        h.td(".n")[_hundred(part.score)],
        h.td[bar(part.score)],
        h.td(lang=language, dir="auto")[plain(part.texts.position)],
        [h.td(".n")[plain(each)] for each in ranges],
    ]


# --- landing ----------------------------------------------------------------------------------------


def _landings(analysis: ReportedAnalysis) -> h.Node:
    if not isinstance(analysis.calculated, SideViewCalculated):
        return None
    steps = list(_steps(analysis.calculated.foot_landing))[:_MOST_STEPS]
    counts = ", ".join(f"{count} {name}" for name, count in analysis.calculated.landings.items() if count)
    if not steps and not counts:
        return None
    content = h.ol(".steps")[[h.li(class_=side)[f"{side} ", h.b[landing]] for side, landing in steps]]
    return section("Landing, step by step", f"{counts}. {OCHY}" if counts else OCHY, steps and content)


def _steps(landing: object) -> Iterator[tuple[str, str]]:
    """The side and the landing of each step, as far as a list of steps names them."""
    for step in landing if isinstance(landing, list) else ():
        if isinstance(step, str):
            yield "", plain(step)
        elif isinstance(step, dict):
            side = next((side for side in SIDES if str(step.get("side", "")).lower() == side), "")
            words = (value for name, value in step.items() if name not in ("side", "step") and isinstance(value, str))
            if word := next(words, None):
                yield side, plain(word)
