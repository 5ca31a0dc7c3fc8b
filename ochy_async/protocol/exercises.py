"""Exercises for the search keys of an assessment. The API answers in English for an unknown language (documented)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InvalidRequest, Problem
from .answer import Answer, answer_class
from .call import Call
from .converter import structure
from .drift import mismatch
from .routes import EXERCISES
from .text_summary import display_text, format_number
from .wire import Request

__all__ = ["EffortPerRep", "Exercise", "ExerciseMedia", "exercises_call"]


@answer_class
class EffortPerRep(Answer):
    """The duration of one repetition. Source: documented, in the newest documentation."""

    min_ms: float | None = None
    """ms."""
    max_ms: float | None = None
    """ms."""


@answer_class
class ExerciseMedia(Answer):
    """Links to pictures and videos of an exercise. Source: documented, in the newest documentation."""

    image: str | None = None
    video: str | None = None
    video_portrait: str | None = None


@answer_class
class Exercise(Answer):
    """One exercise. Source: documented, in the newest documentation; each key may be missing."""

    title: str | None = None
    kind: str | None = None
    """`exercise`; an open set."""
    difficulty: str | None = None
    """`easy`, `medium`, …; an open set."""
    exercise_format: str | None = None
    """`duration`, or a format for repetitions whose name is not documented; an open set."""
    effort_per_rep: EffortPerRep | None = None
    number_of_series: float | None = None
    media: ExerciseMedia | None = None

    def _summary(self) -> Iterator[str]:
        series = "" if self.number_of_series is None else f", {format_number(self.number_of_series)} series"
        details = f"{display_text(self.difficulty, 16)}{series}"
        yield f"{display_text(self.kind or 'exercise')}: {display_text(self.title)} ({details})"


def exercises_call(search_keys: Sequence[str], *, language: str = "en") -> Call[tuple[Exercise, ...]]:
    """The exercises for `search_keys`. Repeatable: the POST only queries."""
    keys = tuple(search_keys) if isinstance(search_keys, Sequence) and not isinstance(search_keys, str) else ()
    if not keys or not all(isinstance(each, str) and each for each in keys):
        problem = Problem("search_keys", "must be a list of at least one non-empty text")
        raise InvalidRequest.of("exercises", (problem,))
    body = {"search_keys": list(keys), "language": language}
    return Call(Request(EXERCISES, EXERCISES.path(), json=body), _exercises, "Exercise", repeatable=True)


def _exercises(body: Any) -> tuple[Exercise, ...]:
    if isinstance(body, dict) and isinstance(body.get("exercises"), list):
        body = body["exercises"]
    if not isinstance(body, list):
        raise mismatch("a list", body)
    return structure(body, tuple[Exercise, ...])
