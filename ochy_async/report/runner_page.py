"""The page of one analysis: what to work on, the motion, the numbers, left against right, all parts.

Invariant: pure. Each section says whether its numbers are Ochy's or were read off the landmarks.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

import htpy as h
from attrs import frozen

from ..protocol.assessment import RunningStyle
from ..protocol.side_view import SideViewResults
from ..protocol.text_summary import format_pace
from ..protocol.views import view_title
from .analyses import Part, ReportedAnalysis, finite, hundred, hundred_text, plain
from .charts import bar, gauge
from .document import SIMULATED, Source, document, section, table
from .landing_section import landings_section
from .motion import RunnerMotion
from .motion_section import motion_section, program_data
from .numbers_section import numbers_section
from .reference import NO_REFERENCE, Reference
from .sides_section import left_and_right_section, ranges_section
from .statistics import Quartiles

__all__ = ["RunnerPage", "runner_page"]


@frozen(kw_only=True, repr=False)
class RunnerPage:
    """All that a page shows."""

    analysis: ReportedAnalysis
    motion: RunnerMotion | None = None
    no_motion: str = ""
    """Why there is no motion, and how to get it."""
    thumbnail: bytes | None = None
    """A JPEG."""
    no_thumbnail: str = ""
    """Why a thumbnail that is there is not shown."""
    quartiles: Mapping[str, Quartiles] = {}
    """Of the folder's analyses of this view, by the name of the metric."""
    view_scores: Sequence[float] = ()
    """The total scores of all analyses of this view in the folder, this one included."""
    reference: Reference = NO_REFERENCE
    """The user's own reference bands."""
    overview: str | None = None
    """The address of the page that lists all analyses, if there is one."""
    notice: str = ""
    """What stands above everything."""


def runner_page(page: RunnerPage) -> str:
    """The page as HTML."""
    title = ", ".join((*_names(page.analysis), page.analysis.view_title.lower()))
    data = None if page.motion is None else program_data(page.motion)
    notices = (page.notice, SIMULATED if page.analysis.simulated else "")
    return document(title, _sections(page), notices=notices, data=data)


def _sections(page: RunnerPage) -> Iterator[h.Node]:
    analysis, motion = page.analysis, page.motion
    yield _header(page)
    yield _work_first(analysis)
    if motion is None:
        yield section("Motion", None, page.no_motion, None)
    else:
        yield motion_section(motion, analysis.duty_factor)
    yield numbers_section(analysis, page.quartiles, page.reference)
    yield ranges_section(analysis)
    if motion is not None:
        yield left_and_right_section(motion)
    yield _all_parts(analysis)
    yield landings_section(analysis)


# --- header -----------------------------------------------------------------------------------------


def _names(analysis: ReportedAnalysis) -> list[str]:
    """The heading of the page and, where that is the runner's name, the clip."""
    names = [analysis.name, *([plain(analysis.clip_name)] if analysis.clip_name else [])]
    return list(dict.fromkeys(names))


def _header(page: RunnerPage) -> h.Node:
    analysis, style = page.analysis, _style(page.analysis)
    heading, *clip = _names(analysis)
    facts = [h.div[h.dt[name], h.dd(lang=language)[value]] for name, value, language in _facts(analysis)]
    return h.header(".card.head")[
        page.thumbnail and h.img(src=_data_uri(page.thumbnail), alt="A picture from the video", class_="thumbnail"),
        h.div(".who")[
            h.p(".kicker")["Running form · ", analysis.view_title],
            h.h1(dir="auto")[heading],
            [h.p(".clip", dir="auto")[name] for name in clip],
            facts and h.dl(".facts")[facts],
            style is not None and style.summary and h.p(lang=analysis.language, dir="auto")[plain(style.summary)],
            h.p(".note")[" ".join((Source.OCHY.value, *_notes(page)))],
            page.overview and h.nav[h.a(href=page.overview)["All analyses"]],
        ],
        gauge(analysis.score, "Ochy's total score"),
    ]


