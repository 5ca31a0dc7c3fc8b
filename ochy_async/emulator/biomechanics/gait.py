"""A gait: the body of a runner on a belt, with bobbing hips above feet that the belt carries back.

Invariant: pure, and a planted foot never slips: the joints of a standing leg follow from where its foot is.
Meters, seconds and radians; `phase` is the share of a stride since a foot's touchdown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import astuple, frozen

from .geometry import Plane, along, eased, turned, two_links

if TYPE_CHECKING:
    from .runner import Runner, Side

__all__ = ["Gait", "LegAngles", "gait_of"]

_PUSH = math.radians(62)  # foot against the ground at toe-off, heel up
_FLAT, _HEEL_OFF = 0.2, 0.45  # shares of the contact: the foot is flat from, until
_GRAVITY = 9.81  # m/s²


@frozen
class SegmentLengths:
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

    def leg(self, hip: float, joints: LegAngles) -> tuple[Plane, Plane]:
        """Where the knee and the ankle are beneath a hip of this height."""
        knee = along((0.0, hip), self.thigh, joints.thigh)
        return knee, along(knee, self.shank, joints.shin)


@frozen
class LegAngles:
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
class Gait:
    """A runner with what follows from it for the whole stride: m and rad."""

    runner: Runner
    body: SegmentLengths
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

    def hip(self, side: Side, phase: float) -> float:
        """Height of one hip at its own leg's phase: the pelvis tilts away from the leg that stands."""
        other = (phase + 0.5) % 1
        own_drop = side.leg(self.runner).pelvic_drop * self.loading(phase)
        other_drop = side.other(self.runner).pelvic_drop * self.loading(other)
        return self.hips(phase) + self.body.hip * math.sin(math.radians(own_drop - other_drop))

    def stance(self, side: Side, phase: float) -> LegAngles:
        """Joints that keep the foot where the belt carries it."""
        strike, share = math.radians(side.leg(self.runner).strike_angle), phase / self.duty
        foot = _planted_pitch(strike, share)
        return self.leg_to(self._planted_ankle(foot, share), self.hip(side, phase), foot)

    def leg_to(self, ankle: Plane, hip: float, foot: float) -> LegAngles:
        """Joints that bring the ankle there, beneath a hip of this height, with this pitch of the foot."""
        thigh, knee = two_links(self.body.thigh, self.body.shank, (ankle[0], ankle[1] - hip))
        return LegAngles(thigh, knee, foot - thigh + knee)

    def _planted_ankle(self, foot: float, share: float) -> Plane:
        """The ankle of a foot that turns about its heel (toes up) or its toes (heel up), which lie on the belt."""
        lever = -self.body.heel if foot > 0 else self.body.toe
        forward, up = turned(-lever, self.body.ankle, foot)
        return (self.runner.reach - share) * self.contact_length + lever + forward, up


def gait_of(runner: Runner) -> Gait:
    """How a runner moves: knees that are bent as told at touchdown set how high the hips ride."""
    body = SegmentLengths(*(runner.height * share for share in astuple(SegmentLengths())))
    duty = runner.duty_factor
    contact_length = runner.speed * runner.contact_time / 1000
    # A body that flies freely falls with g; a sine that peaks with g is the simplest bob that knows it.
    bob = min(_GRAVITY * (runner.step_time / 1000 / math.tau) ** 2, 0.02 * runner.height)
    knee = math.cos(math.radians(runner.touchdown_knee))
    leg = body.thigh**2 + body.shank**2 + 2 * body.thigh * body.shank * knee
    reach = min(runner.reach * contact_length, 0.3 * runner.height)
    hips = body.ankle + math.sqrt(leg - reach**2)
    return Gait(runner, body, duty, contact_length, hips + bob * math.cos(math.tau * duty), bob)


def _planted_pitch(strike: float, share: float) -> float:
    """The foot against the ground in the course of a contact: it lands, lies flat, and rolls over the toes."""
    landing = strike * (1 - eased(min(share / _FLAT, 1.0)))
    rolling = max(0.0, (share - _HEEL_OFF) / (1 - _HEEL_OFF))
    return landing - _PUSH * rolling**2
