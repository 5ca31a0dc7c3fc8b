"""A made-up runner is one body with one gait, and every answer about it is measured on that one gait.

A small kinematic model: planar two-link legs under bobbing hips, feet planted on a belt, arms against legs. The
emulator reads its scores, metrics, joint angles and landmarks off it, so they agree with each other.

All numbers are invented and fit for no one's body: they resemble running, they measure nobody. Everything is a
function of the arguments; chance comes from a hash of the seed. Texts exist in English and French; the other
languages of the API, and unknown ones, are answered in English.

Inside: metres, seconds, radians, with the axes (forward, left, up), the origin on the ground beneath the hips.
`phase` is the share of a stride since a foot's touchdown. In answers: the API's units.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "ASSUMED",
    "EXERCISE_KEYS",
    "LANDMARKS",
    "Leg",
    "Runner",
    "back_view_calculated",
    "back_view_results",
    "exercises",
    "raw_data",
    "runner_of",
    "side_view_calculated",
    "side_view_results",
]

ASSUMED: tuple[tuple[str, str], ...] = (
    ("results.running_styles", "one object, not a list; `percentage` is a whole number 0-100"),
    ("results.*.texts.search_key", "the part's name + G (good), O (okay) or B (bad), in the back view as well"),
    ("results.foot", "scored by the overstride angle; the pattern is that of the mean foot strike angle"),
    ("results.back_view, full_body=false", "the other two parts are absent, not null"),
    ("results.back_view.range_*", "one pair each, degrees, side by side from good to bad"),
    ("results.back_view.texts.side", "`left` or `right` in every language"),
    ("calculated.metrics.duty_factor", "this key; 0-1, contact time over the time of a stride"),
    ("calculated.metrics.pace_min_per_km", "M.SSs with the tenth rounded up, which is what the sample shows"),
    ("calculated.overstride", "shin against the vertical at touchdown, mean of both legs; good, okay or bad"),
    ("calculated.foot_landing", "a list of {step, side, landing}, left first"),
    (
        "calculated.joint_angles",
        "joint -> side -> {min, max, mean} of the inner angle in the sagittal plane; 180 = straight",
    ),
    ("calculated.gait_cycle", "side -> {stance_mean: {part: degrees}, steps: [{step, part: degrees}]}"),
    ("calculated.gait_cycle, signs", "positive = foot rolling inwards, knee inwards, free hip lower"),
    ("raw_data.video_input_information", "{width, height, fps, duration (s), frame_count}"),
    ("raw_data.frames", "keys from 0 without gaps; every landmark in every frame, by MediaPipe's names"),
    ("raw_data.frames.*", "{x, y, z, score}; pixels from the top left corner, z grows away from the camera"),
    ("raw_data, direction", "side view: towards the right, kept in the middle; back view: away from the camera"),
    ("exercises", "no exercise twice; unknown keys skipped; `repetition` has `number_of_reps`, no effort_per_rep"),
)


# The runner ──────────────────────────────────────────────────────────────────────────────────────────────────────────


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
        return _strike_pattern((self.left.strike_angle + self.right.strike_angle) / 2)


def runner_of(seed: bytes, *, height: float, weight: float, pace: str | None) -> Runner:
    """Draw a runner of this height (m) and weight (kg); the same seed gives the same runner.

    A pace, MM:SS per km, fixes the speed; without one the speed is drawn between 2.4 and 4.5 m/s.
    Raises ValueError for a height or weight that is not above 0 and for a pace that cannot be run.
    """
    if not (height > 0 and weight > 0):
        raise ValueError(f"height (m) and weight (kg) must be above 0, not {height} and {weight}")
    speed = 2.4 + 2.1 * _even(seed, "speed") if pace is None else _speed_at(pace)
    cadence = _cadence(seed, height, speed)
    return Runner(
        seed=seed,
        height=height,
        weight=weight,
        speed=speed,
        cadence=cadence,
        contact_time=_contact_time(seed, height, weight, speed, cadence),
        knee_fold=min(125.0, 76 + 6 * speed + 8 * _bell(seed, "knee_fold")),
        start_phase=_even(seed, "start_phase"),
        left=_leg(seed, "left"),
        right=_leg(seed, "right"),
        **{name: mean + spread * _bell(seed, name) for name, (mean, spread) in _POSTURE.items()},
    )


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


def _leg(seed: bytes, side: str) -> Leg:
    def draw(name: str, mean: float, spread: float) -> float:
        shared, own = _bell(seed, name), _bell(seed, f"{side}_{name}")
        return mean + spread * ((1 - _OWN_SHARE) * shared + _OWN_SHARE * own)

    return Leg(**{name: draw(name, *spec) for name, spec in _LEG.items()})


def _cadence(seed: bytes, height: float, speed: float) -> float:
    """Faster and shorter runners take more steps: legs swing like pendulums, so the square root of their length."""
    natural = (134 + 11 * min(speed, 8.0) + 5 * _bell(seed, "cadence")) * math.sqrt(1.75 / height)
    return float(round(_clamp(natural, 100, 240)))


def _contact_time(seed: bytes, height: float, weight: float, speed: float, cadence: float) -> float:
    """Heavier and slower runners stay longer on the ground, and nobody longer than the legs reach."""
    stoutness = weight / height**2 - 22  # kg/m²
    duty = 0.47 - 0.036 * speed + 0.001 * stoutness + 0.009 * _bell(seed, "duty")
    stride_time = 120_000 / cadence
    longest = 1000 * _GROUND_COVERED * height / speed
    return float(max(1, round(min(_clamp(duty, 0.2, 0.46) * stride_time, longest))))


def _speed_at(pace: str) -> float:
    minutes, colon, seconds = pace.partition(":")
    shaped = colon and len(minutes) == len(seconds) == 2 and (minutes + seconds).isdecimal()
    total = int(minutes) * 60 + int(seconds) if shaped else 0
    if not total:
        raise ValueError(f"pace must be MM:SS per km and more than 00:00, not {pace!r}")
    return 1000 / total


# Foot strike angle (degrees) from which a landing is called so, after Altman and Davis (2012).
_STRIKES = ((8.0, "rearfoot"), (-1.6, "midfoot"), (-math.inf, "forefoot"))


def _strike_pattern(strike_angle: float) -> str:
    return next(name for lowest, name in _STRIKES if strike_angle >= lowest)


# Chance ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
# Each draw has a name rather than a place in a row, so that a new one leaves all others as they were.


def _thirds(seed: bytes, name: str) -> tuple[float, float, float]:
    digest = sha256(name.encode() + b"\0" + seed).digest()
    first, second, third = (int.from_bytes(digest[at : at + 6]) / 2**48 for at in (0, 6, 12))
    return first, second, third


def _even(seed: bytes, name: str) -> float:
    """Evenly from 0 to 1."""
    return _thirds(seed, name)[0]


def _bell(seed: bytes, name: str) -> float:
    """Bell-shaped about 0 with deviation 1, and never beyond 3: the sum of three even draws."""
    return 2 * sum(_thirds(seed, name)) - 3


def _around(mean: float, spread: float, seed: bytes, name: str) -> list[float]:
    """Values of successive steps whose mean is `mean`."""
    wobble = [spread * _bell(seed, f"{name}_{step}") for step in range(_STEPS)]
    drift = sum(wobble) / _STEPS
    return [mean + value - drift for value in wobble]


_STEPS = 6  # steps of each leg in step-by-step data


def _clamp(value: float, lowest: float, highest: float) -> float:
    return max(lowest, min(highest, value))


# Standing on the belt ────────────────────────────────────────────────────────────────────────────────────────────────

_GROUND_COVERED = 0.5  # of the height: the most a planted foot can travel before the leg is straight at toe-off
_PUSH = math.radians(62)  # foot against the ground at toe-off, heel up
_FLAT, _HEEL_OFF = 0.2, 0.45  # shares of the contact: the foot is flat from, until
_GRAVITY = 9.81  # m/s²

Plane = tuple[float, float]  # forward, up
Space = tuple[float, float, float]  # forward, left, up


@frozen
class _Body:
    """Lengths of a body, m. The defaults are those of a body of 1 m: shares of the height, near Winter's table."""

    thigh: float = 0.245
    shank: float = 0.246
    ankle: float = 0.039  # above the sole
    heel: float = 0.035  # behind the ankle
    toe: float = 0.085  # before the ankle
    trunk: float = 0.288
    neck: float = 0.115
    upper_arm: float = 0.186
    forearm: float = 0.146
    hand: float = 0.05
    hip: float = 0.05  # beside the middle line
    shoulder: float = 0.11  # beside the middle line
    track: float = 0.016  # footprint beside the middle line


