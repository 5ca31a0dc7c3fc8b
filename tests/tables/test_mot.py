"""`.mot` files, as text and against the angles of the emulator's runners."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ochy_async.emulator.biomechanics.motion import motion_of
from ochy_async.emulator.biomechanics.runner import SIDES
from ochy_async.tables import write_mot
from tests.gait.recordings import filmed, runner

from .recordings import frame, saved

GOLDEN = """\
run.a1.mot
version=1
nRows=3
nColumns=5
inDegrees=yes

Angles in the plane of the picture, read off landmarks by ochy_async. They are not measured by Ochy.

endheader
time\tleft_hip_flexion\tleft_knee_flexion\tleft_ankle_dorsiflexion\ttrunk_lean
0.000000\t11.3099\t22.6199\t11.3099\t0.0000
0.040000\tNaN\tNaN\tNaN\t0.0000
0.080000\t11.3099\t22.6199\t11.3099\t0.0000
"""


def test_the_file_is_as_opensim_reads_it(tmp_path: Path) -> None:
    """Every byte of a small file: an angle that needs a gap is a gap, and without a wrist there is no elbow."""
    exported = write_mot([saved(tmp_path, {"1": frame(), "2": frame(left_knee=None), "3": frame()}, fps=25)], tmp_path)
    (path,) = exported.files
    assert path.read_bytes().decode() == GOLDEN
    (note,) = exported.notes
    assert note.startswith("1 recording: some angles have gaps (NaN).")


def columns(path: Path) -> dict[str, list[float]]:
    """The columns of a file."""
    lines = path.read_text().partition("endheader\n")[2].splitlines()
    rows = [[float(cell) for cell in line.split("\t")] for line in lines[1:]]
    return dict(zip(lines[0].split("\t"), map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_angles_are_those_of_the_runner(seed: int, tmp_path: Path) -> None:
    """Hip and knee of every frame within a degree of the emulator's own angles, the ankle within four."""
    who = runner(seed)
    exported = write_mot([saved(tmp_path, filmed(who, seconds=1.0))], tmp_path)
    found, motion = columns(exported.files[0]), motion_of(who)
    assert exported.notes == []
    assert found["trunk_lean"] == pytest.approx([who.trunk_lean] * 60, abs=0.5)
    for side in SIDES:
        for row in range(60):
            true = motion.leg_angles(side, who.start_phase + row * who.cadence / 120 / 60)
            assert found[f"{side.name}_knee_flexion"][row] == pytest.approx(math.degrees(true.knee), abs=1)
            assert found[f"{side.name}_ankle_dorsiflexion"][row] == pytest.approx(math.degrees(true.ankle), abs=4)
            hip = math.degrees(true.thigh) + who.trunk_lean
            assert found[f"{side.name}_hip_flexion"][row] == pytest.approx(hip, abs=1)


def test_the_back_view_has_pelvis_and_knees(tmp_path: Path) -> None:
    """Without an angle that is of the side view."""
    (path,) = write_mot([saved(tmp_path, filmed(runner(1), "back_view", seconds=0.5), "back_view")], tmp_path).files
    assert list(columns(path)) == [
        "time",
        *(f"{side}_{angle}" for angle in ("pelvic_drop", "knee_adduction") for side in ("left", "right")),
    ]


def test_landmarks_without_any_angle_are_left_out(tmp_path: Path) -> None:
    """A file without a column would say nothing."""
    some = {name: point for name, point in frame().items() if name in ("left_ankle", "left_heel", "left_foot_index")}
    some["left_hip"] = {"x": 0, "y": 0}
    exported = write_mot([saved(tmp_path, {"1": some})], tmp_path)
    assert exported.files == []
    assert exported.failures == ["run.a1.raw_data.json: The landmarks lack the joints of every angle."]
