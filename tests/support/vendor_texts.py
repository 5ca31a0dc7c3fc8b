"""Texts like the vendor's in each of its nine languages, with the long words of each. The emulator has two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Final

__all__ = ["TEXTS", "in_language"]

TEXTS: Final[dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8"),
)
"""By language: `titles` and `positions` of three parts, a `recap` of two lines, an `explanation`, a running `style`."""


def in_language(line: dict[str, Any], language: str) -> dict[str, Any]:
    """The line of `results.jsonl`, whose request asked for the language, with texts in it."""
    texts, analysis = TEXTS[language], line["results"]["biomechanical_analysis"]
    line["language"] = language
    for part, title, position in zip(
        _parts(analysis["analysis_content"]), cycle(texts["titles"]), cycle(texts["positions"]), strict=False
    ):
        known = part["texts"]
        new = {"title": title, "position": position, "recap": texts["recap"], "explanation": texts["explanation"]}
        part["texts"] = {**known, **{name: text for name, text in new.items() if name in known}}
    if "running_styles" in analysis:
        style = {"title": texts["style"], "summary": texts["explanation"]}
        analysis["running_styles"] = {**analysis["running_styles"], **style}
    return line


def _parts(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All assessed parts, also those of the legs."""
    for value in content.values():
        if isinstance(value, dict):
            if "texts" in value:
                yield value
            yield from _parts(value)
