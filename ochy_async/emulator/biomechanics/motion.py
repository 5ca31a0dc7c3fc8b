"""The motion of a runner: leg angles at any moment of a stride, in stance and in swing.

Invariant: pure, and continuous at toe-off, where a swing begins with the angular velocities of the stance. A swing
comes to rest at touchdown, since a landing is sudden.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

from .gait import Gait, LegAngles, gait_of
from .geometry import Knot, hermite_curve
from .runner import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .runner import Runner, Side

__all__ = ["Motion", "motion_of"]

# Shares of the swing: peak knee flexion is reached, and is left again; peak thigh angle.
_BENT_AT, _UNBENT_AT, _PEAK_THIGH_AT = 0.37, 0.5, 0.72
_CLEARANCE = 0.01  # of the height: least foot clearance in mid-swing
_DORSIFLEXION = math.radians(12)  # of the ankle when the foot passes the stance leg


@frozen
class Motion:
    """A gait with the swings of both legs."""

    gait: Gait
    swings: Mapping[str, _Swing]

    def leg_angles(self, side: Side, left_phase: float) -> LegAngles:
        """The angles of a leg when the left foot is at this phase."""
        gait, phase = self.gait, side.phase(left_phase)
        if phase < gait.duty_factor:
            return gait.stance_angles(side, phase)
        share = (phase - gait.duty_factor) / (1 - gait.duty_factor)
        clearance = _CLEARANCE * gait.runner.height * math.sin(math.pi * share)
        return _with_clearance(gait, gait.hip_height(side, phase), self.swings[side.name].at(share), clearance)


def motion_of(runner: Runner) -> Motion:
    """The motion of a runner."""
    gait = gait_of(runner)
    return Motion(gait, {side.name: _swing(gait, side) for side in SIDES})


@frozen
class _Swing:
    """Curves of a leg's angles from toe-off to touchdown; slopes are per swing."""

    thigh: tuple[Knot, ...]
    knee: tuple[Knot, ...]
    ankle: tuple[Knot, ...]

    def at(self, share: float) -> LegAngles:
        """The angles at a share of the swing; a knee never bends backwards."""
        knee = max(0.02, hermite_curve(self.knee, share))
        return LegAngles(hermite_curve(self.thigh, share), knee, hermite_curve(self.ankle, share))


def _swing(gait: Gait, side: Side) -> _Swing:
    step = gait.duty_factor / 1000
    phases = (0.0, gait.duty_factor - step, gait.duty_factor)
    touchdown, before, toe_off = (gait.stance_angles(side, phase) for phase in phases)
    per_swing = (1 - gait.duty_factor) / step
    lift, flexion = (math.radians(angle) for angle in (gait.runner.thigh_lift, gait.runner.peak_knee_flexion))
    thigh_slope, knee_slope = (toe_off.thigh - before.thigh) * per_swing, (toe_off.knee - before.knee) * per_swing
    return _Swing(
        ((0.0, toe_off.thigh, thigh_slope), (_PEAK_THIGH_AT, touchdown.thigh + lift, 0.0), (1.0, touchdown.thigh, 0.0)),
        (
            (0.0, toe_off.knee, knee_slope),
            (_BENT_AT, flexion, 0.0),
            (_UNBENT_AT, flexion, 0.0),
            (1.0, touchdown.knee, 0.0),
        ),
        ((0.0, toe_off.ankle, 0.0), (_UNBENT_AT, _DORSIFLEXION, 0.0), (1.0, touchdown.ankle, 0.0)),
    )


def _with_clearance(gait: Gait, hip_height: float, angles: LegAngles, clearance: float) -> LegAngles:
    """The same leg, lifted where the sole of the swing foot would have less clearance than this."""
    segments, pitch = gait.segments, angles.foot
    _, ankle = segments.leg_points(hip_height, angles)
    cos, sin = math.cos(pitch), math.sin(pitch)
    lowest = ankle[1] - segments.ankle * cos + min(-segments.heel * sin, segments.toe * sin)
    missing = clearance - lowest
    return gait.leg_angles_to((ankle[0], ankle[1] + missing), hip_height, pitch) if missing > 0 else angles
