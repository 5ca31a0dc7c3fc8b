"""A simulated runner: the numbers of a body and a gait, from which all results about the runner follow.

Simulated results from the built-in emulator. Do not base health or training decisions on them.

Invariant: pure, and the numbers are consistent with each other. Everything is a function of the arguments: random
draws are hashes of the seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..seeded_random import bounded_normal, uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SIDES", "Leg", "Runner", "Side", "foot_strike_pattern", "runner_of"]


@frozen
class Leg:
    """The angles that differ between both legs, degrees."""

    strike_angle: float  # foot strike angle: foot against the ground at touchdown; positive = toes up
    pronation: float  # inward roll of the foot, mean of a stance
    knee_adduction: float  # inward deviation of the knee, mean of a stance
    pelvic_drop: float  # drop of the opposite hip, mean of a stance of this leg


@frozen
class Runner:
    """The body and the gait of one simulated runner."""

    seed: bytes = field(repr=False)  # determines the variation from step to step
    height: float  # m
    weight: float  # kg
    speed: float  # m/s
    cadence: float  # steps/min, a whole number
    contact_time: float  # ground contact time of one foot, ms, a whole number
    reach: float  # share of the contact length that is in front of the hips
    touchdown_knee: float  # knee flexion at touchdown with a flat foot, degrees; determines the pelvis height
    peak_knee_flexion: float  # in swing, degrees
    thigh_lift: float  # peak thigh angle in swing beyond the angle at touchdown, degrees
    elbow_angle: float  # inner angle, degrees, mean of a stride
    trunk_lean: float  # degrees forward
    head_tilt: float  # degrees forward of the trunk
    start_phase: float  # phase of the left stride at which a clip begins
    left: Leg
    right: Leg

    @property
    def step_time(self) -> float:
        """Time from the touchdown of one foot to that of the other, ms: contact + flight."""
        return 60_000 / self.cadence

    @property
    def step_length(self) -> float:
        """Distance from the touchdown of one foot to that of the other, m."""
        return self.speed * 60 / self.cadence

    @property
    def flight_time(self) -> float:
        """Flight time of each step, ms."""
        return self.step_time - self.contact_time

    @property
    def duty_factor(self) -> float:
        """Share of a stride for which one foot is on the ground, below 0.5 in running."""
        return self.contact_time / (2 * self.step_time)

    @property
    def foot_strike_pattern(self) -> str:
        """The part of the foot that lands first: `rearfoot`, `midfoot` or `forefoot`."""
        return foot_strike_pattern((self.left.strike_angle + self.right.strike_angle) / 2)


@frozen
class Side:
    """The left or the right side of a runner."""

    name: str
    sign: float  # of offsets from the midline to this side
    lag: float  # phase of this leg minus that of the left leg
    leg: Callable[[Runner], Leg]
    other: Callable[[Runner], Leg]

    def phase(self, left_phase: float) -> float:
        """The share of a stride since the touchdown of this foot."""
        return (left_phase + self.lag) % 1

    @property
    def other_touchdown(self) -> float:
        """The phase of the left leg at which the foot of the other side touches down."""
        return (0.5 - self.lag) % 1


SIDES = (
    Side("left", 1.0, 0.0, lambda runner: runner.left, lambda runner: runner.right),
    Side("right", -1.0, 0.5, lambda runner: runner.right, lambda runner: runner.left),
)

# Least foot strike angle (degrees) of each pattern, after Altman and Davis (2012).
_PATTERNS = ((8.0, "rearfoot"), (-1.6, "midfoot"), (-math.inf, "forefoot"))


def foot_strike_pattern(strike_angle: float) -> str:
    """The part of the foot that lands first at this foot strike angle: `rearfoot`, `midfoot` or `forefoot`."""
    return next(name for lowest, name in _PATTERNS if strike_angle >= lowest)


# Name -> (mean, standard deviation) of what does not depend on speed or height. Draws stay within three deviations.
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
_OWN_SHARE = 0.3  # of a leg's deviation from the mean; both legs share the rest, since the legs of one body are alike
_MAX_CONTACT_LENGTH = 0.5  # of the height: the leg is straight at toe-off then


def runner_of(seed: bytes, *, height: float, weight: float, pace: str | None) -> Runner:
    """Draws a runner of this height (m) and weight (kg); the same seed gives the same runner.

    A pace, MM:SS per km, determines the speed; without one the speed is drawn between 2.4 and 4.5 m/s.
    Raises ValueError for a height or weight that is not above 0 and for an invalid pace.
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
        peak_knee_flexion=min(125.0, 83 + 6 * speed + 8 * bounded_normal("knee_fold", seed)),
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
    """Faster and shorter runners have a higher cadence: legs swing like pendulums, whose period grows as √length."""
    natural = (134 + 11 * min(speed, 8.0) + 5 * bounded_normal("cadence", seed)) * math.sqrt(1.75 / height)
    return float(round(max(100, min(240, natural))))


def _contact_time(seed: bytes, height: float, weight: float, speed: float, cadence: float) -> float:
    """Heavier and slower runners have a longer contact time, up to what the length of the legs allows."""
    excess_bmi = weight / height**2 - 22  # kg/m²
    duty = 0.47 - 0.036 * speed + 0.001 * excess_bmi + 0.009 * bounded_normal("duty", seed)
    stride_time = 120_000 / cadence
    longest = 1000 * _MAX_CONTACT_LENGTH * height / speed
    return float(max(1, round(min(max(0.2, min(0.46, duty)) * stride_time, longest))))


def _speed_at(pace: str) -> float:
    minutes, colon, seconds = pace.partition(":")
    well_formed = colon and len(minutes) == len(seconds) == 2 and (minutes + seconds).isdecimal()
    total = int(minutes) * 60 + int(seconds) if well_formed else 0
    if not total:
        raise ValueError(f"pace must be MM:SS per km and more than 00:00, not {pace!r}")
    return 1000 / total
