"""The made-up runner: one body, one gait, and answers that agree with both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.emulator.biomechanics.runner import Runner, runner_of
from tests.support.simulated_runners import every_result, make_runner, runners


@every_result
def test_same_seed_same_runner(answer: Callable[[Runner], Any]) -> None:
    """A seed fixes the runner and every answer about it."""
    assert make_runner() == make_runner()
    assert answer(make_runner()) == answer(make_runner())


@every_result
def test_other_seed_other_runner(answer: Callable[[Runner], Any]) -> None:
    """Another seed is somebody else, even at the same pace."""
    assert answer(make_runner(b"one")) != answer(make_runner(b"two"))


@given(runners)
def test_step_length_is_speed_over_cadence(runner: Runner) -> None:
    """Speed, cadence and step length are one fact said in three numbers."""
    assert runner.step_length == pytest.approx(runner.speed * 60 / runner.cadence)


@given(runners)
def test_contact_and_flight_make_a_step(runner: Runner) -> None:
    """A step is a contact and a flight, and in running there is always a flight."""
    assert runner.contact_time + runner.flight_time == pytest.approx(60_000 / runner.cadence)
    assert runner.flight_time > 0
    assert runner.duty_factor == pytest.approx(runner.contact_time / (2 * 60_000 / runner.cadence))


@given(st.binary(max_size=16))
def test_speed_is_drawn_when_no_pace_is_given(seed: bytes) -> None:
    """Without a pace the speed is that of a jog to a brisk run."""
    assert 2.4 <= make_runner(seed, None).speed <= 4.5


@pytest.mark.parametrize(("pace", "speed"), [("05:00", 1000 / 300), ("03:20", 5.0), ("08:20", 2.0)])
def test_pace_fixes_the_speed(pace: str, speed: float) -> None:
    """A pace handed in is a speed, whoever runs it."""
    assert make_runner(b"one", pace).speed == make_runner(b"two", pace).speed == pytest.approx(speed)


@pytest.mark.parametrize("pace", ["", "5:00", "05-00", "05:0", "00:00", "0a:00", "05:00:00", "-1:00"])
def test_pace_that_cannot_be_run_is_refused(pace: str) -> None:
    """A pace is MM:SS and more than nothing."""
    with pytest.raises(ValueError, match="MM:SS"):
        make_runner(pace=pace)


@pytest.mark.parametrize(("height", "weight"), [(0, 70), (-1.7, 70), (1.7, 0), (math.nan, 70)])
def test_body_that_cannot_be_is_refused(height: float, weight: float) -> None:
    """A body has a height and a weight."""
    with pytest.raises(ValueError, match="above 0"):
        runner_of(b"", height=height, weight=weight, pace=None)


@pytest.mark.parametrize("pace", ["00:01", "01:00", "99:99", None])
@pytest.mark.parametrize("height", [0.2, 1.75, 175])
@every_result
def test_nonsense_is_answered_all_the_same(answer: Callable[[Runner], Any], pace: str | None, height: float) -> None:
    """The API takes odd bodies and paces, so the model answers them with finite numbers."""
    json.dumps(answer(runner_of(b"odd", height=height, weight=70, pace=pace)), allow_nan=False)


def test_legs_are_alike_yet_not_the_same() -> None:
    """The two legs of a runner differ a little."""
    runner = make_runner()
    assert runner.left != runner.right
    assert runner.left.pronation == pytest.approx(runner.right.pronation, abs=3)


# Whatever is said about it


@every_result
def test_answers_are_json(answer: Callable[[Runner], Any]) -> None:
    """An answer survives the wire unchanged."""
    said = answer(make_runner())
    assert json.loads(json.dumps(said, allow_nan=False)) == said
