"""How a command ends: the one table of exit codes.

Invariant: a script can act on the code alone; where several apply, the one that the caller
must act on first wins.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import BuyCredits, InvalidRequest, InvalidSettings, KeyRefused, OchyError, UncertainStart

__all__ = ["MEANINGS", "Exit", "exit_of", "worst"]


class Exit(enum.IntEnum):
    """An exit code."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    KEY = 3
    CREDITS = 4
    UNCERTAIN = 5
    INTERRUPTED = 130


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.INTERRUPTED: "interrupted",
    Exit.KEY: "the API key is missing or refused",
    Exit.CREDITS: "no credits left",
    Exit.UNCERTAIN: "a start may or may not have been charged",
    Exit.USAGE: "wrong usage; nothing was sent",
    Exit.SOME_FAILED: "something failed",
    Exit.OK: "all well",
}
"""What each code means, the weightiest first: where several apply, the first in this table wins."""

_ERRORS: Final[tuple[tuple[type[OchyError], Exit], ...]] = (
    (KeyRefused, Exit.KEY),
    (BuyCredits, Exit.CREDITS),
    (UncertainStart, Exit.UNCERTAIN),
    (InvalidRequest, Exit.USAGE),
    (InvalidSettings, Exit.USAGE),
    (OchyError, Exit.SOME_FAILED),
)


def exit_of(error: OchyError) -> Exit:
    """The exit code that an error leads to."""
    return next(code for kind, code in _ERRORS if isinstance(error, kind))


def worst(codes: Iterable[Exit]) -> Exit:
    """The weightiest of the codes; `Exit.OK` of none."""
    return min(codes, key=list(MEANINGS).index, default=Exit.OK)