def _facts(analysis: ReportedAnalysis) -> Iterator[tuple[str, h.Node, str | None]]:
    """What Ochy says of a runner in a word: the name, the value, and its language if it is a text of the vendor's."""
    if isinstance(analysis.results, SideViewResults) and analysis.results.foot.foot_strike_pattern:
        yield "Foot strike", plain(analysis.results.foot.foot_strike_pattern).capitalize(), None
    if (style := _style(analysis)) is not None:
        share = finite(style.share)
        percent = None if share is None else h.small[f" {100 * share:.0f}\N{NO-BREAK SPACE}%"]
        yield "Style", [plain(style.title or style.animal), percent], analysis.language
    if analysis.pace is not None:
        minutes, _, unit = format_pace(analysis.pace).partition(" ")
        yield "Pace", [minutes, h.small[f" {unit}"]], None


def _style(analysis: ReportedAnalysis) -> RunningStyle | None:
    return analysis.results.main_running_style if isinstance(analysis.results, SideViewResults) else None


def _notes(page: RunnerPage) -> Iterator[str]:
    """What this program computed of Ochy's numbers in the header, and what it left out."""
    if page.analysis.pace is not None:
        yield "The pace is computed from Ochy's speed."
    score, others = page.analysis.score, len(page.view_scores) - 1
    if score is not None and others > 0:
        lower = sum(hundred(other) < hundred(score) for other in page.view_scores)
        yield f"{_place(lower, others, view_title(page.analysis.view))} in this folder."
    if page.no_thumbnail:
        yield page.no_thumbnail


def _place(lower: int, others: int, view: str) -> str:
    if others == 1:
        return f"{'Higher' if lower else 'Not higher'} than the other {view} analysis"
    count = "none" if lower == 0 else "all" if lower == others else f"{lower:,}"
    return f"Higher than {count} of the other {others:,} {view} analyses"


def _data_uri(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


# --- what to work on --------------------------------------------------------------------------------


def _work_first(analysis: ReportedAnalysis) -> h.Node:
    lowest = analysis.lowest_parts[:3]
    if not lowest:
        return None
    cards = [_card(number, part, analysis.language) for number, part in enumerate(lowest, 1)]
    return section("Work on this first", Source.OCHY, "The lowest scores, in Ochy's words.", h.ol(".cards")[cards])


def _card(number: int, part: Part, language: str) -> h.Node:
    texts = part.texts
    return h.li[
        h.h3[h.span(".rank", aria_hidden="true")[f"{number}"], _title(part, language)],
        h.p(".score")[h.b[hundred_text(part.score)], " of 100"],
        bar(part.score),
        texts.position and h.p(".position", lang=language, dir="auto")[plain(texts.position)],
        texts.recap and h.ul(lang=language)[[h.li(dir="auto")[plain(line)] for line in texts.recap[:4]]],
        texts.explanation and h.p(".note", lang=language, dir="auto")[plain(texts.explanation)],
    ]


def _title(part: Part, language: str) -> h.Node:
    """The vendor's title in its language, and the side in ours."""
    title = h.span(lang=language)[part.title] if part.texts.title else part.title
    return [title, part.side and f", {part.side}"]


# --- all parts --------------------------------------------------------------------------------------


def _all_parts(analysis: ReportedAnalysis) -> h.Node:
    parts = analysis.parts
    if not parts:
        return None
    ranges = ["Good", "Okay"] + ["Bad"] * any(getattr(part.assessment, "range_bad", None) for part in parts)
    texts = ("Part", "0 to 100", "Position")
    rows = [_part_row(part, analysis.language, ranges) for part in parts]
    shown = table(("Part", "Score", "0 to 100", "Position", *ranges), rows, css="parts", texts=texts)
    return section("All parts", Source.OCHY, "Scores, texts and ranges. The ranges are in degrees (inferred).", shown)


def _part_row(part: Part, language: str, ranges: Sequence[str]) -> h.Node:
    return h.tr[
        h.th(scope="row")[_title(part, language)],
        h.td(".n")[hundred_text(part.score)],
        h.td[bar(part.score)],
        h.td(lang=language, dir="auto")[plain(part.texts.position)],
        [h.td(".n")[plain(getattr(part.assessment, f"range_{name.lower()}", None))] for name in ranges],
    ]
