"""Scores: which parts of a runner are judged, by which ranges, and what a score is called.

Invariant: pure, and the tables are the judge; whoever judges, explains or trains a part reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BACK_PARTS", "SIDE_PARTS", "VERDICTS", "ScoredPart", "Verdict"]

Range = tuple[float, float]


@frozen
class Verdict:
    """What a score is called."""

    name: str
    least: float  # score that deserves it
    letter: str  # in search keys
    exercises: int  # how many of a part's exercises go with it


VERDICTS = (Verdict("good", 0.75, "G", 1), Verdict("okay", 0.5, "O", 2), Verdict("bad", 0.0, "B", 2))
"""Best first."""


@frozen
class ScoredPart:
    """One scored part: its name in search keys, its ranges in degrees, its exercises."""

    key: str
    good: Range
    okay: Range
    exercises: tuple[str, str]

    @property
    def bad(self) -> Range:
        """What lies beyond okay, as far as the API would draw it."""
        return self.okay[1], 3 * self.okay[1]

    def score(self, value: float) -> float:
        """From 1 amid the good over 0.75 at its edge and 0.5 at the edge of the okay down to 0."""
        low, high = self.good
        if low <= value <= high:
            return 1 - 0.25 * abs(2 * value - low - high) / (high - low)
        # `inner` is the edge of good that was passed, `outer` the edge of okay on that side, if it has one there.
        inner, outer = (low, min(low, self.okay[0])) if value < low else (high, max(high, self.okay[1]))
        beyond, band = abs(value - inner), abs(outer - inner)
        if beyond <= band:
            return 0.75 - 0.25 * beyond / band
        return max(0.0, 0.5 - 0.5 * (beyond - band) / (high - low))

    def verdict(self, value: float) -> Verdict:
        """What the score of this value is called."""
        score = self.score(value)
        return next(verdict for verdict in VERDICTS if score >= verdict.least)

    def place(self, value: float) -> int:
        """0 below the good range, 1 within it, 2 above it."""
        low, high = self.good
        return 0 if value < low else 2 if value > high else 1

    def search_key(self, verdict: Verdict) -> str:
        """What exercises for the part are asked for by, such as `ArmG`."""
        return self.key + verdict.letter

    def exercises_for(self, verdict: Verdict) -> tuple[str, ...]:
        """The fewer, the better the verdict."""
        return self.exercises[: verdict.exercises]


# `arm` and `back_cycle` have the ranges of the vendor's sample: okay may enclose good or only adjoin it.
SIDE_PARTS: Mapping[str, ScoredPart] = {
    "arm": ScoredPart("Arm", (78, 88), (74, 92), ("bi_reinforcement", "arm_swing_seated")),
    "back_cycle": ScoredPart("BackCycle", (0, 98), (98, 107), ("heel_flicks", "hamstring_bridge")),
    "foot": ScoredPart("Foot", (-2, 8), (8, 13), ("quick_feet", "calf_raise")),
    "forward_cycle": ScoredPart("ForwardCycle", (36, 60), (32, 36), ("high_knees", "hip_flexor_march")),
    "head": ScoredPart("Head", (0, 10), (-5, 15), ("chin_tuck", "gaze_run")),
    "trunk": ScoredPart("Trunk", (4, 10), (2, 13), ("plank", "wall_lean")),
}
BACK_PARTS: Mapping[str, ScoredPart] = {
    "knee_adduction": ScoredPart("Knee", (0, 3.5), (3.5, 4.5), ("side_lying_lift", "single_leg_squat")),
    "pelvic_drop": ScoredPart("Pelvic", (0, 3), (3, 4), ("hip_hike", "side_plank")),
    "pronation": ScoredPart("Pronation", (0, 5.5), (5.5, 7.5), ("short_foot", "towel_curl")),
}
