"""The gait numbers of this library beside those of Pose2Sim, from the same points: `python -m benchmarks.gait_peer`.

The points are those of the emulator's runners, whose true gait is known. Pose2Sim pulls in much that the functions
compared here do not use, so it is no dependency of anything; README.md has the commands that install it.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Final

from attrs import evolve, frozen

from ochy_async.emulator.biomechanics.camera import film_runner
from ochy_async.emulator.biomechanics.runner import SIDES, Runner, Side, runner_of
from ochy_async.gait.analysis import side_gait
from ochy_async.gait.recording import recording_of
from ochy_async.protocol.landmarks import LandmarkGrid, Landmarks, VideoInformation
from ochy_async.tables.markers import markers_of
from ochy_async.tables.mot import angles_of
from ochy_async.tables.recordings import RecordingFile
from ochy_async.tables.trc import trc_lines

RUNNERS: Final = range(20)
NOISES: Final = (0.0, 5.0)
"""Standard deviations of the noise in the points, pixels. A runner is 810 pixels high."""
FPS, SECONDS, SIZE = 60.0, 8.0, (1920, 1080)
HEIGHT: Final = 1.75
PEERS: Final[Mapping[str, str]] = {
    "hip flexion": "hip",
    "knee flexion": "knee",
    "ankle dorsiflexion": "ankle",
    "elbow flexion": "elbow",
}
"""Our angle, and Pose2Sim's."""


def main() -> None:
    """Prints the comparison as Markdown."""
    try:
        common, events = (import_module(f"Pose2Sim.{name}") for name in ("common", "Utilities.trc_gaitevents"))
    except ImportError as error:
        sys.exit(f"{error}. benchmarks/README.md says how to install Pose2Sim for this comparison.")
    print(f"Pose2Sim {common.__version__}, {len(RUNNERS)} runners of the emulator, {SECONDS:g} s at {FPS:g} fps.\n")
    for noise in NOISES:
        recordings = [(who, filmed(who, noise)) for who in map(runner, RUNNERS)]
        print(f"Noise: {noise:g} px\n")
        print("\n".join(angle_table(common, [each for _, each in recordings])), end="\n\n")
        print("\n".join(contact_table(events, recordings)), end="\n\n")


def runner(seed: int) -> Runner:
    """A runner of known height."""
    return runner_of(seed.to_bytes(4, "big"), height=HEIGHT, weight=70, pace=None)


def filmed(who: Runner, noise: float) -> Landmarks:
    """The landmarks of a runner from the side."""
    rng, (width, height) = random.Random(0), SIZE
    frames = list(film_runner(who, view="side_view", fps=FPS, seconds=SECONDS, width=width, height=height))
    names = tuple(frames[0])
    grids = {
        axis: LandmarkGrid(
            array("d", [frame[name][axis] + rng.gauss(0, noise) for frame in frames for name in names]),
            (len(frames), len(names)),
        )
        for axis in ("x", "y")
    }
    return Landmarks(tuple(range(len(frames))), names, grids, VideoInformation(fps=FPS))


# --- angles ---------------------------------------------------------------------------------------


def angle_table(common: Any, recordings: Iterable[Landmarks]) -> Iterator[str]:
    """The differences of the angles of all frames."""
    found: dict[str, list[float]] = {}
    for landmarks in recordings:
        joints = recording_of(landmarks, "side_view").joints
        ours = angles_of(joints, back=False)
        points = peer_points(joints)
        for title, name in PEERS.items():
            for side in ("left", "right"):
                theirs = peer_angle(common, points, f"{side} {name}")
                found.setdefault(title, []).extend(differences(ours[f"{side}_{title.replace(' ', '_')}"], theirs))
        trunk = [90 - angle for angle in peer_angle(common, points, "trunk")]
        found.setdefault("trunk lean (90 - trunk)", []).extend(differences(ours["trunk_lean"], trunk))
    yield "| angle, ours - Pose2Sim's, degrees | mean | SD | largest |"
    yield "|---|--:|--:|--:|"
    for title, values in found.items():
        yield f"| {title} | {fmean(values):+.2f} | {pstdev(values):.2f} | {max(map(abs, values)):.2f} |"


def peer_points(joints: Mapping[str, Sequence[complex]]) -> dict[str, list[tuple[float, float]]]:
    """The joints under Pose2Sim's names, as Sports2D gives them to it: x forward, y down."""
    middles = {
        title: [(left + right) / 2 for left, right in zip(joints[f"left_{part}"], joints[f"right_{part}"], strict=True)]
        for title, part in (("Neck", "shoulder"), ("Hip", "hip"))
    }
    named = {
        f"{side[0].upper()}{'BigToe' if part == 'toe' else part.capitalize()}": joints[f"{side}_{part}"]
        for side in ("left", "right")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "toe")
    }
    return {name: [(point.real, -point.imag) for point in path] for name, path in (named | middles).items()}


