"""The gait of a runner on a treadmill belt: the pelvis oscillates above feet that the belt carries backwards.

Invariant: pure, and a planted foot never slips: the joint angles of a stance leg follow from the position of its foot.
Meters, seconds and radians; `phase` is the share of a stride since the touchdown of a foot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import astuple, frozen

from .geometry import PlanePoint, rotated, segment_end, smoothstep, two_link_angles

if TYPE_CHECKING:
    from .runner import Runner, Side

__all__ = ["Gait", "LegAngles", "gait_of"]

_TOE_OFF_PITCH = math.radians(62)  # foot against the ground at toe-off, heel up
_FOOT_FLAT, _HEEL_OFF = 0.2, 0.45  # shares of the contact time
_GRAVITY = 9.81  # m/s²


@frozen
class SegmentLengths:
    """Lengths of a body, m. The defaults are shares of the height, near Winter's anthropometric table."""

    thigh: float = 0.245
    shank: float = 0.246
    ankle: float = 0.039  # above the sole
    heel: float = 0.035  # behind the ankle
    toe: float = 0.085  # in front of the ankle
    trunk: float = 0.288
    neck: float = 0.115
    upper_arm: float = 0.186
    forearm: float = 0.146
    hand: float = 0.05
    half_hip_width: float = 0.05
    half_shoulder_width: float = 0.11
    half_step_width: float = 0.016

    def leg_points(self, hip_height: float, angles: LegAngles) -> tuple[PlanePoint, PlanePoint]:
        """Knee and ankle below a hip of this height."""
        knee = segment_end((0.0, hip_height), self.thigh, angles.thigh)
        return knee, segment_end(knee, self.shank, angles.shank)


@frozen
class LegAngles:
    """Angles of a leg, rad: thigh forward of the vertical, knee flexion, ankle dorsiflexion."""

    thigh: float
    knee: float
    ankle: float

    @property
    def shank(self) -> float:
        """The shank forward of the vertical."""
        return self.thigh - self.knee

    @property
    def foot(self) -> float:
        """The foot against the ground, toes up."""
        return self.shank + self.ankle


@frozen
class Gait:
    """A runner with the quantities that are constant over a stride: m and rad."""

    runner: Runner
    segments: SegmentLengths
    duty_factor: float
    contact_length: float  # distance that the planted foot travels
    mean_pelvis_height: float
    oscillation: float  # amplitude of the vertical oscillation of the pelvis

    def pelvis_height(self, phase: float) -> float:
        """Height of the middle of the hips: twice a stride low (in mid-stance) and high (in mid-flight)."""
        return self.mean_pelvis_height - self.oscillation * math.cos(4 * math.pi * (phase - self.duty_factor / 2))

    def loading(self, phase: float) -> float:
        """The load on a leg: 0 at touchdown, at toe-off and in swing; its mean over the stance is 1."""
        return 1 - math.cos(math.tau * phase / self.duty_factor) if phase < self.duty_factor else 0.0

    def hip_height(self, side: Side, phase: float) -> float:
        """Height of one hip at the phase of its own leg: the pelvis drops on the side of the swing leg."""
        opposite = (phase + 0.5) % 1
        own_drop = side.leg(self.runner).pelvic_drop * self.loading(phase)
        opposite_drop = side.other(self.runner).pelvic_drop * self.loading(opposite)
        tilt = math.radians(own_drop - opposite_drop)
        return self.pelvis_height(phase) + self.segments.half_hip_width * math.sin(tilt)

    def stance_angles(self, side: Side, phase: float) -> LegAngles:
        """The angles that keep the foot where the belt carries it."""
        strike, share = math.radians(side.leg(self.runner).strike_angle), phase / self.duty_factor
        pitch = _stance_pitch(strike, share)
        return self.leg_angles_to(self._planted_ankle(pitch, share), self.hip_height(side, phase), pitch)

    def leg_angles_to(self, ankle: PlanePoint, hip_height: float, pitch: float) -> LegAngles:
        """The angles that place the ankle there, below a hip of this height, with this pitch of the foot."""
        segments = self.segments
        thigh, knee = two_link_angles(segments.thigh, segments.shank, (ankle[0], ankle[1] - hip_height))
        return LegAngles(thigh, knee, pitch - thigh + knee)

    def _planted_ankle(self, pitch: float, share: float) -> PlanePoint:
        """The ankle of a foot that rotates about its heel (toes up) or its toes (heel up), which are on the belt."""
        lever = -self.segments.heel if pitch > 0 else self.segments.toe
        forward, up = rotated(-lever, self.segments.ankle, pitch)
        return (self.runner.reach - share) * self.contact_length + lever + forward, up


def gait_of(runner: Runner) -> Gait:
    """The gait of a runner, whose knee flexion at touchdown determines the height of the pelvis."""
    segments = SegmentLengths(*(runner.height * share for share in astuple(SegmentLengths())))
    duty_factor = runner.duty_factor
    contact_length = runner.speed * runner.contact_time / 1000
    # In flight the body accelerates with g; a sine that peaks at g is the simplest oscillation that respects this.
    oscillation = min(_GRAVITY * (runner.step_time / 1000 / math.tau) ** 2, 0.02 * runner.height)
    knee = math.cos(math.radians(runner.touchdown_knee))
    leg = segments.thigh**2 + segments.shank**2 + 2 * segments.thigh * segments.shank * knee
    reach = min(runner.reach * contact_length, 0.3 * runner.height)
    touchdown_height = segments.ankle + math.sqrt(leg - reach**2)
    mean_height = touchdown_height + oscillation * math.cos(math.tau * duty_factor)
    return Gait(runner, segments, duty_factor, contact_length, mean_height, oscillation)


def _stance_pitch(strike: float, share: float) -> float:
    """The foot against the ground during a contact: it lands, is flat, and rolls over the toes."""
    landing = strike * (1 - smoothstep(min(share / _FOOT_FLAT, 1.0)))
    rolling = max(0.0, (share - _HEEL_OFF) / (1 - _HEEL_OFF))
    return landing - _TOE_OFF_PITCH * rolling**2
