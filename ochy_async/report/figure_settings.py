"""What figures show, and how they are written.

Invariant: settings that exist are valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from ..errors import InvalidSettings
from ..field_docs import documented
from ..policy.validators import between

__all__ = [
    "ANGLES",
    "BACK_VIEW",
    "FORMATS",
    "PER",
    "RESOLUTIONS",
    "SIDE_VIEW",
    "USUAL_ANGLES",
    "WIDTHS",
    "FigureSettings",
    "checked_angles",
]

SIDE_VIEW: Final = {name: name for name in ("hip", "knee", "ankle", "elbow", "trunk")}
BACK_VIEW: Final = {"pelvis": "pelvic_drop", "knee": "knee_adduction"}
"""The words for the angles of a view, and their names in a gait."""
ANGLES: Final = tuple(dict.fromkeys((*SIDE_VIEW, *BACK_VIEW)))
"""All words for angles."""
USUAL_ANGLES: Final = ("hip", "knee", "ankle", "pelvis")
"""What a figure shows unless something else is asked for."""
FORMATS: Final = ("pdf", "png", "svg")
PER: Final = ("analysis", "runner", "group")
WIDTHS: Final = (60, 400)
"""mm"""
RESOLUTIONS: Final = (72, 2400)
"""Dots per inch."""


def checked_angles(what: Iterable[str]) -> tuple[str, ...]:
    """The words in lower case without repetitions; `all` stands for every one."""
    words = tuple(str(word).lower() for word in ((what,) if isinstance(what, str) else what))
    wrong = [word for word in words if word not in (*ANGLES, "all")]
    if wrong or not words:
        named = ", ".join(map(repr, wrong)) or "nothing"
        raise InvalidSettings(f"A figure cannot show {named}. Choose from {', '.join(ANGLES)} and all.")
    return ANGLES if "all" in words else tuple(dict.fromkeys(words))


@documented
@frozen(kw_only=True)
class FigureSettings:
    """What figures show, and how they are written. Raises `InvalidSettings` for what cannot be."""

    what: tuple[str, ...] = field(default=USUAL_ANGLES, converter=checked_angles)
    """The angles: `hip`, `knee`, `ankle`, `elbow`, `trunk`, `pelvis`, or `all`. Each view has some of them."""
    per: str = "analysis"
    """What each figure shows: an `analysis`, the recordings of a `runner`, or the `group`: a mean of all runners."""
    file_format: str = "pdf"
    """`pdf`, `png` or `svg`."""
    width: float = field(default=85.0, validator=between(*WIDTHS))
    """Millimeters: 85 for a column of a journal, 180 for a page."""
    dpi: int = field(default=300, validator=between(*RESOLUTIONS, integer=True))
    """Dots per inch of a PNG."""
    names: bool = False
    """Whether the runner's name stands above a figure."""

    def __attrs_post_init__(self) -> None:
        for name, value, choices in (("per", self.per, PER), ("file_format", self.file_format, FORMATS)):
            if value not in choices:
                raise InvalidSettings(f"FigureSettings.{name} must be {' or '.join(choices)}, not {value!r}")
