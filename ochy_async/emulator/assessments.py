"""Assessments: the scored results of a side view and of a back view.

Invariant: pure, and an assessment only judges: what it judges was measured, and how is in the tables of scores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .biomechanics.measures import SideMeasures, mean, side_measures
from .biomechanics.runner import SIDES
from .scores import BACK_PARTS, SIDE_PARTS
from .texts import texts_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .biomechanics.runner import Runner
    from .scores import ScoredPart
    from .texts import ResultTexts

__all__ = ["back_parts", "back_view_results", "side_assessment", "side_view_results"]

# Duty factor below which a style is called so, and the duty factor that is most typical of it.
_STYLES = ((0.32, 0.30, "gazelle"), (0.36, 0.34, "wolf"), (math.inf, 0.38, "bear"))


def side_view_results(runner: Runner, *, language: str) -> dict[str, Any]:
    """The `biomechanical_analysis` of a side view."""
    return side_assessment(side_measures(runner), language=language)


def side_assessment(measures: SideMeasures, *, language: str) -> dict[str, Any]:
    """The same for a runner that is measured already."""
    runner, words = measures.runner, texts_for(language)
    content = {name: _side_item(name, value, words) for name, value in measures.parts.items()}
    content["foot"]["foot_strike_pattern"] = runner.strike_pattern
    content["foot"]["texts"]["overstride_title"] = words.overstride
    return {
        "analysis_content": content,
        "running_styles": _running_style(runner, words),
        "total_score": _total(content.values()),
    }


def back_view_results(runner: Runner, *, language: str, full_body: bool) -> dict[str, Any]:
    """The `biomechanical_analysis` of a back view; without `full_body` only pronation."""
    words = texts_for(language)
    content = {
        name: {side.name: _back_item(name, getattr(side.leg(runner), name), side.name, words) for side in SIDES}
        for name in back_parts(full_body)
    }
    return {
        "analysis_content": content,
        "total_score": _total(item for sides in content.values() for item in sides.values()),
    }


def back_parts(full_body: bool) -> tuple[str, ...]:
    """What a back view looks at."""
    return tuple(BACK_PARTS) if full_body else ("pronation",)


def _total(items: Iterable[Mapping[str, Any]]) -> float:
    return round(mean(item["score_number"] for item in items), 3)


def _side_item(name: str, value: float, words: ResultTexts) -> dict[str, Any]:
    part = SIDE_PARTS[name]
    verdict = part.verdict(value)
    return {
        **_scored(part, value),
        "texts": {
            "title": words.title(name),
            "position": words.position(name, part.place(value)),
            "recap": [words.recaps[verdict.name]],
            "exercice": list(part.exercises_for(verdict)),
            "search_key": part.search_key(verdict),
        },
    }


def _back_item(name: str, value: float, side: str, words: ResultTexts) -> dict[str, Any]:
    part = BACK_PARTS[name]
    verdict = part.verdict(value)
    return {
        **_scored(part, value),
        "range_bad": list(part.bad),
        "texts": {
            "title": words.title(name),
            "explanation": words.explanations[name],
            "position": words.position(name, part.place(value)),
            "recap": [words.recaps[verdict.name]],
            "side": side,
            "search_key": part.search_key(verdict),
        },
    }


def _scored(part: ScoredPart, value: float) -> dict[str, Any]:
    return {
        "score_number": round(part.score(value), 3),
        "range_good": list(part.good),
        "range_okay": list(part.okay),
    }


def _running_style(runner: Runner, words: ResultTexts) -> dict[str, Any]:
    duty = runner.duty_factor
    typical, animal = next((typical, animal) for limit, typical, animal in _STYLES if duty < limit)
    title, summary = words.styles[animal]
    likeness = max(0.5, 1 - 10 * abs(duty - typical))
    return {"title": title, "animal": animal, "percentage": round(100 * likeness), "summary": summary}
