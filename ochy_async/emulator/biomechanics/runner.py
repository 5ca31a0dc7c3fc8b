"""A made-up runner: a body and a gait in numbers, on which every answer about it is measured.

Invariant: pure, and the numbers agree with each other. All are invented and fit for no one's body: they
resemble running, they measure nobody. Everything is a function of the arguments; chance comes from a hash of the seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..seeded_random import bounded_normal, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SIDES", "Leg", "Runner", "Side", "runner_of", "strike_pattern"]


@frozen
class Leg:
    """What one leg does in its own way, in degrees."""

    strike_angle: float  # foot against the ground at touchdown; positive = toes up
    pronation: float  # inward roll of the foot, mean of a stance
    knee_adduction: float  # inward deviation of the knee, mean of a stance
    pelvic_drop: float  # how far the other hip sinks, mean of a stance of this leg


@frozen
class Runner:
    """The body and the gait of one made-up runner; all numbers agree with each other."""

    seed: bytes = field(repr=False)  # where the small differences from step to step come from
    height: float  # m
    weight: float  # kg
    speed: float  # m/s
    cadence: float  # steps/min, a whole number
    contact_time: float  # ms one foot is on the ground, a whole number
    reach: float  # share of the way on the ground that lies before the hips
    touchdown_knee: float  # degrees of knee flexion at touchdown with a flat foot; sets how high the hips ride
    knee_fold: float  # degrees of knee flexion at its peak in swing
    thigh_lift: float  # degrees the thigh swings beyond where it touches down
    elbow_angle: float  # degrees, inner angle, mean of a stride
    trunk_lean: float  # degrees forward
    head_tilt: float  # degrees forward of the trunk's line
    start_phase: float  # where in the left stride the clip begins
    left: Leg
    right: Leg

    @property
    def step_time(self) -> float:
        """Time from one foot's touchdown to the other's, ms: contact + flight."""
        return 60_000 / self.cadence

    @property
    def step_length(self) -> float:
        """Way from one foot's touchdown to the other's, m."""
        return self.speed * 60 / self.cadence

    @property
    def flight_time(self) -> float:
        """Time in the air in each step, ms."""
        return self.step_time - self.contact_time

    @property
    def duty_factor(self) -> float:
        """Share of a stride that one foot is on the ground, below 0.5 in running."""
        return self.contact_time / (2 * self.step_time)

    @property
    def strike_pattern(self) -> str:
        """Which part of the foot lands first: `rearfoot`, `midfoot` or `forefoot`."""
        return strike_pattern((self.left.strike_angle + self.right.strike_angle) / 2)


@frozen
class Side:
    """One half of a runner: what tells its limbs from those of the other half."""

    name: str
    sign: float  # of this side's offsets from the middle line
    lag: float  # of this leg's phase against the left one's
    leg: Callable[[Runner], Leg]
    other: Callable[[Runner], Leg]

    def phase(self, left_phase: float) -> float:
        """The share of a stride since this foot's touchdown."""
        return (left_phase + self.lag) % 1


SIDES = (
    Side("left", 1.0, 0.0, lambda runner: runner.left, lambda runner: runner.right),
    Side("right", -1.0, 0.5, lambda runner: runner.right, lambda runner: runner.left),
)

# Foot strike angle (degrees) from which a landing is called so, after Altman and Davis (2012).
_STRIKES = ((8.0, "rearfoot"), (-1.6, "midfoot"), (-math.inf, "forefoot"))


def strike_pattern(strike_angle: float) -> str:
    """Which part of a foot lands first at this angle: `rearfoot`, `midfoot` or `forefoot`."""
    return next(name for lowest, name in _STRIKES if strike_angle >= lowest)


# Name -> (mean, spread): what is drawn alike for slow and fast, tall and short. A draw stays within three spreads.
_POSTURE: Mapping[str, tuple[float, float]] = {
    "reach": (0.345, 0.014),
    "touchdown_knee": (18.0, 2.0),
    "thigh_lift": (8.0, 1.5),
    "elbow_angle": (84.0, 5.0),
    "trunk_lean": (6.5, 2.2),
    "head_tilt": (5.0, 4.0),
}
_LEG: Mapping[str, tuple[float, float]] = {
    "strike_angle": (7.5, 5.5),
    "pronation": (4.8, 1.5),
    "knee_adduction": (2.9, 0.9),
    "pelvic_drop": (2.7, 0.8),
}
_OWN_SHARE = 0.3  # of a leg's deviation from the mean; the rest both legs share: limbs of one body are alike
_GROUND_COVERED = 0.5  # of the height: the most a planted foot can travel before the leg is straight at toe-off


def runner_of(seed: bytes, *, height: float, weight: float, pace: str | None) -> Runner:
    """Draw a runner of this height (m) and weight (kg); the same seed gives the same runner.

    A pace, MM:SS per km, fixes the speed; without one the speed is drawn between 2.4 and 4.5 m/s.
    Raises ValueError for a height or weight that is not above 0 and for a pace that cannot be run.
    """
    if not (height > 0 and weight > 0):
        raise ValueError(f"height (m) and weight (kg) must be above 0, not {height} and {weight}")
    speed = 2.4 + 2.1 * uniform("speed", seed) if pace is None else _speed_at(pace)
    cadence = _cadence(seed, height, speed)
    return Runner(
        seed=seed,
        height=height,
        weight=weight,
        speed=speed,
        cadence=cadence,
        contact_time=_contact_time(seed, height, weight, speed, cadence),
        knee_fold=min(125.0, 76 + 6 * speed + 8 * bounded_normal("knee_fold", seed)),
        start_phase=uniform("start_phase", seed),
        left=_leg(seed, "left"),
        right=_leg(seed, "right"),
        **{name: mean + spread * bounded_normal(name, seed) for name, (mean, spread) in _POSTURE.items()},
    )


def _leg(seed: bytes, side: str) -> Leg:
    def draw(name: str, mean: float, spread: float) -> float:
        shared, own = bounded_normal(name, seed), bounded_normal(f"{side}_{name}", seed)
        return mean + spread * ((1 - _OWN_SHARE) * shared + _OWN_SHARE * own)

    return Leg(**{name: draw(name, *spec) for name, spec in _LEG.items()})


def _cadence(seed: bytes, height: float, speed: float) -> float:
    """Faster and shorter runners take more steps: legs swing like pendulums, so the square root of their length."""
    natural = (134 + 11 * min(speed, 8.0) + 5 * bounded_normal("cadence", seed)) * math.sqrt(1.75 / height)
    return float(round(max(100, min(240, natural))))


def _contact_time(seed: bytes, height: float, weight: float, speed: float, cadence: float) -> float:
    """Heavier and slower runners stay longer on the ground, and nobody longer than the legs reach."""
    stoutness = weight / height**2 - 22  # kg/m²
    duty = 0.47 - 0.036 * speed + 0.001 * stoutness + 0.009 * bounded_normal("duty", seed)
    stride_time = 120_000 / cadence
    longest = 1000 * _GROUND_COVERED * height / speed
    return float(max(1, round(min(max(0.2, min(0.46, duty)) * stride_time, longest))))


def _speed_at(pace: str) -> float:
    minutes, colon, seconds = pace.partition(":")
    shaped = colon and len(minutes) == len(seconds) == 2 and (minutes + seconds).isdecimal()
    total = int(minutes) * 60 + int(seconds) if shaped else 0
    if not total:
        raise ValueError(f"pace must be MM:SS per km and more than 00:00, not {pace!r}")
    return 1000 / total
