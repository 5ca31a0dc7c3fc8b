"""The overview of a folder: how scores are distributed, what is weak most often, progress, and the table.

Invariant: pure. Every analysis has a row, also one that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final
from urllib.parse import quote

import htpy as h

from ..protocol.text_summary import count_of
from .analyses import rounded
from .charts import gauge, histogram, sparkline
from .document import document, section
from .statistics import AnalysisRow, FolderStatistics, Progress

__all__ = ["overview_page"]

OCHY: Final = "From Ochy."
_METRICS: Final = (
    ("Cadence", "cadence_steps_per_min", 0),
    ("Contact ms", "ground_contact_time_ms", 0),
    ("Step m", "step_length_m", 2),
    ("Overstride °", "overstride_angle_deg", 1),
)
_MOST_CARDS: Final = 60


def overview_page(statistics: FolderStatistics, name: str) -> str:
    """The page as HTML. `name` is what is reported on, such as the name of the folder."""
    rows = statistics.rows
    title = count_of(len(rows), "analysis", "analyses")
    return document(f"{title}: running form report", _sections(statistics, name, title))


def _sections(statistics: FolderStatistics, name: str, title: str) -> Iterator[h.Node]:
    rows, scores = statistics.rows, statistics.scores
    yield h.header(".card.head")[
        h.div(".who")[
            h.p(".kicker")["Running form report"],
            h.h1[title],
            h.ul(".chips")[[h.li(dir="auto")[chip] for chip in _chips(rows, name)]],
        ],
        gauge(median(scores) if scores else None, "median total score"),
    ]
    weakest = f"Which part most often has the lowest score of its analysis. {OCHY}"
    yield h.div(".two")[
        section("Total scores", f"How many analyses have which score. {OCHY}", histogram(scores)),
        section("Weakest parts", weakest, _weak(statistics)),
    ]
    progress = statistics.progress()
    yield _progress(progress) if progress else None
    yield section("All analyses", f"{OCHY} Select a heading to sort by it.", [_search(len(rows)), _table(rows)])


def _chips(rows: Sequence[AnalysisRow], name: str) -> Iterator[str]:
    yield name
    runners = {row.runner for row in rows} - {""}
    if runners:
        yield count_of(len(runners), "runner")
    for view in sorted({row.view for row in rows}):
        yield f"{sum(row.view == view for row in rows)} {view.lower()}"
    bad = sum(row.outcome != "analyzed" for row in rows)
    if bad:
        yield f"{bad} without results"


def _weak(statistics: FolderStatistics) -> h.Node:
    parts = statistics.weak_parts()
    total = sum(count for _, count in parts)
    if not total:
        return h.p["No analysis has scores of parts."]
    return h.table(".weak")[
        h.thead[h.tr[h.th(scope="col")["Part"], h.th(".n", scope="col")["Analyses"], h.th(scope="col")["Share"]]],
        h.tbody[
            [
                h.tr[
                    h.th(scope="row")[name.capitalize()],
                    h.td(".n")[f"{count:,}"],
                    h.td[
                        h.svg({"viewBox": "0 0 100 6", "class": "bar", "aria-hidden": "true"})[
                            h.rect(".track", width="100", height="6", rx="3"),
                            h.rect(".value", width=f"{100 * count / total:.1f}", height="6", rx="3"),
                        ]
                    ],
                ]
                for name, count in parts
            ]
        ],
    ]


def _progress(progress: Sequence[Progress]) -> h.Node:
    more = len(progress) - _MOST_CARDS
    scores = [score for each in progress for score in each.scores]
    note = f"Total scores of each runner in the order of the folder, the first and the latest. {OCHY}"
    return section(
        "Progress",
        f"{note} {count_of(more, 'more runner')} not shown." if more > 0 else note,
        h.ul(".progress")[[_progress_card(each, min(scores), max(scores)) for each in progress[:_MOST_CARDS]]],
    )


def _progress_card(progress: Progress, low: float, high: float) -> h.Node:
    first, last = 100 * progress.scores[0], 100 * progress.scores[-1]
    return h.li[
        h.div[
            h.b(dir="auto")[progress.name],
            h.span(".note")[f"{progress.view}: {first:.0f} → {last:.0f} ({round(last) - round(first):+d})"],
        ],
        sparkline(progress.scores, low, high),
    ]


# --- the table --------------------------------------------------------------------------------------


def _search(count: int) -> h.Node:
    return h.p(".search")[
        h.label(for_="find")["Find "],
        h.input("#find", type="search", placeholder="runner, view, strike …", autocomplete="off"),
        h.output("#shown", for_="find", role="status")[f"{count:,} shown"],
    ]


def _table(rows: Sequence[AnalysisRow]) -> h.Node:
    with_reason = any(row.outcome != "analyzed" for row in rows)
    heads = ["Runner", "View", "Score", *(title for title, _, _ in _METRICS), "Strike", "Lowest part"]
    heads += ["Outcome"] if with_reason else []
    numbers = {"Score", *(title for title, _, _ in _METRICS)}
    return h.div(".scroll", tabindex="0", role="group", aria_label="All analyses")[
        h.table("#analyses")[
            h.thead[h.tr[[_head(head, "n" if head in numbers else None) for head in heads]]],
            h.tbody[[_row(row, with_reason=with_reason) for row in rows]],
        ]
    ]


def _head(title: str, css: str | None) -> h.Node:
    return h.th(scope="col", class_=css, aria_sort="none")[h.button(type="button")[title]]


def _row(row: AnalysisRow, *, with_reason: bool) -> h.Node:
    name = h.bdi[row.name]
    return h.tr[
        h.th(scope="row")[h.a(href=quote(row.page))[name] if row.page else name],
        h.td[row.view],
        h.td(".n")[rounded(None if row.score is None else 100 * row.score)],
        [h.td(".n")[rounded(row.metrics.get(metric), digits)] for _, metric, digits in _METRICS],
        h.td[row.strike or "–"],
        h.td[row.lowest_part.capitalize() or "–"],
        with_reason and h.td(".reason")[row.outcome, row.reason and f": {row.reason}"],
    ]