def _body(height: float) -> _Body:
    shares = _Body()
    return _Body(*(height * getattr(shares, name) for name in _LENGTHS))


_LENGTHS = tuple(_Body.__annotations__)


@frozen
class _Joints:
    """A leg's joints, rad: the thigh forward of the vertical, the knee's flexion, the toes' lift against the shin."""

    thigh: float
    knee: float
    ankle: float

    @property
    def shin(self) -> float:
        """The shin forward of the vertical."""
        return self.thigh - self.knee

    @property
    def foot(self) -> float:
        """The foot against the ground, toes up."""
        return self.shin + self.ankle


@frozen
class _Gait:
    """A runner with what follows from it for the whole stride: m and rad."""

    runner: Runner
    body: _Body
    duty: float
    contact_length: float  # way of the planted foot
    hip_height: float  # mean
    bob: float  # hips above and below the mean

    def hips(self, phase: float) -> float:
        """Height of the middle of the hips: twice a stride down (in mid-stance) and up (in mid-flight)."""
        return self.hip_height - self.bob * math.cos(4 * math.pi * (phase - self.duty / 2))

    def loading(self, phase: float) -> float:
        """How a standing leg is borne down on: 0 at touchdown, at toe-off and in swing; 1 in the mean of a stance."""
        return 1 - math.cos(math.tau * phase / self.duty) if phase < self.duty else 0.0

    def hip(self, side: _Side, phase: float) -> float:
        """Height of one hip at its own leg's phase: the pelvis tilts away from the leg that stands."""
        other = (phase + 0.5) % 1
        own_drop = side.leg(self.runner).pelvic_drop * self.loading(phase)
        other_drop = side.other(self.runner).pelvic_drop * self.loading(other)
        return self.hips(phase) + self.body.hip * math.sin(math.radians(own_drop - other_drop))


def _gait(runner: Runner) -> _Gait:
    body = _body(runner.height)
    duty = runner.duty_factor
    contact_length = runner.speed * runner.contact_time / 1000
    # A body that flies freely falls with g; a sine that peaks with g is the simplest bob that knows it.
    bob = min(_GRAVITY * (runner.step_time / 1000 / math.tau) ** 2, 0.02 * runner.height)
    knee = math.cos(math.radians(runner.touchdown_knee))
    leg = body.thigh**2 + body.shank**2 + 2 * body.thigh * body.shank * knee
    reach = min(runner.reach * contact_length, 0.3 * runner.height)
    hips = body.ankle + math.sqrt(leg - reach**2)
    return _Gait(runner, body, duty, contact_length, hips + bob * math.cos(math.tau * duty), bob)


def _stance(gait: _Gait, side: _Side, phase: float) -> _Joints:
    """Joints that keep the foot where the belt carries it."""
    strike = math.radians(side.leg(gait.runner).strike_angle)
    foot = _planted_pitch(strike, phase / gait.duty)
    ankle = _planted_ankle(gait, foot, phase / gait.duty)
    return _leg_to(gait, ankle, gait.hip(side, phase), foot)


