"""A motion: a gait that can be asked for any moment, in stance and in swing.

Invariant: pure, and without a jump at toe-off: a swing sets out with the stance's own rates and comes to rest
just before touchdown, since a landing is sudden.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

from .gait import Gait, LegAngles, gait_of
from .geometry import Knot, curve
from .runner import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .runner import Runner, Side

__all__ = ["Motion", "motion_of"]

_FOLD_AT, _LIFT_AT = 0.5, 0.72  # shares of the swing: the knee is folded most, the thigh lifted most
_CLEARANCE = 0.01  # of the height: least room under a foot amid its swing
_TOES_UP = math.radians(12)  # the ankle's flexion when the foot passes the standing leg


@frozen
class Motion:
    """A gait with both of its swings."""

    gait: Gait
    swings: Mapping[str, _Swing]

    def joints(self, side: Side, left_phase: float) -> LegAngles:
        """A leg's joints when the left foot is at this phase."""
        gait, phase = self.gait, side.phase(left_phase)
        if phase < gait.duty:
            return gait.stance(side, phase)
        share = (phase - gait.duty) / (1 - gait.duty)
        clearance = _CLEARANCE * gait.runner.height * math.sin(math.pi * share)
        return _cleared(gait, gait.hip(side, phase), self.swings[side.name].at(share), clearance)


def motion_of(runner: Runner) -> Motion:
    """The motion of a runner."""
    gait = gait_of(runner)
    return Motion(gait, {side.name: _swing(gait, side) for side in SIDES})


@frozen
class _Swing:
    """Curves of a leg's joints from toe-off to touchdown; slopes are per swing."""

    thigh: tuple[Knot, ...]
    knee: tuple[Knot, ...]
    ankle: tuple[Knot, ...]

    def at(self, share: float) -> LegAngles:
        """Joints at a share of the swing; a knee never bends backwards."""
        return LegAngles(curve(self.thigh, share), max(0.02, curve(self.knee, share)), curve(self.ankle, share))


def _swing(gait: Gait, side: Side) -> _Swing:
    moment = gait.duty / 1000
    strike, before, off = (gait.stance(side, phase) for phase in (0.0, gait.duty - moment, gait.duty))
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


def _cleared(gait: Gait, hip: float, joints: LegAngles, clearance: float) -> LegAngles:
    """The same leg, lifted where the sole of its swinging foot would come nearer to the belt than this."""
    body = gait.body
    _, ankle = body.leg(hip, joints)
    cos, sin = math.cos(joints.foot), math.sin(joints.foot)
    missing = clearance - (ankle[1] - body.ankle * cos + min(-body.heel * sin, body.toe * sin))
    return gait.leg_to((ankle[0], ankle[1] + missing), hip, joints.foot) if missing > 0 else joints
