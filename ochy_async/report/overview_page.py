"""The overview of a folder: how scores are distributed, what is weak most often, progress, and the table.

Invariant: pure. Every analysis has a row, also one that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final
from urllib.parse import quote

import htpy as h

from ..protocol.text_summary import NOTHING, count_of
from .analyses import hundred, hundred_text, plain, rounded
from .charts import bar, gauge, histogram, sparkline
from .document import SIMULATED, SOME_SIMULATED, Source, document, section, table
from .statistics import AnalysisRow, FolderStatistics, Progress

__all__ = ["overview_page"]

_METRICS: Final = (
    ("Cadence", "cadence_steps_per_min", 0),
    ("Contact ms", "ground_contact_time_ms", 0),
    ("Step m", "step_length_m", 2),
    ("Overstride °", "overstride_angle_deg", 1),
)
_FIRST_CARDS: Final = 12
"""Runners whose progress is shown at once; the others are one click away."""


def overview_page(statistics: FolderStatistics, name: str, notice: str = "") -> str:
    """The page as HTML. `name` is what is reported on, such as the name of the folder; `notice` stands above it."""
    title = count_of(len(statistics.analyses), "analysis", "analyses")
    simulated = {row.simulated for row in statistics.rows}
    said = "" if True not in simulated else SOME_SIMULATED if False in simulated else SIMULATED
    return document(f"{title}: running form report", _sections(statistics, name, title), notices=(notice, said))


def _sections(statistics: FolderStatistics, name: str, title: str) -> Iterator[h.Node]:
    rows, scores = statistics.rows, statistics.scores
    yield h.header(".card.head")[
        h.div(".who")[
            h.p(".kicker")["Running form"],
            h.h1[title],
            h.ul(".chips")[[h.li(dir="auto")[chip] for chip in _chips(statistics, name)]],
            h.p(".note")[f"{Source.OCHY.value} Counts, medians and shares are computed from Ochy's scores."],
        ],
        gauge(median(scores) if scores else None, "median total score" if len(scores) > 1 else "total score"),
    ]
    if len(scores) > 1:
        yield h.div(".two")[
            section("Total scores", Source.OCHY, "How many analyses have which score.", histogram(scores)),
            section("Weakest parts", Source.OCHY, "How often each is the lowest of its analysis.", _weak(statistics)),
        ]
    progress = statistics.progress()
    yield _progress(progress) if progress else None
    yield section("All analyses", Source.OCHY, "", [_search(len(rows)) if len(rows) > 1 else None, _table(statistics)])


def _chips(statistics: FolderStatistics, name: str) -> Iterator[str]:
    rows, analyses = statistics.rows, statistics.analyses
    yield name
    if len(rows) > len(analyses):
        yield count_of(len(rows), "clip")
    runners = {row.runner for row in rows} - {""}
    if runners:
        yield count_of(len(runners), "runner")
    for view in sorted({row.view for row in analyses}):
        yield f"{sum(row.view == view for row in analyses):,} {view.lower()}"
    bad = sum(row.page is None for row in rows)
    if bad:
        yield f"{bad:,} without results"


def _weak(statistics: FolderStatistics) -> h.Node:
    parts = statistics.weak_parts()
    total = sum(count for _, count in parts)
    if not total:
        return h.p["No analysis has scores of parts."]
    rows = [
        h.tr[h.th(scope="row")[statistics.part_title(name)], h.td(".n")[f"{count:,}"], h.td[bar(count / total)]]
        for name, count in parts
    ]
    return table(("Part", "Analyses", "Share"), rows, css="weak", texts=("Part", "Share"))


def _progress(progress: Sequence[Progress]) -> h.Node:
    scores = [score for each in progress for score in each.scores]
    cards = [_progress_card(each, min(scores), max(scores)) for each in progress]
    first, others = cards[:_FIRST_CARDS], cards[_FIRST_CARDS:]
    more = h.details[h.summary[f"{len(others):,} more"], h.ul(".progress")[others]] if others else None
    dated = [each for each in progress if each.dates is not None]
    dates = "by date, the first and the last."
    folder = "in the order of the folder, the first and the last in the folder."
    order = (
        dates
        if len(dated) == len(progress)
        else f"{dates[:-1]} where the input has one, else {folder}"
        if dated
        else folder
    )
    return section("Progress", Source.OCHY, f"Total scores of each runner {order}", [h.ul(".progress")[first], more])


def _progress_card(progress: Progress, low: float, high: float) -> h.Node:
    first, last = hundred(progress.scores[0]), hundred(progress.scores[-1])
    dates = "" if progress.dates is None else ", {:%Y-%m-%d} to {:%Y-%m-%d}".format(*progress.dates)
    return h.li[
        h.div[
            h.b(dir="auto")[progress.name],
            h.span(".note")[f"{progress.view}: {first} → {last} ({_signed(last - first)}){dates}"],
        ],
        sparkline(progress.scores, low, high),
    ]


def _signed(number: int) -> str:
    return f"{number:+d}".replace("-", "\N{MINUS SIGN}") if number else "±0"


# --- the table --------------------------------------------------------------------------------------


def _search(count: int) -> h.Node:
    return h.p(".search")[
        h.label(for_="find")["Find "],
        h.input("#find", type="search", placeholder="runner, view, strike …", autocomplete="off"),
        h.output("#shown", for_="find", role="status")[f"{count:,} of {count:,} shown"],
        h.span["Select a heading to sort by it."],
    ]


def _table(statistics: FolderStatistics) -> h.Node:
    titles = {name: statistics.part_title(name) for name in {row.lowest_part for row in statistics.rows}}
    heads = ["Runner", "View", "Score", *(title for title, _, _ in _METRICS), "Strike", "Lowest part"]
    numbers = {"Score", *(title for title, _, _ in _METRICS)}
    return h.div(".scroll", tabindex="0", role="group", aria_label="All analyses")[
        h.table("#analyses")[
            h.thead[h.tr[[_head(head, "n" if head in numbers else None) for head in heads]]],
            h.tbody[(_row(row, titles[row.lowest_part]) for row in statistics.rows)],
        ]
    ]


def _head(title: str, css: str | None) -> h.Node:
    return h.th(scope="col", class_=css, aria_sort="none")[h.button(type="button")[title]]


def _row(row: AnalysisRow, lowest_part: str) -> h.Node:
    name, clip = h.bdi[row.name], plain(row.clip)
    return h.tr[
        h.th(scope="row")[
            h.a(href=quote(row.page))[name] if row.page else name,
            clip not in (row.name, NOTHING) and h.small[h.bdi[clip]],
            row.outcome != "analyzed" and h.small(".reason")[row.outcome, row.reason and f": {row.reason}"],
        ],
        h.td[row.view],
        h.td(".n")[hundred_text(row.score)],
        [h.td(".n")[rounded(row.metrics.get(metric), digits)] for _, metric, digits in _METRICS],
        h.td[row.strike or NOTHING],
        h.td[lowest_part or NOTHING],
    ]
