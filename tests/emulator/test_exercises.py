"""Exercises are found by the search keys in results."""

from __future__ import annotations

import pytest

from ochy_async.emulator.exercises import EXERCISE_KEYS, find_exercises


@pytest.mark.parametrize("key", EXERCISE_KEYS)
def test_each_key_has_exercises(key: str) -> None:
    """A good score has one exercise, any other two."""
    assert len(find_exercises([key], language="en")) == (1 if key.endswith("G") else 2)


def test_an_unknown_key_has_no_exercises() -> None:
    """It is skipped."""
    assert find_exercises(["Unknown", "headg", ""], language="en") == []


def test_no_exercise_is_repeated() -> None:
    """Several keys can have the same exercise."""
    titles = [exercise["title"] for exercise in find_exercises(["HeadG", "HeadB", "HeadG"], language="en")]
    assert titles == ["Chin tucks", "Run with your eyes on the horizon"]


def test_the_fields_of_an_exercise() -> None:
    """Title, difficulty, effort, and media at a host that does not exist."""
    for exercise in find_exercises(EXERCISE_KEYS, language="fr"):
        assert exercise["kind"] == "exercise"
        assert exercise["exercise_format"] in {"duration", "repetition"}
        assert ("effort_per_rep" in exercise) == (exercise["exercise_format"] == "duration")
        assert all(link.startswith("https://media.example.invalid/") for link in exercise["media"].values())