def _leg_to(gait: _Gait, ankle: Plane, hip: float, foot: float) -> _Joints:
    """Joints that bring the ankle there, beneath a hip of this height, with this pitch of the foot."""
    thigh, knee = _two_links(gait.body.thigh, gait.body.shank, (ankle[0], ankle[1] - hip))
    return _Joints(thigh, knee, foot - thigh + knee)


def _planted_pitch(strike: float, share: float) -> float:
    """The foot against the ground in the course of a contact: it lands, lies flat, and rolls over the toes."""
    landing = strike * (1 - _smooth(share / _FLAT))
    rolling = max(0.0, (share - _HEEL_OFF) / (1 - _HEEL_OFF))
    return landing - _PUSH * rolling**2


def _planted_ankle(gait: _Gait, foot: float, share: float) -> Plane:
    """The ankle of a foot that turns about its heel (toes up) or about its toes (heel up), which lie on the belt."""
    lever = -gait.body.heel if foot > 0 else gait.body.toe
    forward, up = _turned(-lever, gait.body.ankle, foot)
    return (gait.runner.reach - share) * gait.contact_length + lever + forward, up


def _two_links(upper: float, lower: float, goal: Plane) -> tuple[float, float]:
    """Angle of the upper link and flexion between both so that the end is at `goal`, or as near as the links reach."""
    far = _clamp(math.hypot(*goal), abs(upper - lower) + 0.02 * lower, 0.9995 * (upper + lower))
    inner = math.acos((upper**2 + lower**2 - far**2) / (2 * upper * lower))
    opening = math.acos((upper**2 + far**2 - lower**2) / (2 * upper * far))
    return math.atan2(goal[0], -goal[1]) + opening, math.pi - inner


def _turned(forward: float, up: float, angle: float) -> Plane:
    """A point turned about the origin, from forward towards up."""
    cos, sin = math.cos(angle), math.sin(angle)
    return forward * cos - up * sin, forward * sin + up * cos


def _smooth(share: float) -> float:
    share = _clamp(share, 0.0, 1.0)
    return share * share * (3 - 2 * share)


# Swinging ────────────────────────────────────────────────────────────────────────────────────────────────────────────

Knot = tuple[float, float, float]  # share of the swing, value, slope per swing
_FOLD_AT, _LIFT_AT = 0.5, 0.72  # shares of the swing: the knee is folded most, the thigh lifted most
_CLEARANCE = 0.01  # of the height: least room under a foot amid its swing
_TOES_UP = math.radians(12)  # the ankle's flexion when the foot passes the standing leg


@frozen
class _Swing:
    """Curves from toe-off, with the stance's own rates, to a rest just before touchdown: a landing is sudden."""

    thigh: tuple[Knot, ...]
    knee: tuple[Knot, ...]
    ankle: tuple[Knot, ...]

    def at(self, share: float) -> _Joints:
        """Joints at a share of the swing; a knee never bends backwards."""
        knee = max(0.02, _through(self.knee, share))
        return _Joints(_through(self.thigh, share), knee, _through(self.ankle, share))


def _swing(gait: _Gait, side: _Side) -> _Swing:
    moment = gait.duty / 1000
    strike, before, off = (_stance(gait, side, phase) for phase in (0.0, gait.duty - moment, gait.duty))
    per_swing = (1 - gait.duty) / moment
    lift, fold = (math.radians(degrees) for degrees in (gait.runner.thigh_lift, gait.runner.knee_fold))
    return _Swing(
        thigh=(
            (0.0, off.thigh, (off.thigh - before.thigh) * per_swing),
            (_LIFT_AT, strike.thigh + lift, 0.0),
            (1.0, strike.thigh, 0.0),
        ),
        knee=((0.0, off.knee, (off.knee - before.knee) * per_swing), (_FOLD_AT, fold, 0.0), (1.0, strike.knee, 0.0)),
        ankle=((0.0, off.ankle, 0.0), (_FOLD_AT, _TOES_UP, 0.0), (1.0, strike.ankle, 0.0)),
    )


def _through(knots: Sequence[Knot], at: float) -> float:
    """The cubic Hermite curve through the knots."""
    after = next((index for index in range(1, len(knots)) if at <= knots[index][0]), len(knots) - 1)
    (start, first, leaving), (end, last, arriving) = knots[after - 1], knots[after]
    span = end - start
    s = (at - start) / span
    blend = s * s * (3 - 2 * s)
    return first + (last - first) * blend + span * s * (1 - s) * (leaving * (1 - s) - arriving * s)


# The moving body ─────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen
class _Side:
    name: str
    sign: float  # of this side's offsets from the middle line
    lag: float  # of this leg's phase against the left one's
    leg: Callable[[Runner], Leg]
    other: Callable[[Runner], Leg]


_LEFT = _Side("left", 1.0, 0.0, lambda runner: runner.left, lambda runner: runner.right)
_RIGHT = _Side("right", -1.0, 0.5, lambda runner: runner.right, lambda runner: runner.left)
_SIDES = (_LEFT, _RIGHT)

# Landmark -> (before, left of, above) the middle between the ears, as shares of the height.
_FACE: Mapping[str, Space] = {
    "nose": (0.065, 0.0, -0.004),
    "left_eye_inner": (0.055, 0.010, 0.018),
    "left_eye": (0.052, 0.018, 0.018),
    "left_eye_outer": (0.046, 0.026, 0.018),
    "right_eye_inner": (0.055, -0.010, 0.018),
    "right_eye": (0.052, -0.018, 0.018),
    "right_eye_outer": (0.046, -0.026, 0.018),
    "left_ear": (0.0, 0.042, 0.0),
    "right_ear": (0.0, -0.042, 0.0),
    "mouth_left": (0.054, 0.014, -0.026),
    "mouth_right": (0.054, -0.014, -0.026),
}
_PAIRED = ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot_index")