def peer_angle(common: Any, points: Mapping[str, list[tuple[float, float]]], name: str) -> list[float]:
    """An angle by Pose2Sim's own definition, frame by frame."""
    needed = [points[point] for point in common.angle_dict[name][0]]
    return [float(common.fixed_angles(list(frame), name)) for frame in zip(*needed, strict=True)]


def differences(ours: Sequence[float], theirs: Sequence[float]) -> Iterator[float]:
    """The differences, as angles between -180 and 180 degrees."""
    return ((one - other + 180) % 360 - 180 for one, other in zip(ours, theirs, strict=True))


# --- foot contacts --------------------------------------------------------------------------------


Touchdowns = tuple[Mapping[str, Sequence[float]], float | None]
"""Seconds by side, and steps/min."""


@frozen
class Contacts:
    """How touchdowns and cadence differ from the true ones."""

    late: list[float]
    """Milliseconds."""
    cadence: list[float]
    """steps/min."""
    missed: int


def contact_table(events: Any, recordings: Sequence[tuple[Runner, Landmarks]]) -> Iterator[str]:
    """The touchdowns of both, against the true ones."""
    yield "| touchdowns | late by, ms: mean | SD | missed | cadence: largest error, steps/min |"
    yield "|---|--:|--:|--:|--:|"
    contenders: dict[str, Callable[[Landmarks], Touchdowns]] = {
        "this library": our_touchdowns,
        "Pose2Sim, `forward_coordinates`": partial(peer_touchdowns, events.gait_events_fwd_coords, "X"),
        "Pose2Sim, `height_coordinates`": partial(peer_touchdowns, events.gait_events_height_coords, "Y"),
    }
    for title, touchdowns in contenders.items():
        found = Contacts([], [], 0)
        for who, landmarks in recordings:
            found = compared(found, who, *touchdowns(landmarks))
        late = f"{fmean(found.late):+.0f} | {pstdev(found.late):.0f}" if found.late else "– | –"
        error = max(map(abs, found.cadence), default=math.nan)
        yield f"| {title} | {late} | {found.missed} | {error:.1f} |"


def our_touchdowns(landmarks: Landmarks) -> Touchdowns:
    """The touchdowns and the cadence of `side_gait`."""
    gait = side_gait(landmarks)
    return {side: [at / FPS for at in times] for side, times in gait.touchdowns.items()}, gait.cadence


def compared(so_far: Contacts, who: Runner, found: Mapping[str, Sequence[float]], cadence: float | None) -> Contacts:
    """Adds the errors for one runner. A touchdown that none was found for within a tenth of a second is missed."""
    late, missed = list(so_far.late), so_far.missed
    for side in SIDES:
        for true in true_touchdowns(who, side):
            nearest = min((at - true for at in found[side.name]), key=abs, default=math.inf)
            if abs(nearest) < 0.1:
                late.append(1000 * nearest)
            else:
                missed += 1
    errors = [*so_far.cadence, *([] if cadence is None else [cadence - who.cadence])]
    return evolve(so_far, late=late, cadence=errors, missed=missed)


def true_touchdowns(who: Runner, side: Side) -> list[float]:
    """When a foot touches down, seconds, without the first and last half second, which filters blur."""
    stride = 120 / who.cadence
    first = math.ceil(who.start_phase + side.lag)
    times = ((first + n - side.lag - who.start_phase) * stride for n in range(int(SECONDS / stride) + 2))
    return [time for time in times if 0.5 < time < SECONDS - 0.5]


def peer_touchdowns(find: Any, axis: str, landmarks: Landmarks) -> Touchdowns:
    """The touchdowns that Pose2Sim reads off our `.trc` with its default settings, and their cadence: it gives none."""
    recording = RecordingFile(path=Path("runner.raw_data.json"), analysis_id="a", view="side_view", height=HEIGHT)
    markers = markers_of(recording, landmarks)
    hips = [(left + right) / 2 for left, right in zip(markers.paths["LHip"], markers.paths["RHip"], strict=True)]
    markers = evolve(markers, paths={**markers.paths, "Hip": hips})  # one of its methods needs it
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, "runner.trc")
        path.write_text("\n".join(trc_lines(markers, path.name)) + "\n")
        try:
            (right, left, *_), _ = find(str(path), (1, axis), plot=False)
        except IndexError:  # it finds no contact
            right = left = []
    strides = [later - earlier for times in (left, right) for earlier, later in pairwise(times)]
    return {"left": left, "right": right}, 120 / fmean(strides) if strides else None


if __name__ == "__main__":
    main()
