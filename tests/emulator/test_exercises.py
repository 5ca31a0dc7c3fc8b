"""Exercises are found by the keys that results name."""

from __future__ import annotations

import pytest

from ochy_async.emulator.exercises import EXERCISE_KEYS, find_exercises


@pytest.mark.parametrize("key", EXERCISE_KEYS)
def test_each_key_has_exercises(key: str) -> None:
    """A good part gets one exercise, any other two."""
    assert len(find_exercises([key], language="en")) == (1 if key.endswith("G") else 2)


def test_unknown_key_gives_nothing() -> None:
    """Keys that no text names are passed over."""
    assert find_exercises(["Nonsense", "headg", ""], language="en") == []


def test_exercise_is_given_once() -> None:
    """Keys that share an exercise do not double it."""
    titles = [exercise["title"] for exercise in find_exercises(["HeadG", "HeadB", "HeadG"], language="en")]
    assert titles == ["Chin tucks", "Run with your eyes on the horizon"]


def test_exercise_shape() -> None:
    """An exercise says what to do, how hard, how often, and shows it at an address that leads nowhere."""
    for exercise in find_exercises(EXERCISE_KEYS, language="fr"):
        assert exercise["kind"] == "exercise"
        assert exercise["exercise_format"] in {"duration", "repetition"}
        assert ("effort_per_rep" in exercise) == (exercise["exercise_format"] == "duration")
        assert all(link.startswith("https://media.example.invalid/") for link in exercise["media"].values())