LANDMARKS: tuple[str, ...] = (*_FACE, *(f"{side.name}_{point}" for point in _PAIRED for side in _SIDES))
"""MediaPipe's 33 landmarks in its order."""

_ARM_SWING = math.radians(32)
_ELBOW_SWING = math.radians(9)
_ARMS_BACK = math.radians(-14)  # mean of the upper arm against the vertical
# Finger -> (share of the hand's length beyond the wrist, turned up against the forearm).
_FINGERS = {"pinky": (0.9, -0.25), "index": (1.0, 0.1), "thumb": (0.6, 0.5)}


@frozen
class _Motion:
    """A gait that can be asked for any moment."""

    gait: _Gait
    swings: Mapping[str, _Swing]

    def joints(self, side: _Side, left_phase: float) -> _Joints:
        """A leg's joints when the left foot is at this phase."""
        gait, phase = self.gait, (left_phase + side.lag) % 1
        if phase < gait.duty:
            return _stance(gait, side, phase)
        share = (phase - gait.duty) / (1 - gait.duty)
        clearance = _CLEARANCE * gait.runner.height * math.sin(math.pi * share)
        return _cleared(gait, gait.hip(side, phase), self.swings[side.name].at(share), clearance)


def _cleared(gait: _Gait, hip: float, joints: _Joints, clearance: float) -> _Joints:
    """The same leg, lifted where the sole of its swinging foot would come nearer to the belt than this."""
    body = gait.body
    ankle = _along(_along((0.0, hip), body.thigh, joints.thigh), body.shank, joints.shin)
    cos, sin = math.cos(joints.foot), math.sin(joints.foot)
    missing = clearance - (ankle[1] - body.ankle * cos + min(-body.heel * sin, body.toe * sin))
    return _leg_to(gait, (ankle[0], ankle[1] + missing), hip, joints.foot) if missing > 0 else joints


def _motion(runner: Runner) -> _Motion:
    gait = _gait(runner)
    return _Motion(gait, {side.name: _swing(gait, side) for side in _SIDES})


def _pose(motion: _Motion, left_phase: float) -> dict[str, Space]:
    """All landmarks when the left foot is at this phase, m."""
    gait = motion.gait
    lean = math.radians(gait.runner.trunk_lean)
    forward, up = _along((0.0, gait.hips(left_phase)), gait.body.trunk, math.pi - lean)
    pose = _face(gait, (forward, up), lean)
    for side in _SIDES:
        pose.update(_leg_points(motion, side, left_phase))
        pose.update(_arm_points(gait, side, left_phase, (forward, up)))
    return pose


def _along(start: Plane, length: float, angle: float) -> Plane:
    """The end of a segment that hangs from `start`, turned forward from straight down by `angle`."""
    return start[0] + length * math.sin(angle), start[1] - length * math.cos(angle)


def _leg_points(motion: _Motion, side: _Side, left_phase: float) -> dict[str, Space]:
    gait, body, name, sign = motion.gait, motion.gait.body, side.name, side.sign
    phase = (left_phase + side.lag) % 1
    joints = motion.joints(side, left_phase)
    hip = gait.hip(side, phase)
    knee = _along((0.0, hip), body.thigh, joints.thigh)
    ankle = _along(knee, body.shank, joints.shin)
    heel = _turned(-body.heel, -body.ankle, joints.foot)
    toe = _turned(body.toe, -body.ankle, joints.foot)
    inwards, outwards = _rolling(gait, side.leg(gait.runner), gait.loading(phase))
    return {
        f"{name}_hip": (0.0, sign * body.hip, hip),
        f"{name}_knee": (knee[0], sign * ((body.hip + body.track) / 2 - inwards), knee[1]),
        f"{name}_ankle": (ankle[0], sign * body.track, ankle[1]),
        f"{name}_heel": (ankle[0] + heel[0], sign * (body.track + outwards), ankle[1] + heel[1]),
        f"{name}_foot_index": (ankle[0] + toe[0], sign * 1.5 * body.track, ankle[1] + toe[1]),
    }


def _rolling(gait: _Gait, leg: Leg, loading: float) -> Plane:
    """How far the knee stands inside of the leg's line and the heel outside of the ankle, m."""
    inwards = gait.body.thigh / 2 * math.tan(math.radians(leg.knee_adduction) * loading)
    return inwards, gait.body.ankle * math.tan(math.radians(leg.pronation) * loading)


def _arm_points(gait: _Gait, side: _Side, left_phase: float, shoulder: Plane) -> dict[str, Space]:
    """An arm is farthest back when the leg of its side touches down."""
    body, name, sign = gait.body, side.name, side.sign
    back = math.cos(math.tau * (left_phase + side.lag))
    upper = _ARMS_BACK - _ARM_SWING * back
    lower = upper + math.pi - math.radians(gait.runner.elbow_angle) - _ELBOW_SWING * back
    elbow = _along(shoulder, body.upper_arm, upper)
    wrist = _along(elbow, body.forearm, lower)
    points = {
        f"{name}_shoulder": (shoulder[0], sign * body.shoulder, shoulder[1]),
        f"{name}_elbow": (elbow[0], sign * 1.15 * body.shoulder, elbow[1]),
        f"{name}_wrist": (wrist[0], sign * 0.8 * body.shoulder, wrist[1]),
    }
    for finger, (share, turn) in _FINGERS.items():
        tip = _along(wrist, share * body.hand, lower + turn)
        points[f"{name}_{finger}"] = (tip[0], sign * 0.7 * body.shoulder, tip[1])
    return points


