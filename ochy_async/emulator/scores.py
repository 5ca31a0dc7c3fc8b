"""Scores: the measures of a runner that are scored, their ranges, and the verdicts and search keys of a score.

Invariant: pure, and assessments, calculated data and exercises read the same two tables. All ranges except those of
`arm` and `back_cycle`, which are the vendor's sample, are assumed.
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
    """The name of a range of scores."""

    name: str
    least: float  # lowest score with this verdict
    letter: str  # in search keys
    exercises: int  # how many of the exercises are recommended


VERDICTS = (Verdict("good", 0.75, "G", 1), Verdict("okay", 0.5, "O", 2), Verdict("bad", 0.0, "B", 2))
"""Best first."""


@frozen
class ScoredPart:
    """One scored measure: its name in search keys, its ranges in degrees, its exercises."""

    key: str
    good: Range
    okay: Range
    exercises: tuple[str, str]

    @property
    def bad(self) -> Range:
        """The range beyond okay; the API has an upper bound for it."""
        return self.okay[1], 3 * self.okay[1]

    def score(self, value: float) -> float:
        """1 in the middle of the good range, 0.75 at its edge, 0.5 at the edge of the okay range, then down to 0."""
        low, high = self.good
        if low <= value <= high:
            return 1 - 0.25 * abs(2 * value - low - high) / (high - low)
        # `inner` is the exceeded edge of good, `outer` the edge of okay on that side, or `inner` if it has none there.
        inner, outer = (low, min(low, self.okay[0])) if value < low else (high, max(high, self.okay[1]))
        beyond, band = abs(value - inner), abs(outer - inner)
        if beyond <= band:
            return 0.75 - 0.25 * beyond / band
        return max(0.0, 0.5 - 0.5 * (beyond - band) / (high - low))

    def verdict(self, value: float) -> Verdict:
        """The verdict of this value's score."""
        score = self.score(value)
        return next(verdict for verdict in VERDICTS if score >= verdict.least)

    def position(self, value: float) -> int:
        """0 below the good range, 1 in it, 2 above it."""
        low, high = self.good
        return 0 if value < low else 2 if value > high else 1

    def search_key(self, verdict: Verdict) -> str:
        """The key that finds the exercises of this part, such as `ArmG`."""
        return self.key + verdict.letter

    def exercises_for(self, verdict: Verdict) -> tuple[str, ...]:
        """The recommended exercises: fewer for a better verdict."""
        return self.exercises[: verdict.exercises]


# In the vendor's sample `okay` encloses `good` (arm) or only adjoins it (back_cycle).
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
