"""The joints of a body, found among the landmark names of any usual skeleton.

The vendor documents neither names nor order. Known are MediaPipe's names (`left_foot_index`), COCO's (`left_ankle`),
OpenPose's and Sports2D's (`LAnkle`, `LBigToe`), and the same in camel case, in snake case or with the side at the end.

Invariant: pure. A name that is not known, or that two landmarks share, stands for no joint; it is reported, not
guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

__all__ = ["CENTRAL", "JOINTS", "PAIRED", "SIDES", "JointNames", "joint_names"]

SIDES: Final = ("left", "right")
PAIRED: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "toe")
"""The joints that both sides have."""
OTHER: Final = ("eye", "ear", "small_toe")
"""Points that both sides have, and that the gait does not need."""
CENTRAL: Final = ("nose", "neck", "pelvis")
JOINTS: Final = (*CENTRAL, *(f"{side}_{part}" for part in PAIRED for side in SIDES))
"""Every joint that the gait needs, such as `left_knee`."""

_PARTS: Final[Mapping[str, str]] = {
    **{part: part for part in (*PAIRED, "nose", "neck", "pelvis")},
    "footindex": "toe",  # MediaPipe
    "bigtoe": "toe",  # OpenPose, HALPE
    "toebase": "toe",
    "toes": "toe",
    "midhip": "pelvis",  # OpenPose
    "hipcenter": "pelvis",
    "hipmid": "pelvis",
    "elbows": "elbow",
    "foot": "toe",
    "eye": "eye",
    "ear": "ear",
    "smalltoe": "small_toe",  # OpenPose, HALPE
}
_SIDES: Final[Mapping[str, str]] = {"left": "left", "l": "left", "right": "right", "r": "right"}
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@frozen
class JointNames:
    """Which landmark is which joint."""

    landmarks: Mapping[str, str]
    """The landmark's name for each joint, eye, ear and small toe that was found."""
    unknown: tuple[str, ...]
    """The landmarks that stand for no joint, in their order: unknown names, and names that several landmarks share."""


def joint_names(names: Iterable[str]) -> JointNames:
    """Finds the joints among landmark names."""
    named = {name: _joint(name) for name in names}
    counts = Counter(named.values())
    found = {joint: name for name, joint in named.items() if joint is not None and counts[joint] == 1}
    return JointNames(found, tuple(name for name in named if name not in found.values()))


def _joint(name: str) -> str | None:
    """The joint that a landmark's name means, such as `left_knee` for `LKnee`, `kneeLeft` and `left knee`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if len(words) >= 1 and words[0] not in _SIDES and words[0][:1] in "lr" and "".join(words)[1:] in _PARTS:
        words = [words[0][0], words[0][1:], *words[1:]]  # `lknee`, `LKNEE`
    sides = [_SIDES[word] for word in words if word in _SIDES]
    part = _PARTS.get("".join(word for word in words if word not in _SIDES))
    if part is None or len(sides) != (part not in CENTRAL):
        return None
    return f"{sides[0]}_{part}" if sides else part