def _face(gait: _Gait, shoulders: Plane, lean: float) -> dict[str, Space]:
    bow = lean + math.radians(gait.runner.head_tilt)
    middle = _along(shoulders, gait.body.neck, math.pi - bow)
    cos, sin, height = math.cos(bow), math.sin(bow), gait.runner.height
    return {
        name: (
            middle[0] + height * (before * cos + above * sin),
            height * left,
            middle[1] + height * (above * cos - before * sin),
        )
        for name, (before, left, above) in _FACE.items()
    }


# Raw data ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen
class _View:
    """Where a camera stands: which axis runs to the right in its picture, which one away from it."""

    right: tuple[int, int]  # axis, sign
    away: int  # axis
    tall: float  # picture heights that a runner's height may take
    wide: float  # picture widths that a runner's height may take
    hidden: tuple[str, ...]  # landmarks whose names begin so are guessed rather than seen


_VIEWS: Mapping[str, _View] = {
    # Who runs to the right shows the camera the right side.
    "side_view": _View(right=(0, 1), away=1, tall=0.75, wide=1.25, hidden=("left",)),
    "back_view": _View(right=(1, -1), away=0, tall=0.75, wide=2.5, hidden=("nose", "mouth", "left_eye", "right_eye")),
}
_SEEN, _GUESSED = 0.98, 0.71


def raw_data(
    runner: Runner, *, view: str, frames_per_second: float, seconds: float, width: int, height: int
) -> dict[str, Any]:
    """Landmarks of every frame of a clip, in pixels, as `side_view` or `back_view`; section 6 of the contract."""
    if view not in _VIEWS:
        raise ValueError(f"view must be one of {', '.join(_VIEWS)}, not {view!r}")
    motion, count = _motion(runner), round(frames_per_second * seconds)
    picture = _picture(runner, _VIEWS[view], width, height)
    per_frame = runner.cadence / 120 / frames_per_second if count else 0.0
    phases = (runner.start_phase + frame * per_frame for frame in range(count))
    return {
        "video_input_information": {
            "width": width,
            "height": height,
            "fps": frames_per_second,
            "duration": seconds,
            "frame_count": count,
        },
        "frames": {str(frame): picture(_pose(motion, phase)) for frame, phase in enumerate(phases)},
    }


def _picture(
    runner: Runner, view: _View, width: int, height: int
) -> Callable[[Mapping[str, Space]], dict[str, dict[str, float]]]:
    """What turns a pose into pixels: the runner in the middle, the ground a tenth above the lower edge."""
    axis, sign = view.right
    away = view.away
    # In tenths of a pixel and cut by `// 1`: round() takes three times as long, and a long clip needs it 240,000 times.
    scale = 10 * min(view.tall * height, view.wide * width) / runner.height
    sideways, middle, ground = sign * scale, 5 * width + 0.5, 9 * height + 0.5
    scores = [(name, _GUESSED if name.startswith(view.hidden) else _SEEN) for name in LANDMARKS]

    def pixels(pose: Mapping[str, Space]) -> dict[str, dict[str, float]]:
        return {
            name: {
                "x": (middle + sideways * place[axis]) // 1 / 10,
                "y": (ground - scale * place[2]) // 1 / 10,
                "z": (0.5 + scale * place[away]) // 1 / 10,
                "score": score,
            }
            for name, score in scores
            for place in (pose[name],)
        }

    return pixels


# Measuring ───────────────────────────────────────────────────────────────────────────────────────────────────────────

Range = tuple[float, float]
JointAngles = dict[str, dict[str, dict[str, float]]]
_MOMENTS = 60  # of a stride at which joints are measured

# Joint -> landmarks whose inner angle it is.
_JOINTS = {
    "ankle": ("knee", "ankle", "foot_index"),
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "elbow": ("shoulder", "elbow", "wrist"),
}


def _joint_angles(motion: _Motion) -> JointAngles:
    """Joint -> side -> least, greatest and mean inner angle of a stride, degrees."""
    poses = [_pose(motion, moment / _MOMENTS) for moment in range(_MOMENTS)]

    def course(side: _Side, names: Iterable[str]) -> dict[str, float]:
        first, joint, last = (f"{side.name}_{name}" for name in names)
        angles = [_inner_angle(pose[first], pose[joint], pose[last]) for pose in poses]
        return {
            "min": round(min(angles), 2),
            "max": round(max(angles), 2),
            "mean": round(sum(angles) / _MOMENTS, 2),
        }

    return {joint: {side.name: course(side, names) for side in _SIDES} for joint, names in _JOINTS.items()}


def _inner_angle(first: Space, joint: Space, last: Space) -> float:
    one = math.atan2(first[2] - joint[2], first[0] - joint[0])
    other = math.atan2(last[2] - joint[2], last[0] - joint[0])
    return abs((math.degrees(one - other) + 180) % 360 - 180)


def _side_measures(motion: _Motion, angles: JointAngles) -> dict[str, float]:
    """What the side view scores, degrees."""
    runner = motion.gait.runner
    lifts = [max(motion.joints(side, at / _MOMENTS).thigh for at in range(_MOMENTS)) for side in _SIDES]
    return {
        "arm": _mean(angles["elbow"][side.name]["mean"] for side in _SIDES),
        "back_cycle": _mean(angles["knee"][side.name]["min"] for side in _SIDES),
        "foot": _overstride(motion),
        "forward_cycle": math.degrees(_mean(lifts)),
        "head": runner.head_tilt,
        "trunk": runner.trunk_lean,
    }


def _overstride(motion: _Motion) -> float:
    """The shin forward of the vertical at touchdown, degrees, mean of both legs."""
    return math.degrees(_mean(motion.joints(side, -side.lag).shin for side in _SIDES))


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)


