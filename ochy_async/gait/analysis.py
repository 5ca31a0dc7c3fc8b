"""What the landmarks of a recording show of a runner's gait, beside what Ochy measured.

`side_gait` and `back_gait` read raw data (`OchySession.raw_data`). Every number here was read off the landmarks by this
program; Ochy's own measurements are in the calculated data.

Invariant: pure. Without a frame rate no value has a unit of time, and a value that cannot be read is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from attrs import evolve, frozen

from ..protocol.landmarks import Landmarks
from ..protocol.text_summary import count_of
from .angles import BACK_ANGLES, SIDE_ANGLES, AngleOf, Joints, middle, trunk_lean
from .curves import Curve, curve_of, mean_path
from .joints import SIDES
from .points import Path, filled, smoothed
from .recording import CannotTell, Recording, recording_of
from .short_repr import ShortRepr
from .strides import midstances, stride_period, strides_between, touchdowns

__all__ = ["BackGait", "CannotTell", "Curve", "SideGait", "back_gait", "side_gait"]

_HARMONICS: Final = 6.0
"""The low-pass keeps this many harmonics of the stride: 8 Hz at 160 steps/min, the usual cutoff for running."""
_LONGEST_GAP: Final = 0.15
"""Of a stride; longer gaps are not filled."""
_STANCE_HALF: Final = 0.2
"""Of a stride before and after the middle of a stance: about a stance, whose exact length landmarks do not show."""


@frozen(repr=False)
class SideGait(ShortRepr):
    """A runner seen from the side."""

    recording: Recording
    """The joints, smoothed."""
    stride_frames: float
    """Frames of a stride."""
    cadence: float | None
    """steps/min; None without a frame rate."""
    touchdowns: Mapping[str, tuple[float, ...]]
    """For `left` and `right`: positions in the recording, in frames from the first, some per cent of a stride early."""
    curves: Mapping[str, Mapping[str, Curve]]
    """For `left` and `right`: the curves of `hip`, `knee`, `ankle` and `elbow` flexion, and of `trunk` lean, from
    touchdown to touchdown."""
    poses: Mapping[str, tuple[complex, ...]]
    """The mean path of each joint from one touchdown of the left foot to the next: 101 points, forward + up * 1j. The
    middle of the hips is above 0, the lowest point of all at 0j, the highest at 1j. Without a complete stride of the
    left foot it is that of the right one; without any it is empty."""
    trunk_lean: float | None
    """Degrees forward of the vertical, the mean of all frames."""
    missing: Mapping[str, str]
    """Why a curve or value is missing, by its name."""

    def _extent(self) -> str:
        return count_of(self.recording.frames, "frame")


@frozen(repr=False)
class BackGait(ShortRepr):
    """A runner seen from behind."""

    recording: Recording
    """The joints, smoothed."""
    stride_frames: float
    """Frames of a stride."""
    cadence: float | None
    """steps/min; None without a frame rate."""
    midstances: Mapping[str, tuple[float, ...]]
    """For `left` and `right`: when the leg carries the body, in frames from the first."""
    curves: Mapping[str, Mapping[str, Curve]]
    """For `left` and `right`: `pelvic_drop` and `knee_adduction`, from a fifth of a stride before the middle of the
    stance to a fifth after it."""
    poses: Mapping[str, tuple[complex, ...]]
    """The mean path of each joint from one middle of the left leg's stance to the next: 101 points, right + up * 1j,
    scaled as in `SideGait.poses`. Without two such middles it is that of the right leg; without any it is empty."""
    missing: Mapping[str, str]
    """Why a curve is missing, by its name."""

    def _extent(self) -> str:
        return count_of(self.recording.frames, "frame")


def side_gait(landmarks: Landmarks, *, fps: float | None = None) -> SideGait:
    """Reads the gait of a side view. `fps` replaces the frame rate that was sent.

    Raises `CannotTell` if the landmarks show no running: too few frames, no legs, or nothing that repeats.
    """
    recording, period = _prepared(landmarks, "side_view", fps)
    joints, missing = recording.joints, dict[str, str]()
    starts = {side: _touchdowns(joints, side, period) for side in SIDES}
    strides = {side: strides_between(starts[side], period) for side in SIDES}
    lean = trunk_lean(joints)
    angles: dict[str, AngleOf] = {**SIDE_ANGLES, "trunk": lambda *_: lean or None}
    known = [each for each in lean if not math.isnan(each)]
    return SideGait(
        recording=recording,
        stride_frames=period,
        cadence=_cadence(recording, period),
        touchdowns=starts,
        curves={side: _curves(joints, side, angles, strides[side], missing) for side in SIDES},
        poses=_poses(joints, strides["left"] or strides["right"]),
        trunk_lean=fmean(known) if known else None,
        missing=missing,
    )


def back_gait(landmarks: Landmarks, *, fps: float | None = None) -> BackGait:
    """Reads the gait of a back view. `fps` replaces the frame rate that was sent.

    Raises `CannotTell` if the landmarks show no running: too few frames, no legs, or nothing that repeats.
    """
    recording, period = _prepared(landmarks, "back_view", fps)
    joints, missing = recording.joints, dict[str, str]()
    stances = _midstances(joints, period)
    reach = _STANCE_HALF * period
    windows = {side: [(at - reach, at + reach) for at in stances[side]] for side in SIDES}
    curves = {side: _curves(joints, side, BACK_ANGLES, windows[side], missing) for side in SIDES}
    strides = {side: strides_between(stances[side], period) for side in SIDES}
    poses = _poses(joints, strides["left"] or strides["right"])
    return BackGait(recording, period, _cadence(recording, period), stances, curves, poses, missing)


def _prepared(landmarks: Landmarks, view: str, fps: float | None) -> tuple[Recording, float]:
    """The joints without noise, and the frames of a stride."""
    recording = recording_of(landmarks, view, fps)
    period = _stride_period(recording.joints)
    joints = {
        joint: smoothed(filled(path, int(_LONGEST_GAP * period)), _HARMONICS / period)
        for joint, path in recording.joints.items()
    }
    return evolve(recording, joints=joints), period


def _stride_period(joints: Joints) -> float:
    """The frames of a stride, from the way between both ankles, or both knees where the ankles do not show it.

    That way repeats once in a stride, whatever the camera does.
    """
    paths = [path for part in ("ankle", "knee") if (path := _across(joints, part)) is not None]
    if not paths:
        raise CannotTell(
            "Two ankles or knees are needed, and the landmarks have none, so no strides can be told apart."
        )
    for path in paths:
        period = stride_period(path)
        if period is not None:
            return period
    raise CannotTell("No motion of the legs repeats often enough, so no strides can be told apart.")


def _across(joints: Joints, part: str) -> Path | None:
    """The way from the left to the right joint."""
    left, right = joints.get(f"left_{part}"), joints.get(f"right_{part}")
    return None if left is None or right is None else [there - here for here, there in zip(left, right, strict=True)]


def _touchdowns(joints: Joints, side: str, period: float) -> tuple[float, ...]:
    ankle, hips = joints.get(f"{side}_ankle"), middle(joints, "hip")
    if ankle is None or hips is None:
        return ()
    return tuple(touchdowns([foot.real - hip.real for foot, hip in zip(ankle, hips, strict=True)], period))


def _midstances(joints: Joints, period: float) -> dict[str, tuple[float, ...]]:
    """The middle of each stance, by the leg whose foot is lower then."""
    hips, feet = middle(joints, "hip"), [joints.get(f"{side}_ankle") for side in SIDES]
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    if hips is not None and feet[0] is not None and feet[1] is not None:
        for at in midstances([hip.imag for hip in hips], period):
            left, right = (foot[round(at)].imag for foot in feet if foot is not None)
            found["left" if left < right else "right"].append(at)
    return {side: tuple(times) for side, times in found.items()}


def _curves(
    joints: Joints,
    side: str,
    angles: Mapping[str, AngleOf],
    windows: Sequence[tuple[float, float]],
    missing: dict[str, str],
) -> dict[str, Curve]:
    """The curves of one side of the body. `missing` gets the reason for each that cannot be made."""
    curves = dict[str, Curve]()
    for name, angle in angles.items():
        values = angle(joints, side)
        curve = None if values is None else curve_of(values, windows)
        if curve is not None:
            curves[name] = curve
        elif values is None:
            missing[f"{side} {name}"] = "The landmarks lack a joint that the angle needs."
        else:
            missing[f"{side} {name}"] = "No stride is complete and without a gap."
    return curves


def _poses(joints: Joints, strides: Sequence[tuple[float, float]]) -> dict[str, tuple[complex, ...]]:
    """The mean paths of all joints over strides, in the frame that `SideGait.poses` describes."""
    hips = middle(joints, "hip")
    if hips is None:
        return {}
    centered = {
        joint: mean_path([point - hip.real for point, hip in zip(path, hips, strict=True)], strides)
        for joint, path in joints.items()
    }
    paths = {joint: path for joint, path in centered.items() if path is not None}
    heights = [point.imag for path in paths.values() for point in path]
    lowest, span = min(heights, default=0.0), max(heights, default=0.0) - min(heights, default=0.0)
    return (
        {joint: tuple((point - lowest * 1j) / span for point in path) for joint, path in paths.items()} if span else {}
    )


def _cadence(recording: Recording, period: float) -> float | None:
    return None if recording.fps is None else 2 * 60 * recording.fps / period
