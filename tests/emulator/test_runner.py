"""The simulated runner: a body, a gait, and consistent results."""

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
def test_the_seed_determines_the_runner(result: Callable[[Runner], Any]) -> None:
    """And every result of it."""
    assert make_runner() == make_runner()
    assert result(make_runner()) == result(make_runner())


@every_result
def test_another_seed_is_another_runner(result: Callable[[Runner], Any]) -> None:
    """Even at the same pace."""
    assert result(make_runner(b"one")) != result(make_runner(b"two"))


@given(runners)
def test_the_step_length_is_speed_divided_by_cadence(runner: Runner) -> None:
    """Speed, cadence and step length are consistent."""
    assert runner.step_length == pytest.approx(runner.speed * 60 / runner.cadence)


@given(runners)
def test_contact_and_flight_are_a_step(runner: Runner) -> None:
    """And there is always a flight phase in running."""
    assert runner.contact_time + runner.flight_time == pytest.approx(60_000 / runner.cadence)
    assert runner.flight_time > 0
    assert runner.duty_factor == pytest.approx(runner.contact_time / (2 * 60_000 / runner.cadence))


@given(st.binary(max_size=16))
def test_without_a_pace_the_speed_is_drawn(seed: bytes) -> None:
    """Between a jog and a brisk run."""
    assert 2.4 <= make_runner(seed, None).speed <= 4.5


@pytest.mark.parametrize(("pace", "speed"), [("05:00", 1000 / 300), ("03:20", 5.0), ("08:20", 2.0)])
def test_the_pace_determines_the_speed(pace: str, speed: float) -> None:
    """For every seed."""
    assert make_runner(b"one", pace).speed == make_runner(b"two", pace).speed == pytest.approx(speed)


@pytest.mark.parametrize("pace", ["", "5:00", "05-00", "05:0", "00:00", "0a:00", "05:00:00", "-1:00"])
def test_an_invalid_pace_is_an_error(pace: str) -> None:
    """A pace is MM:SS and more than 00:00."""
    with pytest.raises(ValueError, match="MM:SS"):
        make_runner(pace=pace)


@pytest.mark.parametrize(("height", "weight"), [(0, 70), (-1.7, 70), (1.7, 0), (math.nan, 70)])
def test_an_invalid_body_is_an_error(height: float, weight: float) -> None:
    """Height and weight must be above 0."""
    with pytest.raises(ValueError, match="above 0"):
        runner_of(b"", height=height, weight=weight, pace=None)


@pytest.mark.parametrize("pace", ["00:01", "01:00", "99:99", None])
@pytest.mark.parametrize("height", [0.2, 1.75, 175])
@every_result
def test_extreme_values_have_finite_results(result: Callable[[Runner], Any], pace: str | None, height: float) -> None:
    """The API accepts extreme bodies and paces, so the model must too."""
    json.dumps(result(runner_of(b"odd", height=height, weight=70, pace=pace)), allow_nan=False)


def test_both_legs_differ_a_little() -> None:
    """They are similar but not equal."""
    runner = make_runner()
    assert runner.left != runner.right
    assert runner.left.pronation == pytest.approx(runner.right.pronation, abs=3)


# JSON


@every_result
def test_results_are_json(result: Callable[[Runner], Any]) -> None:
    """A result is the same after encoding and decoding."""
    encoded = result(make_runner())
    assert json.loads(json.dumps(encoded, allow_nan=False)) == encoded