# Scoring ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen
class _Part:
    """One scored part: its name in search keys, its ranges in degrees, its exercises."""

    key: str
    good: Range
    okay: Range
    exercises: tuple[str, str]

    @property
    def bad(self) -> Range:
        """What lies beyond okay, as far as the API would draw it."""
        return self.okay[1], 3 * self.okay[1]


# `arm` and `back_cycle` have the ranges of the vendor's sample: okay may enclose good or only adjoin it.
_SIDE_PARTS: Mapping[str, _Part] = {
    "arm": _Part("Arm", (78, 88), (74, 92), ("bi_reinforcement", "arm_swing_seated")),
    "back_cycle": _Part("BackCycle", (0, 98), (98, 107), ("heel_flicks", "hamstring_bridge")),
    "foot": _Part("Foot", (-2, 8), (8, 13), ("quick_feet", "calf_raise")),
    "forward_cycle": _Part("ForwardCycle", (36, 60), (32, 36), ("high_knees", "hip_flexor_march")),
    "head": _Part("Head", (0, 10), (-5, 15), ("chin_tuck", "gaze_run")),
    "trunk": _Part("Trunk", (4, 10), (2, 13), ("plank", "wall_lean")),
}
_BACK_PARTS: Mapping[str, _Part] = {
    "knee_adduction": _Part("Knee", (0, 3.5), (3.5, 4.5), ("side_lying_lift", "single_leg_squat")),
    "pelvic_drop": _Part("Pelvic", (0, 3), (3, 4), ("hip_hike", "side_plank")),
    "pronation": _Part("Pronation", (0, 5.5), (5.5, 7.5), ("short_foot", "towel_curl")),
}
_PARTS = {**_SIDE_PARTS, **_BACK_PARTS}

# Verdict -> (least score, its letter in search keys, how many of the part's exercises go with it), best first.
_VERDICTS: Mapping[str, tuple[float, str, int]] = {"good": (0.75, "G", 1), "okay": (0.5, "O", 2), "bad": (0.0, "B", 2)}


def _score(value: float, part: _Part) -> float:
    """From 1 amid the good over 0.75 at its edge and 0.5 at the edge of the okay down to 0."""
    low, high = part.good
    if low <= value <= high:
        return 1 - 0.25 * abs(2 * value - low - high) / (high - low)
    # `inner` is the edge of good that was passed, `outer` the edge of okay on that side, if it has one there.
    inner, outer = (low, min(low, part.okay[0])) if value < low else (high, max(high, part.okay[1]))
    beyond, band = abs(value - inner), abs(outer - inner)
    if beyond <= band:
        return 0.75 - 0.25 * beyond / band
    return max(0.0, 0.5 - 0.5 * (beyond - band) / (high - low))


def _verdict(score: float) -> str:
    return next(name for name, (least, _, _) in _VERDICTS.items() if score >= least)


def _total(items: Iterable[Mapping[str, Any]]) -> float:
    return round(_mean(item["score_number"] for item in items), 3)


# Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def side_view_results(runner: Runner, *, language: str) -> dict[str, Any]:
    """The `biomechanical_analysis` of a side view; section 4 of the contract."""
    motion, words = _motion(runner), _wording(language)
    content = _side_content(motion, _joint_angles(motion), words)
    return {
        "analysis_content": content,
        "running_styles": _running_style(runner, words),
        "total_score": _total(content.values()),
    }


def back_view_results(runner: Runner, *, language: str, full_body: bool) -> dict[str, Any]:
    """The `biomechanical_analysis` of a back view; without `full_body` only pronation."""
    words = _wording(language)
    content = {
        part: {side.name: _back_item(part, getattr(side.leg(runner), part), side.name, words) for side in _SIDES}
        for part in _back_parts(full_body)
    }
    return {
        "analysis_content": content,
        "total_score": _total(item for sides in content.values() for item in sides.values()),
    }


def side_view_calculated(runner: Runner) -> dict[str, Any]:
    """Metrics and angles of a side view; section 5 of the contract. Contact + flight is a step's time within 1 ms."""
    motion, words = _motion(runner), _wording("en")
    angles, overstride = _joint_angles(motion), _overstride(motion)
    return {
        "metrics": _metrics(runner),
        "overstride": {
            "mean_angle": round(overstride, 2),
            "score": f"score_{_verdict(_score(overstride, _SIDE_PARTS['foot']))}",
        },
        "foot_landing": _foot_landing(runner),
        "joint_angles": angles,
        "running_styles": _running_style(runner, words),
        "total_score": _total(_side_content(motion, angles, words).values()),
    }


def back_view_calculated(runner: Runner, *, full_body: bool) -> dict[str, Any]:
    """Stance means and step-by-step data of a back view, degrees; section 5 of the contract."""
    return {"gait_cycle": {side.name: _leg_cycle(runner, side, _back_parts(full_body)) for side in _SIDES}}


def _back_parts(full_body: bool) -> tuple[str, ...]:
    return tuple(_BACK_PARTS) if full_body else ("pronation",)


def _side_content(motion: _Motion, angles: JointAngles, words: _Wording) -> dict[str, dict[str, Any]]:
    content = {part: _side_item(part, value, words) for part, value in _side_measures(motion, angles).items()}
    content["foot"]["foot_strike_pattern"] = motion.gait.runner.strike_pattern
    content["foot"]["texts"]["overstride_title"] = words.overstride
    return content


def _side_item(name: str, value: float, words: _Wording) -> dict[str, Any]:
    part = _SIDE_PARTS[name]
    score = _score(value, part)
    _, letter, count = _VERDICTS[_verdict(score)]
    return {
        "score_number": round(score, 3),
        "range_good": list(part.good),
        "range_okay": list(part.okay),
        "texts": {
            "title": words.parts[name][0],
            "position": _position(value, part, words.parts[name]),
            "recap": [words.recaps[_verdict(score)]],
            "exercice": list(part.exercises[:count]),
            "search_key": part.key + letter,
        },
    }


