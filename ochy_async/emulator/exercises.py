"""Exercises for the search keys in the texts of results.

Invariant: pure, and every search key that results can contain has exercises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .scores import BACK_PARTS, SIDE_PARTS, VERDICTS
from .texts import texts_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .texts import ResultTexts

__all__ = ["EXERCISE_KEYS", "find_exercises"]

_EXERCISES_FOR: Mapping[str, tuple[str, ...]] = {
    part.search_key(verdict): part.exercises_for(verdict)
    for part in (*SIDE_PARTS.values(), *BACK_PARTS.values())
    for verdict in VERDICTS
}

EXERCISE_KEYS: tuple[str, ...] = tuple(_EXERCISES_FOR)
"""Every search key that results can contain."""

# Exercise -> (difficulty, number of series, format, seconds or repetitions in a series).
_EFFORTS: Mapping[str, tuple[str, int, str, int]] = {
    "bi_reinforcement": ("easy", 3, "repetition", 12),
    "arm_swing_seated": ("easy", 3, "duration", 30),
    "heel_flicks": ("medium", 3, "duration", 20),
    "hamstring_bridge": ("medium", 3, "repetition", 10),
    "quick_feet": ("medium", 4, "duration", 15),
    "calf_raise": ("easy", 3, "repetition", 15),
    "high_knees": ("medium", 3, "duration", 20),
    "hip_flexor_march": ("easy", 3, "repetition", 12),
    "chin_tuck": ("easy", 2, "repetition", 10),
    "gaze_run": ("easy", 2, "duration", 60),
    "plank": ("medium", 3, "duration", 40),
    "wall_lean": ("easy", 3, "duration", 30),
    "side_lying_lift": ("easy", 3, "repetition", 15),
    "single_leg_squat": ("hard", 3, "repetition", 8),
    "hip_hike": ("medium", 3, "repetition", 12),
    "side_plank": ("medium", 3, "duration", 30),
    "short_foot": ("easy", 3, "duration", 20),
    "towel_curl": ("easy", 3, "repetition", 15),
}


def find_exercises(search_keys: Sequence[str], *, language: str) -> list[dict[str, Any]]:
    """The exercises for these keys, each once, in the order of the keys.

    A good score has one exercise, any other two, an unknown key none. A language without texts gets English ones.
    """
    names = dict.fromkeys(name for key in search_keys for name in _EXERCISES_FOR.get(key, ()))
    return [_exercise(name, texts_for(language)) for name in names]


def _exercise(name: str, texts: ResultTexts) -> dict[str, Any]:
    difficulty, series, form, amount = _EFFORTS[name]
    effort: Mapping[str, Mapping[str, Any]] = {
        "duration": {"effort_per_rep": {"min_ms": 1000 * amount, "max_ms": 1500 * amount}},
        "repetition": {"number_of_reps": amount},
    }
    base = f"https://media.example.invalid/exercises/{name}"
    return {
        "title": texts.exercises[name],
        "kind": "exercise",
        "difficulty": difficulty,
        "exercise_format": form,
        **effort[form],
        "number_of_series": series,
        "media": {"image": f"{base}.jpg", "video": f"{base}.mp4", "video_portrait": f"{base}-portrait.mp4"},
    }
