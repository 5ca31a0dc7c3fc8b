"""The scored results of a side view and of a back view.

Invariant: pure. The values are measured in `biomechanics`, the ranges are those of `scores`.
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

# Duty factor below which a running style applies, its most typical duty factor, and its animal. Assumed.
_STYLES = ((0.32, 0.30, "gazelle"), (0.36, 0.34, "wolf"), (math.inf, 0.38, "bear"))


def side_view_results(runner: Runner, *, language: str) -> dict[str, Any]:
    """The `biomechanical_analysis` of a side view."""
    return side_assessment(side_measures(runner), language=language)


def side_assessment(measures: SideMeasures, *, language: str) -> dict[str, Any]:
    """The `biomechanical_analysis` of a side view whose measures are known."""
    runner, texts = measures.runner, texts_for(language)
    content = {name: _side_item(name, value, texts) for name, value in _side_values(measures).items()}
    content["foot"]["foot_strike_pattern"] = runner.foot_strike_pattern
    content["foot"]["texts"]["overstride_title"] = texts.overstride
    return {
        "analysis_content": content,
        "running_styles": _running_style(runner, texts),
        "total_score": _total(content.values()),
    }


def _side_values(measures: SideMeasures) -> dict[str, float]:
    """The value of each scored part, degrees."""
    return {
        "arm": mean(angle["mean"] for angle in measures.joint_angles["elbow"].values()),
        "back_cycle": measures.back_knee,
        "foot": measures.overstride,
        "forward_cycle": measures.peak_thigh_angle,
        "head": measures.runner.head_tilt,
        "trunk": measures.runner.trunk_lean,
    }


def back_view_results(runner: Runner, *, language: str, full_body: bool) -> dict[str, Any]:
    """The `biomechanical_analysis` of a back view; without `full_body` only pronation."""
    texts = texts_for(language)
    content = {
        name: {side.name: _back_item(name, getattr(side.leg(runner), name), side.name, texts) for side in SIDES}
        for name in back_parts(full_body)
    }
    return {
        "analysis_content": content,
        "total_score": _total(item for sides in content.values() for item in sides.values()),
    }


def back_parts(full_body: bool) -> tuple[str, ...]:
    """The scored parts of a back view."""
    return tuple(BACK_PARTS) if full_body else ("pronation",)


def _total(items: Iterable[Mapping[str, Any]]) -> float:
    return round(mean(item["score_number"] for item in items), 3)


def _side_item(name: str, value: float, texts: ResultTexts) -> dict[str, Any]:
    part = SIDE_PARTS[name]
    item = _item(name, part, value, texts)
    item["texts"]["exercice"] = list(part.exercises_for(part.verdict(value)))
    return item


def _back_item(name: str, value: float, side: str, texts: ResultTexts) -> dict[str, Any]:
    part = BACK_PARTS[name]
    item = _item(name, part, value, texts)
    item["range_bad"] = list(part.bad)
    item["texts"] |= {"explanation": texts.explanations[name], "side": side}
    return item


def _item(name: str, part: ScoredPart, value: float, texts: ResultTexts) -> dict[str, Any]:
    verdict = part.verdict(value)
    return {
        "score_number": round(part.score(value), 3),
        "range_good": list(part.good),
        "range_okay": list(part.okay),
        "texts": {
            "title": texts.title(name),
            "position": texts.position(name, part.position(value)),
            "recap": [texts.recaps[verdict.name]],
            "search_key": part.search_key(verdict),
        },
    }


def _running_style(runner: Runner, texts: ResultTexts) -> dict[str, Any]:
    duty_factor = runner.duty_factor
    typical, animal = next((typical, animal) for limit, typical, animal in _STYLES if duty_factor < limit)
    title, summary = texts.styles[animal]
    similarity = max(0.5, 1 - 10 * abs(duty_factor - typical))
    return {"title": title, "animal": animal, "percentage": round(100 * similarity), "summary": summary}