def _back_item(name: str, value: float, side: str, words: _Wording) -> dict[str, Any]:
    part = _BACK_PARTS[name]
    score = _score(value, part)
    return {
        "score_number": round(score, 3),
        "range_good": list(part.good),
        "range_okay": list(part.okay),
        "range_bad": list(part.bad),
        "texts": {
            "title": words.parts[name][0],
            "explanation": words.explanations[name],
            "position": _position(value, part, words.parts[name]),
            "recap": [words.recaps[_verdict(score)]],
            "side": side,
            "search_key": part.key + _VERDICTS[_verdict(score)][1],
        },
    }


def _position(value: float, part: _Part, texts: tuple[str, str, str, str]) -> str:
    _, below, within, above = texts
    low, high = part.good
    return below if value < low else above if value > high else within


def _metrics(runner: Runner) -> dict[str, float]:
    return {
        "speed_meter_per_second": round(runner.speed, 3),
        "step_length_meter": round(runner.step_length, 3),
        "pace_min_per_km": _packed_pace(runner.speed),
        "step_frequency_steps_per_min": round(runner.cadence),
        "ground_contact_time_ms": round(runner.contact_time),
        "time_of_flight_ms": round(runner.flight_time),
        "duty_factor": round(runner.duty_factor, 3),
    }


def _packed_pace(speed: float) -> float:
    """Minutes per km as M.SSs: 7 min 51.1 s is 7.511.

    The tenth is rounded up: in the vendor's sample 2.123 m/s, which is 471.03 s, reads 7.511 and not 7.510.
    """
    tenths = math.ceil(round(10_000 / speed, 3))  # first to 3 digits: 330.0000001 s is 330.0 s
    minutes, rest = divmod(tenths, 600)
    return round(minutes + rest / 1000, 3)


def _foot_landing(runner: Runner) -> list[dict[str, Any]]:
    landings = {
        side.name: _around(side.leg(runner).strike_angle, 1.0, runner.seed, f"{side.name}_landing") for side in _SIDES
    }
    return [
        {"step": 2 * step + number, "side": side, "landing": _strike_pattern(angles[step])}
        for step in range(_STEPS)
        for number, (side, angles) in enumerate(landings.items(), start=1)
    ]


def _leg_cycle(runner: Runner, side: _Side, parts: Sequence[str]) -> dict[str, Any]:
    leg = side.leg(runner)
    means = {part: getattr(leg, part) for part in parts}
    steps = {part: _around(mean, 0.3, runner.seed, f"{side.name}_{part}") for part, mean in means.items()}
    return {
        "stance_mean": {part: round(mean, 2) for part, mean in means.items()},
        "steps": [
            {"step": step + 1, **{part: round(values[step], 2) for part, values in steps.items()}}
            for step in range(_STEPS)
        ],
    }


# Duty factor below which a style is called so, and the duty factor that is most typical of it.
_STYLES = ((0.32, 0.30, "gazelle"), (0.36, 0.34, "wolf"), (math.inf, 0.38, "bear"))


def _running_style(runner: Runner, words: _Wording) -> dict[str, Any]:
    duty = runner.duty_factor
    typical, animal = next((typical, animal) for limit, typical, animal in _STYLES if duty < limit)
    title, summary = words.styles[animal]
    likeness = _clamp(1 - 10 * abs(duty - typical), 0.5, 1.0)
    return {"title": title, "animal": animal, "percentage": round(100 * likeness), "summary": summary}


# Exercises ───────────────────────────────────────────────────────────────────────────────────────────────────────────

EXERCISE_KEYS: tuple[str, ...] = tuple(
    part.key + letter for part in _PARTS.values() for _, letter, _ in _VERDICTS.values()
)
"""Every search key that the texts of an analysis can hold."""

_EXERCISES_FOR: Mapping[str, tuple[str, ...]] = {
    part.key + letter: part.exercises[:count] for part in _PARTS.values() for _, letter, count in _VERDICTS.values()
}

# Exercise -> (difficulty, series, format, seconds or repetitions in one of them).
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


def exercises(search_keys: Sequence[str], *, language: str) -> list[dict[str, Any]]:
    """The exercises for these keys, each once, in the order of the keys; section 10 of the contract.

    One for a good key, two for the others, none for an unknown one. A language without texts is answered in English.
    """
    names = dict.fromkeys(name for key in search_keys for name in _EXERCISES_FOR.get(key, ()))
    return [_exercise(name, _wording(language)) for name in names]


def _exercise(name: str, words: _Wording) -> dict[str, Any]:
    difficulty, series, form, amount = _EFFORTS[name]
    effort: Mapping[str, Mapping[str, Any]] = {
        "duration": {"effort_per_rep": {"min_ms": 1000 * amount, "max_ms": 1500 * amount}},
        "repetition": {"number_of_reps": amount},
    }
    base = f"https://media.example.invalid/exercises/{name}"
    return {
        "title": words.exercises[name],
        "kind": "exercise",
        "difficulty": difficulty,
        "exercise_format": form,
        **effort[form],
        "number_of_series": series,
        "media": {"image": f"{base}.jpg", "video": f"{base}.mp4", "video_portrait": f"{base}-portrait.mp4"},
    }


# Wording ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@frozen
class _Wording:
    """All texts of one language."""

    overstride: str
    parts: Mapping[str, tuple[str, str, str, str]]  # title; position below, within, above the good range
    explanations: Mapping[str, str]
    recaps: Mapping[str, str]  # by verdict
    styles: Mapping[str, tuple[str, str]]  # title, summary
    exercises: Mapping[str, str]


def _wording(language: str) -> _Wording:
    return _WORDINGS.get(language, _ENGLISH)


