"""The motion of a runner for a page: curves over the stride, and the figure that moves in step with them.

Everything here was read off the landmarks by this program.

Invariant: pure. What the landmarks do not show is missing, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from attrs import frozen

from ..gait.analysis import BackGait, back_gait, side_gait
from ..gait.angles import BACK_ANGLES, SIDE_ANGLES
from ..gait.curves import Curve
from ..gait.joints import SIDES
from ..gait.strides import strides_between
from ..protocol.landmarks import Landmarks

__all__ = ["ANGLE_TITLES", "LIMBS", "RunnerMotion", "motion_of"]

ANGLE_TITLES: Final = {
    "hip": "Hip flexion",
    "knee": "Knee flexion",
    "ankle": "Ankle dorsiflexion",
    "elbow": "Elbow flexion",
    "trunk": "Trunk lean",
    "pelvic_drop": "Pelvic drop",
    "knee_adduction": "Knee adduction",
}
"""What an angle is called above its curve, by its name in a gait."""

LIMBS: Final = (
    *(
        (part, side, joints)
        for side in SIDES
        for part, joints in (
            ("arm", (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")),
            ("leg", (f"{side}_hip", f"{side}_knee", f"{side}_ankle")),
            ("foot", (f"{side}_ankle", f"{side}_heel", f"{side}_toe", f"{side}_ankle")),
        )
    ),
)
"""The lines of a figure: the part, its side, and the joints that it runs through."""
_STANCE_REACH: Final = 0.2
"""Of a stride, before and after the middle of a stance: what the curves of a back view show."""


@frozen(kw_only=True, repr=False)
class RunnerMotion:
    """What a page shows of a runner's motion."""

    back: bool
    """Whether the runner was filmed from behind."""
    curves: Mapping[str, Mapping[str, Curve]]
    """The curves of `left` and `right`, by the name of the angle."""
    spans: Mapping[str, tuple[float, float]]
    """For each side, where its curves begin in the stride of the figure, and their length, as shares of a stride."""
    frames: Mapping[str, Sequence[complex]]
    """The path of each joint over the stride of the figure; also of `head`, `shoulders` and `hips`. May be empty."""
    leader: str
    """The side whose touchdown (back view: middle of the stance) begins the figure's stride."""
    near: str | None
    """The side towards the camera; None in a back view."""
    seconds: float | None
    """Of a stride; None without a frame rate."""
    fps: float | None
    strides: Mapping[str, tuple[int, int]]
    """For each side that has curves, the fewest and the most strides of which one is made."""
    missing: Mapping[str, str]
    """Why a curve is missing, by its side and name."""


def motion_of(landmarks: Landmarks, view: str | None) -> RunnerMotion:
    """Reads the motion off landmarks. Raises `CannotTell` if they show no running."""
    gait = back_gait(landmarks) if view == "back_view" else side_gait(landmarks)
    back = isinstance(gait, BackGait)
    events = gait.midstances if isinstance(gait, BackGait) else gait.touchdowns
    leader = "left" if strides_between(events["left"], gait.stride_frames) else "right"
    curves = {
        angle: {side: gait.curves[side][angle] for side in SIDES if angle in gait.curves[side]}
        for angle in (BACK_ANGLES if back else SIDE_ANGLES)
    }
    recording = gait.recording
    return RunnerMotion(
        back=back,
        curves={angle: sides for angle, sides in curves.items() if sides},
        spans={side: _span(events, leader, side, gait.stride_frames, back=back) for side in SIDES},
        frames=_with_middles(gait.poses, back=back),
        leader=leader,
        near=None if back else ("left" if recording.mirrored else "right"),
        seconds=None if recording.fps is None else gait.stride_frames / recording.fps,
        fps=recording.fps,
        strides={side: (min(counts), max(counts)) for side in SIDES if (counts := _counts(curves, side))},
        missing={name: reason for name, reason in gait.missing.items() if name.partition(" ")[2] in curves},
    )


def _counts(curves: Mapping[str, Mapping[str, Curve]], side: str) -> list[int]:
    return [sides[side].strides for sides in curves.values() if side in sides]


def _span(
    events: Mapping[str, Sequence[float]], leader: str, side: str, period: float, *, back: bool
) -> tuple[float, float]:
    """Where the curves of a side begin in the leader's stride, and how long they are."""
    delays = [
        (later - max(earlier)) / period
        for later in events[side]
        if (earlier := [event for event in events[leader] if event <= later])
    ]
    delay = fmean(delays) if delays else 0.0
    return (delay - _STANCE_REACH, 2 * _STANCE_REACH) if back else (delay, 1.0)


def _with_middles(poses: Mapping[str, Sequence[complex]], *, back: bool) -> dict[str, Sequence[complex]]:
    """The paths with those of `shoulders`, `hips` and `head`, where the joints for them are there."""
    frames = dict(poses)
    for part in ("shoulder", "hip"):
        both = [poses[joint] for side in SIDES if (joint := f"{side}_{part}") in poses]
        if both:
            frames[f"{part}s"] = [sum(points) / len(points) for points in zip(*both, strict=True)]
    if "nose" in frames:
        frames["head"] = [point - (0 if back else 0.03) for point in frames["nose"]]
    elif "shoulders" in frames and "hips" in frames:
        trunks = zip(frames["shoulders"], frames["hips"], strict=True)
        frames["head"] = [shoulder + 0.4 * (shoulder - hip) for shoulder, hip in trunks]
    return frames
