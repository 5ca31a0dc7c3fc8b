"""What landmarks show of a runner's gait: joint angles over the stride, cadence, left against right.

`side_gait(landmarks)` and `back_gait(landmarks)` take what `OchySession.raw_data` returns. Their numbers are read off
the landmarks by this program; they are no measurements of Ochy's.
"""

from .analysis import BackGait, CannotTell, Curve, SideGait, back_gait, side_gait

__all__ = ["BackGait", "CannotTell", "Curve", "SideGait", "back_gait", "side_gait"]