_ENGLISH = _Wording(
    overstride="Overstride",
    parts={
        "arm": ("Arms", "Elbows bent tightly", "Elbows bent well", "Elbows rather open"),
        "back_cycle": ("Back cycle", "Heel folded tightly", "Heel comes up well", "Heel stays low behind you"),
        "foot": ("Foot strike", "Foot lands behind the knee", "Foot lands under the knee", "Foot lands too far ahead"),
        "forward_cycle": ("Forward cycle", "Knee stays low", "Knee comes forward well", "Knee comes very high"),
        "head": ("Head", "Head tipped back", "Head in line with the trunk", "Head bent forward"),
        "trunk": ("Trunk", "Trunk too upright", "Trunk leaning slightly forward", "Trunk leaning too far"),
        "knee_adduction": ("Knee alignment", "Knee points outwards", "Knee stays in line", "Knee falls inwards"),
        "pelvic_drop": ("Pelvis", "Free hip rises", "Pelvis stays level", "Free hip drops"),
        "pronation": ("Pronation", "Foot rolls outwards", "Foot rolls in moderately", "Foot rolls in too far"),
    },
    explanations={
        "knee_adduction": "How far the knee moves inwards while the foot is on the ground.",
        "pelvic_drop": "How far the free side of the pelvis sinks while the other leg stands.",
        "pronation": "How far the foot rolls inwards while it is on the ground.",
    },
    recaps={
        "good": "Keep it up.",
        "okay": "Close to the good range: a little work will do.",
        "bad": "Outside the usual range: make it a point of your training.",
    },
    styles={
        "gazelle": ("Gazelle", "You spend much time in the air and little on the ground."),
        "wolf": ("Wolf", "You share your time evenly between ground and air."),
        "bear": ("Bear", "You stay close to the ground with long, steady contacts."),
    },
    exercises={
        "bi_reinforcement": "Biceps curls",
        "arm_swing_seated": "Seated arm swing",
        "heel_flicks": "Heel flicks",
        "hamstring_bridge": "Hamstring bridge",
        "quick_feet": "Quick feet",
        "calf_raise": "Calf raises",
        "high_knees": "High knees",
        "hip_flexor_march": "Hip flexor march",
        "chin_tuck": "Chin tucks",
        "gaze_run": "Run with your eyes on the horizon",
        "plank": "Plank",
        "wall_lean": "Wall lean",
        "side_lying_lift": "Side-lying leg lifts",
        "single_leg_squat": "Single-leg squats",
        "hip_hike": "Hip hikes",
        "side_plank": "Side plank",
        "short_foot": "Short foot",
        "towel_curl": "Towel curls",
    },
)

_FRENCH = _Wording(
    overstride="Attaque trop en avant",
    parts={
        "arm": ("Bras", "Coudes trop fermés", "Coudes bien fléchis", "Coudes plutôt ouverts"),
        "back_cycle": ("Cycle arrière", "Talon très replié", "Le talon remonte bien", "Le talon reste bas"),
        "foot": ("Pose du pied", "Pied posé derrière le genou", "Pied posé sous le genou", "Pied posé trop en avant"),
        "forward_cycle": ("Cycle avant", "Le genou reste bas", "Le genou monte bien", "Le genou monte très haut"),
        "head": ("Tête", "Tête en arrière", "Tête alignée avec le tronc", "Tête penchée en avant"),
        "trunk": ("Tronc", "Tronc trop droit", "Tronc légèrement penché en avant", "Tronc trop penché"),
        "knee_adduction": ("Alignement du genou", "Genou vers l'extérieur", "Genou aligné", "Genou vers l'intérieur"),
        "pelvic_drop": ("Bassin", "La hanche libre monte", "Bassin stable", "La hanche libre s'affaisse"),
        "pronation": ("Pronation", "Pied vers l'extérieur", "Pronation modérée", "Pronation trop marquée"),
    },
    explanations={
        "knee_adduction": "Déplacement du genou vers l'intérieur pendant que le pied est au sol.",
        "pelvic_drop": "Affaissement du côté libre du bassin pendant que l'autre jambe est en appui.",
        "pronation": "Bascule du pied vers l'intérieur pendant qu'il est au sol.",
    },
    recaps={
        "good": "Continuez ainsi.",
        "okay": "Proche de la bonne plage : un peu de travail suffira.",
        "bad": "Hors de la plage habituelle : à travailler à l'entraînement.",
    },
    styles={
        "gazelle": ("Gazelle", "Vous passez beaucoup de temps en l'air et peu au sol."),
        "wolf": ("Loup", "Vous partagez votre temps entre le sol et l'air."),
        "bear": ("Ours", "Vous restez près du sol, avec des appuis longs et réguliers."),
    },
    exercises={
        "bi_reinforcement": "Renforcement des biceps",
        "arm_swing_seated": "Balancement des bras assis",
        "heel_flicks": "Talons-fesses",
        "hamstring_bridge": "Pont pour les ischio-jambiers",
        "quick_feet": "Pieds rapides",
        "calf_raise": "Montées sur pointes",
        "high_knees": "Montées de genoux",
        "hip_flexor_march": "Marche avec fléchisseurs de hanche",
        "chin_tuck": "Rentrés de menton",
        "gaze_run": "Courir le regard à l'horizon",
        "plank": "Planche",
        "wall_lean": "Inclinaison contre un mur",
        "side_lying_lift": "Levées de jambe sur le côté",
        "single_leg_squat": "Squats sur une jambe",
        "hip_hike": "Élévations de hanche",
        "side_plank": "Planche latérale",
        "short_foot": "Pied court",
        "towel_curl": "Serviette avec les orteils",
    },
)

_WORDINGS: Mapping[str, _Wording] = {"en": _ENGLISH, "fr": _FRENCH}
