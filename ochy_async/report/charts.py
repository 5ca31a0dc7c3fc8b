"""The drawings of scores: a gauge, a bar, scores in their order, and how many there are of each.

Invariant: pure. A drawing of what is missing is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from .analyses import hundred, hundred_text
from .svg import svg, within

__all__ = ["bar", "gauge", "histogram", "sparkline"]


def gauge(score: float | None, caption: str) -> h.Renderable:
    """A score from 0 to 1 as an arc, with its number of 100."""
    arc = {"d": "M 25.25 94.75 A 49 49 0 1 1 94.75 94.75", "pathLength": "100"}
    shown = [h.path({**arc, "class": "track"})]
    if score is not None and score > 0:
        shown.append(h.path({**arc, "class": "value", "stroke-dasharray": f"{100 * within(score):.1f} 200"}))
    number, unit = _of_100(score)
    return svg(box=(0, 0, 120, 124), css="gauge", label=f"{caption}: {number} {unit}")[
        shown,
        h.text(".number", x="60", y="70", text_anchor="middle")[number],
        h.text(".unit", x="60", y="88", text_anchor="middle")[unit],
        h.text(".unit", x="60", y="118", text_anchor="middle")[caption],
    ]


def _of_100(score: float | None) -> tuple[str, str]:
    return (hundred_text(score), "of 100" if score is not None else "no score")


def bar(score: float | None) -> h.Renderable:
    """A score from 0 to 1 as a bar; the number stands beside it."""
    return svg(box=(0, 0, 100, 1), css="bar", stretched=True)[
        score is not None and h.rect(".value", width=f"{100 * within(score):.1f}", height="1")
    ]


def sparkline(scores: Sequence[float], low: float, high: float) -> h.Renderable:
    """Scores in their order, on a scale from `low` to `high`."""
    step, span = 92 / max(1, len(scores) - 1), (high - low) or 1.0
    points = [(4 + step * place, 28 - 24 * within((score - low) / span)) for place, score in enumerate(scores)]
    return svg(box=(0, 0, 100, 32), css="spark")[
        h.polyline(points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points)),
        h.circle(cx=f"{points[-1][0]:.1f}", cy=f"{points[-1][1]:.1f}", r="3"),
    ]


def histogram(scores: Sequence[float]) -> h.Renderable:
    """How many scores, as they are shown, are in each ten of 100."""
    counts = [0] * 10
    for score in scores:
        counts[min(9, hundred(score) // 10)] += 1
    most = max(counts) or 1
    told = ", ".join(f"{count} from {10 * ten} to {10 * ten + 10}" for ten, count in enumerate(counts) if count)
    return svg(box=(0, 0, 440, 150), css="histogram", label=f"Total scores: {told or 'none'}")[
        [
            h.g[
                h.rect(
                    x=f"{22 + 40 * ten}",
                    y=f"{125 - 100 * count / most:.1f}",
                    width="36",
                    rx="3",
                    height=f"{100 * count / most:.1f}",
                ),
                h.text(x=f"{40 + 40 * ten}", y=f"{119 - 100 * count / most:.1f}", text_anchor="middle")[f"{count:,}"],
            ]
            for ten, count in enumerate(counts)
            if count
        ],
        [h.text(x=f"{20 + 40 * ten}", y="143", text_anchor="middle")[f"{10 * ten}"] for ten in range(11)],
    ]
